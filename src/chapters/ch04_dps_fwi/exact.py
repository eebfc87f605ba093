"""Chapter 4: exact references for the samples: the ideal posterior and the exactly memorized posterior."""

from dataclasses import dataclass

import torch

from memprior._random import normal
from memprior.fields import Grid
from memprior.gaussian import Gaussian
from memprior.likelihood import GaussianLikelihood
from memprior.operators import ForwardOperator
from memprior.paper import FREQUENCY_HZ, Inversion, published_acquisition, published_inversion
from memprior.waves.stencil import FivePointOperator


@dataclass(frozen=True, eq=False)
class Weighted:
    """Samples (B, 100) and their normalized weights (B,)."""

    samples: torch.Tensor
    weights: torch.Tensor

    @property
    def effective(self) -> float:
        """Effective sample size, 1 / sum of squared weights."""
        return float(1 / self.weights.square().sum())


def linear_operator(inversion: Inversion) -> ForwardOperator:
    """F(t) + J (z - t) at the truth t, with all data. :func:`memprior.paper.tangent` keeps only the range of J."""
    with torch.no_grad():
        at_truth = inversion.likelihood.forward(inversion.truth[None])
    return lambda z: at_truth + (z - inversion.truth) @ inversion.slope.T


def corrected(
    proposal: Gaussian,
    forward: ForwardOperator,
    linear: ForwardOperator,
    observed: torch.Tensor,
    noise_std: float,
    num: int,
    *,
    generator: torch.Generator,
) -> Weighted:
    """The posterior under the true prior with the nonlinear operator, by importance sampling.

    The proposal is the posterior with F linearized. Both have the same prior, so a weight is the ratio of the two
    likelihoods: one forward solve per sample. The effective sample size cannot reveal modes that the proposal misses.
    """
    z = proposal.sample(num, generator=generator)
    with torch.no_grad():
        exact, proposed = (GaussianLikelihood(f, observed, noise_std).log_prob(z) for f in (forward, linear))
    return Weighted(z, (exact - proposed).softmax(0))


def new_noise(inversion: Inversion, num: int, *, generator: torch.Generator) -> torch.Tensor:
    """Data (num, m) of the same truth with new noise realizations."""
    likelihood = inversion.likelihood
    with torch.no_grad():
        clean = likelihood.forward(inversion.truth[None])
    eps = normal(num, clean.shape[1], like=clean, generator=generator)
    return clean + likelihood.noise_std * eps


def data_misfit(likelihood: GaussianLikelihood, models: torch.Tensor) -> torch.Tensor:
    """|y - F(z)|^2 / (2 gamma^2 m), the misfit per datum of each of ``models`` (B, 100): (B,), by B forward solves."""
    with torch.no_grad():
        squares = torch.cat([likelihood.residual(some).square().sum(1) for some in models.split(16)])
    return squares / (2 * likelihood.noise_std**2 * len(likelihood.observed))


@dataclass(frozen=True, eq=False)
class Lookup:
    """The exactly memorized posterior (paper, Eq. 9).

    misfits: per datum, of each training example, (N,). truth: misfit per datum of the truth. num_data: m.
    The weights are the softmax of -m times the misfits.
    """

    misfits: torch.Tensor
    truth: float
    num_data: int

    @property
    def weights(self) -> torch.Tensor:
        """Posterior weights of the examples, (N,)."""
        return (-self.num_data * self.misfits).softmax(0)

    @property
    def chosen(self) -> int:
        """Index of the most probable example."""
        return int(self.misfits.argmin())

    @property
    def gap(self) -> float:
        """Difference in log weight, in nats, between the most probable example and the next."""
        return self.num_data * float(self.misfits.topk(2, largest=False).values.diff())

    @property
    def ratio(self) -> float:
        """Misfit of the most probable example divided by that of the truth."""
        return float(self.misfits.min()) / self.truth


def stencil_inversion(truth: torch.Tensor) -> GaussianLikelihood:
    """Likelihood of the published experiment with the 5-point stencil of the released code: 200 x 200 cells of 10 m."""
    operator = FivePointOperator(Grid((200, 200), 0.01), published_acquisition(), FREQUENCY_HZ)
    return published_inversion(operator=operator, truth=truth).likelihood
