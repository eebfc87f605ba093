"""The iteration of an autoencoder: a lookup lands on its examples, a linear autoencoder and the identity on none."""

import pytest
import torch

from memprior.linear_autoencoder import best_linear_autoencoder
from memprior.memorization import attractors, nearest_neighbors


def draws(num, seed, size=20):
    return torch.randn(num, size, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_attractors_of_a_lookup_are_its_examples_and_no_held_out_ones():
    examples, held_out, starts = draws(8, 0), draws(8, 1), draws(50, 2)

    def lookup(x):
        """Half of the way to the nearest example."""
        return (x + examples[nearest_neighbors(x, examples, 1).indices[:, 0]]) / 2

    found = attractors(lookup, starts, examples, num_iterations=30)
    assert found.fixed.value == found.landed.value == 1
    assert found.num_reached == len(nearest_neighbors(starts, examples, 1).indices.unique())
    torch.testing.assert_close(found.ends, examples[found.nearest], rtol=0, atol=1e-7)
    control = attractors(lookup, starts, held_out, num_iterations=30)
    assert control.fixed.value == 1
    assert control.landed.value == 0
    assert control.num_reached == 0


def test_attractors_of_a_linear_autoencoder_are_none():
    """A projection moves once: all ends are fixed, and none is an example."""
    examples, starts = draws(40, 0), draws(50, 1)
    found = attractors(best_linear_autoencoder(examples, 3), starts, examples, num_iterations=2)
    assert found.fixed.value == 1
    assert found.landed.value == 0


def test_attractors_of_a_slow_or_growing_map_have_not_landed():
    examples, starts = torch.eye(3, dtype=torch.float64), draws(4, 0, 3)
    turned = attractors(lambda x: -x, examples.clone(), examples, num_iterations=10)
    assert turned.landed.value == turned.fixed.value == 0
    with_overflow = attractors(lambda x: 1e30 * x, starts, examples, num_iterations=20)
    assert with_overflow.fixed.value == with_overflow.landed.value == 0
    assert bool(with_overflow.steps.isnan().all())
    assert with_overflow.num_reached == 0


def test_attractors_are_told_of_each_start_alone():
    examples, starts = draws(8, 0), draws(5, 2)
    together = attractors(torch.tanh, starts, examples, num_iterations=3)
    for k, start in enumerate(starts):
        alone = attractors(torch.tanh, start[None], examples, num_iterations=3)
        assert torch.equal(alone.ends[0], together.ends[k])
        assert torch.equal(alone.gaps[0], together.gaps[k])


def test_attractors_name_bad_input():
    x = torch.ones(3, 2)
    for arguments, options, message in (
        ((torch.tanh, x, x[:1]), {}, "examples: expected at least two, got 1"),
        ((torch.tanh, x, 0 * x), {}, "examples: expected examples that do not all vanish, got zeros"),
        ((torch.tanh, x[:, :1], x), {}, r"starts: expected shape \(B, \*\(2,\)\)"),
        ((torch.tanh, x.float(), x), {}, r"starts: expected dtype torch\.float64"),
        ((torch.tanh, x * torch.nan, x), {}, "starts: expected finite numbers"),
        ((lambda x: x[:, :1], x, x), {}, r"autoencoder: expected outputs of shape \(3, 2\), got \(3, 1\)"),
        ((torch.tanh, x, x), {"num_iterations": 0}, "num_iterations: expected an integer >= 1"),
        ((torch.tanh, x, x), {"tolerance": 0}, "tolerance: expected one number, finite and > 0"),
        ((torch.tanh, x, x), {"gap": 1}, "gap: expected below 1, got 1"),
    ):
        with pytest.raises(ValueError, match=message):
            attractors(*arguments, **options)
    with pytest.raises(TypeError, match="examples: expected a torch"):
        attractors(torch.tanh, x, [1.0])
