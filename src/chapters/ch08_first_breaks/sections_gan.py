"""Chapter 8's generators of sections: their training sets, their training, their samples.

Sections are 64 samples of 4 ms by 64 traces, facies parallel, without noise. A training set of a seed is the first N of
one stream, its held-out set the first N of another: sets are nested, streams independent.
"""

from dataclasses import asdict, dataclass
from pathlib import Path

import torch

from companion.jobs import part_name
from companion.store import Store
from memprior._random import generator_for, normal
from memprior.adversarial import (
    AdversarialPlan,
    input_gradient_norms,
    train_adversarial,
    weight_spectra,
)
from memprior.geology import sections
from memprior.trace_networks import SectionDiscriminator, SectionGenerator

FACIES = "parallel"
SECTION_SHAPE = 64, 64
SECTION_STREAMS = ("train", "held out", "fresh")
AT_A_TIME = 100  # latent points through a generator at once
NUM_GRADIENTS = 32  # training sections at which the discriminator's gradient is measured

Weights = dict[str, torch.Tensor]


@dataclass(frozen=True)
class SectionSet:
    """``num`` sections of one stream and seed."""

    stream: str
    num: int
    seed: int

    @property
    def name(self) -> str:
        return part_name(f"sections {self.stream} {self.num} {self.seed}", self)


def draw(part: SectionSet) -> torch.Tensor:
    """(num, 64, 64), of unit mean square each."""
    seed = len(SECTION_STREAMS) * part.seed + SECTION_STREAMS.index(part.stream)
    return sections(FACIES, part.num, seed=seed, size=SECTION_SHAPE).seismic


def drawn_sections(part: SectionSet, store: Store, arguments: dict) -> torch.Tensor:
    """(num, 64, 64)."""

    def compute(_) -> Weights:
        return {"seismic": draw(part).to(store.device)}

    return store.tensors(part.name, arguments, compute)["seismic"]


@dataclass(frozen=True)
class Gan:
    """A generator and a discriminator trained on N sections."""

    num_examples: int
    seed: int
    spectral: bool
    width: int
    latent: int
    checkpoints: tuple[int, ...]
    batch_size: int
    generator_rate: float
    discriminator_rate: float

    @property
    def name(self) -> str:
        kind = "spectral" if self.spectral else "plain"
        return part_name(f"gan {self.num_examples} {kind} {self.seed}", self)

    @property
    def key(self) -> str:
        """Of its tensors in a recorded file."""
        return f"{self.num_examples}.{'spectral' if self.spectral else 'plain'}.{self.seed}"

    @property
    def plan(self) -> AdversarialPlan:
        return AdversarialPlan(self.checkpoints[-1], self.batch_size, self.generator_rate, self.discriminator_rate)


@dataclass(frozen=True, eq=False)
class Played:
    """A trained generator, and what its discriminator was like before the first step and at each of C checkpoints.

    weights: of the generator at the end. gradients: mean norm of the logit's gradient at training sections, (1 + C,).
    spectra: layer -> singular values of its weight, (1 + C, n).
    """

    weights: Weights
    gradients: torch.Tensor
    spectra: Weights

    def tensors(self) -> Weights:
        """All of them under names of one level."""
        named = {f"generator.{name}": w for name, w in self.weights.items()}
        named |= {f"spectrum.{name}": values for name, values in self.spectra.items()}
        return named | {"gradients": self.gradients}

    @classmethod
    def of(cls, tensors: Weights) -> "Played":
        """What :meth:`tensors` gave, in single precision."""
        parts: dict[str, Weights] = {"generator": {}, "spectrum": {}}
        for key, tensor in tensors.items():
            kind, _, name = key.partition(".")
            if kind in parts:
                parts[kind][name] = tensor.float()
        return cls(parts["generator"], tensors["gradients"].float(), parts["spectrum"])


def build_generator(run: Gan, device: torch.device) -> SectionGenerator:
    """The untrained one."""
    generator = generator_for(f"section generator {run.seed}")
    return SectionGenerator(run.latent, SECTION_SHAPE, run.width, generator=generator).to(device)


def played(run: Gan, examples: torch.Tensor, store: Store, arguments: dict) -> Played:
    """Train on ``examples`` (N, 64, 64)."""

    def compute(folder: Path) -> Weights:
        network, start = build_generator(run, store.device), generator_for(f"section discriminator {run.seed}")
        discriminator = SectionDiscriminator(SECTION_SHAPE, run.width, spectral=run.spectral, generator=start)
        discriminator.to(store.device)
        states = [{name: w.detach().clone() for name, w in discriminator.state_dict().items()}]
        options = {"snapshots": run.checkpoints, "checkpoint": folder / "run.safetensors", "save_every": 100}
        generator = generator_for(f"section batches {run.num_examples} {run.seed}")
        *_, last = train_adversarial(network, discriminator, examples, run.plan, generator=generator, **options)
        states += [last.snapshots[step].discriminator for step in run.checkpoints]
        gradients, spectra = [], []
        for weights in states:
            discriminator.load_state_dict(weights)
            gradients.append(input_gradient_norms(discriminator, examples[:NUM_GRADIENTS]).mean())
            spectra.append(weight_spectra(discriminator))
        layers = {name: torch.stack([of[name] for of in spectra]) for name in spectra[0]}
        end = last.snapshots[run.checkpoints[-1]].generator
        return Played(end, torch.stack(gradients), layers).tensors()

    return Played.of(store.tensors(run.name, arguments, compute))


@torch.no_grad()
def generate(network: SectionGenerator, num: int, *, generator: torch.Generator) -> torch.Tensor:
    """``num`` samples (num, 64, 64)."""
    like = next(network.parameters())
    latent = normal(num, network.latent, like=like, generator=generator)
    return torch.cat([network.eval()(some) for some in latent.split(AT_A_TIME)])


def generator_of(run: Gan, weights: Weights, device: torch.device) -> SectionGenerator:
    """A trained one."""
    network = build_generator(run, device)
    network.load_state_dict(weights)
    return network


@dataclass(frozen=True)
class Sampling:
    """``num`` samples of a trained generator."""

    gan: Gan
    num: int

    @property
    def name(self) -> str:
        return part_name(f"samples {self.gan.key}", self)


def sampled(part: Sampling, weights: Weights, store: Store, arguments: dict) -> torch.Tensor:
    """(num, 64, 64)."""

    def compute(_) -> Weights:
        network = generator_of(part.gan, weights, store.device)
        generator = generator_for(f"section samples {part.gan.seed}")
        return {"samples": generate(network, part.num, generator=generator)}

    return store.tensors(part.name, arguments, compute)["samples"]


def made_with(run: Gan) -> dict:
    """How recorded generators were made."""
    return {"facies": FACIES, "shape": SECTION_SHAPE} | asdict(run)
