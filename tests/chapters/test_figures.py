"""Every public function that draws is drawn once, from tiny arrays: a new one without an entry here fails."""

import importlib
import inspect
import math
import pkgutil
from types import SimpleNamespace as Of

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure

import chapters
import memprior.figures

NOT_DRAWN = {  # they set or say something
    "style.use",
    "style.array",
    "ch03_linearized_posterior.figures.describe",
    "ch05_samplers.figures.marker_style",
    "ch06_calibration.figures.color",
    "ch07_fine_tuning.figures.color_of",
}


def found() -> dict:
    """Public functions by the name of their module: of memprior.figures, and of chapters' figures."""
    modules = [f"memprior.figures.{one.name}" for one in pkgutil.iter_modules(memprior.figures.__path__)]
    for chapter in pkgutil.iter_modules(chapters.__path__, "chapters."):
        inside = pkgutil.iter_modules(importlib.import_module(chapter.name).__path__, f"{chapter.name}.")
        modules += [one.name for one in inside if one.name.endswith("figures")]
    functions = {}
    for module in map(importlib.import_module, modules):
        for name, function in inspect.getmembers(module, inspect.isfunction):
            if function.__module__ == module.__name__ and not name.startswith("_"):
                short = module.__name__.removeprefix("memprior.figures.").removeprefix("chapters.")
                functions[f"{short}.{name}"] = function
    return functions


FUNCTIONS = found()


def draw(*shape: int) -> torch.Tensor:
    """Numbers from 0 to 1, the same at every call."""
    return torch.rand(*shape, generator=torch.Generator().manual_seed(sum(shape)), dtype=torch.float64)


def grid(reach: float, side: int = 6) -> torch.Tensor:
    line = torch.linspace(-reach, reach, side, dtype=torch.float64)
    return torch.cartesian_prod(line, line)


PLANE, LINE = 4 * draw(5, 2) - 2, torch.tensor([[-1.0], [0.5], [2.0]], dtype=torch.float64)
X = torch.linspace(-3, 3, 21, dtype=torch.float64)[:, None]
SIGMAS = torch.tensor([0.1, 0.5, 1.0, 4.0, 10.0], dtype=torch.float64)
MODEL = 0.16 + 0.1 * draw(4, 4)
SURVEY = Of(receivers_km=draw(3, 2), sources_km=draw(2, 2))
LIMITS = {"mean": (1.7, 2.5), "std": (0.0, 0.3)}
MAPS = {"mean": MODEL, "std": 0.1 * draw(4, 4), "error": 0.2 * draw(4, 4) - 0.1}
FAMILIES = ("Gaussian", "kernel", "mixture", "flow", "autoencoder", "diffusion")
ROW = Of(share=Of(dot=(0.4, 0.3, 0.5)), by_seed=(0.3, 0.5), null=(0.2, 0.8))
HISTORIES = [(np.array([1, 10, 100]), np.array([1.1, 0.8, 0.2]), np.array([0.9, 0.5, 0.7]))] * 2
LOOKS = [{"step": k, "to_memory": 1 / k, "to_truth": 2 / k, "train": -k, "held_out": -2 * k} for k in (1, 10, 100)]
CURVES = {10: [[(1, 1.0), (10, 0.5)]], 20: [[(1, 0.9), (10, 0.6)]]}
LOOKS = [look | {"points": draw(20, 2).numpy()} for look in LOOKS]
RATIOS = {
    "trained network": draw(50),
    "exactly memorized prior": 0.01 * draw(50),
    "ideal posterior": 0.5 + 0.5 * draw(50),
}
TESTS = {"x": Of(steps=np.array([1e-3, 1e-2, 1e-1]), remainders=np.array([1e-6, 1e-4, 1e-2]), slope=2.0)}
INVERSIONS = {"x": Of(misfits=[9.0, 3.0, 0.6], iterations=[0, 1, 2])}
LEVEL = Of(predicted=0.5, measured=0.6, half=0.1)
SELECTION = {name: Of(frequencies=draw(5) / draw(5).sum()) for name in "abcd"}
SCALES = Of(num=50, sigmas=SIGMAS, data=torch.tensor([-1.0, 0.0, 1.0]), excess=draw(3), sigma_crit=0.5)
SCALES.exact, SCALES.linearized = 1 + draw(5, 3), 1 + draw(5, 3)
MANY = Of(sizes=[10, 100], effective=1 + 9 * draw(3, 2), distances=draw(3, 2))
MEAN = Of(value=0.4, half=0.1)
BOUNDED = Of(value=0.4, half=0.1, low=0.3, high=0.5)
ROWS = {"memory": (0.4, 0.3, 0.5), "exact prior": (0.9, 0.8, 1.0)}


def _density(points):
    return -0.5 * points.square().sum(1)


def _comparison(points):
    exact = Of(points=points, log_density=_density(points), weights=torch.tensor([0.2, 0.3, 0.5]))
    covariances = torch.tensor([[0.2, 0.1], [0.1, 0.3]]).expand(3, 2, 2)
    made = Of(means=PLANE[:3], covariances=covariances, weights=exact.weights.flip(0), log_prob=_density)
    return Of(exact=exact, linearized=made, released=made, sigma=0.5, distance=0.1, distance_released=0.2)


A1, OWN, C1, C2, C3, C4, C5, C6, C7, C9 = (
    f"{name}.figures."
    for name in (
        "a1_waves",
        "b1_bring_your_own",
        "ch01_maximum_likelihood",
        "ch02_gaussian_mixture_prior",
        "ch03_linearized_posterior",
        "ch04_dps_fwi",
        "ch05_samplers",
        "ch06_calibration",
        "ch07_fine_tuning",
        "ch09_inception",
    )
)
B2, B3 = "ch02_gaussian_mixture_prior.condensation_figures.", "ch03_linearized_posterior.lookup_figures."
P8, S8 = "ch08_first_breaks.picking_figures.", "ch08_first_breaks.sections_figures."
SHARES = {2: [0.0, 1.0], 8: [0.7, 0.9]}
TITLE = {"title": "t"}


def _labeled(axes):
    axes[0].plot([0, 1], label="line")
    return axes


def _maps(axes):
    return [FUNCTIONS["maps.model_map"](ax, MODEL, side_km=2.0, title="t") for ax in axes]


def _posterior_rows(axes):
    return FUNCTIONS[C4 + "posterior_row"](axes, MAPS, side_km=2.0, limits=LIMITS, first=True)


# What each is called with: (positional, by name). Of ON_AX after one Axes; ON_AXES makes the first from four Axes.
ON_AX = {
    "gaps.gap_histories": ((HISTORIES,), {"crossing": (10, 5, 20), **TITLE}),
    "maps.density_map": ((grid(2.9), _density(grid(2.9)), PLANE), {"truth": PLANE[0]}),
    "maps.velocity_map": ((MODEL**-0.5, 2.0, (1.7, 2.5)), TITLE),
    "maps.model_map": ((MODEL,), {"side_km": 2.0, **TITLE}),
    "ratios.ratio_axis": ((0.7,), {"top": 1.0, **TITLE}),
    "rows.named_rows": ((["a", "b"],), {"pad": 6}),
    "rows.whisker": (((0.4, 0.3, 0.5), 1), {"color": "red"}),
    "rows.interval_rows": ((ROWS, dict.fromkeys(ROWS, "red").get), {}),
    "diagnosis.misfit_panel": ((draw(30), (0.5, 1.5)), TITLE),
    "diagnosis.coverage_rows": ((ROWS, 0.9), TITLE),
    "diagnosis.importance_bar": ((0.5, 0.05), TITLE),
    "diagnosis.swap_panel": ((draw(50), 0.7), TITLE),
    "report.ratio_histogram": (({"samples": draw(30), "held-out draws": draw(40)}, 0.7), {}),
    "report.share_curves": (({"samples": draw(30)},), {"xlabel": "x", "right": 1.0, "threshold": 0.3, **TITLE}),
    A1 + "wavefield_map": ((torch.polar(draw(5, 5), draw(5, 5)),), {"side_km": 2.0, "survey": SURVEY, **TITLE}),
    A1 + "accuracy_curves": (({4: [(4, 1e-2), (8, 1e-4)]}, [(5, 1e-1), (9, 1e-2)], (4, 1e-2), (9, 1e-2)), {}),
    A1 + "layer_curves": (([1.5, 2.0], {1: [1e-3, 1e-4], 2: [1e-5, 1e-6]}), TITLE),
    A1 + "taylor_curves": ((TESTS,), {}),
    A1 + "gather": ((draw(8, 3) - 0.5, 1e-3), TITLE),
    A1 + "two_solvers": ((torch.polar(draw(6), draw(6)), torch.polar(draw(6), draw(6))), TITLE),
    A1 + "digits_scatter": (({"a": ([2, 20], [1e-6, 1e-4]), "b": ([3, 30], [1e-5, 1e-3])}, 100.0), {}),
    A1 + "misfit_curves": ((INVERSIONS,), {}),
    A1 + "error_curves": ((INVERSIONS, {"x": [Of(dot=(v, v - 0.1, v + 0.1)) for v in (1.0, 0.7, 0.5)]}), {}),
    OWN + "own_models": ((draw(3, 4, 2),), TITLE),
    OWN + "covered": (({"lookup": (0.4, 0.3, 0.5)}, 0.9), TITLE),
    OWN + "fired": ((ROWS, 0.05), TITLE),
    OWN + "heaviest": ((draw(30),), TITLE),
    C1 + "sample_panel": ((PLANE, PLANE), {"color": "red", **TITLE}),
    C1 + "memorization_plane": (
        ({"flow": (MEAN, MEAN), "Gaussian": (MEAN, MEAN)}, {"flow": ([1.0, 0.4], [0.9, 0.4])}, 2.0),
        {},
    ),
    C1 + "along_training": (({"flow": ([1, 9], [MEAN] * 2), "diffusion, longer": ([2], [MEAN])},), TITLE),
    C1 + "floor_curves": ((Of(floors=SIGMAS / 10, train=-SIGMAS, held_out=-2 * SIGMAS, best=0.1),), {}),
    C1 + "component_curves": (({1: LOOKS[0], 10: LOOKS[1]}, 1.0, -1.0), {}),
    C1 + "memorization_curves": ((CURVES, CURVES, 0.5), {}),
    C1 + "times_against_size": (([10, 20, 40], [[100, 210, 400], [120, 190, 420]], 1.0), {}),
    C2 + "paths_panel": ((grid(2.9), _density(grid(2.9)), PLANE, draw(4, 3, 2), torch.tensor([0, 1, 4])), TITLE),
    C2 + "loss_curves": ((SIGMAS, {"memorized": draw(5), "true": draw(5)}), TITLE),
    C2 + "quotient_curves": (({50: ([1, 10], [[2.0, 0.5]]), 200: ([1, 10], [[2.0, 1.5]])}, (5, 4, 6)), {}),
    C2 + "swap_columns": (({50: ([0.9, 0.95], (0.8, 1.0), (0.5, 0.4, 0.6), (0.4, 0.6))},), {}),
    C2 + "gap_plane": (({50: HISTORIES, 1000: HISTORIES[:1]}, (10,)), {}),
    C2 + "gap_levels": ((SIGMAS, draw(5), 1 - draw(5)), TITLE),
    C2 + "ratio_panel": (({"held out": draw(30), "true denoiser": draw(40), "networks": draw(50)}, 0.7), TITLE),
    B2 + "responsibility_curves": ((SIGMAS, {50: draw(5), 200: draw(5)}, {50: 0.4, 200: 0.6}), {}),
    B2 + "level_scatter": (([LEVEL], {4: [LEVEL], 16: [LEVEL]}), {}),
    B2 + "sorted_frequencies": ((SELECTION,), {}),
    B2 + "favored": ((draw(5), SELECTION["a"]), {}),
    B2 + "start_curves": (({50: (SIGMAS, draw(5)), 200: (SIGMAS, draw(5))},), {}),
    C3 + "plane_posterior": ((_comparison(grid(2.9)), PLANE, PLANE[0]), {}),
    C3 + "component_ellipses": ((_comparison(X).linearized,), {}),
    C3 + "line_densities": ((_comparison(X), LINE), {}),
    C3 + "mark_examples": ((LINE,), {}),
    C3 + "weight_bars": ((draw(3), draw(3), draw(3)), {}),
    C3 + "distance_curves": ((SIGMAS, {"linearized": draw(5), "importance-corrected": draw(5)}), {}),
    C3 + "breakdown_map": ((SIGMAS, X[:4, 0], draw(4, 5)), {}),
    C3 + "two_posteriors": ((_comparison(X).exact, _density(X), LINE), {}),
    B3 + "lookup_stems": ((LINE, draw(3)), {}),
    B3 + "landing_bars": (({"run": Of(weights=draw(3), frequencies=draw(3))},), {}),
    B3 + "effective_curves": (([SCALES] * 5,), {}),
    B3 + "excess_curves": (([SCALES] * 5,), {}),
    B3 + "ratio_rows": (({"a": {"N = 3": (0.5, 0.1, 2.0)}, "b": {"N = 3": (1.0, 0.9, 1.1)}},), {}),
    B3 + "convergence_curve": ((MANY,), {}),
    B3 + "effective_against_noise": ((SIGMAS, {50: [Of(dot=(2.0, 1.5, 2.5))] * 5}), {}),
    B3 + "ratio_histograms": (({50: 0.2 + 0.8 * draw(30)}, 0.7), {}),
    C4 + "share_panel": (({"true prior": {50: ROW, 200: ROW}, "trained network": {50: ROW, 200: ROW}},), {}),
    C4 + "history_panel": (({50: ([1, 10], [ROW.share] * 2)}, {50: 0.5}), {"xlabel": "x"}),
    C4 + "correlation_panel": (({"true prior": [(1.0, ROW.share), (2.0, ROW.share)]},), TITLE),
    C4 + "along_panel": (({"true prior": 1 + draw(4, 6)},), {"ylabel": "y", "yscale": "log", **TITLE}),
    C4 + "data_panel": ((torch.polar(draw(4, 5), draw(4, 5)),), TITLE),
    C4 + "scatter_panel": ((draw(6, 3), draw(4, 3), draw(3)), TITLE),
    C4 + "ratio_panel": ((RATIOS, 0.7), TITLE),
    C5 + "cost_panel": (
        ({"exact": (10, 0.1, 0.2), "MMPS": (10, 0.4, 0.1)}, {"weighting": ([1, 9], draw(2), [0.1, 0.1])}),
        {"floor": 0.1, **TITLE},
    ),
    C5 + "distance_rows": (({"exact": (0.1, 0.2), "PiGDM": (0.6, 0.1)},), {"floor": (0.05, 0.1), **TITLE}),
    C5 + "sweep_panel": (({"DAPS": ([0.1, 1], [0.4, 0.2], [0.1, 0.1])},), {"ylabel": "y", "top": 1.0, **TITLE}),
    C5 + "guidance_panel": ((SIGMAS, {"MMPS": draw(5)}, draw(5)), {"ylabel": "y", "right": 0.5}),
    C5 + "weighting_panel": (([1, 10], draw(2), draw(2), {"weighting": ([1], [0.5], [0.1])}), TITLE),
    C5 + "control_panel": (([1, 10], {"a": ([9, 3], [1, 1]), "b": ([4, 1], [1, 0.1])}, 1.1), TITLE),
    C5 + "bias_panel": ((SIGMAS, {"law": SIGMAS, "drawn": ([0.1, 1], [0.2, 0.9])}), {"ylabel": "y"}),
    C6 + "dot_rows": ((ROWS,), {"truth": 0.5, "xlabel": "x", "limits": (0, 1)}),
    C6 + "by_size": (([50, 200], {"memory": [ROWS["memory"]] * 2}), {"truth": 0.5, "ylabel": "y"}),
    C6 + "rank_histogram": ((draw(99, 2), "memory"), {}),
    C6 + "tarp_curves": (({"memory": draw(30)},), {}),
    C6 + "check_rows": (({"memorized": [Of(value=0.5, low=0.4, high=0.6)] * 3},), {"truth": 0.9}),
    C6 + "alarm_grid": (({"memory": [1e-4, 0.3], "network": [0.2, 0.01]}, ["ranks", "energy"]), {}),
    C7 + "by_number": (([8, 32], {"all": [MEAN] * 2, "LoRA, rank 4": [MEAN] * 2}, [1, 4]), {"ylabel": "y"}),
    C7 + "storage_panel": (([1, 4], {8: {1: [0.1, 0.2], 4: [0.5], 0: [1.0]}}, {8: [0.2, 0.9]}), {}),
    C7 + "plane": (({"all": (draw(3), draw(3)), "LoRA, rank 1": (draw(4), draw(4))}, [1, 4]), TITLE),
    C7 + "record": ((draw(20, 6) - 0.5,), {"seconds": 0.01, "spacing_m": 20.0}),
    C7 + "storage_at": (([1, 2, 4], [[0.1, 0.2], [0.3, 0.5], [0.9, 1.0]], {1: [0.4, 0.5]}, 8), {}),
    C7 + "filter_panel": (((0, 1, 4), {"N = 8": [[0.1, 0.2], [0.3, 0.3], [1.0, 0.9]]}), {"ylabel": "y"}),
    P8 + "hits_by_number": (([1, 3], {"scratch": [BOUNDED] * 2}, {"AIC": [BOUNDED] * 2}), TITLE),
    P8 + "gather": ((draw(4, 9) - 0.5, 9 * draw(4), {"AIC": 9 * draw(4)}), {"dt_s": 0.004, **TITLE}),
    P8 + "error_shares": (({"AIC": [0.3, -2.0, math.inf], "scratch": [1.0]},), {"floor_ms": 1.2, **TITLE}),
    S8 + "copying_panel": (({"plain": {8: MEAN}}, {8: (0.3, 0.7), 32: (0.4, 0.6)}), TITLE),
    S8 + "section": ((draw(6, 5) - 0.5,), TITLE),
    S8 + "attractor_panel": (({"from noise": SHARES},), TITLE),
    S8 + "walk_panel": (({"GAN": draw(20), "lookup": torch.tensor([0.0, 1.0])},), {}),
    S8 + "training_panel": (([1, 2], {"plain": 0.1 + draw(2, 3)}), {"ylabel": "y"}),
    S8 + "spectrum_panel": (({"spectral": 0.1 + draw(2, 4)},), TITLE),
    C9 + "section_image": ((draw(6, 5) - 0.5,), {"most": 0.5, "label": "l", **TITLE}),
    C9 + "evidence_against_noise": (([0, 0.5], {"N = 8": [MEAN] * 2, "random weights": [MEAN] * 2}), {"ylabel": "y"}),
    C9 + "spectrum_map": ((draw(8, 8),), {"measured": (1, 2), "predicted": (1, 3), **TITLE}),
}
ON_AXES = {
    C7 + "gallery": (lambda axes: (axes, {f"flat_{k}": 1500 + 3000 * draw(4, 4) for k in range(4)}), {}),
    C7 + "three_models": (lambda axes: (axes[:3], 1.5 + 3 * draw(3, 4, 4), ["a", "b", "c"]), {}),
    S8 + "pairs": (lambda axes: (axes, draw(2, 5, 4) - 0.5, draw(2, 5, 4) - 0.5), {}),
    C9 + "filmstrip": (lambda axes: (axes, dict.fromkeys("ab", draw(2, 5, 4) - 0.5), ["a", "b"]), {"most": 0.5}),
    "style.legend_below": (lambda axes: (axes[0].figure, _labeled(axes), 2), {}),
    "maps.speed_bar": (lambda axes: (axes[0].figure, _maps(axes)), {}),
    C1 + "gaps_against_size": (
        lambda axes: (axes[:1], [10, 20], {"flow": {"memory": [(1, 0.1)] * 2, "truth": [(2, 0.1)] * 2}}),
        {},
    ),
    C4 + "posterior_row": (lambda axes: (axes, MAPS), {"side_km": 2.0, "limits": LIMITS, "first": True}),
    C4 + "posterior_bars": (lambda axes: (axes[0].figure, _posterior_rows(axes[:4])), {}),
}
WHOLE = {
    "style.panels": ((1, 2), {}),
    "diagnosis.diagnosis_figure": (
        (draw(30), (0.5, 1.5), ROWS, 0.9, 0.5, 0.05, draw(50), 0.7),
        {"words": dict.fromkeys(("fit", "coverage", "linearization", "copying"), "w"), **TITLE},
    ),
    "report.report_figure": (({"samples": draw(30)}, {"samples": draw(30)}, {"samples": draw(30)}), TITLE),
    C1 + "families_and_truth": (
        (PLANE, PLANE, dict.fromkeys(FAMILIES, PLANE), "e"),
        {},
    ),
    C1 + "kernel_density": ((grid(2.9), _density(grid(2.9)).exp(), PLANE), TITLE),
    C1 + "training_frame": ((LOOKS, 1, PLANE), {}),
    C2 + "arrows_frame": ((grid(3, 3), draw(9, 2), draw(9, 2), PLANE, SIGMAS, draw(5)), {"step": 10, "sigma": 0.5}),
    B2 + "sigma_frame": (
        (dict.fromkeys(("noised", "a", "b", "clean"), MODEL**-0.5), draw(5)),
        {"sigma": 0.5, "limits": (1.7, 2.5)},
    ),
    C3 + "densities_and_weights": ((_comparison(X), LINE), {}),
    B3 + "densities_and_lookup": ((_comparison(X), LINE, draw(3)), {}),
    C4 + "copies_frame": (([MODEL] * 2, [MODEL] * 2, [0.1, 0.8], [3, 4]), {"side_km": 2.0, **TITLE}),
    C4 + "step_frame": (
        (RATIOS, {"true prior": 0.6, "trained network": 200.0}, {"true prior": 0.3}, 0.7),
        {"step": 1.0},
    ),
    C5 + "step_frame": ((4 * draw(20) - 2, LINE[:, 0], draw(3)), TITLE),
    C5 + "weighting_frame": ((draw(3), draw(3)), TITLE),
    C6 + "width_frame": (([0.1, 0.2, 0.4], [0.5, 0.9, 1.0], [0.4, 0.3, 0.5], 0.3, 0.2, draw(50)), {"at": 1}),
}


def pixels(figure: Figure) -> np.ndarray:
    figure.canvas.draw()
    return np.asarray(figure.canvas.buffer_rgba()).copy()


def drawn(name: str) -> tuple[np.ndarray, np.ndarray, object, Figure]:
    """Pixels before and after, what was returned, and the figure."""
    figure, blank = None, np.zeros(0)
    if name in ON_AX:
        figure, ax = plt.subplots(figsize=(3, 2), dpi=60)
        (positional, named), blank = ON_AX[name], pixels(figure)
        returned = FUNCTIONS[name](ax, *positional, **named)
    elif name in ON_AXES:
        figure, axes = plt.subplots(1, 4, figsize=(8, 2), dpi=60, layout="constrained")
        positional, named = ON_AXES[name]
        arguments = positional(list(axes))
        blank = pixels(figure)
        returned = FUNCTIONS[name](*arguments, **named)
    else:
        positional, named = WHOLE[name]
        returned = FUNCTIONS[name](*positional, **named)
        figure = returned[0] if isinstance(returned, tuple) else returned
    return blank, pixels(figure), returned, figure


def test_figures_all_have_an_entry_here():
    assert {*ON_AX, *ON_AXES, *WHOLE} | NOT_DRAWN == FUNCTIONS.keys()


@pytest.mark.parametrize("name", sorted({*ON_AX, *ON_AXES, *WHOLE}))
def test_figures_are_drawn_and_return_what_they_say(name):
    blank, after, returned, figure = drawn(name)
    assert after.shape != blank.shape or (after != blank).any()
    said = inspect.signature(FUNCTIONS[name]).return_annotation
    if said in (Axes, Figure, None):
        assert returned is None if said is None else isinstance(returned, said)
    for ax in figure.axes:  # nothing that is not a number stands on an axis
        assert np.isfinite([*ax.get_xlim(), *ax.get_ylim()]).all()
    plt.close("all")
