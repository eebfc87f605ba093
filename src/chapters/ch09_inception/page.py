"""What chapter 9's page shows of its study: rows, tables, pictures."""

from functools import cache

import torch
from matplotlib.figure import Figure

from chapters.ch09_inception import figures, measures
from chapters.ch09_inception.data import GOAL, SIZE, START
from chapters.ch09_inception.runs import (
    DEEP,
    LAYERS,
    LONGER,
    FaciesRun,
    FirstLayer,
    ascended,
    centroid_wavenumbers,
)
from chapters.ch09_inception.study import Study
from companion.frames import Frames
from companion.tables import Table
from memprior._random import generator_for
from memprior.dreaming import dream, filter_power, layer_norm_objective, logit_objective
from memprior.figures import style
from memprior.geology import SECTION_FACIES
from memprior.intervals import Mean
from memprior.memorization import SwapTest

RANDOM = "random weights"
THIRDS = "upper", "middle", "lower"


def label_of(n: int) -> str:
    return f"N = {n}" if n else RANDOM


def counts(study: Study) -> list[int]:
    """Of training patches, and 0 for random weights."""
    return [*study.settings.sizes, 0]


# ---- tables --------------------------------------------------------------------------------------------------------


def accuracy_table(study: Study) -> Table:
    """Facies of test patches found, beside what the depth alone finds."""
    both = measures.accuracy, measures.depth_accuracy
    lines = [[label_of(n), *(f"{of(study, n)}" for of in both)] for n in study.settings.sizes]
    lines.append([RANDOM, f"{measures.accuracy(study, 0)}", "-"])
    lines.append(["referee", f"{measures.referee_accuracy(study):.3f}", "-"])
    return Table(["network", "test patches named right", "by their depth alone, nearest mean"], lines)


def directed_table(study: Study) -> Table:
    """Directed dreams from sections of one facies: probability of another one."""
    lines = []
    for n, dreams in [*((n, "directed") for n in counts(study)), (0, "longer")]:
        cells = [measures.goal_probability(study, n, what) for what in ("before.referee", f"{dreams}.referee")]
        own = f"{measures.goal_probability(study, n, 'directed.own')}" if dreams == "directed" else "-"
        seeds = ", ".join(f"{one:.2f}" for one in measures.gains_by_seed(study, n, dreams))
        gain, far = measures.gain(study, n, dreams), measures.moved(study, n, dreams)
        name = label_of(n) if dreams == "directed" else f"{RANDOM}, {LONGER} times the steps"
        lines.append([name, *(f"{of}" for of in cells), f"{gain}", seeds, f"{far}", own])
    header = [f"dreams of {GOAL} on {START}", "referee before", "referee after", "gain", "gain by seed"]
    return Table([*header, "moved, of the section's norm", "network itself, after"], lines)


def plain_table(study: Study) -> Table:
    """Plain dreams: what the referee sees, amplitude, and mean wavenumber (cycles per sample) by thirds of depth."""
    lines = []
    start = study.result(study.start).seismic
    before = centroid_wavenumbers(start)[..., 0].mean(0)
    for n in counts(study):
        found = measures.answers_of(study, n)
        for name, held in (("plain", "trace RMS held"), ("free", "nothing held")):
            norms = [(one[name].flatten(1).norm(dim=1) / start.flatten(1).norm(dim=1)) for one in found]
            after = torch.stack([centroid_wavenumbers(one[name])[..., 0].mean(0) for one in found]).mean(0)
            shift = ", ".join(f"{float(a / b - 1):+.0%}" for a, b in zip(after, before, strict=True))
            gain = measures.gain(study, n, name)
            lines.append([f"{label_of(n)}, {held}", f"{gain}", f"{measures.crossed_mean(norms)}", shift])
    header = [f"ascent of {DEEP}", f"gain of {GOAL}", "amplitude, after over before"]
    return Table([*header, f"vertical wavenumber: {', '.join(THIRDS)}"], lines)


def wavenumber_table(study: Study) -> Table:
    """First layer: peak wavenumber of the dream, and of the filter bank's power."""
    lines = []
    for run in first_layers(study):
        found = study.result(study.first_layer(run))
        waves = [f"({down}, {across})" for down, across in found["wavenumbers"].tolist()]
        apart = [str(k) for k in found["bins_apart"].tolist()]
        lines.append([label_of_run(study, run), *waves, *apart])
    header = ["network", "dream (down, across)", "predicted, so many steps", "in the limit", "bins apart"]
    return Table([*header, "from the limit"], lines)


def first_layers(study: Study) -> list[FaciesRun]:
    """Networks whose first layer was ascended."""
    return [part.network for part in study.parts if isinstance(part, FirstLayer)]


def label_of_run(study: Study, run: FaciesRun) -> str:
    seed = f"seed {run.seed - study.seeds[0]}"
    if not run.num_steps:
        return f"{RANDOM}, {seed}"
    little = "" if run.num_steps == study.settings.training.num_steps else ", little trained"
    return f"N = {run.num_examples}{little}, {seed}"


def deeper_table(study: Study) -> Table:
    """How far a layer's dream follows its linearization at the start."""
    lines = []
    for n in (study.settings.sizes[-1], 0):
        lines.append([label_of(n), *(f"{of}" for of in measures.linearized(study, n))])
    return Table(["cosine with the linearized dream", *LAYERS], lines)


def budget_table(study: Study) -> Table:
    """Directed dreams that data with noise cannot contradict."""
    lines = []
    for n in (study.settings.sizes[-1], 0):
        for of in measures.budgeted(study, n):
            cells = f"{of.referee}", f"{of.own}", f"{of.misfit:.7f}"
            lines.append([f"{label_of(n)}, noise {of.noise_level:g}", *cells])
    header = ["network and noise over data", f"referee's probability of {GOAL}", "the network's own"]
    return Table([*header, "largest misfit over budget"], lines)


@cache
def memory_table(study: Study) -> Table:
    """Swap tests: dreams of A against halves A and B, and dreams of B."""
    lines, tests = [], every_memory_test(study)
    for (n, seed, half, space), test in tests.items():
        low, high = test.null_interval
        name = f"N = {n}, half {half}, seed {seed - study.seeds[0]}, {space}"
        p = f"{test.p:.2g}", f"{min(1.0, len(tests) * test.p):.2g}"
        lines.append([name, f"{test.share:.2f}", f"{low:.2f} to {high:.2f}", *p])
    return Table(["dreams", "share nearer to own half", "by labels alone", "p", "p, of all rows"], lines)


@cache
def every_memory_test(study: Study) -> dict[tuple[int, int, str, str], SwapTest]:
    """(N, seed, half, space) -> swap test."""
    return {
        (n, seed, half, space): test
        for n in study.settings.memory_sizes
        for seed in study.seeds
        for (half, space), test in measures.memory_tests(study, n, seed).items()
    }


def pareidolia_table(study: Study) -> Table:
    """Confident names for what has no shapes, and for what has no direction either."""
    lines = []
    for n in counts(study):
        sure = [measures.confident_by_seed(study, n, what) for what in ("isotropic", "surrogates", "test")]
        cells = [", ".join(f"{share:.2f}" for share in of) for of in sure]
        lines.append([label_of(n), *cells, f"{measures.kept_label(study, n)}"])
    header = ["named above .9, by seed", "isotropic noise", "surrogates", "test patches"]
    return Table([*header, "surrogates that get their patch's facies"], lines)


# ---- pictures ------------------------------------------------------------------------------------------------------


def filmstrip_of(study: Study, run: FaciesRun, steps: tuple[int, ...]) -> list[torch.Tensor]:
    """The first starting section along a directed dream, after so many steps, 0 first."""
    plan, start = study.answers(run).plan, study.result(study.start).seismic[:1]
    objective = logit_objective(study.network(run), measures.GOAL_LABEL)
    states = dream(objective, start, plan, generator=generator_for("directed jitter"))
    kept = {0: start[0]} | {state.step: state.sections[0] for state in states if state.step in steps}
    return [kept[step] for step in steps]


def strip_steps(study: Study, num: int = 5) -> tuple[int, ...]:
    most = study.settings.ascent.num_steps
    return tuple(sorted({round(most * k / (num - 1)) for k in range(num)}))


def answer(study: Study) -> Figure:
    """A directed dream, and the same with random weights under it."""
    steps = strip_steps(study)
    n, seed = study.settings.sizes[-1], study.seeds[0]
    rows = {label_of(n): filmstrip_of(study, study.run_of("A", n, seed), steps)}
    rows[RANDOM] = filmstrip_of(study, study.random(seed), steps)
    figure, axes = style.panels(2, len(steps), height=3.2)
    most = 2 * float(rows[RANDOM][0].square().mean().sqrt())
    figures.filmstrip(axes, rows, [f"step {step}" for step in steps], most=most)
    return figure


def budget_figure(study: Study) -> Figure:
    """Evidence against noise: to the referee, to the network itself."""
    figure, axes = style.panels(1, 2, height=2.8, sharey=True)
    of = {label_of(n): measures.budgeted(study, n) for n in (study.settings.sizes[-1], 0)}
    for ax, judge in zip(axes, ("referee", "own"), strict=True):
        curves: dict[str, list[Mean]] = {label: [getattr(one, judge) for one in found] for label, found in of.items()}
        name = "referee" if judge == "referee" else "the network itself"
        figures.evidence_against_noise(ax, study.settings.noise_levels, curves, ylabel=f"{GOAL}, to {name}")
    return style.legend_below(figure, axes[:1], 2)


def spectrum_figure(study: Study, num: int = 3) -> Figure:
    """Filter banks' power with the dream's peak: of trained, little-trained and random networks."""
    runs = {run.num_steps: run for run in first_layers(study) if run.seed == study.seeds[0]}
    runs_shown = list(runs.values())[:num]
    figure, axes = style.panels(1, len(runs_shown), height=2.7)
    for ax, run in zip(axes, runs_shown, strict=True):
        power = filter_power(study.network(run).conv1.weight.detach(), SIZE)
        measured, predicted, _ = study.result(study.first_layer(run))["wavenumbers"].tolist()
        title = label_of_run(study, run).removesuffix(f", seed {run.seed - study.seeds[0]}")
        figures.spectrum_map(ax, torch.fft.fftshift(power), measured=measured, predicted=predicted, title=title)
    return style.legend_below(figure, axes[:1], 2)


def gallery_of_facies(study: Study) -> Figure:
    """The first test patch of each facies."""
    test = study.result(study.test)
    figure, axes = style.panels(1, len(SECTION_FACIES), height=1.9)
    for k, (ax, name) in enumerate(zip(axes, SECTION_FACIES, strict=True)):
        figures.section_image(ax, test.seismic[k], most=2.0, title=name)
    return figure


def layer_slider(study: Study) -> Frames:
    """Plain dreams of each layer, and the same with random weights."""
    start, seed = study.result(study.start).seismic[:1], study.seeds[0]
    runs = {label_of(study.settings.sizes[-1]): study.run_of("A", study.settings.sizes[-1], seed)}
    runs[RANDOM] = study.random(seed)
    plan = study.answers(runs[RANDOM]).plan
    networks = [study.network(run) for run in runs.values()]

    def dreamed(network, layer):
        return ascended(layer_norm_objective(network, layer), start, plan, "plain jitter")[0]

    made = {layer: [dreamed(network, layer) for network in networks] for layer in LAYERS}
    most = 2 * float(start.square().mean().sqrt())

    def frame(layer):
        figure, axes = style.panels(1, 3, height=2.4)
        figures.filmstrip(axes, {"": [start[0], *made[layer]]}, ["start", *runs], most=most)
        return figure

    def alt(layer):
        moved = [float((x - start[0]).norm() / start.norm()) for x in made[layer]]
        return f"Dreams of {layer}: they moved by {moved[0]:.0%} of the section, with random weights by {moved[1]:.0%}."

    return Frames(frame, list(LAYERS), name="layer", label=str, alt=alt)


def iteration_slider(study: Study) -> Frames:
    """A directed dream step by step."""
    steps = strip_steps(study, 9)
    n, seed = study.settings.sizes[-1], study.seeds[0]
    strip = dict(zip(steps, filmstrip_of(study, study.run_of("A", n, seed), steps), strict=True))
    most = 2 * float(strip[0].square().mean().sqrt())

    def frame(step):
        figure, axes = style.panels(1, 2, height=2.6)
        figures.filmstrip(axes, {"": [strip[step], strip[step] - strip[0]]}, ["section", "increment"], most=most)
        return figure

    def alt(step):
        share = float((strip[step] - strip[0]).norm() / strip[0].norm())
        return f"Step {step} of a dream of {GOAL}: the increment is {share:.0%} of the section."

    return Frames(frame, list(steps), name="step", label="{:d}".format, alt=alt)


def budget_slider(study: Study) -> Frames:
    """What a dream adds that data with noise cannot contradict, level by level."""
    start = study.result(study.start).seismic[0]
    made = measures.answers_of(study, study.settings.sizes[-1])[0]["budget.sections"][:, 0]
    levels, most = study.settings.noise_levels, 2 * float(start.square().mean().sqrt())

    def frame(level):
        section = made[levels.index(level)]
        figure, axes = style.panels(1, 3, height=2.4)
        titles = ["start", "dream in the budget", "increment"]
        figures.filmstrip(axes, {"": [start, section, section - start]}, titles, most=most)
        return figure

    def alt(level):
        share = float((made[levels.index(level)] - start).norm() / start.norm())
        return f"Noise {level:g} of the data: the dream adds {share:.0%} of the section's amplitude."

    return Frames(frame, list(levels), name="noise over data", alt=alt)
