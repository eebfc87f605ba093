"""Operators are differentiable in both modes, and their Jacobians are the closed forms."""

import dataclasses
import math
from types import SimpleNamespace
from unittest import mock

import pytest
import torch
from helpers import (
    DETACHED,
    MATRIX,
    OPERATORS,
    UNTRACED,
    BySimulator,
    assert_adjoint,
    assert_batch_independent,
    assert_derivative,
    assert_same,
    every_detached,
    every_operator,
)

from memprior.fields import CosineBasis, Grid
from memprior.operators import (
    CoupledQuadraticOperator,
    CubicOperator,
    LinearOperator,
    MatrixOperator,
    check_operator,
    compose,
    expect_traced,
    jacobian,
    predicted,
)


@every_operator
def test_operators_reverse_mode_is_the_adjoint_of_forward_mode(operator, size, generator):
    assert_adjoint(operator, torch.randn(4, size, generator=generator), generator)


@every_operator
def test_jacobian_is_the_derivative(operator, size, generator):
    def along(x, v):
        return (jacobian(operator, x) @ v[..., None])[..., 0]

    assert_derivative(operator, along, torch.randn(4, size, generator=generator), generator)


@every_operator
def test_operator_batch_equals_its_members(operator, size, generator):
    x = torch.randn(5, size, generator=generator)
    assert_batch_independent(operator, x)
    assert_batch_independent(lambda x: jacobian(operator, x), x)


@every_operator
def test_jacobian_own_generic_and_by_autograd_agree(operator, size, generator):
    x = torch.randn(3, size, generator=generator)
    dense = torch.stack([torch.autograd.functional.jacobian(lambda one: operator(one[None])[0], one) for one in x])
    assert_same(jacobian(operator, x), dense)
    assert_same(jacobian(lambda x: operator(x), x), dense)


@every_operator
def test_jacobian_leaves_no_graph_and_needs_no_grad_mode(operator, size):
    x = torch.ones(2, size, requires_grad=True)
    with torch.no_grad():
        assert not jacobian(operator, x).requires_grad
    assert x.grad is None


@pytest.mark.parametrize("name", ["cubic", "coupled", "pixels after basis"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_operator_dtype_follows_the_input(name, dtype):
    operator, size = OPERATORS[name]
    x = torch.ones(2, size, dtype=dtype)
    assert (operator(x).dtype, jacobian(operator, x).dtype) == (dtype, dtype)


def test_cubic_operator_has_its_value_and_slope():
    x = torch.tensor([[-1.5], [0.0], [2.0]])
    assert_same(CubicOperator()(x), [[-2.5125], [0.0], [4.4]])
    assert_same(jacobian(CubicOperator(), x), 1 + 0.9 * x[..., None] ** 2)


def test_coupled_quadratic_operator_has_its_value_and_jacobian():
    x = torch.tensor([[2.0, 0.0], [-1.0, 3.0]])
    assert_same(CoupledQuadraticOperator()(x), [[2.0, 0.8], [-1.9, 3.2]])
    assert_same(
        jacobian(CoupledQuadraticOperator(), x),
        [[[1.0, 0.6], [0.8, 1.0]], [[1.9, -0.3], [-0.4, 1.0]]],
    )


def test_matrix_operator_is_its_own_jacobian(generator):
    operator, x = MatrixOperator(MATRIX), torch.randn(2, 3, generator=generator)
    w = torch.randn(2, 5, generator=generator)
    assert_same(jacobian(operator, x), MATRIX.expand(2, 5, 3))
    assert_same(torch.func.vjp(operator, x)[1](w)[0], w @ MATRIX)


def test_compose_chains_the_jacobians(generator):
    inner, outer = CoupledQuadraticOperator(), MatrixOperator(MATRIX[:, :2].contiguous())
    x = torch.randn(3, 2, generator=generator)
    both = compose(outer, inner)
    assert_same(both(x), outer(inner(x)))
    assert_same(jacobian(both, x), MATRIX[:, :2] @ jacobian(inner, x))


def test_compose_calls_the_outer_operators_own_jacobian(generator):
    class Counting(MatrixOperator):
        asked = 0

        def jacobian(self, x):
            type(self).asked += 1
            return super().jacobian(x)

    basis = CosineBasis(Grid((3, 4), 0.1), 2)
    pixels = Counting(torch.randn(2, 12, generator=generator))
    operator = compose(pixels, lambda z: basis.decode(z).flatten(1))
    modes = (basis.decode(torch.eye(4)) - 0.25).flatten(1).T
    assert_same(jacobian(operator, torch.ones(2, 4)), (pixels.matrix @ modes).expand(2, 2, 4))
    assert Counting.asked == 1


def test_compose_calls_the_inner_operators_own_jacobian(generator):
    """One product with it, and no reverse pass: the same numbers as through the function alone."""
    basis, outer = CosineBasis(Grid((3, 4), 0.1), 2), _squared_cells
    z = torch.randn(3, 4, generator=generator)
    assert_same(jacobian(compose(outer, basis), z), jacobian(compose(outer, basis.decode), z))
    assert_same(jacobian(basis, z)[1], torch.autograd.functional.jacobian(lambda z: basis(z[None])[0].flatten(), z[1]))
    with mock.patch.object(torch.autograd, "grad", side_effect=AssertionError("a reverse pass")):
        jacobian(compose(MatrixOperator(MATRIX), _Doubling()), torch.ones(2, 3))


class _Doubling:
    """x -> 2 x, with its own Jacobian."""

    def __call__(self, x):
        return 2 * x

    def jacobian(self, x):
        return 2 * torch.eye(3).expand(len(x), 3, 3)


def _squared_cells(fields):
    return fields.flatten(1).square()


def test_compose_nests(generator):
    quadratic = CoupledQuadraticOperator()
    thrice = compose(quadratic, compose(quadratic, quadratic))
    x = torch.randn(3, 2, generator=generator)
    once, twice = quadratic(x), quadratic(quadratic(x))
    assert_same(jacobian(thrice, x), jacobian(quadratic, twice) @ jacobian(quadratic, once) @ jacobian(quadratic, x))


def test_assert_derivative_catches_a_slope_slightly_off(generator):
    def along(x, v):
        return (1 + 1e-4) * (1 + 0.9 * x**2) * v

    with pytest.raises(AssertionError):
        assert_derivative(CubicOperator(), along, torch.ones(3, 1), generator)


def test_jacobian_is_zero_along_a_coordinate_that_data_ignore():
    assert_same(
        jacobian(lambda x: torch.stack([x[:, 0], torch.ones_like(x[:, 0])], dim=1), torch.ones(2, 2)),
        torch.tensor([[1.0, 0.0], [0.0, 0.0]]).expand(2, 2, 2),
    )


def test_jacobian_of_constant_data_is_zero():
    assert torch.equal(jacobian(lambda x: torch.ones(len(x), 4), torch.ones(2, 3)), torch.zeros(2, 4, 3))


@every_detached
def test_jacobian_refuses_an_operator_outside_the_graph(forward, generator):
    with pytest.raises(ValueError, match=UNTRACED):
        jacobian(forward, torch.randn(2, 3, generator=generator))


@every_detached
def test_predicted_takes_an_operator_outside_the_graph(forward, generator):
    x = torch.randn(2, 3, generator=generator)
    with torch.no_grad():
        assert torch.equal(predicted(forward, x), forward(x))


def test_jacobian_counts_the_data_outside_the_graph(generator):
    with pytest.raises(ValueError, match="2 of whose 5 components that move with x have no derivative"):
        jacobian(DETACHED["rows by numpy"], torch.randn(2, 3, generator=generator))


def test_jacobian_refuses_a_network_fed_outside_the_graph(generator):
    """Its data require a gradient through its weights, but do not depend on x."""
    layer = torch.nn.Linear(3, 5)
    with pytest.raises(ValueError, match=UNTRACED.split(", got")[0]):
        jacobian(lambda x: layer(x.detach()), torch.randn(2, 3, generator=generator))


def test_jacobian_of_the_operators_own_replaces_the_graph(generator):
    """Reverse mode, forward mode and composed with a map, by the simulator's own matrix."""
    x, v, w = (torch.randn(2, size, generator=generator) for size in (3, 3, 5))
    forward = BySimulator()
    traced = x.clone().requires_grad_()
    assert_same(torch.autograd.grad(predicted(forward, traced), traced, w)[0], w @ MATRIX)
    with torch.autograd.forward_ad.dual_level():
        data = predicted(forward, torch.autograd.forward_ad.make_dual(x, v))
        assert_same(torch.autograd.forward_ad.unpack_dual(data).tangent, v @ MATRIX.T)
    doubled = compose(forward, lambda x: 2 * x)
    assert_same(torch.autograd.grad(predicted(doubled, traced), traced, w)[0], 2 * w @ MATRIX)
    assert_same(jacobian(doubled, x), (2 * MATRIX).expand(2, 5, 3))


def _flat_row(x):
    return torch.stack([x[:, 0], 0 * x[:, 0] + 3, x[:, 1] - x[:, 0]], 1)


FLAT = torch.ones(2, 3, dtype=torch.float64)
SOUND = {
    "a row of zeros": (_flat_row, FLAT[:, :2]),
    "a row that is a constant": (lambda x: torch.cat([x, torch.ones(len(x), 2)], 1), FLAT),
    "a kink": (torch.relu, 0 * FLAT),
    "a stationary point": (lambda x: x**3, 0 * FLAT),
    "a bound": (lambda x: x.clamp(-1, 1), FLAT),
    "an invalid neighbor": (torch.special.ndtri, FLAT - 1e-5),
    "small in single precision": (lambda x: 1e3 + x, FLAT.float()),
    "fast waves": (lambda x: torch.cat([(300 * x).sin(), (300 * x).cos()], 1), 1 + FLAT.cumsum(1) / 7),
    "far from zero": (lambda x: (x - 2500) ** 2, 2500.3 + FLAT.cumsum(1)),
    "x of two axes": (lambda x: x.square().sum(2), FLAT.cumsum(0)[..., None].expand(2, 3, 2)),
    "tiny x": (lambda x: x @ MATRIX.T, 1e-30 * FLAT),
}


@pytest.mark.parametrize(("forward", "x"), SOUND.values(), ids=SOUND)
def test_jacobian_accepts_every_torch_operator(forward, x):
    expect_traced(forward, x)
    dense = torch.stack([torch.autograd.functional.jacobian(lambda one: forward(one[None])[0], one) for one in x])
    assert_same(jacobian(forward, x), dense.flatten(2))


def test_jacobian_accepts_an_operator_that_refuses_nearby_points():
    def forward(x):
        if not bool((x == 1).all()):
            raise RuntimeError("only here")
        return 2 * x

    assert_same(jacobian(forward, torch.ones(1, 2)), 2 * torch.eye(2)[None])


def test_jacobian_refuses_numpy_data_by_name():
    for call in (lambda f: jacobian(f, torch.ones(2, 3)), lambda f: predicted(f, torch.ones(2, 3))):
        with pytest.raises(TypeError, match=r"^forward: expected a torch.Tensor \(B, m\), got ndarray from .*<lambda>"):
            call(lambda x: x.detach().numpy())


@every_operator
def test_check_operator_passes_every_operator_of_the_library(operator, size, generator):
    found = check_operator(operator, torch.randn(3, size, generator=generator), generator=generator)
    linear = isinstance(operator, MatrixOperator)
    assert found.taylor_slope == (math.inf if linear else pytest.approx(2, abs=1e-2))
    gaps = [found.adjoint_gap, found.batch_gap] + ([found.jacobian_gap] if hasattr(operator, "jacobian") else [])
    assert max(gaps) < 1e-14
    assert (found.jacobian_gap is None) == (not hasattr(operator, "jacobian"))


def test_check_operator_takes_an_operator_of_numpy_by_its_own_jacobian(generator):
    found = check_operator(BySimulator(), torch.randn(2, 3, generator=generator), generator=generator)
    assert found.taylor_slope == math.inf
    assert found.jacobian_gap < 1e-15  # one product has as many roundings as columns, in an order of the machine's


def test_check_operator_passes_single_precision_and_fields(generator):
    """Models with two axes and values around 2, in float32."""
    x = 2 + 0.1 * torch.randn(3, 4, 5, generator=generator, dtype=torch.float32)
    found = check_operator(lambda x: x.flatten(1).sin() * 3, x, generator=generator)
    assert found.taylor_slope == pytest.approx(2, abs=0.1)
    assert found.adjoint_gap < 1e-6


def test_check_operator_finds_no_slope_along_what_data_ignore(generator):
    found = check_operator(lambda x: torch.ones(len(x), 4), torch.ones(2, 3), generator=generator)
    assert dataclasses.astuple(found) == (math.inf, 0, 0, None)


class _Custom(torch.autograd.Function):
    """x^3 with derivatives that are ``forth`` and ``back`` times 3 x^2."""

    @staticmethod
    def forward(x, forth, back):
        return x**3

    @staticmethod
    def setup_context(ctx, inputs, output):
        x, ctx.forth, ctx.back = inputs
        ctx.save_for_backward(x)
        ctx.save_for_forward(x)

    @staticmethod
    def backward(ctx, cotangent):
        return ctx.back * 3 * ctx.saved_tensors[0] ** 2 * cotangent, None, None

    @staticmethod
    def jvp(ctx, tangent, *_):
        return ctx.forth * 3 * ctx.saved_tensors[0] ** 2 * tangent


class _ReverseOnly(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x**2

    @staticmethod
    def backward(ctx, cotangent):
        return 2 * ctx.saved_tensors[0] * cotangent


class _OffBy:
    """x^2, traced or by numpy, with a Jacobian of its own that is too large by ``share``."""

    def __init__(self, share, by_numpy=False):
        self.share, self.by_numpy = share, by_numpy

    def __call__(self, x):
        return torch.from_numpy(x.detach().numpy() ** 2) if self.by_numpy else x**2

    def jacobian(self, x):
        return torch.diag_embed((1 + self.share) * 2 * x)


REFUSED = {
    "batch": (lambda x: x - x.mean(0), "members that do not depend on their batch, got <lambda> with a batch gap of "),
    "forward mode": (
        lambda x: _Custom.apply(x, 1.001, 1.001),
        r"falls as h\^2, got <lambda> with a Taylor slope of 1.* and an adjoint gap of ",
    ),
    "reverse mode": (
        lambda x: _Custom.apply(x, 1.0, 1 + 1e-9),
        "a reverse mode that is the adjoint of .*, got <lambda> with a Taylor slope of 2 and an adjoint gap of .*e-10",
    ),
    "no forward mode": (_ReverseOnly.apply, "a derivative in forward mode, got .*apply: "),
    "no reverse mode": (torch.no_grad()(lambda x: x**3), "data that depend on x by torch operations"),
    "jacobian beside torch's": (_OffBy(1e-9), "a .jacobian that is the derivative, got _OffBy, 1e-09 off"),
    "jacobian beside numpy": (
        _OffBy(1e-3, by_numpy=True),
        r"falls as h\^2, J its .jacobian or by forward mode, got _OffBy",
    ),
    "kink": (lambda x: (x - 1.5).abs(), r"falls as h\^2, got <lambda> with a Taylor slope of "),
    "NaN for a slope": (lambda x: (x - 1.5).square().sqrt(), "got <lambda> with a Taylor slope of nan"),
    "shape": (lambda x: x[:, :, None], r"data of shape \(2, m\), got \(2, 3, 1\)"),
    "dtype": (lambda x: x.float(), "dtype torch.float64, got torch.float32"),
    "not finite": (lambda x: x.log() * math.inf, "finite numbers, got 6 NaN or infinite of 6"),
}


@pytest.mark.parametrize(("forward", "said"), REFUSED.values(), ids=REFUSED)
def test_check_operator_refuses_what_breaks_the_contract_and_says_by_how_much(forward, said, generator):
    x = torch.tensor([[1.5, 0.5, 2.0], [1.0, 1.5, 0.7]])
    with pytest.raises(ValueError, match=f"^forward: expected .*{said}"):
        check_operator(forward, x, generator=generator)


@every_detached
def test_check_operator_refuses_an_operator_outside_the_graph(forward, generator):
    with pytest.raises(ValueError, match=UNTRACED):
        check_operator(forward, torch.randn(2, 3, generator=generator), generator=generator)


def test_check_operator_needs_a_batch_and_a_generator(generator):
    with pytest.raises(ValueError, match=r"^x: expected a batch of at least two models, got \(1, 1\)"):
        check_operator(CubicOperator(), torch.ones(1, 1), generator=generator)
    with pytest.raises(TypeError, match=r"^generator: expected a torch.Generator, got NoneType"):
        check_operator(CubicOperator(), torch.ones(2, 1), generator=None)


def test_linear_operator_is_one_that_brings_its_matrix():
    assert isinstance(MatrixOperator(MATRIX), LinearOperator)
    assert not isinstance(CubicOperator(), LinearOperator)
    assert not isinstance(SimpleNamespace(matrix=MATRIX), LinearOperator)


def test_forward_operator_may_name_its_argument(generator):
    """Every operator of the library is called by position alone."""

    class Named:
        def __call__(self, squared_slowness):
            return squared_slowness**2

    x = torch.randn(2, 3, generator=generator)
    check_operator(Named(), x, generator=generator)
    assert_same(compose(Named(), Named())(x), x**4)
    assert_same(jacobian(compose(Named(), Named()), x), torch.diag_embed(4 * x**3))
