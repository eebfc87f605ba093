"""Chapter 6: the priors that posteriors are drawn with, each a column of its tables."""

from dataclasses import dataclass

import torch

from chapters.ch06_calibration.posteriors import ledoit_wolf
from chapters.ch06_calibration.remedies import Ensemble, TikhonovDenoiser, Training, augmented, cross_validated
from companion.jobs import part_name
from memprior._check import expect
from memprior._random import generator_for
from memprior.denoiser import Denoiser, GaussianDenoiser
from memprior.gaussian import Gaussian
from memprior.paper import TrainingSet

OF_NETWORKS = ("trained", "early-stopped", "weight decay", "dropout", "augmented", "Tikhonov", "ensemble")
# The same sampler on denoisers that are known:
WITHOUT = ("exact prior", "exact prior, mirrored", "Ledoit-Wolf", "memory")
CLOSED = ("exact prior", "Ledoit-Wolf", "Ledoit-Wolf, mirrored")  # Gaussians, drawn with the waves without a sampler
WITH_WAVES = ("exact prior", "trained", "early-stopped", "augmented")  # drawn with the waves by the sampler
HOW = ("linear", "waves", "waves, closed")
WIDTHS = (0.03, 0.1, 0.2, 0.3, 0.5, 0.8, 1.2, 2.0)  # of Tikhonov's penalty, among which cross-validation chooses
Networks = dict[Training, dict[int, Denoiser]]


@dataclass(frozen=True)
class Column:
    """Posterior draws with one prior. remedy: of :data:`OF_NETWORKS` or :data:`WITHOUT`, or of :data:`CLOSED`.

    trainings: every network it needs, plain ones first. width: of Tikhonov's penalty, 0 for the cross-validated one.
    how: with F linearized at the mean, by the sampler; or with the waves, by the sampler or in closed form (see
    `calibration_waves`). Raises ``ValueError`` for another remedy or way.
    """

    remedy: str
    num_examples: int
    trainings: tuple[Training, ...]
    width: float
    how: str
    num_truths: int
    num_draws: int
    num_levels: int
    seed: int

    def __post_init__(self):
        expect(self.how in HOW, "how", f"one of {HOW}", self.how)
        known = CLOSED if self.how == "waves, closed" else OF_NETWORKS + WITHOUT
        expect(self.remedy in known, "remedy", f"one of {known}", self.remedy)

    @property
    def name(self) -> str:
        """See :func:`companion.jobs.part_name`."""
        readable = f"{self.how} {self.remedy} {self.num_examples}"
        return part_name(readable.lower().replace(",", ""), self)


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
        randomness = generator_for("validation")
        return cross_validated(found, seen, change, step, num_levels=24, generator=randomness)

    looks = halves[0].looks
    by_width = {width: loss(lambda d, c=width: TikhonovDenoiser(d, c), looks[-1]) for width in WIDTHS}
    return Choice({step: loss(lambda d: d, step) for step in looks}, by_width)


def prior_of(column: Column, networks: Networks, device: torch.device) -> tuple[Denoiser, TrainingSet]:
    """What the sampler walks with, and the examples that set its coordinates."""
    if column.remedy in WITHOUT:
        return _known_prior(column, device)
    by_kind = {}
    for part, found in networks.items():
        by_kind.setdefault(part.kind, []).append((part, found))
    plain, last = [found for _, found in by_kind["plain"]], column.trainings[0].looks[-1]
    if column.remedy in ("weight decay", "dropout", "augmented"):
        part, found = by_kind[column.remedy][0]
        return found[last], part.known(device)
    denoiser = {
        "trained": lambda: plain[0][last],
        "early-stopped": lambda: plain[0][chosen(networks, device).step],
        "Tikhonov": lambda: TikhonovDenoiser(plain[0][last], column.width or chosen(networks, device).width),
        "ensemble": lambda: Ensemble([found[last] for found in plain]),
    }[column.remedy]()
    return denoiser, column.trainings[0].known(device)


def _known_prior(column: Column, device: torch.device) -> tuple[Denoiser, TrainingSet]:
    known = _examples(column, device)
    if column.remedy == "memory":
        return known.memorized_prior, known
    if column.remedy == "Ledoit-Wolf":
        fitted = ledoit_wolf(known)
        return GaussianDenoiser(fitted.mean, fitted.covariance), known
    return known.true_prior, known


def gaussian_of(column: Column, truth: Gaussian, device: torch.device) -> Gaussian:
    """One of :data:`CLOSED`, of raw coefficients. truth: the true law of those."""
    if column.remedy == "exact prior":
        return truth
    known = _examples(column, device)
    return ledoit_wolf(known).restored(known.standardizer)


def _examples(column: Column, device: torch.device) -> TrainingSet:
    of = augmented if column.remedy.endswith("mirrored") else TrainingSet.published
    return of(column.num_examples, device)
