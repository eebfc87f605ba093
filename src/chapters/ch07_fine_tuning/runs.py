"""Chapter 7's trainings: base networks, fine-tuned networks, and networks that store shuffled pairs.

Each is a part that the store keeps. A part that is killed goes on from its checkpoint and gives the same bits.
"""

import copy
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import nn

from chapters.ch07_fine_tuning.data import Pairs
from companion.jobs import part_name
from companion.store import Store
from memprior._check import expect
from memprior._random import choices, generator_for
from memprior.adapters import FineTuningPlan, FineTuningState, add_lora, count_trainable, fine_tune, merge, train_only
from memprior.encoder_decoder import EncoderDecoder
from memprior.memorization import membership_auc, retrieval

OUTPUT_KMS = 1.2, 4.8  # of what a network can put out: the models' bounds are 1.5 and 4.5
METHODS = ("scratch", "all", "head", "norms", "to the start", "LoRA")
FINAL = 1 / 20  # the last learning rate over the first
MODELS_AT_ONCE = 32  # models through a network at once


# ---- networks ------------------------------------------------------------------------------------------------------


def build_network(shape: tuple[int, ...], width: int, purpose: str, device: torch.device) -> EncoderDecoder:
    """An untrained one for records (sources, time, receivers), its weights drawn for ``purpose``."""
    limits = dict(zip(("slowest", "fastest"), OUTPUT_KMS, strict=True))
    receivers = shape[-1]
    network = EncoderDecoder(shape, (receivers, receivers), width, generator=generator_for(purpose), **limits)
    return network.to(device)


def scaled(records: torch.Tensor) -> torch.Tensor:
    """asinh of records over their root mean square: late reflections are a hundredth of the direct wave."""
    return torch.asinh(30 * records / records.square().mean((1, 2, 3), keepdim=True).sqrt())


@torch.no_grad()
def predict(network: nn.Module, records: torch.Tensor) -> torch.Tensor:
    """Velocity in km/s, (N, H, W)."""
    network.eval()
    return torch.cat([network(scaled(some)) for some in records.split(MODELS_AT_ONCE)])


def errors(predictions: torch.Tensor, models: torch.Tensor) -> torch.Tensor:
    """Mean absolute error of each model in m/s, (N,)."""
    return 1000 * (predictions - models).abs().mean((1, 2))


# ---- base networks -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Pretraining:
    """The training of a base network on ``num_source`` models of each source family."""

    seed: int
    width: int
    num_source: int
    checkpoints: tuple[int, ...]
    batch_size: int
    rate: float

    @property
    def name(self) -> str:
        return part_name(f"pretrain {self.seed}", self)

    @property
    def plan(self) -> FineTuningPlan:
        return FineTuningPlan(self.checkpoints[-1], self.batch_size, self.rate, FINAL * self.rate)


def pretrained(run: Pretraining, source: Pairs, store: Store, arguments: dict) -> dict[str, torch.Tensor]:
    """The weights of a base network. arguments: of the store's entry, for all parts those of ``Study.arguments``."""

    def compute(folder: Path) -> dict[str, torch.Tensor]:
        network = build_network(source.records.shape[1:], run.width, f"base {run.seed}", store.device)
        *_, _ = trained(network, source, run.plan, f"base batches {run.seed}", folder)
        return network.state_dict()

    return store.tensors(run.name, arguments, compute)


def trained(
    network: nn.Module, pairs: Pairs, plan: FineTuningPlan, purpose: str, folder: Path, snapshots=()
) -> Iterator[FineTuningState]:
    """States of the training of what asks for a gradient in ``network``, its batches drawn for ``purpose``."""
    options = {"generator": generator_for(purpose), "snapshots": snapshots, "save_every": 200}
    checkpoint = folder / "run.safetensors"
    yield from fine_tune(network.train(), scaled(pairs.records), pairs.models, plan, checkpoint=checkpoint, **options)


# ---- fine-tuning ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class FineTuning:
    """A base network adapted to ``num_examples`` models of the target family.

    method: one of :data:`METHODS`; rank: of LoRA, else 0. base: its pre-training, or None for the recorded one.
    """

    method: str
    rank: int
    num_examples: int
    seed: int
    width: int
    checkpoints: tuple[int, ...]
    batch_size: int
    rate: float
    penalty: float
    base: Pretraining | None

    def __post_init__(self):
        expect(self.method in METHODS, "method", f"one of {METHODS}", self.method)
        expect((self.rank > 0) == (self.method == "LoRA"), "rank", ">= 1 for LoRA, else 0", self.rank)

    @property
    def label(self) -> str:
        return f"LoRA, rank {self.rank}" if self.rank else self.method

    @property
    def name(self) -> str:
        readable = f"tune {self.method} {self.rank} {self.num_examples} {self.rate:g} {self.seed}"
        return part_name(readable, self)

    @property
    def plan(self) -> FineTuningPlan:
        penalty = self.penalty if self.method == "to the start" else 0.0
        final = FINAL * self.rate
        return FineTuningPlan(self.checkpoints[-1], self.batch_size, self.rate, final, start_penalty=penalty)


def adapted(run: FineTuning, weights: dict[str, torch.Tensor], shape, device: torch.device) -> EncoderDecoder:
    """The network that ``run`` trains, with the weights that it does not train frozen. weights: of the base network."""
    network = build_network(shape, run.width, f"scratch {run.seed}", device)
    if run.method != "scratch":
        network.load_state_dict(weights)
    if run.method == "LoRA":
        generator = generator_for(f"adapter {run.rank} {run.seed}")
        add_lora(network, run.rank, layers=lambda name, _: name != "head", generator=generator)
    kind = {"LoRA": "lora", "head": "head", "norms": "norms"}.get(run.method, "all")
    train_only(network, kind)
    return network


CUTS = (0, 1, 2, 4, 8, 16, 32)  # ranks that the update of every convolution is cut to


@dataclass(frozen=True, eq=False)
class Tuned:
    """What a fine-tuned network does before the first step and at each of C checkpoints.

    errors: in m/s of each model of every test set by name, and of "members", its N training models, (1 + C, n).
    best: where the validation error is least. predictions: for the target's test records, in km/s, at the last
    checkpoint and at the best, (2, n, H, W). cut: of method "all", errors on "test" when the update of every
    convolution is cut to :data:`CUTS`, (cuts, n); else empty. num_trained: weights that were trained.
    """

    errors: dict[str, torch.Tensor]
    best: int
    predictions: torch.Tensor
    cut: torch.Tensor
    num_trained: int

    def error(self, name: str, *, early: bool = False) -> torch.Tensor:
        """In m/s of each model of a test set, at the end, or where the validation error is least, (n,)."""
        return self.errors[name][self.best if early else -1]

    def validation(self, *, early: bool = False) -> float:
        """Mean of it on the validation models."""
        return float(self.error("validation", early=early).mean())


def tuned(
    run: FineTuning,
    weights: dict[str, torch.Tensor],
    pairs: Pairs,
    tests: dict[str, Pairs],
    store: Store,
    arguments: dict,
) -> Tuned:
    """Fine-tune on ``pairs``; tests: name -> pairs, "validation" and "test", of the target, among them."""

    def compute(folder: Path) -> dict[str, torch.Tensor]:
        network = adapted(run, weights, pairs.records.shape[1:], store.device)
        start = {name: w.detach().clone() for name, w in network.state_dict().items()}
        purpose = f"batches {run.num_examples} {run.seed}"
        *_, state = trained(network, pairs, run.plan, purpose, folder, run.checkpoints)
        sets = tests | {"members": pairs}
        found: dict[str, list[torch.Tensor]] = {name: [] for name in sets}
        outputs = []
        for snapshot in (start, *(state.snapshots[step] for step in run.checkpoints)):
            network.load_state_dict(snapshot, strict=False)
            for name, these in sets.items():
                prediction = predict(network, these.records)
                found[name].append(errors(prediction, these.models))
                if name == "test":
                    outputs.append(prediction)
        values = {f"errors.{name}": torch.stack(of) for name, of in found.items()}
        best = int(values["errors.validation"].mean(1).argmin())
        kept = {"best": torch.tensor(best), "num_trained": torch.tensor(count_trainable(network))}
        if run.method == "all":
            cuts, test = [cut_update(network, weights, rank) for rank in CUTS], tests["test"]
            kept["cut"] = torch.stack([errors(predict(one, test.records), test.models) for one in cuts])
        return values | kept | {"predictions": torch.stack([outputs[-1], outputs[best]])}

    stored = store.tensors(run.name, arguments, compute)
    by_set = {name.removeprefix("errors."): of for name, of in stored.items() if name.startswith("errors.")}
    return Tuned(
        by_set,
        int(stored["best"]),
        stored["predictions"],
        stored.get("cut", torch.empty(0)),
        int(stored["num_trained"]),
    )


# ---- storage of shuffled pairs -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Memorizing:
    """A base network trained on N target models whose records were exchanged among them: no pairing to be learned.

    rank: of LoRA; 0: all weights. rate: it stays, so that half way is what half of the steps would have given.
    """

    rank: int
    num_examples: int
    seed: int
    width: int
    num_steps: int
    rate: float
    base: Pretraining | None

    @property
    def name(self) -> str:
        return part_name(f"store {self.rank} {self.num_examples} {self.rate:g} {self.seed}", self)

    @property
    def plan(self) -> FineTuningPlan:
        """All pairs in every step."""
        return FineTuningPlan(self.num_steps, self.num_examples, self.rate)

    def as_tuning(self) -> FineTuning:
        """What its network is."""
        kind = ("LoRA", self.rank) if self.rank else ("all", 0)
        size = self.num_examples, self.seed, self.width, (self.num_steps,), self.num_examples
        return FineTuning(*kind, *size, self.rate, 0.0, self.base)


@dataclass(frozen=True, eq=False)
class Stored:
    """What a network has stored of shuffled pairs: before the first step, half way, at the end.

    retrieval: share of outputs that are nearest to their own model. auc: membership inference, pairs against the same
    records and models in other pairs. loss: mean squared error on the pairs at the end. filtered: retrieval when the
    update of every convolution is cut to :data:`CUTS`; what norms and biases have learned stays.
    """

    retrieval: tuple[float, float, float]
    auc: tuple[float, float, float]
    loss: float
    filtered: tuple[float, ...]

    @property
    def end(self) -> float:
        return self.retrieval[-1]

    @property
    def half(self) -> float:
        return self.retrieval[1]

    @property
    def before(self) -> float:
        return self.retrieval[0]

    @property
    def membership(self) -> float:
        return self.auc[-1]

    @property
    def membership_before(self) -> float:
        return self.auc[0]


def stored(run: Memorizing, weights: dict[str, torch.Tensor], pairs: Pairs, store: Store, arguments: dict) -> Stored:
    """Train on ``pairs``, shuffled."""

    def compute(folder: Path) -> dict[str, torch.Tensor]:
        own, others = shuffled(pairs, f"shuffle {run.num_examples} {run.seed}")
        network = adapted(run.as_tuning(), weights, pairs.records.shape[1:], store.device)
        found = [stored_by(network, own, others)]
        steps = (run.num_steps // 2, run.num_steps)
        *_, state = trained(network, own, run.plan, "every pair in every step", folder, steps)
        for step in steps:
            network.load_state_dict(state.snapshots[step], strict=False)
            found.append(stored_by(network, own, others))
        loss = (predict(network, own.records) - own.models).square().mean()
        if run.rank:
            merge(network)
        filtered = [stored_by(cut_update(network, weights, cut), own, others)[0] for cut in CUTS]
        double = {"dtype": torch.float64}
        return {
            "found": torch.tensor(found, **double),
            "loss": loss.double(),
            "filtered": torch.tensor(filtered, **double),
        }

    kept = store.tensors(run.name, arguments, compute)
    retrieved, auc = kept["found"].T.tolist()
    return Stored(tuple(retrieved), tuple(auc), float(kept["loss"]), tuple(kept["filtered"].tolist()))


def shuffled(pairs: Pairs, purpose: str) -> tuple[Pairs, Pairs]:
    """The same records and models in two other pairings, of which no pair is in both or was there before; N >= 3.

    Records go round a ring of random order, their models one place and two places on.
    """
    expect(len(pairs) >= 3, "pairs", "three or more", len(pairs))
    evenly = torch.ones(len(pairs), device=pairs.models.device)
    ring = choices(evenly, len(pairs), generator=generator_for(purpose), replacement=False)
    moved = []
    for places in (1, 2):
        order = torch.empty_like(ring)
        order[ring] = ring.roll(-places)
        moved.append(replace(pairs, models=pairs.models[order]))
    return moved[0], moved[1]


def stored_by(network: nn.Module, own: Pairs, others: Pairs) -> tuple[float, float]:
    """(Retrieval of own pairs, area under the curve of membership inference against the same in other pairs.)"""
    outputs = predict(network, own.records)
    rate = retrieval(outputs.flatten(1), own.models.flatten(1)).value
    return rate, membership_auc(errors(outputs, own.models), errors(outputs, others.models)).value


def cut_update(network: nn.Module, weights: dict[str, torch.Tensor], rank: int) -> nn.Module:
    """A copy of a network whose update of every convolution, as a matrix, is the best one of at most this rank."""
    cut = copy.deepcopy(network)
    with torch.no_grad():
        for name, layer in cut.named_modules():
            if isinstance(layer, nn.Conv2d):
                start = weights[f"{name}.weight"].flatten(1)
                left, s, right = torch.linalg.svd(layer.weight.flatten(1) - start, full_matrices=False)
                update = left[:, :rank] * s[:rank] @ right[:rank]
                layer.weight.copy_((start + update).view_as(layer.weight))
    return cut
