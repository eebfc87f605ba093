"""Networks of gathers: shapes, weights that all learn, exact repeats, hidden traces unseen, spectral norms of one."""

import math

import pytest
import torch
from helpers import assert_batch_independent, assert_same

from memprior.adapters import FineTuningPlan, fine_tune
from memprior.picking import OnsetPosterior
from memprior.trace_networks import (
    MaskedTraceAutoencoder,
    OnsetUNet,
    SectionDiscriminator,
    SectionGenerator,
    TraceAutoencoder,
    UnitSpectralNorm,
    hide_traces,
    onset_steps,
    unit_traces,
)

SHAPE = 16, 32


def made(kind, seed=0, dtype=torch.float64, width=8):
    settings = {"generator": torch.Generator().manual_seed(seed), "dtype": dtype}
    match kind:
        case "picker":
            return OnsetUNet(width, **settings)
        case "picker of features":
            return OnsetUNet(width, features=True, **settings)
        case "autoencoder":
            return TraceAutoencoder(3, width, **settings)
        case "masked":
            return MaskedTraceAutoencoder(3, width, **settings)
        case "generator":
            return SectionGenerator(5, SHAPE, width, **settings)
        case "discriminator":
            return SectionDiscriminator(SHAPE, width, **settings)
        case "plain discriminator":
            return SectionDiscriminator(SHAPE, width, spectral=False, **settings)


KINDS = "picker", "picker of features", "autoencoder", "masked", "generator", "discriminator", "plain discriminator"
every_kind = pytest.mark.parametrize("kind", KINDS)


def given(kind, generator, num=3):
    if kind == "generator":
        return torch.randn(num, 5, generator=generator)
    traces = torch.randn(num, *SHAPE, generator=generator)
    return hide_traces(traces, 0.25, generator=generator)[0] if kind == "masked" else traces


@every_kind
def test_networks_have_their_shapes_and_no_batch(kind, generator):
    network, x = made(kind), given(kind, generator)
    assert network(x).shape == ((3,) if kind.endswith("discriminator") else (3, *SHAPE))
    assert_batch_independent(network, x)


@every_kind
def test_networks_learn_with_every_weight(kind, generator):
    network, x = made(kind), given(kind, generator)
    network(x).square().sum().backward()
    for name, weight in network.named_parameters():
        assert weight.grad is not None, name
        assert bool(weight.grad.abs().sum() > 0), name


@every_kind
def test_networks_repeat_exactly_and_by_their_generator(kind, generator):
    """The same weights whatever was drawn before, and others by another seed."""
    x = given(kind, generator)
    torch.randn(3)  # the global stream plays no part
    one, again, other = made(kind), made(kind), made(kind, seed=1)
    assert torch.equal(one(x), again(x))
    assert not torch.equal(one(x), other(x))


def test_networks_are_small():
    """At width 16 on gathers of 64 x 128 and sections of 128 x 128: less than a million weights each."""
    generator = torch.Generator().manual_seed(0)
    networks = [
        OnsetUNet(generator=generator),
        TraceAutoencoder(64, generator=generator),
        SectionGenerator(32, (128, 128), generator=generator),
        SectionDiscriminator((128, 128), generator=generator),
    ]
    assert max(sum(weight.numel() for weight in network.parameters()) for network in networks) < 1e6


def test_picker_gives_distributions(generator):
    below = made("picker")(given("picker", generator))
    assert bool((below.diff(dim=-1) >= 0).all())
    assert_same(below[..., -1], torch.ones(3, 16))
    posterior = OnsetPosterior.of_distribution(below.flatten(0, 1))
    assert_same(posterior.mean, (32 - below.sum(-1) + 0.5).flatten())


def test_picker_knows_no_gain(generator):
    """Each trace is divided by its largest size; a dead one says something finite."""
    network, traces = made("picker"), given("picker", generator)
    gains = torch.rand(3, 16, 1, generator=generator) + 0.1
    assert_same(network(gains * traces), network(traces))
    assert bool(torch.isfinite(network(torch.zeros(1, *SHAPE))).all())


def test_picker_learns_by_fine_tune_where_energy_begins(generator):
    """Noise that begins at the onset, silence before: in 40 steps the score falls to a half, half are within 2."""
    onsets = 4 + 24 * torch.rand(12, 16, generator=generator)
    noise = torch.randn(12, *SHAPE, generator=generator)
    traces = torch.where(torch.arange(32) >= onsets[..., None], noise, 0.01 * noise)
    network = made("picker")
    first, *_, last = fine_tune(
        network, traces, onset_steps(onsets, 32), FineTuningPlan(40, 6, 1e-2), generator=generator
    )
    assert float(last.loss) < float(first.loss) / 2
    median = OnsetPosterior.of_distribution(network(traces).detach().flatten(0, 1)).median
    assert float(((median - onsets.flatten()).abs() < 2).double().mean()) > 0.5


def test_score_of_steps_is_least_for_the_posterior(generator):
    """Onsets of two kinds, .3 and .7 likely: of all functions with one step height in between the best is .3."""
    steps = onset_steps(torch.tensor([5.0] * 3 + [9.0] * 7), 16)
    shares = torch.linspace(0, 1, 101)
    trial = torch.where((torch.arange(16) >= 5) & (torch.arange(16) < 8), shares[:, None], steps[0].minimum(steps[-1]))
    score = (trial[:, None] - steps).square().mean((1, 2))
    assert float(shares[score.argmin()]) == pytest.approx(0.3)


def test_onset_steps_are_not_rounded(generator):
    onsets = 1 + 30 * torch.rand(100, generator=generator)
    posterior = OnsetPosterior.of_distribution(onset_steps(onsets, 32))
    assert_same(posterior.mean, onsets)
    assert float((posterior.median - onsets).abs().max()) < 0.25


def test_encoders_of_the_picker_and_the_autoencoder_are_one(generator):
    picker, own = made("picker"), made("autoencoder", seed=1)
    picker.encoder.load_state_dict(own.encoder.state_dict())
    x = given("picker", generator)
    for one, two in zip(picker.encoder.outputs(x), own.encoder.outputs(x), strict=True):
        assert torch.equal(one, two)


def test_picker_takes_the_features_of_a_discriminator(generator):
    picker, own = made("picker of features"), made("discriminator", seed=1)
    picker.encoder.load_state_dict(own.features.state_dict())
    x = given("picker of features", generator)
    outputs = picker.encoder.outputs(x)
    assert torch.equal(outputs[-1], own.features(x[:, None]))
    normal = made("picker").encoder.outputs(x)
    assert [one.shape for one in outputs] == [one.shape for one in normal]
    with pytest.raises(RuntimeError, match="Missing key"):
        picker.encoder.load_state_dict(made("plain discriminator").features.state_dict())


def test_autoencoder_passes_its_code_and_nothing_else(generator):
    """What is decoded depends on the code alone, and the Jacobian has its rank at most."""
    network = TraceAutoencoder(1, 8, generator=generator, dtype=torch.float64)
    x = torch.randn(1, 8, 16, generator=generator)
    assert torch.equal(network(x), network.decode(network.encode(x)))
    jacobian = torch.func.jacrev(network)(x).reshape(128, 128)
    values = torch.linalg.svdvals(jacobian)
    assert int((values > 1e-12 * values[0]).sum()) == 2  # 1 x 2 places of one channel


def test_masked_autoencoder_does_not_see_hidden_traces(generator):
    """Hidden traces change nothing, come back filled in, and alone have a loss; the others come back as they are."""
    network, traces = made("masked"), torch.randn(3, *SHAPE, generator=generator)
    masked, hidden = hide_traces(traces, 0.25, generator=generator)
    assert hidden.sum(1).tolist() == [4, 4, 4]
    other = torch.where(hidden[..., None], torch.randn(3, *SHAPE, generator=generator), traces)
    assert torch.equal(other.masked_fill(hidden[..., None], 0), masked)
    output = network(masked)
    assert torch.equal(output[~hidden], traces[~hidden])
    assert bool((output[hidden] != 0).any(-1).all())
    error = (output - traces).detach().square()
    assert float(error.mean()) == pytest.approx(float(error[hidden].sum()) / traces.numel())


def test_hidden_traces_are_even(generator):
    """Every trace as often, within four standard errors."""
    _, hidden = hide_traces(torch.zeros(4000, 16, 8), 0.25, generator=generator)
    assert float((hidden.double().mean(0) - 0.25).abs().max()) < 4 * math.sqrt(0.25 * 0.75 / 4000)


def test_discriminator_has_weights_of_spectral_norm_one(generator):
    """By singular values; before and after a step of training; without it they are others."""
    network, x = made("discriminator"), given("discriminator", generator)
    layers = [layer for layer in network.modules() if isinstance(layer, torch.nn.Conv2d | torch.nn.Linear)]
    assert len(layers) == 5
    optimizer = torch.optim.SGD(network.parameters(), 0.1)
    for _ in range(2):
        for layer in layers:
            assert float(torch.linalg.svdvals(layer.weight.detach().flatten(1))[0]) == pytest.approx(1, abs=1e-12)
        network(x).sum().backward()
        optimizer.step()
    plain = [layer for layer in made("plain discriminator").modules() if isinstance(layer, torch.nn.Conv2d)]
    assert all(abs(float(torch.linalg.svdvals(layer.weight.detach().flatten(1))[0]) - 1) > 0.01 for layer in plain)


def test_spectral_norm_has_the_gradient_of_its_formula(generator):
    """Central differences of sum(A W / s(W)), by gradcheck."""
    for shape in ((3, 2, 2, 2), (9, 4)):
        weight = torch.randn(*shape, generator=generator, requires_grad=True)
        assert torch.autograd.gradcheck(UnitSpectralNorm(), (weight,))


def test_discriminator_tells_sections_apart(generator):
    """No activation saturates: at ten times the size logits spread ten times as far, but for the biases."""
    network, x = made("discriminator"), given("discriminator", generator, num=64)
    one, ten = network(x).detach().std(), network(10 * x).detach().std()
    assert float(ten / one) == pytest.approx(10, rel=0.2)


def test_unit_traces_have_their_largest_size_one():
    traces = torch.tensor([[[3.0, -6.0], [0.0, 0.0]]])
    assert unit_traces(traces).tolist() == [[[0.5, -1.0], [0.0, 0.0]]]


GENERATOR = torch.Generator()
BAD = {
    "a width": (lambda: OnsetUNet(6, generator=GENERATOR), "width: expected a multiple of 4, >= 8, got 6"),
    "a code": (lambda: TraceAutoencoder(0, generator=GENERATOR), "code: expected an integer >= 1, got 0"),
    "a latent": (lambda: SectionGenerator(0, SHAPE, generator=GENERATOR), "latent: expected an integer >= 1"),
    "a shape": (lambda: SectionDiscriminator((16, 20), generator=GENERATOR), "shape: expected multiples of 8"),
    "no shape": (lambda: SectionGenerator(4, 16, generator=GENERATOR), r"shape: expected \(H, W\), got 16"),
    "traces": (
        lambda: made("picker")(torch.zeros(1, 12, 32)),
        r"traces: expected shape \(B, H, W\), H and W multiples",
    ),
    "a dtype": (lambda: made("autoencoder")(torch.zeros(1, 8, 8, dtype=torch.float32)), "traces: expected dtype"),
    "points": (lambda: made("generator")(torch.zeros(2, 4)), r"latent: expected shape \(B, 5\), got \(2, 4\)"),
    "sections": (lambda: made("discriminator")(torch.zeros(1, 8, 8)), r"sections: expected shape \(B, \*\(16, 32\)\)"),
    "a share": (lambda: hide_traces(torch.zeros(1, 8, 8), 0.01, generator=GENERATOR), "share: expected a share that"),
    "a distribution": (
        lambda: OnsetPosterior.of_distribution(torch.tensor([[0.5, 0.2, 1.0]])),
        "below: expected functions that rise from 0 to 1",
    ),
}


@pytest.mark.parametrize(("call", "message"), BAD.values(), ids=BAD)
def test_networks_refuse_by_name(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_networks_need_a_generator():
    with pytest.raises(TypeError, match=r"generator: expected a torch.Generator, got int"):
        OnsetUNet(generator=0)
