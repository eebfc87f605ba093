"""Chapter 5's page: its claims, tables, figures and sliders, made of the study's results."""

import math
from functools import partial

import torch
from matplotlib.figure import Figure

from chapters.ch05_samplers import comparison, fwi, gaussian, problems
from chapters.ch05_samplers import figures as draw
from chapters.ch05_samplers.problems import ProblemBatch, guided
from chapters.ch05_samplers.study import SMALL, TOY, Study
from companion import record
from companion.frames import Frames
from companion.tables import Table
from memprior.figures import style
from memprior.figures.style import legend_below
from memprior.guidance import point_step, released_step
from memprior.intervals import Mean, Share
from memprior.noise import geometric_sigmas
from memprior.paper import line_problem
from memprior.sampling import Step

CLAIMED_COUNT = 64  # K of likelihood weighting in prose
STEPS = [0.002, 0.005, 0.01, 0.02, 0.035, 0.07, 0.1, 0.2, 0.4]


def slug(name: str) -> str:
    """A sampler's name as part of a claim's id."""
    return name.lower().replace(", ", "_").replace(" = ", "").replace(" ", "_")


def solves(result: dict) -> float:
    """Solves of F for one sample, gradients included."""
    return result["forward"] + result["gradient"]


def dot(result: dict) -> tuple[float, float, float]:
    """Solves of one sample, total variation, half of its interval."""
    mean = Mean.over(result["distances"])
    return solves(result), mean.value, mean.half


def of_inversion(study: Study, n: int) -> dict[str, dict]:
    """Sampler -> result on the linearized inversion; a sampler with a scale at the best of those tried."""
    every = study.results(f"fwi {n}")
    fixed = {name: one for name, one in every.items() if ", at " not in name}
    return {"exact": fixed.pop("exact"), **comparison.best_of(every), **fixed}


def guided_toy(study: Study) -> dict[str, dict]:
    """Sampler -> result on the toy: those that a gradient guides, without particles."""
    return {k: one for k, one in study.results("toy").items() if k != "exact" and ", K" not in k}


# ---- claims --------------------------------------------------------------------------------------------------------


def claims(study: Study) -> dict[str, float]:
    """Id -> value: every number that the page quotes."""
    parts = (_toy_claims, _small_claims, _scale_claims, _guidance_claims, _weighting_claims, _gaussian_claims)
    found = {}
    for part in (*parts, _inversion_claims, _nonlinear_claims, _control_claims):
        found |= part(study)
    return {f"c5.{id}": float(value) for id, value in found.items()}


def _with_half(id: str, mean: Mean) -> dict[str, float]:
    return {id: mean.value, f"{id}_half": mean.half}


def _toy_claims(study):
    toy, floor = study.results("toy"), study.toy_floors["draws"]
    found = {"num_problems": len(study.toy.problems), "num_noises": study.settings.fwi_noises}
    found |= {"num_examples": problems.NUM_EXAMPLES, "floor_swarms": study.toy_floors["swarms"].mean()}
    found |= {"effective": comparison.effective_examples(study.toy).mean(), "floor": floor.mean()}
    for name, result in guided_toy(study).items():
        mean = Mean.over(result["distances"])
        found |= _with_half(f"tv_{slug(name)}", mean) if name == "DPS, norm" else {f"tv_{slug(name)}": mean.value}
    exact = Mean.over(toy["exact"]["distances"]).value
    found |= {"tv_exact": exact, "exact_excess": (exact - float(floor.mean())) / float(floor.std())}
    nearest = min(guided_toy(study).values(), key=lambda one: sum(one["distances"]))
    found |= _with_half("nearest", Mean.over(nearest["distances"]))
    generator = study.generator("floor of each")
    below = problems.floors(study.toy, study.settings.num_draws, 400, generator=generator).mean(0).cpu()
    found |= _with_half("nearest_excess", Mean.over(torch.tensor(nearest["distances"]) - below))
    copying = [toy[name] for name in ("exact", "DPS, own weight", "PiGDM", "MMPS")]
    found["copies"] = max(Mean.over(result["ratio"]).value for result in copying)
    found |= _with_half("pushed_off", Mean.over(toy["released"]["ratio"]))
    found["tv_twisted"] = Mean.over(toy[f"twisted, K = {study.settings.particles[1]}"]["distances"]).value
    for name in ("twisted, widened", "weighting"):
        result = toy[f"{name}, K = {study.settings.particles[1]}"]
        found |= _with_half(f"tv_{slug(name)}", Mean.over(result["distances"]))
    pairs = torch.tensor([toy[name]["distances"] for name in ("MMPS", "DPS, own weight")])
    return found | _with_half("mmps_worse", Mean.over(pairs[0] - pairs[1]))


def _small_claims(study):
    found = {}
    for key, name in zip(("line", "plane"), SMALL, strict=True):
        result, floor = study.results(name), study.small_floors[name]
        over = Mean.over(result["exact"]["distances"]).value - float(floor.mean())
        found |= {f"{key}_exact": over / float(floor.std()), f"{key}_floor": floor.mean()}
        for sampler in ("DPS, own weight", "MMPS", "released"):
            both = _with_half(f"{key}_{slug(sampler)}", Mean.over(result[sampler]["distances"]))
            found |= {id: value for id, value in both.items() if key == "plane" or not id.endswith("half")}
    return found


def _scale_claims(study):
    sweep = comparison.best_of(study.results("sweep"))
    means = {name: Mean.over(result["distances"]) for name, result in sweep.items()}
    frozen = [mean for name, mean in means.items() if not name.startswith("DPS")]
    least = {"sweep_least": means.values(), "sweep_frozen": frozen}
    found = {}
    for id, some in least.items():
        found |= _with_half(id, min(some, key=lambda mean: mean.value))
    return found


def _guidance_claims(study):
    terms, left, sigmas = study.guidance
    level = int((left - 0.5).abs().argmin())  # half of the choice is made
    found = {"choice_level": sigmas[level]}
    found["gain_pigdm"] = terms["PiGDM"].gain[level]
    for name in ("MMPS", "DPS, own weight"):
        found |= _with_half(f"gain_{slug(name)}", terms[name].interval("gain", level))
    best = max((term.interval("cosine", level) for term in terms.values()), key=lambda mean: mean.value)
    return found | _with_half("cosine_best", best)


def _weighting_claims(study):
    distances, rho = study.weighting["toy"], comparison.concentration(study.toy)
    counts = torch.tensor(study.settings.counts, device=study.device)
    found = _with_half("law_64", Mean.over(distances[study.settings.counts.index(CLAIMED_COUNT)]))
    found |= {"rho": rho.mean(), "bound_holds": (distances / (2 * rho / counts[:, None])).max()}
    few, many = (study.gaussian_weighting[noise_std] for noise_std in (gaussian.NOISES[0], gaussian.NOISES[-1]))
    found |= {"nats_few": few.nats.mean(), "nats_many": many.nats.mean(), "wide_floor": many.floor.mean()}
    return found | {"wide_few": few.wide[-1].mean()} | _with_half("wide_many", Mean.over(many.wide[-1]))


def _gaussian_claims(study):
    counts = study.settings.gaussian_levels
    finest = {name: study.gaussian_moments[name, counts[-1]] for name in study.gaussian_cases}
    pairs = [(one["MMPS"][key], one["exact"][key]) for one in finest.values() for key in ("narrow", "wide")]
    found = {"gauss_mmps_mean": max(one["MMPS"]["mean"] for one in finest.values())}
    found["gauss_mmps_exact"] = max(abs(a - b) for a, b in pairs)
    halving = [1 - study.gaussian_moments["C not I", n]["MMPS"]["narrow"] for n in counts[-2:]]
    found["gauss_halving"] = halving[1] / halving[0]
    for key, name in (("pigdm", "PiGDM"), ("point", "DPS, own weight")):
        found[f"gauss_{key}_mean"] = finest["C not I"][name]["mean"]
    return found | {"gauss_point_narrow": finest["C not I"]["DPS, own weight"]["narrow"]}


def _inversion_claims(study):
    tried, num = len(comparison.families()) * len(study.settings.fwi_scales), study.settings.fwi_draws
    found, invalid, cost = {"fwi_tried": tried}, [], []
    for n in study.settings.fwi_sizes:
        every = of_inversion(study, n)
        missed = {name: Mean.over(one["distances"]) for name, one in every.items()}
        best = min((missed[name] for name in comparison.families()), key=lambda mean: mean.value)
        found |= {f"fwi_exact_{n}": missed["exact"].value, f"fwi_mmps_{n}": missed["MMPS"].value}
        found |= {f"fwi_chosen_{n}": 1 - best.value, f"fwi_chosen_{n}_half": best.half}
        found[f"fwi_times_{n}"] = n * (1 - best.value)
        blind = fwi.best_of_blind(n, num * study.settings.fwi_noises, tried)
        found |= {f"fwi_blind_{n}": n * blind[0], f"fwi_blind_high_{n}": n * blind[1]}
        found[f"fwi_released_{n}"] = missed["released"].value
        found[f"fwi_weight_{n}"] = study.linear[n].log_weights.max(1).values.exp().min()
        found[f"needed_{n}"] = math.ceil(math.log(0.05) / math.log1p(-1 / n))
        invalid += [max(one["invalid"]) for name, one in every.items() if name not in comparison.families()]
        cost += [solves(one) for name, one in every.items() if name != "exact" and ", K" not in name]
    found |= {"fwi_solves_least": min(cost), "fwi_solves_most": max(cost)}
    fewest = of_inversion(study, study.settings.fwi_sizes[0])
    found |= _with_half("fwi_covariance_ratio", Mean.over(fewest["covariance"]["ratio"]))
    for name in ("covariance", "exact"):
        found[f"fwi_{name}_misfit"] = Mean.over(fewest[name]["misfit"]).value
    return found | {"fwi_invalid": max(invalid)}


def _nonlinear_claims(study):
    results = {n: study.results(f"waves {n}") for n in study.settings.wave_sizes}
    wrong = [one["distances"][0] for of in results.values() for name, one in of.items() if name != "exact"]
    least = min(batch.log_weights.max().exp() for batch in study.nonlinear.values())
    low, high = Share(sum(wrong) / len(wrong), len(wrong) * study.settings.wave_draws).interval
    found = {"waves_exact": max(of["exact"]["distances"][0] for of in results.values()), "waves_weight": least}
    return found | {"waves_missed": sum(wrong) / len(wrong), "waves_missed_low": low, "waves_missed_high": high}


def _control_claims(study):
    found = _with_half("wrong_data", Mean.over(study.control["wrong"]["distances"]))
    found |= _with_half("foreign", Mean.over(study.control["foreign"]["ratio"]))
    for key, name in (("mmps", "MMPS"), ("point", "DPS, own weight"), ("exact", "exact draws")):
        found |= _with_half(f"control_{key}", Mean.over(study.gaussian_control[name]))
    return found


# ---- tables --------------------------------------------------------------------------------------------------------


def with_interval(mean: Mean, digits: int = 2) -> str:
    """A mean with half of its 95 % interval; large numbers without digits that say nothing."""
    digits = digits if mean.value < 10 else int(mean.value < 100)
    return f"{mean.value:.{digits}f} ± {mean.half:.{digits}f}"


def _row(name, result, num_examples) -> list[str]:
    cost = f"{num_examples}, once" if name == "exact" else f"{solves(result):,.0f}"
    middle = [with_interval(Mean.over(result[key])) for key in ("distances", "ratio", "misfit")]
    return [name, *middle, cost]


def toy_table(study: Study) -> Table:
    """Every sampler on the toy, and what exact draws have."""
    header = ["sampler", "total variation", "ratio r", "misfit per datum", "solves per sample"]
    rows = [_row(name, result, problems.NUM_EXAMPLES) for name, result in study.results("toy").items()]
    for name, key, num in (("draws", "draws", "num_draws"), ("runs of particles", "swarms", "num_swarms")):
        floor = study.toy_floors[key]
        low, high = (float(floor.quantile(q)) for q in (0.025, 0.975))
        told = f"floor: {getattr(study.settings, num)} exact {name}"
        rows.append([told, f"{float(floor.mean()):.2f} ({low:.2f} to {high:.2f})", "exact 0", "", ""])
    return Table(header, rows)


def inversion_table(study: Study, n: int) -> Table:
    """Every sampler on the linearized inversion with N = n."""
    header = [f"N = {n}", "missed", "ratio r", "misfit per datum", "solves per sample"]
    rows = []
    for name, result in of_inversion(study, n).items():
        values, row = result["distances"], _row(name, result, n)
        if max(values) - min(values) < 1e-6:  # no spread over draws of the noise: the interval of a share
            share = Share(values[0], study.settings.fwi_draws * study.settings.fwi_noises)
            row[1] = "{:.2f} ({:.2f} to {:.2f})".format(*share.dot)
        rows.append(row)
    return Table(header, [*rows, ["chance", f"{1 - 1 / n:.2f}", "", "", "0"]])


def nonlinear_table(study: Study) -> Table:
    """Every sampler with the nonlinear operator; intervals of a share."""
    rows = []
    for n in study.settings.wave_sizes:
        for name, one in study.results(f"waves {n}").items():
            share = Share(one["distances"][0], study.settings.wave_draws)
            cost = f"{n}, once" if name == "exact" else f"{solves(one):,.0f}"
            rows.append([f"N = {n}: {name}", "{:.2f} ({:.2f} to {:.2f})".format(*share.dot), cost])
    return Table(["nonlinear operator", "missed (95 % interval)", "solves per sample"], rows)


def gaussian_table(study: Study) -> Table:
    """Samplers where the prior is Gaussian, at the most levels: exact moments, so that nothing scatters."""
    num = study.settings.gaussian_levels[-1]
    rows = []
    for name in study.gaussian_moments["C = I", num]:
        row = [name]
        for case in study.gaussian_cases:
            one = study.gaussian_moments[case, num][name]
            row += [f"{one['mean']:.3f}", f"{one['narrow']:.2f} to {one['wide']:.2f}"]
        rows.append(row)
    header = ["sampler", "C = I: error of the mean", "C = I: ratio of deviations"]
    return Table([*header, "C not I: error of the mean", "C not I: ratio of deviations"], rows)


def control_table(study: Study) -> Table:
    """What would prove the page wrong, beside what it should be."""
    toy, control = study.results("toy"), study.control
    own = f"{with_interval(Mean.over(toy['exact']['ratio']))}, own"
    foreign = with_interval(Mean.over(control["foreign"]["ratio"]))
    right = f"{Mean.over(toy['exact']['distances']).value:.2f}, right data"
    wrong = with_interval(Mean.over(control["wrong"]["distances"]))
    rows = [
        ["exact sampler, negated data: total variation", wrong, right],
        ["exact sampler: ratio r to another training set", foreign, own],
    ]
    beside = f"{with_interval(Mean.over(study.gaussian_control['exact draws']), 3)}, exact draws"
    for name in ("MMPS", "DPS, own weight"):
        found = with_interval(Mean.over(study.gaussian_control[name]), 3)
        rows.append([f"Gaussian prior, {name}: energy distance", found, beside])
    return Table(["control", "found", "beside it"], rows)


def tables(study: Study) -> dict[str, tuple[Table, str]]:
    """Name -> table and caption, of what a full run keeps for its page."""
    over = "± 95 % over problems or draws of the noise"
    found = {f"inversion-{n}": (inversion_table(study, n), f"Linearized; {over}.") for n in study.settings.fwi_sizes}
    return found | {
        "toy": (toy_table(study), f"The toy, N = {problems.NUM_EXAMPLES}; {over}."),
        "nonlinear": (nonlinear_table(study), "With the nonlinear operator, one truth and one draw of the noise."),
        "gaussian": (gaussian_table(study), "A Gaussian prior, exact moments: nothing scatters."),
        "control": (control_table(study), f"What would prove the page wrong, beside what is right; {over}."),
    }


# ---- figures -------------------------------------------------------------------------------------------------------


def answer(study: Study) -> Figure:
    """Distance against cost, on the toy and on the linearized inversion."""
    fewest = study.settings.fwi_sizes[0]
    floor = float(study.toy_floors["draws"].quantile(0.975))
    shown = {"toy": study.results("toy"), f"fwi {fewest}": of_inversion(study, fewest)}
    titles = f"linear toy, N = {problems.NUM_EXAMPLES}", f"linearized inversion, N = {fewest}"
    figure, axes = style.panels(1, 2, height=4.4, sharey=True)
    for ax, (name, result), title, low in zip(axes, shown.items(), titles, (floor, 0), strict=True):
        dots = {key: dot(one) for key, one in result.items() if ", K" not in key}
        dots["exact"] = (study.batch(name).log_weights.shape[1], *dots["exact"][1:])
        weighting = [Mean.over(row) for row in study.weighting[name]]
        particles = [dot(one) for key, one in result.items() if key.startswith("twisted, K")]
        lines = {"weighting": (study.settings.counts, [m.value for m in weighting], [m.half for m in weighting])}
        lines["twisted"] = tuple(zip(*particles, strict=True))
        draw.cost_panel(ax, dots, lines, floor=low, title=title)
    axes[1].set_ylabel("")
    legend_below(figure, axes[1:], 3)
    return _kept("answer", figure)


def stylized(study: Study) -> Figure:
    """Distance on three kinds of problems."""
    results = {name: (study.results(name), study.small_floors[name]) for name in SMALL}
    results["linear, d = 10"] = study.results("toy"), study.toy_floors["draws"]
    names = ["exact", *guided_toy(study), "weighting, K = 16", "twisted, K = 16"]
    figure, axes = style.panels(1, 3, height=3.9, sharey=True)
    for ax, (title, (result, under)) in zip(axes, results.items(), strict=True):
        dots = {name: dot(result[name])[1:] for name in names if name in result}
        low, high = (float(under.quantile(q)) for q in (0.025, 0.975))
        draw.distance_rows(ax, dots, floor=(low, high), title=title)
    axes[1].set_xlabel("total variation to the exact weights")
    return _kept("problems", figure)


def scales(study: Study) -> Figure:
    """Distance against the scale, on the toy and on the linearized inversion."""
    fewest = study.settings.fwi_sizes[0]
    shown = {"sweep": study.settings.scales, f"fwi {fewest}": study.settings.fwi_scales}
    titles = f"linear toy, N = {problems.NUM_EXAMPLES}", f"linearized inversion, N = {fewest}"
    figure, axes = style.panels(1, 2, height=3.6, sharey=True)
    for ax, (name, tried), title in zip(axes, shown.items(), titles, strict=True):
        lines = {}
        for family in comparison.families():
            means = [Mean.over(study.results(name)[comparison.at(family, s)]["distances"]) for s in tried]
            lines[family] = tried, [m.value for m in means], [m.half for m in means]
        draw.sweep_panel(ax, lines, ylabel=draw.DISTANCE, title=title, top=1.05)
    axes[1].set_ylabel("")
    legend_below(figure, axes[:1], 3)
    return _kept("scales", figure)


def guidance(study: Study) -> Figure:
    """Gain and cosine of guidance terms."""
    terms, left, sigmas = study.guidance
    figure, axes = style.panels(1, 2, height=3.3)
    gains, angles = ({name: getattr(term, key) for name, term in terms.items()} for key in ("gain", "cosine"))
    draw.guidance_panel(axes[0], sigmas, gains, left, ylabel="gain", right=1.0).set_ylim(0, 6)
    draw.guidance_panel(axes[1], sigmas, angles, left, ylabel="cosine to exact guidance").set_ylim(0, 1)
    legend_below(figure, axes[:1], 3)
    return _kept("push", figure)


def weighting(study: Study) -> Figure:
    """Likelihood weighting on a memorized prior, and on a Gaussian one."""
    counts, toy = study.settings.counts, study.results("toy")
    rho = comparison.concentration(study.toy)
    bound = [float((2 * rho / k).clamp(max=1).mean()) for k in counts]
    dots = {}
    for name in ("weighting", "twisted", "twisted, widened"):
        result = [dot(toy[f"{name}, K = {k}"])[1:] for k in study.settings.particles]
        dots[name] = (study.settings.particles, *zip(*result, strict=True))
    figure, axes = style.panels(1, 2, height=3.6)
    mean = study.weighting["toy"].mean(1)
    draw.weighting_panel(axes[0], counts, mean, bound, dots, title="memorized prior")
    axes[0].axhspan(1e-3, float(study.toy_floors["swarms"].quantile(0.975)), color=style.PALE, lw=0, zorder=0)
    curves = {}
    for result in study.gaussian_weighting.values():
        means = [Mean.over(row) for row in result.wide]
        curves[f"{float(result.nats.mean()):.0f} nats"] = [m.value for m in means], [m.half for m in means]
    floor = Mean.over(result.floor).value
    draw.control_panel(axes[1], study.settings.control_counts, curves, floor, title="Gaussian prior")
    axes[0].legend(loc="lower left", fontsize=8)
    axes[1].legend(title="posterior from prior", loc="upper right", fontsize=8)
    return _kept("weighting", figure)


def bias(study: Study) -> Figure:
    """What DPS with the likelihood's own weight makes of one Gaussian number."""
    noises = torch.logspace(-1.3, 0.7, 41, dtype=torch.float64)
    levels = geometric_sigmas(100.0, 1e-3, study.settings.dense_levels)
    levels = torch.cat([levels, levels.new_zeros(1)])
    measured = {"mean": [], "variance": []}
    for gamma in noises[4::8].tolist():
        case = gaussian.line_case(1.0, gamma, torch.device("cpu"))
        step: Step = point_step(case.likelihood, base=comparison.drift)
        reached = gaussian.sampler_moments(step, case.prior, case, levels)
        measured["mean"].append(float(reached.mean))
        measured["variance"].append(float(reached.covariance) / gamma**2)
    formula = torch.tensor([gaussian.point_moments(1.0, g) for g in noises.tolist()])
    derived = {"mean": formula[:, 0], "variance": formula[:, 1] / noises**2}
    figure, axes = style.panels(1, 2, height=3.0)
    for ax, (what, dots), label in zip(
        axes, measured.items(), ("mean, for $y = 1$", r"variance$/\gamma^2$"), strict=True
    ):
        curves = {
            "posterior": 1 / (1 + noises**2),
            "DPS, derived": derived[what],
            "DPS, its steps": (noises[4::8], dots),
        }
        draw.bias_panel(ax, noises, curves, ylabel=label)
    return legend_below(figure, axes[:1], 3)


def _kept(name: str, figure: Figure) -> Figure:
    """The figure, kept in a full run with words of its own."""
    record.picture(name, figure, alt=f"{_SHAPES[name]}. {_CAPTIONS[name]}", caption=_CAPTIONS[name])
    return figure


_SHAPES = {
    "answer": "Two panels: guided samplers high up at many solves, a star and a falling curve below them",
    "problems": "Three panels with a row of dots for each sampler",
    "scales": "Two panels of six curves over the scale, all far above zero",
    "push": "Two panels of curves over falling noise; no gain is one and no cosine is one",
    "weighting": "Two panels of falling curves over the number of prior draws",
}
_CAPTIONS = {
    "answer": "Distance to the exact posterior weights against the solves of F that one sample costs. Lower is better, "
    "left is cheaper. Star: exact posterior. Each sampler with a scale is shown at a fixed one (left) or at its best "
    "(right). 95 % intervals over problems and over draws of the noise of one truth. The curve of weighting is of "
    "averaged chances and has no floor.",
    "problems": "Distance to the exact weights on three kinds of problems, with 95 % intervals; gray, exact draws.",
    "scales": "Distance to the exact weights against the scale, 95 % intervals over problems: no scale reaches zero.",
    "push": "Length and direction of guidance beside the exact one; shaded, how much of the choice is open.",
    "weighting": "Likelihood weighting: on a memorized prior a few N draws are enough, on a Gaussian prior the samples "
    "stay too wide where the data say much. 95 % intervals over problems.",
}


# ---- sliders -------------------------------------------------------------------------------------------------------


def step_slider(study: Study) -> Frames:
    """Where the released sampler's samples of the cubic end, by the length of its step."""
    line = line_problem(study.device)
    batch, sigmas = ProblemBatch([line]), geometric_sigmas(*TOY, study.settings.num_small_levels)
    ends = {}
    for length in STEPS:
        sampler = guided(partial(released_step, step_size=length))
        options = {"generator": study.generator("slider")}
        ends[length] = sampler(batch, batch.likelihood(batch.forward), 400, sigmas, **options)[:, 0]

    def on_example(length):
        away = (ends[length][:, None] - line.train_set.T).abs().min(1).values
        return float((away < 0.05).double().mean())

    def frame(length):
        title = f"step {length:g}: {on_example(length):.0%} on an example"
        return draw.step_frame(ends[length], line.train_set[:, 0], batch.log_weights[0].exp(), title=title)

    def said(length):
        return (
            f"Step {length:g}: histogram of samples over x beside the exact weights, one half at each of -0.4 and 0.4; "
            f"{on_example(length):.0%} lie on an example."
        )

    return Frames(frame, STEPS, name="step", alt=said, start=5)


def particles_slider(study: Study) -> Frames:
    """The distribution of likelihood weighting's choice on one toy problem, by K."""
    one = ProblemBatch(study.toy.problems[:1])
    order = one.log_weights[0].argsort(descending=True)
    right, found = one.log_weights[0].exp()[order], {}
    for k in (1, 2, 4, 8, 16, 32, 64, 128, 256):
        options = {"generator": study.generator("frames")}
        found[k] = comparison.weighting_distribution(one, k, 2000, **options)[0][order]

    def said(k):
        off = 0.5 * float((found[k] - right).abs().sum())
        return f"K = {k}: bars of exact weights, dots of the chances of weighting; total variation {off:.3f}."

    def frame(k):
        return draw.weighting_frame(right, found[k], title=f"K = {k}")

    return Frames(frame, list(found), name="prior draws K", label="{:d}".format, alt=said, start=3)
