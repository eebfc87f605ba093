"""Chapter 7: what is measured on fine-tuned networks, each beside what it is where nothing can be stored."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from scipy import stats
from skimage.metrics import structural_similarity

from chapters.ch07_fine_tuning.data import EVERY, Pairs, simulator
from memprior.intervals import Mean
from memprior.memorization import lookup_index, swap_test
from memprior.waves import pair_misfit

RANGE_KMS = 3.0  # of the models' velocities, the dynamic range of their similarity


@dataclass(frozen=True)
class Difference:
    """A mean paired difference over seeds and test models, half of its 95 % interval, and p of its sign, two-sided."""

    value: float
    half: float
    p: float

    def __str__(self) -> str:
        return f"{self.value:+.0f} ± {self.half:.0f}"


def paired_difference(ours: Sequence[torch.Tensor], theirs: Sequence[torch.Tensor]) -> Difference:
    """ours less theirs: of each seed the errors of the same test models, (n,), paired.

    Seeds and test models are both draws: the variance of the mean is that over seeds plus that over test models, and
    Student's t has as many degrees of freedom as there are seeds, less one. A bootstrap over three seeds is too narrow:
    its interval ends at the least and the largest of them. ``ValueError`` for one seed.
    """
    apart = (torch.stack(list(ours)) - torch.stack(list(theirs))).double()  # (seeds, n)
    seeds, models = apart.shape
    if seeds < 2:
        raise ValueError(f"ours, theirs: expected two seeds or more, got {seeds}")
    variance = apart.mean(1).var() / seeds + apart.mean(0).var() / models
    value, error = float(apart.mean()), float(variance.sqrt())
    t = stats.t(seeds - 1)
    return Difference(value, error * float(t.ppf(0.975)), 2 * float(t.sf(abs(value) / error)) if error else 1.0)


def holm(p_values: Sequence[float], level: float = 0.05) -> list[bool]:
    """Which hypotheses are rejected by the step-down procedure of Holm (1979): of all in a table, not of each."""
    order = sorted(range(len(p_values)), key=p_values.__getitem__)
    rejected = [False] * len(p_values)
    for place, k in enumerate(order):
        if p_values[k] > level / (len(p_values) - place):
            break
        rejected[k] = True
    return rejected


def over_seeds(values: Sequence[torch.Tensor]) -> Mean:
    """Mean over test models, and its interval over seeds, whose test models are the same."""
    return Mean.over(torch.stack([value.mean() for value in values]))


def first_crossing(falling: torch.Tensor, other: torch.Tensor, level: float) -> float:
    """``other`` where ``falling``, along a path, first comes down to ``level``, linear in between; else its last value.

    At or above the first value of ``falling`` it is the first of ``other``.
    """
    if level >= float(falling[0]):
        return float(other[0])
    for k in range(1, len(falling)):
        if float(falling[k]) <= level:
            part = (float(falling[k - 1]) - level) / (float(falling[k - 1]) - float(falling[k]))
            return float(other[k - 1]) + part * (float(other[k]) - float(other[k - 1]))
    return float(other[-1])


def similarity(predictions: torch.Tensor, models: torch.Tensor) -> torch.Tensor:
    """Structural similarity of each prediction with its model, (N,): 1 for the model itself."""
    pairs = zip(predictions.cpu().numpy(), models.cpu().numpy(), strict=True)
    return torch.tensor([structural_similarity(a, b, data_range=RANGE_KMS) for a, b in pairs])


def scattered_misfits(predictions: torch.Tensor, pairs: Pairs) -> torch.Tensor:
    """What the data say of each prediction: misfit of its simulated record over what its structure scatters, (N,).

    The record less that of a model which goes on downwards with its first row: the direct wave, which carries a
    plain misfit, knows nothing of what lies below.
    """
    options = {"operator": simulator(), "every": EVERY}
    both = zip(pairs.records, predictions, strict=True)
    with warnings.catch_warnings():  # a wrong prediction may be slower than the cells resolve
        warnings.filterwarnings("ignore", message="velocity: .* cells per wavelength", category=UserWarning)
        return torch.tensor([pair_misfit(data, 1000 * model, **options).scattered_misfit for data, model in both])


@dataclass(frozen=True)
class Lookup:
    """Do outputs for unseen records look training models up?

    index: share nearer to a training model than to their own truth, less that for as many unseen models. share, p: of
    the swap test, labels of training and unseen models exchanged.
    """

    index: float
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
    return Lookup(found.index.value, test.share, test.null_interval, test.p)
