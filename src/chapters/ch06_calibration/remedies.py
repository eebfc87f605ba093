"""Chapter 6: remedies against memorization of few examples, in training and afterwards.

No defaults: sizes come from notebooks/profiles.yml.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from itertools import product

import torch

from chapters.ch06_calibration.families import training_set
from chapters.ch06_calibration.posteriors import SIGMA_RANGE
from companion.jobs import part_name
from companion.store import Store
from memprior._check import column_of, expect, expect_points, expect_positive
from memprior._random import generator_for, uniform
from memprior.denoiser import Denoiser, NetworkDenoiser
from memprior.fields import CosineBasis, Standardizer
from memprior.networks import ResidualMLP
from memprior.paper import FASTEST, SLOWEST, TrainingSet, published_fields, published_grid
from memprior.training import TrainingPlan, denoising_loss, snapshot_denoisers, snapshot_weights, train

CENTER = (FASTEST + SLOWEST) / 2  # the mean of the published fields, squared slowness
KINDS = ("plain", "first half", "second half", "weight decay", "dropout", "augmented")


# ---- symmetries of the prior -----------------------------------------------------------------------------------------


def symmetries() -> list[Callable[[torch.Tensor], torch.Tensor]]:
    """The 32 maps of published fields (B, 64, 64) that leave their distribution invariant; the first is the identity.

    Every field is Re ifft2(a w) about its mean, w independent real normals. Reflection of one axis (index -i mod 64; of
    both it is the identity, for every field is point-symmetric) and transposition reorder w, and a does not change;
    translation by half a period along an axis multiplies w by (-1)^k, the sign about the mean by -1. They form a group
    of 2 x 2 x 4 x 2 maps. Shorter translations are not symmetries: w would not stay real.
    """
    return [
        lambda fields, of=(flip, turn, across, down, sign): _moved(fields, *of)
        for sign, flip, turn, across, down in product((1, -1), (False, True), (False, True), (0, 32), (0, 32))
    ]


def _moved(fields, flip, turn, across, down, sign):
    fields = fields.flip(1).roll(1, 1) if flip else fields
    fields = fields.mT if turn else fields
    return CENTER + sign * (fields.roll((across, down), (1, 2)) - CENTER)


def augmented(num: int, device: torch.device) -> TrainingSet:
    """The first ``num`` published fields and their images under :func:`symmetries`, (32 num, 100), standardized."""
    fields, basis = published_fields(num), CosineBasis(published_grid())
    examples = torch.cat([basis.encode(move(fields)) for move in symmetries()]).to(device)
    return TrainingSet(examples, Standardizer.fit(examples))


def moved_covariances(device: torch.device) -> list[torch.Tensor]:
    """The covariance of z under each of :func:`symmetries`, (100, 100) each, exact up to rounding.

    A coefficient is the inner product of a field and an image. To map the field is to map the image by the inverse,
    which is one of the same maps. The weight of w(k) in it is a(k) times the real part of the image's transform.
    """
    basis, k = CosineBasis(published_grid()), torch.fft.fftfreq(64, 1 / 64, dtype=torch.float64)
    # Not taken from `fields`, which this is compared with.
    amplitude = (4 * math.pi**2 * (k[:, None] ** 2 + k**2) + 25) ** -1.5
    amplitude[0, 0] = 0
    amplitude *= (SLOWEST - FASTEST) / 6 / amplitude.norm()
    modes = basis.decode(torch.eye(basis.size, dtype=torch.float64)) - basis.background
    images = modes / modes.square().sum((1, 2), keepdim=True)  # of the projection, as the modes are orthogonal
    found = []
    for move in symmetries():
        weights = (amplitude * torch.fft.fft2(move(images + CENTER) - CENTER).real).flatten(1)
        found.append((weights @ weights.T).to(device))
    return found


# ---- networks --------------------------------------------------------------------------------------------------------


class DropoutMLP(ResidualMLP):
    """A residual network with dropout of probability ``rate`` on the output of each block.

    noise: (shape) -> numbers in [0, 1), called once per block. Off after ``eval()``.
    Raises ``ValueError`` unless 0 < rate < 1.
    """

    def __init__(self, *sizes, rate: float, noise: Callable, generator: torch.Generator, device=None):
        super().__init__(*sizes, generator=generator, device=device)
        expect_positive("rate", rate)
        expect(rate < 1, "rate", "below 1", rate)
        for block in self.blocks:
            block.register_forward_hook(self._thinned)
        self._rate, self._noise = rate, noise

    def _thinned(self, block, _, added):
        if not block.training:
            return added
        return added * (self._noise(added) >= self._rate) / (1 - self._rate)


@dataclass(frozen=True)
class Training:
    """One network to train. kind: one of :data:`KINDS`; strength: of weight decay or dropout, 0 for the others.

    looks: optimizer steps of the checkpoints; the last one ends the training. Raises
    ``ValueError`` for another kind.
    """

    # The names of these fields are in ``name``, which seeds the batches: another word for one is another network.
    kind: str
    num_examples: int
    seed: int
    strength: float
    width: int
    depth: int
    batch_size: int
    looks: tuple[int, ...]

    def __post_init__(self):
        expect(self.kind in KINDS, "kind", f"one of {KINDS}", self.kind)

    @property
    def name(self) -> str:
        """See :func:`companion.jobs.part_name`."""
        return part_name(f"{self.kind}_{self.num_examples}_{self.seed}", self)

    @property
    def plan(self) -> TrainingPlan:
        """As for chapter 4's networks, over the noise levels of this chapter's sampler."""
        return TrainingPlan(self.looks[-1], self.batch_size, 2e-3, 1e-4, 0.999, *SIGMA_RANGE)

    @property
    def family(self) -> str:
        """Of the distribution that the examples are draws of."""
        return "Gaussian"

    def known(self, device: torch.device) -> TrainingSet:
        """The examples that standardize the coordinates: all N, with their images for kind "augmented"."""
        if self.kind == "augmented":
            return augmented(self.num_examples, device)
        return training_set(self.family, self.num_examples, device)

    def seen(self, device: torch.device) -> torch.Tensor:
        """The standardized examples in the training set."""
        x = self.known(device).standardized
        return {"first half": x[::2], "second half": x[1::2]}.get(self.kind, x)


@dataclass(frozen=True)
class FaultedTraining(Training):
    """The same on models with faulted layers. Raises ``ValueError`` for mirror images, which they have none of."""

    def __post_init__(self):
        super().__post_init__()
        expect(self.kind != "augmented", "kind", "one without mirror images", self.kind)

    @property
    def name(self) -> str:
        return part_name(f"faulted_{self.kind}_{self.num_examples}_{self.seed}", self)

    @property
    def family(self) -> str:
        return "faulted"


def trained(part: Training, store: Store) -> dict[int, NetworkDenoiser]:
    """step -> the network with averaged weights, at each checkpoint."""
    weights = store.tensors(part.name, asdict(part), lambda _: snapshot_weights(_checkpoints(part, store.device)))
    return snapshot_denoisers(weights, lambda: _network(part, store.device, None), 1.0)


def _network(part, device, generator):
    weights = generator_for(f"weights {part.seed}")
    sizes = 100, part.width, part.depth
    if part.kind != "dropout":
        return ResidualMLP(*sizes, generator=weights, device=device)

    def noise(like):
        return uniform(*like.shape, like=like, generator=generator)

    return DropoutMLP(*sizes, rate=part.strength, noise=noise, generator=weights, device=device)


def _checkpoints(part: Training, device: torch.device):
    """(step, averaged denoiser) at each checkpoint; the denoiser changes as training goes on."""
    generator = generator_for(f"batches {part.name}")
    denoiser = NetworkDenoiser(_network(part, device, generator), 1.0)
    plan = part.plan
    weights = [w for w in denoiser.network.parameters() if w.ndim > 1]  # biases and gains do not decay
    for state in train(denoiser, part.seen(device), plan, generator=generator):
        if part.kind == "weight decay":  # decoupled from Adam: w <- (1 - rate lambda) w
            with torch.no_grad():
                torch._foreach_mul_(weights, 1 - plan.rate(state.step) * part.strength)
        if state.step in part.looks:
            yield state.step, state.average


# ---- after training --------------------------------------------------------------------------------------------------


class TikhonovDenoiser:
    """A denoiser whose score is shrunk: D_c = x + (D - x) sigma^2 / (sigma^2 + c), c = width^2.

    The minimizer of E |s - s_0|^2 + (c / sigma^2) |s|^2, s_0 the learned score of D (baptista2025memorization):
    each x by itself, so s = s_0 / (1 + c / sigma^2). Where sigma is far below ``width`` it stops denoising.
    """

    def __init__(self, denoiser: Denoiser, width: float):
        expect_positive("width", width)
        self.denoiser, self.width = denoiser, width

    def __call__(self, x: torch.Tensor, sigma) -> torch.Tensor:
        expect_points("x", x)
        noise = column_of("sigma", sigma, x) ** 2
        return x + (self.denoiser(x, sigma) - x) * noise / (noise + self.width**2)


class Ensemble:
    """The mean of several denoisers, which averages out what is particular to each."""

    def __init__(self, members: Sequence[Denoiser]):
        expect(len(members) > 0, "members", "at least one denoiser", len(members))
        self.members = tuple(members)

    def __call__(self, x: torch.Tensor, sigma) -> torch.Tensor:
        return sum(member(x, sigma) for member in self.members) / len(self.members)


def validation_loss(denoiser: Denoiser, points: torch.Tensor, num_levels: int, *, generator: torch.Generator) -> float:
    """The training loss, over its own levels, of ``denoiser`` at held-out clean ``points`` (P, d)."""
    levels = torch.logspace(*(math.log10(s) for s in SIGMA_RANGE), num_levels, dtype=points.dtype).tolist()
    with torch.no_grad():
        losses = [denoising_loss(denoiser, points, s, generator=generator).mean() * (1 / s**2 + 1) for s in levels]
    return float(torch.stack(losses).mean())


def cross_validated(
    halves: tuple[dict[int, Denoiser], dict[int, Denoiser]],
    seen: tuple[torch.Tensor, torch.Tensor],
    change: Callable[[Denoiser], Denoiser],
    step: int,
    *,
    num_levels: int,
    generator: torch.Generator,
) -> float:
    """Validation loss of two networks at ``step``, each at the half that the other has seen, after ``change``."""
    pairs = zip(halves, reversed(seen), strict=True)
    return sum(
        validation_loss(change(half[step]), points, num_levels, generator=generator) for half, points in pairs
    ) / len(halves)
