"""Denoising score matching: a loss, a training loop that is a generator, and checkpoints that lose nothing.

Minimize ``E |D(x_0 + sigma eps, sigma) - x_0|^2`` over examples x_0, noise eps ~ N(0, I) and levels sigma. At every
sigma the minimizer over all functions is the denoiser of the examples' empirical distribution (paper, claim 1; proved
in chapter 2).

Killed at any moment and started again with the same arguments, training ends in the same bits: a checkpoint carries
weights, their moving average, the moments of Adam and the state of the generator, and replaces the one before it at
once or not at all.
"""

import copy
import hashlib
import logging
import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from memprior._check import expect, expect_points, expect_train_set, expect_whole, positive_number
from memprior._random import integers, uniform
from memprior.checkpoint import digest, file_to_keep, read_saved, restore_generator, save_atomically
from memprior.denoiser import Denoiser, NetworkDenoiser
from memprior.noise import perturb

_LOG = logging.getLogger(__name__)  # tells where a run that was killed goes on; silent unless asked


@dataclass(frozen=True)
class TrainingPlan:
    """How a denoiser is trained.

    Args:
        num_steps: optimizer steps, >= 1.
        batch_size: noised examples per step, drawn with replacement.
        learning_rate: Adam's, falling as a cosine to ``final_rate``.
        final_rate: the last learning rate; equal to the first: it stays.
        ema_decay: of the moving average of the weights, reached after a warm-up; 0 <= ema_decay < 1.
        sigma_min: noise levels are drawn evenly in log sigma from here,
        sigma_max: to here; 0 < sigma_min < sigma_max.

    Raises:
        ValueError: a field outside these bounds; names it.

    Example:
        >>> from memprior.training import TrainingPlan
        >>> plan = TrainingPlan(100, 32, 1e-3, 1e-5, 0.99, sigma_min=0.01, sigma_max=10.0)
        >>> plan.rate(1), plan.rate(51)
        (0.001, 0.000505)
    """

    num_steps: int
    batch_size: int
    learning_rate: float
    final_rate: float
    ema_decay: float
    sigma_min: float
    sigma_max: float

    def __post_init__(self):
        expect_whole("num_steps", self.num_steps, 1)
        expect_whole("batch_size", self.batch_size, 1)
        expect(0 <= self.ema_decay < 1, "ema_decay", "0 <= ema_decay < 1", self.ema_decay)
        levels = self.sigma_min, self.sigma_max
        expect(0 < levels[0] < levels[1] < math.inf, "sigma_min, sigma_max", "0 < sigma_min < sigma_max", levels)
        # As numbers of Python, whatever kind they come as: they are the identity of a checkpoint.
        for name in ("num_steps", "batch_size"):
            object.__setattr__(self, name, int(getattr(self, name)))
        for name in ("learning_rate", "final_rate", "sigma_min", "sigma_max"):
            object.__setattr__(self, name, positive_number(name, getattr(self, name)))
        object.__setattr__(self, "ema_decay", float(self.ema_decay))

    def rate(self, step: int) -> float:
        """Learning rate of step 1..num_steps."""
        fall = 0.5 * (1 + math.cos(math.pi * (step - 1) / self.num_steps))
        return self.final_rate + (self.learning_rate - self.final_rate) * fall


@dataclass(frozen=True, eq=False)
class TrainingState:
    """After optimizer step ``step``.

    loss: scalar tensor of that step's batch. average: the denoiser with averaged weights, updated in place.
    """

    step: int
    loss: torch.Tensor
    average: NetworkDenoiser


def denoising_loss(denoiser: Denoiser, x: torch.Tensor, sigma, *, generator: torch.Generator) -> torch.Tensor:
    r"""Squared error of a denoiser at clean examples noised once.

    .. math:: |D(x + \sigma \epsilon, \sigma) - x|^2 / d

    Denoising score matching is this divided by sigma^4 (Vincent 2011).

    Args:
        denoiser: D.
        x: clean examples, (B, d).
        sigma: noise level > 0, a scalar or (B,).
        generator: draws eps.

    Returns:
        (B,).

    Example:
        >>> import torch
        >>> from memprior.denoiser import EmpiricalDenoiser
        >>> from memprior.training import denoising_loss
        >>> x = torch.tensor([[-1.0], [1.0]])
        >>> denoising_loss(EmpiricalDenoiser(x), x, 0.01, generator=torch.Generator().manual_seed(0))
        tensor([0., 0.])
    """
    return (denoiser(perturb(x, sigma, generator=generator), sigma) - x).square().mean(1)


def train(
    denoiser: NetworkDenoiser,
    train_set: torch.Tensor,
    plan: TrainingPlan,
    *,
    generator: torch.Generator,
    checkpoint: str | Path | None = None,
    save_every: int = 500,
) -> Iterator[TrainingState]:
    """Train ``denoiser`` in place; a state after every step, for the caller to look at or stop.

    Errors at a level are weighted by 1 / sigma^2 + 1 / spread^2: an untrained network's loss is then the same at every
    level.

    Args:
        denoiser: D, whose network is trained.
        train_set: (N, d).
        plan: sizes, rates and noise levels.
        generator: draws examples, levels and noise.
        checkpoint: a file, in a folder that exists, written every ``save_every`` steps and at the end. Where it exists
            training goes on from it, and where it is done its last state comes again.
        save_every: steps between two checkpoints.

    Yields:
        A state after each step.

    Raises:
        ValueError: arguments that do not fit, and a checkpoint that was made by another plan, training set, network or
            seed, or is no checkpoint.

    Example:
        >>> import torch
        >>> from memprior.denoiser import NetworkDenoiser
        >>> from memprior.networks import ResidualMLP
        >>> from memprior.training import TrainingPlan, train
        >>> generator = torch.Generator().manual_seed(0)
        >>> denoiser = NetworkDenoiser(ResidualMLP(1, 8, 1, generator=generator), spread=1.0)
        >>> plan = TrainingPlan(3, 4, 1e-3, 1e-3, 0.9, sigma_min=0.1, sigma_max=1.0)
        >>> [state.step for state in train(denoiser, torch.tensor([[-1.0], [1.0]]), plan, generator=generator)]
        [1, 2, 3]
    """
    expect_train_set("train_set", train_set)
    size: Any = denoiser.network.size
    expect_points("train_set", train_set, size=size)
    expect_whole("save_every", save_every, 1)
    run = _Training(denoiser, train_set, plan, generator)
    if checkpoint is not None:
        checkpoint = file_to_keep("checkpoint", checkpoint)
        if checkpoint.exists():
            run.load(checkpoint)
    return run.states(checkpoint, save_every)


def snapshots(
    denoiser: NetworkDenoiser,
    train_set: torch.Tensor,
    plan: TrainingPlan,
    steps: Iterable[int],
    *,
    generator: torch.Generator,
    folder: str | Path | None = None,
) -> Iterator[tuple[int, NetworkDenoiser]]:
    """The averaged denoiser at each of ``steps``, as training passes them.

    Args:
        denoiser: D, whose network is trained.
        train_set: (N, d).
        plan: sizes, rates and noise levels.
        steps: ascending, from 1 to plan.num_steps.
        generator: draws examples, levels and noise.
        folder: training and snapshots are kept there; killed and started again, those that had been passed come from
            it.

    Yields:
        (step, averaged denoiser).

    Raises:
        ValueError: steps that do not ascend from 1 to num_steps, and what :func:`train` raises.

    Example:
        >>> import torch
        >>> from memprior.denoiser import NetworkDenoiser
        >>> from memprior.networks import ResidualMLP
        >>> from memprior.training import TrainingPlan, snapshots
        >>> generator = torch.Generator().manual_seed(0)
        >>> denoiser = NetworkDenoiser(ResidualMLP(1, 8, 1, generator=generator), spread=1.0)
        >>> plan = TrainingPlan(4, 4, 1e-3, 1e-3, 0.9, sigma_min=0.1, sigma_max=1.0)
        >>> passed = snapshots(denoiser, torch.tensor([[-1.0], [1.0]]), plan, [2, 4], generator=generator)
        >>> [step for step, average in passed]
        [2, 4]
    """
    steps = list(steps)
    for step in steps:
        expect_whole("steps", step, 1)
    good = steps and steps == sorted(set(steps)) and steps[-1] <= plan.num_steps
    expect(good, "steps", f"ascending steps from 1 to {plan.num_steps}", steps)
    if folder is not None:
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
    checkpoint = folder and folder / "training.safetensors"
    start = _start(denoiser, generator)
    states = train(denoiser, train_set, plan, generator=generator, checkpoint=checkpoint)
    reached = _step_of(checkpoint) if checkpoint and checkpoint.exists() else 0
    for step in steps:
        snapshot, metadata = folder and folder / f"average_{step}.safetensors", {"start": start, "step": step}
        if checkpoint is not None and snapshot is not None and step <= reached:
            average = copy.deepcopy(denoiser)
            average.network.requires_grad_(False)  # as those that training passes
            if step == reached:  # death may have come between the checkpoint of this very step and its snapshot
                save_atomically(snapshot, _below(read_saved(checkpoint)[0], "average"), metadata)
            _copy_into(snapshot, average.network, read_saved(snapshot, metadata)[0])
        else:
            average = copy.deepcopy(next(state for state in states if state.step == step).average)
            if snapshot:
                save_atomically(snapshot, dict(average.network.state_dict()), metadata)
        yield step, average


def snapshot_weights(passed: Iterable[tuple[int, NetworkDenoiser]]) -> dict[str, torch.Tensor]:
    """What :func:`snapshots` yields as tensors by name, "STEP.NAME of the weight": what one file can hold.

    Args:
        passed: (step, denoiser) as training passes them.

    Returns:
        Copies of the weights.
    """
    weights = ((step, average.network.state_dict()) for step, average in passed)
    return {f"{step}.{name}": w.clone() for step, named in weights for name, w in named.items()}


def snapshot_denoisers(
    weights: dict[str, torch.Tensor], network: Callable[[], torch.nn.Module], spread: float
) -> dict[int, NetworkDenoiser]:
    """The denoisers that :func:`snapshot_weights` took apart; they ask for no gradient of their weights.

    Args:
        weights: by "STEP.NAME".
        network: makes one of their kind.
        spread: of the examples they were trained on.

    Returns:
        step -> denoiser, ascending.

    Raises:
        RuntimeError: weights of networks of another kind.
    """
    steps, denoisers = sorted({int(name.split(".")[0]) for name in weights}), {}
    for step in steps:
        denoisers[step] = NetworkDenoiser(network().eval().requires_grad_(False), spread)
        denoisers[step].network.load_state_dict(_below(weights, str(step)))
    return denoisers


class _Training:
    """Everything that changes from step to step, in one place, so that it can be written down and read back."""

    def __init__(self, denoiser, train_set, plan, generator):
        self.plan, self.generator, self.denoiser = plan, generator, denoiser
        like = next(denoiser.network.parameters())
        self.train_set = train_set.to(like)
        self.average = copy.deepcopy(denoiser)
        self.average.network.requires_grad_(False)
        self.optimizer = torch.optim.Adam(denoiser.network.parameters(), lr=plan.learning_rate, fused=True)
        self.step, self.loss, self.start = 0, torch.tensor(math.nan), _start(denoiser, generator)
        examples = hashlib.sha256(self.train_set.cpu().numpy().tobytes()).hexdigest()[:16]
        self.identity = {"plan": asdict(plan), "train_set": examples, "spread": denoiser.spread}

    def states(self, checkpoint, save_every):
        if self.step == self.plan.num_steps:
            yield TrainingState(self.step, self.loss, self.average)
        while self.step < self.plan.num_steps:
            self.loss = self._advance()
            if checkpoint and (self.step % save_every == 0 or self.step == self.plan.num_steps):
                self.save(checkpoint)
            yield TrainingState(self.step, self.loss, self.average)

    def _advance(self) -> torch.Tensor:
        self.step += 1
        plan, like = self.plan, self.train_set
        kind = {"like": like, "generator": self.generator}
        x = like[integers(len(like), plan.batch_size, **kind)]
        span = math.log(plan.sigma_max / plan.sigma_min)
        sigma = plan.sigma_min * torch.exp(span * uniform(plan.batch_size, **kind))
        weight = 1 / sigma**2 + 1 / self.denoiser.spread**2
        loss = (weight * denoising_loss(self.denoiser, x, sigma, generator=self.generator)).mean()
        for group in self.optimizer.param_groups:
            group["lr"] = plan.rate(self.step)
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        # A short average at first, or it would be that of the untrained weights for 1 / (1 - decay) steps.
        decay = min(plan.ema_decay, self.step / (self.step + 9))
        weights = [list(net.parameters()) for net in (self.average.network, self.denoiser.network)]
        torch._foreach_lerp_(weights[0], [w.detach() for w in weights[1]], 1 - decay)
        return loss.detach()

    def _tensors(self) -> dict[str, torch.Tensor]:
        """Every tensor of the state by name; those of Adam exist after the first step."""
        named = {"generator": self.generator.get_state(), "loss": self.loss}
        named |= {f"network.{name}": w for name, w in self.denoiser.network.state_dict().items()}
        named |= {f"average.{name}": w for name, w in self.average.network.state_dict().items()}
        moments = self.optimizer.state_dict()["state"]
        return named | {f"adam.{k}.{name}": w for k, state in moments.items() for name, w in state.items()}

    def save(self, file: Path) -> None:
        save_atomically(file, self._tensors(), self.identity | {"start": self.start, "step": self.step})

    def load(self, file: Path) -> None:
        tensors, metadata = read_saved(file)
        for what, expected in self.identity.items():
            expect(metadata.get(what) == expected, f"checkpoint {file}", f"{what} {expected}", metadata.get(what))
        self.step = metadata["step"]
        for name, network in (("network", self.denoiser.network), ("average", self.average.network)):
            _copy_into(file, network, _below(tensors, name))
        expect(
            metadata.get("start") == self.start, f"checkpoint {file}", "first weights and seed of this run", "others"
        )
        moments: dict[int, dict[str, torch.Tensor]] = {}
        for name, tensor in _below(tensors, "adam").items():
            k, what = name.split(".")
            moments.setdefault(int(k), {})[what] = tensor
        self.optimizer.load_state_dict(self.optimizer.state_dict() | {"state": moments})
        restore_generator(self.generator, tensors["generator"], f"checkpoint {file}")
        self.loss = tensors.get("loss", self.loss).to(self.train_set)  # NaN in a file of before it was kept
        if self.step < self.plan.num_steps:
            _LOG.info("%s: training goes on from step %d of %d", file.parent.name, self.step, self.plan.num_steps)


def _start(denoiser: NetworkDenoiser, generator: torch.Generator) -> str:
    """Of the weights and of the randomness that training starts from."""
    return digest(dict(denoiser.network.state_dict()) | {"generator": generator.get_state()}, {})[:16]


def _step_of(file: Path) -> int:
    return read_saved(file)[1]["step"]


def _below(tensors: dict[str, torch.Tensor], name: str) -> dict[str, torch.Tensor]:
    return {key.removeprefix(f"{name}."): tensor for key, tensor in tensors.items() if key.startswith(f"{name}.")}


def _copy_into(file: Path, network: torch.nn.Module, weights: dict[str, torch.Tensor]) -> None:
    """The weights read from ``file``; ``ValueError`` unless names and shapes are the network's."""
    own = {name: tuple(w.shape) for name, w in network.state_dict().items()}
    came = {name: tuple(w.shape) for name, w in weights.items()}
    for name in sorted(own.keys() | came.keys()):
        shapes = own.get(name), came.get(name)
        expect(shapes[0] == shapes[1], f"checkpoint {file}, {name}", f"shape {shapes[0]}", shapes[1])
    network.load_state_dict(weights)
