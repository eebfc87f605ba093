"""Chapter 4: many inverse problems, the truth of each in no training set and in no held-out set, F linearized at it."""

from dataclasses import dataclass, fields

import torch

from memprior._random import generator_for, normal
from memprior.gaussian import Gaussian
from memprior.likelihood import GaussianLikelihood
from memprior.paper import (
    HELD_OUT_SEED,
    TRUTH_SEED,
    Inversion,
    published_coefficients,
    published_inversion,
    published_law,
    tangent,
)


def held_out_draws(num: int) -> torch.Tensor:
    """Raw coefficients (num, 100) of fields that are in no training set, and no truth of :func:`unseen_inversion`."""
    return published_coefficients(num, seed=HELD_OUT_SEED)


def unseen_inversion(index: int, device: torch.device) -> Inversion:
    """The inversion whose truth is that entry of the truths' own stream, with the first draw of its noise."""
    truth = published_coefficients(index + 1, seed=TRUTH_SEED)[index]
    inversion = published_inversion(torch.complex64, device, truth=truth)
    observed = noisy_data(inversion, index, 1)[0]
    likelihood = GaussianLikelihood(inversion.likelihood.forward, observed, inversion.likelihood.noise_std)
    return Inversion(inversion.operator, inversion.guard, inversion.truth, likelihood)


def noisy_data(inversion: Inversion, index: int, num: int) -> torch.Tensor:
    """Data (num, m) of that truth with as many draws of the noise; the first ones are the same for every ``num``."""
    likelihood = inversion.likelihood
    with torch.no_grad():
        clean = likelihood.forward(inversion.truth[None])
    generator = generator_for(f"noise {index}")
    eps = [normal(1, clean.shape[1], like=clean, generator=generator) for _ in range(num)]
    return clean + likelihood.noise_std * torch.cat(eps)


@dataclass(frozen=True, eq=False)
class LinearProblems:
    """K truths, F linearized at each, and D draws of the noise of its data.

    truths: (K, 100). matrices: R of :func:`memprior.paper.tangent`, (K, 100, 100). observed: (K, D, 100).
    noise_stds: (K,). rests: of the misfit, what no model can change, (K, D). num_data: (K,).
    """

    truths: torch.Tensor
    matrices: torch.Tensor
    observed: torch.Tensor
    noise_stds: torch.Tensor
    rests: torch.Tensor
    num_data: torch.Tensor

    @classmethod
    def linearized(cls, first: int, num: int, num_draws: int, device: torch.device) -> "LinearProblems":
        """Of the truths ``first``, ``first + 1``, ...: one Jacobian each."""
        return cls.joined([_problem(index, num_draws, device) for index in range(first, first + num)])

    @classmethod
    def joined(cls, parts: list["LinearProblems"]) -> "LinearProblems":
        """All of them, one after the other."""
        return cls(*(torch.cat([getattr(part, one.name) for part in parts]) for one in fields(cls)))

    def likelihood(self, num_samples: int) -> GaussianLikelihood:
        """That of ``num_samples`` models for each draw of each truth, (K D num_samples, 100) in this order, raw z.

        Data and noise are in units of the noise, and y is taken to the other side: the residuals are what they were.
        """
        forward = _SideBySide(self.matrices, self.observed, self.noise_stds, num_samples)
        return GaussianLikelihood(forward, self.observed.new_zeros(self.observed.shape[2]), 1.0)

    def ideal_posterior(self, truth: int, draw: int) -> Gaussian:
        """Under the true prior, exact."""
        law = published_law().to(self.truths)
        return law.condition(self.matrices[truth], self.observed[truth, draw], float(self.noise_stds[truth]))

    def ideal_samples(self, num: int, *, generator: torch.Generator) -> torch.Tensor:
        """``num`` draws of each of these posteriors, (K, D, num, 100)."""
        numbers = [(k, draw) for k in range(len(self.truths)) for draw in range(self.observed.shape[1])]
        drawn = [self.ideal_posterior(*one).sample(num, generator=generator) for one in numbers]
        return torch.stack(drawn).unflatten(0, (len(self.truths), -1))


def _problem(index: int, num_draws: int, device: torch.device) -> LinearProblems:
    inversion = unseen_inversion(index, device)
    data = noisy_data(inversion, index, num_draws)
    tangents = [tangent(inversion, observed) for observed in data]
    with torch.no_grad():
        whole = (data - inversion.likelihood.forward(inversion.truth[None])).square().sum(1)
        kept = torch.stack([linear.residual(inversion.truth[None])[0] for linear in tangents]).square().sum(1)
    noise_std = inversion.likelihood.noise_std
    return LinearProblems(
        truths=inversion.truth[None],
        matrices=tangents[0].forward.matrix[None],
        observed=torch.stack([linear.observed for linear in tangents])[None],
        noise_stds=inversion.truth.new_tensor([noise_std]),
        rests=(whole - kept)[None] / (2 * noise_std**2),
        num_data=inversion.truth.new_tensor([data.shape[1]]),
    )


@dataclass(frozen=True, eq=False)
class _SideBySide:
    """(R_k z - y_kd) / gamma_k of models (K D S, 100), the k-th truth's D S first to last: (K D S, 100)."""

    matrices: torch.Tensor
    observed: torch.Tensor
    noise_stds: torch.Tensor
    num_samples: int

    def __call__(self, z: torch.Tensor) -> torch.Tensor:
        predicted = z.unflatten(0, (len(self.matrices), -1)) @ self.matrices.mT
        residual = predicted - self.observed.repeat_interleave(self.num_samples, 1)
        return (residual / self.noise_stds[:, None, None]).flatten(0, 1)

    def jacobian(self, z: torch.Tensor) -> torch.Tensor:
        return (self.matrices / self.noise_stds[:, None, None]).repeat_interleave(len(z) // len(self.matrices), 0)
