"""What chapter 8's page shows of what is learned without labels: rows, tables, pictures, claims."""

from functools import cache

import torch
from matplotlib.figure import Figure

from chapters.ch08_first_breaks import sections_figures as figures
from chapters.ch08_first_breaks import sections_measures as measures
from chapters.ch08_first_breaks.autoencoding import STARTS, Landings
from chapters.ch08_first_breaks.sections_measures import SPACES, Copying, Walking
from chapters.ch08_first_breaks.sections_study import COPIER, FRESH, SectionsStudy
from companion.frames import Frames
from companion.tables import Table
from memprior._random import generator_for, normal
from memprior.figures import style
from memprior.intervals import Mean, Share
from memprior.linear_autoencoder import best_linear_autoencoder
from memprior.memorization import latent_walk, nearest_neighbors

FIRST_LAYER, LAST_LAYER = "features.0", "leave"


# ---- copying -------------------------------------------------------------------------------------------------------


def numbers_of(study: SectionsStudy, kind: str) -> tuple[int, ...]:
    """N at which copying of a kind of source is measured."""
    plan = study.settings.adversaries
    return (plan.plain,) if kind == "plain" else plan.sizes


def share(found: list[Copying]) -> Mean:
    """Of samples nearer to a training section, over seeds."""
    return Mean.over([one.share for one in found])


def p_over_seeds(found: list[Copying]) -> float:
    """One p of all seeds."""
    return measures.over_seeds([one.p for one in found])


def decided(study: SectionsStudy) -> dict[tuple[str, int], bool]:
    """(Space, N) -> whether copying of the GANs with spectral norm is sure, of all of these together (Holm)."""
    cases = [(space, n) for space in SPACES for n in numbers_of(study, "spectral")]
    p_values = [p_over_seeds(study.copying("spectral", n, space)) for space, n in cases]
    return dict(zip(cases, measures.step_down(p_values), strict=True))


def null_of_mean(found: list[Copying]) -> tuple[float, float]:
    """Central 95 % of the mean share of seeds by labels alone, whose sections are their own: normal."""
    middle = sum(sum(one.null) / 2 for one in found) / len(found)
    half = sum(((one.null[1] - one.null[0]) / 2) ** 2 for one in found) ** 0.5 / len(found)
    return middle - half, middle + half


def copying_table(study: SectionsStudy) -> Table:
    """Share of samples nearer to a training section, p, and d_1 / d_2 beside the same of held-out sections."""
    lines, sure = [], decided(study)
    for space, name in SPACES.items():
        for kind in figures.KINDS:
            for n in numbers_of(study, kind):
                found = study.copying(kind, n, space)
                gaps = [Mean.over([getattr(one, what) for one in found]).value for what in ("gap", "held_out")]
                said = ("yes" if sure[space, n] else "no") if kind == "spectral" else "-"
                cells = [f"{share(found)}", f"{p_over_seeds(found):.2g}", said, *(f"{gap:.2f}" for gap in gaps)]
                lines.append([f"{name}, N = {n}, {figures.KINDS[kind][2]}", *cells])
    header = ["samples", "share nearer to training (± seeds)", "p over seeds", "sure, of all N and spaces"]
    return Table([*header, "d1/d2, training", "d1/d2, held out"], lines)


def copying_figure(study: SectionsStudy) -> Figure:
    """Share against N in both spaces, with the band of labels alone."""
    figure, axes = style.panels(1, len(SPACES), height=3.4, sharey=True)
    for ax, (space, name) in zip(axes, SPACES.items(), strict=True):
        curves = {
            kind: {n: share(study.copying(kind, n, space)) for n in numbers_of(study, kind)} for kind in figures.KINDS
        }
        null = {n: null_of_mean(study.copying("spectral", n, space)) for n in numbers_of(study, "spectral")}
        figures.copying_panel(ax, curves, null, title=name)
    axes[0].set_ylabel("nearer to a training section")
    return style.legend_below(figure, axes[:1], 3)


def level(study: SectionsStudy, space: str) -> Share:
    """How often the swap test rejects fresh draws at .05: at the smallest N, of fewer samples than the GANs'."""
    column = list(SPACES).index(space)
    return measures.rejections(study.result(study.leveling)[:, column].tolist())


def dreams(study: SectionsStudy, n: int, num: int = 6) -> Figure:
    """Samples of the first seed's generator above the training section nearest to each."""
    seed = study.seeds[0]
    samples = study.result(study.sampling(study.gan(n, seed)))[:num]
    training = study.training_set(n, seed)
    near = nearest_neighbors(samples.flatten(1), training.flatten(1), 1).indices[:, 0]
    figure, axes = style.panels(2, len(samples), height=3.0)
    figures.pairs(axes, samples, training[near])
    return figure


# ---- attractors ----------------------------------------------------------------------------------------------------


def landings(study: SectionsStudy, n: int | None, code: int) -> list[Landings]:
    """Seed by seed; n = None: of untrained autoencoders, beside the largest training set."""
    most = study.settings.autoencoders.sizes[-1]
    runs = [study.autoencoder(n or most, code, seed, trained=n is not None) for seed in study.seeds]
    return [study.result(study.iterating(run)) for run in runs]


def landed(found: list[Landings], start: str, beside: str = "training") -> list[float]:
    """Seed by seed the share of starts that land on a gather of a set, "training" or "held_out".

    Starts of one autoencoder are not independent of each other: often all of them land, or none.
    """
    return [getattr(one, beside)[start].landed.value for one in found]


def attractor_curves(study: SectionsStudy, code: int) -> dict[str, dict[int, list[float]]]:
    """What -> N -> share of starts that land, seed by seed."""
    sizes = study.settings.autoencoders.sizes
    curves = {f"from {start}": {n: landed(landings(study, n, code), start) for n in sizes} for start in STARTS}
    both = {n: landed(landings(study, n, code), "gathers", "held_out") for n in sizes}
    return curves | {"on held-out gathers": both}


def attractor_table(study: SectionsStudy) -> Table:
    """N by N and code by code: errors, starts that land, and their controls."""
    plan, lines = study.settings.autoencoders, []
    for code in plan.codes:
        for n in (*plan.sizes, None):
            found = landings(study, n, code)
            errors = [Mean.over([float(one.errors[k]) for one in found]).value for k in range(2)]
            what, every = f"N = {n}" if n else "untrained", (n or plan.sizes[-1]) * len(found)
            cells = [f"{error:.2g}" for error in errors]
            for start in STARTS:
                on, off = (over(landed(found, start, beside)) for beside in ("training", "held_out"))
                reached = sum(one.training[start].num_reached for one in found)
                cells += [on, off, f"{reached} of {every}"]
            lines.append([f"code of {code}, {what}", *cells])
    header = ["autoencoder", "error, training", "error, held out"]
    for start in STARTS:
        header += [f"from {start}: land on training gathers", "on held-out ones", "gathers reached"]
    return Table(header, lines)


def over(values: list[float]) -> str:
    """Mean, least and largest over seeds."""
    least, most = f"{min(values):.2f}", f"{max(values):.2f}"
    return least if least == most else f"{sum(values) / len(values):.2f} ({least} to {most})"


def attractor_figure(study: SectionsStudy) -> Figure:
    """Share of starts that land against N, a panel for each bottleneck."""
    codes = study.settings.autoencoders.codes
    figure, axes = style.panels(1, len(codes), height=3.0, sharey=True)
    for ax, code in zip(axes, codes, strict=True):
        figures.attractor_panel(ax, attractor_curves(study, code), title=f"code of {code}")
    axes[0].set_ylabel("starts that land")
    return style.legend_below(figure, axes[:1], 3)


# ---- walks ---------------------------------------------------------------------------------------------------------


def walk_ends(study: SectionsStudy, seed: int) -> torch.Tensor:
    """Latent points, (2, walks, latent)."""
    like = torch.empty(0, dtype=torch.float32, device=study.device)
    size = 2, study.settings.num_walks, study.settings.adversaries.latent
    return normal(*size, like=like, generator=generator_for(f"walk ends {seed}"))


def references(study: SectionsStudy, seed: int):
    """(Linear generator, lookup generator, examples (N, 4096)) at the N that is trained without spectral norm too."""
    examples = study.training_set(study.settings.adversaries.plain, seed).flatten(1)
    linear = measures.gaussian_generator(best_linear_autoencoder(examples, study.settings.adversaries.latent))
    return linear, measures.lookup_generator(linear, examples), examples


@cache
def walks(study: SectionsStudy) -> dict[str, list[Walking]]:
    """Generator in words -> seed by seed."""
    plan, num = study.settings.adversaries, study.settings.num_walk_steps
    found: dict[str, list[Walking]] = {"linear": [], "lookup": []}
    for seed in study.seeds:
        ends = walk_ends(study, seed)
        linear, lookup, examples = references(study, seed)
        for name, network in (("linear", linear), ("lookup", lookup)):
            found[name].append(measures.walking(network, ends, examples, num))
        for n in plan.sizes:
            network, training = study.generator_network(study.gan(n, seed)), study.training_set(n, seed)
            found.setdefault(f"GAN, N = {n}", []).append(measures.walking(network, ends, training, num))
    return found


def walk_table(study: SectionsStudy) -> Table:
    """Share of the length in the largest tenth of steps, and changes of the nearest section, over seeds."""
    lines = []
    for name, found in walks(study).items():
        both = [Mean.over([getattr(one, what).value for one in found]) for what in ("jump_share", "switches")]
        lines.append([name, f"{both[0]}", f"{both[1].value:.1f} ± {both[1].half:.1f}"])
    header = ["generator", "length in the largest tenth of steps (± seeds)", "changes of the nearest section (± seeds)"]
    return Table(header, lines)


def walk_figure(study: SectionsStudy) -> Figure:
    """Steps of one walk: linear, lookup, and generators of the smallest and the largest N."""
    seed, num = study.seeds[0], study.settings.num_walk_steps
    (a, *_), (b, *_) = walk_ends(study, seed)
    linear, lookup, examples = references(study, seed)
    steps = {}
    for name, network in (("linear", linear), ("lookup", lookup)):
        steps[name] = latent_walk(network, a, b, examples, num_steps=num).steps
    sizes = study.settings.adversaries.sizes
    for n in (sizes[0], sizes[-1]):
        network, training = study.generator_network(study.gan(n, seed)), study.training_set(n, seed)
        steps[f"GAN, N = {n}"] = latent_walk(network, a, b, training, num_steps=num).steps
    steps = {name: of for name, of in steps.items() if bool(of.any())}
    figure, (ax,) = style.panels(height=2.8)
    figures.walk_panel(ax, steps)
    ax.legend()
    return figure


def walk_slider(study: SectionsStudy, n: int, num_frames: int = 12) -> Frames:
    """Along a walk of the first seed's generator: the section, and the training section nearest to it."""
    seed = study.seeds[0]
    training = study.training_set(n, seed)
    a, b = walk_ends(study, seed)[:, 0]
    walk = latent_walk(study.generator_network(study.gan(n, seed)), a, b, training, num_steps=num_frames - 1)

    def frame(k):
        figure, axes = style.panels(1, 2, height=2.8)
        near = int(walk.neighbors.indices[k, 0])
        figures.section(axes[0], walk.outputs[k], title="generator")
        figures.section(axes[1], training[near], title=f"nearest of {n} training sections: number {near + 1}")
        axes[0].set_ylabel("ms")
        return figure

    def alt(k):
        first, second = walk.neighbors.distances[k].tolist()
        near = int(walk.neighbors.indices[k, 0]) + 1
        return f"Frame {k + 1}: the nearest training section is number {near}, at {first / second:.2f} of the next one."

    return Frames(frame, range(num_frames), name="along the walk", label=lambda k: f"{k + 1}", alt=alt)


# ---- the discriminator ---------------------------------------------------------------------------------------------


def along_training(study: SectionsStudy, what: str) -> dict[str, torch.Tensor]:
    """ "spectral" and "plain" -> (seeds, 1 + C): mean gradient norm, or the largest singular value of a layer."""
    n, found = study.settings.adversaries.plain, {}
    for kind in ("spectral", "plain"):
        played = [study.played(study.gan(n, seed, spectral=kind == "spectral")) for seed in study.seeds]
        found[kind] = torch.stack([one.gradients if what == "gradients" else one.spectra[what][:, 0] for one in played])
    return found


def last_spectra(study: SectionsStudy, layer: str) -> dict[str, torch.Tensor]:
    """ "spectral" and "plain" -> singular values of a layer at the end, (seeds, n)."""
    n, found = study.settings.adversaries.plain, {}
    for kind in ("spectral", "plain"):
        played = [study.played(study.gan(n, seed, spectral=kind == "spectral")) for seed in study.seeds]
        found[kind] = torch.stack([one.spectra[layer][-1] for one in played])
    return found


def discriminator_figure(study: SectionsStudy, layer: str = "features.4") -> Figure:
    """Norm of the logit's gradient along the training, and the singular values of one layer at its end."""
    figure, axes = style.panels(1, 2, height=3.0)
    steps = study.settings.adversaries.checkpoints
    figures.training_panel(axes[0], steps, along_training(study, "gradients"), ylabel="gradient of the logit")
    figures.spectrum_panel(axes[1], last_spectra(study, layer), title="third convolution")
    return style.legend_below(figure, axes[:1], 2)


# ---- claims --------------------------------------------------------------------------------------------------------


def claims(study: SectionsStudy) -> dict[str, float]:
    """What a page would quote."""
    plan, found = study.settings.adversaries, {"level_repeats": float(study.settings.num_repeats)}
    copied = decided(study)
    for space in SPACES:
        of_level = level(study, space)
        found |= {f"level_{space}": of_level.value, f"level_{space}_high": of_level.interval[1]}
        found[f"sure_{space}"] = float(sum(sure for (of, _), sure in copied.items() if of == space))
        for kind, id in (("spectral", "gan"), ("plain", "plain"), (COPIER, "copier"), (FRESH, "fresh")):
            for n in numbers_of(study, kind):
                of = study.copying(kind, n, space)
                mean = share(of)
                found |= {f"{id}_{space}_{n}": mean.value, f"{id}_{space}_{n}_half": mean.half}
                found[f"{id}_{space}_{n}_p"] = p_over_seeds(of)
    for code in study.settings.autoencoders.codes:
        for n in (*study.settings.autoencoders.sizes, None):
            trained, id = landings(study, n, code), f"{code}_{n or 'untrained'}"
            for start in STARTS:
                for beside, last in (("training", ""), ("held_out", "_held_out")):
                    shares = landed(trained, start, beside)
                    found[f"landed_{start}_{id}{last}"] = sum(shares) / len(shares)
                reached = sum(one.training[start].num_reached for one in trained)
                found[f"reached_{start}_{id}"] = reached / len(trained)
            found[f"error_{id}"] = Mean.over([float(one.errors[0]) for one in trained]).value
            found[f"error_{id}_held_out"] = Mean.over([float(one.errors[1]) for one in trained]).value
    for name, of in walks(study).items():
        id = name.removeprefix("GAN, N = ")
        found[f"jump_{id}"] = Mean.over([one.jump_share.value for one in of]).value
        found[f"switches_{id}"] = Mean.over([one.switches.value for one in of]).value
    for kind, of in along_training(study, "gradients").items():
        found |= {f"gradient_{kind}_begin": float(of[:, 0].mean()), f"gradient_{kind}": float(of[:, -1].mean())}
    return found | {"num_seeds": float(study.settings.num_seeds), "largest_n": float(plan.sizes[-1])}
