"""A Gaussian inverse problem in closed form, and the exact moments of a sampler whose steps are affine."""

from itertools import pairwise

import torch
from helpers import MATRIX

from memprior.denoiser import GaussianDenoiser
from memprior.likelihood import GaussianLikelihood
from memprior.operators import MatrixOperator
from memprior.sampling import SamplerState

MEAN = torch.tensor([0.5, -0.3, 0.8], dtype=torch.float64)
COVARIANCE = torch.tensor([[1.2, 0.5, 0.0], [0.5, 0.6, -0.2], [0.0, -0.2, 0.4]], dtype=torch.float64)
NOISE_STD = 0.6
LIKELIHOOD = GaussianLikelihood(
    MatrixOperator(MATRIX), torch.tensor([1.0, 0.0, -0.5, 0.3, 0.2], dtype=torch.float64), NOISE_STD
)
PRIOR = GaussianDenoiser(MEAN, COVARIANCE)


def conditioned(mean, covariance, likelihood=LIKELIHOOD):
    """Mean, covariance and log p(y) for the prior N(mean, covariance) and F(x) = matrix x, by the Kalman gain."""
    matrix, noise = likelihood.forward.matrix, likelihood.noise_std**2
    total = matrix @ covariance @ matrix.T + noise * torch.eye(len(matrix), dtype=torch.float64)
    gain = torch.linalg.solve(total, matrix @ covariance).T
    evidence = torch.distributions.MultivariateNormal(matrix @ mean, total).log_prob(likelihood.observed)
    posterior = covariance - gain @ matrix @ covariance
    return mean + gain @ (likelihood.observed - matrix @ mean), (posterior + posterior.T) / 2, evidence


def noiseless_ancestral(denoiser, x, sigma, sigma_next, *, generator):
    """The mean of `ancestral_step`."""
    denoised = denoiser(x, sigma)
    return SamplerState(denoised + (sigma_next / sigma) ** 2 * (x - denoised), sigma_next, denoised)


def chain_moments(step, denoiser, mean, covariance, sigmas):
    """Mean and covariance at the last level of x' = step(x) + ancestral noise, ``step`` affine in x, from a Gaussian.

    An affine map is known from its values at 0 and at the unit vectors.
    """
    probes = torch.cat([torch.zeros(1, len(mean)), torch.eye(len(mean))]).to(mean)
    for sigma, sigma_next in pairwise(sigmas):
        values = step(denoiser, probes, sigma, sigma_next, generator=None).x
        shift, slope = values[0], (values[1:] - values[0]).T
        mean = slope @ mean + shift
        noise = sigma_next**2 * (1 - (sigma_next / sigma) ** 2)
        covariance = slope @ covariance @ slope.T + noise * torch.eye(len(mean)).to(mean)
    return mean, covariance
