"""Chapter 9: what is measured on dreams, each beside what it is where nothing was learned or stored."""

from dataclasses import dataclass

import torch
from scipy import stats

from chapters.ch09_inception.data import GOAL
from chapters.ch09_inception.runs import SPACES, FaciesRun, depth_only
from chapters.ch09_inception.study import Study, first_patches
from memprior.geology import SECTION_FACIES
from memprior.intervals import Mean
from memprior.memorization import SwapTest, swap_test

GOAL_LABEL = SECTION_FACIES.index(GOAL)


def crossed_mean(values: list[torch.Tensor]) -> Mean:
    """Of seeds the values of the same sections, (n,) each: mean, and half of its 95 % interval over both.

    The variance is that over seeds plus that over sections; Student's t has as many degrees of freedom as there are
    seeds, less one. ``ValueError`` for one seed.
    """
    table = torch.stack(list(values)).double()  # (seeds, n)
    seeds, sections = table.shape
    if seeds < 2:
        raise ValueError(f"values: expected two seeds or more, got {seeds}")
    variance = table.mean(1).var() / seeds + (table.mean(0).var() / sections if sections > 1 else 0)
    return Mean(float(table.mean()), float(variance.sqrt()) * float(stats.t(seeds - 1).ppf(0.975)))


def network_runs(study: Study, n: int) -> list[FaciesRun]:
    """Of every seed the network of half A trained on N patches; N = 0: random weights."""
    return [study.run_of("A", n, seed) if n else study.random(seed) for seed in study.seeds]


def answers_of(study: Study, n: int) -> list[dict[str, torch.Tensor]]:
    """What these networks have answered, by seed."""
    return [study.result(study.answers(run)) for run in network_runs(study, n)]


def accuracy(study: Study, n: int) -> Mean:
    """Share of test patches whose facies is found."""
    labels = study.result(study.test).labels
    return crossed_mean([(one["test"].argmax(1) == labels).double() for one in answers_of(study, n)])


def referee_accuracy(study: Study) -> float:
    labels = study.result(study.test).labels
    return float((answers_of(study, 0)[0]["test.referee"].argmax(1) == labels).double().mean())


def depth_accuracy(study: Study, n: int) -> Mean:
    """The same by the depth alone, learned from the same N patches."""
    test, found = study.result(study.test), []
    for seed in study.seeds:
        members = study.result(study.members("A", seed))
        guessed = depth_only(first_patches(members, n), test.depth)
        found.append((guessed == test.labels).double())
    return crossed_mean(found)


def gain(study: Study, n: int, dreams: str = "directed") -> Mean:
    """Of the referee's probability of :data:`GOAL`, after less before; N = 0: random weights."""
    found = answers_of(study, n)
    return crossed_mean(
        [one[f"{dreams}.referee"][:, GOAL_LABEL] - one["before.referee"][:, GOAL_LABEL] for one in found]
    )


def gains_by_seed(study: Study, n: int, dreams: str = "directed") -> list[float]:
    """Their means over sections, seed by seed."""
    found = answers_of(study, n)
    apart = [one[f"{dreams}.referee"] - one["before.referee"] for one in found]
    return [float(of[:, GOAL_LABEL].mean()) for of in apart]


def goal_probability(study: Study, n: int, what: str) -> Mean:
    """Of :data:`GOAL`. what: "before.referee", "directed.referee", "directed.own", ..."""
    return crossed_mean([one[what][:, GOAL_LABEL] for one in answers_of(study, n)])


@dataclass(frozen=True)
class Budgeted:
    """Directed dreams at one noise level: probability of :data:`GOAL` to the referee and to the network itself, and the
    largest misfit of an increment over its budget (over that of the section's data at level 0).
    """

    noise_level: float
    referee: Mean
    own: Mean
    misfit: float


def budgeted(study: Study, n: int) -> list[Budgeted]:
    """Level by level; N = 0: random weights, else the largest N."""
    found = answers_of(study, n)
    return [
        Budgeted(
            level,
            crossed_mean([one["budget.referee"][k, :, GOAL_LABEL] for one in found]),
            crossed_mean([one["budget.own"][k, :, GOAL_LABEL] for one in found]),
            max(float(one["budget.misfit"][k].max()) for one in found),
        )
        for k, level in enumerate(study.settings.noise_levels)
    ]


def linearized(study: Study, n: int) -> list[Mean]:
    """Layer by layer the cosine of its dream with its linearization's, over seeds and sections; of one seed, over these
    alone. N = 0: random weights, else the largest N.
    """
    found = [one["linearized"] for one in answers_of(study, n) if "linearized" in one]
    layers = zip(*found, strict=True)
    return [crossed_mean(of) if len(of) > 1 else Mean.over(of[0]) for of in map(list, layers)]


def confident_by_seed(study: Study, n: int, what: str, *, level: float = 0.9) -> list[float]:
    """Share of "surrogates", "isotropic" noise or "test" patches with some facies at a probability above ``level``."""
    return [float((one[what].max(1).values > level).double().mean()) for one in answers_of(study, n)]


def kept_label(study: Study, n: int) -> Mean:
    """Share of surrogates that are given the facies of their patch."""
    labels = study.result(study.test).labels
    return crossed_mean([(one["surrogates"].argmax(1) == labels).double() for one in answers_of(study, n)])


def moved(study: Study, n: int, dreams: str = "directed") -> Mean:
    """Norm of what dreams add over that of the section."""
    start = study.result(study.start).seismic
    return crossed_mean(
        [(one[dreams] - start).flatten(1).norm(dim=1) / start.flatten(1).norm(dim=1) for one in answers_of(study, n)]
    )


def memory_tests(study: Study, n: int, seed: int) -> dict[tuple[str, str], SwapTest]:
    """(Half, space) -> swap test: are its dreams nearer to its own N training patches than to the other half's?"""
    sets = {half: study.result(study.members(half, seed)).seismic[:n] for half in "AB"}
    found = {}
    for half, other in ("AB", "BA"):
        dreams = study.result(study.recollection(half, n, seed))["sections"]
        for space, of in SPACES.items():
            samples, own, held_out = (of(x).double() for x in (dreams, sets[half], sets[other]))
            generator = study.generator(f"swap {half} {n} {seed} {space}")
            options = {"num_labelings": study.settings.num_labelings, "generator": generator}
            found[half, space] = swap_test(samples, own, held_out, **options)
    return found
