"""Chapter 1: six families of densities, each fitted to the same points by maximum likelihood or score matching.

Every family is evaluated as a model of x + h eps, with eps ~ N(0, I) and the same bandwidth floor h for all: without a
floor the likelihoods have no maximum. No distribution has a higher mean log-likelihood at noised training examples than
their own distribution p_h, and the difference to it is a Kullback-Leibler divergence.
"""

import math
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Lock

import torch
import zuko
from scipy.optimize import minimize_scalar
from sklearn.mixture import GaussianMixture as EmMixture

from memprior._check import expect, expect_positive, expect_train_set
from memprior._random import integers, normal
from memprior.denoiser import Denoiser, NetworkDenoiser
from memprior.mixture import IsotropicMixture
from memprior.networks import ResidualMLP, VariationalAutoencoder
from memprior.noise import karras_sigmas, perturb
from memprior.sampling import log_likelihood, sample
from memprior.training import TrainingPlan, snapshots

REACH = 5.0  # of zuko's splines, to either side of zero
LEVELS = 32  # noise levels of a probability-flow ODE
_ONE_AT_A_TIME = Lock()  # of those who seed the global generator


@dataclass(frozen=True, eq=False)
class Density:
    """A fitted distribution of x (d,).

    log_prob: x (B, d) -> (B,), or a lower bound of it. sample: number -> (number, d). Both take a ``generator``, which
    an exact log_prob does not use. kind: "exact", "bound" or "flow ODE".
    """

    log_prob: Callable[..., torch.Tensor]
    sample: Callable[..., torch.Tensor]
    kind: str


def fit_gaussian(train_set: torch.Tensor, floor: float) -> Density:
    """Mean and covariance of the examples, no variance below floor^2: with N <= d the likelihood diverges here too."""
    mean, away = train_set.mean(0), train_set - train_set.mean(0)
    variances, axes = torch.linalg.eigh(away.T @ away / len(train_set))
    law = torch.distributions.MultivariateNormal(mean, (axes * variances.clamp(min=floor**2)) @ axes.T)
    factor = law.scale_tril

    def draw(num, *, generator):
        return mean + normal(num, len(mean), like=mean, generator=generator) @ factor.T

    return Density(lambda x, *, generator: law.log_prob(x), draw, "exact")


def fit_kernel(train_set: torch.Tensor, floor: float, *, leave_one_out: bool = False) -> Density:
    """A kernel density whose bandwidth, at least ``floor``, maximizes its training or its leave-one-out likelihood."""
    return exact(IsotropicMixture(train_set, best_bandwidth(train_set, floor, leave_one_out=leave_one_out)))


def exact(mixture: IsotropicMixture) -> Density:
    """A mixture as a density of this file."""
    return Density(lambda x, *, generator: mixture.log_prob(x), mixture.sample, "exact")


def best_bandwidth(train_set: torch.Tensor, floor: float, *, leave_one_out: bool) -> float:
    """The bandwidth, from ``floor`` to the spread of the examples (N, d), that maximizes their likelihood.

    With each example's own kernel counted; without it for ``leave_one_out``.
    """
    expect_train_set("train_set", train_set)
    expect_positive("floor", floor)
    expect(len(train_set) > leave_one_out, "train_set", "two examples to leave one out", len(train_set))
    squares = torch.cdist(train_set, train_set, compute_mode="donot_use_mm_for_euclid_dist").square()
    if leave_one_out:
        squares.fill_diagonal_(math.inf)

    def loss(log_bandwidth: float) -> float:
        log_kernels = -squares / (2 * math.exp(2 * log_bandwidth)) - train_set.shape[1] * log_bandwidth
        return -float(log_kernels.logsumexp(1).mean())

    # The likelihood may have a local maximum away from the floor: search a grid, then refine.
    widest = max(2 * floor, float(train_set.std(0, correction=0).max()))
    grid = torch.linspace(math.log(floor), math.log(widest), 60).tolist()
    best = min(grid, key=loss)
    if best == grid[0]:
        return floor
    step = grid[1] - grid[0]
    return math.exp(minimize_scalar(loss, bounds=(best - step, best + step), method="bounded").x)


def fit_mixture(
    train_set: torch.Tensor, floor: float, *, num_components: int, shape: str, generator: torch.Generator
) -> Density:
    """A Gaussian mixture by expectation maximization (scikit-learn), variances raised by floor^2.

    shape: "full" or "diag", of its covariances.
    """
    seeds = integers(2**31, 2, like=train_set, generator=generator).tolist()
    model = EmMixture(
        num_components, covariance_type=shape, reg_covar=floor**2, random_state=seeds[0], max_iter=200, tol=1e-4
    ).fit(train_set.cpu().numpy())

    def draw(num, *, generator):
        model.set_params(random_state=_seed(generator))
        return torch.from_numpy(model.sample(num)[0]).to(train_set)

    def log_prob(x, *, generator):
        return torch.from_numpy(model.score_samples(x.cpu().numpy())).to(x)

    return Density(log_prob, draw, "exact")


@dataclass(frozen=True)
class GradientPlan:
    """How the flow and the autoencoder are fitted.

    num_steps, batch_size, learning_rate: of Adam. width: of their networks.
    """

    num_steps: int
    batch_size: int
    learning_rate: float
    width: int


def fit_flow(
    train_set: torch.Tensor, floor: float, plan: GradientPlan, steps: list[int], *, generator: torch.Generator
) -> Iterator[tuple[int, Density]]:
    """A normalizing flow, rational-quadratic splines in coupling layers (zuko), on freshly noised examples.

    The splines act between -5 and 5 and are the identity beyond. Examples outside, such as velocities in m/s, are
    centered and divided by their largest standard deviation; warns if some are outside even so.
    """
    center, scale = _fitting_splines(train_set)
    with _seeded(generator):
        flow = zuko.flows.NSF(train_set.shape[1], bins=6, transforms=3, hidden_features=[plan.width] * 2, passes=2)
    flow = flow.to(train_set.device, torch.float32)

    def draw(num, *, generator):
        law, own = flow(), torch.Generator().manual_seed(_seed(generator))
        with torch.no_grad():  # its own way of sampling would draw on the flow's device
            z = normal(num, train_set.shape[1], like=train_set, dtype=torch.float32, generator=own)
            return center + scale * law.transform.inv(z).to(train_set)

    def log_prob(x, *, generator):
        with torch.no_grad():
            return flow().log_prob(((x - center) / scale).float()).to(x) - x.shape[1] * math.log(scale)

    def gain(x):
        return flow().log_prob(perturb(x, floor / scale, generator=generator))

    density = Density(log_prob, draw, "exact")
    for step in _climb(flow, gain, ((train_set - center) / scale).float(), plan, steps, generator):
        yield step, density


def _fitting_splines(train_set: torch.Tensor) -> tuple[torch.Tensor, float]:
    """Shift (d,) and scale that bring examples (N, d) into the range of the splines; 0 and 1 if they are inside."""
    if float(train_set.abs().max()) <= REACH:
        return train_set.new_zeros(train_set.shape[1]), 1.0
    center = train_set.mean(0)
    scale = float(train_set.std(0, correction=0).max()) or 1.0
    farthest = float((train_set - center).abs().max()) / scale
    if farthest > REACH:
        warnings.warn(
            f"train_set: expected examples within {REACH:g} deviations of their mean, where the flow's splines bend, "
            f"got {farthest:.3g}: it is the identity out there",
            stacklevel=3,
        )
    return center, scale


def fit_autoencoder(
    train_set: torch.Tensor, floor: float, plan: GradientPlan, steps: list[int], *, generator: torch.Generator
) -> Iterator[tuple[int, Density]]:
    """A variational autoencoder by its evidence bound; its log_prob is the importance-weighted bound of 64 draws."""
    size = train_set.shape[1]
    model = VariationalAutoencoder(size, min(size, 8), plan.width, floor, generator=generator, device=train_set.device)

    def draw(num, *, generator):
        with torch.no_grad():
            return model.sample(num, generator=generator).to(train_set)

    def log_prob(x, *, generator):
        with torch.no_grad():
            parts = [model.log_prob_bound(part, 64, generator=generator) for part in x.float().split(256)]
        return torch.cat(parts).to(x)

    def gain(x):
        return model.log_prob_bound(perturb(x, floor, generator=generator), 1, generator=generator)

    density = Density(log_prob, draw, "bound")
    for step in _climb(model, gain, train_set.float(), plan, steps, generator):
        yield step, density


def fit_diffusion(
    train_set: torch.Tensor,
    plan: TrainingPlan,
    steps: list[int],
    *,
    width: int,
    depth: int,
    generator: torch.Generator,
    folder=None,
) -> Iterator[tuple[int, Density, NetworkDenoiser]]:
    """A denoiser by score matching, down to the floor plan.sigma_min, with the density of its probability-flow ODE."""
    network = ResidualMLP(train_set.shape[1], width, depth, generator=generator, device=train_set.device)
    denoiser = NetworkDenoiser(network, float(train_set.square().mean().sqrt()))
    passed = snapshots(denoiser, train_set, plan, steps, generator=generator, folder=folder)
    for step, average in passed:
        yield step, diffusion_density(average, plan, train_set), average


def diffusion_density(
    denoiser: Denoiser, plan: TrainingPlan, like: torch.Tensor, *, num_levels: int = LEVELS
) -> Density:
    """The density of a denoiser's probability-flow ODE, over the levels it was trained at, down to the floor.

    Beyond 10 dimensions the divergence in log_prob is estimated from one random sign vector per step.
    """
    levels = karras_sigmas(num_levels, plan.sigma_min, plan.sigma_max, rho=20.0)[:-1]  # nearly geometric

    def draw(num, *, generator):
        start = normal(num, like.shape[1], like=like, generator=generator)
        with torch.no_grad():
            return sample(denoiser, plan.sigma_max * start, levels, generator=generator)

    def log_prob(x, *, generator):
        probes = None if like.shape[1] <= 10 else 1
        return log_likelihood(denoiser, x, levels, num_probes=probes, generator=generator)

    return Density(log_prob, draw, "flow ODE")


def _climb(model, gain, train_set, plan, steps, generator) -> Iterator[int]:
    """Adam on the mean of ``gain(batch)``; yields at each of ``steps``."""
    good = steps == sorted(set(steps)) and steps and steps[0] >= 1 and steps[-1] <= plan.num_steps
    expect(good, "steps", f"ascending steps from 1 to {plan.num_steps}", steps)
    optimizer = torch.optim.Adam(model.parameters(), lr=plan.learning_rate, fused=True)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, plan.num_steps, 0.1 * plan.learning_rate)
    for step in range(1, steps[-1] + 1):
        chosen = integers(len(train_set), plan.batch_size, like=train_set, generator=generator)
        optimizer.zero_grad()
        (-gain(train_set[chosen]).mean()).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 10.0)  # a spline can be very steep for one batch
        optimizer.step()
        schedule.step()
        if step in steps:
            yield step


@contextmanager
def _seeded(generator: torch.Generator):
    """Seeds the CPU's global generator, for a library that uses no other, and restores it afterwards."""
    with _ONE_AT_A_TIME, torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(_seed(generator))
        yield


def _seed(generator: torch.Generator) -> int:
    return int(torch.randint(2**31, (1,), generator=generator, device=generator.device))
