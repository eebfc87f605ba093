"""Chapter 6's long work as one object: networks that are trained, and posteriors that are drawn with them.

Nothing is computed before it is asked for; parts run side by side and are kept (see `dps_parts`).
"""

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import torch
from safetensors.torch import load_file

from memprior._check import expect
from memprior.denoiser import Denoiser, GaussianDenoiser
from memprior.experiments.calibration_study import Survey, guided_draws, ledoit_wolf, linear_survey, wave_survey
from memprior.experiments.dps_fwi import Inversion, published_inversion
from memprior.experiments.dps_parts import generator_for, part_name, side_by_side
from memprior.experiments.remedies import Ensemble, TikhonovDenoiser, Training, augmented, cross_validated, trained
from memprior.training import save_atomically

OF_NETWORKS = ("trained", "early-stopped", "weight decay", "dropout", "augmented", "Tikhonov", "ensemble")
# The same sampler on denoisers that are known:
WITHOUT = ("exact prior", "exact prior, mirrored", "Ledoit-Wolf", "memory")
WIDTHS = (0.03, 0.1, 0.2, 0.3, 0.5, 0.8)  # of Tikhonov's penalty, among which cross-validation chooses
Networks = dict[Training, dict[int, Denoiser]]


@dataclass(frozen=True)
class Column:
    """Posterior draws with one prior. remedy: of :data:`OF_NETWORKS` or :data:`WITHOUT`.

    trainings: every network it needs, plain ones first. width: of Tikhonov's penalty, 0 for the cross-validated one.
    waves: with F as it is. Raises ``ValueError`` for another remedy.
    """

    remedy: str
    num_examples: int
    trainings: tuple[Training, ...]
    width: float
    waves: bool
    num_truths: int
    num_draws: int
    num_levels: int
    seed: int

    def __post_init__(self):
        expect(self.remedy in OF_NETWORKS + WITHOUT, "remedy", f"one of {OF_NETWORKS + WITHOUT}", self.remedy)

    @property
    def name(self) -> str:
        """Of its file: see :func:`dps_parts.part_name`."""
        remedy = self.remedy.lower().replace(",", "")
        return part_name(f"{'waves' if self.waves else 'linear'} {remedy} {self.num_examples}", self)


@dataclass(frozen=True)
class Choice:
    """What an honest practitioner chooses by two networks on disjoint halves of the examples.

    by_step: validation loss at each look; by_width: at the last look, for each width of Tikhonov's penalty.
    """

    by_step: dict[int, float]
    by_width: dict[float, float]

    @property
    def step(self) -> int:
        """The look with the least loss."""
        return min(self.by_step, key=self.by_step.get)

    @property
    def width(self) -> float:
        """The width with the least loss."""
        return min(self.by_width, key=self.by_width.get)


def chosen(networks: Networks, device: torch.device) -> Choice:
    """The choice for one N from its networks, the two halves among them."""
    halves = [part for part in networks if part.kind.endswith("half")]
    expect(len(halves) == 2, "networks", "two of halves", len(halves))
    found, seen = tuple(networks[part] for part in halves), tuple(part.seen(device) for part in halves)

    def loss(change, step):
        randomness = generator_for("validation", device)
        return cross_validated(found, seen, change, step, num_levels=24, generator=randomness)

    looks = halves[0].looks
    by_width = {width: loss(lambda d, c=width: TikhonovDenoiser(d, c), looks[-1]) for width in WIDTHS}
    return Choice({step: loss(lambda d: d, step) for step in looks}, by_width)


def prior_of(column: Column, networks: Networks, device: torch.device) -> tuple[Denoiser, Training | None]:
    """The denoiser of a column, and a training that it shares coordinates with."""
    by_kind = {}
    for part, found in networks.items():
        by_kind.setdefault(part.kind, []).append((part, found))
    plain, last = [found for _, found in by_kind["plain"]], column.trainings[0].looks[-1]
    if column.remedy in ("weight decay", "dropout", "augmented"):
        part, found = by_kind[column.remedy][0]
        return found[last], part
    return {
        "trained": lambda: plain[0][last],
        "early-stopped": lambda: plain[0][chosen(networks, device).step],
        "Tikhonov": lambda: TikhonovDenoiser(plain[0][last], column.width or chosen(networks, device).width),
        "ensemble": lambda: Ensemble([found[last] for found in plain]),
    }[column.remedy](), column.trainings[0]


@dataclass(frozen=True, eq=False)
class CalibrationStudy:
    """Networks and sampled posteriors at the sizes of ``settings`` (06_calibration of notebooks/profiles.yml).

    seed: that of the notebook. folder: keeps the parts. tell: hears of every part that is done.
    """

    settings: dict
    seed: int
    device: torch.device
    folder: Path
    tell: Callable[[str], None]

    @cached_property
    def inversion(self) -> Inversion:
        """The published one, whose Jacobian at the truth linearizes F for all."""
        return published_inversion(torch.complex64, self.device)

    @cached_property
    def survey(self) -> Survey:
        """Held-out truths with F linearized."""
        randomness = generator_for(f"survey {self.seed}", self.device)
        return linear_survey(self.inversion, self.settings["num_truths"], generator=randomness)

    def with_waves(self):
        """Held-out truths with the waves, from an operator of its own: :func:`calibration_study.wave_survey`."""
        inversion = published_inversion(torch.complex64, self.device)
        randomness = generator_for(f"waves {self.seed}", self.device)
        return wave_survey(inversion, self.settings["waves"][0], generator=randomness)

    def trainings_of(self, n: int) -> tuple[Training, ...]:
        """The networks on N examples: plain ones, and where remedies are tried two halves and one for each remedy."""
        size = self.settings
        tried = n in size["remedies_at"]
        kinds = [("plain", 0.0, k) for k in range(size["num_members"] if tried else 1)]
        if tried:
            kinds += [("first half", 0.0, 0), ("second half", 0.0, 0), ("augmented", 0.0, 0)]
            kinds += [("weight decay", size["weight_decay"], 0), ("dropout", size["dropout"], 0)]
        shape = (*size["network"], tuple(size["looks"]))
        return tuple(Training(kind, n, 100 * self.seed + k, strength, *shape) for kind, strength, k in kinds)

    @cached_property
    def columns(self) -> list[Column]:
        """Every sampled posterior: with F linearized for all remedies, with the waves for a few."""
        size, columns = self.settings, []
        truths = size["num_sampled_truths"], size["num_draws"], size["num_levels"], self.seed
        for n in size["network_sizes"]:
            parts, tried = self.trainings_of(n), n in size["remedies_at"]
            remedies = [*WITHOUT, *(OF_NETWORKS if tried else OF_NETWORKS[:1])]
            columns += [Column(remedy, n, parts, 0.0, False, *truths) for remedy in remedies]
            columns += [Column("Tikhonov", n, parts, w, False, *truths) for w in size["widths"] if tried]
            if size["waves"][1] and n == size["remedies_at"][0]:
                short = [WITHOUT[0], WITHOUT[2], *OF_NETWORKS[:2]]
                columns += [Column(remedy, n, parts, 0.0, True, *size["waves"], self.seed) for remedy in short]
        return columns

    def drawn(self, column: Column, networks: Networks) -> torch.Tensor:
        """Raw draws (T, S, 100) of a column; kept as one file once they are done."""
        file = self.folder / f"{column.name}.safetensors"
        if not file.is_file():
            known = column.trainings[0].known(self.device)
            if column.remedy == "exact prior, mirrored":
                known = augmented(column.num_examples, self.device)
            if column.remedy.startswith("exact prior"):
                denoiser = known.true_prior
            elif column.remedy == "Ledoit-Wolf":
                fitted = ledoit_wolf(known)
                denoiser = GaussianDenoiser(fitted.mean, fitted.covariance)
            elif column.remedy == "memory":
                denoiser = known.memorized_prior
            else:
                denoiser, part = prior_of(column, networks, self.device)
                known = part.known(self.device)
            survey, forward, _ = self.with_waves() if column.waves else (self.survey, None, None)
            z = guided_draws(
                survey.first(column.num_truths),
                known,
                denoiser,
                ledoit_wolf(known).covariance,
                column.num_draws,
                column.num_levels,
                generator=generator_for(column.name, self.device),
                forward=forward,
            )
            save_atomically(file, {"draws": z.cpu()}, {})
        return load_file(file)["draws"].to(self.device)

    @cached_property
    def done(self) -> dict[Training | Column, dict[int, Denoiser] | torch.Tensor]:
        """What every part has come to: a column is drawn as soon as its networks are trained."""
        self.survey  # noqa: B018 - made once, before several threads ask for it
        self.folder.mkdir(parents=True, exist_ok=True)

        def work(part, earlier):
            if isinstance(part, Training):
                return trained(part, self.folder, self.device)
            return self.drawn(part, {one: earlier(one) for one in part.trainings})

        trainings = [part for n in self.settings["network_sizes"] for part in self.trainings_of(n)]
        parts = [*trainings, *self.columns]
        workers = 1 if self.device.type == "cuda" else self.settings["workers"]
        with warnings.catch_warnings():
            # Early guesses of a walk with the waves may be too slow for the mesh; the last ones are not.
            warnings.filterwarnings("ignore", message="expected at least .* nodes")
            return dict(zip(parts, side_by_side(parts, work, workers, self.tell), strict=True))

    def networks(self, n: int) -> Networks:
        """Training -> step -> network there, for N examples."""
        return {part: self.done[part] for part in self.trainings_of(n)}
