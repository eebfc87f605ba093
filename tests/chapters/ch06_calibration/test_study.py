"""Chapter 6: known posteriors of many truths, one sampler beside them, and the metrics of both."""

from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from helpers import ROUNDING, assert_mean, assert_moments, assert_same, store_in

from chapters.ch06_calibration import measures
from chapters.ch06_calibration import posteriors as study
from chapters.ch06_calibration.families import prior_of, training_set
from chapters.ch06_calibration.posterior_jobs import (
    CLOSED,
    NEUTRAL,
    NONLINEAR,
    OF_NETWORKS,
    WITHOUT,
    Choice,
    PosteriorJob,
    chosen,
    guiding_covariance,
)
from chapters.ch06_calibration.remedies import FaultedTraining, Training
from chapters.ch06_calibration.settings import Network, Waves
from chapters.ch06_calibration.study import Study
from memprior.denoiser import EmpiricalDenoiser, GaussianDenoiser
from memprior.fields import Standardizer
from memprior.gaussian import Gaussian
from memprior.likelihood import GaussianLikelihood
from memprior.operators import MatrixOperator
from memprior.paper import TrainingSet, published_coefficients, published_inversion, published_law

CPU = torch.device("cpu")


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def toy(num_truths, *, noise_std=0.4, size=3):
    """Truths of a correlated Gaussian with data of their own, and 6 training examples."""
    generator = seeded(1)
    root = torch.randn(size, size, generator=generator) + 2 * torch.eye(size)
    law = Gaussian(torch.arange(size) - 1.0, root @ root.T)
    response = torch.randn(size, size, generator=generator)
    truths = law.sample(num_truths, generator=generator)
    survey = study.LinearSurvey(law, response, truths, truths, noise_std)
    data = survey.predicted(truths) + noise_std * torch.randn(truths.shape, generator=generator)
    examples = law.sample(6, generator=generator)
    return replace(survey, data=data), TrainingSet(examples, Standardizer.fit(examples))


# Posteriors that are known


def test_exact_draws_are_the_kalman_update():
    survey, training = toy(2)
    prior = study.ledoit_wolf(training).restored(training.standardizer)
    draws = study.exact_draws(survey, prior, 40_000, generator=seeded())
    r, c = survey.response, prior.covariance
    gain = c @ r.T @ torch.linalg.inv(r @ c @ r.T + survey.noise_std**2 * torch.eye(3))
    for k in range(2):
        mean = prior.mean + gain @ (survey.data[k] - survey.predicted(prior.mean))
        assert_moments(draws[k], mean, c - gain @ r @ c)


def test_exact_draws_of_a_singular_prior_stay_on_its_plane():
    survey, _ = toy(2)
    flat = Gaussian(survey.prior.mean, torch.diag(torch.tensor([1.0, 2.0, 0.0])))
    draws = study.exact_draws(survey, flat, 50, generator=seeded())
    assert float((draws[..., 2] - flat.mean[2]).abs().max()) < ROUNDING
    assert float(draws[..., :2].var(1).min()) > 0.01


def test_lookup_returns_the_example_whose_data_fit():
    _, training = toy(1)
    predicted = torch.randn(6, 5, generator=seeded())
    draws = study.lookup_draws(training.examples, predicted, predicted[[4, 2]], 1e-3, 7, generator=seeded())
    assert torch.equal(draws, training.examples[[4, 2]][:, None].expand(2, 7, 3))


# The sampler


def test_sampler_is_exact_in_the_mean_for_a_gaussian():
    """Its variance is short by the levels' spacing; its mean is not."""
    survey, training = toy(3)
    law = survey.prior.standardized(training.standardizer)
    denoiser = GaussianDenoiser(law.mean, law.covariance)
    draws = study.guided_draws(survey, training, denoiser, law.covariance, 2000, 100, generator=seeded())
    known = study.exact_draws(survey, survey.prior, 100_000, generator=seeded(1))
    for k in range(3):
        assert_mean(draws[k], known[k].mean(0))
    ratio = draws.var(1) / known.var(1)
    assert float(ratio.min()) > 0.8
    assert float(ratio.max()) < 1 + 4 * (2 / 2000) ** 0.5


def test_prior_draws_of_the_memorized_prior_are_examples():
    x = toy(1)[1].standardized
    drawn = study.prior_draws(EmpiricalDenoiser(x), torch.randn(5, 3, generator=seeded()), 60, generator=seeded())
    assert float(torch.cdist(drawn, x).min(1).values.max()) < 1e-6


def test_guide_is_of_the_examples_or_of_the_distribution():
    of = {"trainings": (), "width": 0.0, "num_truths": 2, "num_draws": 3, "num_levels": 4, "seed": 0}
    by_examples, neutral, faulted = (
        PosteriorJob("memorized", 6, how=how, **of) for how in ("linear", "neutral", "faulted")
    )
    known = TrainingSet.published(6, CPU)
    assert_same(guiding_covariance(by_examples, known), study.ledoit_wolf(known).covariance)
    assert_same(guiding_covariance(neutral, known), published_law().standardized(known.standardizer).covariance)
    layers = training_set("faulted", 6, CPU)
    own = guiding_covariance(faulted, layers) * layers.standardizer.scale[:, None] * layers.standardizer.scale
    assert_same(own, prior_of("faulted").covariance, rounding=1e-9)


# The surveys


@pytest.fixture(scope="module")
def inversion():
    return published_inversion(torch.complex64, CPU)


def test_linear_survey_of_a_hundred_numbers_is_sufficient(inversion):
    survey = study.linear_survey(inversion, "Gaussian", 300, generator=seeded())
    slope = inversion.slope.double()
    assert_same(survey.response.T @ survey.response, slope.T @ slope)
    assert torch.equal(survey.truths, published_coefficients(300, seed=12345))
    noise = (survey.data - survey.predicted(survey.truths)) / survey.noise_std
    assert abs(float(noise.square().mean()) - 1) < 4 * (2 / noise.numel()) ** 0.5
    assert survey.axes.shape == (100, 92)
    assert_same(survey.overall.square().sum(), published_law().covariance.trace())


def test_nonlinear_survey_has_one_noise(inversion):
    survey, forward, y = study.nonlinear_survey(inversion, 2, generator=seeded())
    assert y.shape == (2, 5880)
    noise = (survey.data - forward(survey.truths)) / survey.noise_std
    assert abs(float(noise.square().mean()) - 1) < 4 * (2 / 200) ** 0.5
    every = (y - study.solved(inversion.likelihood.forward, survey.truths)) / survey.noise_std
    assert abs(float(every.square().mean()) - 1) < 4 * (2 / every.numel()) ** 0.5
    # Near the mean F is its linearization: the remainder falls with the square of the distance.
    left = [
        float((forward(z) - survey.predicted(z)).norm())
        for h in (0.1, 0.05)
        for z in [survey.prior.mean + h * (survey.truths[:1] - survey.prior.mean)]
    ]
    assert left[1] < 0.3 * left[0]


# Measures


def test_exact_posterior_passes_and_a_narrow_one_fails():
    survey, _ = toy(400)
    right = study.exact_draws(survey, survey.prior, 40, generator=seeded())
    found = measures.measure(survey, right, generator=seeded(2))
    assert found.coverage.low < 0.9 < found.coverage.high
    assert abs(found.alarms.value - 0.05) < 4 * (0.05 * 0.95 / 400) ** 0.5
    assert min(measures.all_tests(survey, right, generator=seeded(3)).values()) > 0.01
    narrow = measures.too_narrow(right, 0.6)
    assert measures.measure(survey, narrow, generator=seeded(2)).coverage.high < 0.8
    assert max(measures.all_tests(survey, narrow, generator=seeded(3)).values()) < 0.05


def test_errors_are_in_units_of_the_prior():
    survey, _ = toy(50)
    off = survey.truths[:, None] + 0.5 * survey.deviations + torch.linspace(-1e-9, 1e-9, 19)[:, None]
    found = measures.measure(survey, off, generator=seeded())
    assert abs(found.error.value - 0.5) < 1e-12  # of the length of the deviations, their root mean square


def test_atom_covers_nothing_and_too_few_draws_are_refused():
    """With one draw less than 19 the least of the ranks would reach into the central 90 %."""
    survey, _ = toy(50)
    atoms = (survey.truths + 1)[:, None].expand(50, 19, 3)
    assert measures.measure(survey, atoms, generator=seeded()).coverage.value == 0
    with pytest.raises(ValueError, match=r"^draws: expected \(T, S >= 19, d\), got \(50, 18, 3\)"):
        measures.measure(survey, atoms[:, :18], generator=seeded())


def test_too_narrow_keeps_the_mean_and_scales_the_spread():
    draws = torch.randn(2, 9, 3, generator=seeded())
    narrow = measures.too_narrow(draws, 0.8)
    assert_same(narrow.mean(1), draws.mean(1))
    assert_same(narrow.std(1), 0.8 * draws.std(1))


def test_disagreement_is_zero_for_copies_and_one_for_independent_draws():
    x = torch.randn(300, 5, generator=seeded())
    assert measures.disagreement(x, x).value == 0
    strangers = measures.disagreement(x, torch.randn(300, 5, generator=seeded(1)))
    assert abs(strangers.value - 1) < strangers.high - strangers.low  # four standard errors


# The long parts

SIZES = {
    "num_truths": 3, "num_sampled_truths": 2, "num_draws": 3, "num_levels": 4, "network_sizes": (6, 8),
    "remedies_at": (6,), "num_members": 2, "network": Network(8, 1, 4), "checkpoints": (1, 3),
    "remedies": OF_NETWORKS, "faulted_remedies": ("trained", "early-stopped", "Tikhonov"),
    "weight_decay": 0.3, "dropout": 0.1, "widths": (0.3,), "waves": Waves(2, 0, 4), "workers": 2,
}  # fmt: skip


def study_in(folder, tell=lambda _: None, **settings):
    return Study(SimpleNamespace(**SIZES | settings), 0, store_in(folder), tell)


@pytest.fixture
def no_waves(monkeypatch):
    """A survey without a wave solve: the response is known in advance."""
    law = published_law()
    slope = torch.randn(100, 100, generator=seeded()) / law.covariance.diagonal().sqrt()
    truth = torch.zeros(100)
    flat = SimpleNamespace(slope=slope, truth=truth, likelihood=SimpleNamespace(noise_std=0.3))
    monkeypatch.setattr("chapters.ch06_calibration.study.published_inversion", lambda *_: flat)


@pytest.mark.usefixtures("no_waves")
def test_study_gives_the_same_bits_with_two_workers_and_reads_what_is_done(tmp_path, monkeypatch):
    two, one = study_in(tmp_path / "two"), study_in(tmp_path / "one", workers=1)
    linear = [column for column in two.posterior_jobs if column.how == "linear"]
    assert [column.remedy for column in linear if column.num_examples == 6] == [*WITHOUT, *OF_NETWORKS, "Tikhonov"]
    assert [column.remedy for column in linear if column.num_examples == 8] == [*WITHOUT, "trained"]
    faulted = [column for column in two.posterior_jobs if column.how == "faulted"]
    known = ["exact prior", "Ledoit-Wolf", "memorized"]
    assert [column.remedy for column in faulted if column.num_examples == 6] == [
        *known, "trained", "early-stopped", "Tikhonov",
    ]  # fmt: skip
    assert [column.remedy for column in faulted if column.num_examples == 8] == [*known, "trained", "early-stopped"]
    assert all(type(part) is FaultedTraining for column in faulted for part in column.trainings)
    assert tuple(column.remedy for column in two.posterior_jobs if column.how == "neutral") == NEUTRAL
    two.run()
    one.run()
    for column in two.posterior_jobs:
        assert two.result(column).draws.shape == (2, 3, 100)
        assert torch.equal(two.result(column).draws, one.result(column).draws), column.name
    kept = {file: file.read_bytes() for file in (tmp_path / "two").glob("*.*") if file.is_file()}
    assert {file.suffix for file in kept} == {".safetensors"}
    again = study_in(tmp_path / "two")
    monkeypatch.setattr("chapters.ch06_calibration.study.guided_draws", None)
    monkeypatch.setattr("chapters.ch06_calibration.remedies.train", None)
    again.run()
    assert all(torch.equal(again.result(column).draws, two.result(column).draws) for column in two.posterior_jobs)
    assert kept == {file: file.read_bytes() for file in (tmp_path / "two").glob("*.*") if file.is_file()}
    choice = chosen(two.networks(6), CPU)
    assert choice.step in (1, 3)
    assert choice.width == min(choice.by_width, key=choice.by_width.get)


def test_study_knows_results_by_the_truths_that_noise_was_drawn_for(tmp_path):
    """Noise is drawn for all truths at once: with more of them the first ones have other data."""
    study, more = study_in(tmp_path, waves=Waves(2, 3, 4)), study_in(tmp_path, num_truths=4, waves=Waves(3, 3, 4))
    for part in study.parts:
        alike = study.arguments(part) == more.arguments(part)
        assert alike == isinstance(part, Training), part


@pytest.mark.usefixtures("no_waves")
def test_posterior_jobs_with_swapped_draws_are_named(tmp_path):
    study = study_in(tmp_path)
    study.run()
    one, other = (study.store.file(column.name, study.arguments(column)) for column in study.posterior_jobs[:2])
    (bytes_of_one, bytes_of_other) = one.read_bytes(), other.read_bytes()
    one.write_bytes(bytes_of_other)
    other.write_bytes(bytes_of_one)
    with pytest.raises(ValueError, match=r"safetensors: expected the result of .*, got that of "):
        study_in(tmp_path).run()


def test_nonlinear_jobs_are_of_the_first_size_alone(tmp_path):
    asked = study_in(tmp_path, waves=Waves(5, 2, 4))
    waves = [column for column in asked.posterior_jobs if column.how.startswith("waves")]
    assert [(column.remedy, column.how) for column in waves] == [
        *((remedy, "waves, closed") for remedy in CLOSED), *((remedy, "waves") for remedy in NONLINEAR),
    ]  # fmt: skip
    assert {(column.num_examples, column.num_truths, column.num_draws) for column in waves} == {(6, 5, 2)}
    assert [place.index for place in asked.linearization_points] == [0, 1, 2, 3, 4]
    assert study_in(tmp_path).linearization_points == ()


@pytest.mark.usefixtures("no_waves")
def test_nonlinear_jobs_wait_for_their_linearization_points(tmp_path, monkeypatch):
    """For an affine F all weights are equal."""
    asked = study_in(tmp_path, waves=Waves(2, 3, 4))
    survey = asked.survey.first(2)
    forward = MatrixOperator(survey.response)
    data = survey.data + survey.prior.mean @ survey.response.T
    asked.__dict__["waves"] = survey, survey.predicted, data
    likelihoods = [GaussianLikelihood(forward, y, survey.noise_std) for y in data]
    monkeypatch.setattr(Study, "likelihoods", lambda _: likelihoods)
    by_waves = [column for column in asked.posterior_jobs if column.how.startswith("waves")]
    asked.run()
    for column in by_waves:
        assert asked.needs(column) == [*column.trainings, *asked.linearization_points]
        found = asked.result(column)
        assert found.draws.shape == (2, 3, 100)
        assert_same(found.weights, torch.full((2, 3), 1 / 3), rounding=1e-6)
    again = study_in(tmp_path, waves=Waves(2, 3, 4))
    again.__dict__["waves"] = asked.waves
    monkeypatch.delattr(Study, "likelihoods")  # nothing is solved again
    again.run()
    for column in by_waves:
        assert torch.equal(again.result(column).draws, asked.result(column).draws)
    for place in asked.linearization_points:
        assert again.result(place).misfit == asked.result(place).misfit
        assert torch.equal(again.result(place).survey.data, asked.result(place).survey.data)


def test_choice_is_the_least_loss():
    choice = Choice({1: 0.9, 5: 0.7, 9: 0.8}, {0.1: 2.0, 0.3: 1.0})
    assert (choice.step, choice.width) == (5, 0.3)


def test_posterior_jobs_that_differ_in_anything_differ_in_their_file():
    part = Training("plain", 6, 0, 0.0, 8, 1, 4, (1, 3))
    column = PosteriorJob("Tikhonov", 6, (part,), 0.0, "linear", 2, 3, 4, 0)
    others = [
        replace(column, **change)
        for change in (
            {"remedy": "trained"}, {"num_examples": 7}, {"trainings": (part, part)}, {"width": 0.1}, {"how": "waves"},
            {"num_truths": 3}, {"num_draws": 4}, {"num_levels": 5}, {"seed": 1},
        )
    ]  # fmt: skip
    assert len({one.name for one in [column, *others]}) == 10


@pytest.mark.parametrize(
    ("remedy", "how", "message"),
    [
        ("prayer", "linear", r"^remedy: expected one of \('trained', .*, got prayer"),
        ("memorized", "waves, closed", r"^remedy: expected one of \('exact prior', .*, got memorized"),
        ("trained", "by ear", r"^how: expected one of \('linear', .*, got by ear"),
    ],
)
def test_posterior_job_of_an_unknown_kind_is_refused(remedy, how, message):
    with pytest.raises(ValueError, match=message):
        PosteriorJob(remedy, 6, (), 0.0, how, 2, 3, 4, 0)
