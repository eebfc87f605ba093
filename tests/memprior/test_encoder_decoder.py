"""The encoder-decoder takes records of any size, stays within its velocities and is determined by its seed."""

import math

import pytest
import torch
from helpers import assert_batch_independent, assert_mean
from torch import nn

from memprior.adapters import FineTuningPlan, count_trainable, fine_tune, train_only
from memprior.encoder_decoder import EncoderDecoder


def gen(seed=0):
    return torch.Generator().manual_seed(seed)


def made(record_shape=(3, 125, 35), model_shape=(35, 35), width=8, seed=0, **options):
    bounds = {"slowest": 1.0, "fastest": 5.0, "dtype": torch.float64}
    return EncoderDecoder(record_shape, model_shape, width, generator=gen(seed), **{**bounds, **options})


@pytest.mark.parametrize(
    ("record_shape", "model_shape"),
    [
        ((3, 125, 35), (35, 35)),
        ((5, 1000, 70), (70, 70)),
        ((2, 17, 40), (9, 50)),
        ((1, 64, 1), (3, 2)),
        ((1, 1, 1), (1, 1)),
    ],
)
def test_encoder_decoder_takes_any_size(record_shape, model_shape):
    network = made(record_shape, model_shape)
    velocity = network(torch.randn(2, *record_shape, generator=gen(1)))
    assert velocity.shape == (2, *model_shape)
    velocity.sum().backward()
    assert all(bool(weight.grad.isfinite().all()) for weight in network.parameters())


@pytest.mark.parametrize(("width", "least", "most"), [(24, 250_000, 300_000), (32, 450_000, 550_000)])
def test_encoder_decoder_has_half_a_million_weights(width, least, most):
    assert least < count_trainable(made(width=width)) < most


def test_encoder_decoder_halves_time_first_and_then_both():
    """125 samples at 35 receivers: 63, then 32 x 18, 16 x 9 and 8 x 5, and the decoder from a model over 4."""
    network, sizes = made(), []
    for stage in (*network.encoder, *network.decoder):
        stage.register_forward_hook(lambda layer, given, hidden: sizes.append(tuple(hidden.shape[1:])))
    network(torch.zeros(1, 3, 125, 35))
    down = [(8, 63, 35), (16, 32, 18), (32, 16, 9), (32, 8, 5), (32, 8, 5)]
    assert sizes == [*down, (16, 9, 9), (8, 18, 18), (8, 35, 35)]


def test_encoder_decoder_sees_every_trace_from_every_pixel():
    """A corner of the model depends on the first and on the last sample of the farthest traces."""
    network = made()
    records = torch.randn(1, 3, 125, 35, generator=gen(1)).requires_grad_()
    for corner in ((0, 0), (0, -1), (-1, 0), (-1, -1)):
        (grad,) = torch.autograd.grad(network(records)[(0, *corner)], records)
        assert bool((grad[0, :, [0, 0, -1, -1], [0, -1, 0, -1]] != 0).all())


def test_encoder_decoder_stays_within_its_velocities_and_starts_at_their_middle():
    network, records = made(), torch.randn(8, 3, 125, 35, generator=gen(1))
    assert float((network(records) - 3).abs().max().detach()) < 1.5
    network.head.weight.data *= 1e3
    velocity = network(1e3 * records).detach()
    assert (float(velocity.min()), float(velocity.max())) == pytest.approx((1.0, 5.0), abs=1e-6)
    assert bool(((velocity >= 1) & (velocity <= 5)).all())


def test_encoder_decoder_batch_equals_its_members():
    assert_batch_independent(made(), torch.randn(3, 3, 125, 35, generator=gen(1)))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_encoder_decoder_is_determined_by_its_seed(dtype):
    before = torch.get_rng_state()
    first, again, other = (made(seed=seed, dtype=dtype).state_dict() for seed in (0, 0, 1))
    assert torch.equal(torch.get_rng_state(), before)
    for name, weight in first.items():
        assert weight.dtype == dtype
        assert torch.equal(weight, again[name])
        # A norm begins as the identity.
        assert not torch.equal(weight, other[name]) or bool(weight.eq(weight.flatten()[0]).all()), name


def test_encoder_decoder_starts_from_torchs_own_distribution():
    for layer in made(width=32).modules():
        if isinstance(layer, nn.Conv2d) and layer.weight.numel() > 10_000:
            scaled = layer.weight.detach().flatten() * math.sqrt(layer.weight[0].numel())
            assert float(scaled.abs().max()) <= 1
            assert_mean(scaled, 0.0)
            assert_mean(scaled.square(), 1 / 3)


def test_encoder_decoder_uses_no_transposed_convolution_and_no_dense_layer():
    assert not [x for x in made().modules() if isinstance(x, nn.ConvTranspose2d | nn.Linear)]


def test_encoder_decoder_stores_pairs_by_all_weights_and_not_by_its_head():
    """Two shuffled pairs of small sizes: noise for noise."""
    left = {}
    for kind in ("all", "head"):
        network = made((1, 16, 8), (8, 8), dtype=torch.float32)
        train_only(network, kind)
        records = torch.randn(2, 1, 16, 8, generator=gen(1), dtype=torch.float32)
        models = 3 + torch.randn(2, 8, 8, generator=gen(2), dtype=torch.float32).clamp(-1.5, 1.5)
        *_, last = fine_tune(network, records, models, FineTuningPlan(60, 2, 1e-2), generator=gen())
        left[kind] = float(last.loss)
    assert left["all"] < 0.3 * left["head"]


GOOD = torch.zeros(1, 3, 125, 35)
BAD = {
    "two axes": (
        lambda: made(record_shape=(3, 125)),
        r"record_shape: expected \(sources, time, receivers\), got \(3, 1",
    ),
    "no time": (lambda: made(record_shape=(3, 0, 35)), "record_shape, time: expected an integer >= 1, got 0"),
    "half a receiver": (lambda: made(record_shape=(3, 125, 3.5)), "record_shape, receivers: expected an integer"),
    "a size": (lambda: made(model_shape=35), r"model_shape: expected \(H, W\), got 35"),
    "no width": (lambda: made(model_shape=(35, -1)), "model_shape, W: expected an integer >= 1, got -1"),
    "narrow": (lambda: made(width=4), "width: expected a multiple of 4, >= 8, got 4"),
    "odd width": (lambda: made(width=30), "width: expected a multiple of 4, >= 8, got 30"),
    "velocities reversed": (
        lambda: made(slowest=6.0),
        r"slowest, fastest: expected slowest < fastest, got \(6",
    ),
    "velocity of zero": (lambda: made(slowest=0.0), "slowest: expected one number, finite and > 0"),
    "records of one": (
        lambda: made()(GOOD.double()[0]),
        r"records: expected shape \(B, .*\), got \(3, 125, 35\)",
    ),
    "other records": (
        lambda: made()(GOOD.double().mT),
        r"records: expected shape \(B, .*\), got \(1, 3, 35, 12",
    ),
    "other precision": (lambda: made()(GOOD.half()), r"records: expected dtype torch\.float64, got torch\.float16"),
    "elsewhere": (lambda: made()(GOOD.double().to("meta")), "records: expected device cpu, got meta"),
}


@pytest.mark.parametrize(("call", "message"), BAD.values(), ids=BAD)
def test_encoder_decoder_names_bad_input(call, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        call()


def test_encoder_decoder_names_what_is_no_generator_and_no_tensor():
    with pytest.raises(TypeError, match=r"^generator: expected a torch\.Generator, got NoneType"):
        EncoderDecoder((3, 125, 35), (35, 35), slowest=1.0, fastest=5.0, generator=None)
    with pytest.raises(TypeError, match=r"^records: expected a torch\.Tensor"):
        made()([1.0])
