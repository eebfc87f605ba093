"""Chapter 6: posteriors of many held-out truths, under different priors.

F is linearized once. The posterior under a Gaussian or a mixture of Gaussians is then exact, so that only the prior is
tested. No defaults: sizes come from notebooks/profiles.yml.
"""

import math
from dataclasses import dataclass
from functools import cached_property

import torch
from scipy.optimize import minimize_scalar
from sklearn.covariance import LedoitWolf

from memprior._random import choices, normal
from memprior.denoiser import Denoiser
from memprior.gaussian import Gaussian
from memprior.guidance import covariance_step
from memprior.likelihood import GaussianLikelihood
from memprior.noise import karras_sigmas
from memprior.operators import ForwardOperator
from memprior.paper import HELD_OUT_SEED, Inversion, TrainingSet, published_coefficients, published_law
from memprior.sampling import heun_step, sample

MEMORY_WIDTH = 0.01  # of the memorized prior's components, in standardized coordinates
SIGMA_RANGE = (0.02, 20.0)  # noise levels of networks and sampler; the widest axis of the data has deviation 7


@dataclass(frozen=True, eq=False)
class LinearSurvey:
    """Noisy data of held-out truths, reduced to 100 numbers each.

    prior: the true prior. response: R of J = Q R, J the Jacobian of F at the published truth, (100, 100). truths: raw
    coefficients (T, 100). data: (T, 100). noise_std: gamma. Data are Q^T (y - F(m)), m the prior's mean: with F
    linearized about m they are R (z - m) plus noise, and the rest of y carries no information on z.
    """

    prior: Gaussian
    response: torch.Tensor
    truths: torch.Tensor
    data: torch.Tensor
    noise_std: float

    @cached_property
    def deviations(self) -> torch.Tensor:
        """The true prior's standard deviation of each coefficient, (100,)."""
        return self.prior.covariance.diagonal().sqrt()

    @cached_property
    def overall(self) -> torch.Tensor:
        """Root mean square of the deviations, repeated, (100,): errors in this unit are |error| / sqrt(trace)."""
        return self.deviations.square().mean().sqrt().expand_as(self.deviations)

    @cached_property
    def axes(self) -> torch.Tensor:
        """Principal axes of the true prior, (100, 92): those with a variance above 1e-10 of the largest."""
        variances, axes = torch.linalg.eigh(self.prior.covariance)
        return axes[:, variances > 1e-10 * variances.max()]

    def predicted(self, z: torch.Tensor) -> torch.Tensor:
        """R (z - m) of raw coefficients (..., 100)."""
        return (z - self.prior.mean) @ self.response.T

    def first(self, num: int) -> "LinearSurvey":
        """The first ``num`` truths and their data."""
        return LinearSurvey(self.prior, self.response, self.truths[:num], self.data[:num], self.noise_std)


def linear_survey(inversion: Inversion, num: int, *, generator: torch.Generator) -> LinearSurvey:
    """The first ``num`` held-out fields, observed by F linearized about the prior's mean."""
    prior = published_law().to(inversion.truth)
    response = torch.linalg.qr(inversion.slope.to(prior.mean), mode="r").R
    truths = published_coefficients(num, seed=HELD_OUT_SEED).to(prior.mean)
    noise_std = inversion.likelihood.noise_std
    clean = (truths - prior.mean) @ response.T
    return LinearSurvey(
        prior, response, truths, clean + noise_std * normal(*truths.shape, like=truths, generator=generator), noise_std
    )


def nonlinear_survey(
    inversion: Inversion, num: int, *, generator: torch.Generator
) -> tuple[LinearSurvey, ForwardOperator, torch.Tensor]:
    """The same with the nonlinear operator: survey, z -> Q^T (F(z) - F(m)), and the full data y (T, 5880).

    R of the survey is that of the Jacobian at the prior's mean m. y and the survey's data have the same noise.
    """
    prior, likelihood = published_law().to(inversion.truth), inversion.likelihood
    q, response = torch.linalg.qr(likelihood.forward.jacobian(prior.mean[None])[0].detach().to(prior.mean))
    truths = published_coefficients(num, seed=HELD_OUT_SEED).to(prior.mean)
    at_mean = solved(likelihood.forward, prior.mean[None])

    def forward(z):
        return (solved(likelihood.forward, z) - at_mean) @ q

    y = solved(likelihood.forward, truths)
    y = y + likelihood.noise_std * normal(*y.shape, like=y, generator=generator)
    return LinearSurvey(prior, response, truths, (y - at_mean) @ q, likelihood.noise_std), forward, y


def solved(forward: ForwardOperator, z: torch.Tensor) -> torch.Tensor:
    """F of raw models (B, 100), in batches of sixteen and without gradients, (B, m)."""
    with torch.no_grad():
        return torch.cat([forward(some) for some in z.split(16)]).to(z)


def lookup_draws(
    examples: torch.Tensor, predicted: torch.Tensor, y: torch.Tensor, noise_std: float, num: int, *, generator
) -> torch.Tensor:
    """``num`` draws for each truth of the exactly memorized posterior, (T, num, 100).

    predicted: data of the examples, (N, m). y: (T, m). The lookup of chapter 3: one forward solve per example.
    """
    apart = torch.cdist(y, predicted, compute_mode="donot_use_mm_for_euclid_dist") / noise_std
    return examples[choices((-0.5 * apart.square()).softmax(1), num, generator=generator)]


# ---- exact posteriors ------------------------------------------------------------------------------------------------


def gaussian_draws(survey: LinearSurvey, prior: Gaussian, num: int, *, generator: torch.Generator) -> torch.Tensor:
    """``num`` draws for each truth under a Gaussian prior of raw coefficients, exact: (T, num, 100)."""
    observed = survey.data + survey.prior.mean @ survey.response.T
    return prior.condition(survey.response, observed, survey.noise_std).sample(num, generator=generator)


@dataclass(frozen=True, eq=False)
class MixturePosterior:
    """The exact posterior under smoothed training examples (one width), F affine, for all truths.

    All components have the same covariance, so the determinant in their evidences cancels. log_weights: (T, N).
    predicted: data of the examples, (N, 100). gain, factor: of a component in standardized coordinates, (100, 100).
    """

    survey: LinearSurvey
    training: TrainingSet
    log_weights: torch.Tensor
    predicted: torch.Tensor
    gain: torch.Tensor
    factor: torch.Tensor

    @classmethod
    def of(cls, survey: LinearSurvey, training: TrainingSet, width: float) -> "MixturePosterior":
        """Of x_n + width S u, u ~ N(0, I), with S the standardizer's scale."""
        u, known, v = torch.linalg.svd(survey.response * training.standardizer.scale * width)
        # Data of u are U k V^T u plus noise: their covariance is U (k^2 + gamma^2) U^T.
        spread = known.square() + survey.noise_std**2
        predicted = survey.predicted(training.examples)
        white = u / spread.sqrt()
        apart = torch.cdist(survey.data @ white, predicted @ white, compute_mode="donot_use_mm_for_euclid_dist")
        gain = width * (v.T * (known / spread)) @ u.T
        factor = width * v.T * (survey.noise_std / spread.sqrt())
        return cls(survey, training, (-0.5 * apart.square()).log_softmax(1), predicted, gain, factor)

    def draws(self, num: int, *, generator: torch.Generator) -> torch.Tensor:
        """``num`` raw draws for each truth, (T, num, 100)."""
        chosen = choices(self.log_weights.exp(), num, generator=generator)
        left = self.survey.data[:, None] - self.predicted[chosen]
        moved = left @ self.gain.T + normal(*left.shape, like=left, generator=generator) @ self.factor.T
        return self.training.examples[chosen] + self.training.standardizer.scale * moved


def leave_one_out_width(x: torch.Tensor) -> float:
    """The bandwidth h that maximizes the leave-one-out log-likelihood of x (N, d) under kernels N(., h^2 I)."""
    squares = torch.cdist(x, x, compute_mode="donot_use_mm_for_euclid_dist").square().fill_diagonal_(math.inf)

    def loss(log_width):
        return x.shape[1] * log_width - float((-0.5 * squares / math.exp(2 * log_width)).logsumexp(1).mean())

    return math.exp(minimize_scalar(loss, bounds=(math.log(1e-3), math.log(10)), method="bounded").x)


def ledoit_wolf(training: TrainingSet) -> Gaussian:
    """The Ledoit-Wolf Gaussian of the standardized examples, in those coordinates: shrinkage depends on units."""
    return ledoit_wolf_of(training.standardized)


def ledoit_wolf_of(x: torch.Tensor) -> Gaussian:
    """Mean of x (N, d), and covariance shrunk towards a multiple of the identity (ledoit2004well)."""
    return Gaussian(x.mean(0), torch.from_numpy(LedoitWolf().fit(x.cpu().numpy()).covariance_).to(x))


# ---- sampled posteriors ----------------------------------------------------------------------------------------------


def guided_draws(
    survey: LinearSurvey,
    training: TrainingSet,
    denoiser: Denoiser,
    covariance: torch.Tensor,
    num: int,
    num_levels: int,
    *,
    generator: torch.Generator,
) -> torch.Tensor:
    """``num`` raw draws for each truth by `guidance.covariance_step`, (T, num, 100): one call of D per step.

    denoiser, covariance: of a prior in the coordinates of ``training``. The samples of all truths are one batch: each
    truth's data are subtracted in the operator, whose observed data are 0.
    """
    scale = training.standardizer.scale
    data = survey.data.repeat_interleave(num, 0)

    def misfit(x):
        return survey.predicted(training.standardizer.restore(x)) - data

    likelihood = GaussianLikelihood(misfit, torch.zeros_like(survey.data[0]), survey.noise_std)
    step = covariance_step(likelihood, covariance, survey.response * scale)
    x = SIGMA_RANGE[1] * normal(*data.shape, like=data, generator=generator)
    with torch.no_grad():
        x = sample(denoiser, x, karras_sigmas(num_levels, *SIGMA_RANGE), step=step, generator=generator)
    return training.standardizer.restore(x).unflatten(0, (-1, num))


def prior_draws(denoiser: Denoiser, noise: torch.Tensor, num_levels: int, *, generator: torch.Generator):
    """Prior samples by the probability-flow ODE from standard normal ``noise`` (B, d), scaled to the highest level."""
    with torch.no_grad():
        levels = karras_sigmas(num_levels, *SIGMA_RANGE)
        return sample(denoiser, SIGMA_RANGE[1] * noise, levels, step=heun_step, generator=generator)
