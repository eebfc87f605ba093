"""The same for all three sets: the diagnosis of one truth, alarms over many, and the swap test's two controls."""

from dataclasses import asdict
from pathlib import Path

import torch

from chapters.b1_bring_your_own.sets import OwnSet
from chapters.b1_bring_your_own.settings import Settings
from memprior._random import choices, generator_for, normal
from memprior.diagnose import DiagnosisPlan, diagnose, look_up, p_alike_of, smoothed_posterior, span_of
from memprior.diagnose.run import Diagnosis
from memprior.intervals import jeffreys
from memprior.memorization import CHECK_LEVEL, COPY_LEVEL, swap_test
from memprior.operators import jacobian


def plan_of(settings: Settings, seed: int) -> DiagnosisPlan:
    """Of the command's options, those that a profile sets."""
    return DiagnosisPlan(
        num_truths=settings.num_truths,
        num_draws=settings.num_draws,
        num_proposals=settings.num_proposals,
        seed=seed,
    )


def data_of(own: OwnSet, truths: torch.Tensor, purpose: str) -> torch.Tensor:
    """Data (M, m) of truths, with noise."""
    clean = own.forward(truths)
    return clean + own.noise_std * normal(*clean.shape, like=clean, generator=generator_for(f"{own.name} {purpose}"))


def set_numbers(own: OwnSet, settings: Settings, seed: int, folder: Path | None) -> dict:
    """All numbers of one set, as JSON."""
    observed = data_of(own, own.fresh, f"fresh {seed}")
    groups = own.groups[: len(own.models)]
    found = diagnose(
        own.models,
        own.forward,
        observed[0],
        own.noise_std,
        groups=groups,
        plan=plan_of(settings, seed),
        keep=None if folder is None else folder / own.name,
    )
    importance, bandwidth = found.importance, found.bandwidth
    assert importance is not None
    assert bandwidth is not None
    sets = {
        "fresh": observed,
        "foreign": data_of(own, own.foreign, f"foreign {seed}"),
        "units": 1000 * observed,
    }
    return {
        "verdict": found.decision.verdict,
        "because": found.decision.because,
        "fit": found.decision.fit,
        "linearization": found.decision.linearization,
        "words": found.decision.coverage,
        "coverage": {name: asdict(one) for name, one in found.coverage.items()},
        "effective": found.lookup.effective,
        "misfit": float(found.lookup.misfits.min()),
        "noise_alone": found.lookup.noise_alone,
        "p_alike": found.p_alike,
        "efficiency": importance.efficiency,
        "halves": importance.halves,
        "bandwidth": asdict(bandwidth),
        "misfits": found.lookup.misfits.tolist(),
        "weights": [weights_at(found, observed[0], own.noise_std * f).tolist() for f in settings.noise_factors],
        "alarms": {name: alarm_share(own, found, data) for name, data in sets.items()},
        "swaps": swap_controls(own, observed, settings, seed),
        "num_data": observed.shape[1],
        "rank": found.rank,
    }


def weights_at(found: Diagnosis, observed: torch.Tensor, noise_std: float) -> torch.Tensor:
    """Weights of the lookup, largest first, were the noise another."""
    return look_up(found.predicted, observed, noise_std).log_weights.exp().sort(descending=True).values


def share_of(count: int, num: int) -> dict[str, float]:
    """A share with its 95 % interval (Jeffreys)."""
    low, high = jeffreys(count / num, num)
    return {"value": count / num, "low": low, "high": high, "num": num}


def alarm_share(own: OwnSet, found: Diagnosis, data: torch.Tensor) -> dict[str, float]:
    """How often data (M, m) are called unexplained: neither a model's nor as near as those of left-out models."""
    assert found.bandwidth is not None
    span, width = span_of(own.models.flatten(1)), found.bandwidth.value
    rows = jacobian(own.forward, own.models).detach() @ span.basis
    alarms = 0
    for y in data:
        lookup = look_up(found.predicted, y, own.noise_std)
        _, left = smoothed_posterior(span.points, width, found.predicted, rows, y, own.noise_std)
        own_distances = torch.tensor([float(lookup.misfits.min()), left]).to(found.distances)
        alarms += lookup.p_fit < CHECK_LEVEL and p_alike_of(found.distances, own_distances) < COPY_LEVEL
    return share_of(alarms, len(data))


def swap_controls(own: OwnSet, observed: torch.Tensor, settings: Settings, seed: int) -> dict[str, dict[str, float]]:
    """Shares of random halves of the models in which the swap test fires, on two kinds of samples.

    memorized: of the lookup among the half that was trained on, for the fresh truths' data: copies. fresh: the fresh
    truths themselves, which know of no half. Groups are halved as a whole.
    """
    models, fresh = own.models.flatten(1), own.fresh.flatten(1)
    groups = own.groups[: len(models)].to(models.device)
    names, generator = groups.unique(), generator_for(f"{own.name} halves {seed}")
    predicted = own.forward(own.models)
    fired = {"memorized": 0, "fresh": 0}
    for _ in range(settings.num_swaps):
        half = torch.randperm(len(names), generator=generator)[: len(names) // 2]
        trained = torch.isin(groups, names[half.to(names.device)])
        squares = (observed[:, None] - predicted[trained]).square().sum(2)
        weights = (-0.5 * squares / own.noise_std**2).softmax(1)
        memorized = models[trained][choices(weights, 1, generator=generator)[:, 0]]
        halves = groups[trained], groups[~trained]
        for name, samples in (("memorized", memorized), ("fresh", fresh)):
            test = swap_test(
                samples,
                models[trained],
                models[~trained],
                groups=halves,
                num_labelings=settings.num_labelings,
                generator=generator,
            )
            fired[name] += test.p < COPY_LEVEL
    return {name: share_of(count, settings.num_swaps) for name, count in fired.items()}
