"""The paper's two toy problems, on a line and in the plane."""

import math
from dataclasses import dataclass

import torch

from memprior._check import expect_whole
from memprior.likelihood import GaussianLikelihood
from memprior.mixture import IsotropicMixture
from memprior.operators import CoupledQuadraticOperator, CubicOperator, ForwardOperator

PUBLISHED_SIGMAS = (0.5, 0.3, 0.05)
PUBLISHED_NOISE = 0.3


@dataclass(frozen=True, eq=False)
class Problem:
    """One inverse problem with a memorized prior.

    train_set: (K, d). observed: (m,). noise_std: of each real component.
    """

    forward: ForwardOperator
    train_set: torch.Tensor
    observed: torch.Tensor
    noise_std: float

    @property
    def likelihood(self) -> GaussianLikelihood:
        return GaussianLikelihood(self.forward, self.observed, self.noise_std)

    def prior(self, sigma: float) -> IsotropicMixture:
        return IsotropicMixture(self.train_set, sigma)


def line_problem(device: torch.device) -> Problem:
    """The paper's 1-D problem: F(x) = x + 0.3 x^3, five examples, y = 0 (Fig. 1 a-c).

    Example:
        >>> import torch
        >>> from memprior.paper import line_problem
        >>> line_problem(torch.device("cpu")).train_set.flatten()
        tensor([-1.5000, -0.4000,  0.4000,  1.2000,  2.5000], dtype=torch.float64)
    """
    examples = torch.tensor([-1.5, -0.4, 0.4, 1.2, 2.5], dtype=torch.float64, device=device)
    return Problem(CubicOperator(), examples[:, None], examples.new_zeros(1), PUBLISHED_NOISE)


def pentagon_problem(device: torch.device) -> tuple[Problem, torch.Tensor]:
    """The paper's 2-D problem and its truth, (2,) (Fig. 1 d-f).

    A regular pentagon of radius 2, truth 0.7 x_0, noise-free data.

    Example:
        >>> import torch
        >>> from memprior.paper import pentagon_problem
        >>> problem, truth = pentagon_problem(torch.device("cpu"))
        >>> problem.train_set.shape, truth.tolist()
        (torch.Size([5, 2]), [1.4, 0.0])
    """
    angles = 2 * math.pi / 5 * torch.arange(5, dtype=torch.float64, device=device)
    examples = 2 * torch.stack([angles.cos(), angles.sin()], dim=1)
    truth = 0.7 * examples[0]
    forward = CoupledQuadraticOperator()
    return Problem(forward, examples, forward(truth[None])[0], PUBLISHED_NOISE), truth


def square_grid(low: float, high: float, num: int, dim: int, device: torch.device) -> tuple[torch.Tensor, float]:
    """num^dim points of a uniform grid on [low, high]^dim, (P, dim), and the volume each stands for.

    Example:
        >>> import torch
        >>> from memprior.paper import square_grid
        >>> points, cell = square_grid(-1.0, 1.0, num=3, dim=2, device=torch.device("cpu"))
        >>> points.shape, cell
        (torch.Size([9, 2]), 1.0)
    """
    expect_whole("num", num, 2)
    axis = torch.linspace(low, high, num, dtype=torch.float64, device=device)
    points = torch.cartesian_prod(*[axis] * dim).reshape(-1, dim)
    return points, ((high - low) / (num - 1)) ** dim
