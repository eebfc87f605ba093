"""Appendix A1's page: what it computes once, its figures, tables, sliders and claims."""

import math
from dataclasses import dataclass
from functools import cached_property

import torch
from matplotlib.figure import Figure

from chapters.a1_waves import accuracy, derivatives, figures
from chapters.a1_waves import classical_inversion as inversion
from chapters.a1_waves.accuracy import Digits, TimeAgainstFrequency
from chapters.a1_waves.classical_inversion import ClassicalInversion
from chapters.a1_waves.derivatives import TaylorTest
from companion.frames import Frames
from companion.record import Run
from companion.tables import Table
from memprior import paper
from memprior.figures import style
from memprior.figures.maps import model_map, speed_bar
from memprior.intervals import Mean
from memprior.waves import Acquisition
from memprior.waves.helmholtz import HelmholtzOperator
from memprior.waves.time_domain import AcousticOperator, BornOperator, openfwi_acquisition

STEPS = [0.02, 0.01, 0.005, 0.0025]  # of the Taylor tests
RELEASED_CELLS = 200  # a side, in the released code
STRENGTHS = {"published": 1.0, "twice as strong": 2.0}
COARSE_CELLS = 100  # with seventeen cells per wavelength
UNKNOWNS = "cells", "coefficients"
NOISE_FREE = "cells, no noise"  # the null of what noise does


@dataclass(frozen=True, eq=False)
class InvertedTruth:
    """One truth inverted. truth: (nx, nz). found: by name. errors: of the kept iterations, by name."""

    truth: torch.Tensor
    found: dict[str, ClassicalInversion]
    errors: dict[str, list[float]]


@dataclass(frozen=True, eq=False)
class CoarseInversion:
    """By a stencil with too few cells, over truths: data_gap, misfit, best and last error of the model, (T,) each."""

    cells: int
    data_gap: list[float]
    misfit: list[float]
    best: list[float]
    last: list[float]


class Results:
    """What this page shows, each computed when it is first asked for."""

    def __init__(self, run: Run):
        self.run, self.size, self.device = run, run.settings, run.device
        self.operator = paper.published_operator()
        self.single = paper.published_operator(dtype=torch.complex64)
        self.survey, self.grid = self.operator.acquisition, self.operator.grid
        self.rock = accuracy.published_model(self.grid, 0, run.device)

    # ---- accuracy

    @cached_property
    def spectral(self) -> dict[int, list[tuple[float, float]]]:
        return accuracy.spectral_accuracy(self.size.orders, self.size.elements, self.device)

    @cached_property
    def stencil(self) -> list[tuple[float, float]]:
        return accuracy.stencil_accuracy(self.size.stencil_cells)

    @property
    def released(self) -> tuple[float, float]:
        """Cells per wavelength and error of the stencil on the released grid."""
        return self.stencil[self.size.stencil_cells.index(RELEASED_CELLS)]

    @property
    def density(self) -> float:
        """Unknowns per wavelength of the chapters' operator, 2 km/s."""
        return self.operator.nodes_per_kms * paper.SPEED_KMS

    @cached_property
    def errors(self) -> dict[str, float]:
        """Of the chapters' operator: against the Green's function, in both precisions, and in a published model."""
        finer = paper.reference_operator(self.grid)  # order 12, two layers
        return {
            "green": accuracy.greens_error(self.operator, self.survey, paper.SPEED_KMS, self.device),
            "green64": accuracy.greens_error(self.single, self.survey, paper.SPEED_KMS, self.device),
            "heterogeneous": accuracy.relative(self.operator(self.rock), finer(self.rock)),
        }

    @property
    def unknowns(self) -> tuple[int, int]:
        """Of the chapters' operator, and of the released stencil with its absorbing cells."""
        return math.prod(axis.num_nodes - 2 for axis in self.operator.axes[0]), (RELEASED_CELLS + 60) ** 2

    @cached_property
    def layers(self) -> dict[str, float]:
        """Relative change of the data when the absorbing layer is doubled."""
        doubled = accuracy.chapters_operator(2)
        flat = accuracy.homogeneous(self.grid, paper.SPEED_KMS, self.device)
        models = {"flat": flat, "model": self.rock}
        return {name: accuracy.relative(self.operator(m), doubled(m)) for name, m in models.items()}

    # ---- derivatives

    @cached_property
    def taylor(self) -> dict[str, TaylorTest]:
        """Five directions with the operator's gradient; one of a padded operator, whole and with its margin cut off."""
        draws = self.run.generator("directions")
        rings = [derivatives.ring_direction(self.grid, draws, self.device) for _ in range(2)]
        inner = [derivatives.random_direction(self.grid, draws, self.device) for _ in range(3)]
        named = {f"ring {k}": v for k, v in enumerate(rings)} | {f"all {k}": v for k, v in enumerate(inner)}
        found = {name: derivatives.taylor_test(self.operator, self.rock, v, STEPS) for name, v in named.items()}
        padded = derivatives.padded_operator(self.size.control_cells, 6)
        small = paper.square(self.size.control_cells)
        start = accuracy.published_model(small, 0, self.device)
        ring = derivatives.ring_direction(small, draws, self.device)
        found["whole"] = derivatives.taylor_test(padded, start, ring, STEPS)
        found["cut"] = derivatives.taylor_test(padded, start, ring, STEPS, gradient=padded.cropped_gradient)
        return found

    @property
    def slopes(self) -> list[float]:
        """Of the operator's own gradient, ring first."""
        return [test.slope for name, test in self.taylor.items() if name not in ("whole", "cut")]

    @cached_property
    def gaps(self) -> dict[str, float]:
        """Which should be rounding: adjoint, reciprocity, batch."""
        eight = accuracy.published_models(self.grid, 8, self.device)
        singles = torch.cat([self.operator(one[None]) for one in eight])
        return {
            "adjoint": derivatives.adjoint_gap(self.operator, self.rock, self.run.generator("adjoint")),
            "reciprocity": derivatives.reciprocity_gap(self.operator, self.rock),
            "batch": accuracy.relative(self.operator(eight), singles),
        }

    @cached_property
    def digits(self) -> dict[str, Digits]:
        nums = self.size.num_digits.published, self.size.num_digits.twice_as_strong
        cases = zip(STRENGTHS.items(), nums, strict=True)
        return {name: accuracy.digits(num, scale, self.device) for (name, scale), num in cases}

    # ---- the other solver

    @cached_property
    def in_time(self) -> dict[str, TimeAgainstFrequency]:
        setting = {"device": self.device, "example": 0, **vars(self.size.time)}
        margins = {"own outside": 0, "same outside": self.size.time.cells // 5}
        return {
            name: accuracy.time_against_frequency(self.size.compared_hz, margin=margin, **setting)
            for name, margin in margins.items()
        }

    @cached_property
    def gathers(self) -> dict[str, torch.Tensor]:
        """A fast layer by the full and the linearized operator, in an OpenFWI survey."""
        shape = openfwi_acquisition()
        background = torch.full(shape.grid.shape, 2.5, dtype=torch.float32)
        change = torch.zeros_like(background)
        change[:, 30:50] = 0.5
        waves, born = AcousticOperator(*shape), BornOperator(*shape, background=background)
        with torch.no_grad():
            direct = waves.traces(waves(background[None]))
            full = waves.traces(waves((background + change)[None])) - direct
            linear = born.traces(born(change[None]))
        return {"direct wave": direct, "reflection": full, "reflection, Born": linear}

    # ---- inversions without a prior

    @cached_property
    def inverted(self) -> list[InvertedTruth]:
        """The paper's truth first, then unseen ones; each with a noise draw of its own."""
        draws, found = self.run.generator("noise"), []
        for z in inversion.several_truths(self.size.num_truths):
            measured = inversion.survey(self.operator, 64, coefficients=z, generator=draws)
            truth, steps = measured.truth[0], list(self.size.iterations)
            runs = {
                "cells": inversion.invert_cells(measured.likelihood, 64, steps),
                "coefficients": inversion.invert_coefficients(measured.likelihood, 64, steps),
                NOISE_FREE: inversion.invert_cells(inversion.without_noise(measured), 64, steps),
            }
            errors = {name: [inversion.model_error(m, truth) for m in one.models] for name, one in runs.items()}
            found.append(InvertedTruth(truth, runs, errors))
        return found

    def means(self, name: str) -> dict[str, Mean]:
        """Over truths: misfit at the end, best error, error at the end, and by how much it rose from the best."""
        ends = [one.found[name].misfits[-1] for one in self.inverted]
        best = torch.tensor([min(one.errors[name]) for one in self.inverted], dtype=torch.float64)
        last = torch.tensor([one.errors[name][-1] for one in self.inverted], dtype=torch.float64)
        values = {"misfit": ends, "best": best, "last": last, "rise": last - best}
        return {what: Mean.over(value) for what, value in values.items()}

    @property
    def noise_adds(self) -> Mean:
        """By how much noise raises the error of cells at the end, paired over truths."""
        return Mean.over([one.errors["cells"][-1] - one.errors[NOISE_FREE][-1] for one in self.inverted])

    @cached_property
    def coarse(self) -> list[CoarseInversion]:
        """Coefficients by the 5-point stencil, data by the accurate operator, over at most three truths."""
        truths = inversion.several_truths(min(3, self.size.num_truths))
        found = []
        for cells in self.size.coarse_cells:
            stencil, accurate = inversion.stencil_survey(cells)
            draws, rows = self.run.generator(f"coarse {cells}"), []
            for z in truths:
                with accuracy.coarse_on_purpose():
                    one = inversion.survey(stencil, cells, coefficients=z, generator=draws, data_forward=accurate)
                    gap = accuracy.relative(stencil(one.truth), accurate(one.truth))
                    steps = list(self.size.coarse_iterations)
                    inverted = inversion.invert_coefficients(one.likelihood, cells, steps)
                off = [inversion.model_error(m, one.truth[0]) for m in inverted.models]
                rows.append((gap, inverted.misfits[-1], min(off), off[-1]))
            found.append(CoarseInversion(cells, *map(list, zip(*rows, strict=True))))
        return found


# ---- figures -------------------------------------------------------------------------------------------------------


def answer(results: Results) -> Figure:
    """A wavefield, and error against unknowns per wavelength."""
    figure, axes = style.panels(1, 2, height=3.1, width_ratios=[1, 1.25])
    field = results.operator.wavefields(results.rock)[0, 0, 4]
    figures.wavefield_map(axes[0], field, side_km=2.0, title="6 Hz, one source of 15", survey=results.survey)
    axes[0].set_ylabel("depth (km)")
    chosen = results.density, results.errors["green"]
    figures.accuracy_curves(axes[1], results.spectral, results.stencil, chosen, results.released)
    return figure


def layer_figure(results: Results) -> Figure:
    """Error over velocities with one and with two absorbing elements."""

    def default_operator(num_layers):
        return HelmholtzOperator(results.grid, results.survey, paper.FREQUENCY_HZ, num_layers=num_layers)

    views = {"the chapters' operator": accuracy.chapters_operator, "default, order 8": default_operator}
    figure, axes = style.panels(1, 2, height=2.7, sharey=True)
    for ax, (title, make) in zip(axes, views.items(), strict=True):
        errors = accuracy.layer_errors(make, results.size.layer_speeds, results.device)
        figures.layer_curves(ax, results.size.layer_speeds, errors, title=title)
    axes[1].set_ylabel("")
    axes[0].legend(loc="lower right")
    return figure


def taylor_figure(results: Results) -> Figure:
    names = {"ring": "ring 0", "all cells": "all 0", "padded, whole": "whole", "padded, margin cut off": "cut"}
    figure, (ax,) = style.panels(height=3.0)
    figures.taylor_curves(ax, {name: results.taylor[key] for name, key in names.items()})
    return figure


def digits_figure(results: Results) -> Figure:
    figure, (ax,) = style.panels(height=3.0)
    pairs = {name: (one.growth, one.plain) for name, one in results.digits.items()}
    figures.digits_scatter(ax, pairs, results.operator.repair_above).legend(loc="upper left")
    return figure


def time_figure(results: Results) -> Figure:
    """A gather, and one frequency of it beside the frequency domain."""
    common = results.in_time["same outside"]
    figure, axes = style.panels(1, 2, height=3.0)
    figures.gather(axes[0], results.in_time["own outside"].traces, results.size.time.dt_s, title="traces of one source")
    at = results.size.compared_hz.index(paper.FREQUENCY_HZ)
    figures.two_solvers(axes[1], common.in_time[at], common.in_frequency[at], title="6 Hz")
    figure.legend(*axes[1].get_legend_handles_labels(), loc="outside lower right", ncols=2)
    return figure


def inversion_figure(results: Results) -> Figure:
    """Misfit of the paper's truth, and errors of the model over truths."""
    first, names = results.inverted[0], (*UNKNOWNS, NOISE_FREE)
    means = {
        name: [Mean.over(column) for column in zip(*(one.errors[name] for one in results.inverted), strict=True)]
        for name in names
    }
    figure, axes = style.panels(1, 2, height=2.7)
    figures.misfit_curves(axes[0], first.found).set_ylim(bottom=0.3)  # without noise it goes to zero
    figures.error_curves(axes[1], first.found, means)
    axes[0].legend()
    return figure


def openfwi_figure(results: Results) -> Figure:
    shape = openfwi_acquisition()
    figure, axes = style.panels(1, 3, height=2.8, sharey=True)
    for ax, (title, traces) in zip(axes, results.gathers.items(), strict=True):
        figures.gather(ax, traces[0, 2], shape.dt_s, title=title)
        ax.label_outer()
    return figure


# ---- sliders -------------------------------------------------------------------------------------------------------


def frequency_slider(results: Results) -> Frames:
    """The wave of one source, from low to high frequency."""
    hz = results.size.shown_hz
    source = Acquisition(results.survey.sources_km[4:5], results.survey.receivers_km)
    fields = HelmholtzOperator(results.grid, source, hz).wavefields(results.rock)[0, :, 0]

    def frame(frequency):
        figure, axes = style.panels(1, 2, height=3.1)
        model_map(axes[0], results.rock[0], side_km=2.0, title="velocity")
        axes[0].set(xlabel="x (km)", ylabel="depth (km)")
        figure.colorbar(axes[0].images[0], ax=axes[0], label="km/s", shrink=0.8)
        figures.wavefield_map(axes[1], fields[hz.index(frequency)], side_km=2.0, title=f"{frequency:g} Hz")
        return figure

    def alt(frequency):
        return f"Velocity, and the wave at {frequency:g} Hz: {frequency:.0f} wavelengths across."

    return Frames(frame, hz, name="frequency", label="{:g} Hz".format, alt=alt, start=2)


def iteration_slider(results: Results) -> Frames:
    """Both inversions of the paper's noisy data, iteration by iteration."""
    first, steps = results.inverted[0], list(results.size.iterations)

    def frame(step):
        figure, axes = style.panels(1, 3, height=2.7)
        look = {"side_km": 2.0, "limits": (1.85, 2.2)}
        model_map(axes[0], first.truth, title="truth", **look)
        for ax, name in zip(axes[1:], UNKNOWNS, strict=True):
            model_map(ax, first.found[name].models[steps.index(step)], title=name, **look)
        speed_bar(figure, axes)
        return figure

    def alt(step):
        errors = (f"{first.errors[name][steps.index(step)]:.2f}" for name in UNKNOWNS)
        return (
            f"Truth, inversion of cells and of coefficients after {step} iterations: relative errors "
            + " and ".join(errors)
        )

    return Frames(frame, steps, name="iteration", alt=alt, start=-1)


# ---- tables --------------------------------------------------------------------------------------------------------


def accuracy_table(results: Results) -> Table:
    """Relative errors of the data, each exact to the digits shown."""
    few, many = results.unknowns
    rows = [
        ["chapters, 2 km/s, complex128", f"{few}", f"{results.density:.1f}", f"{results.errors['green']:.3%}"],
        ["chapters, 2 km/s, complex64", f"{few}", f"{results.density:.1f}", f"{results.errors['green64']:.3%}"],
        ["chapters, published model", f"{few}", f"{results.density:.1f}", f"{results.errors['heterogeneous']:.3%}"],
        ["5-point stencil, 2 km/s", f"{many}", f"{results.released[0]:.1f}", f"{results.released[1]:.3%}"],
    ]
    return Table(["discretization, medium", "unknowns", "per wavelength", "error of the data"], rows)


def checks_table(results: Results) -> Table:
    """What should be two, one or rounding; each of one model or one set of directions, deterministic given the draw."""
    slopes, gaps = [f"{s:.3f}" for s in results.slopes], results.gaps
    rows = [
        ["Taylor slopes, ring", ", ".join(slopes[:2]), "2"],
        ["Taylor slopes, all cells", ", ".join(slopes[2:]), "2"],
        ["slope with the margin cut off", f"{results.taylor['cut'].slope:.3f}", "1: it is wrong"],
        ["adjoint: forward against reverse mode", f"{gaps['adjoint']:.0e}", "rounding"],
        ["reciprocity: sources for receivers", f"{gaps['reciprocity']:.0e}", "rounding"],
        ["batch of eight against eight singles", f"{gaps['batch']:.0e}", "rounding"],
    ]
    return Table(["check", "found", "should be"], rows)


def time_table(results: Results) -> Table:
    """Relative difference of two solvers, of one model, deterministic."""
    rows = [[name, *(f"{value:.3%}" for value in one.differences)] for name, one in results.in_time.items()]
    return Table(["difference", *(f"{f:g} Hz" for f in results.size.compared_hz)], rows)


def inversion_table(results: Results) -> Table:
    """Misfit and errors over truths."""
    rows = [[name, *(f"{mean}" for mean in results.means(name).values())] for name in (*UNKNOWNS, NOISE_FREE)]
    return Table(["unknowns", "misfit per datum", "error, best", "error, in the end", "rise, paired"], rows)


def coarse_table(results: Results) -> Table:
    """Inversion by the stencil, over truths."""
    rows = []
    for one in results.coarse:
        cells = f"{accuracy.WAVELENGTH_KM * one.cells / paper.SIDE_KM:.0f}"
        columns = one.data_gap, one.misfit, one.best, one.last
        rows.append([cells, *(f"{Mean.over(column)}" for column in columns)])
    header = ["cells per wavelength", "error of the data", "misfit per datum"]
    return Table([*header, "error of the model, best", "in the end"], rows)


# ---- claims, and what a full run keeps -----------------------------------------------------------------------------


def claims(results: Results) -> dict[str, float]:
    """Id -> value: every number that the page quotes, as far as it is listed."""
    found = {**results.errors, "stencil": results.released[1], "order8_at_8": dict(results.spectral[8])[8.0]}
    found |= {f"layer_{name}": value for name, value in results.layers.items()} | results.gaps
    found |= {"slope_least": min(results.slopes), "slope_most": max(results.slopes)}
    found |= {"slope_cut": results.taylor["cut"].slope, "unknowns": results.unknowns[0]}
    for name, short in (("published", "published"), ("twice as strong", "twice")):
        one = results.digits[name]
        found |= {f"digits_{short}": one.repaired.max(), f"repaired_{short}": one.num_repaired / len(one.repaired)}
    a, b = (axis.element_km for axis in results.operator.axes[0])
    for name, modes in (("from", (2, 1)), ("to", (1, 1))):  # resonances of an element
        found[f"clear_{name}"] = 2 * paper.FREQUENCY_HZ / math.hypot(modes[0] / a, modes[1] / b)
    names = {"own outside": "plain", "same outside": "common"}
    found |= {f"time_{short}": max(results.in_time[name].differences) for name, short in names.items()}
    found |= {"megaflops": results.single.flops_per_gradient / 1e6, "megabytes": results.single.bytes_per_model / 1e6}
    first = results.inverted[0]
    for name in UNKNOWNS:
        errors = first.errors[name]
        found |= {f"misfit_{name}": first.found[name].misfits[-1], f"best_{name}": min(errors)}
        found[f"last_{name}"] = errors[-1]
    gathers = results.gathers
    found["born"] = accuracy.relative(gathers["reflection, Born"], gathers["reflection"])
    coarse = {one.cells: one for one in results.coarse}
    one = coarse[COARSE_CELLS]
    found |= {"coarse_gap": one.data_gap[0], "coarse_last": one.last[0]}
    if RELEASED_CELLS in coarse:
        found["released_gap"] = coarse[RELEASED_CELLS].data_gap[0]
    made = {f"a1.{id}": float(value) for id, value in found.items()}
    made |= {f"a1.{results.run.profile}_{id}": value for id, value in _over_truths(results).items()}
    return {id: value for id, value in made.items() if id in results.run.listed}


def _over_truths(results: Results) -> dict[str, float]:
    found = {"truths": float(results.size.num_truths), "coarse_truths": float(len(results.coarse[0].last))}
    for name, short in (*((name, name) for name in UNKNOWNS), (NOISE_FREE, "noise_free")):
        for what, mean in results.means(name).items():
            found |= {f"{what}_{short}": mean.value, f"{what}_{short}_half": mean.half}
    found |= {"noise_adds": results.noise_adds.value, "noise_adds_half": results.noise_adds.half}
    for one in results.coarse:
        for what, values in (("gap", one.data_gap), ("best", one.best), ("last", one.last)):
            mean = Mean.over(values)
            found |= {f"{what}_{one.cells}": mean.value, f"{what}_{one.cells}_half": mean.half}
    return found


def tables(results: Results) -> dict[str, tuple[Table, str]]:
    """Name -> table and caption, of what a full run keeps for its page."""
    truths = f"± 95 % over {results.size.num_truths} truths with a noise draw each"
    return {
        "accuracy": (
            accuracy_table(results),
            "Against the Green's function; in the published model against elements of order 12. Deterministic: no "
            "interval.",
        ),
        "time": (time_table(results), "Two solvers on one published model. Deterministic: no interval."),
        "inversion": (
            inversion_table(results),
            f"Least squares without a prior, {truths}. The error is that of the starting model = 1; 1/2 is the noise's "
            "misfit.",
        ),
        "coarse": (
            coarse_table(results),
            f"Coefficients inverted by the 5-point stencil, ± 95 % over {len(results.coarse[0].last)} truths with a "
            "noise draw each.",
        ),
    }


def pictures(results: Results) -> dict[str, tuple[Figure, str, str]]:
    """Name -> figure, alt text and caption, of what a full run keeps for its page."""
    return {
        "answer": (
            answer(results),
            "Left, a wavefield of one source over two kilometers with sources at the top and receivers at the bottom. "
            "Right, error against unknowns per wavelength: curves of order 4, 6 and 8 fall steeply, that of the "
            "5-point stencil slowly.",
            "Left: 6 Hz in a published model. Right: error of the data of a homogeneous medium (2 km/s) against "
            "unknowns per wavelength; circles mark what the chapters and the released code use.",
        ),
        "inversion": (
            inversion_figure(results),
            "Left, curves of misfit fall: with noise two level off near one half, without noise one drops out of the "
            "panel. Right, the error of the model falls and then rises with noise, for cells and for coefficients, "
            "with bars; that of cells without noise goes on falling.",
            f"Without a prior. Left: misfit of the paper's truth (dotted: the noise). Right: error of the model, mean "
            f"and 95 % over {results.size.num_truths} truths (dotted: the start). No noise: the same truths and "
            "unknowns, data without their noise.",
        ),
    }
