"""Networks are their formulas and determined by their seed; the autoencoder's bound is a lower bound."""

import math

import pytest
import torch
from helpers import assert_batch_independent, assert_derivative, assert_mean, assert_moments, assert_same, line_grid

from memprior.networks import ResidualMLP, VariationalAutoencoder


def mlp(seed=0, dtype=torch.float64):
    """A network whose last layer, initially zero, has random weights."""
    generator = torch.Generator().manual_seed(seed)
    network = ResidualMLP(3, 16, 2, generator=generator, dtype=dtype)
    torch.nn.init.normal_(network.leave[1].weight, generator=generator)
    return network.requires_grad_(False)


def autoencoder(seed=0, latent=1, dtype=torch.float64):
    """An autoencoder whose code matters: its decoder's first and last layers are five times their initial values."""
    network = VariationalAutoencoder(2, latent, 16, 0.2, generator=torch.Generator().manual_seed(seed), dtype=dtype)
    network.requires_grad_(False)
    network.decoder[0].weight *= 5
    network.decoder[4].weight *= 5
    return network


KINDS = {"mlp": mlp, "autoencoder": autoencoder}
every_network = pytest.mark.parametrize("make", KINDS.values(), ids=KINDS)


@every_network
def test_networks_are_determined_by_their_seed(make):
    before = torch.get_rng_state()
    first, again, other = make(0), make(0), make(1)
    assert torch.equal(torch.get_rng_state(), before)
    for (name, weight), same, different in zip(
        first.state_dict().items(), again.state_dict().values(), other.state_dict().values(), strict=True
    ):
        assert torch.equal(weight, same), name
        # A layernorm begins as the identity, and the last bias of the mlp as zero.
        assert not torch.equal(weight, different) or bool(weight.eq(weight.flatten()[0]).all()), name


@every_network
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_networks_have_the_requested_dtype(make, dtype):
    assert {tensor.dtype for tensor in (*make(dtype=dtype).parameters(), *make(dtype=dtype).buffers())} == {dtype}


def test_linear_layers_start_from_torchs_own_distribution():
    network = ResidualMLP(3, 400, 1, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    weight = network.blocks[0][1].weight.detach().flatten() * math.sqrt(400)
    # Uniform within one over the root of the inputs.
    assert float(weight.abs().max()) <= 1
    assert_mean(weight, 0.0)
    assert_mean(weight.square(), 1 / 3)


# The residual network


def test_residual_mlp_starts_at_zero(generator):
    network = ResidualMLP(3, 16, 2, generator=generator, dtype=torch.float64)
    x, condition = torch.randn(5, 3, generator=generator), torch.randn(5, generator=generator)
    assert torch.equal(network(x, condition), torch.zeros(5, 3))


def test_residual_mlp_is_its_formula(generator):
    network, x, condition = mlp(), torch.randn(5, 3, generator=generator), torch.randn(5, generator=generator)
    weights = network.state_dict()

    def linear(name, h):
        return h @ weights[f"{name}.weight"].T + weights[f"{name}.bias"]

    def layernorm(h):
        away = h - h.mean(1, keepdim=True)
        return away / (away.square().mean(1, keepdim=True) + 1e-5).sqrt()

    phase = condition[:, None] * network.frequencies
    h = linear("enter", torch.cat([x, phase.sin(), phase.cos()], 1))
    for block in ("blocks.0", "blocks.1"):
        a = linear(f"{block}.1", layernorm(h))
        h = h + linear(f"{block}.3", a / (1 + (-a).exp()))
    assert_same(network(x, condition), linear("leave.1", layernorm(h)))


def test_residual_mlp_batch_equals_its_members(generator):
    network = mlp()
    rows = torch.randn(5, 4, generator=generator)
    assert_batch_independent(lambda rows: network(rows[:, :3], rows[:, 3]), rows)


def test_residual_mlp_is_differentiable_in_x_and_condition(generator):
    network = mlp()

    def answer(rows):
        return network(rows[:, :3], rows[:, 3])

    def tangent(rows, v):
        return torch.func.jvp(answer, (rows,), (v,))[1]

    assert_derivative(answer, tangent, torch.randn(4, 4, generator=generator), generator)


# The autoencoder


def exact_density(network, x):
    """By quadrature over a scalar code: log p(x) (B,), KL(q || p(u | x)) (B,), and var_q(p(u | x) / q) (B,)."""
    code, width = line_grid(-12.0, 12.0, 4000)
    mean, deviation = network.decode(code)
    prior = torch.distributions.Normal(0.0, 1.0).log_prob(code[:, 0])
    joint = torch.distributions.Normal(mean, deviation).log_prob(x[:, None]).sum(2) + prior
    log_prob = joint.logsumexp(1) + math.log(width)
    center, log_scale = network.encoder(x).chunk(2, 1)
    encoder = torch.distributions.Normal(center, log_scale.exp()).log_prob(code[:, 0])
    ratio = joint - log_prob[:, None] - encoder
    divergence = -(encoder.exp() * ratio).sum(1) * width
    # In the tails p(u | x)^2 falls like exp(-u^2), or faster: over q this is integrable if q's variance is above 1/2.
    assert float(log_scale.exp().square().min()) > 0.5
    variance = ((encoder + 2 * ratio).exp()).sum(1) * width - 1
    return log_prob, divergence, variance


@pytest.fixture
def x(generator):
    return autoencoder().sample(4, generator=generator)


def test_log_prob_bound_of_one_draw_is_below_by_the_kl_divergence(x, generator):
    log_prob, divergence, _ = exact_density(autoencoder(), x)
    draws = autoencoder().log_prob_bound(x.repeat(4000, 1), 1, generator=generator)
    assert_mean(draws.reshape(4000, -1), log_prob - divergence)
    assert bool((divergence > 0.01).all())


def test_log_prob_bound_of_many_draws_is_the_likelihood(x, generator):
    num = 200_000
    log_prob, _, variance = exact_density(autoencoder(), x)
    bound = autoencoder().log_prob_bound(x, num, generator=generator)
    # The log of a mean of num ratios with that variance.
    assert bool(((bound - log_prob).abs() <= 4 * (variance / num).sqrt()).all())


def test_log_prob_bound_tightens_with_more_draws(x, generator):
    network, num_repeats = autoencoder(), 4000
    log_prob, divergence, _ = exact_density(network, x)
    means, errors = [-divergence], [0.0]
    for num_draws in (2, 8, 64):
        draws = network.log_prob_bound(x.repeat(num_repeats, 1), num_draws, generator=generator)
        gaps = draws.reshape(num_repeats, -1) - log_prob
        means.append(gaps.mean(0))
        errors.append(gaps.std(0) / math.sqrt(num_repeats))
        assert bool((means[-1] <= 4 * errors[-1]).all()), num_draws
        assert bool((means[-1] - means[-2] > 4 * (errors[-1] + errors[-2])).all()), num_draws


def test_autoencoder_draws_have_the_moments_of_its_density(generator):
    network = autoencoder()
    code, width = line_grid(-12.0, 12.0, 4000)
    weights = width * torch.distributions.Normal(0.0, 1.0).log_prob(code[:, 0]).exp()
    mean, deviation = network.decode(code)
    center = weights @ mean
    covariance = (weights @ deviation.square()).diag() + (weights[:, None] * (mean - center)).T @ (mean - center)
    assert_moments(network.sample(50_000, generator=generator), center, covariance)


@pytest.mark.parametrize("latent", [1, 3])
def test_autoencoder_deviations_stay_above_the_floor(latent, generator):
    codes = 1e3 * torch.randn(2, 500, latent, generator=generator)
    mean, deviation = autoencoder(latent=latent).decode(codes)
    assert mean.shape == deviation.shape == (2, 500, 2)
    assert bool((deviation >= 0.2).all())
    # Codes this far out reach the floor itself in some direction.
    assert float(deviation.min()) == 0.2


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_autoencoder_draws_are_determined_by_the_generator(dtype):
    network = autoencoder(latent=3, dtype=dtype)

    def drawn(seed):
        generator = torch.Generator().manual_seed(seed)
        draws = network.sample(5, generator=generator)
        return draws, network.log_prob_bound(draws, 7, generator=generator)

    (draws, bounds), again, other = drawn(0), drawn(0), drawn(1)
    assert (draws.shape, bounds.shape) == ((5, 2), (5,))
    assert draws.dtype == bounds.dtype == dtype
    assert torch.equal(draws, again[0])
    assert torch.equal(bounds, again[1])
    assert not torch.equal(draws, other[0])


def test_log_prob_bound_has_a_gradient_for_every_weight(generator):
    network = autoencoder(latent=3).requires_grad_(True)
    network.log_prob_bound(torch.ones(4, 2), 2, generator=generator).sum().backward()
    for name, weight in network.named_parameters():
        assert float(weight.grad.abs().max()) > 0, name
