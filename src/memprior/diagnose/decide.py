"""From the parts to a decision: named verdicts, by rules that stand here, each with what it cannot see."""

import math
from dataclasses import dataclass

from memprior._check import expect
from memprior.calibration import Coverage
from memprior.diagnose.parts import ExactLookup, Importance
from memprior.intervals import jeffreys
from memprior.memorization import CHECK_LEVEL, COPY_LEVEL, Report

COPIED = "copies", "repeats", "reordered", "rescaled"  # findings that name copies
STICKING = (
    "one example",
    "attraction",
    "nearer",
)  # that narrow samples of one posterior show too: the test has to reject
Z = 1.959964  # half a 95 % interval, in standard errors


@dataclass(frozen=True)
class Verdict:
    """means: what was found. do: what to do. blind: what the tool cannot see beside it."""

    means: str
    do: str
    blind: str


VERDICTS = {
    "refuse the data": Verdict(
        "Models, operator and noise level together contradict the data.",
        "Check units, axes, time zero, amplitude and noise_std before any inversion.",
        "Which of the three is wrong: correlated noise, an error of the operator and a truth unlike every model look "
        "alike here.",
    ),
    "refuse the prior": Verdict(
        "Your samples are nearer to the models that were trained on than chance explains: the prior copies.",
        "Do not read its posterior as uncertainty. Stop training earlier, or bring more models; a prior that memorized "
        "all of them would answer the lookup.",
        "Copies of one model; copies in another metric than the Euclidean one; samples that were picked.",
    ),
    "look up": Verdict(
        "One model or more explains the data, and the list of models covers left-out truths: no network is needed.",
        "Report the lookup: the weights, their effective number and the best models.",
        "A truth unlike every model; errors of the operator and noise of another size, which simulated data share; "
        "correlated noise.",
    ),
    "linearize": Verdict(
        "The linearized posterior of the smoothed models covers left-out truths, and reweighting hardly changes it.",
        "Use the linearized posterior as it is.",
        "Modes that no draw of it reaches; a truth unlike every model; errors of the operator; noise of another size, "
        "or correlated.",
    ),
    "reweight": Verdict(
        "The linearized posterior covers left-out truths, but for these data it is off; its draws can be reweighted.",
        "Use its draws with importance weights, not the linearized posterior itself.",
        "Modes that no draw of it reaches; a truth unlike every model; errors of the operator; noise of another size, "
        "or correlated.",
    ),
    "sample": Verdict(
        "The linearization cannot be used for these data: too few of its draws are left after reweighting, and so its "
        "coverage says nothing of the smoothed models.",
        "Sample the posterior of the smoothed models with the nonlinear operator (memprior.guidance, or MCMC), and "
        "test that coverage.",
        "Whether the smoothed models cover; whether a sampler will find all modes; a truth unlike every model; errors "
        "of the operator; noise of another size, or correlated.",
    ),
    "more models": Verdict(
        "What these models say is overconfident: fewer left-out truths are covered than claimed.",
        "Bring more models (or a prior that does more than smooth them); a network trained on these alone can at best "
        "match, and where it memorizes it is worse.",
        "A prior that knows more than the models' distances: geology, physics, another training set.",
    ),
    "undecided": Verdict(
        "Too few truths, or no derivative, to tell coverage from overconfidence, or these data from a mistake.",
        "Bring more models or ask for more truths (--truths), or a Jacobian.",
        "Everything that a wide interval holds.",
    ),
}


@dataclass(frozen=True)
class Decision:
    """verdict: one of ``VERDICTS``. because: the numbers that decided. fit, copying, linearization: words of each part.
    coverage: a word for each posterior that was computed.
    """

    verdict: str
    because: str
    fit: str
    copying: str
    linearization: str
    coverage: dict[str, str]

    @property
    def words(self) -> Verdict:
        return VERDICTS[self.verdict]


def fit_word(lookup: ExactLookup, p_alike: float, p_alike_least: float) -> str:
    """The first of "too well", "explained", "untested", "as of a left-out model" and "unexplained" that holds.

    too well: p_low < 0.01. explained: p_fit >= 0.01. untested: even the least p of so few truths is not below 0.05, of
    fewer than 20, or 40 with a derivative. as of a left-out model: p_alike >= 0.05.
    """
    if lookup.p_low < CHECK_LEVEL:
        return "too well"
    if lookup.p_fit >= CHECK_LEVEL:
        return "explained"
    if p_alike_least >= COPY_LEVEL:
        return "untested"
    return "as of a left-out model" if p_alike >= COPY_LEVEL else "unexplained"


def rejected(copies: Report) -> bool:
    """Was there a swap test, and is its p below 0.05?"""
    return copies.swap is not None and copies.swap.p < COPY_LEVEL


def coverage_word(coverage: Coverage, tolerance: float) -> str:
    """The first of "wide", "covers", "overconfident" and "undecided" that holds.

    wide: the interval lies above the level. covers: it lies above level - tolerance. overconfident: it lies below the
    level. So calling something calibrated takes evidence: few truths are undecided.
    """
    if coverage.low > coverage.level:
        return "wide"
    if coverage.low >= coverage.level - tolerance:
        return "covers"
    return "overconfident" if coverage.high < coverage.level else "undecided"


def linearization_word(importance: Importance | None, tolerance: float) -> str:
    """One of "holds", "reweight", "fails" and "not computed", by how far a probability may be off: ``tolerance``.

    holds: the bound on the total variation is within it. reweight: a share of the effective draws, of standard error at
    most 1/2 / sqrt(their number), has its 95 % interval within it, at 0.1 from 97 draws on. fails: neither.
    """
    if importance is None:
        return "not computed"
    if importance.bound <= tolerance:
        return "holds"
    return "reweight" if importance.effective >= (Z / (2 * tolerance)) ** 2 else "fails"


def decide(
    lookup: ExactLookup,
    coverage: dict[str, Coverage],
    *,
    p_alike: float,
    p_alike_least: float,
    importance: Importance | None,
    copies: Report | None,
    tolerance: float,
) -> Decision:
    """The first verdict that holds.

    1. "refuse the data": the best model fits too well (p_low < 0.01), or no model explains the data (p_fit < 0.01) and
       they are farther from all models than data of left-out models are (p_alike < 0.05).
    2. "refuse the prior": the report on your samples finds copies, or the swap test at 0.05 that they are nearer.
    3. "look up": a model explains the data, and the lookup covers (or is wide).
    4. "sample": the importance check says that the linearization fails for these data.
    5. "linearize" or "reweight": the linearized posterior covers (or is wide), and holds or has to be reweighted. Both
       this and "sample" only where the data were tested: p_alike could be below 0.05, ``p_alike_least`` is its least.
    6. "more models": every posterior that was computed is overconfident; without a derivative: the lookup is.
    7. "undecided".

    No threshold here is fitted to anything: levels of tests, ends of 95 % intervals, and ``tolerance``, by which a
    probability that you are going to use may be off, which is yours to say.
    """
    expect("lookup" in coverage, "coverage", "the lookup's", sorted(coverage))
    fit = fit_word(lookup, p_alike, p_alike_least)
    copying = "not tested" if copies is None else copies.finding
    words = {name: coverage_word(one, tolerance) for name, one in coverage.items()}
    linear = linearization_word(importance, tolerance)
    good = {name for name, word in words.items() if word in ("covers", "wide")}

    def of(name: str) -> str:
        one = coverage[name]
        return (
            f"{one.value:.2f} of the left-out truths ({one.low:.2f} to {one.high:.2f}) where {one.level:g} is claimed"
        )

    if fit in ("too well", "unexplained"):
        side = "below" if fit == "too well" else "above"
        misfit = float(lookup.misfits.min())
        low, high = lookup.noise_alone
        p = f"p = {lookup.p_low:.1g}"
        if fit == "unexplained":
            p = f"p = {lookup.p_fit:.1g}; that data of a left-out model are as far, {p_alike:.2g}"
        because = f"the best misfit per datum is {misfit:.4g}, {side} {low:.3g} to {high:.3g} of noise alone ({p})"
        verdict = "refuse the data"
    elif copying in COPIED or (copying in STICKING and copies is not None and rejected(copies)):
        assert copies is not None
        p = "" if copies.p_copying is None else f", swap test p = {copies.p_copying:.2g}"
        verdict, because = "refuse the prior", f"finding: {copying}{p}"
    elif fit == "explained" and "lookup" in good:
        verdict, because = "look up", f"the lookup covers {of('lookup')}"
    elif importance is not None and fit != "untested" and (linear == "fails" or "linearized" in good):
        verdict = {"holds": "linearize", "reweight": "reweight"}.get(linear, "sample")
        left = f"{importance.effective:.0f} of {importance.num} draws are left after reweighting"
        because = f"{left}; the linearized posterior covers {of('linearized')}"
    elif set(words.values()) == {"overconfident"}:
        verdict, because = "more models", "; ".join(f"the {name} posterior covers {of(name)}" for name in coverage)
    else:
        verdict, because = "undecided", "; ".join(f"the {name} posterior covers {of(name)}" for name in coverage)
        if fit == "untested":
            because = f"no model explains the data, and too few truths tell whether another would; {because}"
    return Decision(verdict, because, fit, copying, linear, words)


def least_truths(level: float, tolerance: float) -> int:
    """The least number of truths whose count next to a share ``level`` shows coverage. Some larger ones need one more.

    Example:
        >>> from memprior.diagnose import least_truths
        >>> least_truths(0.9, 0.1)
        45
    """
    num = 5
    while jeffreys(math.floor(level * num + 0.5) / num, num)[0] < level - tolerance:
        num += 1
    return num
