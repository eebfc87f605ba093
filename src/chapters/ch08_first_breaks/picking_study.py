"""Chapter 8's supervised half as one object: gathers, encoders that saw no label, pickers, and the matched problem."""

from collections.abc import Callable
from dataclasses import asdict
from functools import cached_property
from typing import TYPE_CHECKING

import torch

from chapters.ch08_first_breaks.matched import Matched, MatchedScores, matched
from chapters.ch08_first_breaks.pickers import (
    GRIDS,
    LEARNED,
    Gathers,
    Labeled,
    PickerTraining,
    Picks,
    Pretraining,
    TunedPicks,
    Tuning,
    Weights,
    best_rate,
    classical_tuned,
    gathered,
    kind_of,
    picker_trained,
    pretrained,
)
from companion.jobs import LongWork
from companion.weights import recorded_weights
from memprior.checkpoint import digest
from memprior.geology.gathers import SHOTS

if TYPE_CHECKING:  # what settings may be changes no result
    from chapters.ch08_first_breaks.settings import Picking

Long = Gathers | Pretraining | PickerTraining | Tuning | Matched
ENCODERS = "encoders"  # file of weights that a full run leaves
AT_ONCE = 200  # gathers of one part
IN_SURVEY, SHIFTED = "base", "shifted"  # families: what pickers are trained on, and what they are tried on as well
POOL = IN_SURVEY, SHIFTED  # of the records without labels: whoever has shifted records can take them in


class PickingStudy(LongWork):
    """Pickers at the sizes of ``settings`` (08_first_breaks of notebooks/profiles.yml).

    Seed k of it has its own labeled gathers, pool, encoders and batches; validation and test gathers are shared. The
    N labeled gathers are the first N of its surveys, four a survey, as a crew would label them: N = 1 and 3 are one
    survey, 10 three of them; they are nested. Parts take seeds 100 seed, 100 seed + 1, ...
    """

    settings: "Picking"

    @cached_property
    def recorded(self) -> dict[str, Weights]:
        """Kind of pre-training -> the recorded encoder's weights."""
        found, _ = recorded_weights("08_first_breaks", ENCODERS, self.device)
        return split(found)

    # ---- gathers ---------------------------------------------------------------------------------------------------

    @property
    def seeds(self) -> range:
        """Of all parts."""
        return range(100 * self.seed, 100 * self.seed + self.settings.num_seeds)

    def gathers(self, family: str, stream: str, num: int, place: int = 0) -> tuple[Gathers, ...]:
        """``num`` gathers, the ``place``-th such set of a stream, in parts; no survey is in two sets."""
        first = place * -(-num // SHOTS) * SHOTS
        ends = first + num
        return tuple(
            Gathers(family, stream, min(AT_ONCE, ends - at), self.seed, at) for at in range(first, ends, AT_ONCE)
        )

    def labeled(self, seed: int) -> tuple[Gathers, ...]:
        """The labeled gathers of one seed: those of all its N."""
        return self.gathers(IN_SURVEY, "train", self.settings.sizes[-1], seed - 100 * self.seed)

    def pool(self, base: Pretraining) -> tuple[Gathers, ...]:
        """What an encoder learns from."""
        place = base.seed - 100 * self.seed
        return tuple(
            part for family in base.families for part in self.gathers(family, "pool", base.num_unlabeled, place)
        )

    @cached_property
    def tests(self) -> dict[str, tuple[Gathers, ...]]:
        """Validation gathers, by which rates are chosen; test gathers of other surveys; and a shifted survey."""
        size = self.settings
        return {
            "validation": self.gathers(IN_SURVEY, "validation", size.num_validation),
            "test": self.gathers(IN_SURVEY, "test", size.num_test),
            "shifted": self.gathers(SHIFTED, "test", size.num_test),
        }

    def joined(self, parts: tuple[Gathers, ...]) -> Labeled:
        """What these parts are, after :meth:`run`."""
        return joined([self.result(part) for part in parts])

    # ---- trainings -------------------------------------------------------------------------------------------------

    @cached_property
    def bases(self) -> dict[tuple[str, int], Pretraining]:
        """(Kind, seed) -> pre-training, of all that the starts rest on; none where encoders are recorded."""
        size, plan = self.settings, self.settings.unlabeled
        kinds = dict.fromkeys(kind for start in size.starts if (kind := kind_of(start)))
        if size.base == "recorded":
            return {}

        def of(kind: str, seed: int) -> Pretraining:
            game = kind == LEARNED
            steps, rate = (plan.adversarial_steps, plan.adversarial_rate) if game else (plan.num_steps, plan.rate)
            how = plan.num, steps, plan.batch_size, rate, plan.code, plan.hidden, plan.latent
            return Pretraining(kind, POOL, seed, size.width, *how)

        return {(kind, seed): of(kind, seed) for seed in self.seeds for kind in kinds}

    def training(self, start: str, n: int, seed: int, rate: float | None, trials=()) -> PickerTraining:
        """Of a picker."""
        size, kind = self.settings, kind_of(start)
        steps = size.num_steps[size.sizes.index(n)]
        base = self.bases.get((kind, seed)) if kind else None
        return PickerTraining(start, n, seed, size.width, steps, size.batch_size, rate, base, trials)

    @cached_property
    def trials(self) -> dict[str, tuple[PickerTraining, ...]]:
        """Start -> pickers of every seed and rate, at the N at which the rate is chosen."""
        size = self.settings
        return {
            start: tuple(
                self.training(start, size.trial_size, seed, rate) for seed in self.seeds for rate in size.rates
            )
            for start in size.starts
        }

    @cached_property
    def pickers(self) -> list[PickerTraining]:
        """Trials, and every start, other N and seed at the rate that they choose."""
        size = self.settings
        rest = [n for n in size.sizes if n != size.trial_size]
        chosen = [
            self.training(start, n, seed, None, self.trials[start])
            for seed in self.seeds
            for n in rest
            for start in size.starts
        ]
        return [*(run for of in self.trials.values() for run in of), *chosen]

    @cached_property
    def tunings(self) -> list[Tuning]:
        """Classical pickers, for every N and seed."""
        return [Tuning(method, n, seed) for seed in self.seeds for n in self.settings.sizes for method in GRIDS]

    @cached_property
    def matched(self) -> Matched:
        """The problem of single traces."""
        return Matched(seed=self.seed, width=self.settings.width, **asdict(self.settings.matched))

    # ---- long computations -----------------------------------------------------------------------------------------

    @cached_property
    def parts(self) -> list[Long]:
        """Gathers, encoders, pickers, classical pickers, and the matched problem."""
        gathers = [part for base in self.bases.values() for part in self.pool(base)]
        gathers += [part for seed in self.seeds for part in self.labeled(seed)]
        gathers += [part for of in self.tests.values() for part in of]
        return [*dict.fromkeys(gathers), *self.bases.values(), *self.pickers, *self.tunings, self.matched]

    def needs(self, part: Long) -> list[Long]:
        """An encoder needs its pool; a picker its encoder, its labeled gathers, and tests."""
        if isinstance(part, Gathers | Matched):
            return []
        if isinstance(part, Pretraining):
            return [*self.pool(part)]
        base = [*([part.base] if part.base else []), *part.trials] if isinstance(part, PickerTraining) else []
        return [*base, *self.labeled(part.seed), *(gathers for of in self.tests.values() for gathers in of)]

    def arguments(self, part: Long) -> dict:
        """Its fields, and what it is given: gathers, or the weights of a recorded encoder."""
        given = [asdict(one) for one in self.needs(part)]
        weights = self.weights(part) if isinstance(part, PickerTraining) and part.base is None else None
        return asdict(part) | {"given": given} | ({"encoder": digest(weights, {})} if weights else {})

    def weights(self, part: PickerTraining) -> Weights | None:
        """Of the recorded encoder that a picker starts from; None for random weights. ``ValueError`` for none of it."""
        if part.kind and part.kind not in self.recorded:
            raise ValueError(
                f"start: expected one of a recorded encoder ({', '.join(self.recorded)}), got {part.kind!r}"
            )
        return self.recorded[part.kind] if part.kind else None

    def work(self, part: Long, earlier: Callable) -> Labeled | Weights | Picks | TunedPicks | MatchedScores:
        """Gathers, an encoder's weights, picks, or scores. earlier: needed part -> its result."""
        kept = self.store, self.arguments(part)
        if isinstance(part, Gathers):
            return gathered(part, *kept)
        if isinstance(part, Matched):
            return matched(part, *kept)

        def given(parts: tuple[Gathers, ...]) -> Labeled:
            return joined([earlier(one) for one in parts])

        if isinstance(part, Pretraining):
            return pretrained(part, given(self.pool(part)).traces, *kept)
        gathers = given(self.labeled(part.seed)).part(part.num_gathers)
        tests = {name: given(of) for name, of in self.tests.items()}
        if isinstance(part, Tuning):
            return classical_tuned(part, gathers, tests, *kept)
        weights = earlier(part.base) if part.base else self.weights(part)
        trials = {run: earlier(run) for run in part.trials}
        rate = best_rate(trials, tests["validation"]) if part.rate is None else part.rate
        return picker_trained(part, rate, weights, gathers, tests, *kept)

    # ---- results ---------------------------------------------------------------------------------------------------

    def members(self, seed: int, n: int) -> Labeled:
        """The N labeled gathers of a seed."""
        return self.joined(self.labeled(seed)).part(n)

    def chosen(self, start: str, n: int) -> list[PickerTraining]:
        """Of a start and N one picker a seed, at the chosen rate."""
        found = [run for run in self.pickers if (run.start, run.num_gathers) == (start, n)]
        if not found:
            raise ValueError(f"start, n: expected a start and N of the settings, got {start!r} and {n}")
        return [run for run in found if run.rate in (None, self.rate(start))]

    def rate(self, start: str) -> float:
        """Learning rate that the trials of a start choose."""
        trials = {run: self.result(run) for run in self.trials[start]}
        return best_rate(trials, self.joined(self.tests["validation"]))

    def tuned(self, method: str, n: int) -> list[TunedPicks]:
        """Of a classical picker and N, one a seed."""
        found = [self.result(run) for run in self.tunings if (run.method, run.num_gathers) == (method, n)]
        if not found:
            raise ValueError(f"method, n: expected a method and N of the settings, got {method!r} and {n}")
        return found


def joined(parts: list[Labeled]) -> Labeled:
    """All of them, one after the other."""
    names = "traces", "onsets", "live", "surveys"
    return Labeled(*(torch.cat([getattr(part, name) for part in parts]) for name in names))


def encoders(study: PickingStudy) -> tuple[Weights, dict] | None:
    """The first seed's encoders and how they were made, which quick runs start from; None where they are given."""
    bases = {kind: base for (kind, seed), base in study.bases.items() if seed == study.seeds[0]}
    weights = {f"{kind}.{name}": w for kind, base in bases.items() for name, w in study.result(base).items()}
    return (weights, {kind: asdict(base) for kind, base in bases.items()}) if bases else None


def split(weights: Weights) -> dict[str, Weights]:
    """Kind -> weights, of what :func:`encoders` gave."""
    found: dict[str, Weights] = {}
    for key, tensor in weights.items():
        kind, _, name = key.partition(".")
        found.setdefault(kind, {})[name] = tensor
    return found
