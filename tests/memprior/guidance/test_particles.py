"""Sequential Monte Carlo: unbiased for any number of particles, consistent, runs independent of each other.

For a Gaussian prior the ancestral chain has Gaussian moments that are derived step by step; for the pentagon it draws
the vertices with equal shares. Both condition on y in closed form, so that coarse levels are enough here.
"""

import math

import pytest
import torch
from affine import LIKELIHOOD as SHARP
from affine import MEAN, PRIOR, chain_moments, conditioned, noiseless_ancestral
from helpers import MATRIX, assert_mean, assert_same, pentagon

from memprior.denoiser import EmpiricalDenoiser, GaussianDenoiser
from memprior.guidance import Particles, smc
from memprior.guidance.particles import _systematic
from memprior.likelihood import GaussianLikelihood
from memprior.noise import karras_sigmas
from memprior.operators import CoupledQuadraticOperator, MatrixOperator
from memprior.posterior import collapsed_log_weights

START = 4.0
SIGMAS = torch.cat([torch.logspace(math.log10(START), -1, 20, dtype=torch.float64), torch.zeros(1).double()])
# Mild enough for the published twist, whose weights have heavy tails otherwise.
LIKELIHOOD = GaussianLikelihood(MatrixOperator(MATRIX), SHARP.observed, 2.0)
LOOKUP = GaussianLikelihood(CoupledQuadraticOperator(), torch.tensor([1.2, 0.5], dtype=torch.float64), 2.0)
WAYS = {
    "untwisted": {"twisted": False},
    "twisted": {"twisted": True},
    "twisted, wide": {"twisted": True, "spread": 1.5},
}
every_way = pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)


def gaussian_start(runs, num, generator):
    return MEAN + START * torch.randn(runs, num, 3, generator=generator)


def chain(sigmas):
    """Mean and covariance of the prior's ancestral chain at the last level."""
    return chain_moments(noiseless_ancestral, PRIOR, MEAN, START**2 * torch.eye(3), sigmas)


def weighted(found, values):
    """Mean by weight of values (R, K, ...) in each run."""
    return (found.log_weights.exp().reshape(*values.shape[:2], *[1] * (values.ndim - 2)) * values).sum(1)


@pytest.mark.parametrize(
    ("way", "likelihood"), [*((way, LIKELIHOOD) for way in WAYS.values()), (WAYS["twisted, wide"], SHARP)]
)
def test_smc_evidence_and_moments_are_unbiased_for_few_particles(way, likelihood, generator):
    """E[Z sum_k w_k f(x_k)] = p(y) E[f(x) | y], whatever K, the twist and the levels, also after resampling."""
    start = gaussian_start(4000, 6, generator)
    found = smc(PRIOR, likelihood, start, SIGMAS, generator=generator, **way)
    mean, covariance, log_evidence = conditioned(*chain(SIGMAS), likelihood)
    relative = (found.log_evidence - log_evidence).exp()
    assert_mean(relative, 1.0)
    assert_mean(relative[:, None] * weighted(found, found.x), mean)
    squares = weighted(found, found.x[..., :, None] * found.x[..., None, :])
    assert_mean(relative[:, None, None] * squares, covariance + torch.outer(mean, mean))
    assert (float(found.distinct.double().mean()) < 5) == (likelihood is SHARP)


def test_smc_with_a_last_level_above_zero_has_its_own_target(generator):
    """There x has the chain's distribution, and y the likelihood of D(x), which is affine in x."""
    sigmas = SIGMAS[:-3]
    probes = torch.cat([torch.zeros(1, 3), torch.eye(3)])
    guess = PRIOR(probes, sigmas[-1])
    slope = (guess[1:] - guess[0]).T
    matrix = LIKELIHOOD.forward.matrix
    of_denoised = GaussianLikelihood(MatrixOperator(matrix @ slope), LIKELIHOOD.observed - matrix @ guess[0], 2.0)
    mean, _, log_evidence = conditioned(*chain(sigmas), of_denoised)
    for way in WAYS.values():
        found = smc(PRIOR, LIKELIHOOD, gaussian_start(3000, 6, generator), sigmas, generator=generator, **way)
        relative = (found.log_evidence - log_evidence).exp()
        assert_mean(relative, 1.0)
        assert_mean(relative[:, None] * weighted(found, found.x), mean)


@every_way
def test_smc_mean_converges_as_particles_grow(way, generator):
    """A run's error falls as K^-1/2: 16 times the particles, a quarter of the error."""
    mean = conditioned(*chain(SIGMAS), LIKELIHOOD)[0]
    errors = []
    for num in (24, 384):
        found = smc(PRIOR, LIKELIHOOD, gaussian_start(150, num, generator), SIGMAS, generator=generator, **way)
        away = weighted(found, found.x) - mean
        errors.append(float(away.square().sum(1).mean().sqrt()))
        if num == 384:
            assert float(away.mean(0).norm()) < 4 * errors[1] / math.sqrt(150)
    assert 2.9 < errors[0] / errors[1] < 5.5


@every_way
def test_smc_on_a_memorized_prior_has_the_collapsed_weights(way, generator):
    """The pentagon's symmetry makes the chain's prior weights equal: then w_n prop. p(y | x_n), without bias."""
    train = pentagon()
    sigmas = karras_sigmas(16, 0.1, 8.0)
    start = 8 * torch.randn(3000, 8, 2, generator=generator)
    found = smc(EmpiricalDenoiser(train), LOOKUP, start, sigmas, generator=generator, **way)
    distance, nearest = torch.cdist(found.x, train).min(2)
    assert float(weighted(found, distance > 1e-3).mean()) < 1e-3
    exact, log_evidence = collapsed_log_weights(train, LOOKUP).exp(), LOOKUP.log_prob(train).exp().mean().log()
    assert float(exact.max()) > 4 * float(exact.min())
    members = torch.nn.functional.one_hot(nearest, 5).to(train)
    relative = (found.log_evidence - log_evidence).exp()
    assert_mean(relative[:, None] * weighted(found, members), exact)


def test_particles_draw_with_frequencies_near_the_collapsed_weights(generator):
    train, num = pentagon(), 200
    start = 8 * torch.randn(500, num, 2, generator=generator)
    found = smc(
        EmpiricalDenoiser(train),
        LOOKUP,
        start,
        karras_sigmas(10, 0.1, 8.0),
        twisted=True,
        spread=2.0,
        generator=generator,
    )
    draws = found.draw(generator=generator)
    assert draws.shape == (500, 2)
    members = torch.nn.functional.one_hot(torch.cdist(draws, train).argmin(1), 5).to(train)
    exact = collapsed_log_weights(train, LOOKUP).exp()
    # Self-normalized weights are off by a share of order 1 / K, below the standard error of 500 draws.
    standard_error = (exact * (1 - exact) / 500).sqrt()
    assert bool(((members.mean(0) - exact).abs() <= 4 * standard_error + exact * 8 / num).all())


def test_smc_twisted_has_a_larger_effective_sample_size(generator):
    """The purpose of a twist: for data of low noise the effective sample size is far larger."""
    found = [
        smc(PRIOR, SHARP, gaussian_start(200, 64, generator), SIGMAS, generator=generator, **way)
        for way in (WAYS["untwisted"], WAYS["twisted, wide"])
    ]
    plain, twisted = (float(one.effective[-1].mean()) for one in found)
    assert twisted > 3 * plain


@every_way
def test_smc_returns_consistent_particles(way, generator):
    found = smc(PRIOR, SHARP, gaussian_start(7, 10, generator), SIGMAS, generator=generator, **way)
    assert isinstance(found, Particles)
    assert found.x.shape == (7, 10, 3)
    assert found.log_weights.shape == found.ancestors.shape == (7, 10)
    assert found.effective.shape == (len(SIGMAS) - 1, 7)
    assert_same(found.log_weights.exp().sum(1), torch.ones(7))
    assert_same(found.effective[-1], 1 / found.log_weights.exp().square().sum(1))
    assert bool(((found.effective > 1 - 1e-9) & (found.effective < 10 + 1e-9)).all())
    assert found.distinct.tolist() == [len(set(row)) for row in found.ancestors.tolist()]
    if not way["twisted"]:
        assert_same(found.effective[:-1], torch.full((len(SIGMAS) - 2, 7), 10.0))
        assert found.distinct.tolist() == [10] * 7
    else:
        assert int(found.distinct.min()) < 10


@every_way
def test_smc_runs_are_independent_of_each_other(way, monkeypatch, generator):
    start = gaussian_start(4, 5, generator)
    noises = {
        "randn": [torch.randn(4, 5, 3, generator=generator) for _ in SIGMAS],
        "rand": [torch.rand(4, 1, generator=generator) for _ in SIGMAS],
    }

    def ran(rows):
        left = {name: iter(draws) for name, draws in noises.items()}
        with monkeypatch.context() as patch:
            patch.setattr(torch, "randn", lambda *_, **__: next(left["randn"])[rows])
            patch.setattr(torch, "rand", lambda *_, **__: next(left["rand"])[rows])
            return smc(PRIOR, SHARP, start[rows], SIGMAS, generator=generator, **way)

    whole, single = ran(slice(None)), [ran(slice(i, i + 1)) for i in range(4)]
    for field in ("x", "log_weights", "ancestors", "log_evidence"):
        expected = torch.cat([getattr(one, field) for one in single])
        assert_same(getattr(whole, field).double(), expected.double(), rounding=1e-9)


@every_way
def test_smc_gives_invalid_particles_weight_zero(way, generator):
    """Models are valid where x_1 > 0: the target is the posterior truncated there; a run of none has evidence 0."""

    def forward(x):
        return torch.where(x[:, :1] > 0, x, torch.nan)

    likelihood = GaussianLikelihood(forward, torch.tensor([0.3, 0.1]), 1.0)
    prior = GaussianDenoiser(torch.zeros(2), 1e-4 * torch.eye(2))  # D is near 0, on either side
    start = torch.randn(6, 8, 2, generator=generator)
    start[0, :, 0] = -1e9
    sigmas = torch.tensor([1.0, 0.0])
    found = smc(prior, likelihood, start, sigmas, generator=generator, **way)
    alive = found.x[..., 0] > 0
    assert torch.equal(torch.isfinite(found.log_weights)[1:], alive[1:])
    assert float(found.log_evidence[0]) == -math.inf
    assert_same(found.log_weights[0].exp(), torch.full((8,), 1 / 8))
    assert torch.isfinite(found.log_evidence[1:]).all()
    longer = smc(prior, likelihood, start, torch.tensor([1.0, 0.5, 0.2, 0.0]), generator=generator, **way)
    assert not torch.isnan(longer.log_weights).any()
    assert torch.isfinite(longer.x).all()


def test_smc_twisted_loses_a_particle_without_a_gradient(generator):
    """Finite data whose derivative is nowhere finite."""
    likelihood = GaussianLikelihood(lambda x: x + ((x - x.detach()) ** 2).sqrt(), torch.zeros(3), 1.0)
    for twisted in (True, False):
        found = smc(PRIOR, likelihood, torch.ones(2, 4, 3), [1.0, 0.0], twisted=twisted, generator=generator)
        assert torch.isneginf(found.log_evidence).tolist() == [twisted, twisted]
        assert torch.isfinite(found.log_weights).all()


def test_systematic_resampling_copies_each_particle_by_its_weight(generator):
    log_weights = torch.randn(50, 20, generator=generator).mul(2).log_softmax(1)
    log_weights[:, :2] = -math.inf
    log_weights = log_weights.log_softmax(1)
    expected = 20 * log_weights.exp()
    starts = torch.rand(50, 400, generator=generator)
    starts[:, 0] = 0  # which no weight zero may answer
    counts = torch.stack(
        [
            torch.nn.functional.one_hot(_systematic(log_weights, starts[:, i : i + 1]), 20).sum(1)
            for i in range(starts.shape[1])
        ]
    ).double()
    assert bool(((counts >= (expected - 1e-9).floor()) & (counts <= (expected + 1e-9).ceil())).all())
    assert float(counts[:, :, :2].max()) == 0
    assert_mean(counts.mean(1), expected.mean(0))


def test_particles_draw_by_their_weights(generator):
    x = torch.arange(3.0).reshape(1, 3, 1).expand(4000, 3, 1)
    weights = torch.tensor([0.2, 0.0, 0.8])
    zeros = torch.zeros(4000, 3)
    found = Particles(x, weights.log().expand(4000, 3), zeros, zeros.long(), zeros[:, 0])
    drawn = found.draw(generator=generator)
    assert drawn.shape == (4000, 1)
    assert 1.0 not in drawn
    assert_mean(drawn[:, 0], 1.6)


@every_way
def test_smc_stays_in_single_precision(way, generator):
    likelihood = GaussianLikelihood(CoupledQuadraticOperator(), LOOKUP.observed.float(), 2.0)
    start = 8 * torch.randn(3, 5, 2, generator=generator).float()
    found = smc(
        EmpiricalDenoiser(pentagon().float()), likelihood, start, karras_sigmas(6, 0.1, 8.0), generator=generator, **way
    )
    dtypes = {found.x.dtype, found.log_weights.dtype, found.effective.dtype, found.log_evidence.dtype}
    assert dtypes == {torch.float32}
    assert torch.isfinite(found.x).all()


def run(x_init=None, sigmas=(1.0, 0.5, 0.0), **options):
    x_init = torch.zeros(2, 4, 3) if x_init is None else x_init
    return smc(PRIOR, LIKELIHOOD, x_init, sigmas, **{"twisted": True, "generator": torch.Generator(), **options})


BAD = {
    "start of one run": ("x_init: expected shape", lambda: run(torch.zeros(4, 3)), ValueError),
    "start of no particles": ("x_init: expected shape", lambda: run(torch.zeros(2, 0, 3)), ValueError),
    "start NaN": ("x_init: expected finite", lambda: run(torch.full((2, 4, 3), math.nan)), ValueError),
    "start of a list": ("x_init: expected a torch.Tensor", lambda: run([[[0.0]]]), TypeError),
    "levels that rise": ("sigmas: expected", lambda: run(sigmas=(1.0, 2.0)), ValueError),
    "one level": ("sigmas: expected", lambda: run(sigmas=(1.0,)), ValueError),
    "no spread": ("spread: expected", lambda: run(spread=0.0), ValueError),
}


@pytest.mark.parametrize(("message", "call", "kind"), BAD.values(), ids=BAD)
def test_smc_refuses_bad_input_by_name(message, call, kind):
    with pytest.raises(kind, match=rf"^{message}"):
        call()


def test_smc_raises_when_particles_diverge(generator):
    """Otherwise their weights would be rounding: with the published psi every run kept all of its particles."""
    likelihood = GaussianLikelihood(MatrixOperator(MATRIX), SHARP.observed, 0.01)
    with pytest.raises(
        FloatingPointError, match=r"^x: expected particles within .* in 4 of 4 runs .* at sigma = 2\.23"
    ):
        smc(PRIOR, likelihood, gaussian_start(4, 16, generator), SIGMAS, twisted=True, generator=generator)


def test_smc_run_without_valid_particles_has_effective_size_zero(generator):
    def forward(x):
        return torch.where(x[:, :1] > 0, x, torch.nan)

    prior, start = GaussianDenoiser(torch.zeros(2), 1e-4 * torch.eye(2)), torch.ones(2, 8, 2)
    start[0] = -1
    found = smc(
        prior, GaussianLikelihood(forward, torch.zeros(2), 1.0), start, [0.01, 0.0], twisted=False, generator=generator
    )
    assert float(found.effective[-1, 0]) == 0
    assert_same(found.effective[-1, 1], 1 / found.log_weights[1].exp().square().sum())
