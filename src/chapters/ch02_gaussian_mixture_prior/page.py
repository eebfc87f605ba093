"""What chapter 2's page shows of its study: rows, tables, pictures."""

import math

import torch
from matplotlib.figure import Figure

from chapters.ch02_gaussian_mixture_prior import condensation_figures, figures, losses, measures
from chapters.ch02_gaussian_mixture_prior.study import (
    ARROWS_AT,
    HIGHEST_LEVEL,
    RELEASED,
    SCHEDULES,
    START_RATIOS,
    Study,
)
from companion.frames import Frames
from companion.tables import Table
from memprior import fields, paper
from memprior._random import normal
from memprior.denoiser import EmpiricalDenoiser
from memprior.figures import style
from memprior.intervals import Mean
from memprior.memorization import nearest_neighbors
from memprior.mixture import IsotropicMixture
from memprior.noise import karras_sigmas

SLIDER_LEVELS = [0.3, 1, 2, 3, 4, 6, 10]
CURVE_LEVELS = tuple(torch.logspace(0, 1, 25, dtype=torch.float64).tolist())


def _short(mean: Mean) -> str:
    return f"{mean.value:.2f} ± {mean.half:.2f}"


def _span(value: float, low: float, high: float) -> str:
    return f"{value:.3f} ({low:.2f} to {high:.2f})"


# ---- tables --------------------------------------------------------------------------------------------------------


def gaps_table(study: Study) -> Table:
    """Where the networks end, and when they cross."""
    rows = []
    for num in study.seeds:
        means = [_short(mean) for which in ("train", "held_out") for mean in measures.ends(study, num, which)]
        steps = [f"{step:.0f}" for step in measures.crossings(study, num) if not math.isnan(step)]
        missing = study.seeds[num] - len(steps)
        each = ", ".join([*steps, *([f"none of {missing}" if steps else "none"] if missing else [])])
        _, low, high = measures.crossing(study, num)
        interval = "none" if math.isnan(low) else f"{low:.0f} to {high:.0f}"
        last = measures.histories(study, num)[0].steps[-1]
        others = _short(measures.quotient(study, num, "exchanged", last))
        rows.append([f"{num}", f"{study.seeds[num]}", *means, others, each, interval])
    header = ["N", "networks", "a, train", "b, train", "a, held out", "b, held out"]
    return Table([*header, "a/b to the held-out set's memorized form", "a < b from step", "95 % interval"], rows)


def copies_table(study: Study) -> Table:
    """The paper's ratio in three spaces, with its nulls."""
    rows = []
    for num in study.seeds:
        for name, spaces in measures.copies(study, num).items():
            draws = {measures.HELD_OUT: len(study.strangers), measures.LEFT_OUT: num}
            size = draws.get(name, study.settings.num_samples)
            cells = [
                _span(*measures.share_with_interval([one.memorized for one in counts], size))
                for counts in spaces.values()
            ]
            first = spaces[measures.SPACES[0]]
            cells += [_span(*measures.share_with_interval([one.near for one in first], size))]
            rows.append([f"{num}", name, *cells, f"{sum(one.median for one in first) / len(first):.2f}"])
    header = ["N", "samples", "r < 0.7, coefficients", "standardized", "fields"]
    return Table([*header, "d1/d2 < 1/3, coefficients", "median r, coefficients"], rows)


def swap_table(study: Study) -> Table:
    """The effect with its interval, what labels alone can do, and what decides."""
    rows = []
    for num in study.seeds:
        for name, found in measures.swaps(study, num).items():
            test, (low, high) = found.test, found.test.null_interval
            cells = f"{test.share:.3f}", f"{found.interval[0]:.2f} to {found.interval[1]:.2f}, {found.over}"
            decides = f"{test.log_ratio:+.3f}", f"{test.p:.4f}", f"{test.p_held_out:.4f}"
            rows.append([f"{num}", name, *cells, f"{low:.2f} to {high:.2f}", *decides])
    header = ["N", "samples", "swap share", "95 %, over", "95 %, by labels alone", "mean log-ratio"]
    return Table([*header, "p, nearer to T", "p, nearer to H"], rows)


def levels_table(study: Study) -> Table:
    """Predicted and measured condensation levels."""
    named = [("published", c) for c in measures.published_levels(study)]
    named += [(f"white, d = {d}", c) for d, results in measures.white_levels(study).items() for c in results]
    rows = []
    for name, c in named:
        values = f"{c.predicted:.3f}", f"{c.measured:.3f} ± {c.half:.3f}"
        rows.append([name, f"{c.num}", *values, f"{c.ratio:.3f} ± {c.ratio_half:.3f}"])
    return Table(["distribution", "N", "predicted", "measured", "predicted / measured"], rows)


def schedule_table(study: Study) -> Table:
    """How evenly four ways to sample choose among fifty examples."""
    rows = []
    for name in SCHEDULES:
        s = measures.selected(study, name)
        cells = f"{s.distance:.3f} ± {s.half:.3f}", f"{s.floor:.3f} ± {s.floor_std:.3f}", f"{s.excess:.1f}"
        top = 50 * float(s.frequencies.max())
        rows.append([name, f"{study.schedule(name)[0]:.2f}", f"{len(s.chosen):,}", *cells, f"{top:.1f}"])
    header = ["schedule", "starts at", "draws", "total variation to uniform", "of uniform draws, ± 1 sd"]
    return Table([*header, "standard deviations above", "most chosen, times 1/N"], rows)


# ---- pictures ------------------------------------------------------------------------------------------------------


def answer(study: Study) -> Figure:
    """Towards which form networks go, and whether their samples are copies."""
    curves, columns = {}, {}
    for num in study.seeds:
        runs = measures.histories(study, num)
        both = [run.shares("train") for run in runs]
        curves[num] = runs[0].steps, [a / b for a, b in both]
        found = measures.swaps(study, num)
        networks, fresh = found[measures.NETWORKS], found[measures.TRUE_DRAWS]
        true = fresh.test.share, *fresh.interval
        columns[num] = networks.by_seed, networks.interval, true, networks.test.null_interval
    figure, axes = style.panels(1, 2, height=3.3)
    figures.quotient_curves(axes[0], curves, measures.crossing(study, 50)).legend(loc="lower left")
    figures.swap_columns(axes[1], columns)
    return style.legend_below(figure, axes[1:], 3)


def collapse(study: Study) -> Figure:
    """The memorized prior of five examples at three levels, and samples on their way."""
    five, device = study.five, study.device
    levels = karras_sigmas(60, 0.02, 80.0)[:-1].to(device)
    noise = normal(40, 2, like=five, generator=study.generator("picture"))
    drawn = {"generator": study.generator("nothing")}
    paths = losses.flow_paths(EmpiricalDenoiser(five), levels[0] * noise, levels, **drawn)
    chosen = nearest_neighbors(paths[-1], five, 1).indices[:, 0]
    points, _ = paper.square_grid(-2.9, 2.9, study.settings.num_grid_plane, 2, device)
    figure, axes = style.panels(1, 3, height=2.9, sharey=True)
    for ax, about in zip(axes, (1.5, 0.7, 0.1), strict=True):
        at = int((levels - about).abs().argmin())
        density = IsotropicMixture(five, float(levels[at])).log_prob(points)
        title = rf"$\sigma = {levels[at]:.1f}$"
        figures.paths_panel(ax, points, density, five, paths[: at + 1], chosen, title=title)
    axes[0].set_ylabel("$x_2$")
    return figure


def losses_figure(study: Study) -> Figure:
    """Loss of the two closed forms, on the examples and on others."""
    size = study.settings.num_sigmas
    sigmas = torch.logspace(-1.3, 1.3, size, dtype=torch.float64, device=study.device)
    figure, axes = style.panels(1, 2, height=2.8, sharey=True)
    for ax, (title, curves) in zip(axes, measures.loss_curves(study, sigmas).items(), strict=True):
        figures.loss_curves(ax, sigmas, curves, title=title)
    axes[0].set_ylabel("loss per coordinate")
    return style.legend_below(figure, axes[:1], 2)


def step_slider(study: Study) -> Frames:
    """A network in the plane, step by step, on its way to the memorized form."""
    run, memorized = study.plane_run, EmpiricalDenoiser(study.five)
    target, sent = memorized(study.grid, ARROWS_AT), study.result(run)["sent"]

    def frame(step):
        k = run.steps.index(step)
        errors = measures.plane_errors(study, k)
        of = {"step": step, "sigma": ARROWS_AT}
        return figures.arrows_frame(study.grid, target, sent[k], study.five, study.levels(2.0).cpu(), errors, **of)

    def alt(step):
        largest = measures.plane_errors(study, run.steps.index(step)).max()
        return f"Arrows and relative error after {step} steps: the largest error is {largest:.0%}"

    return Frames(frame, list(run.steps), name="training step", alt=alt, label="{:,}".format)


def gaps_figure(study: Study) -> Figure:
    """Paths in the plane of both distances; the distances level by level at N = 50, at two kinds of inputs."""
    paths = {n: [(h.steps, *h.shares("train")) for h in measures.histories(study, n)] for n in study.seeds}
    figure, axes = style.panels(1, 3, height=3.0, width_ratios=[1.25, 1, 1])
    figures.gap_plane(axes[0], paths, (100, 1000, 20_000))
    for ax, (which, title) in zip(axes[1:], (("train", "training"), ("held_out", "held-out")), strict=True):
        a, b = measures.levels_of(study, 50, which)
        figures.gap_levels(ax, study.levels(HIGHEST_LEVEL).cpu(), a, b, title=f"$N = 50$, {title}")
    top = max(1.3, *(float(torch.maximum(*measures.levels_of(study, 50, w)).max()) for w in ("train", "held_out")))
    for ax in axes[1:]:
        ax.set_ylim(0, 1.05 * top)
    return style.legend_below(figure, axes[:2], 3)


def copies_figure(study: Study) -> Figure:
    """The paper's ratio of networks' samples, beside two sets that cannot have memorized."""
    figure, axes = style.panels(1, len(study.seeds), height=2.7)
    for ax, num in zip(axes, study.seeds, strict=True):
        title = f"$N = {num}$"
        figures.ratio_panel(ax, measures.ratios(study, num), paper.MEMORIZED_BELOW, title=title)
    axes[0].set_ylabel("density")
    return style.legend_below(figure, axes[:1], 4)


def condensation_figure(study: Study) -> Figure:
    """Responsibilities of noised examples for themselves; measured against predicted levels."""
    figure, axes = style.panels(1, 2, height=3.3)
    predicted = {num: study.predicted(num) for num in study.published}
    curves = measures.responsibilities(study, CURVE_LEVELS)
    condensation_figures.responsibility_curves(axes[0], CURVE_LEVELS, curves, predicted).legend(loc="upper right")
    axes[0].set_xticks([1, 2, 5, 10], ["1", "2", "5", "10"])
    condensation_figures.level_scatter(axes[1], measures.published_levels(study), measures.white_levels(study))
    axes[1].legend(loc="upper left", fontsize=8.5, handletextpad=0.2)
    return figure


def selection_figure(study: Study) -> Figure:
    """Which of fifty examples an exactly memorized sampler ends on, and from which level it is even."""
    figure, axes = style.panels(1, 3, height=3.1)
    results = {name: measures.selected(study, name) for name in SCHEDULES}
    condensation_figures.sorted_frequencies(axes[0], results)
    axes[0].set_xlabel("examples, in order")
    norms = study.priors(50).train_set.norm(dim=1)
    condensation_figures.favored(axes[1], norms, results[RELEASED])
    axes[1].set_ylabel("times the fair share, as released")
    by_start = {
        num: (START_RATIOS, [measures.above_floor(study, num, ratio) for ratio in START_RATIOS])
        for num in study.settings.start_sizes
    }
    condensation_figures.start_curves(axes[2], by_start).legend(loc="upper right")
    return style.legend_below(figure, axes[:1], 4)


def field_slider(study: Study) -> Frames:
    """A held-out field, noised, and what both closed forms make of it."""
    fifty, basis = study.priors(50), fields.CosineBasis(paper.published_grid())
    stranger = fifty.held_out[:1]
    unit = normal(1, 100, like=stranger, generator=study.generator("stranger"))

    def speed(x):
        slowness = basis.decode(study.restore(x, 50))
        return fields.velocity(slowness.clamp(3.2**-2, 1.4**-2))[0]

    def shares(sigma):
        return IsotropicMixture(fifty.train_set, sigma).responsibilities(stranger + sigma * unit)[0]

    def frame(sigma):
        x = stranger + sigma * unit
        views = {"held out": stranger, "noised": x}
        views |= {"memorized": fifty.empirical(x, sigma), "true": fifty.true(x, sigma)}
        maps = {title: speed(view) for title, view in views.items()}
        return condensation_figures.sigma_frame(maps, shares(sigma), sigma=sigma, limits=(1.75, 2.25))

    def alt(sigma):
        return f"A held-out field noised at {sigma:g}: the largest responsibility is {shares(sigma).max():.2f}"

    return Frames(frame, SLIDER_LEVELS, name="noise level σ", alt=alt)
