"""Chapter 8's unlabeled half as one object: sections and generators, gathers and autoencoders, what they copy."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import torch

from chapters.ch08_first_breaks import sections_measures as measures
from chapters.ch08_first_breaks.autoencoding import (
    GATHER_STREAMS,
    Autoencoding,
    GatherSet,
    Iterating,
    drawn_gathers,
    encoded,
    iterated,
)
from chapters.ch08_first_breaks.sections_gan import (
    SECTION_STREAMS,
    Gan,
    Played,
    Sampling,
    SectionSet,
    draw,
    drawn_sections,
    generator_of,
    made_with,
    played,
    sampled,
)
from chapters.ch08_first_breaks.sections_measures import SPACES, Copying
from companion.jobs import LongWork, part_name
from companion.store import Store
from companion.weights import recorded_weights
from memprior._random import generator_for
from memprior.adversarial import copier
from memprior.checkpoint import digest
from memprior.trace_networks import SectionGenerator

if TYPE_CHECKING:  # what settings may be changes no result
    from chapters.ch08_first_breaks.settings import SectionsSettings

CHAPTER = "08_first_breaks"
GENERATORS = "generators"  # the file of weights that a full run leaves
COPIER, FRESH = "exact copier", "fresh draws"


@dataclass(frozen=True)
class Testing:
    """The swap test of one N and seed in both spaces. source: a generator's samples, the exact copier, fresh draws."""

    source: Sampling | str
    num_examples: int
    num_samples: int
    num_labelings: int
    seed: int

    @property
    def name(self) -> str:
        what = self.source if isinstance(self.source, str) else f"gan {self.source.gan.key}"
        return part_name(f"copying {what} {self.num_examples} {self.seed}", self)


@dataclass(frozen=True)
class Leveling:
    """The swap test of fresh draws, again and again with sections of their own, in both spaces: p, (repeats, 2)."""

    num_examples: int
    num_samples: int
    num_labelings: int
    num_repeats: int
    seed: int

    @property
    def name(self) -> str:
        return part_name(f"level {self.num_examples} {self.seed}", self)


Long = SectionSet | GatherSet | Gan | Sampling | Testing | Leveling | Autoencoding | Iterating


class SectionsStudy(LongWork):
    """What is learned without labels, at the sizes of ``settings`` (08_first_breaks of notebooks/profiles.yml).

    Seeds are 100 seed, 100 seed + 1, ...; of recorded networks they are those of the full run, with its sections and
    gathers, whatever the notebook's seed is.
    """

    settings: "SectionsSettings"

    @property
    def seeds(self) -> range:
        """Of all parts."""
        seed = 0 if self.settings.base == "recorded" else self.seed
        return range(100 * seed, 100 * seed + self.settings.num_seeds)

    @property
    def most(self) -> int:
        """The largest N of sections."""
        return self.settings.adversaries.sizes[-1]

    # ---- parts -----------------------------------------------------------------------------------------------------

    def gan(self, n: int, seed: int, *, spectral: bool = True) -> Gan:
        """The part that trains a generator on N sections."""
        size, plan = self.settings, self.settings.adversaries
        rates = plan.generator_rate, plan.discriminator_rate
        return Gan(n, seed, spectral, size.width, plan.latent, plan.checkpoints, plan.batch_size, *rates)

    def autoencoder(self, n: int, code: int, seed: int, *, trained: bool = True) -> Autoencoding:
        """The part that trains an autoencoder on N gathers, or leaves it as it is drawn."""
        plan = self.settings.autoencoders
        steps = plan.num_steps if trained else 0
        return Autoencoding(n, code, seed, steps, plan.batch_size, plan.rate)

    def sections(self, stream: str, seed: int) -> SectionSet:
        """Those of all N of a seed, which are nested."""
        return SectionSet(stream, self.most if stream != "fresh" else self.settings.num_samples, seed)

    def gathers(self, stream: str, seed: int) -> GatherSet:
        """Those of all N of a seed, which are nested; "starts": of the iteration."""
        plan = self.settings.autoencoders
        return GatherSet(stream, plan.num_starts if stream == "starts" else plan.sizes[-1], seed)

    @cached_property
    def gans(self) -> list[Gan]:
        """With spectral norm at every N, without at one, for every seed."""
        plan = self.settings.adversaries
        kinds = [(n, True) for n in plan.sizes] + [(plan.plain, False)]
        return [self.gan(n, seed, spectral=spectral) for seed in self.seeds for n, spectral in kinds]

    @cached_property
    def autoencoders(self) -> list[Autoencoding]:
        """Every N, code and seed."""
        plan = self.settings.autoencoders
        return [self.autoencoder(n, code, seed) for seed in self.seeds for n in plan.sizes for code in plan.codes]

    def sampling(self, gan: Gan) -> Sampling:
        return Sampling(gan, self.settings.num_samples)

    def testing(self, source: Gan | str, n: int, seed: int) -> Testing:
        """source: a generator, :data:`COPIER` or :data:`FRESH`."""
        of = self.sampling(source) if isinstance(source, Gan) else source
        return Testing(of, n, self.settings.num_samples, self.settings.num_labelings, seed)

    @cached_property
    def testings(self) -> list[Testing]:
        """Of every generator, and at every N of the exact copier and of fresh draws."""
        sizes = self.settings.adversaries.sizes
        exact = [self.testing(of, n, seed) for seed in self.seeds for n in sizes for of in (COPIER, FRESH)]
        return [self.testing(gan, gan.num_examples, gan.seed) for gan in self.gans] + exact

    @property
    def leveling(self) -> Leveling:
        """At the smallest N."""
        size = self.settings
        return Leveling(size.adversaries.sizes[0], 32, 199, size.num_repeats, self.seeds[0])

    def iterating(self, run: Autoencoding) -> Iterating:
        plan = self.settings.autoencoders
        return Iterating(run, plan.num_starts, plan.num_iterations)

    @cached_property
    def iterations(self) -> list[Iterating]:
        """Of every autoencoder, and of untrained ones, one for each code and seed: they know no N."""
        plan = self.settings.autoencoders
        kinds = [(code, seed) for seed in self.seeds for code in plan.codes]
        untrained = [self.autoencoder(plan.sizes[-1], code, seed, trained=False) for code, seed in kinds]
        return [self.iterating(run) for run in (*self.autoencoders, *untrained)]

    @cached_property
    def parts(self) -> list[Long]:
        """Data, networks where they are trained, samples, tests."""
        data = [self.sections(stream, seed) for seed in self.seeds for stream in SECTION_STREAMS]
        gathers = [self.gathers(stream, seed) for seed in self.seeds for stream in GATHER_STREAMS]
        networks = [*(self.gans if self.settings.base == "trained" else []), *self.autoencoders]
        samplings = [self.sampling(gan) for gan in self.gans]
        return [*data, *gathers, *networks, *samplings, *self.testings, self.leveling, *self.iterations]

    def needs(self, part: Long) -> list[Long]:
        """Data and networks that a part takes; recorded networks are none of its parts."""
        if isinstance(part, SectionSet | GatherSet | Leveling):
            return []
        if isinstance(part, Gan):
            return [self.sections("train", part.seed)]
        if isinstance(part, Autoencoding):
            return [self.gathers("train", part.seed)]
        trained = self.settings.base == "trained"
        if isinstance(part, Sampling):
            return [part.gan] if trained else []
        if isinstance(part, Iterating):
            run = part.autoencoder
            return [*([run] if run.num_steps else []), *(self.gathers(stream, run.seed) for stream in GATHER_STREAMS)]
        both = [self.sections(stream, part.seed) for stream in ("train", "held out")]
        if part.source == FRESH:
            return [*both, self.sections("fresh", part.seed)]
        return [*([part.source] if isinstance(part.source, Sampling) else []), *both]

    def arguments(self, part: Long) -> dict:
        """Its fields, what it is given, and the recorded weights that it takes."""
        given: dict[str, Any] = asdict(part)
        given |= {"given": [asdict(one) for one in self.needs(part)]}
        if self.settings.base == "recorded":
            if isinstance(part, Sampling):
                given["weights"] = digest(self.recorded_gan(part.gan).tensors(), {})[:16]
            elif isinstance(part, Testing) and isinstance(part.source, Sampling):
                given["weights"] = digest(self.recorded_gan(part.source.gan).tensors(), {})[:16]
        return given

    def work(self, part: Long, earlier: Callable) -> Any:
        """Tensors of data, networks and samples; measures of the others. earlier: needed part -> its result."""
        kept = self.store, self.arguments(part)
        if isinstance(part, SectionSet):
            return drawn_sections(part, *kept)
        if isinstance(part, GatherSet):
            return drawn_gathers(part, *kept)
        if isinstance(part, Gan):
            return played(part, earlier(self.sections("train", part.seed))[: part.num_examples], *kept)
        if isinstance(part, Autoencoding):
            return encoded(part, earlier(self.gathers("train", part.seed))[: part.num_examples], *kept)
        trained = self.settings.base == "trained"
        if isinstance(part, Sampling):
            network = earlier(part.gan) if trained else self.recorded_gan(part.gan)
            return sampled(part, network.weights, *kept)
        if isinstance(part, Iterating):
            run = part.autoencoder
            training, held_out, starts = (earlier(self.gathers(stream, run.seed)) for stream in GATHER_STREAMS)
            weights = earlier(run) if run.num_steps else None
            return iterated(part, weights, training[: run.num_examples], held_out[: run.num_examples], starts, *kept)
        if isinstance(part, Leveling):
            return level_of(part, *kept)
        sets = [earlier(self.sections(stream, part.seed))[: part.num_examples] for stream in ("train", "held out")]
        if isinstance(part.source, Sampling):
            samples = earlier(part.source)
        elif part.source == COPIER:
            draws = generator_for(f"exact copier {part.num_examples} {part.seed}")
            samples = copier(sets[0], part.num_samples, generator=draws)
        else:
            samples = earlier(self.sections("fresh", part.seed))
        return tested(part, samples, *sets, *kept)

    # ---- recorded networks -----------------------------------------------------------------------------------------

    @cached_property
    def recorded(self) -> dict[str, torch.Tensor]:
        """Tensors of the full run's generators."""
        return recorded_weights(CHAPTER, GENERATORS, self.device)[0]

    def recorded_gan(self, run: Gan) -> Played:
        """Of the full run. ``ValueError`` for an N or a seed that it has not."""
        start = f"{run.key}."
        named = {name.removeprefix(start): w for name, w in self.recorded.items() if name.startswith(start)}
        if not named:
            raise ValueError(f"settings: expected generators that the full run has recorded, got {run.key}")
        return Played.of(named)

    def to_record(self) -> tuple[dict[str, torch.Tensor], dict] | None:
        """Generators in half precision, and how they were made; None where they were recorded ones."""
        if self.settings.base == "recorded":
            return None
        named = {f"{gan.key}.{name}": w.half() for gan in self.gans for name, w in self.result(gan).tensors().items()}
        return named, {"runs": [made_with(gan) for gan in self.gans]}

    # ---- results ---------------------------------------------------------------------------------------------------

    def played(self, gan: Gan) -> Played:
        """A trained or recorded one."""
        return self.result(gan) if self.settings.base == "trained" else self.recorded_gan(gan)

    def generator_network(self, gan: Gan) -> SectionGenerator:
        """Its generator, in evaluation mode."""
        return generator_of(gan, self.played(gan).weights, self.device).eval()

    def training_set(self, n: int, seed: int) -> torch.Tensor:
        """(N, 64, 64)."""
        return self.result(self.sections("train", seed))[:n]

    def copying(self, source: str, n: int, space: str) -> list[Copying]:
        """By seed. source: "spectral", "plain", :data:`COPIER` or :data:`FRESH`."""
        found = []
        for seed in self.seeds:
            of = self.gan(n, seed, spectral=source == "spectral") if source in ("spectral", "plain") else source
            found.append(self.result(self.testing(of, n, seed))[space])
        return found


def tested(part: Testing, samples, training, held_out, store: Store, arguments: dict) -> dict[str, Copying]:
    """By space."""

    def compute(_) -> dict[str, torch.Tensor]:
        found = {}
        for space in SPACES:
            draws = generator_for(f"labelings {part.num_examples} {part.seed}")
            of = measures.copying(samples, training, held_out, space, part.num_labelings, generator=draws)
            numbers = [of.share, *of.null, of.p, of.gap, of.held_out]
            found[space] = torch.tensor(numbers, dtype=torch.float64)
        return found

    kept = store.tensors(part.name, arguments, compute)
    numbers = {space: values.tolist() for space, values in kept.items()}
    return {space: Copying(share, (low, high), *rest) for space, (share, low, high, *rest) in numbers.items()}


def level_of(part: Leveling, store: Store, arguments: dict) -> torch.Tensor:
    """p of each repeat in either space, (repeats, 2)."""

    def compute(_) -> dict[str, torch.Tensor]:
        n, values = part.num_examples, []
        num = 2 * n + part.num_samples
        for k in range(part.num_repeats):
            # A stream far from those of the seeds.
            one = SectionSet("fresh", num, 10**6 + part.seed * 10**4 + k)
            drawn = draw(one).to(store.device)
            training, held_out, samples = drawn.split([n, n, part.num_samples])
            draws = [generator_for(f"level {part.seed} {k}") for _ in SPACES]
            options = zip(SPACES, draws, strict=True)
            values.append(
                [
                    measures.copying(samples, training, held_out, space, part.num_labelings, generator=one).p
                    for space, one in options
                ]
            )
        return {"p": torch.tensor(values, dtype=torch.float64)}

    return store.tensors(part.name, arguments, compute)["p"]
