"""A diagnosis from arrays: its parts equal brute force and closed forms, its verdicts flip when the inputs do."""

import json
import math

import numpy as np
import pytest
import torch
from scipy import stats

from memprior.calibration import Coverage
from memprior.diagnose import (
    VERDICTS,
    DiagnosisPlan,
    coverage_of,
    decide,
    diagnose,
    diagnosis_as_dict,
    diagnosis_page,
    least_truths,
    left_out_bandwidth,
    left_out_credibility,
    look_up,
    numpy_operator,
    p_alike_of,
    parts,
    read_models,
    run,
    smoothed_posterior,
    span_of,
    windows,
)
from memprior.diagnose.decide import STICKING, coverage_word, linearization_word
from memprior.intervals import jeffreys
from memprior.memorization import report
from memprior.mixture import IsotropicMixture
from memprior.operators import MatrixOperator, check_operator, jacobian

SMALL = DiagnosisPlan(num_truths=12, num_draws=39, num_proposals=64)


def gen(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=gen(seed), dtype=torch.float64)


def curved(x):
    return np.concatenate([np.tanh(x), x**2])


def curved_rows(x):
    return np.concatenate([np.diag(1 - np.tanh(x) ** 2), np.diag(2 * x)])


CURVED = numpy_operator(curved, curved_rows)


def test_lookup_is_a_brute_force_softmax():
    data, observed, gamma = normal(7, 4), normal(4, seed=1), 0.7
    found = look_up(data, observed, gamma)
    squares = [sum((float(a) - float(b)) ** 2 for a, b in zip(row, observed, strict=True)) for row in data]
    likelihoods = [math.exp(-one / (2 * gamma**2)) for one in squares]
    brute = torch.tensor([one / sum(likelihoods) for one in likelihoods], dtype=torch.float64)
    assert torch.allclose(found.log_weights.exp(), brute, rtol=1e-12)
    assert found.effective == pytest.approx(float(torch.exp(-(brute * brute.log()).sum())), rel=1e-12)
    assert found.best == int(brute.argmax())
    assert float(found.misfits[found.best]) == pytest.approx(-2 * math.log(max(likelihoods)) / 4, rel=1e-12)


def test_lookup_p_fit_of_a_model_rejects_at_most_at_its_level():
    data, gamma, ps = 5 * normal(6, 8), 0.5, []
    for seed in range(400):
        ps.append(look_up(data, data[2] + gamma * normal(8, seed=seed), gamma).p_fit)
    assert sum(p < 0.05 for p in ps) <= stats.binom.ppf(1 - 1e-6, 400, 0.05)
    assert look_up(data, data[2] + 5 * gamma, gamma).p_fit < 1e-6


def test_lookup_p_low_sees_a_noise_level_that_is_too_large_and_no_other():
    data = 5 * normal(6, 40)
    low = [look_up(data, data[1] + 0.1 * normal(40, seed=seed), 0.1).p_low for seed in range(200)]
    assert sum(p < 0.05 for p in low) <= stats.binom.ppf(1 - 1e-6, 200, 0.05)
    assert look_up(data, data[1] + 0.1 * normal(40), 0.3).p_low < 1e-6


def test_span_keeps_distances_and_goes_back():
    models = normal(6, 30)
    models[:, 4] = 2.0  # no model moves there
    span = span_of(models)
    assert span.points.shape == (6, 5)
    assert torch.allclose(torch.cdist(span.points, span.points), torch.cdist(models, models), atol=1e-12)
    assert torch.allclose(span.back(span.points), models, atol=1e-12)
    assert torch.allclose(span.back(normal(3, 5))[:, 4], torch.tensor(2.0), atol=1e-12)


def test_bandwidth_maximizes_the_left_out_likelihood():
    points = normal(40, 2)

    def left_out(h):
        return sum(
            float(IsotropicMixture(torch.cat([points[:k], points[k + 1 :]]), h).log_prob(points[k, None]))
            for k in range(len(points))
        ) / len(points)

    found = left_out_bandwidth(points)
    assert left_out(found.value) > max(left_out(0.97 * found.value), left_out(1.03 * found.value))
    assert found.gain_over_half == pytest.approx(left_out(found.value) - left_out(found.value / 2), abs=1e-9)
    assert found.gain_over_twice == pytest.approx(left_out(found.value) - left_out(2 * found.value), abs=1e-9)
    assert not found.at_edge


def test_bandwidth_is_not_that_of_repeats():
    points = normal(30, 2)
    twice = torch.cat([points, points + 1e-9])
    labels = torch.arange(30).repeat(2)
    assert left_out_bandwidth(twice).value < 1e-3
    assert left_out_bandwidth(twice, labels).value == pytest.approx(left_out_bandwidth(points).value, rel=1e-3)


@pytest.mark.parametrize(("gamma", "h"), [(3.0, 1.0), (1.0, 1.0), (1.0, 0.1)])
def test_coverage_of_gaussian_truths_is_that_of_the_closed_form(gamma, h):
    """Kernels of width h on draws of N(0, 1) are N(0, 1 + h^2), but for N: a conjugate posterior, and its errors."""
    points, num = normal(400, 1), 200
    rows = torch.ones(400, 1, 1)
    inside = torch.cat(
        [
            left_out_credibility(
                t, points, torch.arange(400), points, rows, gamma, num_draws=99, bandwidth=h, purpose=f"toy {t}"
            )
            for t in range(num)
        ]
    )
    prior = 1 + h**2
    gain = prior / (prior + gamma**2)
    spread, error = gain * gamma**2, (1 - gain) ** 2 + (gain * gamma) ** 2
    exact = 2 * stats.norm.cdf(stats.norm.ppf(0.95) * math.sqrt(spread / error)) - 1
    found = coverage_of(inside[:, 1], 0.9)
    # Sampling error of 200 truths, and of a prior of 400 models, whose moments are off by a twentieth.
    assert abs(found.value - exact) < 4 * math.sqrt(exact * (1 - exact) / num) + 0.02
    assert found.low < found.value < found.high


def test_coverage_of_a_lookup_that_has_collapsed_is_none():
    points = normal(30, 5)
    inside = left_out_credibility(
        0, points, torch.arange(30), points, None, 1e-3, num_draws=39, bandwidth=None, purpose="collapsed"
    )
    assert float(inside[0, 0]) > 0.97
    assert inside[0, 1].isnan()


def test_p_alike_rejects_fresh_truths_at_most_at_its_level_and_others_surely():
    models, gamma, fresh = normal(40, 2), 0.1, normal(150, 2, seed=1)
    forward, hits = MatrixOperator(torch.eye(2, dtype=torch.float64)), 0
    plan = DiagnosisPlan(num_truths=40, num_draws=19, num_proposals=32)
    first = diagnose(models, forward, fresh[0], gamma, plan=plan, derivative=False)
    far = []
    for t in range(40):
        kept = torch.arange(40) != t
        y = models[t] + gamma * normal(2, seed=1000 + t)
        far.append(float((y - models[kept]).square().mean(1).min()))
    far = torch.tensor(far)[:, None]
    for k, one in enumerate(fresh):
        y = one + gamma * normal(2, seed=2000 + k)
        hits += p_alike_of(far, (y - models).square().mean(1).min()[None]) < 0.05
    # Of one set of models the level is itself random: Beta(2, 39), an order statistic's.
    assert hits <= 150 * stats.beta.ppf(1 - 1e-6, 2, 39)
    assert p_alike_of(far, torch.tensor([1e3])) == pytest.approx(1 / 41)
    assert 0 < first.p_alike <= 1


def test_words_of_coverage_take_evidence():
    def of(low, high):
        return coverage_word(Coverage((low + high) / 2, low, high, 0.9), 0.1)

    assert of(0.91, 1.0) == "wide"
    assert of(0.82, 0.95) == "covers"
    assert of(0.5, 0.89) == "overconfident"
    assert of(0.6, 0.95) == "undecided"


def test_least_truths_is_where_agreement_is_told():
    num = least_truths(0.9, 0.1)
    for n, word in ((num, "covers"), (num - 1, "undecided")):
        flags = torch.where(torch.arange(n) < math.floor(0.9 * n + 0.5), 0.5, 0.95)
        assert coverage_word(coverage_of(flags, 0.9), 0.1) == word


def test_importance_of_chunks_is_that_of_all_draws():
    logs = 2 * normal(64)
    rows = []
    for part in logs.split(16):
        weights = part.exp()
        rows.append([math.log(float(weights.mean())), float(weights.sum() ** 2 / (16 * weights.square().sum())), 16])
    found = parts.importance_of(torch.tensor(rows, dtype=torch.float64), 64)
    weights = logs.exp()
    assert found.efficiency == pytest.approx(float(weights.sum() ** 2 / (64 * weights.square().sum())), rel=1e-12)
    first, second = (float(w.sum() ** 2 / (32 * w.square().sum())) for w in weights.split(32))
    assert found.halves == pytest.approx((first, second), rel=1e-12)
    # Cauchy and Schwarz: the total variation of weighted and plain draws is within the bound.
    share = weights[:32] / weights[:32].sum()
    assert 0.5 * float((share - 1 / 32).abs().sum()) <= 0.5 * math.sqrt(1 / first - 1)


def test_linearization_of_a_matrix_holds_and_of_a_curve_at_little_noise_fails():
    models = normal(60, 3)
    flat = diagnose(models, MatrixOperator(normal(4, 3, seed=3)), normal(4, seed=4), 0.5, plan=SMALL)
    assert flat.importance.efficiency == pytest.approx(1, abs=1e-9)
    assert flat.decision.linearization == "holds"
    plan = DiagnosisPlan(num_truths=60, num_draws=39, num_proposals=64)
    steep = diagnose(models, CURVED, CURVED(normal(1, 3, seed=5))[0], 0.01, plan=plan)
    assert steep.decision.linearization == "fails"
    assert steep.decision.verdict == "sample"
    assert linearization_word(None, 0.1) == "not computed"


def test_linearization_is_reweighted_from_as_many_draws_as_a_share_needs():
    rows = torch.tensor([[0.0, 0.1, 500], [0.0, 0.1, 500]], dtype=torch.float64)
    assert linearization_word(parts.importance_of(rows, 1000), 0.1) == "reweight"  # 100 draws
    assert linearization_word(parts.importance_of(rows[:, [0, 1, 2]] * torch.tensor([1, 0.9, 1]), 1000), 0.1) == "fails"


def test_verdict_is_look_up_where_models_are_dense_and_data_say_little():
    models = normal(400, 1)
    found = diagnose(
        models,
        MatrixOperator(torch.eye(1, dtype=torch.float64)),
        torch.tensor([0.3]),
        1.0,
        plan=DiagnosisPlan(num_draws=99, num_proposals=64),
    )
    assert found.decision.verdict == "look up"
    assert found.coverage["lookup"].low > 0.8


def test_verdict_is_linearize_where_a_matrix_sees_a_gaussian():
    models = normal(300, 2)
    forward = MatrixOperator(normal(6, 2, seed=2))
    truth = normal(1, 2, seed=9)
    observed = forward(truth)[0] + 0.05 * normal(6, seed=7)
    found = diagnose(models, forward, observed, 0.05, plan=DiagnosisPlan(num_draws=99, num_proposals=256))
    assert found.decision.verdict == "linearize"
    assert found.decision.coverage["lookup"] == "overconfident"


def test_verdict_refuses_data_in_another_unit_and_noise_that_is_too_large():
    models, forward = normal(60, 3), MatrixOperator(normal(30, 3, seed=3))
    observed = forward(normal(1, 3, seed=8))[0] + 0.1 * normal(30, seed=4)
    good = diagnose(models, forward, observed, 0.1, plan=DiagnosisPlan(num_draws=39, num_proposals=64))
    assert good.decision.verdict != "refuse the data"
    for data, noise, word in ((1000 * observed, 0.1, "unexplained"), (observed, 100.0, "too well")):
        found = diagnose(models, forward, data, noise, plan=DiagnosisPlan(num_draws=39, num_proposals=64))
        assert (found.decision.verdict, found.decision.fit) == ("refuse the data", word)


def test_verdict_on_data_in_another_unit_is_undecided_where_too_few_truths_could_refuse_them():
    """2 / 31 is the least p of 30 truths: the same set linearizes its own data, and must not those."""
    models, forward = normal(30, 3), MatrixOperator(normal(30, 3, seed=3))
    observed = forward(models[:1])[0] + 0.1 * normal(30, seed=4)
    found = diagnose(models, forward, 1000 * observed, 0.1, plan=DiagnosisPlan(num_draws=39, num_proposals=64))
    assert (found.decision.verdict, found.decision.fit) == ("undecided", "untested")
    assert "no model explains the data, and too few truths" in found.decision.because
    assert diagnose(models, forward, observed, 0.1, plan=found.plan).decision.verdict == "linearize"


def test_verdict_of_fewer_models_than_dimensions_is_that_of_fresh_truths():
    """A truth that alone spans a dimension is found along it by no posterior that has not seen it."""
    models, fresh, gamma = normal(48, 120), normal(8, 120, seed=1), 0.1
    forward = MatrixOperator(torch.eye(120, dtype=torch.float64))
    plan = DiagnosisPlan(num_truths=48, num_draws=39, num_proposals=32)
    y = fresh + gamma * normal(8, 120, seed=2)
    found = [diagnose(models, forward, one, gamma, plan=plan) for one in y[:2]]
    assert [one.decision.verdict for one in found] == ["more models"] * 2
    assert found[0].coverage["linearized"].high < 0.2
    span, width = span_of(models), found[0].bandwidth.value
    rows = span.basis.expand(48, -1, -1)
    hits = 0
    for one in y:
        _, left = smoothed_posterior(span.points, width, models, rows, one, gamma)
        own = torch.tensor([float(look_up(models, one, gamma).misfits.min()), left], dtype=torch.float64)
        hits += p_alike_of(found[0].distances, own) < 0.05
    assert hits <= stats.binom.ppf(1 - 1e-4, 8, 0.05)  # all 8, were the truth's own dimension among the kernels'


def test_coverage_of_truths_in_groups_is_of_as_many_as_vary():
    """Groups that are covered as one are one truth each; groups of independent ones are as many as their truths."""
    groups = torch.arange(20).repeat_interleave(8)
    whole = torch.where(torch.arange(20) < 16, 0.5, 0.95).repeat_interleave(8)
    found = coverage_of(whole, 0.9, groups)
    # 160 v (1 - v) / (between) = 19: the number of groups, less one for their mean.
    assert (found.low, found.high) == pytest.approx(jeffreys(0.8, 19))
    apart = coverage_of(torch.rand(20000, generator=gen(0)), 0.9, torch.arange(2500).repeat_interleave(8))
    plain = coverage_of(torch.rand(20000, generator=gen(0)), 0.9)
    assert apart.high - apart.low == pytest.approx(plain.high - plain.low, rel=0.1)
    assert coverage_of(torch.zeros(160), 0.9, groups).low == pytest.approx(jeffreys(1.0, 20)[0])
    assert coverage_of(whole, 0.9, torch.arange(160)) == coverage_of(whole, 0.9)


def test_verdict_refuses_copies_and_is_silent_on_fresh_draws_at_its_level():
    models, held_out = normal(80, 4), normal(60, 4, seed=1)
    lookup = look_up(models, models[0] + normal(4, seed=3), 1.0)
    calm = {"lookup": Coverage(0.9, 0.82, 0.95, 0.9)}

    def verdict(samples):
        copies = report(samples, models, held_out, num_labelings=199)
        return decide(
            lookup, calm, p_alike=1.0, p_alike_least=0.01, importance=None, copies=copies, tolerance=0.1
        ).verdict

    assert verdict(models[:30] + 1e-3 * normal(30, 4, seed=2)) == "refuse the prior"
    fired = 0
    for seed in range(120):  # other models and held-out ones each time: the level is over them too
        both, fresh = normal(60, 4, seed=100 + seed).split(30), normal(30, 4, seed=500 + seed)
        copies = report(fresh, *both, num_labelings=199)
        fired += (
            decide(lookup, calm, p_alike=1.0, p_alike_least=0.01, importance=None, copies=copies, tolerance=0.1).verdict
            == "refuse the prior"
        )
    assert fired <= stats.binom.ppf(1 - 1e-6, 120, 0.05)


def test_verdict_does_not_refuse_a_prior_for_narrow_samples_of_one_posterior():
    """Samples about a truth that is near a model stick to it, whatever made them: no test, or none that rejects."""
    models, held_out = normal(60, 3), normal(60, 3, seed=1)
    lookup, calm = look_up(models, models[7] + 0.05, 1.0), {"lookup": Coverage(0.9, 0.82, 0.95, 0.9)}
    for beside, away in ((None, 0.05), (held_out, 0.002)):
        samples = models[7] + away + 0.2 * away * normal(40, 3, seed=2)
        copies = report(samples, models, beside, num_labelings=199)
        assert copies.finding in STICKING
        found = decide(lookup, calm, p_alike=1.0, p_alike_least=0.01, importance=None, copies=copies, tolerance=0.1)
        assert (found.verdict, found.copying) == ("look up", copies.finding)
    repeated = report(models[:9], models)
    found = decide(lookup, calm, p_alike=1.0, p_alike_least=0.01, importance=None, copies=repeated, tolerance=0.1)
    assert found.verdict == "refuse the prior"


def test_lookup_p_low_counts_the_models():
    """21 models side by side, each as near to y as noise is with probability 0.05: without N it rejects always."""
    reach = float(stats.norm.ppf(0.525))  # |e| is below it with probability 0.05
    data = 2 * reach * torch.arange(-10, 11, dtype=torch.float64)[:, None]
    ps = [look_up(data, normal(1, seed=seed), 1.0).p_low for seed in range(300)]
    assert sum(p < 0.05 for p in ps) <= stats.binom.ppf(1 - 1e-6, 300, 0.05)


def test_linearization_holds_up_to_the_bound_of_cauchy_and_schwarz():
    for share, word in ((0.97, "holds"), (0.95, "reweight")):  # 1 / (1 + 4 * 0.1**2) = 0.9615
        found = parts.Importance(0.99, (share, 0.99), 2000)
        assert found.bound == pytest.approx(0.5 * math.sqrt(1 / share - 1))
        assert linearization_word(found, 0.1) == word


def test_verdict_without_a_derivative_is_of_the_lookup_alone():
    models, simulator = normal(60, 3), numpy_operator(curved)
    found = diagnose(models, simulator, simulator(normal(1, 3, seed=5))[0], 0.1, plan=SMALL, derivative=False)
    assert found.bandwidth is None
    assert set(found.coverage) == {"lookup"}
    assert found.why_not == "without a derivative"
    assert found.decision.verdict in VERDICTS
    with pytest.raises(ValueError, match="forward: expected data that depend on x by torch operations"):
        diagnose(models, simulator, simulator(models[:1])[0], 0.1, plan=SMALL)


def test_diagnosis_leaves_out_the_linearized_posterior_where_memory_would_not_do():
    plan = DiagnosisPlan(num_truths=12, num_draws=39, num_proposals=64, max_bytes=1e3)
    found = diagnose(normal(20, 3), CURVED, CURVED(normal(1, 3))[0], 0.5, plan=plan)
    assert "thin or coarsen" in found.why_not
    assert found.importance is None


def test_diagnosis_gives_draws_that_the_operator_refuses_no_weight():
    class Guarded:
        def __call__(self, x):
            if bool((x < 0).any()):
                raise ValueError("x: expected velocities")
            return x.square()

    models = 0.3 + normal(40, 2).abs()
    found = diagnose(models, Guarded(), torch.tensor([0.2, 0.2]), 0.5, plan=SMALL)
    assert 0 < found.num_refused < 64
    assert 0 < found.importance.efficiency < 1


def test_diagnosis_groups_are_left_out_together():
    labels = run._labels(torch.tensor([[0.0], [1.0], [2.0], [1.0], [4.0]]), torch.tensor([0, 0, 1, 2, 3]))
    assert labels[1] == labels[3] == labels[0]
    assert len(labels.unique()) == 3


def test_diagnosis_is_the_same_to_the_bit_when_it_was_interrupted(tmp_path, monkeypatch):
    models, observed = normal(40, 3), CURVED(normal(1, 3, seed=5))[0]
    monkeypatch.setattr(run, "SAVE_EVERY_S", 0.0)
    plan = DiagnosisPlan(num_truths=12, num_draws=39, num_proposals=64, chunk=8)
    places = [str(n) for n in range(40)]

    def text(**kwargs):
        return json.dumps(diagnosis_as_dict(diagnose(models, CURVED, observed, 0.5, plan=plan, **kwargs), places))

    whole, calls, killed = text(), [], 0

    def told(part, done, total):
        calls.append(part)
        if len(calls) % 7 == 0:
            raise KeyboardInterrupt

    for _ in range(100):
        try:
            assert text(keep=tmp_path, told=told) == whole
            break
        except KeyboardInterrupt:
            killed += 1
    assert killed > 3
    files = {file.stem for file in tmp_path.glob("*.safetensors")}
    assert files == {"solves", "jacobians", "proposals", "truths"}
    solved = []
    text(keep=tmp_path, told=lambda part, done, total: solved.append((part, done == total)))
    assert solved == [(part, True) for part in ("solves", "jacobians", "proposals", "truths")]


def test_diagnosis_begins_anew_where_the_work_is_another_or_damaged(tmp_path):
    models, observed = normal(20, 3), CURVED(normal(1, 3, seed=5))[0]
    first = diagnose(models, CURVED, observed, 0.5, plan=SMALL, keep=tmp_path)
    other = diagnose(models, CURVED, observed, 0.25, plan=SMALL, keep=tmp_path)
    assert not torch.equal(first.lookup.misfits, other.lookup.misfits)
    file = tmp_path / "solves.safetensors"
    file.write_bytes(file.read_bytes()[:-5])
    again = diagnose(models, CURVED, observed, 0.25, plan=SMALL, keep=tmp_path)
    assert torch.equal(again.credibilities, other.credibilities)


def test_diagnosis_begins_anew_where_only_the_jacobian_or_the_last_models_data_changed(tmp_path):
    models, observed, asked = normal(20, 3), CURVED(normal(1, 3, seed=5))[0], []
    for simulate, derivative in (  # each differs from the one before in one thing
        (curved, lambda x: 1.5 * curved_rows(x)),
        (curved, curved_rows),
        (lambda x: curved(x) + (x == models[-1].numpy()).all(), curved_rows),
    ):
        asked.clear()
        told = lambda part, done, total: asked.append((part, done))  # noqa: E731
        kept = diagnose(
            models, numpy_operator(simulate, derivative), observed, 0.5, plan=SMALL, keep=tmp_path, told=told
        )
        plain = diagnose(models, numpy_operator(simulate, derivative), observed, 0.5, plan=SMALL)
        assert torch.equal(kept.credibilities, plain.credibilities)
        assert asked[0] == ("solves", 0)


def test_diagnosis_names_the_model_at_which_an_operator_breaks_and_gives_such_draws_no_weight():
    class Broken:
        def __init__(self, limit):
            self.limit = limit

        def __call__(self, x):
            if bool((x > self.limit).any()):
                raise KeyError("singular")
            return x.square()

    models = normal(40, 2).abs()
    limit = float(models.max())
    found = diagnose(models, Broken(limit), torch.tensor([limit**2, limit**2]), 0.5, plan=SMALL)
    assert found.num_refused > 0
    worst = int(models.amax(1).argmax())
    with pytest.raises(ValueError, match=rf"models: the operator refuses model {worst}: KeyError: 'singular'"):
        diagnose(models, Broken(limit - 1e-9), torch.tensor([0.2, 0.2]), 0.5, plan=SMALL)


def test_diagnosis_names_samples_that_will_not_do_before_the_solves():
    def told(part, done, total):
        raise AssertionError("work has begun")

    models = normal(20, 3)
    with pytest.raises(ValueError, match="held_out"):
        diagnose(models, CURVED, normal(6), 0.5, samples=models, held_out=models[:6], plan=SMALL, told=told)


def test_diagnosis_page_says_verdict_reason_and_blind_spot():
    models = normal(20, 3)
    found = diagnose(models, CURVED, CURVED(models[:1])[0], 0.5, plan=SMALL)
    text = diagnosis_page(found, [f"a.npy[{n}]" for n in range(20)])
    for needed in ("Verdict: ", "Because: ", "Do: ", "Cannot be seen here: ", "a.npy[0]", "not tested"):
        assert needed in text
    assert max(map(len, text.splitlines())) < 130


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda x: 1e200 * x, "models: expected numbers from some"),
        (lambda x: 1e-200 * x, "models: expected numbers from some"),
        (lambda x: x[:4].repeat(5, 1), "models: expected at least 5 that differ, or groups of them, got 4"),
        (lambda x: x.float(), "models: expected float64, got torch.float32"),
        (lambda x: x[:4], r"models: expected shape \(N, \*shape\), N >= 5, got \(4, 3\)"),
    ],
)
def test_diagnosis_names_models_that_will_not_do_before_it_asks_the_operator(change, message):
    def asked(x):
        raise AssertionError("the operator was asked")

    with pytest.raises(ValueError, match=message):
        diagnose(change(normal(20, 3)), asked, torch.zeros(2), 1.0, plan=SMALL)


@pytest.mark.parametrize(
    ("data", "noise", "bandwidth", "message"),
    [
        (1.0, 1e-300, None, "noise_std: expected a number from some"),
        (1.0, 1e300, None, "noise_std: expected a number from some"),
        (1.0, 1e-15, None, "noise_std: expected at least 2.2.e-15, 10 roundings of observed"),
        (0.0, 1e-20, None, "noise_std: expected at least .*, 10 roundings of the operator's data"),
        (1e200, 1.0, None, "observed: expected numbers up to some"),
        (1.0, 1.0, 1e-300, "bandwidth: expected a number from"),
        (1.0, 1.0, 1e200, "bandwidth: expected a number from"),
    ],
)
def test_diagnosis_names_a_scale_that_float64_does_not_hold_before_the_solves(data, noise, bandwidth, message):
    def asked(x):
        assert len(x) == 2, "the solves began"
        return CURVED(x)

    plan = DiagnosisPlan(bandwidth=bandwidth)
    observed = data * torch.ones_like(CURVED(normal(1, 3))[0])
    with pytest.raises(ValueError, match=message):
        diagnose(normal(20, 3), asked, observed, noise, plan=plan)


@pytest.mark.parametrize("n", [0, 1, 7, 19])
@pytest.mark.parametrize(
    ("factor", "message"),
    [
        (1e200, r"data up to 1e\+150 from model {}, got .*e\+(199|200)"),
        (math.nan, "finite data from model {}, got NaN"),
    ],
)
def test_diagnosis_names_the_model_whose_data_are_too_large_or_none(n, factor, message):
    models = normal(20, 3)

    def huge(x):
        return CURVED(x) * torch.where(x[:, :1] == models[n, 0], factor, 1.0)

    with pytest.raises(ValueError, match=f"operator: expected {message.format(n)}"):
        diagnose(models, huge, CURVED(models[:1])[0], 1.0, plan=SMALL, derivative=False)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("level", 1.0, r"level: expected a number in \(0, 1\), got 1.0"),
        ("tolerance", 0.9, "tolerance: expected less than level, 0.9, got 0.9"),
        ("tolerance", 1e-9, "tolerance: expected at least 0.01, got 1e-09"),
        ("num_truths", 4, "num_truths: expected an integer >= 5, got 4"),
        ("num_draws", 1, "num_draws: expected an integer >= 19, got 1"),
        ("bandwidth", -1.0, "bandwidth: expected one number, finite and > 0, got -1.0"),
    ],
)
def test_plan_refuses_by_name(name, value, message):
    with pytest.raises(ValueError, match=message):
        DiagnosisPlan(**{name: value})


def test_numpy_operator_shows_autograd_the_users_jacobian():
    x = normal(2, 3)
    checked = check_operator(CURVED, x, generator=gen(0))
    assert checked.taylor_slope > 1.9
    assert checked.jacobian_gap < 1e-12
    x.requires_grad_()
    (pulled,) = torch.autograd.grad(CURVED(x)[:, 3:].sum(), x)
    assert torch.allclose(pulled, 2 * x.detach())
    assert torch.allclose(jacobian(CURVED, x.detach())[0, :3].diagonal(), 1 - x[0].detach().tanh() ** 2)


def test_numpy_operator_refuses_a_wrong_jacobian_and_other_shapes():
    wrong = numpy_operator(curved, lambda x: 1.01 * curved_rows(x))
    with pytest.raises(ValueError, match=r"forward: expected F\(x \+ h v\) - F\(x\) - h J v that falls as h\^2"):
        check_operator(wrong, normal(2, 3), generator=gen(0))
    with pytest.raises(ValueError, match=r"jacobian: expected shape \(m, 3\) from one model, got \(3, 6\)"):
        numpy_operator(curved, lambda x: curved_rows(x).T).jacobian(normal(2, 3))
    with pytest.raises(ValueError, match=r"operator: expected real numbers of shape \(m,\) .* got complex128 \(3,\)"):
        numpy_operator(lambda x: 1j * x)(normal(2, 3))


def test_windows_lie_side_by_side_and_share_nothing():
    section = torch.arange(60.0).reshape(6, 10)
    cut = windows(section, (2, 3))
    assert cut.shape == (9, 2, 3)
    assert torch.equal(cut[4], section[2:4, 3:6])
    assert len(cut.unique()) == 54
    with pytest.raises(
        ValueError, match=r"section: expected a section of at least 7 x 3 \(traces, samples\), got \(6, 10\)"
    ):
        windows(section, (7, 3))


def test_models_are_read_in_the_order_of_their_names(tmp_path):
    for name in "cab":
        np.save(tmp_path / f"{name}.npy", np.full((1, 2), float(ord(name))))
    assert read_models(tmp_path).places == ("a.npy[0]", "b.npy[0]", "c.npy[0]")
