"""Chapter 1: what is read off its study, each a mean over training sets with half of its 95 % interval."""

import math
from functools import cache
from typing import NamedTuple

import torch

from chapters.ch01_maximum_likelihood import families, problems
from chapters.ch01_maximum_likelihood.memorization_time import NUM_POINTS, Probes, first_below, power
from chapters.ch01_maximum_likelihood.study import HALF_WAY, PLANE, TIMED, VELOCITIES, Study, denoising
from memprior.intervals import Mean

DIMENSION = {PLANE: 2, VELOCITIES: 100}
SHORT_STEPS = 300  # of the denoiser whose ODE is refined


@cache
def tops(study: Study, kind: str, num: int) -> list[dict[str, float]]:
    """The most that each training set allows at noised examples, and what the truth has at held-out points."""
    found = (study.problem(kind, num, seed) for seed in study.seeds)
    return [{"train": problem.ceiling, "held_out": problem.truth} for problem in found]


def histories(study: Study, kind: str, num: int, family: str, *, longer: bool = False) -> list[list[dict]]:
    """The checkpoints of a family, for each training set."""
    parts = [study.longer(seed) if longer else study.fits(kind, num, seed) for seed in study.seeds]
    return [study.result(part)[family] for part in parts]


def nats(study: Study, kind: str, num: int, family: str, at: str, checkpoint: int = -1) -> Mean:
    """Nats from memory (``at`` "train") or from the truth ("held_out") of one family: per example, or per coordinate
    for fields."""
    ends = [history[checkpoint][at] for history in histories(study, kind, num, family)]
    size = 1 if kind == PLANE else DIMENSION[kind]
    return Mean.over([(top[at] - end) / size for top, end in zip(tops(study, kind, num), ends, strict=True)])


def ending(
    study: Study, kind: str, num: int, family: str, key: str, checkpoint: int = -1, *, longer: bool = False
) -> Mean:
    """A result of :func:`problems.evaluate` at one checkpoint, the last by default."""
    return Mean.over([history[checkpoint][key] for history in histories(study, kind, num, family, longer=longer)])


def along(study: Study, kind: str, num: int, family: str, key: str, *, longer: bool = False):
    """(steps, means) of a result over the checkpoints of a family."""
    seeds = histories(study, kind, num, family, longer=longer)
    steps = [point["step"] for point in seeds[0]]
    size = 1 if kind == PLANE else DIMENSION[kind]
    values = [[history[k][key] for history in seeds] for k in range(len(steps))]
    if key in ("train", "held_out"):
        of = tops(study, kind, num)
        values = [[(top[key] - v) / size for top, v in zip(of, row, strict=True)] for row in values]
    return steps, [Mean.over(row) for row in values]


# ---- time to memorize ----------------------------------------------------------------------------------------------


def curves(study: Study, num: int, whose: str = "own") -> list[list[tuple[int, float]]]:
    """(step, distance to memory) of each training run: of its "own" training set, or of an "other" one."""
    return [study.result(study.timing(num, seed))["curves"][whose] for seed in study.seeds]


def memorization_times(study: Study) -> list[list[float]]:
    """Steps until a denoiser is half-way to memory: for each seed, for each number of examples."""
    sizes = study.settings.time_sizes
    by_size = [[first_below(curve, HALF_WAY) for curve in curves(study, num)] for num in sizes]
    return [list(row) for row in zip(*by_size, strict=True)]


def time_of(study: Study, num: int) -> Mean:
    """Steps to memorize ``num`` examples."""
    at = study.settings.time_sizes.index(num)
    return Mean.over([row[at] for row in memorization_times(study)])


def exponent(study: Study) -> Mean:
    """The power of N with which the time to memorize grows."""
    return Mean.over([power(study.settings.time_sizes, row) for row in memorization_times(study)])


@cache
def unit(study: Study, num: int, seed: int) -> float:
    """By what the distances of :func:`curves` were divided: from the memorized to the true denoiser, as measured."""
    train_set = study.problem(PLANE, num, seed).train_set
    repeated = train_set.repeat(-(-NUM_POINTS // num), 1)[:NUM_POINTS]
    generator = study.generator(f"probes own {num} {seed}")  # the study's own points
    return Probes.around(repeated, train_set, study.truth, study.settings.plane_floor, generator=generator).unit


def unit_of(study: Study, num: int) -> Mean:
    """From the memorized to the true denoiser, root mean square, with ``num`` examples."""
    return Mean.over([unit(study, num, seed) for seed in study.seeds])


def absolute_exponent(study: Study) -> Mean:
    """The power of N with which the time to come within one absolute distance of memory grows: half of the largest
    unit of the sets of a seed, which every training run reaches before it is stopped."""
    sizes, found = study.settings.time_sizes, []
    by_size = [curves(study, num) for num in sizes]
    for seed, row in zip(study.seeds, zip(*by_size, strict=True), strict=True):
        units = [unit(study, num, seed) for num in sizes]
        levels = [HALF_WAY * max(units) / one for one in units]
        found.append(power(sizes, [first_below(*pair) for pair in zip(row, levels, strict=True)]))
    return Mean.over(found)


def nearest_to_other(study: Study) -> float:
    """The least distance to another set's memory that any training run came to."""
    sizes = study.settings.time_sizes
    return min(distance for num in sizes for curve in curves(study, num, "other") for _, distance in curve)


class Erring(NamedTuple):
    """Root mean square errors of a denoiser at the end of training, at noised examples or held-out points."""

    to_memory: Mean
    to_truth: Mean


def erring(study: Study, num: int, at: str, checkpoint: int = -1) -> Erring:
    """Of the control's denoiser on ``num`` examples; ``at``: "examples" or "held out"."""
    ends = [result["points"][checkpoint][at] for result in control_results(study, num)]
    return Erring(*(Mean.over(values) for values in zip(*ends, strict=True)))


def control_results(study: Study, num: int) -> list[dict]:
    return [study.result(study.errors(num, seed)) for seed in range(study.settings.many_seeds)]


def least_error(study: Study, num: int) -> Mean:
    """The least distance from the true denoiser, at held-out points, that training passed."""
    return Mean.over([min(point["held out"][1] for point in of["points"]) for of in control_results(study, num)])


def rise(study: Study, num: int) -> Mean:
    """By how much the distance from the true denoiser, at held-out points, ends above the least that it passed."""
    paths = [[point["held out"][1] for point in of["points"]] for of in control_results(study, num)]
    return Mean.over([path[-1] - min(path) for path in paths])


def ends_apart(study: Study, num: int) -> Mean:
    """The root mean square distance of the memorized from the true denoiser, at noised examples."""
    return Mean.over([of["units"]["examples"] for of in control_results(study, num)])


# ---- short computations, made anew in every run ----------------------------------------------------------------------


@cache
def medium(study: Study) -> problems.FitProblem:
    """The training set of the sweeps."""
    return study.problem(PLANE, study.settings.sweep_examples, 0)


@cache
def floors(study: Study) -> problems.FloorSweep:
    """The kernel density against its bandwidth."""
    grid = torch.logspace(-4, 0.5, 46, dtype=torch.float64, device=study.device)
    problem = medium(study)
    return problems.floor_sweep(problem.train_set, problem.fresh[: study.settings.num_scored], grid)


@cache
def components(study: Study) -> dict[int, dict[str, float]]:
    """Mixtures by EM against their number of components."""
    return problems.component_sweep(medium(study), study.settings.components, generator=study.generator("counts"))


def slope(study: Study) -> float:
    """Of the training log-likelihood against the logarithm of the bandwidth, at its lower end."""
    sweep = floors(study)
    return float((sweep.train[1] - sweep.train[0]) / (sweep.floors[1] / sweep.floors[0]).log())


def ode_changes(study: Study) -> dict[str, float]:
    """By how much a diffusion model's mean log-likelihood moves when its ODE takes four times as many steps."""
    problem = study.problem(PLANE, study.settings.plane_sizes[0], 0)
    plan, kind = denoising(SHORT_STEPS, problem.floor), TIMED | {"generator": study.generator("levels")}
    _, _, denoiser = next(families.fit_diffusion(problem.train_set, plan, [SHORT_STEPS], **kind))
    coarse, fine = (
        families.diffusion_density(denoiser, plan, problem.train_set, num_levels=levels)
        for levels in (families.LEVELS, 4 * families.LEVELS)
    )
    found, generator = {}, study.generator("points")
    for name, points in (("train", problem.noised_train), ("held_out", problem.noised_held_out)):
        gap = coarse.log_prob(points[:200], generator=generator) - fine.log_prob(points[:200], generator=generator)
        found[name] = abs(float(gap.mean()))
    return found


class Spiked(NamedTuple):
    """A truth with a hundredth of its mass in spikes: their width, likelihood at the examples, and two distances."""

    width: float
    log_likelihood: float
    to_memory: float
    to_truth: float


@cache
def spikes(study: Study) -> list[Spiked]:
    """Ever narrower ones."""
    problem, generator = study.problem(PLANE, study.settings.plane_sizes[0], 0), study.generator("spikes")
    found = []
    for width in (0.05, 1e-3, 1e-5, 1e-7):
        density = problems.spiked(study.truth, problem.train_set, 0.01, width)
        at_examples = float(density.log_prob(problem.train_set, generator=generator).mean())
        point = problems.evaluate(density, problem, num_samples=study.settings.num_fresh, generator=generator)
        found.append(Spiked(width, at_examples, point["to_memory"], point["to_truth"]))
    return found


def half_way_of_many(study: Study) -> float:
    """Steps at which the power law puts the control's largest set half-way to memory: an extrapolation."""
    sizes = study.settings.time_sizes
    logs = torch.tensor(memorization_times(study), dtype=torch.float64).log().mean(0)
    center = math.exp(float(logs.mean()))
    anchor = math.exp(sum(map(math.log, sizes)) / len(sizes))
    return center * (study.settings.many_examples / anchor) ** exponent(study).value


def half_way_factor(study: Study) -> float:
    """By what the exponent's interval multiplies or divides that extrapolation."""
    sizes = study.settings.time_sizes
    anchor = math.exp(sum(map(math.log, sizes)) / len(sizes))
    return (study.settings.many_examples / anchor) ** exponent(study).half
