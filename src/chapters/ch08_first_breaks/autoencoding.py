"""Chapter 8's autoencoders of gathers: trained on N of them, then iterated from noise.

Gathers are of the base survey, unlabelled, each trace over its largest size. A seed's training set is the first N of
one stream, its held-out set as many of another.
"""

from dataclasses import dataclass
from pathlib import Path

import torch

from companion.jobs import part_name
from companion.store import Store
from memprior._random import generator_for, normal
from memprior.adapters import FineTuningPlan, fine_tune
from memprior.geology import unlabelled_gathers
from memprior.memorization import Attractors, attractors
from memprior.trace_networks import TraceAutoencoder, unit_traces

FAMILY = "base"
GATHER_STREAMS = ("train", "held out")
OWN_SEEDS = 2**20  # streams of the pickers' gathers, whose seeds are small, are others
FINAL_SHARE = 1 / 20  # the last learning rate over the first

Weights = dict[str, torch.Tensor]


@dataclass(frozen=True)
class GatherSet:
    """``num`` unlabelled gathers of one stream and seed."""

    stream: str
    num: int
    seed: int

    @property
    def name(self) -> str:
        return part_name(f"gathers {self.stream} {self.num} {self.seed}", self)


def drawn_gathers(part: GatherSet, store: Store, arguments: dict) -> torch.Tensor:
    """(num, 64, 128)."""

    def compute(_) -> Weights:
        seed = OWN_SEEDS + len(GATHER_STREAMS) * part.seed + GATHER_STREAMS.index(part.stream)
        return {"traces": unit_traces(unlabelled_gathers(FAMILY, part.num, seed=seed)).to(store.device)}

    return store.tensors(part.name, arguments, compute)["traces"]


@dataclass(frozen=True)
class Autoencoding:
    """An autoencoder trained on N gathers. num_steps = 0: untrained, the control."""

    num_examples: int
    code: int
    seed: int
    width: int
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


def build_autoencoder(run: Autoencoding, device: torch.device) -> TraceAutoencoder:
    """The untrained one."""
    generator = generator_for(f"gather autoencoder {run.code} {run.seed}")
    return TraceAutoencoder(run.code, run.width, generator=generator).to(device)


def encoded(run: Autoencoding, examples: torch.Tensor, store: Store, arguments: dict) -> Weights:
    """Train on ``examples`` (N, 64, 128); the weights."""

    def compute(folder: Path) -> Weights:
        network = build_autoencoder(run, store.device)
        if run.num_steps:
            generator = generator_for(f"gather batches {run.num_examples} {run.seed}")
            options = {"checkpoint": folder / "run.safetensors", "save_every": 200, "generator": generator}
            *_, _ = fine_tune(network.train(), examples, examples, run.plan, **options)
        return network.state_dict()

    return store.tensors(run.name, arguments, compute)


@dataclass(frozen=True)
class Iterating:
    """An autoencoder iterated from noise of the gathers' size, or from held-out gathers."""

    autoencoder: Autoencoding
    num_starts: int
    num_iterations: int

    @property
    def name(self) -> str:
        return part_name(f"iteration {self.autoencoder.key} {self.autoencoder.num_steps}", self)


@dataclass(frozen=True, eq=False)
class Landings:
    """errors: mean squared error on training and on held-out gathers, over their mean square, (2,). training, held_out:
    :class:`~memprior.memorization.Attractors` of the same iteration beside either set of N gathers.
    """

    errors: torch.Tensor
    training: Attractors
    held_out: Attractors


def iterated(
    part: Iterating, weights: Weights, training: torch.Tensor, held_out: torch.Tensor, store: Store, arguments: dict
) -> Landings:
    """Iterate; training, held_out: (N, 64, 128) each."""
    run = part.autoencoder

    def compute(_) -> Weights:
        network = build_autoencoder(run, store.device)
        network.load_state_dict(weights)
        network.eval()
        generator = generator_for(f"gather starts {run.seed}")
        starts = normal(part.num_starts, *training.shape[1:], like=training, generator=generator)
        starts = starts * training.square().mean().sqrt()
        with torch.no_grad():
            sets = {"training": training, "held_out": held_out}
            errors = [(network(x) - x).square().mean() / x.square().mean() for x in sets.values()]
        of = attractors(network, starts, training, num_iterations=part.num_iterations)
        found = {"ends": of.ends, "steps": of.steps, "errors": torch.stack(errors)}
        for name, examples in sets.items():
            beside = of.beside(examples)
            found |= {f"{name}.nearest": beside.nearest, f"{name}.gaps": beside.gaps}
        return found

    kept = store.tensors(part.name, arguments, compute)
    both = [
        Attractors(kept["ends"], kept["steps"], kept[f"{name}.nearest"], kept[f"{name}.gaps"])
        for name in ("training", "held_out")
    ]
    return Landings(kept["errors"], *both)
