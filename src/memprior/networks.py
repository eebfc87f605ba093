"""Plain networks: tensors in, tensors out. They know no diffusion and no likelihood beyond their own.

Every weight is drawn from the ``generator`` that the caller gives: a network is the same whatever was drawn before. It
lies on ``device``, by default the generator's; the weights are the same on every one.
"""

import math

import torch
from torch import nn
from torch.nn.utils import skip_init

from memprior._check import expect, expect_points, expect_positive, expect_whole
from memprior._random import normal

FREQUENCIES = 16  # sines and cosines that a network sees of its condition


class ResidualMLP(nn.Module):
    """Residual blocks of ``width`` on x (B, d) and one condition c (B,) a member; returns (B, d).

    h = W [x, sin(f c), cos(f c)]; h <- h + B silu(A layernorm(h)), ``depth`` times; then W' layernorm(h), W' = 0 at
    first. The released network has depth 12, width 2048. Raises ``ValueError`` for sizes < 1 and for x or c of another
    shape.

    Example:
        >>> import torch
        >>> from memprior.networks import ResidualMLP
        >>> network = ResidualMLP(size=2, width=16, depth=1, generator=torch.Generator().manual_seed(0))
        >>> network(torch.ones(3, 2), torch.zeros(3)).shape
        torch.Size([3, 2])
    """

    frequencies: torch.Tensor

    def __init__(
        self, size: int, width: int, depth: int, *, generator: torch.Generator, dtype=torch.float32, device=None
    ):
        super().__init__()
        for name, value in (("size", size), ("width", width), ("depth", depth)):
            expect_whole(name, value, 1)
        kind = {"generator": generator, "dtype": dtype}
        self.size = size
        self.enter = _linear(size + 2 * FREQUENCIES, width, **kind)
        self.blocks = nn.ModuleList(
            nn.Sequential(
                nn.LayerNorm(width, dtype=dtype, device=generator.device),
                _linear(width, width, **kind),
                nn.SiLU(),
                _linear(width, width, **kind),
            )
            for _ in range(depth)
        )
        last = _linear(width, size, **kind)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)
        self.leave = nn.Sequential(nn.LayerNorm(width, dtype=dtype, device=generator.device), last)
        frequencies = torch.logspace(-1, 0.7, FREQUENCIES, dtype=dtype, device=generator.device)
        self.register_buffer("frequencies", frequencies, persistent=False)
        self.to(device)

    def forward(self, x: torch.Tensor, condition: torch.Tensor) -> torch.Tensor:
        expect_points("x", x, size=self.size)
        expect(condition.shape == x.shape[:1], "condition", f"shape ({len(x)},)", tuple(condition.shape))
        phase = condition[:, None] * self.frequencies
        hidden = self.enter(torch.cat([x, phase.sin(), phase.cos()], 1))
        for block in self.blocks:
            hidden = hidden + block(hidden)
        return self.leave(hidden)


class VariationalAutoencoder(nn.Module):
    """p(x) = int N(x; m(u), s(u)^2) N(u; 0, I) du, with m, log s of the decoder and a Gaussian encoder q(u | x).

    Its likelihood is bounded below by the encoder (Kingma and Welling's bound). Each decoder deviation is at least
    ``floor``: without a floor the bound has no maximum, like every likelihood of chapter 1.

    Example:
        >>> import torch
        >>> from memprior.networks import VariationalAutoencoder
        >>> generator = torch.Generator().manual_seed(0)
        >>> model = VariationalAutoencoder(2, latent=1, width=8, floor=0.1, generator=generator)
        >>> model.sample(3, generator=generator).shape
        torch.Size([3, 2])
        >>> model.log_prob_bound(torch.zeros(3, 2), 4, generator=generator).shape
        torch.Size([3])
    """

    def __init__(
        self,
        size: int,
        latent: int,
        width: int,
        floor: float,
        *,
        generator: torch.Generator,
        dtype=torch.float32,
        device=None,
    ):
        super().__init__()
        for name, value in (("size", size), ("latent", latent), ("width", width)):
            expect_whole(name, value, 1)
        expect_positive("floor", floor)
        self.size, self.latent, self.floor = size, latent, floor
        self.encoder, self.decoder = (
            nn.Sequential(
                _linear(inner, width, generator=generator, dtype=dtype),
                nn.SiLU(),
                _linear(width, width, generator=generator, dtype=dtype),
                nn.SiLU(),
                _linear(width, 2 * outer, generator=generator, dtype=dtype),
            )
            for inner, outer in ((size, latent), (latent, size))
        )
        self.to(device)

    def log_prob_bound(self, x: torch.Tensor, num_draws: int, *, generator: torch.Generator) -> torch.Tensor:
        """A lower bound, in expectation, of log p(x) (B,).

        log of the mean over ``num_draws`` draws u of p(x, u) / q(u | x): the evidence bound for one draw, and the
        importance-weighted one, which is tighter, for more (Burda, Grosse and Salakhutdinov).
        """
        expect_points("x", x, size=self.size)
        expect_whole("num_draws", num_draws, 1)
        center, log_scale = self.encoder(x).chunk(2, 1)
        eps = normal(num_draws, *center.shape, like=x, generator=generator)
        code = center + log_scale.exp() * eps
        mean, deviation = self.decode(code)
        joint = _log_normal((x - mean) / deviation, deviation.log()) + _log_normal(code, torch.zeros_like(code))
        return (joint - _log_normal(eps, log_scale.expand_as(eps))).logsumexp(0) - math.log(num_draws)

    def decode(self, code: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Mean and standard deviation of x given the code (..., latent), each (..., d)."""
        mean, raw = self.decoder(code).chunk(2, -1)
        return mean, self.floor + nn.functional.softplus(raw)

    def sample(self, num: int, *, generator: torch.Generator) -> torch.Tensor:
        """``num`` draws, (num, d): a code, then a Gaussian around what it decodes to."""
        expect_whole("num", num, 1)
        like = next(self.parameters())
        mean, deviation = self.decode(normal(num, self.latent, like=like, generator=generator))
        return mean + deviation * normal(*mean.shape, like=mean, generator=generator)


def _log_normal(standardized: torch.Tensor, log_scale: torch.Tensor) -> torch.Tensor:
    """log density, over the last axis, of N(., scale^2) at ``standardized`` deviations from the mean."""
    return -(0.5 * standardized**2 + log_scale + 0.5 * math.log(2 * math.pi)).sum(-1)


def _linear(inner: int, outer: int, *, generator: torch.Generator, dtype) -> nn.Linear:
    """torch's default initialization of a linear layer, from ``generator``."""
    layer = skip_init(nn.Linear, inner, outer, dtype=dtype, device=generator.device)
    bound = 1 / math.sqrt(inner)
    nn.init.uniform_(layer.weight, -bound, bound, generator=generator)
    nn.init.uniform_(layer.bias, -bound, bound, generator=generator)
    return layer
