"""Chapter 7: what is measured on fine-tuned networks, each beside what it is where nothing can be stored."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from skimage.metrics import structural_similarity

from chapters.ch07_fine_tuning.data import EVERY, Pairs, simulator
from memprior._random import integers
from memprior.intervals import Mean
from memprior.memorization import lookup_index, swap_test
from memprior.waves import simulate_records

RANGE_KMS = 3.0  # of the models' velocities, the dynamic range of their similarity


@dataclass(frozen=True)
class Difference:
    """A mean paired difference over test models and seeds, and its central 95 % over resamples of both."""

    value: float
    low: float
    high: float

    @property
    def sure(self) -> bool:
        """Does the interval leave out 0?"""
        return self.low > 0 or self.high < 0

    def __str__(self) -> str:
        return f"{self.value:+.0f} ({self.low:+.0f} to {self.high:+.0f})"


def paired_difference(
    ours: Sequence[torch.Tensor], theirs: Sequence[torch.Tensor], num: int, *, generator: torch.Generator
) -> Difference:
    """ours less theirs: of each seed the errors of the same test models, (n,), paired. num: resamples.

    Seeds and test models are both drawn anew, with replacement: an interval over test models alone is that of one
    training. ``ValueError`` for one seed: there is nothing to say what another would give.
    """
    apart = torch.stack(list(ours)) - torch.stack(list(theirs))  # (seeds, n)
    seeds, models = apart.shape
    if seeds < 2:
        raise ValueError(f"ours, theirs: expected two seeds or more, got {seeds}")

    rows, columns = (integers(size, num, size, like=apart, generator=generator) for size in (seeds, models))
    means = apart[rows[:, :, None], columns[:, None, :]].mean((1, 2))
    low, high = means.quantile(means.new_tensor([0.025, 0.975])).tolist()
    return Difference(float(apart.mean()), low, high)


def over_seeds(values: Sequence[torch.Tensor]) -> Mean:
    """Mean over test models and its interval over seeds; over test models where there is one seed."""
    if len(values) == 1:
        return Mean.over(values[0])
    return Mean.over(torch.stack([value.mean() for value in values]))


def similarity(predictions: torch.Tensor, models: torch.Tensor) -> torch.Tensor:
    """Structural similarity of each prediction with its model, (N,): 1 for the model itself."""
    pairs = zip(predictions.cpu().numpy(), models.cpu().numpy(), strict=True)
    return torch.tensor([structural_similarity(a, b, data_range=RANGE_KMS) for a, b in pairs])


def data_misfit(predictions: torch.Tensor, pairs: Pairs) -> torch.Tensor:
    """Of each prediction |records it simulates - records| / |records|, (N,): what the data say of it."""
    records = simulate_records(1000 * predictions, simulator(), every=EVERY)
    apart = (records - pairs.records).flatten(1).norm(dim=1)
    return apart / pairs.records.flatten(1).norm(dim=1)


@dataclass(frozen=True)
class Lookup:
    """Do outputs for unseen records look training models up?

    index: share nearer to a training model than to their own truth, less that for as many unseen models. share, p: of
    the swap test, labels of training and unseen models exchanged.
    """

    index: Mean
    share: float
    null: tuple[float, float]
    p: float


def lookup(
    outputs: torch.Tensor,
    truths: torch.Tensor,
    members: torch.Tensor,
    unseen: torch.Tensor,
    num_labelings: int,
    *,
    generator: torch.Generator,
) -> Lookup:
    """outputs, truths: (n, H, W). members, unseen: (N, H, W) each; 5 or more, or the swap test says so."""
    flat = [models.flatten(1).double() for models in (outputs, truths, members, unseen)]
    found = lookup_index(*flat)
    test = swap_test(flat[0], flat[2], flat[3], num_labelings=num_labelings, generator=generator)
    return Lookup(found.index, test.share, test.null_interval, test.p)
