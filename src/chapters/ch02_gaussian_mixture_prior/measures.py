"""Chapter 2: what is measured on networks and on samples, with its interval, beside what cannot have memorized."""

from dataclasses import dataclass
from functools import cache

import torch

from chapters.ch02_gaussian_mixture_prior import condensation, losses, network_gap, selection
from chapters.ch02_gaussian_mixture_prior.study import HIGHEST_LEVEL, LOWEST_LEVEL, SAMPLER_STEPS, Level, Study
from memprior import paper
from memprior.closed_forms import relative_distances
from memprior.denoiser import EmpiricalDenoiser
from memprior.intervals import Mean, Share, log_interval
from memprior.memorization import SwapTest, leave_one_out, memorization_ratio, nearest_neighbors, swap_test
from memprior.memorization.copies import CopyCounts, copy_counts, paper_neighbors
from memprior.noise import karras_sigmas
from memprior.sampling import sample

NETWORKS, TRUE_DENOISER, MEMORIZED = "networks", "true denoiser", "memorized denoiser"
OTHER_SET = "memorized denoiser of the held-out set"
TRUE_DRAWS, NARROW = "true distribution", "the same, 10 % narrower"
HELD_OUT, LEFT_OUT = "held-out fields", "training fields, left out one by one"
SPACES = "coefficients", "standardized", "fields"
SHRINK = 0.9


# ---- networks ------------------------------------------------------------------------------------------------------


@cache
def histories(study: Study, num: int) -> list[network_gap.TrainingHistory]:
    """Of every network on the first ``num`` published fields."""
    runs = study.field_runs(num)
    return [network_gap.TrainingHistory.of(run.steps, study.result(run)) for run in runs]


def crossings(study: Study, num: int) -> list[float]:
    """The step from which each network is nearer to the memorized form; NaN for one that does not get there."""
    return [history.crossing for history in histories(study, num)]


def crossing(study: Study, num: int) -> tuple[float, float, float]:
    """Their geometric mean and its 95 % interval over networks."""
    return log_interval(crossings(study, num), 0.95)


def ends(study: Study, num: int, which: str) -> tuple[Mean, Mean]:
    """a and b after the last step, means over networks."""
    both = torch.tensor([[float(s[-1]) for s in history.shares(which)] for history in histories(study, num)])
    return Mean.over(both[:, 0]), Mean.over(both[:, 1])


def quotient(study: Study, num: int, which: str, until: float) -> Mean:
    """a / b at the last checkpoint until a step, mean over networks."""
    return Mean.over(quotients(study, num, which, until))


def quotients(study: Study, num: int, which: str, until: float) -> list[float]:
    """Network by network."""
    return [history.quotient(which, until) for history in histories(study, num)]


def plane_errors(study: Study, k: int) -> torch.Tensor:
    """Relative error of the network in the plane at its k-th checkpoint, level by level."""
    squares = study.result(study.plane_run)["squares"][k].cpu()
    return (squares[:, 0] / squares[:, 3]).sqrt()


def plane_error(study: Study) -> float:
    """That of all levels together, after the last step."""
    squares = study.result(study.plane_run)["squares"][-1].sum(0)
    return float((squares[0] / squares[3]).sqrt())


def levels_of(study: Study, num: int, which: str) -> tuple[torch.Tensor, torch.Tensor]:
    """a and b level by level after the last step, of the first network."""
    return relative_distances(histories(study, num)[0].squares[which][-1])


# ---- losses of the closed forms ------------------------------------------------------------------------------------


@cache
def excess(study: Study) -> losses.Excess:
    """The theorem's identity for the true denoiser on fifty fields, at sigma = 3."""
    fifty, drawn = study.priors(50), {"num_draws": study.settings.num_draws}
    return losses.excess_loss(fifty, fifty.true, 3.0, **drawn, generator=study.generator("excess"))


def loss_curves(study: Study, sigmas: torch.Tensor) -> dict[str, dict[str, torch.Tensor]]:
    """Loss of both closed forms of fifty fields, on these and on held-out ones."""
    fifty = study.priors(50)
    forms = {"memorized form": fifty.empirical, "true distribution": fifty.true}
    sets = {"training examples": (fifty.train_set, 20), "held-out fields": (fifty.held_out, 1)}
    return {
        title: {
            name: losses.loss_curve(form, clean, sigmas, num_repeats=many, generator=study.generator(title))
            for name, form in forms.items()
        }
        for title, (clean, many) in sets.items()
    }


def loss_ratio(study: Study, which: str, sigma: float) -> float:
    """Loss of the memorized denoiser over that of the true one, at one level."""
    memorized, true = loss_curves(study, torch.tensor([sigma], dtype=torch.float64, device=study.device))[
        which
    ].values()
    return float(memorized / true)


# ---- samples -------------------------------------------------------------------------------------------------------


@cache
def sample_sets(study: Study, num: int) -> dict[str, torch.Tensor]:
    """Samples by name, (B, 100) in raw coefficients; networks one after the other. All start from the same noise."""
    known, start = study.priors(num), study.start(study.settings.num_samples)
    levels = karras_sigmas(SAMPLER_STEPS, LOWEST_LEVEL, HIGHEST_LEVEL).to(study.device)
    forms = {TRUE_DENOISER: known.true, MEMORIZED: known.empirical}
    forms |= {OTHER_SET: EmpiricalDenoiser(known.held_out[:num])}
    drawn = {NETWORKS: torch.cat([history.samples for history in histories(study, num)]).to(study.device)}
    drawn |= {name: sample(form, start, levels, generator=study.generator("nothing")) for name, form in forms.items()}
    return {name: study.restore(x, num) for name, x in drawn.items()}


@dataclass(frozen=True, eq=False)
class Swapped:
    """A swap test and the interval of its share. over: what the interval runs over. by_seed: of networks."""

    test: SwapTest
    interval: tuple[float, float]
    over: str
    by_seed: list[float]


@cache
def swaps(study: Study, num: int) -> dict[str, Swapped]:
    """N training and N held-out fields exchange labels, in raw coefficients, once for all seeds of the networks."""
    fresh = paper.published_law().sample(256, generator=study.generator("fresh fields")).to(study.device)
    sets = sample_sets(study, num) | {TRUE_DRAWS: fresh, NARROW: fresh.mean(0) + SHRINK * (fresh - fresh.mean(0))}
    found, settings = {}, {"num_labelings": study.settings.num_labelings}
    for name, x in sets.items():
        settings["generator"] = study.generator(f"labelings {num}")
        test = swap_test(x, study.raw[:num], study.strangers[:num], **settings)
        by_seed = test.shares.reshape(study.seeds[num], -1).mean(1).tolist() if name == NETWORKS else []
        mean = Mean.over(by_seed) if by_seed else None
        interval = (max(0.0, mean.low), min(1.0, mean.high)) if mean else test.share_interval
        found[name] = Swapped(test, interval, "seeds" if by_seed else "samples", by_seed)
    return found


def _spaces(study: Study, num: int):
    """Each space as a map from raw coefficients."""
    standardizer, decode = study.published[num][1], paper.FieldSpace(study.device)
    return dict(zip(SPACES, (lambda x: x, standardizer.normalize, decode), strict=True))


@cache
def copies(study: Study, num: int) -> dict[str, dict[str, list[CopyCounts]]]:
    """Name of the samples -> space -> the paper's ratio, counted; of the networks one by one, else one count."""
    drawn, size = sample_sets(study, num), study.settings.num_samples
    sets = {NETWORKS: list(drawn[NETWORKS].split(size))}
    sets |= {name: [drawn[name]] for name in (TRUE_DENOISER, MEMORIZED)} | {HELD_OUT: [study.strangers]}
    found: dict[str, dict[str, list[CopyCounts]]] = {name: {} for name in (*sets, LEFT_OUT)}
    for space, to in _spaces(study, num).items():
        examples = to(study.raw[:num])
        for name, parts in sets.items():
            near = [paper_neighbors(to(x), examples) for x in parts]
            found[name][space] = [copy_counts(one, paper.MEMORIZED_BELOW) for one in near]
        alone = leave_one_out(examples, min(50, num - 1))
        found[LEFT_OUT][space] = [copy_counts(alone, paper.MEMORIZED_BELOW)]
    return found


def share_with_interval(values: list[float], num: int) -> tuple[float, float, float]:
    """Mean over seeds with its interval; one share of ``num`` samples, or the same in every seed, with Jeffreys'."""
    if len(set(values)) > 1:
        mean = Mean.over(values)
        return mean.value, max(0.0, mean.low), min(1.0, mean.high)
    return Share(values[0], num).dot


def ratios(study: Study, num: int) -> dict[str, torch.Tensor]:
    """r in raw coefficients for three kinds of samples."""
    drawn = sample_sets(study, num)
    sets = {"networks": drawn[NETWORKS], "true denoiser": drawn[TRUE_DENOISER], "held out": study.strangers}
    k = min(50, num)
    return {name: memorization_ratio(nearest_neighbors(x, study.raw[:num], k)) for name, x in sets.items()}


# ---- levels and schedules ------------------------------------------------------------------------------------------


def level(study: Study, part: Level) -> condensation.CondensationLevel:
    """A measured condensation level."""
    found = {name: float(value) for name, value in study.result(part).items()}
    return condensation.CondensationLevel(part.num, found["measured"], found["half"], found["predicted"])


def published_levels(study: Study) -> list[condensation.CondensationLevel]:
    return [level(study, study.published_level(num)) for num in study.published]


def white_levels(study: Study) -> dict[int, list[condensation.CondensationLevel]]:
    """By dimension."""
    size = study.settings
    return {d: [level(study, study.white_level(d, n)) for n in size.white_sizes] for d in size.white_dims}


@cache
def responsibilities(study: Study, sigmas: tuple[float, ...]) -> dict[int, list[float]]:
    """Mean responsibility of a noised example for itself on the published sets, by N."""
    found = {}
    for num in study.published:
        train_set = study.priors(num).train_set
        own = condensation.OwnShare(train_set, 1000, generator=study.generator(f"own {num}"))
        found[num] = [float(own(sigma).mean()) for sigma in sigmas]
    return found


@cache
def selected(study: Study, schedule: str) -> selection.Selection:
    """The examples that one schedule ends on."""
    chosen, generator = study.result(study.chosen_by(schedule))["chosen"], study.generator(f"floor {schedule}")
    return selection.Selection.of(chosen, 50, generator=generator)


def above_floor(study: Study, num: int, ratio: float) -> float:
    """Total variation above its floor for a Gaussian start at ``ratio`` of the condensation level."""
    chosen = study.result(study.chosen_from(num, ratio))["chosen"]
    found = selection.Selection.of(chosen, num, generator=study.generator(f"floor {num} {ratio}"))
    return found.distance - found.floor


def in_both_precisions(study: Study) -> float:
    """Share of 1000 draws that end on another example in single precision than in double."""
    levels, examples = study.schedule("200 steps, as released"), study.priors(50).train_set
    first = selection.gaussian_start(1000, examples, levels[0], generator=study.generator("precision"))
    both = [
        selection.select(examples.to(p), first.to(p), levels, generator=study.generator("nothing"))
        for p in (torch.float32, torch.float64)
    ]
    return float((both[0] != both[1]).double().mean())
