"""Chapter 6: the posterior jobs, one for each prior and size, and the priors that they sample with."""

from dataclasses import dataclass

import torch

from chapters.ch06_calibration.families import Prior, prior_of, training_set
from chapters.ch06_calibration.posteriors import ledoit_wolf
from chapters.ch06_calibration.remedies import Ensemble, TikhonovDenoiser, Training, augmented, cross_validated
from companion.jobs import part_name
from memprior._check import expect
from memprior._random import generator_for
from memprior.denoiser import Denoiser, GaussianDenoiser
from memprior.gaussian import Gaussian
from memprior.paper import TrainingSet

OF_NETWORKS = ("trained", "early-stopped", "weight decay", "dropout", "augmented", "Tikhonov", "ensemble")
# The same sampler with exact denoisers:
WITHOUT = ("exact prior", "exact prior, mirrored", "Ledoit-Wolf", "memorized")
CLOSED = ("exact prior", "Ledoit-Wolf", "Ledoit-Wolf, mirrored")  # Gaussians, drawn in closed form and weighted
NEUTRAL = ("trained", "early-stopped")  # guided by a covariance in which nothing is of the examples
NONLINEAR = ("exact prior", "trained", "early-stopped", "augmented")  # sampled with the nonlinear operator
HOW = ("linear", "neutral", "faulted", "waves", "waves, closed")
WIDTHS = (0.03, 0.1, 0.2, 0.3, 0.5, 0.8, 1.2, 2.0)  # of the Tikhonov penalty, among which cross-validation chooses
Networks = dict[Training, dict[int, Denoiser]]


@dataclass(frozen=True)
class PosteriorJob:
    """Posterior draws with one prior. remedy: of :data:`OF_NETWORKS` or :data:`WITHOUT`, or of :data:`CLOSED`.

    trainings: every network it needs, plain ones first. width: of the Tikhonov penalty, 0 for the cross-validated one.
    how: "linear", sampled with F linearized at the mean, guided by the Ledoit-Wolf covariance of the examples;
    "neutral", the same guided by the covariance of the distribution itself, in which nothing is of the examples;
    "faulted", as neutral, on models with faulted layers; "waves" or "waves, closed", sampled or drawn in closed form
    with the nonlinear operator (see `nonlinear`). Raises ``ValueError`` for another remedy or way.
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
    def family(self) -> str:
        """Of the distribution of its truths and examples."""
        return "faulted" if self.how == "faulted" else "Gaussian"

    @property
    def name(self) -> str:
        """See :func:`companion.jobs.part_name`."""
        readable = f"{self.how} {self.remedy} {self.num_examples}"
        return part_name(readable.lower().replace(",", ""), self)


@dataclass(frozen=True)
class Choice:
    """Cross-validated choices, by two networks on disjoint halves of the examples.

    by_step: validation loss at each checkpoint. by_width: at the last checkpoint, for each Tikhonov width.
    """

    by_step: dict[int, float]
    by_width: dict[float, float]

    @property
    def step(self) -> int:
        """The checkpoint with the least loss."""
        return min(self.by_step, key=self.by_step.get)

    @property
    def width(self) -> float:
        """The width with the least loss."""
        return min(self.by_width, key=self.by_width.get)


def chosen(networks: Networks, device: torch.device, widths: tuple[float, ...] = WIDTHS) -> Choice:
    """The choice for one N from its networks, the two halves among them. widths: () where only the step is asked."""
    halves = [part for part in networks if part.kind.endswith("half")]
    expect(len(halves) == 2, "networks", "two of halves", len(halves))
    trained, seen = tuple(networks[part] for part in halves), tuple(part.seen(device) for part in halves)

    def loss(change, step):
        randomness = generator_for("validation")
        return cross_validated(trained, seen, change, step, num_levels=24, generator=randomness)

    looks = halves[0].looks
    by_width = {width: loss(lambda d, c=width: TikhonovDenoiser(d, c), looks[-1]) for width in widths}
    return Choice({step: loss(lambda d: d, step) for step in looks}, by_width)


def build_prior(job: PosteriorJob, networks: Networks, device: torch.device) -> tuple[Denoiser, TrainingSet]:
    """The denoiser of a job's sampler, and the examples that standardize its coordinates."""
    if job.remedy in WITHOUT:
        return _known_prior(job, device)
    by_kind = {}
    for part, found in networks.items():
        by_kind.setdefault(part.kind, []).append((part, found))
    plain, last = [found for _, found in by_kind["plain"]], job.trainings[0].looks[-1]
    if job.remedy in ("weight decay", "dropout", "augmented"):
        part, found = by_kind[job.remedy][0]
        return found[last], part.known(device)
    denoiser = {
        "trained": lambda: plain[0][last],
        "early-stopped": lambda: plain[0][chosen(networks, device, ()).step],
        "Tikhonov": lambda: TikhonovDenoiser(plain[0][last], job.width or chosen(networks, device).width),
        "ensemble": lambda: Ensemble([found[last] for found in plain]),
    }[job.remedy]()
    return denoiser, job.trainings[0].known(device)


def _known_prior(job: PosteriorJob, device: torch.device) -> tuple[Denoiser, TrainingSet]:
    known = _examples(job, device)
    if job.remedy == "memorized":
        return known.memorized_prior, known
    if job.remedy == "Ledoit-Wolf":
        fitted = ledoit_wolf(known)
        return GaussianDenoiser(fitted.mean, fitted.covariance), known
    return true_prior(job.family, known).denoiser, known


def true_prior(family: str, known: TrainingSet) -> Prior:
    """The distribution itself, in the coordinates that the examples standardize."""
    return prior_of(family).to(known.examples).standardized(known.standardizer)


def guiding_covariance(job: PosteriorJob, known: TrainingSet) -> torch.Tensor:
    """C of the sampler's step, in the coordinates of ``known``."""
    if job.how in ("neutral", "faulted"):
        return true_prior(job.family, known).covariance
    return ledoit_wolf(known).covariance


def build_gaussian(job: PosteriorJob, truth: Gaussian, device: torch.device) -> Gaussian:
    """One of :data:`CLOSED`, of raw coefficients. truth: their true distribution."""
    if job.remedy == "exact prior":
        return truth
    known = _examples(job, device)
    return ledoit_wolf(known).restored(known.standardizer)


def _examples(job: PosteriorJob, device: torch.device) -> TrainingSet:
    if job.remedy.endswith("mirrored"):
        return augmented(job.num_examples, device)
    return training_set(job.family, job.num_examples, device)
