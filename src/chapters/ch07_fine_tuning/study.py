"""Chapter 7's experiment as one object: its data, its base networks, its fine-tuned ones, and what they store."""

from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING

import torch

from chapters.ch07_fine_tuning import runs
from chapters.ch07_fine_tuning.data import SMOOTH, SOURCE, TARGET, Pairs, Records, simulated
from chapters.ch07_fine_tuning.runs import (
    FineTuning,
    Memorizing,
    Pretraining,
    Stored,
    Tuned,
    adapted,
    pretrained,
    stored,
    tuned,
)
from companion.jobs import LongWork
from companion.weights import recorded_weights

if TYPE_CHECKING:  # what settings may be changes no result
    from chapters.ch07_fine_tuning.settings import Settings

Long = Records | Pretraining | FineTuning | Memorizing
AT_ONCE = 500  # models of one part of records


class Study(LongWork):
    """Fine-tuning at the sizes of ``settings`` (07_fine_tuning of notebooks/profiles.yml).

    Seed k of it is base network k, target models k N_max on, and its own batches and adapters.
    """

    settings: "Settings"
    computed_by = runs.__name__

    @cached_property
    def base(self) -> dict[str, torch.Tensor]:
        """The recorded base network's weights."""
        return recorded_weights("07_fine_tuning", "base", self.device)[0]

    # ---- data ------------------------------------------------------------------------------------------------------

    def records(self, family: str, stream: str, num: int) -> tuple[Records, ...]:
        """The first ``num`` models, in parts."""
        starts = range(0, num, AT_ONCE)
        return tuple(Records(family, stream, min(AT_ONCE, num - at), self.seed, at) for at in starts)

    @property
    def source(self) -> tuple[Records, ...]:
        """Of the base networks, which have them in common."""
        return tuple(part for family in SOURCE for part in self.records(family, "train", self.settings.num_source))

    @property
    def target(self) -> tuple[Records, ...]:
        """The target's models of all seeds."""
        return self.records(TARGET, "train", self.num_target)

    @property
    def unseen(self) -> tuple[Records, ...]:
        """As many target models that no network is trained on."""
        return self.records(TARGET, "unseen", self.num_target)

    @property
    def num_target(self) -> int:
        """Of target models, those of all seeds."""
        size = self.settings
        most = max(*size.sizes, *size.memorizing.sizes)
        return most * max(size.num_seeds, size.memorizing.num_seeds)

    @cached_property
    def tests(self) -> dict[str, tuple[Records, ...]]:
        """What networks are tested on: the target's validation and test models, a source family, the one outside."""
        size = self.settings
        kinds = {"test": (TARGET, "test"), "source": (SOURCE[-1], "test"), "outside": (SMOOTH, "test")}
        found = {name: self.records(*kind, size.num_test) for name, kind in kinds.items()}
        return {"validation": self.records(TARGET, "validation", size.num_validation)} | found

    def pairs(self, parts: tuple[Records, ...]) -> Pairs:
        """What these parts have simulated, after :meth:`run`."""
        return Pairs.joined([self.result(part) for part in parts])

    # ---- trainings -------------------------------------------------------------------------------------------------

    @cached_property
    def bases(self) -> list[Pretraining | None]:
        """By seed; None for the recorded one."""
        size, num = self.settings, max(self.settings.num_seeds, self.settings.memorizing.num_seeds)
        if size.base == "recorded":
            return [None] * num
        plan = size.pretraining
        kind = size.width, size.num_source, plan.checkpoints, plan.batch_size, plan.rates[0]
        return [Pretraining(len(range(num)) * self.seed + k, *kind) for k in range(num)]

    @cached_property
    def tunings(self) -> list[FineTuning]:
        """Every method, N, seed and rate."""
        size, plan = self.settings, self.settings.fine_tuning
        kinds = [(method, rank) for method in size.methods for rank in (size.ranks if method == "LoRA" else (0,))]
        return [
            FineTuning(*kind, n, k, size.width, plan.checkpoints, plan.batch_size, rate, size.penalty, self.bases[k])
            for k in range(size.num_seeds)
            for n in size.sizes
            for kind in kinds
            for rate in plan.rates
        ]

    @cached_property
    def memorizings(self) -> list[Memorizing]:
        """All weights and every rank, N and seed."""
        size = self.settings.memorizing
        return [
            Memorizing(rank, n, k, self.settings.width, size.num_steps, size.rate, self.bases[k])
            for k in range(size.num_seeds)
            for n in size.sizes
            for rank in (0, *self.settings.ranks)
        ]

    # ---- long computations -----------------------------------------------------------------------------------------

    @cached_property
    def parts(self) -> list[Long]:
        """Records, base networks, fine-tuned networks, and networks that store shuffled pairs."""
        records = [*self.source, *self.target, *self.unseen, *(part for of in self.tests.values() for part in of)]
        return [*records, *filter(None, self.bases), *self.tunings, *self.memorizings]

    def needs(self, part: Long) -> list[Long]:
        """A base network needs the source's records; the others their base, the target's records and the tests'."""
        if isinstance(part, Records):
            return []
        if isinstance(part, Pretraining):
            return [*self.source]
        base = [part.base] if part.base else []
        if isinstance(part, Memorizing):
            return [*base, *self.target, *self.unseen]
        return [*base, *self.target, *(records for of in self.tests.values() for records in of)]

    def work(self, part: Long, earlier: Callable) -> Pairs | dict[str, torch.Tensor] | Tuned | Stored:
        """Pairs, a base network's weights, or what was measured. earlier: needed part -> its result."""

        def joined(parts: tuple[Records, ...]) -> Pairs:
            return Pairs.joined([earlier(one) for one in parts])

        if isinstance(part, Records):
            return simulated(part, self.store)
        if isinstance(part, Pretraining):
            return pretrained(part, joined(self.source), self.store)
        weights = earlier(part.base) if part.base else self.base
        first = self.first_of(part.seed)
        pairs = joined(self.target).part(first, part.num_examples)
        if isinstance(part, Memorizing):
            return stored(part, weights, pairs, joined(self.unseen).part(first, part.num_examples), self.store)
        return tuned(part, weights, pairs, {name: joined(of) for name, of in self.tests.items()}, self.store)

    def first_of(self, seed: int) -> int:
        """Number of the first target model of a seed: seeds have no model in common."""
        return seed * (self.num_target // len(self.bases))

    def network(self, run: FineTuning) -> torch.nn.Module:
        """What ``run`` starts from."""
        weights = self.result(run.base) if run.base else self.base
        return adapted(run, weights, self.pairs(self.target).records.shape[1:], self.device)

    # ---- results ---------------------------------------------------------------------------------------------------

    def chosen(self, label: str, n: int) -> list[Tuned]:
        """Of a method and N one entry a seed, at the learning rate with the least validation error over the seeds."""
        rates = {}
        for run in self.tunings:
            if (run.label, run.num_examples) == (label, n):
                rates.setdefault(run.rate, []).append(self.result(run))
        if not rates:
            raise ValueError(f"label, n: expected a method and N of the settings, got {label!r} and {n}")
        return min(rates.values(), key=lambda of: sum(float(one.errors["validation"][-1].mean()) for one in of))

    @property
    def labels(self) -> list[str]:
        """Of the methods, in their order."""
        return list(dict.fromkeys(run.label for run in self.tunings))
