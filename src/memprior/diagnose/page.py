"""A diagnosis on one page: text for a terminal, and plain numbers for JSON."""

import textwrap
from collections.abc import Sequence
from dataclasses import asdict

from memprior.diagnose.decide import least_truths
from memprior.diagnose.run import Diagnosis
from memprior.report import as_dict

_COLUMNS = 100


def diagnosis_page(found: Diagnosis, places: Sequence[str], hints: Sequence[str] = ()) -> str:
    """The page: a line for each part with what it means, the decision last."""
    lookup, decision, plan = found.lookup, found.decision, found.plan
    num, size = found.predicted.shape
    weight = float(lookup.log_weights[lookup.best].exp())
    low, high = lookup.noise_alone
    rows = {
        "models, rank of their span, data": f"{num}, {found.rank}, {size}",
        "best model": f"{places[lookup.best]}, weight {weight:.3g}",
        "  its misfit per datum (95 % of noise alone)": f"{float(lookup.misfits.min()):.4g} ({low:.3g} to {high:.3g})",
        "  p that noise alone leaves more; that it leaves less": f"{lookup.p_fit:.2g}; {lookup.p_low:.2g}",
        "  p that data of a left-out model are as far": f"{found.p_alike:.2g}",
        "  the data are": decision.fit,
        "lookup: effective number of models": f"{lookup.effective:.3g} of {num}",
    }
    if found.bandwidth is not None and found.importance is not None:
        width, importance = found.bandwidth, found.importance
        edge = ", at the end of the search" if width.at_edge else ""
        rows |= {
            "linearized: bandwidth of the kernels": f"{plan.bandwidth or width.value:.4g}",
            "  best of left-out likelihood; nats per model over h/2, 2h": f"{width.value:.4g}{edge}; "
            f"{width.gain_over_half:.3g}, {width.gain_over_twice:.3g}",
            "  importance check: effective share of its draws": f"{importance.efficiency:.3g} "
            f"({importance.effective:.0f} of {importance.num})",
            "  a probability is off by at most": f"{importance.bound:.2g}",
            "  the linearization": decision.linearization,
        }
        if found.num_refused:
            rows["  draws that the operator refused, weight 0"] = f"{found.num_refused} of {importance.num}"
    else:
        rows["linearized posterior"] = f"not computed: {found.why_not}"
    for name, one in found.coverage.items():
        rows[f"left-out truths in the {one.level:.0%} ball, {name}"] = (
            f"{one.value:.3f} ({one.low:.3f} to {one.high:.3f}): {decision.coverage[name]}"
        )
    rows[f"  truths; least number whose count next to {plan.level:.0%} shows coverage"] = (
        f"{len(found.truths)} of {num}, seed {plan.seed}; {least_truths(plan.level, plan.tolerance)}"
    )
    rows |= _copying_rows(found)
    label = max(map(len, rows))
    lines = [f"{name:<{label}}  {value}" for name, value in rows.items()]
    if found.repeats:
        lines.append(f"{found.repeats} models repeat an earlier one and are left out with it.")
    lines += ["", *(_wrap(f"Hint: {hint}") for hint in hints)]
    if found.copies is not None:
        lines += [_wrap(f"Samples: {found.copies.verdict}"), ""]
    words = decision.words
    lines += [
        _wrap(f"Verdict: {decision.verdict}. {words.means}"),
        _wrap(f"Because: {decision.because}."),
        _wrap(f"Do: {words.do}"),
        _wrap(f"Cannot be seen here: {words.blind}"),
    ]
    return "\n".join(lines)


def _copying_rows(found: Diagnosis) -> dict[str, str]:
    if found.copies is None:
        return {"swap test": "not tested: no samples (--samples)"}
    if found.copies.swap is None:
        return {"swap test": f"no held-out models, so no test; finding: {found.copies.finding}"}
    swap = found.copies.swap
    low, high = swap.null_interval
    return {
        "swap test: p, one-sided": f"{swap.p:.2g}; finding: {found.copies.finding}",
        "  samples nearer to a model than a held-out": f"{swap.share:.1%} (by labels alone {low:.1%} to {high:.1%})",
    }


def _wrap(text: str) -> str:
    return textwrap.fill(text, _COLUMNS, subsequent_indent="  ", break_on_hyphens=False)


def diagnosis_as_dict(found: Diagnosis, places: Sequence[str], hints: Sequence[str] = ()) -> dict:
    """All numbers, for JSON: the same for the same input, whenever the work was interrupted."""
    lookup, decision, words = found.lookup, found.decision, found.decision.words
    linearized = None
    if found.bandwidth is not None and found.importance is not None:
        importance = found.importance
        linearized = {
            "bandwidth": found.plan.bandwidth or found.bandwidth.value,
            "left_out_likelihood": asdict(found.bandwidth),
            "effective_share": importance.efficiency,
            "effective_share_of_halves": importance.halves,
            "effective_draws": importance.effective,
            "bound_on_total_variation": importance.bound,
            "num_refused": found.num_refused,
        }
    copies = found.copies
    return {
        "verdict": decision.verdict,
        "because": decision.because,
        "means": words.means,
        "do": words.do,
        "blind_spots": words.blind,
        "parts": {
            "fit": decision.fit,
            "copying": decision.copying,
            "linearization": decision.linearization,
            "coverage": decision.coverage,
        },
        "hints": list(hints),
        "num_models": len(places),
        "num_data": found.predicted.shape[1],
        "rank": found.rank,
        "repeats": found.repeats,
        "noise_std": found.noise_std,
        "plan": asdict(found.plan),
        "lookup": {
            "best": places[lookup.best],
            "weights": lookup.log_weights.exp().tolist(),
            "effective_number": lookup.effective,
            "misfits_per_datum": lookup.misfits.tolist(),
            "noise_alone_95": lookup.noise_alone,
            "p_fit": lookup.p_fit,
            "p_low": lookup.p_low,
            "p_alike": found.p_alike,
        },
        "linearized": linearized,
        "why_not_linearized": found.why_not,
        "coverage": {name: asdict(one) for name, one in found.coverage.items()},
        "truths": found.truths.tolist(),
        "credibility": {name: found.credibilities[:, k].tolist() for k, name in enumerate(found.coverage)},
        "swap_test": None if copies is None else as_dict(copies, found.size),
    }
