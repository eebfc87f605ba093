"""What did a network store of its training pairs? Retrieval, lookup and membership, each beside what no storage gives.

Fit pairs in which there is nothing to learn, as shuffled ones: whatever output is nearest to its own target was stored.
"""

from dataclasses import dataclass

import torch
from scipy import stats

from memprior._check import expect, expect_finite, expect_points, expect_tensor, expect_train_set
from memprior.intervals import Mean, Share
from memprior.memorization._distances import DIFFERENCES, TABLE


@dataclass(frozen=True)
class LookupIndex:
    """What :func:`~memprior.memorization.storage.lookup_index` found.

    Attributes:
        index: the first share minus the second, with Student's interval over outputs at these models.
        stored: share of outputs nearer to a stored model than to their own truth.
        unseen: the same for as many unseen models, the control.
    """

    index: Mean
    stored: Share
    unseen: Share


def retrieval(outputs: torch.Tensor, targets: torch.Tensor) -> Share:
    """Share of outputs whose nearest target is their own; among t equally near ones each counts 1 / t.

    An exact copier has 1; outputs that know nothing of their pairing have 1 / N in the mean. The interval is that of
    independent pairs: those of one network are not, so over networks take one of their shares.

    Args:
        outputs: (N, d), of the inputs of the N pairs.
        targets: (N, d), N >= 2.

    Returns:
        The share and N.

    Raises:
        ValueError: fewer than two pairs, shapes, dtypes or devices that differ, numbers that are not finite.
        TypeError: an argument that is no tensor.

    Example:
        >>> import torch
        >>> from memprior.memorization import retrieval
        >>> targets = torch.eye(4)
        >>> retrieval(targets, targets).value, retrieval(torch.zeros(4, 4), targets).value
        (1.0, 0.25)
    """
    expect_train_set("targets", targets)
    expect(len(targets) >= 2, "targets", "at least two", len(targets))
    _expect_outputs(outputs, targets)
    own = torch.arange(len(outputs), device=outputs.device)
    hits = []
    for part, mine in zip(*(x.split(max(1, TABLE // len(targets))) for x in (outputs, own)), strict=True):
        apart = _distances(part, targets)
        nearest = apart <= _up(apart.amin(1, keepdim=True), targets)
        hits.append(nearest.gather(1, mine[:, None])[:, 0] / nearest.sum(1))
    return Share(float(torch.cat(hits).double().mean()), len(outputs))


def lookup_index(
    outputs: torch.Tensor, truths: torch.Tensor, stored: torch.Tensor, unseen: torch.Tensor
) -> LookupIndex:
    """Do outputs for new data look up stored models? Share nearer to one than to their truth, minus that of a control.

    Bad outputs are near to anything but their truth: only the difference to as many unseen models of the same
    distribution is storage. Ties count half. The interval is over outputs, at these models: that the stored ones lie
    better by chance is not in it, and :func:`~memprior.memorization.swap.swap_test` decides that.

    Args:
        outputs: (B, d), of data that were not trained on.
        truths: (B, d), of these data; neither stored nor among the unseen models.
        stored: (N, d), the models that were trained on.
        unseen: (N, d), as many that were not.

    Returns:
        The index and both shares.

    Raises:
        ValueError: unequal numbers, shapes, dtypes or devices that differ, numbers that are not finite.
        TypeError: an argument that is no tensor.

    Example:
        >>> import torch
        >>> from memprior.memorization import lookup_index
        >>> stored, unseen, truths = torch.randn(3, 50, 4, generator=torch.Generator().manual_seed(0))
        >>> lookup_index(stored, truths, stored, unseen).stored.value
        1.0
    """
    expect_train_set("truths", truths)
    _expect_outputs(outputs, truths, "truths")
    for name, models in (("stored", stored), ("unseen", unseen)):
        expect_train_set(name, models)
        expect_points(name, models, size=truths.shape[1], like=truths)
    expect(len(unseen) == len(stored), "unseen", f"as many as stored models, {len(stored)}", len(unseen))
    to_truth = (outputs.double() - truths.double()).norm(dim=1)
    shares = []
    for models in (stored, unseen):
        near = torch.cat([_distances(x, models).amin(1) for x in outputs.split(max(1, TABLE // len(models)))])
        nearer, farther = _up(near, models) < to_truth, _up(to_truth, models) < near
        shares.append(0.5 + 0.5 * (nearer.double() - farther.double()))
    both = [Share(float(share.mean()), len(share)) for share in shares]
    return LookupIndex(Mean.over(shares[0] - shares[1]), *both)


def membership_auc(member_losses: torch.Tensor, other_losses: torch.Tensor) -> Share:
    """Membership inference by the loss: how often a member's is below another's, ties half; .5 is no evidence.

    The area under the curve of the attack that calls the examples with the least losses members. ``num`` is the number
    of independent trials whose share has the variance of DeLong, DeLong and Clarke-Pearson (1988), so that the interval
    is Jeffreys' and stays within 0 and 1; where that variance is 0, as at 1, it is the smaller number of losses.
    Losses are taken as independent: give one a group, its mean, where examples are patches of one survey.

    Args:
        member_losses: (n,), n >= 2, of examples that were trained on.
        other_losses: (m,), m >= 2, of examples of the same distribution that were not.

    Returns:
        The area and the effective number.

    Raises:
        ValueError: fewer than two losses, another shape, numbers that are not finite.
        TypeError: an argument that is no tensor.

    Example:
        >>> import torch
        >>> from memprior.memorization import membership_auc
        >>> membership_auc(torch.tensor([0.1, 0.4]), torch.tensor([0.3, 0.5])).value
        0.75
    """
    for name, losses in (("member_losses", member_losses), ("other_losses", other_losses)):
        expect_tensor(name, losses, "(n,)")
        expect(losses.ndim == 1 and len(losses) >= 2, name, "shape (n,), n >= 2", tuple(losses.shape))
        expect_finite(name, losses)
    # Of each loss the share of the other side's that it is below, or above: its placement.
    members, others = (losses.detach().double().cpu() for losses in (member_losses, other_losses))
    ranks = torch.as_tensor(stats.rankdata(torch.cat([members, others])))
    own = [torch.as_tensor(stats.rankdata(losses)) for losses in (members, others)]
    n, m = len(members), len(others)
    below, above = 1 - (ranks[:n] - own[0]) / m, (ranks[n:] - own[1]) / n
    area = float(below.mean())
    variance = float(below.var() / n + above.var() / m)
    return Share(area, area * (1 - area) / variance if variance > 0 and 0 < area < 1 else min(n, m))


def _expect_outputs(outputs, targets: torch.Tensor, name: str = "targets") -> None:
    expect_points("outputs", outputs, size=targets.shape[1], like=targets)
    expect(len(outputs) == len(targets), "outputs", f"one for each of the {len(targets)} {name}", len(outputs))
    expect_finite("outputs", outputs)


def _distances(x: torch.Tensor, models: torch.Tensor) -> torch.Tensor:
    """All of them, in float64: what ties in the numbers that came shall tie."""
    return torch.cdist(x.detach().double(), models.detach().double(), compute_mode=DIFFERENCES)


def _up(distances: torch.Tensor, models: torch.Tensor) -> torch.Tensor:
    """The largest distance that equals these but for the rounding of a sum of d squares in float64."""
    return distances * (1 + (models.shape[1] + 4) * torch.finfo(torch.float64).eps)
