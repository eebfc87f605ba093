"""Denoising score matching: a loss, a training loop that is a generator, and checkpoints that lose nothing.

Minimise E |D(x_0 + sigma eps, sigma) - x_0|^2 over examples x_0, noise eps ~ N(0, I) and levels sigma. At every sigma
the minimiser over all functions is the denoiser of the examples' empirical law (paper, claim 1; chapter 2 proves it).

Killed at any moment and started again with the same arguments, training ends in the same bits: a checkpoint carries
weights, their moving average, the moments of Adam and the state of the generator, and replaces the one before it at
once or not at all.
"""

import copy
import hashlib
import json
import logging
import math
import os
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from memprior._check import expect, expect_points, expect_positive, expect_train_set, expect_whole
from memprior._random import integers, uniform
from memprior.denoiser import Denoiser, NetworkDenoiser
from memprior.noise import perturb

_LOG = logging.getLogger(__name__)  # tells where a run that was killed goes on; silent unless asked


@dataclass(frozen=True)
class TrainingPlan:
    """How a denoiser is trained.

    num_steps: optimiser steps. batch_size: noised examples a step, drawn with replacement. learning_rate: Adam's,
    falling as a cosine to ``final_rate`` (equal: it stays). ema_decay: of the moving average of the weights, reached
    after a warm-up. sigma_min, sigma_max: noise levels are drawn evenly in log sigma between them.
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
        expect_positive("learning_rate", self.learning_rate)
        expect_positive("final_rate", self.final_rate)
        expect(0 <= self.ema_decay < 1, "ema_decay", "0 <= ema_decay < 1", self.ema_decay)
        levels = self.sigma_min, self.sigma_max
        expect(0 < levels[0] < levels[1] < math.inf, "sigma_min, sigma_max", "0 < sigma_min < sigma_max", levels)

    def rate(self, step: int) -> float:
        """Learning rate of step 1..num_steps."""
        fall = 0.5 * (1 + math.cos(math.pi * (step - 1) / self.num_steps))
        return self.final_rate + (self.learning_rate - self.final_rate) * fall


@dataclass(frozen=True, eq=False)
class TrainingState:
    """After optimiser step ``step``.

    loss: scalar tensor of that step's batch. average: the denoiser with averaged weights, updated in place.
    """

    step: int
    loss: torch.Tensor
    average: NetworkDenoiser


def denoising_loss(denoiser: Denoiser, x: torch.Tensor, sigma, *, generator: torch.Generator) -> torch.Tensor:
    """|D(x + sigma eps, sigma) - x|^2 / d for clean examples x (B, d), sigma scalar or (B,): (B,).

    Denoising score matching is this divided by sigma^4 (Vincent 2011).
    """
    return (denoiser(perturb(x, sigma, generator=generator), sigma) - x).square().mean(1)


def train(
    denoiser: NetworkDenoiser,
    train_set: torch.Tensor,
    plan: TrainingPlan,
    *,
    generator: torch.Generator,
    checkpoint: Path | None = None,
    save_every: int = 500,
) -> Iterator[TrainingState]:
    """Train ``denoiser`` in place on ``train_set`` (N, d); a state after every step, for the caller to look at or stop.

    Errors at a level are weighted by 1 / sigma^2 + 1 / spread^2: an untrained network's loss is then the same at every
    level. checkpoint: a file written every ``save_every`` steps and at the end; where it exists training goes on from
    it, and ``ValueError`` says so when it was made by another plan, training set or network, or is no checkpoint.
    """
    expect_train_set("train_set", train_set)
    expect_points("train_set", train_set, size=denoiser.network.size)
    expect_whole("save_every", save_every, 1)
    run = _Training(denoiser, train_set, plan, generator)
    if checkpoint is not None and checkpoint.exists():
        run.load(checkpoint)
    return run.states(checkpoint, save_every)


def snapshots(
    denoiser: NetworkDenoiser,
    train_set: torch.Tensor,
    plan: TrainingPlan,
    steps: Iterable[int],
    *,
    generator: torch.Generator,
    folder: Path | None = None,
) -> Iterator[tuple[int, NetworkDenoiser]]:
    """(step, averaged denoiser) at each of ``steps``, ascending and at most num_steps, as training passes them.

    folder: training and snapshots are kept there; killed and started again, those that had been passed come from it.
    """
    steps = list(steps)
    for step in steps:
        expect_whole("steps", step, 1)
    good = steps and steps == sorted(set(steps)) and steps[-1] <= plan.num_steps
    expect(good, "steps", f"ascending steps from 1 to {plan.num_steps}", steps)
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
    checkpoint = folder and folder / "training.safetensors"
    states = train(denoiser, train_set, plan, generator=generator, checkpoint=checkpoint)
    reached = _step_of(checkpoint) if checkpoint and checkpoint.exists() else 0
    for step in steps:
        kept = folder and folder / f"average_{step}.safetensors"
        if step <= reached:
            average = copy.deepcopy(denoiser)
            if step == reached:  # death may have come between the checkpoint of this very step and its snapshot
                save_atomically(kept, _below(_read(checkpoint)[0], "average"), {})
            _copy_into(kept, average.network, _read(kept)[0])
        else:
            average = copy.deepcopy(next(state for state in states if state.step == step).average)
            if kept:
                save_atomically(kept, dict(average.network.state_dict()), {})
        yield step, average


class _Training:
    """Everything that changes from step to step, in one place, so that it can be written down and read back."""

    def __init__(self, denoiser, train_set, plan, generator):
        self.plan, self.generator, self.denoiser = plan, generator, denoiser
        like = next(denoiser.network.parameters())
        self.train_set = train_set.to(like)
        self.average = copy.deepcopy(denoiser)
        self.average.network.requires_grad_(False)
        self.optimizer = torch.optim.Adam(denoiser.network.parameters(), lr=plan.learning_rate, fused=True)
        self.step = 0
        digest = hashlib.sha256(self.train_set.cpu().numpy().tobytes()).hexdigest()[:16]
        self.identity = {"plan": asdict(plan), "train_set": digest, "spread": denoiser.spread}

    def states(self, checkpoint, save_every):
        while self.step < self.plan.num_steps:
            loss = self._advance()
            if checkpoint and (self.step % save_every == 0 or self.step == self.plan.num_steps):
                self.save(checkpoint)
            yield TrainingState(self.step, loss, self.average)

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
        # A short memory at first, else the average is that of the untrained weights for 1 / (1 - decay) steps.
        decay = min(plan.ema_decay, self.step / (self.step + 9))
        weights = [list(net.parameters()) for net in (self.average.network, self.denoiser.network)]
        torch._foreach_lerp_(weights[0], [w.detach() for w in weights[1]], 1 - decay)
        return loss.detach()

    def _tensors(self) -> dict[str, torch.Tensor]:
        """Every tensor of the state by name; those of Adam exist after the first step."""
        named = {"generator": self.generator.get_state()}
        named |= {f"network.{name}": w for name, w in self.denoiser.network.state_dict().items()}
        named |= {f"average.{name}": w for name, w in self.average.network.state_dict().items()}
        moments = self.optimizer.state_dict()["state"]
        return named | {f"adam.{k}.{name}": w for k, state in moments.items() for name, w in state.items()}

    def save(self, file: Path) -> None:
        save_atomically(file, self._tensors(), self.identity | {"step": self.step})

    def load(self, file: Path) -> None:
        tensors, told = _read(file)
        for what, expected in self.identity.items():
            expect(told.get(what) == expected, f"checkpoint {file}", f"{what} {expected}", told.get(what))
        self.step = told["step"]
        for name, network in (("network", self.denoiser.network), ("average", self.average.network)):
            _copy_into(file, network, _below(tensors, name))
        moments = {}
        for name, tensor in _below(tensors, "adam").items():
            k, what = name.split(".")
            moments.setdefault(int(k), {})[what] = tensor
        self.optimizer.load_state_dict(self.optimizer.state_dict() | {"state": moments})
        restore_generator(self.generator, tensors["generator"], f"checkpoint {file}")
        if self.step < self.plan.num_steps:
            _LOG.info("%s: training goes on from step %d of %d", file.parent.name, self.step, self.plan.num_steps)


def restore_generator(generator: torch.Generator, state: torch.Tensor, name: str) -> None:
    """Put a generator where another one was; ``ValueError`` where that was of another kind of device."""
    sizes = len(generator.get_state()), len(state)
    kind = f"the {sizes[0]} bytes of a generator on {generator.device.type} (the CPU's go on beside any device)"
    expect(sizes[0] == sizes[1], name, kind, f"{sizes[1]} bytes of another kind's")
    generator.set_state(state)


def save_atomically(file: Path, tensors: dict[str, torch.Tensor], told: dict) -> None:
    """Write tensors and a JSON-able dict; ``file`` holds the old or the new whole, whenever the process dies."""
    partial = file.with_name(f".{file.name}.partial")
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, partial, {"told": json.dumps(told)})
    with partial.open("rb") as written:
        os.fsync(written.fileno())
    os.replace(partial, file)


def _read(file: Path) -> tuple[dict[str, torch.Tensor], dict]:
    """What :func:`save_atomically` wrote, on the CPU. ``ValueError`` naming the file for anything else."""
    try:
        with safe_open(file, framework="pt") as opened:
            told = json.loads(opened.metadata()["told"])
            return {name: opened.get_tensor(name) for name in opened.keys()}, told  # noqa: SIM118
    except (SafetensorError, KeyError, TypeError, FileNotFoundError, json.JSONDecodeError) as error:
        raise ValueError(f"checkpoint {file}: expected a file written by training, got {error!r}") from None


def _step_of(file: Path) -> int:
    return _read(file)[1]["step"]


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
