"""What chapter 7's page shows of its study: rows, tables, pictures."""

from functools import cache

import torch
from matplotlib.figure import Figure
from torch import nn

from chapters.ch07_fine_tuning import figures, measures
from chapters.ch07_fine_tuning.data import EVERY, KM, TARGET, simulator
from chapters.ch07_fine_tuning.measures import Difference
from chapters.ch07_fine_tuning.runs import CUTS, errors, scaled
from chapters.ch07_fine_tuning.study import EARLY, Study
from companion.frames import Frames
from companion.tables import Table
from memprior._random import normal
from memprior.adapters import count_trainable
from memprior.figures import style
from memprior.geology import VELOCITY_FAMILIES, velocity_models
from memprior.intervals import Mean
from memprior.memorization import nearest_neighbors, retrieval
from memprior.reduced_rank import best_update
from memprior.waves import simulate_records

BASE = "base network"
MEAN_MODEL = "mean of the N models"  # whatever the record
SETS = {"test": "target", "source": "source families", "outside": "outside"}


# ---- the exact answer ----------------------------------------------------------------------------------------------


def linear_retrieval(ranks, n: int, *, num_draws: int, generator: torch.Generator) -> list[list[float]]:
    """Of the best update of each rank on N random pairs, 128 inputs and 64 outputs: retrieval, draw by draw."""
    like = torch.empty(0, dtype=torch.float64, device=generator.device)
    draws = []
    for _ in range(num_draws):
        x, y = normal(n, 128, like=like, generator=generator), normal(n, 64, like=like, generator=generator)
        found = best_update(x, y, max(ranks))
        draws.append([retrieval(x @ found.weight(rank).T, y).value for rank in ranks])
    return [list(of_rank) for of_rank in zip(*draws, strict=True)]


def linear_table(ranks, sizes, *, num_draws: int, generator: torch.Generator) -> Table:
    """Mean retrieval and its least and largest value over draws, N by N and rank by rank."""
    lines = []
    for n in sizes:
        found = linear_retrieval(ranks, n, num_draws=num_draws, generator=generator)
        lines.append([f"N = {n}", *(f"{sum(of) / len(of):.2f} ({min(of):.2f} to {max(of):.2f})" for of in found)])
    return Table(["retrieval of the best update", *(f"rank {rank}" for rank in ranks)], lines)


# ---- storage of shuffled pairs -------------------------------------------------------------------------------------


def storage(study: Study, what: str, n: int) -> dict[int, list[float]]:
    """Rank (0: all weights) -> a field of ``Stored`` seed by seed, at the learning rate that stores most."""
    ranks = (*study.settings.ranks, 0)
    return {rank: [getattr(one, what) for one in study.most_stored(rank, n)[1]] for rank in ranks}


def storage_table(study: Study) -> Table:
    """Retrieval before, half way and at the end, and membership inference: means, least and most over seeds."""
    lines = []
    for n in study.settings.memorizing.sizes:
        columns = [storage(study, what, n) for what in ("before", "half", "end", "membership_before", "membership")]
        for rank in columns[0]:
            name = f"N = {n}, {f'rank {rank}' if rank else 'all weights'}"
            lines.append([name, *(_over(of[rank]) for of in columns), f"{study.most_stored(rank, n)[0]:g}"])
    header = ["shuffled pairs", "retrieved, before", "half way", "at the end", "membership, before", "at the end"]
    return Table([*header, "learning rate"], lines)


def _over(values: list[float]) -> str:
    """Mean, least and largest."""
    return f"{sum(values) / len(values):.2f} ({min(values):.2f} to {max(values):.2f})"


def answer(study: Study, *, generator: torch.Generator) -> Figure:
    """Left: storage of shuffled pairs against rank, exact line beside it. Right: target error against N."""
    ranks, sizes = study.settings.ranks, study.settings.memorizing.sizes
    found = {n: storage(study, "end", n) for n in sizes}
    draws = {n: linear_retrieval(ranks, n, num_draws=20, generator=generator) for n in sizes}
    exact = {n: [sum(of) / len(of) for of in draws[n]] for n in sizes}
    figure, axes = style.panels(1, 2, height=3.4)
    figures.storage_panel(axes[0], ranks, found, exact)
    labels = [*study.labels, EARLY]
    curves = {label: [error(study, label, n, "test") for n in study.settings.sizes] for label in labels}
    figures.by_number(axes[1], study.settings.sizes, curves, ranks, ylabel="target error, m/s")
    return style.legend_below(figure, axes, 3)


def filter_figure(study: Study) -> Figure:
    """What is left when the update of every convolution is cut to a rank: pairs retrieved, and the target's error."""
    figure, axes = style.panels(1, 2, height=3.0)
    held = {}
    for n in study.settings.memorizing.sizes:
        held[f"$N = {n}$"] = [*zip(*(one.filtered for one in study.most_stored(0, n)[1]), strict=True)]
    figures.filter_panel(axes[0], CUTS, held, ylabel="shuffled pairs retrieved")
    errors = {}
    for n in study.settings.sizes:
        errors[f"$N = {n}$"] = [*zip(*(one.cut.mean(1).tolist() for one in study.chosen("all", n)), strict=True)]
    figures.filter_panel(axes[1], CUTS, errors, ylabel="target error, m/s")
    for ax in axes:
        ax.legend()
    return figure


# ---- the trained comparison ----------------------------------------------------------------------------------------


def errors_of(study: Study, label: str, n: int, name: str) -> list[torch.Tensor]:
    """By seed the errors in m/s of each model of a test set, (n,).

    The base network's are those before the first step; the mean model is the null that sees no record.
    """
    if label == BASE:
        return [one.errors[name][0] for one in study.chosen("all", n)]
    if label == MEAN_MODEL:
        models = study.pairs(study.tests[name]).models
        return [errors(study.pairs(study.target(seed)).models[:n].mean(0), models) for seed in study.seeds]
    return [one.error(name, early=label == EARLY) for one in study.chosen(label, n)]


def error(study: Study, label: str, n: int, name: str) -> Mean:
    """Their mean and its interval over seeds."""
    return measures.over_seeds(errors_of(study, label, n, name))


def error_table(study: Study) -> Table:
    """Error in m/s on the target, on the source families and outside, N by N and method by method."""
    lines = []
    for n in study.settings.sizes:
        for label in [MEAN_MODEL, BASE, *study.labels, EARLY]:
            cells = [error(study, label, n, name) for name in SETS]
            num = 0 if label in (MEAN_MODEL, BASE) else study.chosen(label, n)[0].num_trained
            lines.append([f"N = {n}, {label}", *(f"{mean.value:.0f} ± {mean.half:.0f}" for mean in cells), f"{num:,}"])
    return Table(["network", *(f"{what}, m/s (± seeds)" for what in SETS.values()), "weights trained"], lines)


def hypotheses(study: Study) -> dict[str, list[tuple[str, str]]]:
    """Test set -> the pairs of methods by which each of the source's claims is tried; its rivals are beside it."""
    adapters = [label for label in study.labels if label.startswith("LoRA")]
    small = [label for label in ("head", "norms", *adapters) if label in study.labels]
    few = [(label, other) for label in small for other in ("all", EARLY)]
    first = [("all", "scratch")] if "scratch" in study.labels else []
    unmoved = [(BASE, label) for label in adapters]  # who does not learn does not forget
    return {"test": first + few, "outside": few + unmoved, "source": few + unmoved}


def differences(study: Study, name: str) -> dict[tuple[str, str, int], Difference]:
    """(ours, theirs, N) -> the paired difference of errors on a test set, m/s; below 0: ours are smaller."""
    cases = [(*pair, n) for pair in hypotheses(study)[name] for n in study.settings.sizes]
    return {
        (a, b, n): measures.paired_difference(errors_of(study, a, n, name), errors_of(study, b, n, name))
        for a, b, n in cases
    }


def difference_table(study: Study, name: str) -> Table:
    """Of a test set, the differences of :func:`hypotheses`, and whether their sign is sure, all rows together."""
    found = differences(study, name)
    sure = measures.holm([one.p for one in found.values()])
    lines = [
        [f"N = {n}", f"{a} less {b}", f"{one}", f"{one.p:.2g}", "yes" if of else "no"]
        for ((a, b, n), one), of in zip(found.items(), sure, strict=True)
    ]
    return Table(["models", f"{SETS[name]}, m/s", "difference (± 95 %)", "p", "sign sure, of all rows"], lines)


def plane_figure(study: Study) -> Figure:
    """Learning against forgetting: source error against target error along the training, for each N."""
    sizes = study.settings.sizes
    figure, axes = style.panels(1, len(sizes), height=3.3, sharey=True)
    for ax, n in zip(axes, sizes, strict=True):
        paths = {}
        for label in study.labels:
            if label != "scratch":
                tuned = study.chosen(label, n)
                both = [torch.stack([one.errors[name].mean(1) for one in tuned]) for name in ("test", "source")]
                paths[label] = tuple(of.mean(0) for of in both)
        figures.plane(ax, paths, study.settings.ranks, title=f"$N = {n}$")
    for ax in axes[1:]:
        ax.set_ylabel("")
    return style.legend_below(figure, axes[:1], 4)


def forgetting_table(study: Study) -> Table:
    """Source error of each adapter less that of all weights where these had the same target error, seed by seed.

    Along the path of all weights, from the base network on, the source error is read at the adapter's last target
    error. Where the path never comes so far, its end is taken.
    """
    lines = []
    for n in study.settings.sizes:
        paths = study.chosen("all", n)
        for label in study.labels:
            if label in ("all", "scratch"):
                continue
            apart = []
            for one, path in zip(study.chosen(label, n), paths, strict=True):
                target, source = (path.errors[name].mean(1) for name in ("test", "source"))
                at = measures.first_crossing(target, source, float(one.errors["test"][-1].mean()))
                apart.append(float(one.errors["source"][-1].mean()) - at)
            mean = Mean.over(apart)
            lines.append([f"N = {n}, {label}", f"{mean.value:+.0f} ± {mean.half:.0f}"])
    return Table(["network", "source error less that of all weights at equal target error, m/s (± seeds)"], lines)


@cache
def lookup_table(study: Study) -> Table:
    """Does a network look its training models up for unseen target records? Index, its control, swap test."""
    size, truths = study.settings, study.pairs(study.tests["test"]).models
    lines = []
    for n in size.sizes:
        for label in [*study.labels, EARLY]:
            found = []
            for seed, one in zip(study.seeds, study.chosen(label, n), strict=True):
                sets = [study.pairs(of(seed)).models[:n] for of in (study.target, study.unseen)]
                generator = study.generator(f"lookup {label} {n} {seed}")
                output = one.predictions[int(label == EARLY)]
                found.append(measures.lookup(output, truths, *sets, size.num_labelings, generator=generator))
            index, share = (_over([getattr(one, what) for one in found]) for what in ("index", "share"))
            lines.append([f"N = {n}, {label}", index, share, ", ".join(f"{one.p:.2g}" for one in found)])
    return Table(["network", "lookup index (over seeds)", "swap share (over seeds)", "p, by seed"], lines)


@cache
def quality_table(study: Study) -> Table:
    """Structural similarity on the target's test models, and on some of them the scattered misfit of the first seed."""
    pairs = study.pairs(study.tests["test"])
    few = pairs.part(0, study.settings.num_misfits)
    top = pairs.models[:, :1].expand_as(pairs.models)

    def row(name: str, outputs: list[torch.Tensor]) -> list[str]:
        like = measures.over_seeds([measures.similarity(output, pairs.models) for output in outputs])
        misfit = Mean.over(measures.scattered_misfits(outputs[0][: len(few)], few))
        return [name, f"{like}", f"{misfit}"]

    lines = [row("the first row of the truth, all the way down", [top, top])]
    for n in study.settings.sizes:
        for label in [*study.labels, EARLY]:
            outputs = [one.predictions[int(label == EARLY)] for one in study.chosen(label, n)]
            lines.append(row(f"N = {n}, {label}", outputs))
    return Table(["network", "similarity (± seeds)", "scattered misfit, first seed (± test models)"], lines)


def cost_table(study: Study, *, batch_size: int = 8) -> Table:
    """Of each method: trained share, bytes of the optimizer, bytes kept for the gradient."""
    pairs = study.pairs(study.target(study.seeds[0])).part(0, batch_size)
    lines = []
    runs = {run.label: run for run in study.tunings if run.num_examples == study.settings.sizes[0]}
    every = sum(w.numel() for w in study.network(runs["all"]).parameters())
    for run in runs.values():
        network = study.network(run)
        trained = count_trainable(network)
        kept = saved_bytes(network, scaled(pairs.records), pairs.models)
        share = f"{trained / every:.2%}"
        lines.append([run.label, f"{trained:,}", share, f"{8 * trained / 1e6:.2f}", f"{kept / 1e6:.1f}"])
    header = ["method", "weights trained", "share", "AdamW's moments, MB", f"kept for the gradient of {batch_size}, MB"]
    return Table(header, lines)


def saved_bytes(network: nn.Module, inputs: torch.Tensor, targets: torch.Tensor) -> int:
    """Bytes that autograd keeps from the forward pass, each storage once, without the weights themselves."""
    own = {w.untyped_storage().data_ptr() for w in network.parameters()}
    sizes: dict[int, int] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            sizes[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        (network.train()(inputs) - targets).square().mean()
    return sum(sizes.values())


# ---- pictures ------------------------------------------------------------------------------------------------------


def gallery(seed: int = 0) -> Figure:
    """One model of each family."""
    figure, axes = style.panels(2, 5, height=3.2)
    models = {family: velocity_models(family, 1, seed=seed)[0] for family in VELOCITY_FAMILIES}
    figures.gallery(axes, models)
    return figure


def family_slider(seed: int = 0) -> Frames:
    """Family by family one model and the record of its middle source."""
    operator, models = simulator(), {}
    scale = {"seconds": EVERY * operator.dt_s, "spacing_m": KM * operator.grid.spacing_km}
    for family in VELOCITY_FAMILIES:
        model = velocity_models(family, 1, seed=seed, size=operator.grid.shape[::-1])
        models[family] = model[0] / KM, simulate_records(model, operator, every=EVERY)[0, 1]

    def frame(family):
        figure, axes = style.panels(1, 2, height=2.6)
        figures.three_models(axes[:1], [models[family][0]], [family.replace("_", " ")])
        figures.record(axes[1], models[family][1], **scale)
        return figure

    def alt(family):
        slow, fast = models[family][0].aminmax()
        return f"A model of {family}, {slow:.1f} to {fast:.1f} km/s, and its record: the direct wave and reflections."

    return Frames(frame, list(models), name="family", label=str, alt=alt, start=list(models).index(TARGET))


def storage_slider(study: Study, *, generator: torch.Generator) -> Frames:
    """Retrieval against rank for each N: the best update of a linear map, and networks where they were trained."""
    ranks, measured = (1, 2, 4, 8, 16), study.settings.memorizing.sizes
    sizes = sorted({8, 16, 32, 64, 128, *measured})
    exact = {n: linear_retrieval(ranks, n, num_draws=20, generator=generator) for n in sizes}

    def frame(n):
        figure, (ax,) = style.panels(height=3.0)
        networks = {rank: of for rank, of in storage(study, "end", n).items() if rank} if n in measured else {}
        figures.storage_at(ax, ranks, exact[n], networks, n)
        return figure

    def alt(n):
        means = ", ".join(f"{sum(of) / len(of):.2f}" for of in exact[n])
        return f"{n} pairs: the best update of rank {', '.join(map(str, ranks))} retrieves a share of {means}."

    return Frames(frame, sizes, name="pairs N", label="{:d}".format, alt=alt)


def nearest_slider(study: Study, n: int) -> Frames:
    """Truth, prediction and nearest training model of a test record, method by method."""
    pairs, members = study.pairs(study.tests["test"]), study.pairs(study.target(study.seeds[0])).models[:n]

    def three(label):
        output = study.chosen(label, n)[0].predictions[0][:1]
        nearest = nearest_neighbors(output.flatten(1).double(), members.flatten(1).double(), 1)
        return pairs.models[0], output[0], members[nearest.indices[0, 0]]

    def frame(label):
        figure, axes = style.panels(1, 3, height=2.4)
        figures.three_models(axes, three(label), ["truth", f"prediction: {label}", "nearest training model"])
        return figure

    def alt(label):
        truth, output, near = three(label)
        apart = [1000 * float((output - other).abs().mean()) for other in (truth, near)]
        return f"{label}: the prediction is {apart[0]:.0f} m/s from the truth, {apart[1]:.0f} from the nearest model."

    return Frames(frame, study.labels, name="method", label=str, alt=alt, start=0)
