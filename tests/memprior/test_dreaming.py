"""Dreams: a power iteration where the layer is linear; a batch equals its members; what is held is held; budgets."""

import math

import pytest
import torch
from torch import nn

from memprior.dreaming import (
    DataBudget,
    DreamPlan,
    ascended_spectrum,
    ascent_rate,
    band_matrix,
    bins_apart,
    dream,
    expect_sections,
    filter_power,
    gaussian_smoothed,
    hold,
    layer_norm_objective,
    layer_output,
    linearized_norm_objective,
    logit_objective,
    peak_wavenumber,
    shifted,
)
from memprior.facies_network import FaciesNetwork

D = torch.float64
SIZE = 6, 5


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def drawn(*shape, seed=0):
    return torch.randn(*shape, generator=generator(seed), dtype=D)


def with_singular_values(values, num, seed=0):
    """A matrix of ``num`` columns with these singular values, and its right singular vectors."""
    left = torch.linalg.qr(drawn(len(values), len(values), seed=seed))[0]
    right = torch.linalg.qr(drawn(num, num, seed=seed + 1))[0][:, : len(values)]
    return left @ torch.diag(torch.tensor(values, dtype=D)) @ right.T, right


def norm_of(matrix):
    return lambda x: (x.flatten(1) @ matrix.T).norm(dim=1)


def angle(x, direction):
    """Between a line and a vector; the sine, for the cosine cannot tell 1e-8 from 0."""
    x = x.flatten() / x.norm()
    return math.asin(min(1.0, float((x - (x @ direction) * direction).norm())))


def last(states):
    *_, state = states
    return state


# ---- the theorem ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("step", [0.3, 1.0, 4.0])
def test_ascent_of_a_linear_layer_goes_to_its_top_singular_vector_at_the_rate_of_the_theorem(step):
    values = [2.0, 1.5, 1.2, 0.7]
    matrix, right = with_singular_values(values, 30)
    rate = ascent_rate(step, 1 - (values[1] / values[0]) ** 2)
    start = drawn(1, *SIZE, seed=7)
    tangents = [math.tan(angle(start, right[:, 0]))]
    for state in dream(norm_of(matrix), start, DreamPlan(math.ceil(math.log(1e-9) / math.log(rate)), step, "section")):
        tangents.append(math.tan(angle(state.sections, right[:, 0])))
    assert angle(state.sections, right[:, 0]) < 1e-6
    clear = [k for k in range(len(tangents) - 1) if tangents[k] > 1e-7]  # of rounding
    factors = [tangents[k + 1] / tangents[k] for k in clear]
    assert max(factors) < rate + 1e-7
    assert factors[-1] == pytest.approx(rate, rel=0.05)
    assert float(state.sections.norm()) == pytest.approx(float(start.norm()))


def test_ascent_multiplies_each_singular_direction_as_a_power_iteration_does():
    values, step = [2.0, 1.0, 0.5], 0.7
    matrix, right = with_singular_values(values, 30)
    start = drawn(1, *SIZE, seed=3)
    state = last(dream(norm_of(matrix), start, DreamPlan(1, step, "section")))
    normal = matrix.T @ matrix
    c = step * start.norm() / (normal @ start.flatten()).norm()
    expected = start.flatten() + c * normal @ start.flatten()
    assert torch.allclose(state.sections.flatten(), expected * start.norm() / expected.norm(), atol=1e-12)
    # The null space of W is not forgotten in one step: it falls as all others do.
    outside = start.flatten() - right @ (right.T @ start.flatten())
    kept = state.sections.flatten() - right @ (right.T @ state.sections.flatten())
    assert torch.nn.functional.cosine_similarity(outside, kept, dim=0) == pytest.approx(1)


def test_ascent_of_a_repeated_top_singular_value_goes_to_the_start_projected_on_its_space():
    matrix, right = with_singular_values([2.0, 2.0, 1.0], 30)
    start = drawn(1, *SIZE, seed=5)
    state = last(dream(norm_of(matrix), start, DreamPlan(300, 1.0, "section")))
    space = right[:, :2]
    projected = space @ (space.T @ start.flatten())
    assert angle(state.sections, projected / projected.norm()) < 1e-6


def test_ascent_cannot_find_what_is_not_in_the_start():
    """In exact arithmetic: a start whose product with the top vector is exactly zero."""
    matrix = torch.diag(torch.tensor([3.0, 2.0, 1.0], dtype=D))
    start = torch.tensor([[[0.0], [1.0], [1.0]]], dtype=D).expand(1, 3, 1)
    state = last(dream(norm_of(matrix), start, DreamPlan(200, 1.0, "section")))
    assert state.sections.flatten().tolist() == pytest.approx([0, math.sqrt(2), 0], abs=1e-9)


@pytest.mark.parametrize("held", ["trace", "section"])
def test_ascent_never_lowers_the_norm_of_a_linear_layer(held):
    matrix = drawn(12, 30, seed=1)
    for seed in range(5):
        states = dream(norm_of(matrix), drawn(1, *SIZE, seed=20 + seed), DreamPlan(50, 3.0, held))
        values = torch.stack([state.values[0] for state in states])
        assert (values.diff() > -1e-10 * values[1:]).all()


def test_ascent_with_every_trace_held_ends_in_another_fixed_point():
    matrix, right = with_singular_values([2.0, 1.0, 0.9, 0.5], 30)
    start = drawn(1, *SIZE, seed=2)
    state = last(dream(norm_of(matrix), start, DreamPlan(3000, 1.0, "trace")))
    x = state.sections[0]
    assert torch.allclose(x.norm(dim=0), start[0].norm(dim=0))
    # Each trace of M x is parallel to that of x, with a factor of its own.
    moved = (matrix.T @ (matrix @ x.flatten())).reshape(SIZE)
    factors = (moved * x).sum(0) / x.square().sum(0)
    assert torch.allclose(moved, factors * x, atol=1e-8)
    assert factors.max() / factors.min() > 1.05  # no singular vector
    assert float(state.values[0]) < 2.0 * float(start.norm()) - 0.01
    assert abs(float(x.flatten() @ right[:, 0] / x.norm())) < 0.99


def test_ascent_with_every_trace_held_finds_a_top_vector_whose_traces_are_as_strong():
    top = torch.ones(SIZE, dtype=D).flatten() / math.sqrt(30)
    start = hold(drawn(1, *SIZE, seed=2).abs(), torch.ones(1, *SIZE, dtype=D), "trace")
    matrix = torch.eye(30, dtype=D) + 2 * torch.outer(top, top)
    state = last(dream(norm_of(matrix), start, DreamPlan(500, 1.0, "trace")))
    assert angle(state.sections, top) < 1e-6


def test_ascent_rate_is_one_without_a_gap_and_that_of_power_iteration_for_long_steps():
    assert ascent_rate(0.5, 0.0) == 1
    assert ascent_rate(1e12, 0.3) == pytest.approx(0.7)
    assert ascent_rate(0.5, 0.4) == pytest.approx(1 - 0.5 * 0.4 / 1.5)
    with pytest.raises(ValueError, match=r"gap: expected"):
        ascent_rate(1.0, 1.5)


# ---- convolutions --------------------------------------------------------------------------------------------------


def circular(weight):
    """Norm of a convolution on a torus."""

    def objective(x):
        wide = nn.functional.pad(x[:, None], (0, weight.shape[3] - 1, 0, weight.shape[2] - 1), mode="circular")
        return nn.functional.conv2d(wide, weight).flatten(1).norm(dim=1)

    return objective


def test_filter_power_holds_the_eigenvalues_of_a_convolution_on_a_torus():
    weight, size = drawn(3, 1, 3, 2), (6, 7)
    power = filter_power(weight, size)
    for down, across in ((0, 0), (1, 2), (3, 5)):
        t, x = torch.meshgrid(torch.arange(6, dtype=D), torch.arange(7, dtype=D), indexing="ij")
        wave = torch.cos(2 * math.pi * (down * t / 6 + across * x / 7) + 0.3)[None]
        assert float(circular(weight)(wave) / wave.norm()) ** 2 == pytest.approx(float(power[down, across]))


@pytest.mark.parametrize("seed", range(5))
def test_ascent_of_a_convolution_goes_to_the_wavenumber_of_most_power(seed):
    """Of zero-padded convolutions: the edges widen the line by a bin."""
    size = 32, 32
    layer = nn.Conv2d(1, 4, 5, padding=2, bias=False, dtype=D)
    with torch.no_grad():
        layer.weight.copy_(drawn(4, 1, 5, 5, seed=seed))
    power = filter_power(layer.weight.detach(), size)
    state = last(
        dream(lambda x: layer(x[:, None]).flatten(1).norm(dim=1), drawn(1, *size), DreamPlan(300, 20.0, "section"))
    )
    measured = peak_wavenumber(torch.fft.fft2(state.sections[0]).abs())
    assert bins_apart(measured, peak_wavenumber(power), size) <= 1


def test_ascended_spectrum_is_that_of_a_dream_on_a_torus():
    weight, start = drawn(3, 1, 3, 2), drawn(1, 12, 10, seed=1)
    power = filter_power(weight, (12, 10))
    state = last(dream(circular(weight), start, DreamPlan(7, 1.5, "section")))
    assert torch.allclose(
        ascended_spectrum(power, start[0], 1.5, 7), torch.fft.fft2(state.sections[0]).abs(), atol=1e-9
    )
    assert torch.equal(ascended_spectrum(power, start[0], 1.5, 0), torch.fft.fft2(start[0]).abs())
    with pytest.raises(ValueError, match=r"start: expected shape \(12, 10\)"):
        ascended_spectrum(power, start[0, :3], 1.5, 1)


def test_peak_wavenumber_is_signed_and_bins_wrap_and_mirror():
    power = torch.zeros(8, 8)
    power[7, 2] = 1
    assert peak_wavenumber(power) == (1, -2)
    for place, told in (((0, 7), (0, 1)), ((4, 5), (4, 3)), ((5, 4), (3, 4)), ((3, 4), (3, 4)), ((4, 4), (4, 4))):
        power = torch.zeros(8, 8)
        power[place] = 1
        assert peak_wavenumber(power) == told
        assert peak_wavenumber(power.flip(0, 1).roll((1, 1), (0, 1))) == told  # of k and of -k
    assert bins_apart((1, -2), (-1, 2), (8, 8)) == 0
    assert bins_apart((0, 3), (0, -4), (8, 8)) == 1
    assert bins_apart((4, 0), (-4, 0), (8, 8)) == 0
    with pytest.raises(ValueError, match=r"power: expected shape \(H, W\)"):
        peak_wavenumber(torch.zeros(3))
    with pytest.raises(ValueError, match=r"weight: expected shape \(out, 1, h, w\)"):
        filter_power(torch.zeros(2, 3, 3, 3), (8, 8))
    with pytest.raises(ValueError, match=r"size: expected at least"):
        filter_power(torch.zeros(2, 1, 3, 3), (2, 8))


# ---- what a dream does ---------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def network():
    return FaciesNetwork(3, 4, generator=generator(), dtype=D)


@pytest.mark.parametrize(
    "plan",
    [
        DreamPlan(3, 0.1),
        DreamPlan(3, 0.1, "section", jitter=3, smoothing=0.8),
        DreamPlan(2, 0.1, "nothing", octaves=2, jitter=2),
    ],
    ids=["plain", "jitter", "octaves"],
)
def test_dream_of_a_batch_is_that_of_its_members(network, plan):
    start = drawn(3, 24, 20) * torch.tensor([1.0, 10.0, 0.1], dtype=D)[:, None, None]
    objective = layer_norm_objective(network, "stage2")
    together = last(dream(objective, start, plan, generator=generator(4)))
    for k in range(3):
        alone = last(dream(objective, start[k : k + 1], plan, generator=generator(4)))
        assert torch.allclose(alone.sections[0], together.sections[k], atol=1e-10 * float(start[k].abs().max()))
        assert torch.allclose(alone.values[0], together.values[k])


@pytest.mark.parametrize("held", ["trace", "section"])
def test_dream_holds_what_it_is_told_to_hold(network, held):
    start, plan = drawn(2, 24, 20), DreamPlan(3, 0.2, held, jitter=2, smoothing=1.0, octaves=2)
    sizes = set()
    for state in dream(layer_norm_objective(network, "conv1"), start, plan, generator=generator()):
        sizes.add(tuple(state.sections.shape[1:]))
        if state.octave == 1:
            axes = 1 if held == "trace" else (1, 2)
            assert torch.allclose(state.sections.norm(dim=axes), start.norm(dim=axes))
    assert sizes == {(17, 14), (24, 20)}
    assert tuple(state.sections.shape) == (2, 24, 20)


def test_dream_that_holds_nothing_grows_in_amplitude(network):
    start = drawn(1, 24, 20)
    state = last(dream(layer_norm_objective(network, "conv1"), start, DreamPlan(20, 0.2, "nothing")))
    assert float(state.sections.norm()) > 3 * float(start.norm())


def test_dream_raises_what_it_ascends_and_leaves_its_start_alone(network):
    start = drawn(2, 24, 20)
    given = start.clone()
    for objective in (logit_objective(network, 1), layer_norm_objective(network, "stage1", channel=2)):
        states = list(dream(objective, start, DreamPlan(10, 0.02, "section")))
        assert (objective(states[-1].sections) > objective(start)).all()
        assert torch.equal(states[0].values, objective(start).detach())
        assert [state.step for state in states] == list(range(1, 11))
    assert torch.equal(start, given)
    assert all(w.grad is None for w in network.parameters())


def test_dream_stays_where_nothing_responds():
    start = drawn(1, *SIZE)
    state = last(dream(lambda x: (0 * x).flatten(1).sum(1), start, DreamPlan(3, 1.0, "section")))
    assert torch.equal(state.sections, start)


def test_shifts_are_mirrored_and_not_wrapped():
    x = torch.arange(5, dtype=D)[None, :, None].expand(1, 5, 3)
    assert shifted(x, 2, 0)[0, :, 0].tolist() == [1, 0, 0, 1, 2]
    assert shifted(x, -1, 0)[0, :, 0].tolist() == [1, 2, 3, 4, 4]
    assert torch.equal(shifted(x.mT, 0, 2), shifted(x, 2, 0).mT)


def test_smoothing_keeps_constants_and_sums_and_takes_roughness_out():
    x = drawn(2, 20, 15)
    found = gaussian_smoothed(x, 1.5)
    assert torch.allclose(gaussian_smoothed(torch.ones(1, 20, 15, dtype=D), 1.5), torch.ones(1, 20, 15, dtype=D))
    assert torch.allclose(found.sum((1, 2)), x.sum((1, 2)))  # mirrors at half samples keep the sum
    assert (found.var((1, 2)) < 0.2 * x.var((1, 2))).all()


def test_layer_output_stops_at_the_layer_and_linearized_is_exact_for_a_linear_one(network):
    start, at = drawn(2, 16, 16), drawn(2, 16, 16, seed=1)
    assert torch.equal(layer_output(network, "conv1", start), network.conv1(start[:, None]))
    assert not network.conv1._forward_hooks
    exact, linearized = layer_norm_objective(network, "conv1"), linearized_norm_objective(network, "conv1", at)
    assert torch.allclose(linearized(start), exact(start))
    # A deeper layer along its linearization: the value and the derivative, by a central difference.
    objective, h = linearized_norm_objective(network, "stage1", at), 1e-5
    ends = [layer_output(network, "stage1", at + sign * h * (start - at)) for sign in (1, -1)]
    affine = layer_output(network, "stage1", at) + (ends[0] - ends[1]) / (2 * h)
    assert torch.allclose(objective(start), affine.flatten(1).norm(dim=1), rtol=1e-7)
    with pytest.raises(ValueError, match=r"sections: expected the shape of at"):
        objective(start[:1])


@pytest.mark.parametrize("layer", ["conv1", "stage1", "stage2", "stage3"])
def test_linearized_dream_begins_as_the_dream_itself(network, layer):
    at = drawn(2, 16, 16, seed=1)
    objectives = layer_norm_objective(network, layer), linearized_norm_objective(network, layer, at)
    first, second = (torch.func.grad(lambda x, of=of: of(x).sum())(at) for of in objectives)
    torch.testing.assert_close(first, second, rtol=1e-9, atol=1e-12)


# ---- budgets -------------------------------------------------------------------------------------------------------


def test_budget_of_zero_leaves_the_null_space():
    matrix = drawn(4, 9)
    increments = drawn(3, 9, 5, seed=1)
    projected = DataBudget(matrix, 0.0)(increments)
    assert float((matrix @ projected).abs().max()) < 1e-12
    null = torch.eye(9, dtype=D) - torch.linalg.pinv(matrix) @ matrix
    assert torch.allclose(projected, null @ increments)


@pytest.mark.parametrize("share", [0.001, 0.3, 0.9, 2.0])
def test_budget_is_kept_and_the_projection_is_the_nearest_increment(share):
    matrix, increments = drawn(4, 9), drawn(3, 9, 5, seed=1)
    free = (matrix @ increments).norm(dim=(1, 2))
    project = DataBudget(matrix, share * free)
    projected = project(increments)
    assert torch.allclose(project.misfit(projected), free * min(share, 1), rtol=1e-9)
    assert torch.allclose(project(projected), projected, atol=1e-9)  # once is enough
    # Of the nearest point of a convex set: no other point of it lies further along what was taken away.
    taken = increments - projected
    for seed in range(20):
        other = project(drawn(3, 9, 5, seed=100 + seed) * 3)
        assert ((taken * (other - projected)).sum((1, 2)) < 1e-9).all()


def test_budget_of_float32_increments_is_kept_to_its_rounding():
    matrix, increments = band_matrix(64, 0.004, 8, 60), drawn(3, 64, 64, seed=1).float()
    budget = 0.1 * (matrix @ increments).norm(dim=(1, 2))
    projected = DataBudget(matrix, budget)(increments)
    assert projected.dtype == torch.float32
    assert (DataBudget(matrix, budget).misfit(projected) < budget * (1 + 1e-6)).all()


def test_band_matrix_is_orthonormal_and_sees_its_band_alone():
    matrix = band_matrix(32, 0.004, 20, 50, dtype=D)  # multiples of 7.8 Hz: 3, 4, 5, 6
    assert matrix.shape == (8, 32)
    assert torch.allclose(matrix @ matrix.T, torch.eye(8, dtype=D), atol=1e-12)
    t = torch.arange(32, dtype=D)
    for k in range(17):
        seen = float((matrix @ torch.cos(2 * math.pi * k * t / 32)).norm())
        assert (seen > 1) == (3 <= k <= 6)
    assert len(band_matrix(8, 0.004, 0, 125)) == 8
    with pytest.raises(ValueError, match=r"low_hz, high_hz: expected a multiple of 7.81 Hz"):
        band_matrix(32, 0.004, 1, 2)
    with pytest.raises(ValueError, match=r"low_hz, high_hz: expected 0 <= low_hz"):
        band_matrix(32, 0.004, 5, 2)


def test_dream_in_the_null_space_keeps_the_data(network):
    start, matrix = drawn(2, 24, 20), band_matrix(24, 0.004, 10, 60, dtype=D)
    project = DataBudget(matrix, 0.0)
    state = last(dream(logit_objective(network, 1), start, DreamPlan(5, 0.3, "section"), project=project))
    assert float((matrix @ (state.sections - start)).abs().max()) < 1e-12 * float(start.norm())
    assert not torch.allclose(state.sections, start)


# ---- bad input -----------------------------------------------------------------------------------------------------


def bad(value, at=(0, 1, 1)):
    x = drawn(1, 16, 12)
    x[at] = value
    return x


def dead():
    x = drawn(2, 16, 12)
    x[1, :, 3] = 0
    return x


@pytest.mark.parametrize(
    ("sections", "error", "message"),
    [
        ([[0.0]], TypeError, "sections: expected a torch.Tensor"),
        (torch.ones(1, 4, 4, dtype=torch.int64), ValueError, "sections: expected a floating dtype"),
        (
            torch.ones(16, 12),
            ValueError,
            r"sections: expected shape \(B, H, W\): sections, time, traces, got \(16, 12\)",
        ),
        (torch.ones(1, 0, 12), ValueError, "sections: expected shape"),
        (bad(torch.nan), ValueError, "sections: expected finite numbers, got 1 NaN"),
        (bad(torch.inf), ValueError, "sections: expected finite numbers"),
        (dead(), ValueError, r"sections: expected traces that are not zero, got zero at .* \[\[1, 3\]\]"),
    ],
)
def test_dream_refuses_sections_by_name(sections, error, message):
    with pytest.raises(error, match=message):
        dream(lambda x: x.flatten(1).norm(dim=1), sections, DreamPlan(1, 0.1))


def test_sections_of_a_known_size_that_lie_on_their_side_are_told():
    expect_sections("section", drawn(1, 16, 12), size=(16, 12))
    with pytest.raises(ValueError, match=r"section: expected shape .*time is the first axis"):
        expect_sections("section", drawn(1, 12, 16), size=(16, 12))


@pytest.mark.parametrize(
    ("plan", "options", "error", "message"),
    [
        (DreamPlan(1, 0.1, jitter=1), {}, TypeError, "generator: expected a torch.Generator"),
        (DreamPlan(1, 0.1, jitter=12), {}, ValueError, "jitter: expected below 12"),
        (DreamPlan(1, 0.1, octaves=3), {}, ValueError, "octaves: expected 8 samples"),
        (DreamPlan(1, 0.1, octaves=2), {"project": lambda x: x}, ValueError, "octaves: expected 1 with a projection"),
    ],
)
def test_dream_refuses_plans_that_do_not_fit(plan, options, error, message):
    with pytest.raises(error, match=message):
        dream(lambda x: x.flatten(1).norm(dim=1), drawn(1, 16, 12), plan, **options)


@pytest.mark.parametrize(
    ("changed", "name"),
    [
        ({"num_steps": 0}, "num_steps"),
        ({"step": 0.0}, "step"),
        ({"hold": "breath"}, "hold"),
        ({"jitter": -1}, "jitter"),
        ({"smoothing": -1.0}, "smoothing"),
        ({"octaves": 0}, "octaves"),
        ({"octave_ratio": 1.0}, "octave_ratio"),
    ],
)
def test_plan_refuses_numbers_outside_their_bounds(changed, name):
    with pytest.raises(ValueError, match=f"{name}: expected"):
        DreamPlan(**{"num_steps": 1, "step": 0.1} | changed)


def test_objectives_are_refused_by_name(network):
    x = drawn(1, 16, 16)
    with pytest.raises(ValueError, match=r"layer: expected the name of a submodule, got 'conv9'"):
        layer_norm_objective(network, "conv9")
    with pytest.raises(ValueError, match=r"layer: expected one of"):
        layer_output(network, "conv9", x)
    with pytest.raises(ValueError, match=r"channel: expected below 4"):
        layer_norm_objective(network, "conv1", channel=4)(x)
    with pytest.raises(ValueError, match=r"label: expected below 3"):
        logit_objective(network, 3)(x)
    with pytest.raises(ValueError, match=r"network: expected evaluation mode"):
        logit_objective(nn.Sequential(nn.BatchNorm2d(1)), 0)
    with pytest.raises(ValueError, match=r"network: expected logits \(B, C\)"):
        logit_objective(nn.Identity(), 0)(x)
    with pytest.raises(ValueError, match=r"objective: expected one value for each section"):
        next(dream(lambda x: x.norm(), x, DreamPlan(1, 0.1)))
    unused = nn.ModuleDict({"used": nn.Identity(), "spare": nn.Identity()})
    unused.forward = unused["used"].forward
    with pytest.raises(ValueError, match=r"layer: expected a submodule that the network runs"):
        layer_output(unused, "spare", x)


def test_budget_refuses_by_name():
    with pytest.raises(TypeError, match=r"matrix: expected a torch.Tensor"):
        DataBudget([[1.0]], 0.0)
    with pytest.raises(ValueError, match=r"matrix: expected shape \(m, H\)"):
        DataBudget(torch.ones(3), 0.0)
    with pytest.raises(ValueError, match=r"matrix: expected finite"):
        DataBudget(torch.full((1, 2), torch.nan), 0.0)
    with pytest.raises(ValueError, match=r"budget: expected numbers, finite and >= 0"):
        DataBudget(torch.ones(1, 2), -1.0)
    with pytest.raises(ValueError, match=r"increments: expected shape \(B, 2, W\)"):
        DataBudget(torch.ones(1, 2), 0.0)(torch.ones(1, 3, 1))
    with pytest.raises(ValueError, match=r"budget: expected one, or one for each of 1 sections"):
        DataBudget(torch.ones(1, 2), torch.ones(2))(torch.ones(1, 2, 1))
