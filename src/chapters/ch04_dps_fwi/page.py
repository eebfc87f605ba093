"""What chapter 4's page shows of its study: rows, tables, pictures with their words, claims."""

import math
from functools import partial

import torch
from matplotlib.figure import Figure

from chapters.ch04_dps_fwi import exact, figures, measures
from chapters.ch04_dps_fwi.ideal import ideal_posterior
from chapters.ch04_dps_fwi.measures import SwapRow
from chapters.ch04_dps_fwi.study import Study
from chapters.ch04_dps_fwi.unseen import held_out_draws
from companion.frames import Frames
from companion.tables import Table
from memprior._random import uniform
from memprior.fields import CosineBasis, Standardizer
from memprior.figures import style
from memprior.figures.maps import model_map, speed_bar
from memprior.intervals import Mean
from memprior.memorization import nearest_neighbors
from memprior.paper import (
    MEMORIZED_BELOW,
    STEP_SIZE,
    TrainingSet,
    memorized_share,
    published_coefficients,
    published_grid,
    published_inversion,
    published_law,
)

# What is compared: the prior, and whether the sampler's coordinates are those of training and held-out models together.
PRIORS = {
    "trained network": ("network", False),
    "exactly memorized prior": ("memory", False),
    "true prior": ("truth", True),
}
BY_T, IDEAL = "true prior, standardized by T", "ideal posterior"
SHORT = {"trained network": "network", "exactly memorized prior": "memory", "true prior": "truth", IDEAL: "ideal"}
AUTHORS = {50: 256, 200: 146, 1000: 13}  # of 256, read off a picture in the authors' repository (how to read this book)
CAPTIONS = {  # of each recorded picture: alt text, caption
    "answer": (
        "Swap shares in four groups of dots at three numbers of training models, with intervals over gray bars.",
        "Swap share of samples for unseen truths, F linearized at each: whiskers, 95 % over truths; rings, seeds; "
        "gray, the central 99 % when labels of training and held-out models are exchanged for all samples at once.",
    ),
    "history": (
        "Two panels of curves, one for each N, against steps and passes.",
        "Swap share of networks as they train, bands over truths; dashed, the true prior through the same sampler.",
    ),
    "panel": (
        "Three rows of maps and a scatter plot.",
        "The published truth: mean, standard deviation and error of the networks' samples, and two coefficients.",
    ),
    "correlations": (
        "Three panels of curves against distance, one for each prior and two controls.",
        "Correlation of the posterior mean with the truth, for truths in three groups by distance to the nearest "
        "training model; dashed, means of the five models nearest to the truth and of random ones, which have seen no "
        "data.",
    ),
    "losses": (
        "Two rows of three panels of curves against the reverse step.",
        "Above, misfit over its noise floor; below, distance to the nearest training over that to the nearest held-out "
        "model: medians over truths and the central 80 %.",
    ),
}
OTHER_SEED = 777  # of models that no prior of the page is trained on
LEAST_DRAWS = 16  # below them an interval of 80 % holds half of the truths that lie outside all draws
PARENTS = (8, 9, 24)  # examples whose mean the published truth is
NEAR = 5  # training models whose mean is a control in the talk's figure


# ---- many unseen truths --------------------------------------------------------------------------------------------


def samples_for_all_truths(study: Study) -> dict[str, dict[int, torch.Tensor]]:
    """Name -> N -> raw samples (R, K, D, S, 100) of R seeds for K unseen truths, F linearized at each."""
    sizes, size = study.settings.sizes, study.settings.unseen
    found = {
        name: {n: torch.stack([run.x for run in study.unseen(prior, n, pooled=pooled)]) for n in sizes}
        for name, (prior, pooled) in (PRIORS | {BY_T: ("truth", False)}).items()
    }
    ideal = study.problems.ideal_samples(size.num_samples, generator=study.generator("ideal"))[None]
    return found | {IDEAL: dict.fromkeys(sizes, ideal)}


def swap_rows(study: Study, samples: dict) -> dict[str, dict[int, SwapRow]]:
    """Name -> N -> the swap test over all unseen truths, noise draws and seeds, with as many held-out models as N."""
    kinds = [(name, n) for name in samples for n in study.settings.sizes]
    rows = study.each(kinds, lambda kind: swap_row_of(study, samples[kind[0]][kind[1]], kind[1]))
    found = dict(zip(kinds, rows, strict=True))
    return {name: {n: found[name, n] for n in study.settings.sizes} for name in samples}


def swap_row_of(study: Study, samples: torch.Tensor, n: int) -> SwapRow:
    """One row, of samples (R, K, D, S, 100)."""
    models = study.training[n].examples, study.held_out[:n]
    generator = study.generator(f"labels {n}")
    return measures.swap_row(samples, *models, num_labelings=study.settings.num_labelings, generator=generator)


def answer(rows: dict[str, dict[int, SwapRow]]) -> Figure:
    """Swap share against N, of all but the control that is standardized by T."""
    figure, (ax,) = style.panels(height=3.4)
    figures.share_panel(ax, {name: row for name, row in rows.items() if name != BY_T})
    return style.legend_below(figure, [ax], 2)


def swap_table(rows: dict[str, dict[int, SwapRow]]) -> Table:
    """Share and log-ratio with intervals over truths, seeds, the null's central 99 % and p, row by row."""
    header = ["samples of", "swap share", "by seed", "99 % of labelings", "log-ratio", "p"]
    lines = [
        [
            f"{name}, N = {n}",
            f"{row.share}",
            ", ".join(f"{share:.2f}" for share in row.by_seed),
            f"{row.null[0]:.2f} to {row.null[1]:.2f}",
            f"{row.log_ratio}",
            f"{row.p:.2g}",
        ]
        for name, by_size in rows.items()
        for n, row in by_size.items()
    ]
    return Table(header, lines)


def shares_by_truth(study: Study, samples: torch.Tensor, n: int) -> torch.Tensor:
    """Share of samples (R, K, D, S, 100) nearer to a training model than to any of as many held-out ones: (K,)."""
    near, far = (
        nearest_neighbors(samples.flatten(0, 3), models, 1).distances[:, 0]
        for models in (study.training[n].examples, study.held_out[:n])
    )
    nearer = (near < far).double() + 0.5 * (near == far)
    return nearer.reshape(*samples.shape[:2], -1).mean((0, 2))


def excess_table(rows: dict[str, dict[int, SwapRow]]) -> Table:
    """Networks less the true prior through the same sampler, N by N, in pooled coordinates and in the networks' own."""
    header = ["network less true prior", "swap share", "95 % of labelings", "log-ratio", "p"]
    lines = [
        [f"N = {n}{coordinates}", f"{e.share:+.3f}", "{:+.2f} to {:+.2f}".format(*e.null), *_log_ratio(e)]
        for other, coordinates in (("true prior", ""), (BY_T, ", standardized by T"))
        if other in rows
        for n, e in excesses(rows, other).items()
    ]
    return Table(header, lines)


def _log_ratio(e: measures.Excess) -> tuple[str, str]:
    return f"{e.log_ratio:+.3f}", f"{e.p:.2g}"


def excesses(rows: dict[str, dict[int, SwapRow]], other: str = "true prior") -> dict[int, measures.Excess]:
    """N -> what the networks have more than the true prior through the same sampler."""
    return {n: measures.excess(row, rows[other][n]) for n, row in rows["trained network"].items()}


def foreign_row(study: Study, n: int = 50) -> SwapRow:
    """The control that can fail: a prior that has memorized other models, for the same truths, against T and H."""
    others = published_coefficients(n, seed=OTHER_SEED)
    fitted = Standardizer.fit(torch.cat([others, published_coefficients(n), held_out_draws(n)]))
    foreign = TrainingSet(others.to(study.device), fitted.to(study.device))
    size, linear = study.settings.unseen, study.problems
    shape = size.num_truths, size.num_draws, size.num_samples
    options = {"step_size": STEP_SIZE, "generator": study.generator("foreign")}
    likelihood = linear.likelihood(size.num_samples)
    found = measures.sample_linearized(likelihood, foreign, foreign.memorized_prior, math.prod(shape), **options)
    return swap_row_of(study, found.x.reshape(1, *shape, -1), n)


def fresh_set_p(study: Study, samples: torch.Tensor, n: int) -> float:
    """(1 + fresh sets of N models that lie at least as near to samples as T does) / (1 + fresh sets).

    The check of an exchange of labels by something else. Nearness is the mean log-distance of samples (R, K, D, S, 100)
    to the nearest model; a fresh set is N draws of the distribution that T is drawn from. Exact for samples that know
    nothing of T; those of the true prior know it a little, by coordinates that T and H standardize together.
    """
    law, samples = published_law().to(samples), samples.flatten(0, 3)

    def nearness(models: torch.Tensor) -> float:
        return float(nearest_neighbors(samples, models, 1).distances.log().mean())

    def fresh(k: int) -> float:
        return nearness(law.sample(n, generator=study.generator(f"fresh set {n} {k}")))

    num, of_training = study.settings.num_fresh_sets, nearness(study.training[n].examples)
    return (1 + sum(value <= of_training for value in study.each(range(num), fresh))) / (1 + num)


def spread_table(study: Study, samples: dict) -> Table:
    """Count with r < 0.7, coverage and error over all unseen truths, beside what the ideal posterior has."""
    lines = []
    for n in study.settings.sizes:
        for name, by_size in samples.items():
            count = measures.memorized_over_truths(by_size[n], study.training[n])
            generator = study.generator(f"spread {name} {n}")
            spread = measures.spread(by_size[n], study.problems.truths, generator=generator)
            lines.append([f"{name}, N = {n}", f"{count}", f"{spread.error}", f"{spread.coverage}"])
        share = memorized_share(study.training[n].ratio(study.held_out))
        lines.append([f"held-out fields, N = {n}", "{:.3f} ({:.3f} to {:.3f})".format(*share.dot), "-", "-"])
    header = ["samples of", "share with r < 0.7", "error of the mean", f"coverage of {measures.LEVEL:.0%}"]
    shown = 4 if study.settings.unseen.num_samples >= LEAST_DRAWS else 3
    return Table(header[:shown], [line[:shown] for line in lines])


def history(study: Study) -> Figure:
    """Swap share of the first networks as they train, against steps and against passes over the training set."""
    size = study.settings
    figure, axes = style.panels(1, 2, height=3.0, sharey=True)
    batch, steps = size.network.batch_size, size.checkpoints

    def share(n, *kind, **options):
        return Mean.over(shares_by_truth(study, study.unseen(*kind, n, **options)[0].x[None], n))

    shares = {n: [share(n, "network", step=step) for step in steps] for n in size.sizes}
    levels = {n: share(n, "truth", pooled=True).value for n in size.sizes}
    for ax, xlabel, scale in ((axes[0], "optimizer step", lambda n: 1), (axes[1], "passes", lambda n: batch / n)):
        lines = {n: ([step * scale(n) for step in steps], shares[n]) for n in size.sizes}
        figures.history_panel(ax, lines, levels, xlabel=xlabel)
    axes[1].set_ylabel("")
    return style.legend_below(figure, axes[:1], 3)


# ---- the talk's two figures ----------------------------------------------------------------------------------------


def by_distance(study: Study, samples: dict, n: int, num_groups: int = 3) -> dict[str, list[tuple[float, Mean]]]:
    """Name -> (mean distance, correlation of the posterior mean with the truth) of groups of truths by distance.

    The distance is that of a truth to its nearest training model, raw. Controls: the mean of the nearest training
    models, and of random ones, which no data have seen.
    """
    truths, examples = study.problems.truths, study.training[n].examples
    near = nearest_neighbors(truths, examples, NEAR)
    order = uniform(len(truths), n, like=truths, generator=study.generator(f"random models {n}")).argsort(1)
    means = {name: by_size[n] for name, by_size in samples.items() if name != BY_T}
    means |= {
        "mean of nearest models": examples[near.indices][None, :, None],
        "mean of random models": examples[order[:, :NEAR]][None, :, None],
    }
    nearest_first = near.distances[:, 0].argsort()
    found = {name: measures.correlation(x, truths) for name, x in means.items()}
    return {
        name: [
            (float(near.distances[group, 0].mean()), Mean.over(values[group].cpu()))
            for group in nearest_first.tensor_split(num_groups)
        ]
        for name, values in found.items()
    }


def correlations(study: Study, samples: dict) -> Figure:
    """The talk's first figure: correlation of the posterior mean with the truth against the truth's distance."""
    figure, axes = style.panels(1, 3, height=2.9, sharey=True)
    for ax, n in zip(axes, study.settings.sizes, strict=True):
        figures.correlation_panel(ax, by_distance(study, samples, n), title=f"$N = {n}$")
    for ax in axes[1:]:
        ax.set_ylabel("")
    return style.legend_below(figure, axes[:1], 2)


def split_losses(study: Study) -> Figure:
    """The talk's second figure: misfit over its noise floor, and distance to training over that to held-out models."""
    figure, axes = style.panels(2, 3, height=4.6, sharex=True, sharey="row")
    for k, n in enumerate(study.settings.sizes):
        runs = {name: study.unseen(prior, n, pooled=pooled)[0] for name, (prior, pooled) in PRIORS.items()}
        losses = {name: run.losses for name, run in runs.items()}
        distances = {name: run.to_training / run.to_held_out for name, run in runs.items()}
        above = {"ylabel": "misfit / noise floor", "title": f"$N = {n}$", "yscale": "log"}
        figures.along_panel(axes[k], losses, **above).set_xlabel("")
        below = {"ylabel": "distance to T / to H", "title": "", "yscale": "linear"}
        figures.along_panel(axes[3 + k], distances, **below).set_ylim(0, 1.3)
    for ax in (*axes[1:3], *axes[4:]):
        ax.set_ylabel("")
    return style.legend_below(figure, axes[:1], 3)


# ---- the published truth -------------------------------------------------------------------------------------------


def lookups(study: Study) -> dict[int, exact.Lookup]:
    """N -> the exactly memorized posterior for the published data, with the nonlinear operator."""
    inversion, sizes = study.inversion, study.settings.sizes
    several = torch.cat([study.training[max(sizes)].examples, inversion.truth[None]]).split(128)
    misfits = torch.cat(study.each(several, partial(exact.data_misfit, inversion.likelihood)))
    num_data = len(inversion.likelihood.observed)
    return {n: exact.Lookup(misfits[:n], float(misfits[-1]), num_data) for n in sizes}


def stencil_lookup(study: Study, found: exact.Lookup) -> tuple[exact.Lookup, torch.Tensor]:
    """The same with the released code's 5-point stencil, of the likeliest examples by ours; and their numbers."""
    order = found.misfits.argsort()[: study.settings.num_stencil]
    truth = study.inversion.truth
    models = torch.cat([study.training[50].examples[order], truth[None]])
    misfits = exact.data_misfit(exact.stencil_inversion(truth), models)
    return exact.Lookup(misfits[:-1], float(misfits[-1]), found.num_data), order


def problem_picture(study: Study, found: dict[int, exact.Lookup]) -> Figure:
    """Truth, the example that the lookup of 50 chooses, one that the truth is made of, and the data."""
    inversion = study.inversion
    chosen = [found[50].chosen, PARENTS[0]]
    models = CosineBasis(inversion.operator.grid).decode(
        torch.stack([inversion.truth, *study.training[50].examples[chosen]])
    )
    data = torch.complex(*inversion.likelihood.observed.unflatten(0, (2, *inversion.operator.data_shape)))
    figure, axes = style.panels(1, 4, height=2.2, width_ratios=[1, 1, 1, 1.5])
    for ax, model, title in zip(axes, models, ["truth", *(f"example {k}" for k in chosen)], strict=False):
        model_map(ax, model, side_km=2.0, title=title).set_xlabel("km")
    speed_bar(figure, axes[:3])
    figures.data_panel(axes[3], data, title="data, real part")
    return figure


def published_counts(study: Study) -> Table:
    """Samples with r < 0.7 of the published example, of 256: the authors', ours, and what cannot be memorized."""
    size, training = study.settings, study.training
    ideal = ideal_posterior(study.inversion).sample(size.num_ideal, generator=study.generator("ideal, published"))

    def seeds(n):
        each = [memorized_share(training[n].ratio(run.x)) for run in study.nonlinear_runs("network", n)]
        return ", ".join(share.of(256) for share in each)

    def of(samples):
        return {n: memorized_share(training[n].ratio(samples)).of(256) for n in size.sizes}

    rows = {"authors' picture": {n: str(count) for n, count in AUTHORS.items()}}
    rows["trained networks by seed, nonlinear operator"] = {n: seeds(n) for n in size.sizes}
    nonlinear = bool(size.waves_for_exact)  # those runs have pooled coordinates, the linearized ones T's
    operator = "nonlinear operator" if nonlinear else "F linearized"
    for name, prior in (("true prior" if nonlinear else BY_T, "truth"), ("exactly memorized prior", "memory")):
        rows[f"{name}, {operator}"] = {n: memorized_share(study.ratios(prior, n)).of(256) for n in size.sizes}
    rows |= {"ideal posterior, F linearized": of(ideal), "held-out fields": of(study.held_out)}
    noisy = noise_counts(study)
    rows["ideal posterior, range over noise draws"] = {
        n: f"{min(counts):.0f} to {max(counts):.0f}" for n, counts in noisy.items()
    }
    header = ["r < 0.7, of 256", *(f"N = {n}" for n in size.sizes)]
    return Table(header, [[name, *(counts[n] for n in size.sizes)] for name, counts in rows.items()])


def noise_counts(study: Study) -> dict[int, list[float]]:
    """N -> samples of 256 with r < 0.7 of the ideal posterior, for each of several draws of the noise."""
    size, generator = study.settings, study.generator("noise")
    counts: dict[int, list[float]] = {n: [] for n in size.sizes}
    for observed in exact.new_noise(study.inversion, size.num_noise_draws, generator=generator):
        z = ideal_posterior(study.inversion, observed).sample(256, generator=generator)
        for n in size.sizes:
            counts[n].append(256 * memorized_share(study.training[n].ratio(z)).value)
    return counts


def corrected_share(study: Study) -> tuple[float, float]:
    """Share with r < 0.7 of the ideal posterior at N = 200, nonlinear operator; effective share of its draws."""
    inversion, size = study.inversion, study.settings
    forwards = inversion.likelihood.forward, exact.linear_operator(inversion)
    data = inversion.likelihood.observed, inversion.likelihood.noise_std
    generator = study.generator("weights")
    weighted = exact.corrected(ideal_posterior(inversion), *forwards, *data, size.num_corrected, generator=generator)
    share = memorized_share(study.training[200].ratio(weighted.samples), weighted.weights)
    return share.value, weighted.effective / size.num_corrected


def finer_grid(study: Study) -> dict[str, float]:
    """Data from a finer grid beside ours: their relative change, and the truth's misfit per datum with both."""
    inversion = study.inversion
    finer = published_inversion(torch.complex64, study.device, finer=True).likelihood
    with torch.no_grad():
        clean = inversion.likelihood.forward(inversion.truth[None])[0]
    at_truth = [float(exact.data_misfit(one, inversion.truth[None])[0]) for one in (finer, inversion.likelihood)]
    change = float((finer.observed - inversion.likelihood.observed).norm() / clean.norm())
    return {"change": change, "finer": at_truth[0], "same": at_truth[1]}


def nearest_slider(study: Study) -> Frames:
    """The paper's second figure: the samples nearest to a training model over these models, at each N."""
    decode, guided = CosineBasis(published_grid()).decode, _first_runs(study)

    def frame(n):
        r = study.training[n].ratio(guided[n])
        chosen = r.argsort()[:4]
        near = nearest_neighbors(guided[n][chosen], study.training[n].examples, 1).indices[:, 0]
        maps = [decode(z) for z in (guided[n][chosen], study.training[n].examples[near])]
        title = f"N = {n}: samples nearest to a training model, of {len(guided[n])}"
        return figures.copies_frame(*maps, r[chosen].tolist(), near.tolist(), side_km=2.0, title=title)

    def alt(n):
        least = study.training[n].ratio(guided[n]).min()
        return f"N = {n}: four samples above, their nearest training models below; the smallest ratio is {least:.2f}."

    sizes = list(study.settings.sizes)
    return Frames(frame, sizes, name="training models", label="{:d}".format, alt=alt, start=0)


def panel(study: Study) -> Figure:
    """The paper's third figure: mean, deviation and error of the networks' samples, and two coefficients."""
    decode, guided, truth = CosineBasis(published_grid()).decode, _first_runs(study), study.inversion.truth
    moments = {}
    for n, samples in guided.items():
        speeds = decode(samples) ** -0.5
        error = (speeds.mean(0) - decode(truth[None])[0] ** -0.5).abs()
        moments[n] = {"mean": speeds.mean(0) ** -2, "std": speeds.std(0), "error": error}
    reach = max(float(maps[what].max()) for maps in moments.values() for what in ("std", "error"))
    limits = {"mean": (1.7, 2.5), "std": (0, round(reach + 0.01, 2))}
    figure, axes = style.panels(len(moments), 4, height=6.4)
    for row, (n, maps) in enumerate(moments.items()):
        line = axes[4 * row : 4 * row + 4]
        figures.posterior_row(line, maps, side_km=2.0, limits=limits, first=row == 0)
        figures.scatter_panel(line[3], guided[n], study.training[n].examples, truth)
        line[0].set_ylabel(f"$N = {n}$")
    figures.posterior_bars(figure, axes)
    return style.legend_below(figure, axes[3:4], 3)


def _first_runs(study: Study) -> dict[int, torch.Tensor]:
    return {n: study.nonlinear_runs("network", n)[0].x for n in study.settings.sizes}


def step_slider(study: Study) -> Frames:
    """Ratios, misfits and errors at N = 50 for several lengths of the guidance step, F linearized."""
    size, truth, training = study.settings, study.inversion.truth, study.training[50]
    rest = unreachable_misfit(study)
    names = {"trained network": "network", "exactly memorized prior": "memory", "true prior": "truth"}

    def at_step(step):
        r, misfit, error = {}, {}, {}
        for name, prior in names.items():
            run = study.tangent(prior, 50, num=size.num_tangent, step_size=step)
            r[name] = training.ratio(run.x)
            misfit[name] = float(run.misfits[-1].median() + rest) / len(study.inversion.likelihood.observed)
            error[name] = float((run.x.mean(0) - truth).norm() / truth.norm())
        return r, misfit, error

    frames = dict(zip(size.step_sizes, study.each(size.step_sizes, at_step), strict=True))
    return Frames(
        lambda step: figures.step_frame(*frames[step], MEMORIZED_BELOW, step=step),
        list(frames),
        name="step",
        label="{:g}".format,
        alt=lambda step: (
            f"Step {step:g}: median ratio {frames[step][0]['trained network'].median():.2f} and misfit per datum "
            f"{frames[step][1]['trained network']:.1f} of the network, "
            f"{frames[step][1]['exactly memorized prior']:.1f} of the exactly memorized prior."
        ),
        start=size.step_sizes.index(0.07),
    )


def unreachable_misfit(study: Study) -> float:
    """What of the published data's misfit no model can change with F linearized; :attr:`Study.linear` has none."""
    pair = study.inversion.likelihood, study.linear
    whole, kept = (float(exact.data_misfit(one, study.inversion.truth[None])[0]) * len(one.observed) for one in pair)
    return whole - kept


# ---- some unseen truths with the nonlinear operator ----------------------------------------------------------------


def nonlinear_samples(study: Study) -> dict[str, dict[int, torch.Tensor]]:
    """As :func:`samples_for_all_truths`, of the unseen truths that are sampled with the nonlinear operator, or {}.

    The ideal posterior is that with F linearized, for the same data.
    """
    num, sizes = study.settings.unseen.num_nonlinear, study.settings.sizes
    if num == 0:
        return {}

    def of(prior: str, n: int) -> torch.Tensor:
        return torch.stack([study.nonlinear_runs(prior, n, truth=k)[0].x for k in range(num)])[None, :, None]

    found = {name: {n: of(prior, n) for n in sizes} for name, (prior, _) in PRIORS.items()}
    draws, generator = study.settings.unseen.num_nonlinear_samples, study.generator("ideal, nonlinear subset")
    ideal = [study.problems.ideal_posterior(k, 0).sample(draws, generator=generator) for k in range(num)]
    return found | {IDEAL: dict.fromkeys(sizes, torch.stack(ideal)[None, :, None])}


def nonlinear_table(study: Study, linear: dict, samples: dict, rows: dict) -> Table:
    """Of :func:`nonlinear_samples`: swap share with its null, log-ratio and p, count, error and coverage.

    linear: of :func:`samples_for_all_truths`, whose share for the same truths, with the first seed, stands beside.
    """
    lines, num = [], study.settings.unseen.num_nonlinear
    truths = study.problems.truths[:num]
    for n in study.settings.sizes if samples else ():
        for name, by_size in samples.items():
            row, count = rows[name][n], measures.memorized_over_truths(by_size[n], study.training[n])
            spread = measures.spread(by_size[n], truths, generator=study.generator(f"nonlinear spread {name} {n}"))
            swap = [f"{row.share}", "{:.2f} to {:.2f}".format(*row.null), f"{row.log_ratio}", f"{row.p:.2g}"]
            beside = Mean.over(shares_by_truth(study, linear[name][n][:1, :num], n))
            measured = [f"{count}", f"{spread.error}", f"{spread.coverage}", f"{beside}"]
            lines.append([f"{name}, N = {n}", *swap, *measured])
    header = ["samples of", "swap share", "99 % of labelings", "log-ratio", "p", "share with r < 0.7"]
    header += ["error of the mean", f"coverage of {measures.LEVEL:.0%}", "swap share, F linearized"]
    return Table(header, lines)


def tables(
    study: Study, samples: dict, swap: dict, few: dict, few_swap: dict, shown: dict[str, Table]
) -> dict[str, tuple[Table, str]]:
    """Name -> table and caption, of those that the page shows of the recorded full run.

    samples, swap: of :func:`samples_for_all_truths` and :func:`swap_rows`; few, few_swap: the same of
    :func:`nonlinear_samples`. shown: "spread" and "counts", as the page has them.
    """
    size = study.settings.unseen
    words = f"{size.num_nonlinear} unseen truths, nonlinear (Helmholtz) operator, {size.num_nonlinear_samples} samples "
    words += "of each prior, one network seed, one draw of the noise; the ideal posterior is that with F linearized; "
    found = {
        "swap": (swap_table(swap), "The swap test over all truths, draws of the noise and seeds; ± 95 % over truths."),
        "excess": (excess_table(swap), "Networks less the true prior, labels exchanged for both."),
        "spread": (shown["spread"], "Count, error and coverage; ± 95 % over truths."),
        "counts": (
            shown["counts"],
            "Samples with r < 0.7, the published truth, of 256; 95 % over samples of one run.",
        ),
        "nonlinear": (nonlinear_table(study, samples, few, few_swap), f"{words}± 95 % over truths."),
    }
    if few:
        found["nonlinear-excess"] = excess_table(few_swap), "The same: networks less the true prior."
    return found


# ---- claims --------------------------------------------------------------------------------------------------------


def claims(study: Study, samples: dict, rows: dict, few_swap: dict, found: dict, profile: str) -> dict[str, float]:
    """Every number that the page states, but those of its open cells.

    samples, rows, few_swap, found: of :func:`samples_for_all_truths`, :func:`swap_rows`, the same of
    :func:`nonlinear_samples`, and :func:`lookups`.
    """
    size = study.settings
    other, order = stencil_lookup(study, found[50])
    of = {
        "c4.chosen": found[50].chosen,
        "c4.chosen_stencil": order[other.chosen],
        "c4.lookup_ratio": found[50].ratio,
        "c4.lookup_gap": found[50].gap,
        "c4.lookup_gap_least": min(one.gap for one in found.values()),
        "c4.stencil_ratio": other.ratio,
        "c4.stencil_gap": other.gap,
        "c4.invalid": sum(int(one.misfits.isnan().sum()) for one in study.samples.values()),
        f"c4.{profile}_truths": size.unseen.num_truths,
        f"c4.{profile}_steps": size.checkpoints[-1],
    }
    noisy = noise_counts(study)
    of |= {"c4.draws_200_least": min(noisy[200]), "c4.draws_200_most": max(noisy[200])}
    of |= {"c4.draws_1000_most": max(noisy[1000])}
    foreign = foreign_row(study)
    of |= {f"c4.{profile}_share_foreign": foreign.share.value, f"c4.{profile}_p_foreign": foreign.p}
    of[f"c4.{profile}_null_low_foreign"], of[f"c4.{profile}_null_high_foreign"] = foreign.null
    corrected, effective = corrected_share(study)
    of |= {f"c4.{profile}_ideal_nonlinear_200": corrected, f"c4.{profile}_effective": effective}
    of |= {f"c4.finer_{name}": value for name, value in finer_grid(study).items()}
    for n, more in excesses(rows).items():
        of[f"c4.{profile}_fresh_p_{n}"] = fresh_set_p(study, samples["true prior"][n], n)
        of[f"c4.{profile}_excess_{n}"], of[f"c4.{profile}_excess_p_{n}"] = more.share, more.p
        of[f"c4.{profile}_excess_low_{n}"], of[f"c4.{profile}_excess_high_{n}"] = more.null
        if profile == "full":  # on which side of the null it lies, which the two ends and the share do not bound
            low, high = more.null
            of |= {f"c4.full_excess_above_{n}": more.share - high, f"c4.full_excess_over_low_{n}": more.share - low}
        of[f"c4.truth_ratio_{n}"] = study.training[n].ratio(study.inversion.truth[None])[0]
        of[f"c4.held_out_{n}"] = memorized_share(study.training[n].ratio(study.held_out)).value
    for name, key in SHORT.items():
        for n, row in rows[name].items():
            of[f"c4.{profile}_share_{key}_{n}"], of[f"c4.{profile}_half_{key}_{n}"] = row.share.value, row.share.half
            of[f"c4.{profile}_null_low_{key}_{n}"], of[f"c4.{profile}_null_high_{key}_{n}"] = row.null
    for n in size.sizes:
        of[f"c4.{profile}_log_ratio_{n}"] = rows["trained network"][n].log_ratio.value
        for name, key in (("trained network", "network"), ("true prior", "truth"), (IDEAL, "ideal")):
            of[f"c4.{profile}_p_{key}_{n}"] = rows[name][n].p
    for name, by_size in few_swap.items():
        of |= {f"c4.{profile}_nonlinear_{SHORT[name]}_{n}": row.share.value for n, row in by_size.items()}
    return {id: float(value) for id, value in of.items()}
