"""Many truths at once are the same truths one by one, and none of them is in another set."""

import pytest
import torch
from helpers import assert_same, held_out_set, store_in, training_set

from chapters.ch04_dps_fwi import runs, unseen
from chapters.ch04_dps_fwi.runs import Linearization, UnseenRun, coordinates, linearized, sampled_unseen
from chapters.ch04_dps_fwi.unseen import LinearProblems, noisy_data, unseen_inversion
from memprior import paper
from memprior._random import generator_for
from memprior.guidance import released_step
from memprior.memorization import nearest_neighbors
from memprior.paper import SIGMAS, STEP_SIZE
from memprior.sampling import trajectory

CPU = torch.device("cpu")
PART = Linearization(first=0, num=2, num_draws=2)


@pytest.fixture(scope="module")
def problems():
    return LinearProblems.linearized(0, 2, 2, CPU)


def test_unseen_truths_training_and_held_out_models_are_three_streams():
    """No field of one is in another, nor nearer to it than draws of the prior are to each other."""
    truths = paper.published_coefficients(60, seed=paper.TRUTH_SEED)
    for other in (training_set(), held_out_set()):
        assert float(torch.cdist(truths, other).min()) > 8
    assert float(torch.cdist(training_set(), held_out_set()).min()) > 8
    assert len({paper.TRAINING_SEED, paper.HELD_OUT_SEED, paper.TRUTH_SEED}) == 3
    assert_same(unseen_inversion(1, CPU).truth, truths[1])
    assert_same(paper.TRUTHS["unseen"](), truths[0])


def test_noisy_data_have_the_papers_noise_and_the_same_first_draws():
    inversion = unseen_inversion(0, CPU)
    data = noisy_data(inversion, 0, 3)
    assert torch.equal(data[:1], noisy_data(inversion, 0, 1))
    assert torch.equal(data[0], inversion.likelihood.observed)
    clean = inversion.likelihood.forward(inversion.truth[None])
    scaled = (data - clean) / inversion.likelihood.noise_std
    assert_same(scaled.std(1), torch.ones(3), rounding=0.05)
    assert float(torch.corrcoef(scaled).triu(1).abs().max()) < 0.06  # 4 / 5880^.5


def test_linear_problems_are_the_tangents_one_by_one(problems, generator):
    z = torch.randn(2 * 2 * 3, 100, generator=generator)
    together = problems.likelihood(3).log_prob(z).reshape(2, 2, 3)
    for k in range(2):
        inversion = unseen_inversion(k, CPU)
        for draw, observed in enumerate(noisy_data(inversion, k, 2)):
            alone = paper.tangent(inversion, observed)
            squares = alone.residual(z.reshape(2, 2, 3, 100)[k, draw]).square().sum(1) / alone.noise_std**2
            ours = -2 * together[k, draw]
            assert_same(ours - ours[0], squares - squares[0], rounding=1e-9)
            at_truth = alone.residual(inversion.truth[None]).square().sum() / (2 * alone.noise_std**2)
            whole = (observed - inversion.likelihood.forward(inversion.truth[None])[0]).square().sum()
            assert_same(at_truth + problems.rests[k, draw], whole / (2 * alone.noise_std**2), rounding=1e-9)


def test_linear_problems_have_the_jacobian_of_each_truth(problems):
    forward = problems.likelihood(1).forward
    z = torch.zeros(4, 100)
    by_autograd = torch.stack(
        [torch.autograd.functional.jacobian(lambda x, k=k: forward(x)[k], z)[:, k] for k in range(4)]
    )
    assert_same(forward.jacobian(z), by_autograd)


def test_ideal_samples_are_those_of_each_posterior(problems):
    drawn = problems.ideal_samples(2000, generator=torch.Generator().manual_seed(0))
    assert drawn.shape == (2, 2, 2000, 100)
    for k in range(2):
        for draw in range(2):
            posterior = problems.ideal_posterior(k, draw)
            scaled = (drawn[k, draw] - posterior.mean) @ posterior.axes
            real = posterior.variances > 1e-10 * posterior.variances.max()
            assert_same(
                (scaled[:, real] / posterior.variances[real].sqrt()).std(0), torch.ones(int(real.sum())), rounding=0.1
            )


def test_unseen_run_is_the_released_sampler_truth_by_truth(problems, tmp_path, monkeypatch):
    monkeypatch.setattr(runs, "SIGMAS", SIGMAS[::20])
    run = UnseenRun("memory", 50, 3, num_samples=2, parts=(PART,))
    training = coordinates(50, CPU)
    found = sampled_unseen(run, training.memorized_prior, problems, store_in(tmp_path))
    assert found.x.shape == (2, 2, 2, 100)
    first = paper.start(8, problems.truths, generator=generator_for("start 3")).reshape(2, 2, 2, 100)
    for k in range(2):
        inversion, misfits = unseen_inversion(k, CPU), []
        for draw, observed in enumerate(noisy_data(inversion, k, 2)):
            target = paper.standardized(paper.tangent(inversion, observed), training.standardizer)
            step, generator = released_step(target, STEP_SIZE), torch.Generator()
            levels = SIGMAS[::20]
            states = list(trajectory(training.memorized_prior, first[k, draw], levels, step=step, generator=generator))
            assert_same(found.x[k, draw], training.standardizer.restore(states[-1].x), rounding=1e-6)
            misfits.append(torch.stack([state.misfit.mean() for state in states]) + problems.rests[k, draw])
        assert_same(found.losses[:, k], torch.stack(misfits).mean(0) / (problems.num_data[k] / 2), rounding=1e-6)
    last = nearest_neighbors(found.x.flatten(0, 2), training.examples, 1).distances.reshape(2, -1).mean(1)
    assert float((found.to_training[-1] - last).abs().max()) < 1  # of the denoised, a step of .07 before the samples
    assert float(found.to_held_out.min()) > 5


def test_coordinates_that_are_pooled_do_not_know_the_labels():
    both = torch.cat([training_set()[:50], unseen.held_out_draws(50)])
    pooled = coordinates(50, CPU, pooled=True)
    assert_same(pooled.standardizer.mean, both.mean(0))
    assert_same(pooled.examples, training_set()[:50])
    assert_same(coordinates(50, CPU).standardizer.mean, training_set()[:50].mean(0))


def test_linearization_is_kept_and_joined_as_it_was_made(problems, tmp_path):
    store = store_in(tmp_path)
    one = [linearized(Linearization(k, 1, 2), store) for k in range(2)]
    joined = LinearProblems.joined(one)
    for name in ("truths", "matrices", "observed", "noise_stds", "rests", "num_data"):
        assert_same(getattr(joined, name), getattr(problems, name))
    assert len(list(tmp_path.rglob("linearize_*.safetensors"))) == 2


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"prior": "networks"}, "prior: expected one of"),
        ({"prior": "network"}, "training_run: expected that of a network of 50 examples"),
        ({"step": 100}, r"step: expected one of \(None,\), got 100"),
    ],
)
def test_unseen_run_refuses_values_that_do_not_go_together(wrong, message):
    with pytest.raises(ValueError, match=rf"^{message}"):
        UnseenRun(**{"prior": "memory", "num_examples": 50, "seed": 0, "num_samples": 2, "parts": (PART,)} | wrong)
