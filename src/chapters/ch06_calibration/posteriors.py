"""Chapter 6: posteriors of many held-out truths, under different priors.

F is linearized once. The posterior under a Gaussian or a mixture of Gaussians is then exact, so that only the prior is
tested. No defaults: sizes come from notebooks/profiles.yml.
"""

from dataclasses import dataclass, replace
from functools import cached_property

import torch

from chapters.ch06_calibration.families import Prior, prior_of, truths_of
from chapters.ch06_calibration.fits import ledoit_wolf_of
from memprior._random import choices, normal
from memprior.denoiser import Denoiser
from memprior.gaussian import Gaussian
from memprior.guidance import covariance_step
from memprior.likelihood import GaussianLikelihood
from memprior.noise import karras_sigmas
from memprior.operators import ForwardOperator
from memprior.paper import Inversion, TrainingSet, published_law
from memprior.sampling import heun_step, sample

SIGMA_RANGE = (0.02, 20.0)  # noise levels of networks and sampler; the widest axis of the data has deviation 7


@dataclass(frozen=True, eq=False)
class LinearSurvey:
    """Noisy data of held-out truths, reduced to 100 numbers each.

    prior: the true prior. response: R of J = Q R, J the Jacobian of F at the published truth, (100, 100). truths: raw
    coefficients (T, 100). data: (T, 100). noise_std: gamma. Data are Q^T (y - F(m)), m the prior's mean: with F
    linearized about m they are R (z - m) plus noise, and the rest of y carries no information on z.
    """

    prior: Prior
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
        return replace(self, truths=self.truths[:num], data=self.data[:num])

    def only(self, index: int) -> "LinearSurvey":
        """One truth and its data."""
        return replace(self, truths=self.truths[index, None], data=self.data[index, None])

    def of(self, truths: torch.Tensor, *, generator: torch.Generator) -> "LinearSurvey":
        """The same survey of other truths (T, 100), with noise of their own."""
        noise = normal(*truths.shape, like=truths, generator=generator)
        return replace(self, truths=truths, data=self.predicted(truths) + self.noise_std * noise)


def linear_survey(inversion: Inversion, family: str, num: int, *, generator: torch.Generator) -> LinearSurvey:
    """The first ``num`` held-out fields of a family, observed by F linearized about the prior's mean."""
    prior = prior_of(family).to(inversion.truth)
    response = torch.linalg.qr(inversion.slope.to(prior.mean), mode="r").R
    truths = truths_of(family, num).to(prior.mean)
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
    truths = truths_of("Gaussian", num).to(prior.mean)
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


def exact_draws(survey: LinearSurvey, prior: Prior, num: int, *, generator: torch.Generator) -> torch.Tensor:
    """``num`` draws for each truth under a prior of raw coefficients that is known, exact: (T, num, 100)."""
    observed = survey.data + survey.prior.mean @ survey.response.T
    return prior.condition(survey.response, observed, survey.noise_std).sample(num, generator=generator)


def ledoit_wolf(training: TrainingSet) -> Gaussian:
    """The Ledoit-Wolf Gaussian of the standardized examples, in those coordinates: shrinkage depends on units."""
    return ledoit_wolf_of(training.standardized)


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
