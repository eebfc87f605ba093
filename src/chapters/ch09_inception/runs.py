"""Chapter 9's trainings and dreams. Each is a part that the store keeps.

A network learns the facies of N patches of one half, A or B, which share no section; the referee learns them of other
ones, from another seed. Random weights are a network before its first step.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import nn

from chapters.ch09_inception.data import GOAL, SIZE
from companion.jobs import part_name
from companion.store import Tensors
from memprior._random import generator_for, normal
from memprior.dreaming import (
    DataBudget,
    DreamPlan,
    Objective,
    ascended_spectrum,
    band_matrix,
    bins_apart,
    dream,
    filter_power,
    layer_norm_objective,
    linearized_norm_objective,
    logit_objective,
    peak_wavenumber,
)
from memprior.facies_network import FaciesNetwork, FaciesTraining, train_facies
from memprior.geology import SECTION_FACIES, FaciesPatches, phase_randomized
from memprior.geology.facies import SECTION_DT_S

REFEREE_WIDTH = 16
BAND_HZ = 10.0, 60.0  # of the data that a dream must not contradict
DEEP = "stage3"  # the layer whose norm a plain dream ascends
LAYERS = ("conv1", "stage1", "stage2", "stage3")
LINEAR_STEP = 20.0  # eta: nearly the power iteration on the layer itself
_FEW = 4  # starting sections, where they are expensive, or kept to be shown
LONGER = 4  # times the steps of a dream with random weights, which moves a section less
LITTLE = 20  # part of the training that a little-trained network has had


# ---- networks ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class FaciesRun:
    """The training of a network. half: "A", "B" or "referee". num_steps: 0 leaves the weights random."""

    half: str
    num_examples: int
    seed: int
    width: int
    num_steps: int
    batch_size: int
    rate: float

    @property
    def key(self) -> str:
        """Short: its place in a file of networks."""
        return f"{self.half}.{self.num_examples}.{self.seed}.{self.num_steps}"

    @property
    def name(self) -> str:
        return part_name(f"train {self.half} {self.num_examples} {self.num_steps} {self.seed}", self)

    def network(self, device: torch.device) -> FaciesNetwork:
        """Before its first step. A, B and every N of one seed start from the same weights."""
        referee = "referee " if self.half == "referee" else ""
        generator = generator_for(f"{referee}facies network {self.seed}")
        return FaciesNetwork(len(SECTION_FACIES), self.width, generator=generator).to(device)


def fit(run: FaciesRun, patches: FaciesPatches, device: torch.device) -> Tensors:
    """The weights at the end of a training."""
    network = run.network(device)
    plan = FaciesTraining(run.num_steps, run.batch_size, run.rate)
    generator = generator_for(f"facies batches {run.half} {run.num_examples} {run.seed}")
    for _ in train_facies(network, patches.seismic, patches.labels, plan, generator=generator):
        pass
    return network.state_dict()


@torch.no_grad()
def probabilities(network: nn.Module, sections: torch.Tensor) -> torch.Tensor:
    """Of each facies, (n, C)."""
    return torch.cat([network(some) for some in sections.split(40)]).softmax(1)


def depth_only(patches: FaciesPatches, others: torch.Tensor) -> torch.Tensor:
    """The null that sees no seismic: labels (n,) of depths ``others`` (n,), by linear discriminants of the depth."""
    depths = [patches.depth[patches.labels == k] for k in range(len(patches.facies))]
    means = torch.stack([of.mean() for of in depths])
    return (others[:, None] - means).abs().argmin(1)


# ---- dreams --------------------------------------------------------------------------------------------------------


def ascended(objective: Objective, start: torch.Tensor, plan: DreamPlan, purpose: str, project=None) -> torch.Tensor:
    """Where a dream ends."""
    *_, state = dream(objective, start, plan, generator=generator_for(purpose), project=project)
    return state.sections


def white_noise(num: int, purpose: str, device: torch.device) -> torch.Tensor:
    """Sections of noise, (num, H, W), of unit mean square: a start without geology."""
    like = torch.empty(0, dtype=torch.float32, device=device)
    return normal(num, *SIZE, like=like, generator=generator_for(purpose))


def directed(network: nn.Module, start: torch.Tensor, plan: DreamPlan, *, label: int | None = None) -> torch.Tensor:
    """Dreams toward a facies, by default :data:`GOAL`."""
    label = SECTION_FACIES.index(GOAL) if label is None else label
    return ascended(logit_objective(network, label), start, plan, "directed jitter")


def budget_of(start: torch.Tensor, noise_level: float) -> DataBudget:
    """Increments whose data weigh no more than noise of ``noise_level`` times the data's root mean square.

    The data are the band from 10 to 60 Hz of each trace. Beside such noise the misfit per datum of the section, 1,
    rises by at most one, on average.
    """
    matrix = band_matrix(start.shape[1], SECTION_DT_S, *BAND_HZ, dtype=torch.float64).to(start.device)
    return DataBudget(matrix, noise_level * DataBudget(matrix, 0.0).misfit(start))


def in_budget(network: nn.Module, start: torch.Tensor, plan: DreamPlan, noise_level: float):
    """(Directed dreams that the data do not contradict, their increment's misfit over its budget, (n,)).

    At noise level 0 the misfit is over that of the start's data.
    """
    budget = budget_of(start, noise_level)
    made = ascended(
        logit_objective(network, SECTION_FACIES.index(GOAL)), start, plan, "directed jitter", project=budget
    )
    whole = budget.budget if noise_level else budget.misfit(start)
    return made, budget.misfit(made.double() - start.double()) / whole


def first_layer(network: FaciesNetwork, num_steps: int) -> tuple[tuple[int, int], ...]:
    """Peak wavenumber of the ascent of conv1's norm from noise; predicted after so many steps on a torus; its limit."""
    start = white_noise(1, "noise for conv1", network.conv1.weight.device)
    plan = DreamPlan(num_steps, LINEAR_STEP, "section")
    made = ascended(layer_norm_objective(network, "conv1"), start, plan, "no jitter")
    measured = peak_wavenumber(torch.fft.fft2(made[0]).abs())
    power = filter_power(network.conv1.weight.detach(), SIZE)
    predicted = peak_wavenumber(ascended_spectrum(power, start[0], LINEAR_STEP, num_steps))
    return measured, predicted, peak_wavenumber(power)


def linearized_cosine(network: FaciesNetwork, layer: str, start: torch.Tensor, plan: DreamPlan) -> torch.Tensor:
    """Cosine between a layer's dream and that of its linearization at the start, of what they add, (n,)."""
    own = ascended(layer_norm_objective(network, layer), start, plan, "no jitter")
    linear = ascended(linearized_norm_objective(network, layer, start), start, plan, "no jitter")
    return torch.nn.functional.cosine_similarity((own - start).flatten(1), (linear - start).flatten(1))


def centroid_wavenumbers(sections: torch.Tensor, parts: int = 3) -> torch.Tensor:
    """Mean wavenumber down and across, cycles per sample and per trace, weighted by power: (n, parts, 2).

    parts: bands of equal height, from the top of a section down.
    """
    found = []
    for band in sections.chunk(parts, dim=1):
        power = torch.fft.fft2(band - band.mean((1, 2), keepdim=True)).abs().square()
        for size, axis in zip(band.shape[1:], (2, 1), strict=True):
            k = torch.fft.fftfreq(size, dtype=power.dtype, device=power.device).abs()
            along = power.sum(axis)
            found.append((along * k).sum(1) / along.sum(1))
    return torch.stack(found, 1).reshape(len(sections), parts, 2)


# ---- what a network answers ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Answers:
    """Dreams of one network and what the referee says of them. num_steps, ...: of the ascent. deeper: whether layers
    are held against their linearization.
    """

    network: FaciesRun
    num_steps: int
    step: float
    jitter: int
    smoothing: float
    deeper: bool
    noise_levels: tuple[float, ...]

    @property
    def name(self) -> str:
        run = self.network
        return part_name(f"dream {run.half} {run.num_examples} {run.num_steps} {run.seed}", self)

    @property
    def plan(self) -> DreamPlan:
        return DreamPlan(self.num_steps, self.step, "trace", self.jitter, self.smoothing)


def answered(
    part: Answers, network: FaciesNetwork, referee: FaciesNetwork, test: FaciesPatches, start: torch.Tensor
) -> Tensors:
    """Everything that is measured on one network; (n, ...) over test patches, (S, ...) over starting sections.

    test, test.referee: probabilities on test patches. surrogates, isotropic: on their surrogates, with and without
    directions. before, before.referee: on the starting sections. directed: sections; directed.own, directed.referee:
    probabilities on them. longer.referee: of random weights alone, after :data:`LONGER` times the steps. plain, free:
    sections whose :data:`DEEP` norm was ascended, trace RMS held and nothing held, and the referee's probabilities.
    budget.own, budget.referee (L, S, C), budget.misfit (L, S): of each noise level; budget.sections: (L, 4, H, W).
    linearized: cosine by layer of :data:`LAYERS`, (4, s).
    """
    made = phase_randomized(test.seismic, generator=generator_for("surrogates"))
    found = {"test": probabilities(network, test.seismic), "test.referee": probabilities(referee, test.seismic)}
    noise = phase_randomized(test.seismic, isotropic=True, generator=generator_for("surrogates"))
    found |= {"surrogates": probabilities(network, made), "isotropic": probabilities(network, noise)}
    found |= {"before": probabilities(network, start), "before.referee": probabilities(referee, start)}
    found["directed"] = directed(network, start, part.plan)
    found["directed.own"] = probabilities(network, found["directed"])
    if not part.network.num_steps:  # as far as a trained network's dream, or farther
        found["longer"] = directed(network, start, replace(part.plan, num_steps=LONGER * part.num_steps))
        found["longer.referee"] = probabilities(referee, found["longer"])
    free = DreamPlan(part.num_steps, part.step, "nothing", part.jitter, part.smoothing)
    for name, plan in (("plain", part.plan), ("free", free)):
        found[name] = ascended(layer_norm_objective(network, DEEP), start, plan, "plain jitter")
    for name in ("directed", "plain", "free"):
        found[f"{name}.referee"] = probabilities(referee, found[name])
    levels = [in_budget(network, start, part.plan, level) for level in part.noise_levels]
    if levels:
        for name, judge in (("own", network), ("referee", referee)):
            found[f"budget.{name}"] = torch.stack([probabilities(judge, sections) for sections, _ in levels])
        found["budget.misfit"] = torch.stack([misfit for _, misfit in levels])
        found["budget.sections"] = torch.stack([sections[:_FEW] for sections, _ in levels])
    if part.deeper:
        few = DreamPlan(part.num_steps, part.step, "section")
        found["linearized"] = torch.stack([linearized_cosine(network, layer, start[:_FEW], few) for layer in LAYERS])
    return found


@dataclass(frozen=True)
class FirstLayer:
    """The ascent of the first layer of one network, from noise, whole norm held."""

    network: FaciesRun
    num_steps: int

    @property
    def name(self) -> str:
        run = self.network
        return part_name(f"first layer {run.half} {run.num_examples} {run.num_steps} {run.seed}", self)


def layered(part: FirstLayer, network: FaciesNetwork) -> Tensors:
    """wavenumbers: measured, predicted after so many steps, and in the limit, (3, 2). bins_apart: of the first from the
    others, (2,).
    """
    measured, *predicted = first_layer(network, part.num_steps)
    apart = [bins_apart(measured, one, SIZE) for one in predicted]
    return {"wavenumbers": torch.tensor([measured, *predicted]), "bins_apart": torch.tensor(apart)}


@dataclass(frozen=True)
class Recollection:
    """Dreams of all facies from noise, by one of two networks that differ in their training patches alone."""

    network: FaciesRun
    num_sections: int
    num_steps: int
    step: float
    jitter: int
    smoothing: float

    @property
    def name(self) -> str:
        return part_name(f"recollect {self.network.half} {self.network.num_examples} {self.network.seed}", self)


def recollected(part: Recollection, network: FaciesNetwork, device: torch.device) -> torch.Tensor:
    """Sections (n, H, W), the facies in turn, from the same noise for A and B."""
    plan = DreamPlan(part.num_steps, part.step, "trace", part.jitter, part.smoothing)
    start = white_noise(part.num_sections, f"noise for memory {part.network.seed}", device)
    labels = torch.arange(part.num_sections, device=device) % len(SECTION_FACIES)

    def own_logit(sections: torch.Tensor) -> torch.Tensor:
        return network(sections).gather(1, labels[:, None])[:, 0]

    return ascended(own_logit, start, plan, f"memory jitter {part.network.seed}")


def unit_samples(sections: torch.Tensor) -> torch.Tensor:
    """(n, H W), each of norm one: a faint patch would else be the nearest to everything."""
    return nn.functional.normalize(sections.flatten(1))


def unit_spectra(sections: torch.Tensor) -> torch.Tensor:
    """Amplitude spectra, each of norm one: a shift along either axis changes little."""
    return nn.functional.normalize(torch.fft.rfft2(sections).abs().flatten(1))


SPACES: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "samples": unit_samples,
    "amplitude spectrum": unit_spectra,
}
