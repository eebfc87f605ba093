"""Chapter 6's remedies: symmetries that are exact, networks that are trained in six ways, and closed-form changes."""

from dataclasses import replace

import pytest
import torch
from helpers import assert_same, store_in

from chapters.ch06_calibration import remedies
from chapters.ch06_calibration.remedies import DropoutMLP, Ensemble, TikhonovDenoiser, Training, trained
from memprior import training as memprior_training
from memprior._random import generator_for
from memprior.denoiser import GaussianDenoiser, NetworkDenoiser, score
from memprior.fields import CosineBasis
from memprior.networks import ResidualMLP
from memprior.paper import TrainingSet, published_coefficients, published_fields, published_grid, published_law
from memprior.training import train

CPU = torch.device("cpu")
PART = Training("plain", 6, 3, 0.0, 8, 2, 16, (2, 5))


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


# Symmetries


def test_covariance_is_the_same_under_every_symmetry():
    covariance = published_law().covariance
    found = remedies.moved_covariances(CPU)
    assert len(found) == 32
    for moved in found:
        assert float((moved - covariance).abs().max()) < 1e-12 * float(covariance.abs().max())


def test_shift_by_a_quarter_period_is_no_symmetry(monkeypatch):
    monkeypatch.setattr(remedies, "symmetries", lambda: [lambda fields: fields.roll(16, 1)])
    (moved,) = remedies.moved_covariances(CPU)
    covariance = published_law().covariance
    assert float((moved - covariance).abs().max()) > 0.1 * float(covariance.abs().max())


def test_symmetries_are_a_group_of_thirty_two():
    """Different on one field; any two after each other are one of them; every one of them moves pixels and signs."""
    field, maps = published_fields(1), remedies.symmetries()
    images = torch.cat([move(field) for move in maps])
    assert torch.equal(images[:1], field)

    def nearest(image):
        apart = (images - image).abs().amax((1, 2))
        assert int((apart < 1e-12).sum()) == 1
        return int(apart.argmin())

    assert [nearest(image) for image in images] == list(range(32))
    for first in (1, 2, 5, 11, 22, 31):
        composed = {nearest(maps[first](image[None])[0]) for image in images}
        assert composed == set(range(32))


def test_point_reflection_leaves_every_field():
    field = published_fields(2)
    assert_same(field.flip(1, 2).roll((1, 1), (1, 2)), field, rounding=1e-12)


def test_augmented_examples_begin_with_the_published_and_have_the_true_mean():
    found = remedies.augmented(4, CPU)
    assert found.examples.shape == (128, 100)
    assert_same(found.examples[:4], published_coefficients(4))
    assert_same(found.examples.mean(0), published_law().mean, rounding=1e-9)
    assert float(found.standardized.mean(0).abs().max()) < 1e-12


# Networks


def net(**kwargs):
    return DropoutMLP(3, 8, 2, rate=0.4, generator=seeded(), **kwargs)


def test_dropout_ends_with_training():
    x, condition = torch.randn(5, 3, generator=seeded(1)).float(), torch.zeros(5).float()
    thinned = net(noise=lambda like: torch.rand(like.shape)).eval()
    plain = ResidualMLP(3, 8, 2, generator=seeded())
    for network in (thinned, plain):
        torch.nn.init.ones_(network.leave[1].weight)
    assert torch.equal(thinned(x, condition), plain(x, condition))


def test_dropout_keeps_the_mean_of_a_block_and_drops_its_rate():
    generator, added = seeded(2), torch.ones(4000, 8)
    network = net(noise=lambda like: torch.rand(like.shape, generator=generator, dtype=like.dtype))
    kept = network._thinned(network.blocks[0], None, added)
    assert set(kept.unique().tolist()) == {0.0, 1 / 0.6}
    assert abs(float(kept.mean()) - 1) < 4 * float(kept.std()) / kept.numel() ** 0.5


@pytest.mark.parametrize(("rate", "told"), [(0.0, "finite and > 0"), (1.0, "below 1")])
def test_dropout_refuses_a_rate_that_drops_nothing_or_all(rate, told):
    with pytest.raises(ValueError, match=rf"^rate: expected .*{told}"):
        DropoutMLP(3, 8, 1, rate=rate, noise=torch.rand_like, generator=seeded())


def test_weight_decay_is_decoupled_and_leaves_biases(tmp_path):
    part = replace(PART, kind="weight decay", strength=20.0)
    found = trained(part, store_in(tmp_path))
    network = ResidualMLP(100, 8, 2, generator=generator_for("weights 3"))
    denoiser = NetworkDenoiser(network, 1.0)
    examples = TrainingSet.published(6, CPU).standardized
    states = train(denoiser, examples, part.plan, generator=generator_for(f"batches {part.name}"))
    for state in states:
        for weight in network.parameters():
            if weight.ndim > 1:
                weight.data.mul_(1 - part.plan.rate(state.step) * 20.0)
        if state.step in part.looks:
            for name, weight in state.average.network.state_dict().items():
                assert torch.equal(found[state.step].network.state_dict()[name], weight), (state.step, name)


@pytest.mark.parametrize("kind", remedies.KINDS)
def test_training_run_that_is_done_is_read_and_asks_for_no_gradient(kind, tmp_path, monkeypatch):
    part = replace(PART, kind=kind, strength=0.5)
    fresh = trained(part, store_in(tmp_path))
    monkeypatch.setattr(memprior_training, "denoising_loss", None)
    read = trained(part, store_in(tmp_path))
    x = torch.randn(4, 100, generator=seeded())
    for step in part.looks:
        assert not read[step](x, 1.0).requires_grad
        assert torch.equal(read[step](x, 1.0), fresh[step](x, 1.0))
    assert not torch.equal(read[2](x, 1.0), read[5](x, 1.0))


def test_halves_share_coordinates_and_no_example():
    first, second = (replace(PART, kind=f"{which} half").seen(CPU) for which in ("first", "second"))
    whole = PART.seen(CPU)
    assert torch.equal(torch.stack([first, second], 1).flatten(0, 1), whole)
    assert len(replace(PART, kind="augmented").seen(CPU)) == 32 * 6


def test_training_runs_that_differ_in_anything_differ_in_their_file():
    changes = {"kind": "dropout", "num_examples": 7, "seed": 4, "strength": 0.1, "width": 9, "depth": 3}
    others = [replace(PART, **{name: value}) for name, value in (changes | {"batch_size": 8, "looks": (5,)}).items()]
    assert len({part.name for part in [PART, *others]}) == 9


def test_training_refuses_an_unknown_kind():
    with pytest.raises(ValueError, match=r"^kind: expected one of \('plain', .*, got longer"):
        replace(PART, kind="longer")


# Afterwards


def test_tikhonov_divides_the_score():
    law = published_law()
    denoiser, x = GaussianDenoiser(law.mean, law.covariance), torch.randn(5, 100, generator=seeded())
    for sigma in (0.1, 0.5, 3.0):
        shrunk = score(TikhonovDenoiser(denoiser, 0.5), x, sigma)
        assert_same(shrunk, score(denoiser, x, sigma) / (1 + 0.25 / sigma**2))


def test_tikhonov_is_the_minimum_of_the_penalized_loss():
    """At each x the loss is a quadratic of s, whose gradient vanishes there."""
    s0, sigma, width = torch.randn(7, generator=seeded()), 0.4, 0.3
    s = (s0 / (1 + width**2 / sigma**2)).requires_grad_()
    loss = (s - s0).square().sum() + (width / sigma) ** 2 * s.square().sum()
    (gradient,) = torch.autograd.grad(loss, s)
    assert float(gradient.abs().max()) < 1e-14
    shrunk = TikhonovDenoiser(lambda x, sigma: x + sigma**2 * s0, width)(torch.zeros(1, 7), sigma)
    assert_same(shrunk[0] / sigma**2, s)


def test_ensemble_is_the_mean_of_its_members():
    members = [lambda x, sigma, k=k: k * x for k in (1.0, 2.0, 6.0)]
    assert_same(Ensemble(members)(torch.ones(2, 3), 1.0), 3 * torch.ones(2, 3))
    with pytest.raises(ValueError, match=r"^members: expected at least one denoiser, got 0"):
        Ensemble([])


def test_tikhonov_refuses_no_width():
    with pytest.raises(ValueError, match=r"^width: expected .* > 0"):
        TikhonovDenoiser(lambda x, sigma: x, 0.0)


def test_validation_loss_of_the_right_denoiser_is_one():
    """E |D - x|^2 / d = sigma^2 / (1 + sigma^2) for N(0, I), times the weight 1 / sigma^2 + 1; a wrong one has more."""
    points = torch.randn(4000, 5, generator=seeded())
    right = GaussianDenoiser(torch.zeros(5), torch.eye(5))
    found = remedies.validation_loss(right, points, 12, generator=seeded(1))
    # Over 12 levels of 20 000 squares each, of relative deviation sqrt(2).
    assert abs(found - 1) < 4 * (2 / (12 * 20_000)) ** 0.5 * 2
    wrong = GaussianDenoiser(torch.zeros(5), 0.5 * torch.eye(5))
    assert remedies.validation_loss(wrong, points, 12, generator=seeded(1)) > 1.02


def test_cross_validated_scores_each_half_at_the_other():
    met = []

    def half(name):
        def denoiser(x, sigma):
            met.append((name, x.shape[0]))
            return x

        return {7: denoiser}

    seen = torch.zeros(3, 2), torch.zeros(5, 2)
    options = {"num_levels": 2, "generator": seeded()}
    remedies.cross_validated((half("first"), half("second")), seen, lambda d: d, 7, **options)
    assert set(met) == {("first", 5), ("second", 3)}


def test_published_fields_are_encoded_as_published():
    basis = CosineBasis(published_grid())
    identity = remedies.symmetries()[0]
    assert_same(basis.encode(identity(published_fields(2))), published_coefficients(2))
