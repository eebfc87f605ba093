"""Chapter 7's experiment as one object: its data, its base networks, its fine-tuned ones, and what they store."""

from collections.abc import Callable
from dataclasses import asdict
from functools import cached_property
from typing import TYPE_CHECKING

import torch

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
from memprior.checkpoint import digest

if TYPE_CHECKING:  # what settings may be changes no result
    from chapters.ch07_fine_tuning.settings import Settings

Long = Records | Pretraining | FineTuning | Memorizing
AT_ONCE = 500  # models of one part of records
EARLY = "early stopping"  # of all weights: where the validation error is least


class Study(LongWork):
    """Fine-tuning at the sizes of ``settings`` (07_fine_tuning of notebooks/profiles.yml).

    Seed k of it has its own source models and base network (unless that is recorded), and its own target models,
    batches and adapters; tests and validation models are shared. Parts take seeds 100 seed, 100 seed + 1, ...
    """

    settings: "Settings"

    @cached_property
    def base(self) -> dict[str, torch.Tensor]:
        """The recorded base network's weights."""
        return recorded_weights("07_fine_tuning", "base", self.device)[0]

    # ---- data ------------------------------------------------------------------------------------------------------

    def records(self, family: str, stream: str, num: int, first: int = 0) -> tuple[Records, ...]:
        """``num`` models from number ``first`` on, in parts."""
        ends = first + num
        starts = range(first, ends, AT_ONCE)
        return tuple(Records(family, stream, min(AT_ONCE, ends - at), self.seed, at) for at in starts)

    def source(self, base: Pretraining) -> tuple[Records, ...]:
        """Of a base network."""
        num = self.settings.num_source
        first = self.place(base.seed) * num
        return tuple(part for family in SOURCE for part in self.records(family, "train", num, first))

    def target(self, seed: int) -> tuple[Records, ...]:
        """The target models of one seed: those of all its N, which are nested."""
        return self.records(TARGET, "train", self.most, self.place(seed) * self.most)

    def unseen(self, seed: int) -> tuple[Records, ...]:
        """As many target models that no network is trained on."""
        return self.records(TARGET, "unseen", self.most, self.place(seed) * self.most)

    @property
    def most(self) -> int:
        """The largest N."""
        return max(*self.settings.sizes, *self.settings.memorizing.sizes)

    def place(self, seed: int) -> int:
        """0, 1, ... of the seed of a part."""
        return seed - 100 * self.seed

    @property
    def seeds(self) -> range:
        """Of all parts."""
        return range(100 * self.seed, 100 * self.seed + self.settings.num_seeds)

    @cached_property
    def tests(self) -> dict[str, tuple[Records, ...]]:
        """What networks are tested on: the target's validation and test models, a source family, the one outside."""
        size = self.settings
        kinds = {"test": (TARGET,), "source": SOURCE, "outside": (SMOOTH,)}  # of as many models each
        found = {
            name: tuple(part for family in of for part in self.records(family, "test", size.num_test // len(of)))
            for name, of in kinds.items()
        }
        return {"validation": self.records(TARGET, "validation", size.num_validation)} | found

    def pairs(self, parts: tuple[Records, ...]) -> Pairs:
        """What these parts have simulated, after :meth:`run`."""
        return Pairs.joined([self.result(part) for part in parts])

    # ---- trainings -------------------------------------------------------------------------------------------------

    @cached_property
    def bases(self) -> dict[int, Pretraining | None]:
        """By seed; None for the recorded one."""
        size, plan = self.settings, self.settings.pretraining
        kind = size.width, size.num_source, plan.checkpoints, plan.batch_size, plan.rates[0]
        return {seed: Pretraining(seed, *kind) if size.base == "trained" else None for seed in self.seeds}

    @cached_property
    def tunings(self) -> list[FineTuning]:
        """Every method, N, seed and rate."""
        size, plan = self.settings, self.settings.fine_tuning
        kinds = [(method, rank) for method in size.methods for rank in (size.ranks if method == "LoRA" else (0,))]
        return [
            FineTuning(*kind, n, seed, size.width, plan.checkpoints, plan.batch_size, rate, size.penalty, base)
            for seed, base in self.bases.items()
            for n in size.sizes
            for kind in kinds
            for rate in plan.rates
        ]

    @cached_property
    def memorizings(self) -> list[Memorizing]:
        """All weights and every rank, N, seed and rate."""
        size = self.settings.memorizing
        return [
            Memorizing(rank, n, seed, self.settings.width, size.num_steps, rate, base)
            for seed, base in self.bases.items()
            for n in size.sizes
            for rank in (0, *self.settings.ranks)
            for rate in size.rates
        ]

    # ---- long computations -----------------------------------------------------------------------------------------

    @cached_property
    def parts(self) -> list[Long]:
        """Records, base networks, fine-tuned networks, and networks that store shuffled pairs."""
        bases = [base for base in self.bases.values() if base]
        records = [part for base in bases for part in self.source(base)]
        records += [part for seed in self.seeds for of in (self.target, self.unseen) for part in of(seed)]
        records += [part for of in self.tests.values() for part in of]
        return [*records, *bases, *self.tunings, *self.memorizings]

    def needs(self, part: Long) -> list[Long]:
        """A base network needs its source's records; the others their base, their target records, and tests."""
        if isinstance(part, Records):
            return []
        if isinstance(part, Pretraining):
            return [*self.source(part)]
        needed = [*([part.base] if part.base else []), *self.target(part.seed)]
        if isinstance(part, Memorizing):
            return needed
        return [*needed, *(records for of in self.tests.values() for records in of)]

    def arguments(self, part: Long) -> dict:
        """Its fields, and what it is given: records, or the weights of the recorded base network."""
        given = [asdict(one) for one in self.needs(part)]
        recorded = isinstance(part, FineTuning | Memorizing) and part.base is None
        return asdict(part) | {"given": given} | ({"base weights": digest(self.base, {})} if recorded else {})

    def work(self, part: Long, earlier: Callable) -> Pairs | dict[str, torch.Tensor] | Tuned | Stored:
        """Pairs, a base network's weights, or what was measured. earlier: needed part -> its result."""

        def joined(parts: tuple[Records, ...]) -> Pairs:
            return Pairs.joined([earlier(one) for one in parts])

        kept = self.store, self.arguments(part)
        if isinstance(part, Records):
            return simulated(part, *kept)
        if isinstance(part, Pretraining):
            return pretrained(part, joined(self.source(part)), *kept)
        weights = earlier(part.base) if part.base else self.base
        pairs = joined(self.target(part.seed)).part(0, part.num_examples)
        if isinstance(part, Memorizing):
            return stored(part, weights, pairs, *kept)
        return tuned(part, weights, pairs, {name: joined(of) for name, of in self.tests.items()}, *kept)

    def network(self, run: FineTuning) -> torch.nn.Module:
        """What ``run`` starts from."""
        weights = self.result(run.base) if run.base else self.base
        return adapted(run, weights, self.pairs(self.target(run.seed)).records.shape[1:], self.device)

    # ---- results ---------------------------------------------------------------------------------------------------

    def chosen(self, label: str, n: int) -> list[Tuned]:
        """Of a method and N one entry a seed, at the learning rate with the least validation error over the seeds.

        Where ``label`` is :data:`EARLY`, of all weights, with the error where it is least along the training.
        """
        early, rates = label == EARLY, {}
        for run in self.tunings:
            if (run.label, run.num_examples) == ("all" if early else label, n):
                rates.setdefault(run.rate, []).append(self.result(run))
        if not rates:
            raise ValueError(f"label, n: expected a method and N of the settings, got {label!r} and {n}")
        return min(rates.values(), key=lambda of: sum(one.validation(early=early) for one in of))

    def most_stored(self, rank: int, n: int) -> tuple[float, list[Stored]]:
        """(Learning rate, one entry a seed) with the least loss over the seeds, of networks that store shuffled pairs.

        A rank that is held at one rate may be slow there, not small.
        """
        rates = {}
        for run in self.memorizings:
            if (run.rank, run.num_examples) == (rank, n):
                rates.setdefault(run.rate, []).append(self.result(run))
        return min(rates.items(), key=lambda item: sum(one.loss for one in item[1]))

    @property
    def labels(self) -> list[str]:
        """Of the methods, in their order."""
        return list(dict.fromkeys(run.label for run in self.tunings))
