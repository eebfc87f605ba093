"""Guided steps against those of azula, where it is installed. Checked with azula 0.11.1."""

import pytest
import torch
from helpers import pentagon

from memprior.denoiser import EmpiricalDenoiser
from memprior.guidance import covariance_step, dps_step, mmps_step, point_step
from memprior.likelihood import GaussianLikelihood
from memprior.operators import CoupledQuadraticOperator, MatrixOperator

azula = pytest.importorskip("azula")

from azula.denoise import Denoiser, DiracPosterior  # noqa: E402
from azula.guidance import DPSSampler, JFPSDenoiser, MMPSDenoiser  # noqa: E402
from azula.linalg.covariance import FullCovariance, IsotropicCovariance  # noqa: E402
from azula.noise import VESchedule  # noqa: E402

GAMMA, SCHEDULE = 0.3, VESchedule(0.01, 20.0)
PRIOR = EmpiricalDenoiser(pentagon().double())
CURVED = GaussianLikelihood(CoupledQuadraticOperator(), torch.tensor([0.9, 0.4], dtype=torch.float64), GAMMA)
TIMES = [0.35, 0.6, 0.9]


class OurPrior(Denoiser):
    """Our denoiser in azula's interface: x_t = x_0 + sigma_t eps."""

    schedule = SCHEDULE

    def forward(self, x_t, t, **kwargs):
        return DiracPosterior(mean=PRIOR(x_t, self.schedule(t)[1]))


@pytest.fixture
def x(generator):
    return torch.randn(6, 2, generator=generator)


def ours(step, x, time):
    sigma = SCHEDULE(torch.tensor(time))[1]
    return step(PRIOR, x, sigma, sigma / 2, generator=torch.Generator()).denoised


@pytest.mark.parametrize("time", TIMES)
def test_mmps_step_is_azulas(time, x):
    theirs = MMPSDenoiser(
        OurPrior(), CURVED.observed, CURVED.forward, IsotropicCovariance(GAMMA**2), solver="gmres", iterations=2
    )
    found = ours(mmps_step(CURVED, num_iterations=4), x, time)
    # Our solver takes each sample on its own; theirs takes the last axis, so samples are apart there too.
    torch.testing.assert_close(found, theirs(x, torch.tensor(time)).mean, rtol=0, atol=1e-9)


@pytest.mark.parametrize("time", TIMES)
def test_covariance_step_is_azulas(time, x):
    """JFPS evaluates the Jacobian at D; of an affine F there is one."""
    matrix = torch.tensor([[1.0, 0.4], [-0.2, 0.8], [0.5, 0.5]])
    covariance = torch.tensor([[2.0, 0.3], [0.3, 1.0]])
    likelihood = GaussianLikelihood(MatrixOperator(matrix), torch.tensor([1.0, 0.2, -0.3]), GAMMA)
    theirs = JFPSDenoiser(
        OurPrior(),
        likelihood.observed,
        likelihood.forward,
        IsotropicCovariance(GAMMA**2),
        FullCovariance(*reversed(torch.linalg.eigh(covariance))),
        solver="gmres",
        iterations=3,
    )
    found = ours(covariance_step(likelihood, covariance, matrix), x, time)
    torch.testing.assert_close(found, theirs(x, torch.tensor(time)).mean, rtol=0, atol=1e-9)


@pytest.mark.parametrize("time", TIMES)
def test_dps_step_is_azulas(time, x, monkeypatch):
    """One sample, for their norm is over the batch. Ours moves the variance-preserving iterate: its length differs."""
    noise = torch.randn(1, 2)
    monkeypatch.setattr(torch, "randn", lambda *_, **__: noise)
    monkeypatch.setattr(torch, "randn_like", lambda _: noise)
    t, s = torch.tensor(time), torch.tensor(time - 0.1)
    sigma, sigma_next = SCHEDULE(t)[1], SCHEDULE(s)[1]
    zeta = 0.1 * float(((1 + sigma**2) * (1 + sigma_next**2)).sqrt())
    theirs = DPSSampler(OurPrior(), CURVED.observed, CURVED.forward, zeta=zeta, silent=True).step(x[:1], t, s)
    step = dps_step(CURVED, scale=0.1, norm="norm")
    found = step(PRIOR, x[:1], sigma, sigma_next, generator=torch.Generator()).x
    torch.testing.assert_close(found, theirs, rtol=0, atol=1e-9 * float(theirs.abs().max()))


@pytest.mark.parametrize("time", TIMES)
def test_point_step_is_azulas_moment_matching_at_large_noise(time, x):
    """Noise so large that S is gamma^2 I: MMPS is then DPS's point estimate, but for the share of V."""
    noisy = GaussianLikelihood(CURVED.forward, CURVED.observed, 1e4)
    theirs = MMPSDenoiser(OurPrior(), CURVED.observed, CURVED.forward, IsotropicCovariance(1e8), "cg", 2)
    away = theirs(x, torch.tensor(time)).mean - ours(point_step(noisy), x, time)
    shift = ours(point_step(noisy), x, time) - PRIOR(x, SCHEDULE(torch.tensor(time))[1])
    assert float(away.norm()) < 1e-4 * float(shift.norm())
