"""Chapter 9: the numbers that its page states, and what a full run keeps for it."""

from dataclasses import asdict

import torch
from matplotlib.figure import Figure

from chapters.ch09_inception import measures, page
from chapters.ch09_inception.runs import BAND_HZ, LAYERS
from chapters.ch09_inception.study import Study
from companion.record import Run
from companion.tables import Table
from memprior.intervals import Mean

PICTURE_TEXTS = {  # of each recorded picture: alt text, caption
    "answer": (
        "Two rows of five sections, the upper by a trained network, the lower by random weights.",
        "A dream of clinoforms on parallel layers, step by step; under it the same with random weights.",
    ),
    "budget": (
        "Two panels of probability against noise level, of trained networks and of random weights.",
        "Evidence for clinoforms in dreams that data with noise cannot contradict; 95 % over seeds and sections.",
    ),
    "spectra": (
        "Three maps of power over wavenumbers, each with a cross and a circle.",
        "Power spectra of first layers, the wavenumber predicted after so many steps (+) and that of the dream (o).",
    ),
}


def claims(study: Study, run: Run) -> dict[str, float]:
    """What the page states or rests on, but for its open cells: what is listed of it.

    What a first recording is to tell cannot be expected before it.
    """
    few, most = study.settings.sizes[0], study.settings.sizes[-1]
    of: dict[str, float] = {"seeds": study.settings.num_seeds, "sections": study.settings.num_sections}
    of |= {"few": few, "most": most}
    for id, n in (("few", few), ("most", most), ("random", 0)):
        of |= _mean(f"gain_{id}", measures.gain(study, n)) | _mean(f"moved_{id}", measures.moved(study, n))
        of |= _mean(f"own_{id}", measures.goal_probability(study, n, "directed.own"))
        of |= _mean(f"kept_{id}", measures.kept_label(study, n))
        for what, name in (("surrogates", "surrogates"), ("isotropic", "isotropic"), ("test", "confident")):
            shares = measures.confident_by_seed(study, n, what)
            of |= {f"{name}_{id}_low": min(shares), f"{name}_{id}_high": max(shares)}
    of |= _mean("accuracy", measures.accuracy(study, most)) | _mean("depth", measures.depth_accuracy(study, most))
    of |= _mean("gain_longer", measures.gain(study, 0, "longer"))
    of |= _mean("moved_longer", measures.moved(study, 0, "longer"))
    apart = [study.result(study.first_layer(one))["bins_apart"].tolist() for one in page.first_layers(study)]
    of |= {"first_layers": len(apart), "bins_apart": max(one for one, _ in apart)}
    for layer, mean in zip(LAYERS, measures.linearized(study, most), strict=True):
        of |= _mean(f"linearized_{layer}", mean)
    levels = measures.budgeted(study, most)
    of["noise_next"] = levels[-2].noise_level
    for id, one in (("null", levels[0]), ("next", levels[-2]), ("noisy", levels[-1])):
        of |= _mean(f"budget_{id}", one.referee)
    of |= _mean("budget_random_null", measures.budgeted(study, 0)[0].referee)
    of["misfit"] = max(one.misfit for one in levels[1:])
    of["misfit_null"] = levels[0].misfit
    tests = page.every_memory_test(study).values()
    of |= {"memory_tests": len(tests), "memory_p": min(1.0, len(tests) * min(one.p for one in tests))}
    of["memory_share"] = sum(one.share for one in tests) / len(tests)
    made = {f"c9.{run.profile}_{id}": float(value) for id, value in of.items()}
    return {id: value for id, value in made.items() if id in run.listed}


def _mean(id: str, mean: Mean) -> dict[str, float]:
    return {id: mean.value, f"{id}_half": mean.half}


def tables(study: Study) -> dict[str, tuple[Table, str]]:
    """Name -> table and caption, of what a full run keeps for its page."""
    over = "± 95 % over seeds and sections, for one referee and one pair of facies"
    return {
        "accuracy": (page.accuracy_table(study), "Facies named right; ± 95 % over seeds and test patches."),
        "directed": (page.directed_table(study), f"Directed dreams, {over}."),
        "plain": (page.plain_table(study), f"Plain dreams, {over}; wavenumbers are means."),
        "wavenumbers": (page.wavenumber_table(study), "First layer, before its activation, in bins of 64 x 64."),
        "deeper": (page.deeper_table(study), f"A layer's dream beside that of its linearization, {over}."),
        "budget": (page.budget_table(study), f"Data of {BAND_HZ[0]:g} to {BAND_HZ[1]:g} Hz, {over}."),
        "memory": (page.memory_table(study), "Dreams from noise, the facies in turn; swap test, one-sided p."),
        "pareidolia": (
            page.pareidolia_table(study),
            "Surrogates: same amplitude spectra, random phases; isotropic noise: spectra averaged over directions.",
        ),
    }


def pictures(study: Study) -> dict[str, tuple[Figure, str, str]]:
    """Name -> figure, alt text and caption, of what a full run keeps for its page."""
    made = {"answer": page.answer(study), "budget": page.budget_figure(study), "spectra": page.spectrum_figure(study)}
    return {name: (figure, *PICTURE_TEXTS[name]) for name, figure in made.items()}


def networks(study: Study) -> tuple[dict[str, torch.Tensor], dict] | None:
    """Every trained network, which quick runs start from, and how they were made; None where they are given."""
    if study.recorded:
        return None
    weights = {f"{run.key}.{name}": w for run in study.trained for name, w in study.result(run).items()}
    return weights, {"seed": study.seed, "runs": [asdict(run) for run in study.trained]}
