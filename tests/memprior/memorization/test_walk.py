"""A walk is even under an orthonormal map and jumps under a lookup; slerp keeps to the sphere at constant speed."""

import math

import pytest
import torch

from memprior.memorization import jump_share, latent_walk, nearest_neighbors, slerp


def draws(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_slerp_goes_at_constant_speed_on_the_sphere():
    a, b = (x / x.norm() for x in draws(2, 16))
    path = slerp(a, b, torch.linspace(0, 1, 33, dtype=torch.float64))
    torch.testing.assert_close(path.norm(dim=1), torch.ones(33, dtype=torch.float64))
    steps = path.diff(dim=0).norm(dim=1)
    omega = math.acos(float(a @ b))
    torch.testing.assert_close(steps, torch.full_like(steps, 2 * math.sin(omega / 64)))
    torch.testing.assert_close(path[0], a)
    torch.testing.assert_close(path[-1], b)
    torch.testing.assert_close(slerp(b, a, 0.25), path[24])


def test_slerp_of_near_points_is_linear():
    a = draws(16)
    b = a + 1e-9 * draws(16, seed=1)
    torch.testing.assert_close(slerp(a, b, 0.5), (a + b) / 2, rtol=1e-12, atol=0)


def test_walk_of_an_orthonormal_map_is_even():
    basis = torch.linalg.qr(draws(30, 16))[0]
    a, b = (x / x.norm() for x in draws(2, 16, seed=1))
    walk = latent_walk(lambda z: z @ basis.T, a, b, draws(5, 30, seed=2), num_steps=50)
    assert walk.jump_share == pytest.approx(0.1, rel=1e-12)


def test_walk_of_a_lookup_stands_still_but_for_jumps():
    examples, (a, b) = draws(20, 16), draws(2, 16, seed=1)
    walk = latent_walk(lambda z: examples[nearest_neighbors(z, examples, 1).indices[:, 0]], a, b, examples)
    assert walk.outputs.shape == (101, 16)
    assert 1 <= walk.num_switches <= 10
    assert walk.jump_share == 1
    assert float(walk.neighbors.distances[:, 0].max()) == 0
    assert int((walk.steps > 0).sum()) == walk.num_switches


def test_jump_share_counts_the_largest_steps():
    steps = torch.arange(1.0, 21.0)
    assert jump_share(steps) == pytest.approx(39 / 210)
    assert jump_share(steps, 1.0) == 1
    assert jump_share(torch.ones(3)) == pytest.approx(1 / 3)  # at least one of them
    assert math.isnan(jump_share(torch.zeros(3)))


def test_walk_names_bad_input():
    a, examples = torch.ones(2), torch.eye(2)
    for call, message in (
        (lambda: slerp(a, -a, 0.5), "b: expected a point that is not opposite to a, got one that is"),
        (lambda: slerp(0 * a, a, 0.5), "a: expected a point that is not zero, got zero"),
        (lambda: slerp(a[None], a, 0.5), r"a: expected shape \(latent,\), got \(1, 2\)"),
        (lambda: slerp(a, a[:1], 0.5), r"b: expected torch\.float64 \(2,\), got torch\.float64 \(1,\)"),
        (lambda: jump_share(a - 2), "steps: expected lengths >= 0, got -1"),
        (lambda: jump_share(a[:0]), r"steps: expected shape \(T,\), T >= 1"),
        (lambda: jump_share(a, 2), "largest: expected at most 1, got 2"),
        (lambda: latent_walk(torch.sign, a, a, examples, num_steps=0), "num_steps: expected an integer >= 1"),
        (lambda: latent_walk(torch.sign, a, a, examples[:1]), r"examples: expected shape \(N, ...\), N >= 2"),
        (lambda: latent_walk(torch.sign, a, a, torch.eye(3)), r"examples: expected the outputs' shape \(N, \*\(2,\)\)"),
    ):
        with pytest.raises(ValueError, match=message):
            call()
    with pytest.raises(TypeError, match="a: expected a torch"):
        slerp([1.0], a, 0.5)
