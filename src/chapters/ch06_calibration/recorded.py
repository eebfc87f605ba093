"""What a run of chapter 6 is recorded by: its claims and, of a full run, tables and pictures with their captions."""

from collections.abc import Callable

from matplotlib.figure import Figure

from chapters.ch06_calibration import fits, remedies
from chapters.ch06_calibration.families import FAMILIES
from chapters.ch06_calibration.measures import LEVEL
from chapters.ch06_calibration.page import Page
from chapters.ch06_calibration.results import LINEARIZED, MIRRORED, Results
from companion.tables import Table
from memprior.intervals import Mean

# A prior's name -> what stands for it in the ids of claims: in closed form, sampled, with the nonlinear operator.
IDS = {
    "exact prior": "exact",
    "memorized": "memory",
    "smoothed": "smoothed",
    "Ledoit-Wolf": "lw",
    "shaped kernels": "shaped",
    MIRRORED: "mirrored",
}
SAMPLED_IDS = {
    "exact prior": "sampler",
    "Ledoit-Wolf": "sampled_lw",
    "exact prior, mirrored": "sampler_mirrored",
    "memorized": "sampled_memory",
    "early-stopped": "early",
    "weight decay": "decay",
}
NONLINEAR_IDS = {
    "exact prior": "exact",
    "exact prior, sampled": "sampler",
    "Ledoit-Wolf": "lw",
    MIRRORED: "mirrored",
    "early-stopped, sampled": "early",
    "trained, sampled": "trained",
    "augmented, sampled": "augmented",
}
CAPTIONS = {
    "answer": "Coverage and error of posteriors that are known exactly, on Gaussian and on faulted models",
    "ranks": "Ranks of truths among their draws, and TARP curves, at N = 50",
    "remedies": "Coverage and error of priors of fifty models through one sampler, on both distributions",
    "checks": "Coverage by simulated, by left-out and by held-out truths",
    "waves": "Coverage and error with the nonlinear operator",
    "detect": "Disagreement of two halves, and misfit alarms",
}


def tables(page: Page) -> dict[str, tuple[Table, str]]:
    """Name -> (table, caption) of what is kept, by a full run alone."""
    if page.results.run.profile != "full":
        return {}
    over, sampled = "± or intervals: 95 % over truths", "through one sampler, 95 % over truths"
    found = {
        "known-gaussian": (page.known_table("Gaussian"), f"Known posteriors, Gaussian models; {over}."),
        "known-faulted": (page.known_table("faulted"), f"Known posteriors, models with faulted layers; {over}."),
        "sampled-gaussian": (page.sampled_table("Gaussian"), f"Gaussian models, {sampled}; one training set."),
        "sampled-faulted": (page.sampled_table("faulted"), f"Faulted layers, {sampled}; one training set."),
        "checks": (page.check_table(), "Coverage by simulated, left-out and held-out truths."),
        "reports": (page.report_table(), "What can be said without a truth."),
    }
    if page.results.weighted:
        found["nonlinear"] = page.nonlinear_table(), f"With the nonlinear operator; {over}."
    return found


def pictures(page: Page) -> dict[str, tuple[Figure, str, str]]:
    """Name -> (figure, alt text, caption) of what is kept, by a full run alone."""
    if page.results.run.profile != "full":
        return {}
    makers: dict[str, Callable[[], Figure]] = {
        "answer": page.answer,
        "ranks": page.ranks,
        "remedies": page.remedies,
        "checks": page.check_picture,
        "detect": page.detect,
    }
    if page.results.weighted:
        makers["waves"] = page.waves_picture
    return {
        name: (make(), f"Panels with intervals. {CAPTIONS[name]}.", f"{CAPTIONS[name]}.")
        for name, make in makers.items()
    }


# ---- claims ----------------------------------------------------------------------------------------------------------


def claims(results: Results) -> dict[str, float]:
    """Every claim of the page, id -> value; of a full run's own numbers those that are listed.

    What a first recording is to tell cannot be expected before it.
    """
    found = {}
    for part in (_of_known, _of_checks, _of_networks, _of_detection, _of_nonlinear):
        found |= part(results)
    made = {f"c6.{id}": float(value) for id, value in found.items()}
    return {id: value for id, value in made.items() if id in results.run.listed or not id.startswith("c6.full_")}


def _prefix(family: str) -> str:
    return "faulted_" if family == "faulted" else ""


def _signed(id: str, difference: Mean) -> dict:
    """A difference that may be of either sign, with half of its interval and its size."""
    return {id: difference.value, f"{id}_half": difference.half, f"{id}_size": abs(difference.value)}


def _of_known(results: Results) -> dict:
    found = {"truths": len(results.study.survey.truths), "width_50": results.width}
    found |= {"prior_coverage": results.alone.coverage.value, "prior_error": results.alone.error.value}
    for (family, name, n), m in results.known.items():
        id = _prefix(family) + IDS[name] + f"_{n}" * (n > 0)
        found |= {f"{id}_coverage": m.coverage.value, f"{id}_error": m.error.value}
        found[f"{id}_joint"] = m.region.value
        if n and name in ("memorized", "Ledoit-Wolf", "shaped kernels"):
            ratio = results.ratio(family, name, n)
            found[f"{id}_ratio"] = ratio.value
            if n == 50:
                found[f"{id}_ratio_half"] = ratio.half
        if n == 50 and name in ("memorized", "Ledoit-Wolf"):
            found |= {f"{id}_low": m.coverage.low, f"{id}_high": m.coverage.high}
    for (family, name), means in results.over_sets.items():
        for what, mean in means.items():
            id = f"sets_{_prefix(family)}{IDS[name]}_{what}"
            found |= {id: mean.value, f"{id}_half": mean.half}
    for n, (certain, floor, narrow) in results.floors.items():
        found |= {f"certain_{n}": certain, f"floor_{n}": floor.value, f"narrow_{n}_error": narrow.value}
    many, gain = results.many_regions, results.faulted_gain
    found |= {"many_joint": many.value, "many_joint_low": many.low, "many_joint_high": many.high}
    found |= {"faulted_gain": gain.value, "faulted_gain_half": gain.half}
    covariance = results.study.survey.prior.covariance
    gaps = [float((c - covariance).abs().max()) for c in remedies.moved_covariances(results.study.device)]
    return found | {"maps": len(gaps), "invariance": max(gaps) / float(covariance.abs().max())}


def _of_checks(results: Results) -> dict:
    found = {}
    for (family, name), (simulated, left_out) in results.checks.items():
        id = _prefix(family) + IDS[name]
        found |= {f"{id}_simulated": simulated.value, f"{id}_left_out": left_out.coverage.value}
    for family in FAMILIES:
        before, of = _prefix(family), results.checks[family, "Ledoit-Wolf"][1].coverage
        found |= _signed(f"{before}left_out_gain", results.left_out_gain(family))
        found |= {f"{before}lw_left_out_low": of.low, f"{before}lw_left_out_high": of.high}
        found[f"{before}h_50"] = fits.shaped_width(results.training(50, family).standardized)
    of = results.checks["Gaussian", "memorized"][1].coverage
    found |= {"memory_left_out_low": of.low, "memory_left_out_high": of.high}
    right, narrow = (results.control[name] for name in ("exact posterior", "20 % too narrow"))
    return found | {"right_p": min(right.values()), "narrow_p": max(narrow.values())}


def _of_networks(results: Results) -> dict:
    found, n = {}, results.first
    for (how, name, size), m in results.sampled.items():
        if "width" not in name:
            id = f"{how}_" * (how != "linear") + f"{SAMPLED_IDS.get(name, name.lower())}_{size}"
            found |= {f"{id}_coverage": m.coverage.value, f"{id}_error": m.error.value}
    for family in FAMILIES:
        before, how = _prefix(family), LINEARIZED[family]
        found |= _signed(f"{before}early_less_lw", results.paired(how, "early-stopped", n))
        found[f"{before}alone_lw_region"] = results.reach[family, "Ledoit-Wolf"].region.value
        for name in ("exact prior", "Ledoit-Wolf"):
            found[f"{before}alone_{IDS[name]}_error"] = results.reach[family, name].error.value
        for id, name in (("early", "early-stopped"), ("lw", "Ledoit-Wolf"), ("trained", "trained")):
            found[f"{before}{id}_region"] = results.sampled[how, name, n].region.value
    for (family, size), choice in results.choices.items():
        found[f"{_prefix(family)}step_{size}"] = choice.step
        if choice.by_width:
            found[f"width_{size}"] = choice.width
    found["last"] = results.run.settings.checkpoints[-1]
    return {f"{results.run.profile}_{id}": value for id, value in found.items()}


def _of_detection(results: Results) -> dict:
    found, profile = {}, f"{results.run.profile}_"
    ids = {name: ("", IDS[name]) for name in ("memorized", "exact prior", "Ledoit-Wolf")}
    ids |= {"network, stopped early": (profile, "early"), "network, last step": (profile, "last")}
    for name, (before, id) in ids.items():
        of = results.reports[name].swap
        found |= {f"{before}report_{id}": of.p, f"{before}nearer_{id}": of.share}
        found |= {f"{before}apart_{id}": results.apart[name].value}
        found |= {f"{before}alarms_{id}": results.alarming[name].alarms.value}
    return found


def _of_nonlinear(results: Results) -> dict:
    found = {}
    for name, m in results.nonlinear.items():
        id = NONLINEAR_IDS.get(name) or name.replace("memorized, N = ", "memory_")
        id = f"waves_{id}" if "memory" in id else f"full_waves_{id}"
        found |= {f"{id}_coverage": m.coverage.value, f"{id}_error": m.error.value}
        if name in results.weighted:
            drawn = results.weighted[name]
            found |= {f"{id}_effective": drawn.effective.median(), f"{id}_at_most": drawn.attainable(LEVEL)}
    if results.study.linearization_points:
        misfits = [results.study.result(point).misfit for point in results.study.linearization_points]
        found["full_waves_located"] = max(misfits)
    return found
