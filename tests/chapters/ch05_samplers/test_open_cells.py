"""Chapter 5's open cells, run alone: their rows are those of the chapter's package, at the same size."""

import pytest
import torch
from helpers import assert_same
from open_cells import library_cells

from chapters.ch05_samplers import comparison, fwi, gaussian, problems
from chapters.ch05_samplers.problems import ProblemBatch, evaluate, exact, guided, particles
from memprior.noise import geometric_sigmas
from memprior.paper import STEP_SIZE, TrainingSet, published_inversion, tangent

NUM, FEW, PARTICLES = 8, 4, 4
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def cells() -> dict:
    return library_cells("05_samplers", num_samples=NUM, num_particles=PARTICLES, num_inverted=FEW, num_sets=400)


@pytest.fixture(scope="module")
def toy() -> ProblemBatch:
    return ProblemBatch(problems.linear_problems(1, generator=torch.Generator().manual_seed(0)))


def row(samplers: dict, batch: ProblemBatch, num: int, sigmas) -> dict[str, float]:
    """Name -> total variation, by the chapter's package."""
    found = {}
    for name, sampler in samplers.items():
        generator = torch.Generator().manual_seed(1)
        found[name] = evaluate(sampler, batch, num, sigmas, generator=generator)["distances"][0]
    return found


def test_open_problem_is_a_toy_problem(cells, toy):
    assert_same(cells["examples"], toy.train_sets[0])
    assert_same(cells["likelihood"].observed, toy.problems[0].observed)
    assert_same(cells["log_weights"], toy.log_weights[0])


def test_open_row_is_that_of_the_package(cells, toy):
    families, scales = comparison.families(), comparison.SCALES | {"released": STEP_SIZE}
    makes = {name: families[name](scale) for name, scale in scales.items()}
    makes |= comparison.untuned(problems.NUM_DATA)
    makes["covariance"] = comparison.with_covariance(toy, torch.eye(problems.DIM))
    samplers = {"exact": exact, **{name: guided(make) for name, make in makes.items()}}
    samplers["DAPS"] = comparison.decoupled(toy, 5)
    samplers["weighting"] = particles(PARTICLES, twisted=False)
    samplers["twisted"] = particles(PARTICLES, twisted=True)
    samplers["twisted, widened"] = particles(PARTICLES, twisted=True, spread=1.0)
    assert cells["row"] == pytest.approx(row(samplers, toy, NUM, geometric_sigmas(20.0, 0.05, 100)))


def test_open_row_of_the_inversion_is_that_of_the_package(cells):
    inversion, known = published_inversion(), TrainingSet.published(50, CPU)
    noise = {"num": 1, "generator": torch.Generator()}  # the authors' draw alone
    batch = fwi.linear_batch(tangent(inversion), inversion.truth, known, **noise)
    families = comparison.families()
    makes = {"DPS, norm": families["DPS, norm"](10.0), "released": families["released"](0.1)}
    makes["MMPS"] = comparison.untuned(5)["MMPS"]
    samplers = {"exact": exact, **{name: guided(make) for name, make in makes.items()}}
    found = row(samplers, batch, FEW, geometric_sigmas(200.0, 0.1, 40))
    assert cells["inversion_row"] == pytest.approx(found, abs=1e-6)


def test_open_weighting_keeps_its_bound(cells, toy):
    assert cells["rho"] == pytest.approx(float(comparison.concentration(toy)))
    assert cells["off"] < 2 * cells["rho"] / cells["K"]


def test_open_distribution_of_dps_is_the_derived_one(cells):
    found = cells["mean"], cells["variance"]
    assert found == pytest.approx(gaussian.point_moments(1.0, cells["gamma"]))
    assert float(cells["z"].mean()) == pytest.approx(cells["mean"], abs=0.03)
    assert float(cells["z"].var()) == pytest.approx(cells["variance"], rel=0.1)


def test_open_control_can_fail_and_does_not(cells):
    assert cells["wrong"] > 0.9
    assert float(cells["best"] - cells["second"]) > 100
