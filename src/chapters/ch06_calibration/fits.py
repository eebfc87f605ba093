"""Chapter 6: priors in closed form that are fitted to N examples, raw (N, 100) -> a prior of raw coefficients.

All are fitted in the coordinates standardized by their examples, where a kernel's width and a shrinkage have a meaning.
"""

import math
from collections.abc import Callable
from functools import partial

import torch
from scipy.optimize import minimize_scalar
from sklearn.covariance import LedoitWolf

from chapters.ch06_calibration.families import Prior
from memprior._check import expect
from memprior.fields import Standardizer
from memprior.gaussian import Gaussian
from memprior.mixture import TiedMixture

MEMORY_WIDTH = 0.01  # of the memorized prior's components, in standardized coordinates
FOLDS, WIDTHS = 25, [k / 20 for k in range(2, 21)]  # for the width of shaped kernels
Fit = Callable[[torch.Tensor], Prior]


def kernels(examples: torch.Tensor, width: float) -> TiedMixture:
    """The examples, each smoothed to one width along every standardized coordinate."""
    standardizer = Standardizer.fit(examples)
    x = standardizer.normalize(examples)
    isotropic = torch.eye(x.shape[1], dtype=x.dtype, device=x.device) * width**2
    return TiedMixture(Gaussian(x, isotropic)).restored(standardizer)


def memorized(examples: torch.Tensor) -> TiedMixture:
    """The exactly memorized prior, but for a width of :data:`MEMORY_WIDTH`."""
    return kernels(examples, MEMORY_WIDTH)


def smoothed(examples: torch.Tensor) -> TiedMixture:
    """Kernels of the width that :func:`leave_one_out_width` chooses."""
    return kernels(examples, leave_one_out_width(Standardizer.fit(examples).normalize(examples)))


def ledoit_wolf(examples: torch.Tensor) -> Gaussian:
    """The Gaussian of their mean and shrunk covariance."""
    standardizer = Standardizer.fit(examples)
    return ledoit_wolf_of(standardizer.normalize(examples)).restored(standardizer)


def shaped_kernels(examples: torch.Tensor, width: float | None = None) -> TiedMixture:
    r"""Kernels in the shape of the Ledoit-Wolf covariance, about examples that are drawn towards their mean.

    .. math:: \frac1N \sum_n N\bigl(\bar x + \sqrt{1 - h^2}\,(x_n - \bar x),\; h^2 C\bigr)

    h -> 0 is the memorized prior, h = 1 the Gaussian; mean and covariance stay what they are (liu2001combined). width:
    h, by default that of :func:`shaped_width`.
    """
    standardizer = Standardizer.fit(examples)
    x = standardizer.normalize(examples)
    h = shaped_width(x) if width is None else width
    return _shaped(x, ledoit_wolf_of(x), h).restored(standardizer)


def ledoit_wolf_of(x: torch.Tensor) -> Gaussian:
    """Mean of x (N, d), and covariance shrunk towards a multiple of the identity (ledoit2004well)."""
    return Gaussian(x.mean(0), torch.from_numpy(LedoitWolf().fit(x.cpu().numpy()).covariance_).to(x))


def leave_one_out_width(x: torch.Tensor) -> float:
    """The bandwidth h that maximizes the leave-one-out log-likelihood of x (N, d) under kernels N(., h^2 I)."""
    squares = torch.cdist(x, x, compute_mode="donot_use_mm_for_euclid_dist").square().fill_diagonal_(math.inf)

    def loss(log_width):
        return x.shape[1] * log_width - float((-0.5 * squares / math.exp(2 * log_width)).logsumexp(1).mean())

    return math.exp(minimize_scalar(loss, bounds=(math.log(1e-3), math.log(10)), method="bounded").x)


def shaped_width(x: torch.Tensor) -> float:
    """Of :data:`WIDTHS` the h of :func:`shaped_kernels` under which left-out folds of x (N, d) are likeliest.

    Mean and covariance are those of the other folds.
    """
    expect(len(x) >= 2 * FOLDS, "x", f"at least {2 * FOLDS} examples", len(x))
    gained = torch.zeros(len(WIDTHS), dtype=torch.float64)
    fold = torch.arange(len(x), device=x.device) % FOLDS
    for k in range(FOLDS):
        rest, out = x[fold != k], x[fold == k]
        fitted = ledoit_wolf_of(rest)
        white = fitted.axes / fitted.variances.sqrt()
        out, away = (out - fitted.mean) @ white, (rest - fitted.mean) @ white
        for j, h in enumerate(WIDTHS):
            apart = torch.cdist(out / h, math.sqrt(1 - h * h) / h * away)
            gained[j] += float((-0.5 * apart.square()).logsumexp(1).sum()) - len(out) * x.shape[1] * math.log(h)
            gained[j] -= len(out) * (float(fitted.variances.log().sum()) / 2 + math.log(len(rest)))
    return WIDTHS[int(gained.argmax())]


def _shaped(x: torch.Tensor, fitted: Gaussian, h: float) -> TiedMixture:
    means = fitted.mean + math.sqrt(1 - h * h) * (x - fitted.mean)
    return TiedMixture(Gaussian(means, h * h * fitted.covariance))


FITS: dict[str, Fit] = {
    "memorized": memorized,
    "smoothed": smoothed,
    "Ledoit-Wolf": ledoit_wolf,
    "shaped kernels": shaped_kernels,
}


def with_its_width(name: str, examples: torch.Tensor) -> Fit:
    """The fit of this name with the width that all examples choose: for fits to all of them but one."""
    x = Standardizer.fit(examples).normalize(examples)
    if name == "smoothed":
        return partial(kernels, width=leave_one_out_width(x))
    return partial(shaped_kernels, width=shaped_width(x)) if name == "shaped kernels" else FITS[name]
