r"""Dreams: gradient ascent on a section of what a network's layer, or one of its classes, responds to.

.. math:: x \leftarrow H\bigl(x + \eta\, |x|\, S g / |S g|\bigr), \qquad g = \nabla_x L(x)

x: a section (H, W), time first. L: the objective, one value for each section. S: Gaussian smoothing. H: what is held,
the root mean square of every trace, the norm of the whole section, or nothing. The gradient is normalized section by
section: a batch equals its members. "Inceptionism" (Mordvintsev, Olah and Tyka 2015) ascends a layer's L2 norm,
with jitter and octaves. For a linear layer it is a power iteration, as the book's page on dreams proves.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import nn

from memprior._check import expect, expect_finite, expect_tensor, expect_whole, positive_number
from memprior._random import float64_on, integers

Objective = Callable[[torch.Tensor], torch.Tensor]
Projection = Callable[[torch.Tensor], torch.Tensor]
HOLDS = ("trace", "section", "nothing")
_BISECTIONS = 64  # of 120 natural logarithms of the multiplier: to the last bit


# ---- objectives ----------------------------------------------------------------------------------------------------


class _Reached(Exception):
    """The layer that is asked for has answered: what comes after it need not run."""


def layer_output(network: nn.Module, layer: str, sections: torch.Tensor) -> torch.Tensor:
    """What the submodule named ``layer`` puts out when ``network`` is given ``sections``, (B, ...).

    ``ValueError`` for a name that no submodule has, and for one that is not reached.
    """
    modules = dict(network.named_modules())
    expect(layer in modules and layer != "", "layer", f"one of {[name for name in modules if name]}", repr(layer))
    found: list[torch.Tensor] = []

    def keep(_, __, output):
        found.append(output)
        raise _Reached

    handle = modules[layer].register_forward_hook(keep)
    try:
        network(sections)
    except _Reached:
        pass
    finally:
        handle.remove()
    expect(found, "layer", "a submodule that the network runs", repr(layer))
    return found[0]


def layer_norm_objective(network: nn.Module, layer: str, *, channel: int | None = None) -> Objective:
    """Sections (B, ...) -> L2 norm of a layer's output, (B,): of all its channels, or of one.

    ``ValueError`` for a layer that the network has not, and for one in training mode whose outputs depend on the other
    sections of a batch or on chance.

    Example:
        >>> import torch
        >>> from memprior.dreaming import layer_norm_objective
        >>> network = torch.nn.Sequential(torch.nn.Identity(), torch.nn.Flatten())
        >>> layer_norm_objective(network, "0")(torch.ones(2, 8, 8)).tolist()
        [8.0, 8.0]
    """
    _expect_settled(network)
    expect(layer in dict(network.named_modules()) and layer != "", "layer", "the name of a submodule", repr(layer))
    if channel is not None:
        expect_whole("channel", channel, 0)

    def objective(sections: torch.Tensor) -> torch.Tensor:
        output = layer_output(network, layer, sections)
        if channel is not None:
            expect(channel < output.shape[1], "channel", f"below {output.shape[1]}", channel)
            output = output[:, channel]
        return output.flatten(1).norm(dim=1)

    return objective


def logit_objective(network: nn.Module, label: int) -> Objective:
    """Sections (B, ...) -> the logit of a class, (B,), of a network that puts out logits (B, C).

    Example:
        >>> import torch
        >>> from memprior.dreaming import logit_objective
        >>> logit_objective(torch.nn.Flatten(), 3)(torch.arange(4.0).reshape(1, 2, 2)).tolist()
        [3.0]
    """
    _expect_settled(network)
    expect_whole("label", label, 0)

    def objective(sections: torch.Tensor) -> torch.Tensor:
        logits = network(sections)
        expect(logits.ndim == 2, "network", "logits (B, C)", tuple(logits.shape))
        expect(label < logits.shape[1], "label", f"below {logits.shape[1]}", label)
        return logits[:, label]

    return objective


def linearized_norm_objective(network: nn.Module, layer: str, at: torch.Tensor) -> Objective:
    """Sections (B, ...) -> L2 norm of f(at) + J (x - at), (B,): J the derivative of a layer's output f at ``at``.

    Its first gradient is that of :func:`layer_norm_objective`; for a layer that is linear they are one function.
    """
    _expect_settled(network)

    def output(x: torch.Tensor) -> torch.Tensor:
        return layer_output(network, layer, x)

    def objective(sections: torch.Tensor) -> torch.Tensor:
        expect(sections.shape == at.shape, "sections", f"the shape of at, {tuple(at.shape)}", tuple(sections.shape))
        value, moved, *_ = torch.func.jvp(output, (at,), (sections - at,))
        return (value + moved).flatten(1).norm(dim=1)

    return objective


def _expect_settled(network: nn.Module) -> None:
    kinds = nn.modules.batchnorm._BatchNorm, nn.modules.dropout._DropoutNd
    moving = [name for name, layer in network.named_modules() if isinstance(layer, kinds) and layer.training]
    expect(not moving, "network", "evaluation mode: batch normalization or dropout would mix sections", moving[:3])


# ---- the ascent ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class DreamPlan:
    """num_steps: in each octave. step: eta, norm of an increment over the section's. hold: "trace", "section" or
    "nothing". jitter: the section is moved by up to so many samples and traces before each gradient, reflected at its
    edges and not wrapped: the sea floor does not follow the basement. smoothing: standard deviation of the Gaussian,
    samples; 0: none. octaves: sizes that are ascended one after the other, from the coarsest, each ``octave_ratio``
    times the one before.

    Raises:
        ValueError: a number outside these bounds; names it.

    Example:
        >>> from memprior.dreaming import DreamPlan
        >>> DreamPlan(40, 0.05, jitter=4, smoothing=1.0).hold
        'trace'
    """

    num_steps: int
    step: float
    hold: Literal["trace", "section", "nothing"] = "trace"
    jitter: int = 0
    smoothing: float = 0.0
    octaves: int = 1
    octave_ratio: float = 1.4

    def __post_init__(self):
        expect_whole("num_steps", self.num_steps, 1)
        positive_number("step", self.step)
        expect(self.hold in HOLDS, "hold", f"one of {', '.join(HOLDS)}", repr(self.hold))
        expect_whole("jitter", self.jitter, 0)
        if self.smoothing != 0:
            positive_number("smoothing", self.smoothing)
        expect_whole("octaves", self.octaves, 1)
        ratio = positive_number("octave_ratio", self.octave_ratio)
        expect(ratio > 1, "octave_ratio", "one number > 1", ratio)


@dataclass(frozen=True, eq=False)
class DreamState:
    """After step ``step`` of ``octave`` (0: the coarsest). sections: (B, h, w), of the octave's size, at the last one
    that of the start. values: of the objective before the step, (B,).
    """

    step: int
    octave: int
    sections: torch.Tensor
    values: torch.Tensor


def dream(
    objective: Objective,
    sections: torch.Tensor,
    plan: DreamPlan,
    *,
    generator: torch.Generator | None = None,
    project: Projection | None = None,
) -> Iterator[DreamState]:
    """Ascend ``objective`` from ``sections``; a state after every step.

    Args:
        objective: sections (B, h, w) -> (B,), each section's value a function of that section alone.
        sections: (B, H, W), time first; no trace is zero: there is nothing to hold it at.
        plan: sizes and what is held.
        generator: draws the jitter, one shift a step for the whole batch; may be None where there is none.
        project: of increments since the start, (B, H, W), the last thing done in a step: what is held is then held
            before it, and not after. One octave only.

    Yields:
        A state after each step, each with tensors of its own.

    Raises:
        ValueError: another shape, NaN or infinite numbers, zero traces, jitter that is not below the size, octaves
            that leave fewer than 8 samples or traces, a projection with octaves, an objective of another shape.
        TypeError: no tensor, jitter without a generator.

    Example:
        >>> import torch
        >>> from memprior.dreaming import DreamPlan, dream
        >>> start = torch.ones(1, 8, 8, dtype=torch.float64)
        >>> *_, state = dream(lambda x: x[:, 0].norm(dim=1), start, DreamPlan(200, 0.5, "section"))
        >>> round(float(state.sections[0, 0].square().sum() / 64), 6)  # all is in the row that is asked for
        1.0
    """
    expect_sections("sections", sections)
    sizes = [_octave_size(sections.shape[1:], plan, octave) for octave in range(plan.octaves)]
    least = min(min(size) for size in sizes)
    expect(plan.octaves == 1 or least >= 8, "octaves", "8 samples and traces or more in the coarsest", least)
    expect(plan.jitter < least, "jitter", f"below {least}, the least size", plan.jitter)
    expect(project is None or plan.octaves == 1, "octaves", "1 with a projection, which has one size", plan.octaves)
    if plan.jitter:
        float64_on(None, generator)  # raises by name unless it is a generator
    return _ascend(objective, sections.detach(), plan, sizes, generator, project)


def _ascend(objective, start, plan: DreamPlan, sizes, generator, project) -> Iterator[DreamState]:
    detail = torch.zeros_like(start)
    for octave, size in enumerate(sizes):
        begun = _resized(start, size)
        x = hold(begun + _resized(detail, size), begun, plan.hold) if octave else begun
        for step in range(1, plan.num_steps + 1):
            gradient, values = _gradient(objective, x, plan.jitter, generator)
            if plan.smoothing:
                gradient = gaussian_smoothed(gradient, plan.smoothing)
            x = hold(x + plan.step * _norms(x) * _unit(gradient), begun, plan.hold)
            if project is not None:
                x = start + project(x - start)
            yield DreamState(step, octave, x, values)
        detail = x - begun


def _gradient(objective: Objective, x: torch.Tensor, jitter: int, generator) -> tuple[torch.Tensor, torch.Tensor]:
    x = x.clone().requires_grad_()
    with torch.enable_grad():
        moved = x
        if jitter:
            down, across = (integers(2 * jitter + 1, 2, like=x, generator=generator) - jitter).tolist()
            moved = shifted(x, down, across)
        values = objective(moved)
        expect(
            values.shape == x.shape[:1], "objective", f"one value for each section, ({len(x)},)", tuple(values.shape)
        )
        (gradient,) = torch.autograd.grad(values.sum(), x)
    return gradient, values.detach()


def shifted(sections: torch.Tensor, down: int, across: int) -> torch.Tensor:
    """Sections (B, H, W) moved by whole samples and traces, each side by less than its size; edges are mirrors."""
    height, width = sections.shape[1:]
    rows = _mirrored(torch.arange(height, device=sections.device) - down, height)
    columns = _mirrored(torch.arange(width, device=sections.device) - across, width)
    return sections[:, rows][:, :, columns]


def _mirrored(places: torch.Tensor, num: int) -> torch.Tensor:
    """Of half-sample mirrors: -1 is 0, num is num - 1."""
    places = torch.where(places < 0, -1 - places, places)
    return torch.where(places >= num, 2 * num - 1 - places, places)


def gaussian_smoothed(sections: torch.Tensor, std: float) -> torch.Tensor:
    """Sections (B, H, W) through a Gaussian of ``std`` samples and traces, cut at three of them; edges are mirrors."""
    reach = min(math.ceil(3 * std), min(sections.shape[1:]))
    at = torch.arange(-reach, reach + 1, dtype=sections.dtype, device=sections.device)
    kernel = torch.exp(-0.5 * (at / std) ** 2)
    kernel = kernel / kernel.sum()
    for axis in (1, 2):
        num = sections.shape[axis]
        places = _mirrored(torch.arange(-reach, num + reach, device=sections.device), num)
        wide = sections.index_select(axis, places)
        sections = wide.unfold(axis, len(kernel), 1) @ kernel
    return sections


def hold(sections: torch.Tensor, like: torch.Tensor, what: str) -> torch.Tensor:
    """Sections (B, H, W) with every trace's, or every section's, norm that of ``like``, or as they are."""
    if what == "nothing":
        return sections
    axes = (1,) if what == "trace" else (1, 2)
    norms = torch.linalg.vector_norm(sections, dim=axes, keepdim=True)
    wanted = torch.linalg.vector_norm(like, dim=axes, keepdim=True)
    return sections * (wanted / norms.clamp_min(torch.finfo(norms.dtype).tiny))


def expect_sections(name: str, sections, *, size: tuple[int, int] | None = None) -> None:
    """A finite floating (B, H, W) tensor, time first, without zero traces; of ``size`` where it is given.

    ``ValueError`` or ``TypeError`` naming ``name`` for anything else, and for traces that lie along the wrong axis of
    sections of a known, oblong size.
    """
    expect_tensor(name, sections, "(B, H, W)")
    what = "shape (B, H, W): sections, time, traces"
    expect(sections.ndim == 3 and sections.numel() > 0, name, what, tuple(sections.shape))
    if size is not None:
        given = tuple(sections.shape[1:])
        turned = "; time is the first axis, traces are the second" if given == tuple(size)[::-1] else ""
        expect(given == tuple(size), name, f"shape (B, {size[0]}, {size[1]})", f"{tuple(sections.shape)}{turned}")
    expect_finite(name, sections)
    zero = (sections == 0).all(1)
    where = zero.nonzero()[:3].tolist
    expect(not zero.any(), name, "traces that are not zero", lambda: f"zero at (section, trace) {where()}")


def _octave_size(full, plan: DreamPlan, octave: int) -> tuple[int, int]:
    scale = plan.octave_ratio ** (octave - plan.octaves + 1)
    return round(full[0] * scale), round(full[1] * scale)


def _resized(sections: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    if tuple(sections.shape[1:]) == tuple(size):
        return sections
    x = sections[:, None]
    return F.interpolate(x, size=size, mode="bilinear", align_corners=False, antialias=True)[:, 0]


def _norms(sections: torch.Tensor) -> torch.Tensor:
    return torch.linalg.vector_norm(sections, dim=(1, 2), keepdim=True)


def _unit(gradient: torch.Tensor) -> torch.Tensor:
    """Of norm one, or zero: where nothing responds there is no way up."""
    norms = _norms(gradient)
    return torch.where(norms > 0, gradient / norms.where(norms > 0, torch.ones_like(norms)), 0.0)


# ---- what data cannot contradict -----------------------------------------------------------------------------------


class DataBudget:
    r"""Projection of increments on those whose data differ by at most a budget.

    .. math:: \min_{\delta'} |\delta' - \delta|^2 \quad\text{with}\quad \sum_j |A \delta'_j|^2 \le b^2

    over the traces j of a section. Where the bound is reached, it is :math:`(I + \lambda A^\top A)^{-1} \delta` with
    one :math:`\lambda > 0`; for b = 0 it is the projection on the null space of A. A budget of
    :math:`\sigma \sqrt{m W}`, with noise of standard deviation :math:`\sigma` on m data of each of W traces, lets an
    increment weigh as much as the noise. A test that knew the increment would have the detectability
    :math:`b / \sigma`, here :math:`\sqrt{m W}`: it would find it.

    Args:
        matrix: A, (m, H): data of one trace.
        budget: b >= 0, a number or one for each section, (B,).

    Raises:
        ValueError: another shape, numbers that are not finite, a budget < 0; when called, increments of another size.

    Example:
        >>> import torch
        >>> from memprior.dreaming import DataBudget
        >>> upper = torch.eye(4, dtype=torch.float64)[:2]
        >>> DataBudget(upper, 0.0)(torch.ones(1, 4, 1, dtype=torch.float64)).flatten().tolist()
        [0.0, 0.0, 1.0, 1.0]
    """

    def __init__(self, matrix: torch.Tensor, budget: float | torch.Tensor):
        expect_tensor("matrix", matrix, "(m, H)")
        expect(matrix.ndim == 2 and matrix.numel() > 0, "matrix", "shape (m, H)", tuple(matrix.shape))
        expect_finite("matrix", matrix)
        self.matrix = matrix.double()
        self.budget = torch.as_tensor(budget, dtype=torch.float64, device=matrix.device)
        good = self.budget.ndim <= 1 and bool((torch.isfinite(self.budget) & (self.budget >= 0)).all())
        expect(good, "budget", "numbers, finite and >= 0", budget)
        _, singular, self._right = torch.linalg.svd(self.matrix, full_matrices=False)
        cut = max(matrix.shape) * torch.finfo(matrix.dtype).eps * singular[0]
        self._singular = torch.where(singular > cut, singular, 0.0)

    def misfit(self, increments: torch.Tensor) -> torch.Tensor:
        """Norm of the data of increments (B, H, W), (B,), float64."""
        return torch.linalg.vector_norm(self.matrix @ increments.double(), dim=(1, 2))

    def __call__(self, increments: torch.Tensor) -> torch.Tensor:
        """Increments (B, H, W), projected."""
        expect_tensor("increments", increments, "(B, H, W)")
        height = self.matrix.shape[1]
        fits = increments.ndim == 3 and increments.shape[1] == height
        expect(fits, "increments", f"shape (B, {height}, W)", tuple(increments.shape))
        one_each = self.budget.ndim == 0 or len(self.budget) == len(increments)
        expect(one_each, "budget", f"one, or one for each of {len(increments)} sections", tuple(self.budget.shape))
        inside = self._right @ increments.double()  # (B, k, W)
        energy = inside.square().sum(2)
        budget = self.budget.expand(len(increments))
        shrink = self._shrink(energy, budget)
        return (increments + self._right.T @ ((shrink - 1)[:, :, None] * inside)).to(increments.dtype)

    def _shrink(self, energy: torch.Tensor, budget: torch.Tensor) -> torch.Tensor:
        """1 / (1 + lambda s^2) of each singular direction, (B, k); energy: of the increment along each."""
        squares = self._singular.square()
        free = (squares * energy).sum(1).sqrt() <= budget
        # |A delta'| <= |A delta| max 1/(1 + lambda s^2) falls without end: lambda is below |A delta| / (b s_min^2).
        low = torch.full_like(budget, -60.0)
        high = torch.full_like(budget, 60.0) - squares[squares > 0].min().log() if bool((squares > 0).any()) else low
        for _ in range(_BISECTIONS):
            middle = (low + high) / 2
            factors = 1 / (1 + middle.exp()[:, None] * squares)
            above = (squares * factors.square() * energy).sum(1).sqrt() > budget
            low, high = torch.where(above, middle, low), torch.where(above, high, middle)
        factors = 1 / (1 + high.exp()[:, None] * squares)
        factors = torch.where((budget == 0)[:, None], (squares == 0).to(factors.dtype), factors)
        return torch.where(free[:, None], 1.0, factors)


def band_matrix(height: int, dt_s: float, low_hz: float, high_hz: float, *, dtype=torch.float32) -> torch.Tensor:
    """Orthonormal cosines and sines of a trace's discrete frequencies from ``low_hz`` to ``high_hz``, (m, height).

    The data of a trace are its coefficients there: what is below and above the band they do not see.

    Raises:
        ValueError: a band that holds no discrete frequency, numbers out of order.

    Example:
        >>> from memprior.dreaming import band_matrix
        >>> band_matrix(64, 0.004, 10, 60).shape
        torch.Size([26, 64])
    """
    expect_whole("height", height, 2)
    dt_s, high_hz = positive_number("dt_s", dt_s), positive_number("high_hz", high_hz)
    expect(0 <= low_hz <= high_hz, "low_hz, high_hz", "0 <= low_hz <= high_hz", (low_hz, high_hz))
    places = torch.arange(height, dtype=torch.float64)
    rows = []
    for k in range(height // 2 + 1):
        if low_hz <= k / (height * dt_s) <= high_hz:
            phase = 2 * math.pi * k * places / height
            rows += [phase.cos()] if k == 0 or 2 * k == height else [phase.cos(), phase.sin()]
    expect(rows, "low_hz, high_hz", f"a multiple of {1 / (height * dt_s):.3g} Hz between them", (low_hz, high_hz))
    matrix = torch.stack(rows)
    return (matrix / matrix.norm(dim=1, keepdim=True)).to(dtype)


# ---- what is known: a linear layer ---------------------------------------------------------------------------------


def ascent_rate(step: float, gap: float) -> float:
    r"""Factor by which the tangent of the angle to the top singular vector falls in a step, with the section held.

    .. math:: \rho = \frac{1 + \eta\, (1 - \Delta)}{1 + \eta}, \qquad \Delta = 1 - \sigma_2^2 / \sigma_1^2

    An upper bound at every step, and the limit where the second singular vector is in the start: the theorem of
    the page on dreams. step: eta; gap: Delta, in [0, 1].

    Example:
        >>> from memprior.dreaming import ascent_rate
        >>> ascent_rate(1.0, 0.5)
        0.75
    """
    step = positive_number("step", step)
    expect(0 <= gap <= 1, "gap", "a number in [0, 1]", gap)
    return (1 + step * (1 - gap)) / (1 + step)


def filter_power(weight: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    r"""Power spectrum of a filter bank, (H, W): :math:`P(\kappa) = \sum_o |\hat w_o(\kappa)|^2`.

    Eigenvalues of :math:`W^\top W` on a torus of ``size`` for filters ``weight`` (out, 1, h, w) of stride 1: the ascent
    of their norm goes to the wavenumbers where P is largest.

    Raises:
        ValueError: several input channels, filters larger than ``size``.

    Example:
        >>> import torch
        >>> from memprior.dreaming import filter_power, peak_wavenumber
        >>> difference = torch.tensor([[[[1.0], [-1.0]]]])  # along time
        >>> peak_wavenumber(filter_power(difference, (8, 8)))
        (4, 0)
    """
    expect_tensor("weight", weight, "(out, 1, h, w)")
    expect(weight.ndim == 4 and weight.shape[1] == 1, "weight", "shape (out, 1, h, w)", tuple(weight.shape))
    fits = weight.shape[2] <= size[0] and weight.shape[3] <= size[1]
    expect(fits, "size", f"at least the filters' {tuple(weight.shape[2:])}", tuple(size))
    return torch.fft.fft2(weight[:, 0], s=size).abs().square().sum(0)


def ascended_spectrum(power: torch.Tensor, start: torch.Tensor, step: float, num_steps: int) -> torch.Tensor:
    r"""Amplitude spectrum (H, W) of a convolution's dream on a torus after ``num_steps``, the whole norm held.

    .. math:: |\hat x_t(\kappa)| \propto |\hat x_0(\kappa)| \prod_{s < t} (1 + c_s P(\kappa)), \qquad
        c_s = \eta\, |\hat x_s| / |P \hat x_s|

    Where two wavenumbers have nearly the same power it says which of them is ahead, and the limit does not.

    Args:
        power: P, of :func:`filter_power`, (H, W).
        start: section (H, W).
        step: eta.
        num_steps: >= 0.

    Raises:
        ValueError: another shape, numbers outside their bounds.
    """
    expect_tensor("start", start, "(H, W)")
    expect(start.shape == power.shape, "start", f"shape {tuple(power.shape)}, that of power", tuple(start.shape))
    step = positive_number("step", step)
    expect_whole("num_steps", num_steps, 0)
    amplitude = torch.fft.fft2(start).abs()
    norm = amplitude.norm()
    for _ in range(num_steps):
        amplitude = amplitude * (1 + step * amplitude.norm() / (power * amplitude).norm() * power)
        amplitude = norm * amplitude / amplitude.norm()
    return amplitude


def peak_wavenumber(power: torch.Tensor) -> tuple[int, int]:
    """(down, across) in bins of the largest value of a power spectrum (H, W); of a pair +-k the one with down >= 0.

    Example:
        >>> import torch
        >>> from memprior.dreaming import peak_wavenumber
        >>> peak_wavenumber(torch.eye(8)[[7]].T @ torch.eye(8)[[2]])
        (1, -2)
    """
    expect(isinstance(power, torch.Tensor) and power.ndim == 2, "power", "shape (H, W)", getattr(power, "shape", power))
    height, width = power.shape
    down, across = divmod(int(power.argmax()), width)
    if 2 * down > height or (2 * down in (0, height) and 2 * across > width):
        down, across = -down % height, -across % width
    return down, across - width if 2 * across > width else across


def bins_apart(one: tuple[int, int], other: tuple[int, int], size: tuple[int, int]) -> int:
    """Largest distance along an axis, in bins, between two wavenumbers of a real section: k, -k and k + n are one."""

    def apart(sign: int) -> int:
        gaps = [(a - sign * b) % n for a, b, n in zip(one, other, size, strict=True)]
        return max(min(gap, n - gap) for gap, n in zip(gaps, size, strict=True))

    return min(apart(1), apart(-1))
