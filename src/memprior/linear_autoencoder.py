r"""A linear autoencoder is principal component analysis (Baldi and Hornik 1989): its optimum in closed form.

Of examples x (N, d) with mean m, an encoder to k numbers and a decoder, both linear, minimize the mean squared error
of m + (x - m) E^T D^T. With the singular values s_1 >= s_2 >= ... of the centered examples the least error is

.. math:: \frac{1}{N d} \sum_{i > k} s_i^2

and on the span of the examples D E is the projection on the first k right singular vectors; there is no other local
minimum (where s_k > s_{k+1}).
"""

from dataclasses import dataclass

import torch

from memprior._check import expect, expect_points, expect_train_set, expect_whole
from memprior._random import normal


@dataclass(frozen=True, eq=False)
class LinearAutoencoder:
    """What :func:`~memprior.linear_autoencoder.best_linear_autoencoder` found, in float64, for k and every lower size.

    Attributes:
        mean: (d,).
        components: (k, d), orthonormal rows. The first j are the best code of j numbers.
        scales: (k,), root mean square of each number of the code over the examples.
        errors: (k + 1,), mean squared error over examples and coordinates with a code of 0..k numbers.
    """

    mean: torch.Tensor
    components: torch.Tensor
    scales: torch.Tensor
    errors: torch.Tensor

    def encode(self, x: torch.Tensor) -> torch.Tensor:
        """The code (B, k) of x (B, d)."""
        return (x.to(self.mean) - self.mean) @ self.components.T

    def decode(self, code: torch.Tensor) -> torch.Tensor:
        """(B, d) of a code (B, k)."""
        return self.mean + code.to(self.mean) @ self.components

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        return self.decode(self.encode(x))


def best_linear_autoencoder(examples: torch.Tensor, code: int) -> LinearAutoencoder:
    """The optimum on the examples, by one SVD in float64. Where s_k = s_{k+1} other codes do as well.

    Args:
        examples: (N, d).
        code: k, from 0 to d; beyond the rank of the examples more numbers gain nothing.

    Returns:
        Mean, components and the error of every size of the code.

    Raises:
        ValueError: another size, no example, numbers that are not finite.
        TypeError: examples that are no tensor.

    Example:
        >>> import torch
        >>> from memprior.linear_autoencoder import best_linear_autoencoder
        >>> found = best_linear_autoencoder(torch.tensor([[3.0, 0.0], [-3.0, 0.0], [0.0, 1.0], [0.0, -1.0]]), 1)
        >>> found.components.abs(), found.errors
        (tensor([[1., 0.]], dtype=torch.float64), tensor([2.5000, 0.2500], dtype=torch.float64))
    """
    x = _expect_examples(examples, code)
    mean = x.mean(0)
    _, s, vt = torch.linalg.svd(x - mean, full_matrices=len(x) < code)
    squares = x.new_zeros(max(len(s), code))
    squares[: len(s)] = s**2
    # From below: differences of nearly equal sums would lose the small errors.
    beyond = squares.flip(0).cumsum(0).flip(0)
    errors = torch.cat([beyond, beyond.new_zeros(1)])[: code + 1]
    return LinearAutoencoder(mean, vt[:code], (squares[:code] / len(x)).sqrt(), errors / x.numel())


def fit_linear_autoencoder(
    examples: torch.Tensor, code: int, *, generator: torch.Generator, num_steps: int = 500
) -> tuple[torch.Tensor, torch.Tensor]:
    """Encoder (k, d) and decoder (d, k) by descent on the squared error of centered examples, from a random start.

    L-BFGS in float64; the exact answer is not used. The range of D is that of :func:`best_linear_autoencoder` where
    s_k > s_{k+1}, reached the more slowly the nearer these are; the factors are determined up to a change of basis, the
    encoder only on the span of the examples.

    Args:
        examples: (N, d).
        code: k, 1 to d.
        generator: draws the start.
        num_steps: L-BFGS iterations at most.

    Raises:
        ValueError: another size, no example, numbers that are not finite.
        TypeError: examples that are no tensor, no generator.

    Example:
        >>> import torch
        >>> from memprior.linear_autoencoder import fit_linear_autoencoder
        >>> examples = torch.tensor([[3.0, 0.0], [-3.0, 0.0], [0.0, 1.0], [0.0, -1.0]])
        >>> encoder, decoder = fit_linear_autoencoder(examples, 1, generator=torch.Generator().manual_seed(0))
        >>> (decoder @ encoder).round(decimals=6).abs()
        tensor([[1., 0.],
                [0., 0.]], dtype=torch.float64)
    """
    expect_whole("code", code, 1)
    expect_whole("num_steps", num_steps, 1)
    x = _expect_examples(examples, code)
    x = x - x.mean(0)
    size = x.shape[1]
    factors = (normal(2, code, size, like=x, generator=generator) / size**0.5).requires_grad_()
    # In units of the whole error, so that the tolerances are of every scale.
    whole = x.square().sum().clamp_min(torch.finfo(x.dtype).tiny)
    optimizer = torch.optim.LBFGS(
        [factors],
        max_iter=int(num_steps),
        history_size=50,
        tolerance_grad=1e-14,
        tolerance_change=0.0,
        line_search_fn="strong_wolfe",
    )

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        loss = (x @ factors[0].T @ factors[1] - x).square().sum() / whole
        loss.backward()
        return loss

    with torch.enable_grad():
        optimizer.step(closure)
    return factors.detach()[0], factors.detach()[1].T


def principal_angles(first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
    """Angles between the spans of the columns of two matrices (d, k), ascending, in radians, (k,).

    By their sines where these are small (Björck and Golub 1973): arc cosines would lose angles below 1e-8.

    Args:
        first: (d, k) of rank k.
        second: (d, k) of rank k.

    Raises:
        ValueError: shapes or dtypes that differ, more columns than rows, dependent columns, numbers that are not
            finite.
        TypeError: an argument that is no tensor.

    Example:
        >>> import torch
        >>> from memprior.linear_autoencoder import principal_angles
        >>> principal_angles(torch.tensor([[1.0], [0.0]]), torch.tensor([[1.0], [1.0]]))
        tensor([0.7854], dtype=torch.float64)
    """
    bases = []
    for name, matrix in (("first", first), ("second", second)):
        expect_train_set(name, matrix)
        d, k = matrix.shape
        expect(k <= d, name, "at most as many columns as rows", (d, k))
        u, s, _ = torch.linalg.svd(matrix.detach().double(), full_matrices=False)
        full = bool(s[-1] > d * torch.finfo(matrix.dtype).eps * s[0])
        expect(full, name, "independent columns", lambda s=s: f"singular values down to {float(s[-1]):.3g}")
        bases.append(u)
    expect_points("second", second, like=first)
    expect(second.shape == first.shape, "second", f"shape {tuple(first.shape)}", tuple(second.shape))
    a, b = bases
    cosines = torch.linalg.svdvals(a.T @ b).clamp(max=1)
    sines = torch.linalg.svdvals(b - a @ (a.T @ b)).flip(0).clamp(max=1)
    return torch.where(cosines**2 > 0.5, sines.asin(), cosines.acos())


def _expect_examples(examples, code: int) -> torch.Tensor:
    """In float64."""
    expect_train_set("examples", examples)
    expect_whole("code", code, 0)
    expect(code <= examples.shape[1], "code", f"at most {examples.shape[1]}, the coordinates", code)
    return examples.detach().double()
