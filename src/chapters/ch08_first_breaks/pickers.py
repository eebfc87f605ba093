"""Chapter 8's pickers: gathers, encoders that learn from records without labels, and pickers trained on few labels.

Each is a part that the store keeps. A part that is killed goes on from its checkpoint and gives the same bits.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from companion.jobs import part_name
from companion.store import Store
from memprior._check import expect
from memprior._random import generator_for
from memprior.adapters import FineTuningPlan, FineTuningState, fine_tune
from memprior.adversarial import AdversarialPlan, train_adversarial
from memprior.geology import shot_gathers, unlabeled_gathers
from memprior.picking import AIC_GRID, STA_LTA_GRID, Aic, OnsetPosterior, StaLta, tune
from memprior.trace_networks import (
    MaskedTraceAutoencoder,
    OnsetUNet,
    SectionDiscriminator,
    SectionGenerator,
    TraceAutoencoder,
    hide_traces,
    onset_steps,
    unit_traces,
)

STREAMS = ("train", "validation", "test", "pool")  # of a family; gathers of different streams are independent
KINDS = ("autoencoder", "masked", "discriminator")  # of pre-training
LEARNED, UNTRAINED, FROZEN = "discriminator", "discriminator, untrained", "frozen"
FINAL = 1 / 20  # the last learning rate over the first
MASKINGS = 4  # of each gather of the pool
LEVEL = 0.9  # of the intervals that a network gives
GATHERS_AT_ONCE = 16
Weights = dict[str, torch.Tensor]


# ---- gathers -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Gathers:
    """``num`` gathers of one family and stream from number ``first`` on; those of "pool" have no labels."""

    family: str
    stream: str
    num: int
    seed: int
    first: int = 0

    @property
    def name(self) -> str:
        return part_name(f"gathers {self.family} {self.stream} {self.seed} {self.first}", self)


@dataclass(frozen=True, eq=False)
class Labeled:
    """traces: (num, 64, 128), float32. onsets: (num, 64), float64, in samples. live: (num, 64), bool. surveys: (num,).

    Of a pool onsets, live and surveys are empty.
    """

    traces: torch.Tensor
    onsets: torch.Tensor
    live: torch.Tensor
    surveys: torch.Tensor

    def __len__(self) -> int:
        return len(self.traces)

    def part(self, num: int) -> "Labeled":
        """The first ``num``."""
        return Labeled(self.traces[:num], self.onsets[:num], self.live[:num], self.surveys[:num])


def gathered(part: Gathers, store: Store, arguments: dict) -> Labeled:
    """What ``part`` is. arguments: of the store's entry, for all parts those of ``PickingStudy.arguments``."""
    seed = len(STREAMS) * part.seed + STREAMS.index(part.stream)

    def compute(_) -> Weights:
        if part.stream == "pool":
            traces, empty = unlabeled_gathers(part.family, part.num, seed=seed, first=part.first), torch.empty(0)
            return {"traces": traces, "onsets": empty, "live": empty.bool(), "surveys": empty.long()}
        found = shot_gathers(part.family, part.num, seed=seed, first=part.first)
        return {name: getattr(found, name) for name in ("traces", "onsets", "live", "surveys")}

    return Labeled(**store.tensors(part.name, arguments, compute))


# ---- encoders that have seen no label ------------------------------------------------------------------------------


@dataclass(frozen=True)
class Pretraining:
    """The training of an encoder on ``num_unlabeled`` gathers of each of ``families``, of which nobody knows a label.

    kind: "autoencoder", by a code of ``code`` channels; "masked", the same with a share ``hidden`` of the traces zero;
    "discriminator", against a generator of ``latent`` numbers. No skip leads around the code: the encoder's innermost
    stage has to hold what the decoder needs.
    """

    kind: str
    families: tuple[str, ...]
    seed: int
    width: int
    num_unlabeled: int
    num_steps: int
    batch_size: int
    rate: float
    code: int
    hidden: float
    latent: int

    def __post_init__(self):
        expect(self.kind in KINDS, "kind", f"one of {KINDS}", self.kind)

    @property
    def name(self) -> str:
        return part_name(f"pretrain {self.kind} {self.seed}", self)


def pretrained(run: Pretraining, pool: torch.Tensor, store: Store, arguments: dict) -> Weights:
    """The encoder's weights. pool: traces (num, 64, 128)."""

    def compute(folder: Path) -> Weights:
        traces = unit_traces(pool)
        if run.kind == "discriminator":
            return _discriminator(run, traces, folder)
        kind = {"autoencoder": TraceAutoencoder, "masked": MaskedTraceAutoencoder}[run.kind]
        network = kind(run.code, run.width, generator=generator_for(f"{run.kind} {run.seed}"), device=pool.device)
        inputs = traces
        if run.kind == "masked":
            traces = traces.repeat(MASKINGS, 1, 1)
            inputs, _ = hide_traces(traces, run.hidden, generator=generator_for(f"hidden {run.seed}"))
        plan = FineTuningPlan(run.num_steps, run.batch_size, run.rate, FINAL * run.rate)
        options: dict[str, Any] = {"checkpoint": folder / "run.safetensors", "save_every": 100}
        generator = generator_for(f"{run.kind} batches {run.seed}")
        for _ in fine_tune(network, inputs, traces, plan, generator=generator, **options):
            pass
        return network.encoder.state_dict()

    return store.tensors(run.name, arguments, compute)


def _discriminator(run: Pretraining, traces: torch.Tensor, folder: Path) -> Weights:
    """Its features' weights at the end of the game."""
    shape, random = tuple(traces.shape[1:]), generator_for(f"{run.kind} {run.seed}")
    maker = SectionGenerator(run.latent, shape, run.width, generator=random, device=traces.device)
    judge = SectionDiscriminator(shape, run.width, generator=random, device=traces.device)
    plan = AdversarialPlan(run.num_steps, run.batch_size, run.rate, run.rate)
    options: dict[str, Any] = {"checkpoint": folder / "run.safetensors", "save_every": 100}
    batches = generator_for(f"{run.kind} batches {run.seed}")
    for _ in train_adversarial(maker, judge, traces, plan, generator=batches, **options):
        pass
    return judge.features.state_dict()


# ---- pickers -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class PickerTraining:
    """A picker trained on ``num_gathers`` labeled gathers.

    start: "scratch"; a kind of pre-training; "discriminator, untrained", the discriminator's encoder with random
    weights; "random, frozen" and "autoencoder, frozen", whose encoders stay as they are. rate: of learning; None: that
    of ``trials`` with the highest hit rate on validation gathers. base: the pre-training, None where there is none or
    the recorded encoder is taken.
    """

    start: str
    num_gathers: int
    seed: int
    width: int
    num_steps: int
    batch_size: int
    rate: float | None
    base: Pretraining | None = None
    trials: tuple["PickerTraining", ...] = ()

    def __post_init__(self):
        known = (self.rate is None) == (len(self.trials) > 0)
        expect(known, "rate", "a number, or None where there are trials", self.rate)

    @property
    def frozen(self) -> bool:
        """Whether the encoder stays as it is."""
        return self.start.endswith(FROZEN)

    @property
    def kind(self) -> str | None:
        """Of the pre-training whose encoder it starts from; None for random weights."""
        return kind_of(self.start)

    @property
    def name(self) -> str:
        rate = "chosen" if self.rate is None else f"{self.rate:g}"
        return part_name(f"picker {self.start} {self.num_gathers} {rate} {self.seed}", self)

    def at(self, rate: float) -> "PickerTraining":
        """The same, at a rate."""
        return replace(self, rate=rate, trials=())

    @property
    def plan(self) -> FineTuningPlan:
        expect(self.rate is not None, "rate", "one that is chosen", self.rate)
        rate = float(self.rate or 0)
        return FineTuningPlan(self.num_steps, self.batch_size, rate, FINAL * rate)


def kind_of(start: str) -> str | None:
    """Of the pre-training that a start rests on; None where it rests on none."""
    first = start.split(",")[0]
    return None if start == UNTRAINED or first not in KINDS else first


@dataclass(frozen=True, eq=False)
class Picks:
    """Of each set of gathers the median of what a network says, and its central 90 % interval, in samples, (num, 64).

    medians, low, high: by set; "members" are the gathers that it was trained on. loss: of the last step. weights: of
    the network.
    """

    medians: dict[str, torch.Tensor]
    low: dict[str, torch.Tensor]
    high: dict[str, torch.Tensor]
    loss: float
    weights: Weights


def build_picker(run: PickerTraining, weights: Weights | None, device: torch.device) -> OnsetUNet:
    """What ``run`` trains, what it does not train frozen. weights: of the encoder; None: random ones."""
    features = run.start in (LEARNED, UNTRAINED)
    network = OnsetUNet(run.width, features=features, generator=generator_for(f"picker {run.seed}"), device=device)
    expect((weights is None) == (run.kind is None), "weights", f"an encoder's for the start {run.start!r}", weights)
    if weights is not None:
        network.encoder.load_state_dict(weights)
    network.encoder.requires_grad_(not run.frozen)
    return network


def trained(run: PickerTraining, network: nn.Module, gathers: Labeled, folder: Path) -> Iterator[FineTuningState]:
    """States of the training on all of ``gathers``."""
    purpose = f"picker batches {run.num_gathers} {run.seed}"
    targets = onset_steps(gathers.onsets, gathers.traces.shape[-1]).float()
    options: dict[str, Any] = {"checkpoint": folder / "run.safetensors", "save_every": 100}
    yield from fine_tune(network, gathers.traces, targets, run.plan, generator=generator_for(purpose), **options)


@torch.no_grad()
def onset_posterior(network: nn.Module, traces: torch.Tensor) -> OnsetPosterior:
    """What a network says of traces (num, H, W), gathers one after another: (num H, W)."""
    below = torch.cat([network(some) for some in traces.split(GATHERS_AT_ONCE)]).flatten(0, 1).double()
    return OnsetPosterior.of_distribution(below / below[:, -1:])


def picker_trained(
    run: PickerTraining,
    rate: float,
    weights: Weights | None,
    gathers: Labeled,
    tests: dict[str, Labeled],
    store: Store,
    arguments: dict,
) -> Picks:
    """Train on ``gathers``, at the rate that is given or chosen, pick ``tests`` and them."""

    def compute(folder: Path) -> Weights:
        network = build_picker(run, weights, store.device)
        *_, state = trained(run.at(rate), network, gathers, folder)
        found = {"loss": state.loss} | {f"weights.{name}": w for name, w in network.state_dict().items()}
        for name, these in (tests | {"members": gathers}).items():
            posterior, shape = onset_posterior(network, these.traces), these.onsets.shape
            for what, level in (("medians", 0.5), ("low", (1 - LEVEL) / 2), ("high", (1 + LEVEL) / 2)):
                found[f"{what}.{name}"] = posterior.quantile(level).reshape(shape)
        return found

    stored = store.tensors(run.name, arguments, compute)

    def below(what: str) -> Weights:
        return {name.removeprefix(f"{what}."): of for name, of in stored.items() if name.startswith(f"{what}.")}

    return Picks(below("medians"), below("low"), below("high"), float(stored["loss"]), below("weights"))


def best_rate(trials: dict[PickerTraining, Picks], validation: Labeled) -> float:
    """The learning rate of the highest hit rate at one sample on validation gathers, all trials of a rate together."""
    hits: dict[float, float] = {}
    for run, picks in trials.items():
        within = (picks.medians["validation"] - validation.onsets).abs() <= 1
        rate = float(run.rate or 0)
        hits[rate] = hits.get(rate, 0.0) + float(within[validation.live].double().mean())
    return max(hits, key=lambda rate: hits[rate])


# ---- classical pickers ---------------------------------------------------------------------------------------------

GRIDS = {"AIC": AIC_GRID, "STA/LTA": STA_LTA_GRID}


@dataclass(frozen=True)
class Tuning:
    """A classical picker tuned on the same gathers as a network of the same seed."""

    method: str
    num_gathers: int
    seed: int

    def __post_init__(self):
        expect(self.method in GRIDS, "method", f"one of {', '.join(GRIDS)}", self.method)

    @property
    def name(self) -> str:
        return part_name(f"tune {self.method} {self.num_gathers} {self.seed}", self)


@dataclass(frozen=True, eq=False)
class TunedPicks:
    """picker: tuned. medians: its picks by set, (num, 64), NaN where there is none."""

    picker: Aic | StaLta
    medians: dict[str, torch.Tensor]


def classical_tuned(
    run: Tuning, gathers: Labeled, tests: dict[str, Labeled], store: Store, arguments: dict
) -> TunedPicks:
    """Of the whole grid the picker of the highest hit rate at one sample on ``gathers``, its shift with it."""

    def compute(_) -> Weights:
        grid = GRIDS[run.method]
        best = tune(grid, gathers.traces, gathers.onsets, gathers.live).picker
        place = grid.index(replace(best, shift=0.0))
        found = {"place": torch.tensor(place), "shift": torch.tensor(best.shift, dtype=torch.float64)}
        return found | {name: best(these.traces) for name, these in (tests | {"members": gathers}).items()}

    stored = store.tensors(run.name, arguments, compute)
    picker = replace(GRIDS[run.method][int(stored.pop("place"))], shift=float(stored.pop("shift")))
    return TunedPicks(picker, stored)
