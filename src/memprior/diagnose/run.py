"""A diagnosis from arrays: the parts in order, each resumed where it was left."""

import hashlib
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch

from memprior._check import expect, expect_finite, expect_tensor, expect_whole, positive_number
from memprior._random import choices, generator_for
from memprior.calibration import Coverage
from memprior.checkpoint import digest, read_saved, save_atomically
from memprior.diagnose.decide import Decision, decide
from memprior.diagnose.inputs import expect_noise, expect_scales
from memprior.diagnose.parts import (
    Bandwidth,
    ExactLookup,
    Importance,
    Span,
    coverage_of,
    importance_chunk,
    importance_of,
    left_out_bandwidth,
    left_out_credibility,
    look_up,
    p_alike_of,
    smoothed_posterior,
    span_of,
)
from memprior.likelihood import GaussianLikelihood
from memprior.memorization import Report, report
from memprior.mixture import IsotropicMixture
from memprior.operators import ForwardOperator, jacobian

Told = Callable[[str, int, int], None]
SAVE_EVERY_S = 5.0
LEAST_TOLERANCE = 0.01  # thousands of truths and draws; less asks for more than anybody has
LARGEST_DATUM = 1e150  # data, also in units of the noise: their squares are to be had
VERSION = 3  # of what a checkpoint holds


@dataclass(frozen=True)
class DiagnosisPlan:
    """How a diagnosis is made.

    level: claimed coverage. tolerance: by which a probability may be off, at least 0.01. num_truths: models that are
    truths in turn, drawn by ``seed`` where there are more. num_draws: of each posterior beside a truth.
    num_proposals: draws that are reweighted, one solve each. seed: of all random numbers. chunk: models in one call
    of the operator. bandwidth: of the kernels, or None: chosen by the left-out likelihood. max_bytes: memory above
    which the linearized posterior is not computed.

    Raises:
        ValueError: a number out of its range.

    Example:
        >>> from memprior.diagnose import DiagnosisPlan
        >>> DiagnosisPlan(num_truths=50).level
        0.9
    """

    level: float = 0.9
    tolerance: float = 0.1
    num_truths: int = 100
    num_draws: int = 199
    num_proposals: int = 2000
    seed: int = 0
    chunk: int = 16
    bandwidth: float | None = None
    max_bytes: float = 4e9

    def __post_init__(self):
        for name in ("level", "tolerance"):
            value = positive_number(name, getattr(self, name))
            expect(value < 1, name, "a number in (0, 1)", value)
        expect(self.tolerance >= LEAST_TOLERANCE, "tolerance", f"at least {LEAST_TOLERANCE}", self.tolerance)
        expect(self.tolerance < self.level, "tolerance", f"less than level, {self.level}", self.tolerance)
        for name, least in (("num_truths", 5), ("num_draws", 19), ("num_proposals", 16), ("seed", 0), ("chunk", 1)):
            expect_whole(name, getattr(self, name), least)
        if self.bandwidth is not None:
            positive_number("bandwidth", self.bandwidth)


@dataclass(frozen=True, eq=False)
class Diagnosis:
    """What :func:`~memprior.diagnose.run.diagnose` found.

    predicted: data of the models, (N, m). lookup: the N solves. bandwidth, importance: of the linearized posterior,
    None where it was not computed, for the reason ``why_not``; num_refused: draws of it that the operator refused,
    whose weight is 0. coverage: over ``truths``, of "lookup" and, where computed, "linearized"; credibilities: (T, 2).
    distances: of the data of left-out models from the others, (T, 1 or 2); p_alike: of the data's own beside them.
    copies: the report on the samples, or None. repeats: models that repeat an earlier one, left out with it. decision:
    the verdict. plan, noise_std: as used. size, rank: numbers of a model; dimensions of the models' span.
    """

    predicted: torch.Tensor
    lookup: ExactLookup
    bandwidth: Bandwidth | None
    importance: Importance | None
    p_alike: float
    why_not: str | None
    num_refused: int
    coverage: dict[str, Coverage]
    credibilities: torch.Tensor
    distances: torch.Tensor
    truths: torch.Tensor
    copies: Report | None
    repeats: int
    decision: Decision
    plan: DiagnosisPlan
    noise_std: float
    size: int
    rank: int


class Kept:
    """Unfinished parts of one piece of work in a folder, one file each, on the CPU; without a folder none is kept.

    A file of other work, or a damaged one, is begun anew.
    """

    def __init__(self, folder: Path | None, identity: dict):
        self.folder, self.identity = folder, identity
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)

    def read(self, name: str) -> torch.Tensor | None:
        """What :meth:`write` wrote, or None."""
        if self.folder is None or not (file := self.folder / f"{name}.safetensors").is_file():
            return None
        try:
            return read_saved(file, {"part": name, **self.identity})[0]["rows"]
        except ValueError:
            return None

    def write(self, name: str, rows: torch.Tensor) -> None:
        """Keep the rows that there are of a part."""
        if self.folder is not None:
            save_atomically(self.folder / f"{name}.safetensors", {"rows": rows}, {"part": name, **self.identity})

    def in_chunks(
        self, name: str, total: int, size: int, compute: Callable[[int, int], torch.Tensor], told: Told
    ) -> torch.Tensor:
        """compute(first, last) for ``total`` rows, ``size`` at a time: the same bits whenever it was interrupted."""
        done = self.read(name)
        parts = [] if done is None else [done]
        start, saved = 0 if done is None else len(done), time.monotonic()
        told(name, min(start, total), total)
        if start >= total:
            return parts[0]
        for first in range(start, total, size):
            parts.append(compute(first, min(first + size, total)).cpu())
            told(name, min(first + size, total), total)
            if time.monotonic() - saved > SAVE_EVERY_S and first + size < total:
                parts = [torch.cat(parts)]
                self.write(name, parts[0])
                saved = time.monotonic()
        rows = torch.cat(parts)
        self.write(name, rows)
        return rows


def diagnose(
    models: torch.Tensor,
    forward: ForwardOperator,
    observed: torch.Tensor,
    noise_std: float,
    *,
    samples: torch.Tensor | None = None,
    held_out: torch.Tensor | None = None,
    groups: Sequence[int] | torch.Tensor | None = None,
    plan: DiagnosisPlan | None = None,
    derivative: bool = True,
    keep: Path | None = None,
    told: Told | None = None,
    places: Sequence[str] | None = None,
) -> Diagnosis:
    """Models, operator and data in, a decision out; its rules stand in :func:`memprior.diagnose.decide.decide`.

    Time: N solves and, with ``derivative``, N Jacobians and ``num_proposals`` solves; the left-out truths need no more,
    for their data are those of the models with noise.

    Args:
        models: (N, ...), float64, N >= 5.
        forward: F, (B, ...) -> (B, m), as :func:`~memprior.diagnose.simulators.expect_operator` wants it.
        observed: y, (m,).
        noise_std: gamma > 0, of each real component.
        samples: (S, ...) of your prior or of your posteriors, for the swap test.
        held_out: (M, ...), models that it was not trained on; without them there is no test.
        groups: (N,), models of one label (patches of one survey) are left out together; those that repeat each other
            are anyway. The swap test takes models one by one.
        plan: sizes and levels.
        derivative: False does without the linearized posterior.
        keep: a folder for unfinished work; a run that was killed goes on from it, with the same result to the bit. An
            operator is known by its data of the first and last two models and its Jacobian at the first: empty the
            folder where it changed elsewhere.
        told: (part, done, of), is called as it goes.
        places: a name for each model, for messages.

    Returns:
        All parts and the decision.

    Raises:
        ValueError: arguments that do not fit; a model that the operator refuses, by its place.
        TypeError: an argument that is no tensor.

    Example:
        >>> import torch
        >>> from memprior.diagnose import DiagnosisPlan, diagnose
        >>> from memprior.operators import MatrixOperator
        >>> models = torch.randn(60, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
        >>> forward = MatrixOperator(torch.eye(2, dtype=torch.float64))
        >>> found = diagnose(models, forward, models[3] + 5, 0.1, plan=DiagnosisPlan(num_proposals=64))
        >>> found.decision.verdict, found.decision.fit
        ('refuse the data', 'unexplained')
    """
    plan, told = plan or DiagnosisPlan(), told or (lambda part, done, total: None)
    points = _flat("models", models, models)
    places = places or [f"model {n}" for n in range(len(points))]
    expect_tensor("observed", observed, "(m,)")
    expect_finite("observed", observed)
    noise_std = positive_number("noise_std", noise_std)
    flat_samples = None if samples is None else _flat("samples", samples, models)
    flat_held_out = None if held_out is None else _flat("held_out", held_out, models)
    expect(samples is not None or held_out is None, "samples", "some beside held_out", "none")
    expect_scales(points, observed, noise_std)
    labels = _labels(points, groups)
    num_labels = len(labels.unique())
    expect(num_labels >= 5, "models", "at least 5 that differ, or groups of them", num_labels)
    copies = None if flat_samples is None else report(flat_samples, points, flat_held_out)
    span = span_of(points)
    repeats = len(points) - len(torch.unique(points, dim=0))
    num, size, rank = len(points), points.shape[1], span.points.shape[1]
    first = _solved(forward, models[:2], places[:2], noise_std)
    expect(first.shape == (2, len(observed)), "observed", f"{first.shape[-1]} numbers, as F predicts", len(observed))
    needed = 8 * num * rank * (3 * rank + 2 * len(observed))
    why_not = None if derivative else "without a derivative"
    if derivative and needed > plan.max_bytes:
        why_not = (
            f"{needed / 1e9:.3g} GB for {num} models in {rank} dimensions and {len(observed)} data: thin or coarsen"
        )
    last = _solved(forward, models[-2:], places[-2:], noise_std)
    for data in (first, last):
        expect_noise(data, noise_std, "the operator's data")
    if plan.bandwidth is not None:
        widest = float(torch.linalg.vector_norm(span.points, dim=1).max())
        low, high = 10 * torch.finfo(points.dtype).eps * widest, widest / torch.finfo(points.dtype).eps
        expect(low <= plan.bandwidth <= high, "bandwidth", f"a number from {low:.3g} to {high:.3g}", plan.bandwidth)
    operator = {"first": first, "last": last}
    if why_not is None:
        operator["rows"] = jacobian(forward, models[:1]).detach()
    kept = Kept(
        keep,
        _identity({"models": points, "observed": observed, "labels": labels, **operator}, noise_std, plan, derivative),
    )

    def solved(first: int, last: int) -> torch.Tensor:
        return _solved(forward, models[first:last], places[first:last], noise_std)

    predicted = kept.in_chunks("solves", num, plan.chunk, solved, told).to(points)
    lookup = look_up(predicted, observed, noise_std)
    rows = None
    if why_not is None:
        per_call = max(1, min(plan.chunk, 2**25 // (len(observed) * size)))

        def tangents(first: int, last: int) -> torch.Tensor:
            return jacobian(forward, models[first:last]).detach() @ span.basis

        rows = kept.in_chunks("jacobians", num, per_call, tangents, told).to(points)
    bandwidth, importance, num_refused = None, None, 0
    own = [float(lookup.misfits.min())]
    if rows is not None:
        bandwidth = left_out_bandwidth(span.points, labels)
        width = plan.bandwidth or bandwidth.value
        proposal, left = smoothed_posterior(span.points, width, predicted, rows, observed, noise_std)
        own.append(left)
        guarded = _Guarded(forward, span, tuple(models.shape[1:]), len(observed))
        prior, likelihood = IsotropicMixture(span.points, width), GaussianLikelihood(guarded, observed, noise_std)

        def reweighted(first: int, last: int) -> torch.Tensor:
            guarded.num_refused = 0
            purpose = f"diagnose {plan.seed} proposal {first}"
            row = importance_chunk(prior, likelihood, proposal, last - first, purpose)
            return torch.cat([row, row.new_tensor([[guarded.num_refused]])], 1).repeat(last - first, 1)

        # One row a draw, so that rows count work done; those of a chunk are equal.
        proposals = kept.in_chunks("proposals", plan.num_proposals, plan.chunk, reweighted, told)[:: plan.chunk]
        importance = importance_of(proposals[:, :3], plan.num_proposals)
        num_refused = int(proposals[:, 3].sum())
    truths = _truths(num, plan)

    def left_out(first: int, last: int) -> torch.Tensor:
        truth = int(truths[first])
        return left_out_credibility(
            truth,
            span.points,
            labels,
            predicted,
            rows,
            noise_std,
            num_draws=plan.num_draws,
            bandwidth=plan.bandwidth,
            purpose=f"diagnose {plan.seed} truth {truth}",
        )

    beside = kept.in_chunks("truths", len(truths), 1, left_out, told)
    credibilities, distances = beside[:, :2], beside[:, 2 : 2 + len(own)]
    p_alike = p_alike_of(distances, torch.tensor(own).to(beside))
    posteriors, of_truths = ("lookup", "linearized")[: len(own)], labels[truths.to(labels.device)].cpu()
    coverage = {name: coverage_of(credibilities[:, k], plan.level, of_truths) for k, name in enumerate(posteriors)}
    decision = decide(
        lookup,
        coverage,
        p_alike=p_alike,
        p_alike_least=len(own) / (1 + len(truths)),
        importance=importance,
        copies=copies,
        tolerance=plan.tolerance,
    )
    return Diagnosis(
        predicted,
        lookup,
        bandwidth,
        importance,
        p_alike,
        why_not,
        num_refused,
        coverage,
        credibilities,
        distances,
        truths,
        copies,
        repeats,
        decision,
        plan,
        noise_std,
        size,
        rank,
    )


def _flat(name: str, x: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    expect_tensor(name, x, "(N, *shape)")
    expect(x.ndim >= 2 and len(x) >= 5, name, "shape (N, *shape), N >= 5", tuple(x.shape))
    expect(x.shape[1:] == like.shape[1:], name, f"models of shape {tuple(like.shape[1:])}", tuple(x.shape[1:]))
    expect(x.dtype == torch.float64, name, "float64", x.dtype)
    expect_finite(name, x)
    return x.flatten(1)


def _labels(points: torch.Tensor, groups) -> torch.Tensor:
    """A label for each model: its group, joined with those of its repeats."""
    same = torch.unique(points, dim=0, return_inverse=True)[1]
    if groups is None:
        return same
    given = torch.as_tensor(groups, device=points.device)
    expect(given.shape == points.shape[:1], "groups", f"a label for each of {len(points)} models", tuple(given.shape))
    labels = torch.unique(given, return_inverse=True)[1]
    while True:  # until no two labels share a model that repeats
        least = torch.full_like(labels, len(labels)).scatter_reduce(0, same, labels, "amin")[same]
        joined = torch.full_like(labels, len(labels)).scatter_reduce(0, labels, least, "amin")[labels]
        if torch.equal(joined, labels):
            return labels
        labels = joined


def _identity(tensors: dict[str, torch.Tensor], noise_std: float, plan: DiagnosisPlan, derivative: bool) -> dict:
    text = digest(tensors, {"noise_std": noise_std, "plan": asdict(plan), "derivative": derivative})
    return {"diagnose": VERSION, "of": hashlib.sha256(text.encode()).hexdigest()}


def _solved(forward: ForwardOperator, x: torch.Tensor, places: Sequence[str], noise_std: float) -> torch.Tensor:
    """F(x), finite, squares in units of the noise too; where not, the first model that is to blame by its place."""
    most = LARGEST_DATUM * min(1.0, noise_std)

    def within(data: torch.Tensor) -> bool:
        return bool((data.abs() <= most).all())  # not of NaN

    with torch.no_grad():
        try:
            data = forward(x)
        except Exception:
            data = None
        if data is not None and within(data):
            return data
        for one, place in zip(x, places, strict=True):
            try:
                alone = forward(one[None])
            except Exception as error:  # whatever a stranger's operator raises
                kind = "" if isinstance(error, ValueError) else f"{type(error).__name__}: "
                raise ValueError(f"models: the operator refuses {place}: {kind}{error}") from error
            finite = bool(torch.isfinite(alone).all())
            expect(finite, "operator", f"finite data from {place}", "NaN or infinity")
            expect(within(alone), "operator", f"data up to {most:.0e} from {place}", f"{float(alone.abs().max()):.3g}")
    raise ValueError(f"operator: expected members that do not depend on their batch, got bad data beside {places[0]}")


class _Guarded:
    """F of coordinates z; infinite data, and so a likelihood of zero, for a draw that the operator refuses."""

    def __init__(self, forward: ForwardOperator, span: Span, shape: tuple[int, ...], num_data: int):
        self.forward, self.span, self.shape, self.num_data = forward, span, shape, num_data
        self.num_refused = 0

    @torch.no_grad()
    def __call__(self, z: torch.Tensor) -> torch.Tensor:
        x = self.span.back(z).reshape(-1, *self.shape)
        try:
            data = self.forward(x)
        except Exception:
            data = torch.stack([self._alone(one) for one in x])
        bad = ~torch.isfinite(data).all(1)
        self.num_refused += int(bad.sum())
        return torch.where(bad[:, None], torch.inf, data)

    def _alone(self, one: torch.Tensor) -> torch.Tensor:
        try:
            return self.forward(one[None])[0]
        except Exception:
            return one.new_full((self.num_data,), math.nan)


def _truths(num: int, plan: DiagnosisPlan) -> torch.Tensor:
    """Which models are truths, ascending: all, or ``num_truths`` drawn by the seed."""
    if num <= plan.num_truths:
        return torch.arange(num)
    generator = generator_for(f"diagnose {plan.seed} truths")
    return choices(torch.ones(num), plan.num_truths, generator=generator, replacement=False).sort().values
