"""Chapter 8's autoencoders of gathers: trained on N of them, then iterated from noise.

Gathers are of the base survey, unlabeled: every second trace, means of two samples, 32 traces of 64 samples of 8 ms,
each trace over its largest size, the whole set of unit mean square. A seed's training set is the first N of one stream,
its held-out set as many of another. The autoencoder is dense: from a bottleneck of ``code`` numbers everything, with
far more weights than N gathers have samples, so that it can reconstruct them without error.
"""

from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import torch
from torch import nn

from companion.jobs import part_name
from companion.store import Store
from memprior._random import generator_for, normal
from memprior.adapters import FineTuningPlan, fine_tune
from memprior.geology import unlabeled_gathers
from memprior.memorization import Attractors, attractors
from memprior.networks import _linear
from memprior.trace_networks import unit_traces

FAMILY = "base"
GATHER_STREAMS = ("train", "held out", "starts")
HIDDEN_UNITS = 128, 128  # units of the layers on either side of the bottleneck
STARTS = ("noise", "gathers")
LOUDER = 3.0  # a trace over its largest size has a mean square of about a ninth
OWN_SEEDS = 2**20  # streams of the pickers' gathers, whose seeds are small, are others
FINAL_SHARE = 1 / 20  # the last learning rate over the first

Weights = dict[str, torch.Tensor]


@dataclass(frozen=True)
class GatherSet:
    """``num`` unlabeled gathers of one stream and seed."""

    stream: str
    num: int
    seed: int

    @property
    def name(self) -> str:
        return part_name(f"gathers {self.stream} {self.num} {self.seed}", self)


def coarse(gathers: torch.Tensor) -> torch.Tensor:
    """(num, 2 H, 2 W) -> (num, H W): every second trace, means of two samples, each trace over its largest size.

    Of about unit mean square: by a factor that no set chooses.
    """
    return LOUDER * unit_traces(gathers[:, ::2].unflatten(2, (-1, 2)).mean(3)).flatten(1)


def drawn_gathers(part: GatherSet, store: Store, arguments: dict) -> torch.Tensor:
    """(num, 2048)."""

    def compute(_) -> Weights:
        seed = OWN_SEEDS + len(GATHER_STREAMS) * part.seed + GATHER_STREAMS.index(part.stream)
        whole = unlabeled_gathers(FAMILY, part.num, seed=seed)
        return {"traces": coarse(whole).to(store.device)}

    return store.tensors(part.name, arguments, compute)["traces"]


@dataclass(frozen=True)
class Autoencoding:
    """An autoencoder trained on N gathers. num_steps = 0: untrained, the control."""

    num_examples: int
    code: int
    seed: int
    num_steps: int
    batch_size: int
    rate: float

    @property
    def name(self) -> str:
        return part_name(f"autoencoder {self.num_examples} {self.code} {self.num_steps} {self.seed}", self)

    @property
    def key(self) -> str:
        """Of its tensors in a recorded file."""
        return f"{self.num_examples}.{self.code}.{self.seed}"

    @property
    def plan(self) -> FineTuningPlan:
        return FineTuningPlan(self.num_steps, self.batch_size, self.rate, FINAL_SHARE * self.rate)


def build_autoencoder(run: Autoencoding, size: int, device: torch.device) -> nn.Sequential:
    """The untrained one, of gathers of ``size`` numbers."""
    kind = {"generator": generator_for(f"gather autoencoder {run.code} {run.seed}"), "dtype": torch.float32}
    sizes = size, *HIDDEN_UNITS, run.code, *reversed(HIDDEN_UNITS), size
    layers = [part for a, b in pairwise(sizes) for part in (_linear(a, b, **kind), nn.SiLU())]
    return nn.Sequential(*layers[:-1]).to(device)


def encoded(run: Autoencoding, examples: torch.Tensor, store: Store, arguments: dict) -> Weights:
    """Train on ``examples`` (N, 2048); the weights."""

    def compute(folder: Path) -> Weights:
        network = build_autoencoder(run, examples.shape[1], store.device)
        if run.num_steps:
            generator = generator_for(f"gather batches {run.num_examples} {run.seed}")
            options = {"checkpoint": folder / "run.safetensors", "save_every": 200, "generator": generator}
            *_, _ = fine_tune(network.train(), examples, examples, run.plan, **options)
        return network.state_dict()

    return store.tensors(run.name, arguments, compute)


@dataclass(frozen=True)
class Iterating:
    """An autoencoder iterated from noise of the gathers' size, and from gathers of a stream of their own."""

    autoencoder: Autoencoding
    num_starts: int
    num_iterations: int

    @property
    def name(self) -> str:
        return part_name(f"iteration {self.autoencoder.key} {self.autoencoder.num_steps}", self)


@dataclass(frozen=True, eq=False)
class Landings:
    """errors: mean squared error on training and on held-out gathers, over their mean square, (2,). training, held_out:
    start, of :data:`STARTS`, -> :class:`~memprior.memorization.Attractors` of the same ends beside either set.
    """

    errors: torch.Tensor
    training: dict[str, Attractors]
    held_out: dict[str, Attractors]


def iterated(
    part: Iterating,
    weights: Weights | None,
    training: torch.Tensor,
    held_out: torch.Tensor,
    gathers: torch.Tensor,
    store: Store,
    arguments: dict,
) -> Landings:
    """Iterate; training, held_out: (N, 2048) each, gathers: starts. weights: None for the untrained one."""
    run = part.autoencoder
    sets = {"training": training, "held_out": held_out}

    def compute(_) -> Weights:
        network = build_autoencoder(run, training.shape[1], store.device)
        if weights is not None:
            network.load_state_dict(weights)
        noise = normal(part.num_starts, training.shape[1], like=training, generator=generator_for(f"starts {run.seed}"))
        starts = {"noise": noise * training.square().mean().sqrt(), "gathers": gathers}
        with torch.no_grad():
            errors = [(network(x) - x).square().mean() / x.square().mean() for x in sets.values()]
        found = {"errors": torch.stack(errors)}
        for start, x in starts.items():
            of = attractors(network, x, training, num_iterations=part.num_iterations)
            found |= {f"{start}.ends": of.ends, f"{start}.steps": of.steps}
            for name, examples in sets.items():
                beside = of.beside(examples)
                found |= {f"{start}.{name}.nearest": beside.nearest, f"{start}.{name}.gaps": beside.gaps}
        return found

    kept = store.tensors(part.name, arguments, compute)
    both = [
        {
            start: Attractors(
                kept[f"{start}.ends"],
                kept[f"{start}.steps"],
                kept[f"{start}.{name}.nearest"],
                kept[f"{start}.{name}.gaps"],
            )
            for start in STARTS
        }
        for name in sets
    ]
    return Landings(kept["errors"], *both)
