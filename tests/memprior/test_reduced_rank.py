"""The best update of rank r is that of brute force, of Eckart and Young, and at full rank that of least squares."""

import math

import pytest
import torch
from helpers import assert_same

from memprior.reduced_rank import best_update


def drawn(num, inner, outer, seed=0):
    """Inputs (num, inner), targets (num, outer) and a map to start from."""
    generator = torch.Generator().manual_seed(seed)
    return tuple(torch.randn(*shape, generator=generator) for shape in ((num, inner), (num, outer), (outer, inner)))


def error_of(weight, inputs, targets):
    return (targets - inputs @ weight.T).square().mean()


def alternating(inputs, residual, rank, generator):
    """Least squares in one factor after the other, from five random starts: the least error found."""
    least = math.inf
    for _ in range(5):
        left = torch.randn(residual.shape[1], rank, generator=generator)
        for _ in range(200):
            # Of x right^T left^T the best right, then the best left.
            right = (torch.linalg.pinv(inputs) @ residual @ torch.linalg.pinv(left.T)).T
            left = (torch.linalg.pinv(inputs @ right.T) @ residual).T
        least = min(least, float(error_of(left @ right, inputs, residual)))
    return least


@pytest.mark.parametrize("rank", [1, 2])
@pytest.mark.parametrize("num", [4, 9])
def test_best_update_is_that_of_alternating_least_squares(num, rank, generator):
    """With fewer pairs than inputs and with more."""
    inputs, targets, start = drawn(num, 5, 3)
    found = best_update(inputs, targets, rank, start=start)
    brute = alternating(inputs, targets - inputs @ start.T, rank, generator)
    # Alternation converges linearly, at a ratio of neighboring singular values: after 200 rounds, of rounding.
    assert found.training_error == pytest.approx(brute, rel=1e-9)
    assert torch.linalg.matrix_rank(found.weight() - start) == rank


def test_best_update_of_orthonormal_inputs_is_the_truncated_svd():
    """Eckart and Young."""
    _, targets, _ = drawn(6, 6, 4)
    found = best_update(torch.eye(6), targets, 4)
    u, s, vt = torch.linalg.svd(targets.T, full_matrices=False)
    for rank in range(5):
        assert_same(found.weight(rank), u[:, :rank] * s[:rank] @ vt[:rank])
        assert_same(found.errors[rank] + 1, s[rank:].square().sum() / targets.numel() + 1)


@pytest.mark.parametrize("num", [4, 40])
def test_best_update_of_full_rank_is_least_squares_of_minimum_norm(num):
    inputs, targets, start = drawn(num, 7, 5)
    found = best_update(inputs, targets, 5, start=start)
    solved = torch.linalg.lstsq(inputs, targets - inputs @ start.T, driver="gelsd").solution.T
    assert_same(found.weight() - start, solved)
    assert_same(found.errors[5] + 1, error_of(start + solved, inputs, targets) + 1)


def test_best_update_of_rank_zero_is_the_start():
    inputs, targets, start = drawn(6, 5, 3)
    found = best_update(inputs, targets, 0, start=start)
    assert torch.equal(found.weight(), start)
    assert_same(found.errors, error_of(start, inputs, targets)[None])


@pytest.mark.parametrize("num", [3, 6, 30])
def test_best_update_errors_are_those_of_its_weights_and_fall(num):
    inputs, targets, start = drawn(num, 8, 6)
    found = best_update(inputs, targets, 6, start=start)
    errors = torch.stack([error_of(found.weight(rank), inputs, targets) for rank in range(7)])
    assert_same(found.errors, errors)
    assert found.training_error == float(found.errors[-1])
    assert bool((found.errors.diff() <= 0).all())
    assert float(found.errors[min(num, 6)]) < float(found.errors[0])
    # A lower rank, asked for by itself, is the same one.
    assert_same(best_update(inputs, targets, 2, start=start).weight(), found.weight(2))


def test_best_update_moves_nothing_that_the_inputs_do_not_reach():
    inputs, targets, start = drawn(3, 8, 6)
    found = best_update(inputs, targets, 6, start=start)
    _, _, directions = torch.linalg.svd(inputs)
    assert_same((found.weight() - start) @ directions[3:].T + 1, torch.ones(6, 5))
    assert float(found.errors[3]) < 1e-28  # three pairs are fitted at rank three
    assert torch.equal(found.left[:, 3:], torch.zeros(6, 3))


def test_best_update_takes_inputs_that_repeat_and_inputs_of_zero():
    inputs, targets, _ = drawn(4, 8, 6)
    twice = best_update(torch.cat([inputs, inputs]), torch.cat([targets, targets + 1]), 6)
    assert_same(twice.weight(), best_update(inputs, targets + 0.5, 6).weight())
    nothing = best_update(torch.zeros(4, 8), targets, 2)
    assert torch.equal(nothing.weight(), torch.zeros(6, 8))
    assert_same(nothing.errors, targets.square().mean().expand(3))


def test_best_update_is_found_in_float64():
    inputs, targets, start = (x.float() for x in drawn(6, 5, 3))
    found = best_update(inputs, targets, 2, start=start)
    assert {x.dtype for x in (found.start, found.left, found.right, found.errors)} == {torch.float64}
    again = best_update(inputs.double(), targets.double(), 2, start=start.double())
    assert torch.equal(found.weight(), again.weight())


INPUTS, TARGETS, START = torch.ones(4, 3), torch.ones(4, 2), torch.ones(2, 3)
NAN = torch.full((4, 3), math.nan)
BAD = {
    "rank above": ("rank: expected an integer from 0 to 2, got 3", lambda: best_update(INPUTS, TARGETS, 3)),
    "rank below": ("rank: expected an integer >= 0, got -1", lambda: best_update(INPUTS, TARGETS, -1)),
    "half a rank": ("rank: expected an integer", lambda: best_update(INPUTS, TARGETS, 1.5)),
    "rank of true": ("rank: expected an integer", lambda: best_update(INPUTS, TARGETS, True)),
    "fewer targets": ("targets: expected one for each of the 4 inputs", lambda: best_update(INPUTS, TARGETS[:3], 1)),
    "no pairs": ("inputs: expected at least one", lambda: best_update(INPUTS[:0], TARGETS[:0], 1)),
    "inputs of nan": ("inputs: expected finite", lambda: best_update(NAN, TARGETS, 1)),
    "targets of nan": ("targets: expected finite", lambda: best_update(INPUTS, NAN[:, :2], 1)),
    "start of nan": ("start: expected finite", lambda: best_update(INPUTS, TARGETS, 1, start=NAN[:2])),
    "start transposed": (r"start: expected shape \(B, 3\)", lambda: best_update(INPUTS, TARGETS, 1, start=START.T)),
    "start of more": (r"start: expected shape \(2, 3\)", lambda: best_update(INPUTS, TARGETS, 1, start=INPUTS)),
    "weight of more": ("rank: expected an integer from 0 to 1", lambda: best_update(INPUTS, TARGETS, 1).weight(2)),
}


@pytest.mark.parametrize(("message", "call"), BAD.values(), ids=BAD)
def test_best_update_names_bad_input(message, call):
    with pytest.raises(ValueError, match=f"^{message}"):
        call()


def test_best_update_takes_rounding_of_float32_for_rounding():
    """Inputs x and x / 3 are one direction; what float32 leaves of a second one must not be fitted."""
    x = torch.randn(1, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float32)
    inputs, targets = torch.cat([x, x / 3]), torch.tensor([[1.0], [0.0]], dtype=torch.float32)
    found = best_update(inputs, targets, 1)
    expected = best_update(inputs[:1].double() * torch.tensor([[1.0], [1 / 3]]).double(), targets.double(), 1)
    assert found.training_error == pytest.approx(expected.training_error, rel=1e-5)
    assert float(found.weight().norm()) == pytest.approx(float(expected.weight().norm()), rel=1e-5)
