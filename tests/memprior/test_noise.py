"""Noise levels are those of the published schedules."""

import numpy as np
import pytest
import torch
from helpers import assert_same

from memprior.noise import ddpm_sigmas, karras_sigmas, perturb


@pytest.mark.parametrize("num_steps", [1, 200, 1000])
def test_ddpm_levels_are_the_cumulative_product(num_steps):
    abar = np.cumprod(1 - np.linspace(1e-4, 2e-2, num_steps))
    sigmas = ddpm_sigmas(num_steps)
    assert sigmas.shape == (num_steps + 1,)
    # 1 - abar cancels: at the first level it is beta_min = 1e-4, so numpy's own product keeps 1e-12 of it.
    np.testing.assert_allclose(sigmas[:-1], np.sqrt((1 - abar) / abar)[::-1], rtol=1e-11)


def test_ddpm_levels_of_200_steps_stop_far_from_pure_noise():
    sigma_last = float(ddpm_sigmas(200)[0])
    assert 1 / (1 + sigma_last**2) == pytest.approx(0.132, abs=5e-4)
    assert sigma_last == pytest.approx(2.56, abs=5e-3)


def test_karras_levels_are_even_in_the_root():
    sigmas = karras_sigmas(7, 1e-3, 80.0, rho=3.0)
    roots = sigmas[:-1] ** (1 / 3)
    assert_same(roots.diff(), (roots[-1] - roots[0]).expand(6) / 6)
    assert_same(sigmas[[0, -2]], [80.0, 1e-3])


@pytest.mark.parametrize("sigmas", [ddpm_sigmas(200), karras_sigmas(100, 1e-3, 80.0)], ids=["ddpm", "karras"])
def test_noise_levels_descend_to_zero_in_float64(sigmas):
    assert sigmas.dtype == torch.float64
    assert bool((sigmas.diff() < 0).all())
    assert sigmas[-1] == 0


def test_noise_levels_do_not_depend_on_the_default_dtype():
    in_double = ddpm_sigmas(50), karras_sigmas(50, 1e-3, 80.0)
    torch.set_default_dtype(torch.float32)
    assert torch.equal(ddpm_sigmas(50), in_double[0])
    assert torch.equal(karras_sigmas(50, 1e-3, 80.0), in_double[1])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_perturb_adds_sigma_times_standard_normals_row_by_row(dtype):
    x, sigma = torch.ones(3, 4, dtype=dtype), torch.tensor([0.5, 1.0, 20.0])
    noisy = perturb(x, sigma, generator=torch.Generator().manual_seed(1))
    eps = torch.randn(3, 4, dtype=dtype, generator=torch.Generator().manual_seed(1))
    assert torch.equal(noisy, x + sigma[:, None].to(dtype) * eps)
