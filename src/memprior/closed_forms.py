"""How far a denoiser is from the two closed forms: the empirical prior's, and the true prior's."""

from dataclasses import dataclass

import torch

from memprior.denoiser import Denoiser, EmpiricalDenoiser, GaussianDenoiser
from memprior.gaussian import Gaussian
from memprior.noise import perturb


@dataclass(frozen=True, eq=False)
class Priors:
    """A training set (N, d), the distribution it was drawn from, held-out draws (M, d) of it, and both denoisers.

    Example:
        >>> distribution = Gaussian(torch.zeros(2), torch.eye(2))
        >>> priors = Priors(torch.eye(2), torch.ones(1, 2), distribution)
        >>> priors.true(torch.ones(1, 2), sigma=1.0)  # half-way to the mean
        tensor([[0.5000, 0.5000]])
        >>> priors.empirical(torch.tensor([[0.0, 1.0]]), sigma=0.1)  # the nearest example
        tensor([[0., 1.]])
    """

    train_set: torch.Tensor
    held_out: torch.Tensor
    distribution: Gaussian

    @property
    def empirical(self) -> EmpiricalDenoiser:
        return EmpiricalDenoiser(self.train_set)

    @property
    def true(self) -> GaussianDenoiser:
        return GaussianDenoiser(self.distribution.mean, self.distribution.covariance)


@dataclass(frozen=True, eq=False)
class ClosedFormReference:
    """Noised inputs (S, P, d) at levels sigmas (S,), and what each closed form makes of them."""

    sigmas: torch.Tensor
    inputs: torch.Tensor
    empirical: torch.Tensor
    true: torch.Tensor

    def squares(self, denoiser: Denoiser) -> torch.Tensor:
        """Mean squared D - D_emp, D - D_true, D_emp - D_true and D_emp at each level, (S, 4)."""
        with torch.no_grad():
            made = torch.stack([denoiser(x, float(s)) for x, s in zip(self.inputs, self.sigmas, strict=True)])
        apart = (made - self.empirical, made - self.true, self.empirical - self.true, self.empirical)
        return torch.stack([gap.square().mean((1, 2)) for gap in apart], 1)


def closed_form_reference(
    priors: Priors, points: torch.Tensor, sigmas: torch.Tensor, *, num_inputs: int, generator: torch.Generator
) -> ClosedFormReference:
    """``num_inputs`` clean points, in turn, noised afresh at each level.

    Example:
        >>> import torch
        >>> from memprior.closed_forms import Priors, closed_form_reference
        >>> from memprior.gaussian import Gaussian
        >>> generator, true = torch.Generator().manual_seed(0), Gaussian(torch.zeros(2), torch.eye(2))
        >>> priors = Priors(true.sample(10, generator=generator), true.sample(10, generator=generator), true)
        >>> levels = torch.tensor([0.1, 1.0])
        >>> reference = closed_form_reference(priors, priors.train_set, levels, num_inputs=20, generator=generator)
        >>> reference.squares(priors.empirical)[:, 0]  # mean squared D - D_emp
        tensor([0., 0.])
    """
    clean = points.repeat(-(-num_inputs // len(points)), 1)[:num_inputs]
    inputs = torch.stack([perturb(clean, s, generator=generator) for s in sigmas.tolist()])
    forms = priors.empirical, priors.true
    both = [torch.stack([d(x, float(s)) for x, s in zip(inputs, sigmas, strict=True)]) for d in forms]
    return ClosedFormReference(sigmas, inputs, *both)


def relative_distances(squares: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """a, b: distance to the empirical and to the true form, in units of the distance between the two.

    squares: (..., 3 or more), mean squares or sums of them. a + b >= 1 by the triangle inequality.

    Example:
        >>> import torch
        >>> from memprior.closed_forms import relative_distances
        >>> relative_distances(torch.tensor([0.0, 4.0, 4.0]))  # on the empirical form
        (tensor(0.), tensor(1.))
    """
    return (squares[..., 0] / squares[..., 2]).sqrt(), (squares[..., 1] / squares[..., 2]).sqrt()
