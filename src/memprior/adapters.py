r"""Train few weights of a network: low-rank adapters (LoRA, Hu et al. 2022), head, norms, or all, and the fine-tuning.

A weight W, seen as a matrix (C_out, C_in k^2), becomes

.. math:: W + \frac{\alpha}{r} B A, \qquad B \in R^{C_{out} \times r}, \quad A \in R^{r \times C_{in} k^2}

by a parametrization of torch: layers keep their class, stride, padding and groups (C_in is then that of one group). B
starts at 0, so the network starts as it was.
"""

import copy
import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn.utils import parametrize

from memprior._check import expect, expect_finite, expect_like, expect_tensor, expect_whole, positive_number
from memprior._random import choices, float64_on, uniform
from memprior.checkpoint import digest, file_to_keep, read_saved, restore_generator, save_atomically
from memprior.training import TrainingPlan, _below

Layers = Iterable[str] | Callable[[str, nn.Module], bool] | None
_NORMS = (nn.GroupNorm, nn.LayerNorm, nn.RMSNorm, nn.modules.batchnorm._NormBase)


class LowRankUpdate(nn.Module):
    """W -> W + alpha / r B A, what :func:`~memprior.adapters.add_lora` registers on a layer's weight.

    Attributes:
        down: A, (r, C_in k^2).
        up: B, (C_out, r).
        alpha: the scale times r.
    """

    def __init__(self, down: torch.Tensor, up: torch.Tensor, alpha: float):
        super().__init__()
        self.down, self.up, self.alpha = nn.Parameter(down), nn.Parameter(up), alpha

    def forward(self, weight: torch.Tensor) -> torch.Tensor:
        return weight + (self.alpha / len(self.down) * (self.up @ self.down)).view_as(weight)


@dataclass(frozen=True, eq=False)
class MergedLayer:
    """A layer's adapter beside its weight before and after :func:`~memprior.adapters.merge`."""

    adapter: LowRankUpdate
    original: torch.Tensor
    merged: torch.Tensor


def add_lora(
    network: nn.Module, rank: int, *, alpha: float | None = None, layers: Layers = None, generator: torch.Generator
) -> tuple[str, ...]:
    """Give layers of ``network``, in place, an update of rank r that starts at 0; nothing is frozen by that.

    Args:
        network: with nn.Linear or nn.Conv2d layers.
        rank: r, from 1 to the smaller side of each chosen layer's weight, seen as a matrix.
        alpha: the update is scaled by alpha / r; by default alpha = r.
        layers: names as in ``named_modules``, or a function of name and layer that chooses; None: every nn.Linear and
            nn.Conv2d.
        generator: draws A, uniform within one over the root of its columns.

    Returns:
        Names of the layers that have an adapter now.

    Raises:
        ValueError: a rank out of bounds, an unknown name, no layer that matches, a layer that has an adapter or another
            parametrization, a weight that another layer shares. The network is then as it was.
        TypeError: no generator.

    Example:
        >>> import torch
        >>> from memprior.adapters import add_lora, count_trainable, lora_count, train_only
        >>> network, generator = torch.nn.Sequential(torch.nn.Linear(8, 4)), torch.Generator().manual_seed(0)
        >>> add_lora(network, 2, generator=generator)
        ('0',)
        >>> train_only(network, "lora")
        >>> count_trainable(network), lora_count(network[0], 2)
        (24, 24)
    """
    chosen = _choose(network, layers)
    owners = Counter(map(_place, _parameters_of_all(network)))
    factors = {}
    for name, layer in chosen.items():
        what = f"layers, {name!r}"
        came = "one that has an adapter" if _adapter(layer) is not None else "one that is parametrized already"
        expect(not parametrize.is_parametrized(layer), what, "a layer with a plain weight", came)
        weight = layer._parameters.get("weight")
        plain = weight is not None and not nn.parameter.is_lazy(weight) and weight.is_floating_point()
        expect(plain, what, "a layer whose weight is a floating parameter", type(weight).__name__)
        expect(owners[_place(weight)] == 1, what, "a weight of its own", "one that is tied to another parameter")
        _expect_rank(layer, rank, f" of layer {name!r}")
    scale = float(rank) if alpha is None else positive_number("alpha", alpha)
    for name, layer in chosen.items():
        outer, inner = _matrix_shape(layer)
        reach = 1 / math.sqrt(inner)
        down = reach * (2 * uniform(int(rank), inner, like=layer.weight, generator=generator) - 1)
        factors[name] = LowRankUpdate(down, layer.weight.new_zeros(outer, int(rank)), scale)
    for name, layer in chosen.items():
        parametrize.register_parametrization(layer, "weight", factors[name])
    return tuple(chosen)


def merge(network: nn.Module) -> dict[str, MergedLayer]:
    """Add every adapter to its weight, in place: plain layers again, with the same output.

    Args:
        network: with adapters.

    Returns:
        By layer what :func:`~memprior.adapters.unmerge` needs; it keeps two copies of each weight.

    Raises:
        ValueError: a network without adapters, an adapter beside another parametrization.

    Example:
        >>> import torch
        >>> from memprior.adapters import add_lora, merge, unmerge
        >>> network = torch.nn.Sequential(torch.nn.Linear(8, 4))
        >>> _ = add_lora(network, 2, generator=torch.Generator().manual_seed(0))
        >>> merged = merge(network)
        >>> list(network.state_dict())
        ['0.bias', '0.weight']
        >>> unmerge(network, merged)
    """
    found, merged = _adapters(network), {}
    for name, (layer, _) in found.items():
        num = len(layer.parametrizations.weight)
        expect(num == 1, f"network, layer {name!r}", "an adapter alone on its weight", f"{num} parametrizations")
    for name, (layer, adapter) in found.items():
        # Copies of a parametrized layer share its class, from which torch takes the weight's property away.
        kind = type(layer)
        own = {key: value for key, value in vars(kind).items() if key not in ("__dict__", "__weakref__")}
        layer.__class__ = type(kind.__name__, kind.__bases__, own)
        original = layer.parametrizations.weight.original.detach().clone()
        parametrize.remove_parametrizations(layer, "weight")
        merged[name] = MergedLayer(adapter, original, layer.weight.detach().clone())
    return merged


def unmerge(network: nn.Module, merged: dict[str, MergedLayer]) -> None:
    """Take back :func:`~memprior.adapters.merge`: the weights have their bits of before, the adapters are in place.

    Args:
        network: as merge left it, or a copy of it.
        merged: what merge returned. It is empty afterwards: two networks must not share an adapter.

    Raises:
        ValueError: a layer that is missing, has an adapter (merge or unmerge that one first), or whose weight is no
            longer as merge left it: trained, or of another dtype or device. The network is then as it was.

    Example:
        >>> import torch
        >>> from memprior.adapters import add_lora, merge, unmerge
        >>> network = torch.nn.Sequential(torch.nn.Linear(8, 4))
        >>> names, merged = add_lora(network, 2, generator=torch.Generator().manual_seed(0)), merge(network)
        >>> unmerge(network, merged)
        >>> len(merged)
        0
    """
    expect(len(merged) > 0, "merged", "what merge returned, once", "nothing")
    modules: dict[str, Any] = dict(network.named_modules())
    for name, kept in merged.items():
        what = f"network, layer {name!r}"
        expect(isinstance(modules.get(name), nn.Linear | nn.Conv2d), what, "nn.Linear or nn.Conv2d", "none")
        layer = modules[name]
        free = not parametrize.is_parametrized(layer)
        expect(free, what, "the plain layer that merge left", "one with an adapter or another parametrization")
        weight = layer.weight
        expect_like(what, weight, kept.merged)
        expect(torch.equal(weight, kept.merged), what, "the weight that merge left", "one that changed since")
    for name, kept in merged.items():
        layer = modules[name]
        with torch.no_grad():
            layer.weight.copy_(kept.original)
        parametrize.register_parametrization(layer, "weight", kept.adapter)
    merged.clear()


def lora_state(network: nn.Module) -> dict[str, torch.Tensor]:
    """Copies of the adapters alone: "LAYER.down", "LAYER.up" and the scalar "LAYER.alpha" of each layer.

    Args:
        network: with adapters.

    Raises:
        ValueError: a network without adapters.

    Example:
        >>> import torch
        >>> from memprior.adapters import add_lora, load_lora, lora_state
        >>> network = torch.nn.Sequential(torch.nn.Linear(8, 4))
        >>> _ = add_lora(network, 2, generator=torch.Generator().manual_seed(0))
        >>> state = lora_state(network)
        >>> {name: tuple(tensor.shape) for name, tensor in state.items()}
        {'0.down': (2, 8), '0.up': (4, 2), '0.alpha': ()}
        >>> load_lora(network, state)
    """
    state: dict[str, torch.Tensor] = {}
    for name, (_, adapter) in _adapters(network).items():
        state |= {f"{name}.{part}": w.detach().clone() for part, w in adapter.named_parameters()}
        state[f"{name}.alpha"] = torch.tensor(adapter.alpha, dtype=torch.float64)
    return state


def load_lora(network: nn.Module, state: dict[str, torch.Tensor]) -> None:
    """Put what :func:`~memprior.adapters.lora_state` gave into adapters of the same layers, ranks and alpha.

    Args:
        network: with adapters.
        state: on any device.

    Raises:
        ValueError: other layers, shapes, dtypes or alpha, numbers that are not finite. The network is then as it was.
        TypeError: something that is no tensor.
    """
    own = lora_state(network)
    names = sorted(own.keys() ^ state.keys())
    expect(not names, "state", f"adapters of {[name for name in own if name.endswith('.down')]}", f"others: {names}")
    for name, mine in own.items():
        what, tensor = f"state, {name!r}", state[name]
        expect_tensor(what, tensor, f"{tuple(mine.shape)}")
        expect(tensor.shape == mine.shape, what, f"shape {tuple(mine.shape)}", tuple(tensor.shape))
        expect(tensor.dtype == mine.dtype, what, f"dtype {mine.dtype}", tensor.dtype)
        expect_finite(what, tensor)
        if name.endswith(".alpha"):
            expect(float(tensor) == float(mine), what, f"{float(mine)}", float(tensor))
    with torch.no_grad():
        for name, (_, adapter) in _adapters(network).items():
            for part, weight in adapter.named_parameters():
                weight.copy_(state[f"{name}.{part}"])


def train_only(network: nn.Module, kinds: str | Iterable[str]) -> None:
    """Let training move these weights and freeze all others, in place.

    Args:
        network: what is trained.
        kinds: one or several of "all", "head" (of the layer that the network calls ``head``, without its adapter),
            "norms" (group, layer, batch, instance and RMS) and "lora" (the adapters).

    Raises:
        ValueError: another kind, a kind of which the network has no weight.

    Example:
        >>> import torch
        >>> from memprior.adapters import count_trainable, train_only
        >>> network = torch.nn.Sequential(torch.nn.Linear(8, 4), torch.nn.LayerNorm(4))
        >>> train_only(network, "norms")
        >>> count_trainable(network)
        8
    """
    every = list(network.parameters())
    adapters = {id(w) for layer in network.modules() if isinstance(layer, LowRankUpdate) for w in layer.parameters()}
    norms = {id(w) for layer in network.modules() if isinstance(layer, _NORMS) for w in layer.parameters()}
    head = getattr(network, "head", None)
    of_head = {id(w) for w in head.parameters()} - adapters if isinstance(head, nn.Module) else set()
    known = {"all": {id(w) for w in every}, "head": of_head, "norms": norms, "lora": adapters}
    chosen = [kinds] if isinstance(kinds, str) else list(kinds)
    expect(chosen and set(chosen) <= known.keys(), "kinds", f"of {', '.join(known)}", kinds)
    for kind in chosen:
        expect(known[kind], "kinds", f"weights of kind {kind!r} in the network", "none")
    moving = set().union(*(known[kind] for kind in chosen))
    for weight in every:
        weight.requires_grad_(id(weight) in moving)


def count_trainable(network: nn.Module) -> int:
    """Numbers that training moves; a weight that two layers share counts once.

    Example:
        >>> import torch
        >>> from memprior.adapters import count_trainable
        >>> count_trainable(torch.nn.Linear(8, 4))
        36
    """
    return sum(weight.numel() for weight in network.parameters() if weight.requires_grad)


def lora_count(layer: nn.Module, rank: int) -> int:
    """Numbers of an adapter of rank r, r (C_in k^2 + C_out), with C_in of one group.

    Args:
        layer: nn.Linear (k = 1) or nn.Conv2d.
        rank: r, from 1 to the smaller of C_in k^2 and C_out.

    Raises:
        ValueError: another layer or rank.

    Example:
        >>> import torch
        >>> from memprior.adapters import lora_count
        >>> lora_count(torch.nn.Conv2d(16, 32, 3), 4)
        704
    """
    expect(isinstance(layer, nn.Linear | nn.Conv2d), "layer", "nn.Linear or nn.Conv2d", type(layer).__name__)
    _expect_rank(layer, rank)
    return int(rank) * sum(_matrix_shape(layer))


@dataclass(frozen=True)
class FineTuningPlan:
    """How a network is fine-tuned: AdamW (Loshchilov and Hutter 2019) on the mean squared error.

    Args:
        num_steps: optimizer steps, >= 1.
        batch_size: distinct pairs per step, drawn anew; all of them, in order, where there are no more.
        learning_rate: falling as a cosine to ``final_rate``.
        final_rate: the last learning rate; None: it stays.
        weight_decay: AdamW's, of the trained weights toward zero, >= 0.
        start_penalty: c >= 0 in the penalty ``c / 2 |w - w_start|^2`` of the trained weights (Li, Grandvalet and
            Davoine 2018), which is not in the loss that a state has. Of an adapter it is toward its first factors.

    Raises:
        ValueError: a field outside these bounds; names it.

    Example:
        >>> from memprior.adapters import FineTuningPlan
        >>> FineTuningPlan(100, 32, 1e-3).rate(51), FineTuningPlan(100, 32, 1e-3, 1e-5).rate(51)
        (0.001, 0.000505)
    """

    num_steps: int
    batch_size: int
    learning_rate: float
    final_rate: float | None = None
    weight_decay: float = 0.0
    start_penalty: float = 0.0

    def __post_init__(self):
        last = self.learning_rate if self.final_rate is None else self.final_rate
        # Its schedule, bounds and numbers of Python, which are the identity of a checkpoint; its levels are not asked.
        schedule = TrainingPlan(self.num_steps, self.batch_size, self.learning_rate, last, 0.0, 1.0, 2.0)
        object.__setattr__(self, "_schedule", schedule)
        given = ("num_steps", "batch_size", "learning_rate")
        for name in given if self.final_rate is None else (*given, "final_rate"):
            object.__setattr__(self, name, getattr(schedule, name))
        for name in ("weight_decay", "start_penalty"):
            value = getattr(self, name)
            object.__setattr__(self, name, 0.0 if value == 0 else positive_number(name, value))

    def rate(self, step: int) -> float:
        """Learning rate of step 1..num_steps."""
        return self._schedule.rate(step)  # type: ignore[attr-defined]


@dataclass(frozen=True, eq=False)
class FineTuningState:
    """After optimizer step ``step``; the network itself is trained in place.

    loss: scalar tensor, mean squared error of that step's batch before the step. snapshots: at each step asked for that
    has passed, copies of what training moves by name, for ``network.load_state_dict(..., strict=False)``.
    """

    step: int
    loss: torch.Tensor
    snapshots: dict[int, dict[str, torch.Tensor]]


def fine_tune(
    network: nn.Module,
    inputs: torch.Tensor,
    targets: torch.Tensor,
    plan: FineTuningPlan,
    *,
    generator: torch.Generator,
    snapshots: Iterable[int] = (),
    checkpoint: str | Path | None = None,
    save_every: int = 500,
) -> Iterator[FineTuningState]:
    """Train those weights of ``network`` that ask for a gradient, in place; a state after every step.

    Killed and started again with the same arguments it ends in the same bits, as :func:`memprior.training.train` does.
    Layers that keep running statistics move them in training mode, frozen or not.

    Args:
        network: (B, ...) -> (B, ...), in the mode that it shall be trained in.
        inputs: (N, ...), in the dtype and on the device of the weights.
        targets: (N, ...).
        plan: sizes, rates and penalties.
        generator: draws the batches.
        snapshots: ascending steps, from 1 to plan.num_steps, at which states keep copies of the trained weights.
        checkpoint: a file, in a folder that exists, written every ``save_every`` steps and at the end, with the
            snapshots so far. Where it exists training goes on from it, and where it is done its last state comes again.
        save_every: steps between two checkpoints.

    Yields:
        A state after each step.

    Raises:
        ValueError: no weight to train, dropout that is active, as its randomness is not the generator's, inputs that
            the network does not take, targets of another shape than its output, numbers that are not finite, steps that
            do not ascend, and a checkpoint of another run or none.
        TypeError: an argument that is no tensor, no generator.

    Example:
        >>> import torch
        >>> from memprior.adapters import FineTuningPlan, fine_tune
        >>> network, generator = torch.nn.Linear(2, 1), torch.Generator().manual_seed(0)
        >>> states = fine_tune(network, torch.eye(2), torch.ones(2, 1), FineTuningPlan(3, 2, 0.1), generator=generator)
        >>> [state.step for state in states]
        [1, 2, 3]
    """
    expect_whole("save_every", save_every, 1)
    float64_on(None, generator)  # raises by name unless it is a generator
    expect(count_trainable(network) > 0, "network", "weights that ask for a gradient", "none")
    _expect_pairs(network, inputs, targets)
    steps = list(snapshots)
    for step in steps:
        expect_whole("snapshots", step, 1)
    ascending = steps == sorted(set(steps)) and (not steps or steps[-1] <= plan.num_steps)
    expect(ascending, "snapshots", f"ascending steps from 1 to {plan.num_steps}", steps)
    run = _FineTuning(network, inputs, targets, plan, generator, list(map(int, steps)))
    if checkpoint is not None:
        checkpoint = file_to_keep("checkpoint", checkpoint)
        if checkpoint.exists():
            run.load(checkpoint)
    return run.states(checkpoint, save_every)


class _FineTuning:
    """Everything that changes from step to step, so that it can be written down and read back."""

    def __init__(self, network, inputs, targets, plan, generator, steps):
        self.network, self.inputs, self.targets = network, inputs, targets
        self.plan, self.generator, self.steps = plan, generator, steps
        # By name: the order of a layer's weights is another one after merge, and a shared weight stands here once.
        self.trained = {name: w for name, w in sorted(network.named_parameters()) if w.requires_grad}
        kept = network.state_dict().keys()
        self.moving = self.trained | {name: b for name, b in network.named_buffers() if name in kept}
        self.begun = [w.detach().clone() for w in self.trained.values()] if plan.start_penalty else []
        rates = {"lr": plan.learning_rate, "weight_decay": plan.weight_decay}
        self.optimizer = torch.optim.AdamW(self.trained.values(), fused=True, **rates)
        self.step, self.loss = 0, torch.tensor(math.nan)
        self.snapshots: dict[int, dict[str, torch.Tensor]] = {}
        start = dict(network.state_dict()) | {"generator": generator.get_state()}
        self.identity = {
            "plan": asdict(plan),
            "pairs": digest({"inputs": inputs, "targets": targets}, {})[:16],
            "start": digest(start, {"trained": list(self.trained)})[:16],
            "snapshots": steps,
        }

    def states(self, checkpoint, save_every):
        if self.step == self.plan.num_steps:
            yield FineTuningState(self.step, self.loss, self.snapshots)
        while self.step < self.plan.num_steps:
            self._advance()
            if self.step in self.steps:
                self.snapshots[self.step] = {name: w.detach().clone() for name, w in self.moving.items()}
            if checkpoint and (self.step % save_every == 0 or self.step == self.plan.num_steps):
                self.save(checkpoint)
            yield FineTuningState(self.step, self.loss, self.snapshots)

    def _advance(self) -> None:
        plan, num = self.plan, len(self.inputs)
        x, y = self.inputs, self.targets
        if plan.batch_size < num:
            evenly = torch.ones(num, device=x.device)
            batch = choices(evenly, plan.batch_size, generator=self.generator, replacement=False)
            x, y = x[batch], y[batch]
        loss = (self.network(x) - y).square().mean()
        away = [(w - w0).square().sum() for w, w0 in zip(self.trained.values(), self.begun, strict=False)]
        for group in self.optimizer.param_groups:
            group["lr"] = plan.rate(self.step + 1)
        self.optimizer.zero_grad()
        (loss + 0.5 * plan.start_penalty * sum(away)).backward()
        self.optimizer.step()
        self.step, self.loss = self.step + 1, loss.detach()

    def save(self, file: Path) -> None:
        named = {"generator": self.generator.get_state(), "loss": self.loss, "step": torch.tensor(self.step)}
        named |= {f"network.{name}": w.detach() for name, w in self.moving.items()}
        names, moments = list(self.trained), self.optimizer.state_dict()["state"]
        named |= {f"adam.{names[k]}.{what}": m for k, state in moments.items() for what, m in state.items()}
        named |= {f"snapshot.{k}.{name}": w for k, weights in self.snapshots.items() for name, w in weights.items()}
        save_atomically(file, named, self.identity)

    def load(self, file: Path) -> None:
        tensors, _ = read_saved(file, self.identity)
        restore_generator(self.generator, tensors["generator"], f"checkpoint {file}")
        with torch.no_grad():
            for name, weight in _below(tensors, "network").items():
                self.moving[name].copy_(weight)
        names = list(self.trained)
        moments: dict[int, dict[str, torch.Tensor]] = {}
        for key, tensor in _below(tensors, "adam").items():
            name, _, what = key.rpartition(".")
            moments.setdefault(names.index(name), {})[what] = tensor
        self.optimizer.load_state_dict(self.optimizer.state_dict() | {"state": moments})
        for key, tensor in _below(tensors, "snapshot").items():
            step, _, name = key.partition(".")
            self.snapshots.setdefault(int(step), {})[name] = tensor.to(self.moving[name].device)
        self.step, self.loss = int(tensors["step"]), tensors["loss"].to(self.inputs.device)


def _expect_pairs(network: nn.Module, inputs, targets) -> None:
    """Finite pairs of which the network takes the one and gives the shape of the other; it is not touched."""
    like = next(network.parameters())
    for name, x in (("inputs", inputs), ("targets", targets)):
        expect_tensor(name, x, "(N, ...)")
        expect(x.ndim > 0 and len(x) > 0, name, "shape (N, ...), N >= 1", tuple(x.shape))
        expect_like(name, x, like)
        expect_finite(name, x)
    expect(len(targets) == len(inputs), "targets", f"one for each of the {len(inputs)} inputs", len(targets))
    random = [layer for layer in network.modules() if isinstance(layer, nn.modules.dropout._DropoutNd)]
    active = [layer for layer in random if layer.training and layer.p > 0]
    expect(not active, "network", "no active dropout: its randomness is not the generator's", active)
    probe = copy.deepcopy(network).eval()
    try:
        with torch.no_grad():
            output = probe(inputs[:1])
    except (RuntimeError, ValueError, IndexError) as error:
        raise ValueError(f"inputs: expected what the network takes, got {tuple(inputs.shape)}: {error}") from error
    given = tuple(output.shape[1:])
    expect(
        given == tuple(targets.shape[1:]), "targets", f"the shape of the output, (N, *{given})", tuple(targets.shape)
    )


def _choose(network: nn.Module, layers: Layers) -> dict[str, Any]:
    """The layers that can have an adapter, and are asked to, by name."""
    able = {name: layer for name, layer in network.named_modules() if isinstance(layer, nn.Linear | nn.Conv2d)}
    if layers is None:
        names = list(able)
    elif callable(layers):
        names = [name for name, layer in able.items() if layers(name, layer)]
    else:
        names = [layers] if isinstance(layers, str) else list(layers)
        unknown = [name for name in names if name not in able]
        expect(not unknown, "layers", f"names of nn.Linear or nn.Conv2d layers, of {list(able)}", unknown)
    expect(names, "layers", "at least one nn.Linear or nn.Conv2d that matches", "none")
    return {name: able[name] for name in names}


def _adapter(layer: Any) -> LowRankUpdate | None:
    if not parametrize.is_parametrized(layer, "weight"):
        return None
    first = layer.parametrizations.weight[0]
    return first if isinstance(first, LowRankUpdate) else None


def _adapters(network: nn.Module) -> dict[str, tuple[Any, LowRankUpdate]]:
    """Layers with an adapter, by name; ``ValueError`` where there is none."""
    found = {}
    for name, layer in network.named_modules():
        adapter = _adapter(layer)
        if adapter is not None:
            found[name] = layer, adapter
    expect(found, "network", "layers with an adapter", "none")
    return found


def _parameters_of_all(network: nn.Module) -> list[nn.Parameter]:
    """Of each module, its own: one that two of them share stands here twice."""
    return [w for layer in network.modules() for w in layer._parameters.values() if w is not None]


def _place(weight) -> int:
    """The same for parameters that begin at one place in memory; where they have none, for the same parameter."""
    lazy = nn.parameter.is_lazy(weight)
    return id(weight) if lazy or not weight.data_ptr() else weight.data_ptr()


def _matrix_shape(layer: Any) -> tuple[int, int]:
    """(C_out, C_in k^2), with C_in of one group."""
    return len(layer.weight), layer.weight[0].numel()


def _expect_rank(layer: nn.Module, rank, of: str = "") -> None:
    expect_whole("rank", rank, 1)
    most = min(_matrix_shape(layer))
    expect(rank <= most, "rank", f"an integer from 1 to {most}, the smaller side of the weight{of}", rank)
