"""A game resumes to the same bits; its optimum on N examples is the empirical distribution; bad input is named."""

import math

import pytest
import torch
from torch import nn

from memprior.adversarial import (
    AdversarialPlan,
    copier,
    input_gradient_norms,
    optimal_logits,
    train_adversarial,
    weight_spectra,
)
from memprior.memorization import swap_test
from memprior.trace_networks import SectionDiscriminator, SectionGenerator

PLAN = AdversarialPlan(6, 3, 1e-3, 2e-3)


class Affine(nn.Module):
    """(B, 2) -> (B, 3), the smallest generator."""

    latent = 2

    def __init__(self, dtype=torch.float32):
        super().__init__()
        self.layer = nn.Linear(2, 3, dtype=dtype)

    def forward(self, latent):
        return self.layer(latent)


class Logit(nn.Module):
    """(B, 3) -> (B,)."""

    def __init__(self, *before, dtype=torch.float32):
        super().__init__()
        self.layers = nn.Sequential(*before, nn.Linear(3, 1, dtype=dtype))

    def forward(self, x):
        return self.layers(x)[:, 0]


def of_seed(seed=0, *, spectral=True, dtype=torch.float32):
    """(networks, examples, generator)."""
    generator = torch.Generator().manual_seed(seed)
    kind = {"generator": generator, "dtype": dtype}
    networks = SectionGenerator(4, (8, 8), 8, **kind), SectionDiscriminator((8, 8), 8, spectral=spectral, **kind)
    return networks, torch.randn(7, 8, 8, generator=generator, dtype=dtype), generator


def weights(networks):
    return torch.cat([w.detach().flatten() for network in networks for w in network.parameters()])


def run(networks, examples, generator, plan=PLAN, **options):
    return list(train_adversarial(*networks, examples, plan, generator=generator, **options))


@pytest.mark.parametrize("spectral", [True, False])
def test_training_resumes_to_the_same_bits(tmp_path, spectral):
    whole = of_seed(spectral=spectral)
    file, options = tmp_path / "run.safetensors", {"snapshots": (2, 5), "save_every": 2}
    *_, last = run(*whole, **options)

    killed = of_seed(spectral=spectral)
    states = train_adversarial(*killed[0], killed[1], PLAN, generator=killed[2], checkpoint=file, **options)
    for _ in range(5):  # one step behind the last checkpoint
        next(states)

    again = of_seed(spectral=spectral)
    states = run(*again, checkpoint=file, **options)
    assert [state.step for state in states] == [5, 6]
    assert torch.equal(weights(again[0]), weights(whole[0]))
    assert torch.equal(states[-1].generator_loss, last.generator_loss)
    assert torch.equal(states[-1].discriminator_loss, last.discriminator_loss)
    for step in (2, 5):
        for name in ("generator", "discriminator"):
            mine, theirs = (getattr(state.snapshots[step], name) for state in (states[-1], last))
            assert mine.keys() == theirs.keys()
            assert all(torch.equal(mine[key], theirs[key]) for key in mine)

    done = of_seed(spectral=spectral)
    (state,) = run(*done, checkpoint=file, **options)
    assert state.step == 6
    assert torch.equal(weights(done[0]), weights(whole[0]))
    with pytest.raises(ValueError, match=r"checkpoint .*: expected"):
        run(*of_seed(1, spectral=spectral), checkpoint=file, **options)


def test_training_steps_are_those_of_adam_on_both_losses():
    networks = Affine(torch.float64), Logit(dtype=torch.float64)
    examples = torch.randn(3, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    before = [{key: w.detach().clone() for key, w in network.state_dict().items()} for network in networks]
    plan = AdversarialPlan(1, 3, 1e-2, 1e-3, 0.0)
    (state,) = run(networks, examples, torch.Generator().manual_seed(2), plan)
    generator = torch.Generator().manual_seed(2)
    z = torch.randn(2, 3, 2, generator=generator, dtype=torch.float64)
    w, b = before[0]["layer.weight"], before[0]["layer.bias"]
    u, c = before[1]["layers.0.weight"].requires_grad_(), before[1]["layers.0.bias"]
    fake = z[0] @ w.T + b
    loss = (1 + (-(examples @ u[0] + c)).exp()).log().mean() + (1 + (fake @ u[0] + c).exp()).log().mean()
    assert float(state.discriminator_loss) == pytest.approx(float(loss.detach()), rel=1e-12)
    # Adam's first step is the rate times g / (|g| + epsilon): both running means are corrected to g and g^2.
    (slope,) = torch.autograd.grad(loss, u)
    moved = networks[1].layers[0].weight.detach()
    torch.testing.assert_close(moved, u.detach() - 1e-3 * slope / (slope.abs() + 1e-8), rtol=1e-12, atol=0)
    second = networks[1](z[1] @ w.T + b).detach()
    assert float(state.generator_loss) == pytest.approx(float((1 + (-second).exp()).log().mean()), rel=1e-12)


def test_training_leaves_frozen_weights_and_no_gradient_of_the_other_network():
    networks, examples, generator = of_seed()
    networks[0].enter.weight.requires_grad_(False)
    frozen = networks[0].enter.weight.clone()
    run(networks, examples, generator, AdversarialPlan(2, 7, 1e-2, 1e-2))
    assert torch.equal(networks[0].enter.weight, frozen)
    assert networks[0].enter.weight.grad is None


def test_copier_draws_examples_alone_each_as_often():
    examples = torch.eye(4, dtype=torch.float64)
    drawn = copier(examples, 4000, generator=torch.Generator().manual_seed(0))
    counts = drawn.sum(0)
    assert float(counts.sum()) == 4000
    assert bool((drawn.sum(1) == 1).all())
    # Chi-square with 3 degrees of freedom: beyond 21.1 in 1 of 10 000 draws.
    assert float(((counts - 1000).square() / 1000).sum()) < 21.1


def test_copier_has_the_share_one_in_the_swap_test():
    generator = torch.Generator().manual_seed(0)
    train_set, held_out = torch.randn(2, 16, 5, generator=generator)
    found = swap_test(copier(train_set, 50, generator=generator), train_set, held_out, generator=generator)
    assert found.share == 1
    assert found.p == 1e-4


def value(p, q, logits):
    """-L_D at weights p of examples, q of outputs, and these logits."""
    return float(-(p * nn.functional.softplus(-logits)).sum() - (q * nn.functional.softplus(logits)).sum())


def test_optimal_logits_are_the_best_and_the_empirical_distribution_is_the_worst_case():
    generator = torch.Generator().manual_seed(0)
    p = torch.full((5,), 0.2, dtype=torch.float64)
    q = torch.rand(5, generator=generator, dtype=torch.float64) + 0.1
    q = q / q.sum()
    best = optimal_logits(p, q)
    top = value(p, q, best)
    for _ in range(20):
        assert value(p, q, best + 0.3 * torch.randn(5, generator=generator, dtype=torch.float64)) < top
    middle = (p + q) / 2
    divergence = 0.5 * float((p * (p / middle).log()).sum() + (q * (q / middle).log()).sum())
    assert top == pytest.approx(2 * divergence - math.log(4), abs=1e-14)
    assert torch.equal(optimal_logits(p, p), torch.zeros(5, dtype=torch.float64))
    assert value(p, p, torch.zeros(5, dtype=torch.float64)) == pytest.approx(-math.log(4), abs=1e-15)


def test_input_gradient_norms_are_those_of_each_alone():
    (_, network), examples, _ = of_seed(dtype=torch.float64)
    found = input_gradient_norms(network, examples)
    alone = torch.cat([input_gradient_norms(network, x[None]) for x in examples])
    torch.testing.assert_close(found, alone, rtol=1e-12, atol=0)
    step = 1e-6 * torch.randn(8, 8, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    with torch.no_grad():
        slope = float(network(examples[:1] + step) - network(examples[:1] - step)) / 2
    assert abs(slope) <= float(found[0] * step.norm()) * (1 + 1e-6)


def test_input_gradient_norms_of_a_spectral_discriminator_are_bounded():
    """A convolution of unit matrix norm is at most its kernel's width as an operator, all other layers at most 1."""
    (_, network), examples, _ = of_seed(dtype=torch.float64)
    kernels = math.prod(layer.kernel_size[0] for layer in network.features if isinstance(layer, nn.Conv2d))
    assert float(input_gradient_norms(network, examples).max()) <= kernels


def test_weight_spectra_of_spectral_layers_begin_at_one():
    spectra = weight_spectra(of_seed(dtype=torch.float64)[0][1])
    assert len(spectra) == 5
    for values in spectra.values():
        assert float(values[0]) == pytest.approx(1, abs=1e-12)
    assert float(weight_spectra(of_seed(spectral=False)[0][1])["leave"][0]) != pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"num_steps": 0}, "num_steps: expected an integer >= 1, got 0"),
        ({"batch_size": 1.5}, "batch_size: expected an integer >= 1, got 1.5"),
        ({"generator_rate": 0}, "generator_rate: expected one number, finite and > 0, got 0"),
        ({"discriminator_rate": math.nan}, "discriminator_rate: expected one number, finite and > 0, got nan"),
        ({"momentum": 1}, "momentum: expected from 0 to below 1, got 1"),
        ({"momentum": -0.1}, "momentum: expected one number, finite and > 0, got -0.1"),
    ],
)
def test_plan_out_of_bounds_is_named(changed, message):
    given = {"num_steps": 1, "batch_size": 1, "generator_rate": 1e-3, "discriminator_rate": 1e-3}
    with pytest.raises(ValueError, match=f"^{message}$"):
        AdversarialPlan(**given | changed)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((Affine(), Logit(), torch.ones(2, 4)), r"examples: expected the outputs' shape, \(N, \*\(3,\)\), got \(4,\)"),
        ((Affine(), Logit(), torch.ones(2, 3).double()), "examples: expected dtype torch.float32"),
        ((Affine(), Logit(), torch.full((2, 3), torch.nan)), "examples: expected finite numbers, got 6 NaN"),
        ((Affine(), Logit(), torch.ones(0, 3)), r"examples: expected shape \(N, ...\), N >= 1"),
        ((nn.Linear(2, 3), Logit(), torch.ones(2, 3)), "generator_network: expected an attribute latent, >= 1"),
        (
            (Affine(), nn.Linear(3, 1), torch.ones(2, 3)),
            r"discriminator: expected one logit of each, \(2,\), got \(2, 1",
        ),
        ((Affine(), Logit(nn.Dropout()), torch.ones(2, 3)), "discriminator: expected no active dropout"),
        ((Affine(), Logit(nn.BatchNorm1d(3)), torch.ones(2, 3)), "discriminator: expected no normalization over the"),
        ((Affine().requires_grad_(False), Logit(), torch.ones(2, 3)), "generator_network: expected weights that ask"),
    ],
)
def test_training_names_bad_input(arguments, message):
    with pytest.raises(ValueError, match=message):
        train_adversarial(*arguments, PLAN, generator=torch.Generator())


def test_training_names_bad_options(tmp_path):
    networks, examples, generator = of_seed()
    for options, message in (
        ({"snapshots": (2, 1)}, "snapshots: expected ascending steps from 1 to 6"),
        ({"snapshots": (7,)}, "snapshots: expected ascending steps from 1 to 6"),
        ({"snapshots": (0,)}, "snapshots: expected an integer >= 1"),
        ({"save_every": 0}, "save_every: expected an integer >= 1"),
        ({"checkpoint": tmp_path / "none" / "run"}, "checkpoint: expected a file in a folder that exists"),
    ):
        with pytest.raises(ValueError, match=message):
            train_adversarial(*networks, examples, PLAN, generator=generator, **options)
    with pytest.raises(TypeError, match=r"generator: expected a torch\.Generator"):
        train_adversarial(*networks, examples, PLAN, generator=0)
    with pytest.raises(TypeError, match=r"examples: expected a torch\.Tensor"):
        train_adversarial(*networks, [1.0], PLAN, generator=generator)


def test_exact_answers_name_bad_input():
    generator = torch.Generator()
    half = torch.tensor([0.5, 0.5])
    for call, message in (
        (lambda: copier(torch.ones(0, 2), 1, generator=generator), "examples: expected shape"),
        (lambda: copier(torch.ones(2, 2), 0, generator=generator), "num: expected an integer >= 1"),
        (lambda: optimal_logits(half, torch.tensor([0.0, 1.0])), "made: expected finite and > 0"),
        (lambda: optimal_logits(half / 2, half), "real: expected weights that add up to one, got 0.5"),
        (lambda: optimal_logits(half, torch.ones(1)), r"made: expected shape \(2,\), got \(1,\)"),
        (lambda: optimal_logits(half[None], half), r"real: expected shape \(K,\), K >= 1"),
        (lambda: optimal_logits(half, half.float()), r"made: expected dtype torch\.float64"),
        (lambda: input_gradient_norms(Logit(), torch.full((1, 3), torch.inf)), "examples: expected finite numbers"),
        (lambda: weight_spectra(nn.ReLU()), "network: expected nn.Linear or nn.Conv2d layers, got none"),
    ):
        with pytest.raises(ValueError, match=message):
            call()
