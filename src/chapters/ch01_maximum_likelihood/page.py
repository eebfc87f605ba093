"""What chapter 1's page shows of its study: tables, pictures, sliders."""

from functools import cache

import torch
from matplotlib.figure import Figure

from chapters.ch01_maximum_likelihood import families, figures, measures
from chapters.ch01_maximum_likelihood.problems import FAMILIES
from chapters.ch01_maximum_likelihood.study import HALF_WAY, PLANE, VELOCITIES, Study
from companion.frames import Frames
from companion.tables import Table
from memprior.figures import style
from memprior.intervals import Mean
from memprior.mixture import IsotropicMixture

TRAINED = ("flow", "autoencoder", "diffusion")
LONGER = "diffusion, longer"
REACH = {PLANE: 1.7, VELOCITIES: 2.3}  # of the axes of distances
TITLES = {PLANE: "plane", VELOCITIES: "published fields"}


def mean_text(mean: Mean, digits: int = 3) -> str:
    """A mean with half of its interval, where it has one; 0 where both are rounding."""
    if max(abs(mean.value), mean.half) < 1e-12:
        return "0"
    return f"{mean.value:.{digits}g}" + (f" ± {mean.half:.2g}" if mean.half else "")


# ---- tables --------------------------------------------------------------------------------------------------------


def plane_table(study: Study) -> Table:
    """Every family in the plane: nats per example, and distances."""
    return Table(
        ["family", "N", "nats from memory", "nats from the truth", "distance to empirical", "distance to truth"],
        [
            [family, str(num), *(mean_text(mean) for mean in _standing(study, PLANE, num, family))]
            for family in FAMILIES
            for num in study.settings.plane_sizes
        ],
    )


def fields_table(study: Study) -> Table:
    """Every family on published fields: nats per coordinate, and distances."""
    lines = []
    for family in FAMILIES:
        for num in study.settings.published_sizes:
            spread = measures.ending(study, VELOCITIES, num, family, "spread")
            cells = (*_standing(study, VELOCITIES, num, family), spread)
            lines.append([family, str(num), *(mean_text(mean) for mean in cells)])
    header = ["family", "N", "nats from memory", "nats from the truth", "distance to empirical", "distance to truth"]
    return Table([*header, "spread over the truth's"], lines)


def _standing(study: Study, kind: str, num: int, family: str) -> list[Mean]:
    nats = [measures.nats(study, kind, num, family, at) for at in ("train", "held_out")]
    return [*nats, *(measures.ending(study, kind, num, family, key) for key in ("to_memory", "to_truth"))]


def away_table(study: Study) -> Table:
    """Published fields, the smallest set: what training does to samples, from its first checkpoint to its last."""
    num, lines = study.settings.published_sizes[0], []
    runs = [(family, False) for family in TRAINED] + [("diffusion", True)] * study.has_longer
    for family, longer in runs:
        steps, _ = measures.along(study, VELOCITIES, num, family, "to_memory", longer=longer)
        for checkpoint in (0, -1):
            keys = ("to_memory", "spread", "nearest")
            cells = (measures.ending(study, VELOCITIES, num, family, key, checkpoint, longer=longer) for key in keys)
            lines.append([LONGER if longer else family, str(steps[checkpoint]), *map(mean_text, cells)])
    header = ["family", "step", "distance to empirical", "spread over the truth's", "distance to nearest example"]
    return Table(header, lines)


def spikes_table(study: Study) -> Table:
    """A distribution whose likelihood diverges and that does not remember."""
    lines = [
        [f"{one.width:g}", f"{one.log_likelihood:.2f}", f"{one.to_memory:.2f}", f"{one.to_truth:.2f}"]
        for one in measures.spikes(study)
    ]
    return Table(["width of spikes", "log-likelihood per example", "distance to empirical", "distance to truth"], lines)


def control_table(study: Study) -> Table:
    """The same network and training on few and on many examples: absolute errors to both closed forms."""
    lines = []
    for num in study.few_and_many:
        own, held_out = (measures.erring(study, num, at) for at in ("examples", "held out"))
        cells = measures.ends_apart(study, num), *own, measures.least_error(study, num), held_out.to_truth
        lines.append([str(num), *map(mean_text, cells)])
    header = ["N", "examples: the ends apart", "from memorized", "from true", "held out: from true, least"]
    return Table([*header, "at the end"], lines)


# ---- pictures ------------------------------------------------------------------------------------------------------


def answer(study: Study) -> Figure:
    """Where six families end between memory and truth, in the plane and on published fields."""
    figure, axes = style.panels(1, 2, height=3.9)
    for ax, kind in zip(axes, (PLANE, VELOCITIES), strict=True):
        num = _few(study, kind)
        ends = {
            family: tuple(measures.ending(study, kind, num, family, key) for key in ("to_memory", "to_truth"))
            for family in FAMILIES
        }
        paths = {family: _path(study, kind, num, family) for family in TRAINED}
        figures.memorization_plane(ax, ends, paths, REACH[kind]).set_title(f"{TITLES[kind]}, $N = {num}$")
    return style.legend_below(figure, axes[:1], 6)


def _few(study: Study, kind: str) -> int:
    return (study.settings.plane_sizes if kind == PLANE else study.settings.published_sizes)[0]


def _path(study: Study, kind: str, num: int, family: str) -> tuple[list[float], list[float]]:
    both = (measures.along(study, kind, num, family, key)[1] for key in ("to_memory", "to_truth"))
    x, y = ([mean.value for mean in means] for means in both)
    return x, y


def samples(study: Study) -> Figure:
    """Samples of each family fitted to the first few examples in the plane."""
    num = _few(study, PLANE)
    problem = _problem(study)
    drawn = {family: measures.histories(study, PLANE, num, family)[0][-1]["points"] for family in FAMILIES}
    return figures.families_and_truth(problem.train_set, problem.fresh[:400], drawn, f"{num} examples")


@cache
def _problem(study: Study):
    return study.problem(PLANE, _few(study, PLANE), 0)


def floor(study: Study) -> Figure:
    """Likelihood against the bandwidth, and against the number of components."""
    figure, axes = style.panels(1, 2, height=2.9)
    problem = measures.medium(study)
    figures.floor_curves(axes[0], measures.floors(study)).legend(loc="upper right")
    figures.component_curves(axes[1], measures.components(study), problem.ceiling, problem.truth).legend()
    return figure


def gaps(study: Study, kind: str) -> Figure:
    """Nats from memory and from the truth against N, a panel for each family."""
    sizes = study.settings.plane_sizes if kind == PLANE else study.settings.published_sizes
    unit = "nats per example" if kind == PLANE else "nats per coordinate"
    figure, axes = style.panels(2, 3, height=4.2, sharex=True, sharey=True)
    found = {}
    for family in FAMILIES:
        found[family] = {
            name: [(mean.value, mean.half) for mean in (measures.nats(study, kind, num, family, at) for num in sizes)]
            for name, at in (("from memory", "train"), ("from the truth", "held_out"))
        }
    figures.gaps_against_size(axes, sizes, found)
    for ax in axes[::3]:
        ax.set_ylabel(unit)
    for ax in axes[3:]:
        ax.set_xlabel("training examples $N$")
    return style.legend_below(figure, axes[:1], 2)


def memorization_time_figure(study: Study) -> Figure:
    """How long a denoiser takes to be half-way to memory."""
    sizes = study.settings.time_sizes
    figure, axes = style.panels(1, 2, height=3.1)
    own, other = ({num: measures.curves(study, num, whose) for num in sizes} for whose in ("own", "other"))
    figures.memorization_curves(axes[0], own, other, HALF_WAY)
    found = measures.memorization_times(study), measures.exponent(study).value
    figures.times_against_size(axes[1], sizes, *found).legend(loc="upper left")
    return style.legend_below(figure, axes[:1], 5)


def away(study: Study) -> Figure:
    """Published fields, the smallest set: likelihood goes to memory, samples contract."""
    num = study.settings.published_sizes[0]
    figure, axes = style.panels(1, 3, height=3.0)
    panels = ("train", "nats from memory, per coordinate"), ("to_memory", "distance to empirical")
    for ax, (key, title) in zip(axes, (*panels, ("spread", "spread over the truth's")), strict=True):
        lines = {family: measures.along(study, VELOCITIES, num, family, key) for family in TRAINED}
        if study.has_longer:
            lines[LONGER] = measures.along(study, VELOCITIES, num, "diffusion", key, longer=True)
        figures.along_training(ax, lines, title=title, level=None if key == "train" else 1.0)
    axes[0].set(yscale="log")
    axes[0].yaxis.set_major_formatter("{x:g}")
    axes[0].yaxis.set_minor_formatter("")
    return style.legend_below(figure, axes[:1], 4)


# ---- sliders -------------------------------------------------------------------------------------------------------


def bandwidth_slider(study: Study) -> Frames:
    """The kernel density of a few examples at ever larger bandwidths."""
    problem, grid = _problem(study), _grid(study)

    def at(h: float):
        law = IsotropicMixture(problem.train_set, h)
        return law, *(float(law.log_prob(x).mean()) for x in (problem.train_set, problem.fresh))

    def frame(h: float) -> Figure:
        law, train, held = at(h)
        title = f"log-likelihood per example: {train:.2f} at the examples, {held:.2f} held out"
        return figures.kernel_density(grid, law.log_prob(grid).exp(), law.means, title=title)

    def alt(h: float) -> str:
        _, train, held = at(h)
        return f"Kernel density, h = {h:g}: {train:.2f} at the examples, {held:.2f} held out"

    values = [0.05, 0.08, 0.12, 0.18, 0.25, 0.35, 0.5, 0.7, 1.0]
    return Frames(frame, values, name="bandwidth h", alt=alt, start=2)


def number_slider(study: Study) -> Frames:
    """Kernel densities of ever more examples, with the bandwidth of the leave-one-out likelihood."""
    problem, grid = _problem(study), _grid(study)
    whole = study.truth.sample(1000, generator=study.generator("N"))

    @cache
    def of(num: int) -> IsotropicMixture:
        best = families.best_bandwidth(whole[:num], problem.floor, leave_one_out=True)
        return IsotropicMixture(whole[:num], best)

    def frame(num: int) -> Figure:
        law = of(num)
        title = f"{num} examples, leave-one-out bandwidth {law.sigma:.2f}"
        return figures.kernel_density(grid, law.log_prob(grid).exp(), law.means, title=title)

    def alt(num: int) -> str:
        held = float(of(num).log_prob(problem.fresh).mean())
        return f"Kernel density of {num} examples: {held:.2f} at held-out points"

    return Frames(frame, [3, 5, 10, 20, 50, 100, 200, 500, 1000], name="examples N", alt=alt, start=3)


def _grid(study: Study) -> torch.Tensor:
    side = torch.linspace(-3, 3, 121, dtype=torch.float64, device=study.device)
    return torch.cartesian_prod(side, side)


def step_slider(study: Study) -> Frames:
    """Samples of the diffusion model as it trains."""
    num = _few(study, PLANE)
    checkpoints, train_set = measures.histories(study, PLANE, num, "diffusion")[0], _problem(study).train_set

    def alt(index: int) -> str:
        point = checkpoints[index]
        distances = f"{point['to_memory']:.2f} from the empirical distribution, {point['to_truth']:.2f} from the truth"
        return f"Diffusion samples after {point['step']} steps: {distances}"

    return Frames(
        lambda index: figures.training_frame(checkpoints, index, train_set),
        range(len(checkpoints)),
        name="training step",
        alt=alt,
        label=lambda index: str(checkpoints[index]["step"]),
        start=-1,
    )
