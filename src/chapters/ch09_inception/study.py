"""Chapter 9's experiment as one object: its patches, its networks, and their dreams."""

from collections.abc import Callable
from dataclasses import asdict
from functools import cached_property
from typing import TYPE_CHECKING

from chapters.ch09_inception.data import START, Cut, cut_patches
from chapters.ch09_inception.runs import (
    LITTLE,
    REFEREE_WIDTH,
    Answers,
    FaciesRun,
    FirstLayer,
    Recollection,
    answered,
    fit,
    layered,
    recollected,
)
from companion.jobs import LongWork
from companion.store import Tensors
from companion.weights import recorded_weights
from memprior.checkpoint import digest
from memprior.facies_network import FaciesNetwork
from memprior.geology import FaciesPatches

if TYPE_CHECKING:  # what settings may be changes no result
    from chapters.ch09_inception.settings import Settings

Long = Cut | FaciesRun | FirstLayer | Answers | Recollection
APART = 10_000  # patches of a stream from one seed to the next: sets are nested whatever the sizes of a profile are


class Study(LongWork):
    """Facies networks and their dreams at the sizes of ``settings`` (09_inception of notebooks/profiles.yml).

    Seed k of it has its own halves A and B and its own first weights; test patches, starting sections and the referee
    are shared. Parts take seeds 100 seed, 100 seed + 1, ... Recorded networks bring the seed of their recording, and
    with it their training patches.
    """

    settings: "Settings"

    # ---- networks --------------------------------------------------------------------------------------------------

    @cached_property
    def recording(self) -> tuple[Tensors, dict]:
        """Weights of all recorded networks by "key.name", and how they were made."""
        return recorded_weights("09_inception", "networks", self.device)

    @property
    def recorded(self) -> bool:
        return self.settings.networks == "recorded"

    @property
    def training_seed(self) -> int:
        """Of the networks and of their training patches."""
        return int(self.recording[1]["seed"]) if self.recorded else self.seed

    @property
    def seeds(self) -> range:
        """Of all parts."""
        first = 100 * self.training_seed
        return range(first, first + self.settings.num_seeds)

    def run_of(self, half: str, n: int, seed: int, num_steps: int | None = None) -> FaciesRun:
        """A network by its half, N and seed. num_steps: by default those of a whole training."""
        size, plan = self.settings, self.settings.training
        steps = plan.num_steps if num_steps is None else num_steps
        return FaciesRun(half, n, seed, size.width, steps, plan.batch_size, plan.rate)

    @property
    def referee(self) -> FaciesRun:
        size, plan = self.settings, self.settings.training
        of = size.num_referee, 100 * self.training_seed, REFEREE_WIDTH, size.referee_steps
        return FaciesRun("referee", *of, plan.batch_size, plan.rate)

    def random(self, seed: int) -> FaciesRun:
        """What the networks of a seed start from."""
        return self.run_of("A", self.settings.sizes[0], seed, 0)

    @cached_property
    def trained(self) -> list[FaciesRun]:
        """The referee, and of every seed both halves, each N, and one of the largest N that was trained a little."""
        size = self.settings
        runs = [self.referee]
        for seed in self.seeds:
            runs += [self.run_of(half, n, seed) for half in "AB" for n in size.sizes]
            runs.append(self.run_of("A", size.sizes[-1], seed, max(1, size.training.num_steps // LITTLE)))
        return runs

    def weights(self, run: FaciesRun, earlier: Callable) -> Tensors:
        """Of a trained network; ``ValueError`` for one that is not among the recorded ones."""
        if not self.recorded:
            return earlier(run)
        start = f"{run.key}."
        found = {name.removeprefix(start): w for name, w in self.recording[0].items() if name.startswith(start)}
        if not found:
            raise ValueError(f"networks: expected {run.key} among the recorded ones, got none such: record them again")
        return found

    def network(self, run: FaciesRun, earlier: Callable | None = None) -> FaciesNetwork:
        """As ``run`` left it, in evaluation mode."""
        network = run.network(self.device)
        if run.num_steps:
            network.load_state_dict(self.weights(run, earlier or self.result))
        return network.eval().requires_grad_(False)

    # ---- data ------------------------------------------------------------------------------------------------------

    def members(self, half: str, seed: int) -> Cut:
        """Training patches of the largest N that is asked for."""
        return Cut(half, self.settings.sizes[-1], self.training_seed, (seed - 100 * self.training_seed) * APART)

    def training_set(self, run: FaciesRun) -> Cut:
        if run.half == "referee":
            return Cut("referee", run.num_examples, self.training_seed)
        return self.members(run.half, run.seed)

    @property
    def test(self) -> Cut:
        return Cut("test", self.settings.num_test, self.seed)

    @property
    def start(self) -> Cut:
        """Sections of one facies that dreams start from."""
        return Cut("start", self.settings.num_sections, self.seed, 0, (START,))

    # ---- dreams ----------------------------------------------------------------------------------------------------

    def answers(self, run: FaciesRun) -> Answers:
        size, plan = self.settings, self.settings.ascent
        most = run.num_examples == size.sizes[-1] or not run.num_steps
        levels = size.noise_levels if most else ()  # of the largest N and of random weights
        deeper = most and run.seed in self.seeds[: size.linear_seeds]
        return Answers(run, plan.num_steps, plan.step, plan.jitter, plan.smoothing, deeper, levels)

    def first_layer(self, run: FaciesRun) -> FirstLayer:
        return FirstLayer(run, self.settings.linear_steps)

    def recollection(self, half: str, n: int, seed: int) -> Recollection:
        size, plan = self.settings, self.settings.ascent
        of = size.num_sections, plan.num_steps, plan.step, plan.jitter, plan.smoothing
        return Recollection(self.run_of(half, n, seed), *of)

    # ---- long computations -----------------------------------------------------------------------------------------

    @cached_property
    def parts(self) -> list[Long]:
        """Patches, networks, their first layers, dreams of half A and of random weights, and dreams for memory."""
        size = self.settings
        found: list[Long] = [self.test, self.start]
        if not self.recorded:
            found += [Cut("referee", size.num_referee, self.training_seed)]
        found += [self.members(half, seed) for seed in self.seeds for half in "AB"]
        found += [] if self.recorded else self.trained
        dreaming = [self.run_of("A", n, seed) for seed in self.seeds for n in size.sizes]
        dreaming += [self.random(seed) for seed in self.seeds]
        little = [run for run in self.trained if run.half == "A" and run not in dreaming]
        linear = self.seeds[: size.linear_seeds]
        found += [self.first_layer(run) for run in [*dreaming, *little] if run.seed in linear]
        found += [self.answers(run) for run in dreaming]
        found += [self.recollection(half, n, seed) for seed in self.seeds for n in size.memory_sizes for half in "AB"]
        return found

    def needs(self, part: Long) -> list[Long]:
        """A network needs its patches; a dream its network, the referee, test patches and starting sections."""
        if isinstance(part, Cut):
            return []
        if isinstance(part, FaciesRun):
            return [self.training_set(part)]
        runs = [part.network, *([self.referee] if isinstance(part, Answers) else [])]
        needed: list[Long] = [] if self.recorded else [run for run in runs if run.num_steps]
        return [*needed, *([self.test, self.start] if isinstance(part, Answers) else [])]

    def arguments(self, part: Long) -> dict:
        """Its fields, and what it is given: patches, networks, or the weights of recorded networks."""
        given = [asdict(one) for one in self.needs(part)]
        dreams = self.recorded and not isinstance(part, Cut | FaciesRun)
        return asdict(part) | {"given": given} | ({"networks": digest(self.recording[0], {})} if dreams else {})

    def work(self, part: Long, earlier: Callable) -> FaciesPatches | Tensors:
        """Patches, a network's weights, or what was measured. earlier: needed part -> its result."""
        arguments = self.arguments(part)
        if isinstance(part, Cut):
            return cut_patches(part, self.store, arguments)

        def compute(_) -> Tensors:
            if isinstance(part, FaciesRun):
                return fit(part, first_patches(earlier(self.training_set(part)), part.num_examples), self.device)
            network = self.network(part.network, earlier)
            if isinstance(part, FirstLayer):
                return layered(part, network)
            if isinstance(part, Recollection):
                return {"sections": recollected(part, network, self.device)}
            referee = self.network(self.referee, earlier)
            return answered(part, network, referee, earlier(self.test), earlier(self.start).seismic)

        return self.store.tensors(part.name, arguments, compute)


def first_patches(patches: FaciesPatches, num: int) -> FaciesPatches:
    """The first ``num`` of them."""
    of = (patches.seismic, patches.labels, patches.depth, patches.cover)
    return FaciesPatches(*(tensor[:num] for tensor in of), patches.facies)
