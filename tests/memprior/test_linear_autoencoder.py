"""A linear autoencoder is PCA: the closed form is the least error, and descent from a random start ends in it."""

import pytest
import torch

from memprior.geology import sections
from memprior.linear_autoencoder import (
    best_linear_autoencoder,
    fit_linear_autoencoder,
    principal_angles,
)


def spread(num=40, size=12, seed=0):
    """Examples whose singular values fall by a quarter each, with a mean."""
    x = torch.randn(num, size, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    u, _, vt = torch.linalg.svd(x - x.mean(0), full_matrices=False)
    return 3 + u * 10 * 0.75 ** torch.arange(len(vt), dtype=torch.float64) @ vt


@pytest.mark.parametrize("code", [1, 3, 8])
def test_fit_ends_in_principal_components(code):
    examples = spread()
    exact = best_linear_autoencoder(examples, code)
    encoder, decoder = fit_linear_autoencoder(examples, code, generator=torch.Generator().manual_seed(1))
    for basis in (decoder, encoder.T):
        assert float(principal_angles(basis, exact.components.T).max()) < 1e-3
    outputs = exact.mean + (examples - exact.mean) @ (decoder @ encoder).T
    assert float((outputs - examples).square().mean()) == pytest.approx(float(exact.errors[-1]), rel=1e-6)


def test_fit_ends_in_principal_components_of_sections():
    examples = sections("parallel", 24, seed=0, size=(64, 64)).seismic.flatten(1)
    exact = best_linear_autoencoder(examples, 4)
    _, decoder = fit_linear_autoencoder(examples, 4, generator=torch.Generator().manual_seed(0))
    assert float(principal_angles(decoder, exact.components.T).max()) < 1e-3


def test_best_is_the_projection_with_the_error_it_says():
    examples = spread()
    found = best_linear_autoencoder(examples, 5)
    torch.testing.assert_close(found.components @ found.components.T, torch.eye(5, dtype=torch.float64))
    for j in range(6):
        part = found.components[:j]
        outputs = found.mean + (examples - found.mean) @ part.T @ part
        assert float((outputs - examples).square().mean()) == pytest.approx(float(found.errors[j]), rel=1e-12)
    torch.testing.assert_close(found.encode(examples).square().mean(0).sqrt(), found.scales)
    torch.testing.assert_close(found(found(examples)), found(examples))


def test_best_beats_random_codes():
    examples, generator = spread(), torch.Generator().manual_seed(2)
    found = best_linear_autoencoder(examples, 3)
    for _ in range(20):
        basis = torch.linalg.qr(torch.randn(12, 3, generator=generator, dtype=torch.float64))[0]
        centered = examples - found.mean
        assert float((centered - centered @ basis @ basis.T).square().mean()) > float(found.errors[-1])


def test_best_of_few_examples_stores_them_exactly():
    """N examples span N - 1 directions about their mean: a code of N - 1 numbers has no error, more gain nothing."""
    examples = spread(num=4)
    found = best_linear_autoencoder(examples, 7)
    assert float(found.errors[3]) < 1e-28
    torch.testing.assert_close(found(examples), examples)
    torch.testing.assert_close(found.components @ found.components.T, torch.eye(7, dtype=torch.float64))


def test_principal_angles_of_turned_planes():
    basis = torch.eye(5, dtype=torch.float64)
    angles = torch.tensor([1e-11, 0.7], dtype=torch.float64)
    turned = basis[:, :2] * angles.cos() + basis[:, 2:4] * angles.sin()
    mixed = turned @ torch.tensor([[2.0, 1.0], [0.0, 1.0]], dtype=torch.float64)
    torch.testing.assert_close(principal_angles(basis[:, :2], mixed), angles, rtol=1e-4, atol=1e-14)


def test_linear_autoencoder_names_bad_input():
    generator, x = torch.Generator(), torch.ones(3, 2)
    for call, message in (
        (lambda: best_linear_autoencoder(x, 3), "code: expected at most 2, the coordinates, got 3"),
        (lambda: best_linear_autoencoder(x, -1), "code: expected an integer >= 0, got -1"),
        (lambda: best_linear_autoencoder(x[:0], 1), "examples: expected at least one example"),
        (lambda: best_linear_autoencoder(x * torch.nan, 1), "examples: expected finite numbers"),
        (lambda: fit_linear_autoencoder(x, 0, generator=generator), "code: expected an integer >= 1, got 0"),
        (lambda: fit_linear_autoencoder(x, 1, generator=generator, num_steps=0), "num_steps: expected an integer >= 1"),
        (lambda: principal_angles(torch.eye(2)[:1], torch.eye(2)[:1]), "first: expected at most as many columns"),
        (lambda: principal_angles(torch.ones(3, 2), torch.eye(3)[:, :2]), "first: expected independent columns"),
        (lambda: principal_angles(torch.eye(3), torch.eye(3)[:, :2]), r"second: expected shape \(3, 3\), got \(3, 2\)"),
    ):
        with pytest.raises(ValueError, match=message):
            call()
    with pytest.raises(TypeError, match="examples: expected a torch"):
        best_linear_autoencoder([1.0], 1)
