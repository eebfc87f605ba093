"""What chapter 8's page shows of its pickers: tables, pictures, sliders, and the numbers that it states."""

import math
from statistics import median

import torch
from matplotlib.figure import Figure

from chapters.ch08_first_breaks import field, picking_figures
from chapters.ch08_first_breaks import matched as problem
from chapters.ch08_first_breaks import picking_measures as measures
from chapters.ch08_first_breaks.field import FieldErrors, FieldShot
from chapters.ch08_first_breaks.pickers import GRIDS, build_picker
from chapters.ch08_first_breaks.picking_measures import SCORES_OF_PICKS
from chapters.ch08_first_breaks.picking_study import PickingStudy
from companion.frames import Frames
from companion.tables import Table
from memprior.figures import style
from memprior.geology.gathers import DT_S
from memprior.intervals import Mean
from memprior.trace_networks import unit_traces

TITLES = {"test": "other surveys", "shifted": "shifted surveys"}
SCORE_NAMES = {"size": "mean size, samples", "square": "RMSE, samples", "error": "bias, samples", "picked": "picked"}


# ---- the exact answer ----------------------------------------------------------------------------------------------


def matched_table(study: PickingStudy) -> Table:
    """Scores of single-trace pickers where the ideal one is known, and by how much they are worse, paired."""
    scores = study.result(study.matched)
    lines = []
    for picker in scores.picks:
        cells = []
        for score in problem.SCORES:
            mean = float(scores.losses(picker, score).mean())
            value = math.sqrt(mean) if score == "square" else mean if score == "size" else 1 - mean
            excess, error = scores.excess(picker, score)
            cells.append(f"{value:.3f}" if picker == "ideal" else f"{value:.3f} ({excess / error:+.1f})")
        lines.append([picker, *cells])
    names = ["RMSE", "mean size", *(f"hits within {k}" for k in problem.HITS)]
    return Table(["picker (worse than the ideal one by so many standard errors)", *names], lines)


# ---- what labels and records without labels give -------------------------------------------------------------------


def transfer_table(study: PickingStudy) -> Table:
    """Hit rates at one sample on both test sets, on the training gathers, and the gap."""
    lines = []
    for n in study.settings.sizes:
        for label in measures.labels(study):
            hits = [measures.estimate(study, label, n, name) for name in TITLES]
            train = Mean.over(measures.training_hits(study, label, n))
            gap = measures.training_gap(study, label, n)
            lines.append([f"N = {n}, {label}", f"{train.value:.3f}", *map(str, hits), f"{gap}"])
    header = ["picker", "training gathers", *TITLES.values(), "training less other surveys (± seeds)"]
    return Table(header, lines)


def score_table(study: PickingStudy, name: str) -> Table:
    """All scores on one set, N by N and picker by picker; ± over surveys and seeds."""
    lines = []
    for n in study.settings.sizes:
        for label in measures.labels(study):
            found = [measures.estimate(study, label, n, name, score) for score in SCORES_OF_PICKS]
            stated = "" if label in GRIDS else str(measures.stated_coverage(study, label, n, name))
            lines.append([f"N = {n}, {label}", *map(str, found), stated or "none stated"])
    names = [SCORE_NAMES.get(score) or _words(score) for score in SCORES_OF_PICKS]
    return Table([f"picker, {TITLES[name]}", *names, "inside the stated 90 %"], lines)


def _words(score: str) -> str:
    what, limit = score.split()
    return f"within {limit} {'ms' if what == 'ms' else 'sample' if limit == '1' else 'samples'}"


def picking_differences(study: PickingStudy, name: str) -> Table:
    """Paired differences of hit rates at one sample; p of all rows together is Bonferroni's."""
    found = measures.differences(study, name)
    lines = []
    for (a, b, n), one in found.items():
        of_all = min(1.0, len(found) * one.p)
        cells = f"{one.value:+.3f} ± {one.half:.3f}", f"{one.p:.2g}", f"{of_all:.2g}"
        lines.append([f"N = {n}", f"{a} less {b}", *cells])
    return Table(["gathers", f"hits within one sample, {TITLES[name]}", "difference", "p", "p, of all rows"], lines)


def carrying_figure(study: PickingStudy) -> Figure:
    """Hit rate against N, left on other surveys, right on shifted ones; the ideal single-trace picker beside it."""
    sizes = study.settings.sizes
    scores = study.result(study.matched)
    ideal = 1 - float(scores.losses("ideal", "hit 1").mean())
    figure, axes = style.panels(1, 2, height=4.3, sharey=True)
    for ax, (name, title) in zip(axes, TITLES.items(), strict=True):
        of = {label: [measures.estimate(study, label, n, name).mean for n in sizes] for label in measures.labels(study)}
        bands = {method: of.pop(method) for method in GRIDS}
        picking_figures.hits_by_number(ax, sizes, of, bands, title=title)
        label = "ideal, one trace, matched problem (no bound)"
        ax.axhline(ideal, color=style.INK, lw=0.8, ls=":", label=label)
    axes[1].set_ylabel("")
    return style.legend_below(figure, axes[:1], 2)


def gather_figure(study: PickingStudy, n: int | None = None, index: int = 0) -> Figure:
    """One test gather of each set with the picks of the first seed's networks and of the tuned AIC."""
    n = study.settings.sizes[-1] if n is None else n
    figure, axes = style.panels(1, 2, height=3.4, sharey=True)
    shown = [label for label in ("AIC", "scratch", "autoencoder") if label in measures.labels(study)]
    for ax, (name, title) in zip(axes, TITLES.items(), strict=True):
        gathers = study.joined(study.tests[name])
        picks = {label: measures.picks_of(study, label, n, name)[0][index] for label in shown}
        traces, onsets = unit_traces(gathers.traces[index]), gathers.onsets[index]
        picking_figures.gather(ax, traces, onsets, picks, dt_s=DT_S, title=f"{title}, $N = {n}$")
    axes[1].set_ylabel("")
    return style.legend_below(figure, axes[:1], 4)


def number_slider(study: PickingStudy, index: int = 0) -> Frames:
    """The gathers of :func:`gather_figure` under a slider over N."""

    def alt(n: int) -> str:
        rates = [measures.estimate(study, label, n, "test").value for label in ("scratch", "AIC")]
        return f"{n} labeled gathers: hits within one sample from scratch {rates[0]:.2f}, of tuned AIC {rates[1]:.2f}."

    return Frames(
        lambda n: gather_figure(study, n, index), study.settings.sizes, name="gathers N", label="{:d}".format, alt=alt
    )


# ---- real shots ----------------------------------------------------------------------------------------------------


def measured_field(study: PickingStudy, shots: tuple[FieldShot, ...], n: int | None = None) -> FieldErrors:
    """Pick less that by people in ms, of every trace with both, infinite without a pick.

    Untuned AIC and STA/LTA have the records as they are; the others the networks' grid, and N labeled gathers, by
    default the most; all seeds of a picker one after another.
    """
    n = study.settings.sizes[-1] if n is None else n
    found: FieldErrors = {}
    networks = {start: [_network(study, run) for run in study.chosen(start, n)] for start in study.settings.starts}
    for site, of in field.sites(shots).items():
        made = {f"{method}, untuned": [[field.untuned_picks(method, shot) for shot in of]] for method in GRIDS}
        for method in GRIDS:
            made[method] = [[field.gridded_picks(one.picker, shot) for shot in of] for one in study.tuned(method, n)]
        for start, seeds in networks.items():
            made[start] = [[field.network_picks(one, shot) for shot in of] for one in seeds]
        found[site] = {
            label: torch.cat([field.field_errors(of, picks) for picks in seeds]).tolist()
            for label, seeds in made.items()
        }
    return found


def _network(study: PickingStudy, run) -> torch.nn.Module:
    """As it was when its training ended."""
    weights = (study.result(run.base) if run.base else study.weights(run)) if run.kind else None
    network = build_picker(run, weights, study.device)
    network.load_state_dict(study.result(run).weights)
    return network.eval()


def field_table(errors: FieldErrors, reciprocal: list[float]) -> Table:
    """Share within 2 ms and median size of the error, site by site."""
    pickers = next(iter(errors.values()))
    lines = []
    for label in pickers:
        cells = []
        for of in errors.values():
            errors_ms = torch.tensor(of[label], dtype=torch.float64)
            cells += [f"{field.within_share(errors_ms):.3f}", f"{float(errors_ms.abs().median()):.1f}"]
        lines.append([label, *cells])
    columns = [f"{site}, {what}" for site in errors for what in ("within 2 ms", "median size, ms")]
    return Table([f"picker (reciprocal picks of people: {median(reciprocal):.1f} ms)", *columns], lines)


def field_figure(errors: FieldErrors, reciprocal: list[float]) -> Figure:
    """Shares of traces against the distance to the picks by people, site by site."""
    figure, axes = style.panels(1, len(errors), height=4.2, sharey=True)
    for ax, (site, of) in zip(axes, errors.items(), strict=True):
        picking_figures.error_shares(ax, of, floor_ms=median(reciprocal), title=site.replace("_", " "))
    for ax in axes[1:]:
        ax.set_ylabel("")
    return style.legend_below(figure, axes[:1], 3)


# ---- numbers that the page states ----------------------------------------------------------------------------------


def picking_claims(study: PickingStudy) -> dict[str, float]:
    """Name -> value, of what a page would quote of the pickers."""
    scores = study.result(study.matched)
    bias, error = scores.bias()
    found = {"ideal_coverage": scores.coverage.value, "ideal_bias": bias, "ideal_bias_se": error}
    found |= {
        "matched_traces": float(len(scores.onsets)),
        "pretraining_steps": float(study.settings.unlabeled.num_steps),
    }
    for picker in problem.OTHERS:
        worst = [scores.excess(picker, score) for score in problem.SCORES]
        found[f"least_excess_{_id(picker)}"] = min(excess / error for excess, error in worst)
    for name in TITLES:
        rows = measures.differences(study, name)
        for (a, b, n), one in rows.items():
            id = f"{name}_{n}_{_id(a)}_less_{_id(b)}"
            found |= {id: one.value, f"{id}_half": one.half}
        sure = [one.value > 0 for (_, b, _), one in rows.items() if b == "scratch" and len(rows) * one.p < 0.05]
        found |= {f"{name}_rows": float(len(rows)), f"{name}_better": float(sum(sure))}
    for n in study.settings.sizes:
        gap = measures.training_gap(study, "scratch", n)
        found |= {f"gap_{n}_scratch": gap.value, f"gap_{n}_scratch_half": gap.half}
        for name in TITLES:
            for label in measures.labels(study):
                one = measures.estimate(study, label, n, name)
                found |= {f"{name}_{n}_{_id(label)}": one.value, f"{name}_{n}_{_id(label)}_half": one.half}
            for label in ("scratch", *GRIDS):
                one, id = measures.estimate(study, label, n, name, "size"), f"size_{name}_{n}_{_id(label)}"
                found |= {id: one.value, f"{id}_half": one.half}
    return found


def _id(label: str) -> str:
    return label.lower().replace(", ", "_").replace(" ", "_").replace("/", "_").replace("-", "_")


def field_claims(errors: FieldErrors, reciprocal: list[float]) -> dict[str, float]:
    """Shares within 2 ms, site by site, numbered from 1."""
    found = {"floor_ms": median(reciprocal), "reciprocal_pairs": float(len(reciprocal))}
    for k, of in enumerate(errors.values(), start=1):
        for label, these in of.items():
            found[f"site_{k}_{_id(label)}"] = field.within_share(torch.tensor(these, dtype=torch.float64))
    return found
