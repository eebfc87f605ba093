"""What a report finds, from what it counted, and the verdict in words: only what the counts can show."""

import math
from dataclasses import dataclass

from memprior.memorization.swap import SwapTest


@dataclass(frozen=True)
class Count:
    """How many of the samples do something with a training example, and how many of the null do.

    The null: the samples with a held-out model in its place, or the examples with each other.
    """

    num: int
    of_samples: int
    null: int
    of_null: int

    @property
    def most(self) -> bool:
        """More than half of the samples, beyond sampling error (one-sided, 95 %)."""
        b = self.of_samples
        return self.num - 1.645 * math.sqrt(self.num * (b - self.num) / b) > b / 2


@dataclass(frozen=True)
class Evidence:
    """Of a report. swap: the test, None without held-out models. share, chance: of copies by d_1 / d_2, the null's.

    fired: the swap test rejects. close: half of the samples have d_1 below that of 19 in 20 of the null. singled,
    mostly: more samples than of the null are copies, more than half are, beyond error. medians: of d_1, of samples and
    null. example: the one that is nearest to the most samples. repeats, reordered, rescaled, crowd: samples that repeat
    an example, that hold its numbers in another order, in another unit, that are nearest to ``example``. by_chance:
    repeats of data with ties may be. elsewhere: the swap test's other side. far: most samples are farther from all
    models than any model is from its nearest. same_draws: all samples are held-out draws. few_values, tight: what the
    data are.
    """

    swap: SwapTest | None
    fired: bool
    close: bool
    share: float
    chance: float
    singled: bool
    mostly: bool
    medians: tuple[float, float]
    example: int
    repeats: Count
    reordered: Count
    rescaled: Count
    crowd: Count
    by_chance: bool
    elsewhere: bool
    far: bool
    same_draws: bool
    few_values: bool
    tight: bool

    @property
    def crowded(self) -> bool:
        """Most samples are nearest to one example, and of the null at most half as many."""
        crowd = self.crowd
        return crowd.most and 2 * crowd.null * crowd.of_samples <= crowd.num * crowd.of_null


def finding_of(evidence: Evidence) -> str:
    """The first finding that holds, in the order of the list in ``report``."""
    left_out, repeats = evidence.swap is None, evidence.repeats
    shown = evidence.fired or left_out

    def named(count: Count) -> bool:
        # One is chance where three numbers make a model: two directions of a circle that agree to a millionth.
        return count.num > 1 and count.null == 0 and not evidence.few_values

    ordered = [
        ("unclear", evidence.same_draws),
        ("unclear", left_out and evidence.few_values and (repeats.num > 0 or evidence.singled)),
        ("copies", shown and evidence.mostly and not evidence.crowded),
        ("repeats", repeats.num > 0 and not evidence.by_chance),
        ("reordered", named(evidence.reordered)),
        ("rescaled", named(evidence.rescaled)),
        ("one example", evidence.crowded and evidence.mostly),
        ("attraction", shown and evidence.singled),
        ("unclear", evidence.tight),
        ("nearer", evidence.fired or (left_out and evidence.close)),
        ("held-out", evidence.elsewhere or (not left_out and repeats.null > 0 and not evidence.by_chance)),
        ("farther", evidence.far),
    ]
    return next((name for name, holds in ordered if holds), "none")


def _share(value: float) -> str:
    digits = 1 if value < 0.1 or value > 0.9 else 0  # one in a thousand is not none
    return f"{value:.{digits}%}".replace(".0%", "%")


def _range(low: float, high: float) -> str:
    return f"{_share(low)} to {_share(high)}"


def in_words(finding: str, evidence: Evidence) -> str:
    """The verdict: the finding, its numbers beside the null's, the test, and what cannot be told apart."""
    swap = evidence.swap
    null = "training examples beside the others" if swap is None else "held-out models"

    def counted(count: Count, what: str) -> str:
        other = f"a held-out one: {count.null}" if swap is not None else f"{null}: {count.null} of {count.of_null}"
        return f"{count.num} of {count.of_samples} samples {what} ({other})"

    if swap is None:
        test = (
            "No exact test is possible without held-out models: this is a comparison with training examples beside the "
            f"others, without a p-value (median distance to the nearest {evidence.medians[0]:.3g}, theirs "
            f"{evidence.medians[1]:.3g})"
        )
    else:
        test = (
            f"Swap test: p = {swap.p:.2g}; {_share(swap.share)} of the samples are nearer to a training than to a "
            f"held-out model (95% over samples: {_range(*swap.share_interval)}; by labels alone: "
            f"{_range(*swap.null_interval)})"
        )
    copies = (
        f"{_share(evidence.share)} of the samples are more than three times nearer to one training example than to any "
        f"other ({null}: {_share(evidence.chance)})"
    )
    repeats = counted(
        evidence.repeats, f"repeat{'s' * (evidence.repeats.num == 1)} a training example, but for rounding"
    )
    crowd = (
        f"{evidence.crowd.num} of {evidence.crowd.of_samples} samples are nearest to training example "
        f"{evidence.example}, counted from 0 ({null}: {evidence.crowd.null} of {evidence.crowd.of_null})"
    )
    far = (
        f"the samples are farther from every {'training example' if swap is None else 'model'} than any of these is "
        "from its nearest"
    )
    blind = "Copies of one model are beyond the swap test: its share is all or nothing by labels alone"
    no_answer = (
        "all samples are among the held-out draws, and beside themselves they cannot be nearer"
        if evidence.same_draws
        else "the data take so few values that samples repeat examples, or lie three times nearer to one, by chance"
        if swap is None and evidence.few_values and (evidence.repeats.num or evidence.singled)
        else "most training examples have twins or lie in tight groups, beside which copies do not stand out"
    )
    sentences = {
        "copies": [f"Copies: {copies}"],
        "repeats": [f"Exact repeats: {repeats}", copies],
        "reordered": [
            "Copies in another order: "
            f"{counted(evidence.reordered, 'hold the numbers of a training example, reordered')}",
            "Axes are swapped, or copies are mirrored or shuffled: check the axes",
        ],
        "rescaled": [
            "Copies in other units: "
            f"{counted(evidence.rescaled, 'are a training example times a factor plus a constant')}",
            "Units, an offset or a normalization differ: check the units",
        ],
        "one example": [
            f"One example: {crowd}",
            "It is copied, or the samples lie around a point beside it; nothing here tells which",
            copies,
        ],
        "attraction": [
            f"Some samples stick to single training examples, but it is not shown that most are copies: {copies}"
        ],
        "nearer": [
            "Nearer to the training examples than most of these are to each other: copies, attracted by them, or only "
            "narrower; without held-out models nothing tells which"
            if swap is None
            else "Nearer to training than to held-out models than labels alone explain: the samples are attracted by "
            f"what was trained on, though {copies}"
        ],
        "held-out": [
            "Nearer to held-out than to training models than labels alone explain: the files are swapped, or the "
            "held-out models were trained on"
            if evidence.elsewhere
            else f"{evidence.repeats.null} of {evidence.repeats.of_samples} samples repeat a held-out model, but for "
            "rounding: the files are swapped, or the held-out models were trained on"
        ],
        "farther": [
            f"{far.capitalize()}: check units and axes",
            "Where they or a normalization differ, copies are hidden; else the samples follow another distribution",
        ],
        "unclear": [f"No answer{' without held-out draws' * (swap is None)}: {no_answer}", copies],
        "none": [f"No copying is shown, though {copies}" if evidence.share > evidence.chance else "No sign of copying"],
    }[finding]
    if swap is not None and finding == "repeats" and evidence.repeats.null:
        sentences.append(
            f"{evidence.repeats.null} samples repeat a held-out model: data were given as samples, or the held-out "
            "models were trained on"
        )
    if evidence.repeats.num and finding not in ("repeats", "unclear"):
        sentences.append(repeats)
    sentences.append(test)
    if evidence.crowded and finding != "one example":
        sentences.append(crowd)
    if evidence.crowded and finding in ("none", "held-out", "nearer"):
        sentences.append(
            "They are narrow, as samples of one posterior are, or units or axes differ: check units and axes"
        )
    if finding in ("none", "repeats", "one example") and swap is not None and evidence.crowded and not evidence.fired:
        sentences.append(blind)
    if evidence.far and finding != "farther":
        sentences.append(f"{far.capitalize()}: check units and axes")
    return ". ".join(sentences) + "."
