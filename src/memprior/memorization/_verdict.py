"""What a report finds, from what it counted, and the verdict in words: only what the counts can show."""

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Count:
    """How many of the samples and of the null's points; more: by Fisher's exact test, one-sided."""

    num: int
    of_samples: int
    null: int
    of_null: int
    more: bool

    @property
    def most(self) -> bool:
        """More than half of the samples, beyond sampling error (one-sided, 95 %)."""
        b = self.of_samples
        return self.num - 1.645 * math.sqrt(self.num * (b - self.num) / b) > b / 2


@dataclass(frozen=True)
class Evidence:
    """Of a report. p, share (of copies by d_1 / d_2), chance (the null's): as there.

    fired: the tests of copying, together. nearer, singled: that of d_1, that of d_1 / d_2, at the same level. farther:
    that of farther samples. mostly: more than half of the samples are copies, beyond error. medians: of d_1, of samples
    and null. example: the one that is nearest to the most samples. repeats, reordered, rescaled, crowd: points that
    repeat an example, that hold its numbers in another order, in another unit, that are nearest to ``example``.
    same_draws: all samples are held-out draws. again: samples that repeat an earlier one, and no example. left_out:
    there are no held-out draws.
    few_values, tight: what the data are.
    """

    p: float
    fired: bool
    nearer: bool
    singled: bool
    farther: bool
    share: float
    chance: float
    mostly: bool
    medians: tuple[float, float]
    example: int
    repeats: Count
    reordered: Count
    rescaled: Count
    crowd: Count
    same_draws: bool
    again: int
    left_out: bool
    few_values: bool
    tight: bool


def finding_of(evidence: Evidence) -> str:
    """The first finding that holds, in the order of the list in ``report``."""
    repeats, crowded = evidence.repeats, evidence.crowd.more and evidence.crowd.most
    ordered = [
        ("unclear", evidence.left_out and evidence.few_values and (evidence.fired or repeats.num > 0)),
        ("copies", evidence.fired and evidence.mostly and (repeats.most or not crowded)),
        ("repeats", repeats.num > 0 and (repeats.more or (repeats.null == 0 and not evidence.few_values))),
        ("reordered", evidence.reordered.more),
        ("rescaled", evidence.rescaled.more),
        ("one example", crowded),
        ("attraction", evidence.fired and evidence.singled),
        ("nearer", evidence.fired and not evidence.farther),
        ("unclear", evidence.tight or evidence.same_draws),
        ("farther", evidence.farther),
    ]
    return next((name for name, holds in ordered if holds), "none")


def _share(value: float) -> str:
    digits = 1 if value < 0.1 or value > 0.9 else 0  # one in a thousand is not none
    return f"{value:.{digits}%}".replace(".0%", "%")


def in_words(finding: str, evidence: Evidence) -> str:
    """The verdict: the finding, its numbers beside the null's, and what cannot be told apart."""
    null = "training examples beside the others" if evidence.left_out else "held-out draws"

    def counted(count: Count, what: str) -> str:
        return f"{count.num} of {count.of_samples} samples {what} ({null}: {count.null} of {count.of_null})"

    p = f"p {f'= {evidence.p:.2g}' if evidence.p > 1e-300 else '< 1e-300'}"
    p += ", beside a null that is weaker than held-out draws, for there are none" if evidence.left_out else ""
    copies = (
        f"{_share(evidence.share)} of the samples are more than three times nearer to one training example than to any "
        f"other ({null}: {_share(evidence.chance)})"
    )
    repeats = f"repeat{'s' * (evidence.repeats.num == 1)} a training example, but for rounding"
    repeats = counted(evidence.repeats, repeats)
    farther = f"farther from the training set than {null} are"
    farther += f" (median distance {evidence.medians[0]:.3g}, theirs {evidence.medians[1]:.3g})"
    nearer = "the training set" if evidence.nearer else "single training examples"
    no_answer = (
        "the data take so few values that samples repeat examples, or lie three times nearer to one, by chance"
        if evidence.left_out and evidence.few_values and (evidence.fired or evidence.repeats.num)
        else "all samples are among the held-out draws, and beside themselves they cannot be nearer"
        if evidence.same_draws
        else "most training examples have twins or lie in tight groups, beside which copies do not stand out"
    )
    not_shown = f"the samples are not detectably nearer to the training set than {null} are"
    sentences = {
        "copies": [f"Copies: {copies}; {p}"],
        "repeats": [
            f"Exact repeats: {repeats}",
            "Chance makes them only of examples that recur, as blank ones do, or where the data take few values",
            f"{copies}; {p}",
        ],
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
            "One example: "
            f"{counted(evidence.crowd, f'are nearest to training example {evidence.example}, counted from 0')}",
            "It is copied, or the samples are narrower than the null, or axes, units or an offset differ; "
            "these tests cannot tell which: check axes and units",
            f"{copies}; {p}",
        ],
        "attraction": [
            f"Some samples stick to single training examples, but it is not shown that most are copies: {copies}; {p}",
            "Samples around very few points that happen to lie beside examples do so too",
        ],
        "nearer": [
            f"Nearer to {nearer} than {null} are; {p}",
            f"Either they copy examples or are attracted, or they are only narrower than {null}; "
            "these tests cannot tell which",
            copies,
        ],
        "farther": [
            f"{farther.capitalize()}: check axes and units",
            "Where they or a normalization differ, copies are hidden; else the samples follow another distribution",
        ],
        "unclear": [
            f"No answer{' without held-out draws' if evidence.left_out else ''}: {no_answer}",
            f"{copies}; {p}",
        ],
        "none": [
            f"No copying is shown: {not_shown}, though {copies}; {p}"
            if evidence.share > evidence.chance
            else f"No sign of copying: as axes and units stand, {not_shown}; {p}"
        ],
    }[finding]
    if evidence.again and finding in ("copies", "one example", "attraction", "nearer"):
        sentences.append(
            f"Of the samples {evidence.again} repeat an earlier one: unless they are independent, p is too small"
        )
    if evidence.repeats.num and finding != "repeats":
        sentences.append(repeats)
    if evidence.farther and finding in ("copies", "repeats", "reordered", "rescaled", "one example", "attraction"):
        sentences.append(f"Over all the samples are {farther}: check axes and units")
    return ". ".join(sentences) + "."
