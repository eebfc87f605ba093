"""What chapter 7's page shows of its study: rows, tables, pictures with their words, claims."""

import torch
from matplotlib.figure import Figure
from torch import nn

from chapters.ch07_fine_tuning import figures, measures
from chapters.ch07_fine_tuning.measures import Difference
from chapters.ch07_fine_tuning.runs import errors, predict, scaled
from chapters.ch07_fine_tuning.study import Study
from companion.frames import Frames
from companion.tables import Table
from memprior._random import normal
from memprior.figures import style
from memprior.geology import VELOCITY_FAMILIES, velocity_models
from memprior.intervals import Mean
from memprior.memorization import nearest_neighbors, retrieval
from memprior.reduced_rank import best_update

EARLY = "early stopping"  # of all weights: the checkpoint with the least validation error
SETS = {"test": "target", "source": "source family", "outside": "outside"}


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


def storage(study: Study, what: str) -> dict[int, dict[int, Mean]]:
    """N -> rank (0: all weights) -> mean of ``what``, a field of ``Stored``, over seeds, with its interval."""
    found: dict[int, dict[int, list[float]]] = {}
    for run in study.memorizings:
        value = getattr(study.result(run), what)
        found.setdefault(run.num_examples, {}).setdefault(run.rank, []).append(value)
    return {n: {rank: Mean.over(values) for rank, values in of.items()} for n, of in found.items()}


def storage_table(study: Study) -> Table:
    """Retrieval at the end and half way, and membership inference, N by N and rank by rank."""
    end, half, auc = (storage(study, what) for what in ("retrieval", "half", "auc"))
    lines = [
        [
            f"N = {n}, {f'rank {rank}' if rank else 'all weights'}",
            f"{end[n][rank]}",
            f"{half[n][rank]}",
            f"{auc[n][rank]}",
        ]
        for n in end
        for rank in sorted(end[n], key=lambda rank: rank or 10**6)
    ]
    return Table(["shuffled pairs", "retrieved", "half way", "membership, area"], lines)


def answer(study: Study, *, generator: torch.Generator) -> Figure:
    """Left: storage of shuffled pairs against rank, exact line beside it. Right: target error against N."""
    ranks, found = study.settings.ranks, storage(study, "retrieval")
    exact = {
        n: [sum(of) / len(of) for of in linear_retrieval(ranks, n, num_draws=20, generator=generator)] for n in found
    }
    figure, axes = style.panels(1, 2, height=3.4)
    figures.storage_panel(axes[0], ranks, found, {n: of[0] for n, of in found.items()}, exact)
    curves = {label: [error(study, label, n, "test") for n in study.settings.sizes] for label in [*study.labels, EARLY]}
    figures.by_number(axes[1], study.settings.sizes, curves, ranks, ylabel="target error, m/s")
    return style.legend_below(figure, axes, 3)


def filter_figure(study: Study) -> Figure:
    """What is still retrieved when the update of every layer is cut to a rank."""
    figure, (ax,) = style.panels(height=2.8)
    curves, cuts = {}, None
    for n in study.settings.memorizing.sizes:
        runs = [study.result(run) for run in study.memorizings if (run.rank, run.num_examples) == (0, n)]
        cuts = runs[0].cuts
        curves[f"all weights, N = {n}"] = [
            Mean.over(values) for values in zip(*(run.filtered for run in runs), strict=True)
        ]
    figures.filter_panel(ax, cuts, curves, ylabel="pairs retrieved")
    return style.legend_below(figure, [ax], 2)


# ---- the trained comparison ----------------------------------------------------------------------------------------


def errors_of(study: Study, label: str, n: int, name: str) -> list[torch.Tensor]:
    """By seed the errors in m/s of each model of a test set, (n,)."""
    early = label == EARLY
    return [one.error(name, early=early) for one in study.chosen("all" if early else label, n)]


def error(study: Study, label: str, n: int, name: str) -> Mean:
    """Their mean and its interval over seeds; over test models where there is one seed."""
    return measures.over_seeds(errors_of(study, label, n, name))


def base_errors(study: Study) -> dict[str, Mean]:
    """Of the base networks, before they are adapted."""
    found = {}
    for name in SETS:
        pairs, values = study.pairs(study.tests[name]), []
        for run in {run.base: run for run in study.tunings}.values():
            network = study.network(run)
            values.append(errors(predict(network, pairs.records), pairs.models))
        found[name] = measures.over_seeds(values)
    return found


def error_table(study: Study) -> Table:
    """Error in m/s on the target, on a source family and outside, N by N and method by method."""
    base = base_errors(study)
    lines = [["base network", *(f"{base[name].value:.0f} ± {base[name].half:.0f}" for name in SETS), "-"]]
    for n in study.settings.sizes:
        for label in [*study.labels, EARLY]:
            cells = [error(study, label, n, name) for name in SETS]
            num = study.chosen("all" if label == EARLY else label, n)[0].num_trained
            lines.append([f"N = {n}, {label}", *(f"{mean.value:.0f} ± {mean.half:.0f}" for mean in cells), f"{num:,}"])
    return Table(["network", *(f"{what}, m/s" for what in SETS.values()), "weights trained"], lines)


def differences(study: Study, pairs: list[tuple[str, str]], name: str) -> dict[tuple[str, str, int], Difference]:
    """(ours, theirs, N) -> the paired difference of errors on a test set, m/s; below 0: ours are smaller."""
    found = {}
    for ours, theirs in pairs:
        for n in study.settings.sizes:
            generator = study.generator(f"bootstrap {ours} {theirs} {n} {name}")
            both = (errors_of(study, label, n, name) for label in (ours, theirs))
            found[ours, theirs, n] = measures.paired_difference(
                *both, study.settings.num_bootstrap, generator=generator
            )
    return found


def hypotheses(study: Study) -> dict[str, list[tuple[str, str]]]:
    """Test set -> the pairs of methods by which each of the source's claims is tried."""
    adapters = [label for label in study.labels if label.startswith("LoRA")]
    small = [label for label in ("head", "norms", *adapters) if label in study.labels]
    few = [(label, other) for label in small for other in ("all", EARLY)]
    first = [("all", "scratch")] if "scratch" in study.labels else []
    return {"test": first + few, "outside": few, "source": few}


def difference_table(study: Study, name: str) -> Table:
    """Of a test set, the differences of :func:`hypotheses`, and whether their sign is sure."""
    found = differences(study, hypotheses(study)[name], name)
    lines = [[f"N = {n}", f"{a} less {b}", f"{d}", "yes" if d.sure else "no"] for (a, b, n), d in found.items()]
    return Table(["models", f"{SETS[name]}, m/s", "difference (95 %)", "sign sure"], lines)


def plane_figure(study: Study) -> Figure:
    """Learning against forgetting: source error against target error along the training, for each N."""
    sizes = study.settings.sizes
    figure, axes = style.panels(1, len(sizes), height=3.3, sharey=True)
    for ax, n in zip(axes, sizes, strict=True):
        paths = {}
        for label in study.labels:
            if label != "scratch":
                means = [
                    torch.stack([one.errors[name].mean(1) for one in study.chosen(label, n)]).mean(0)
                    for name in ("test", "source")
                ]
                paths[label] = tuple(means)
        figures.plane(ax, paths, study.settings.ranks, title=f"$N = {n}$")
    for ax in axes[1:]:
        ax.set_ylabel("")
    return style.legend_below(figure, axes[:1], 4)


def lookup_table(study: Study) -> Table:
    """Does a network look its training models up for unseen target records? Index, its control, swap test."""
    size, truths = study.settings, study.pairs(study.tests["test"]).models
    target, unseen = study.pairs(study.target).models, study.pairs(study.unseen).models
    lines = []
    for n in size.sizes:
        for label in study.labels:
            found = []
            for k, one in enumerate(study.chosen(label, n)):
                first = study.first_of(k)
                sets = target[first : first + n], unseen[first : first + n]
                generator = study.generator(f"lookup {label} {n} {k}")
                found.append(
                    measures.lookup(one.predictions[0], truths, *sets, size.num_labelings, generator=generator)
                )
            index = Mean.over([one.index.value for one in found])
            share = Mean.over([one.share for one in found])
            p = ", ".join(f"{one.p:.2g}" for one in found)
            lines.append([f"N = {n}, {label}", f"{index}", f"{share}", p])
    return Table(["network", "lookup index", "swap share", "p, by seed"], lines)


def quality_table(study: Study) -> Table:
    """Structural similarity, and the misfit of the simulated records, on the target's test models."""
    pairs, lines = study.pairs(study.tests["test"]), []
    for n in study.settings.sizes:
        for label in study.labels:
            tuned = study.chosen(label, n)
            like = measures.over_seeds([measures.similarity(one.predictions[0], pairs.models) for one in tuned])
            misfit = measures.over_seeds([measures.data_misfit(tuned[0].predictions[0], pairs)])
            lines.append([f"N = {n}, {label}", f"{like}", f"{misfit}"])
    return Table(["network", "similarity", "misfit of its records, first seed"], lines)


def cost_table(study: Study, *, batch_size: int = 8) -> Table:
    """Of each method: trained share, bytes of the optimizer, bytes kept for the gradient."""
    pairs = study.pairs(study.target).part(0, batch_size)
    lines = []
    for run in {run.label: run for run in study.tunings if run.num_examples == study.settings.sizes[0]}.values():
        network = study.network(run)
        trained = sum(w.numel() for w in network.parameters() if w.requires_grad)
        every = sum(w.numel() for w in study.network(study.tunings[0]).parameters())
        kept = saved_bytes(network, scaled(pairs.records), pairs.models)
        lines.append(
            [run.label, f"{trained:,}", f"{trained / every:.2%}", f"{8 * trained / 1e6:.2f}", f"{kept / 1e6:.1f}"]
        )
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


def nearest_slider(study: Study, n: int) -> Frames:
    """Truth, prediction and nearest training model of a test record, method by method."""
    pairs, members = study.pairs(study.tests["test"]), study.pairs(study.target).part(study.first_of(0), n).models

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
