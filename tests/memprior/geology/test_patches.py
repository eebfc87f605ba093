"""Facies patches are cut where their facies is, in nested sets; surrogates keep the amplitude spectrum and no more."""

import pytest
import torch

from memprior.geology import SECTION_FACIES, facies_patches, phase_randomized, sections


def test_patches_are_windows_of_their_sections_at_the_depth_that_they_tell():
    patches = facies_patches(6, seed=3, size=(48, 40), facies=("clinoform", "chaotic"))
    for k, patch in enumerate(patches.seismic):
        drawn = sections(patches.facies[patches.labels[k]], 1, seed=3, first=k // 2)
        t = int(patches.depth[k] - 47 / 2)
        windows = drawn.seismic[0, t : t + 48].unfold(1, 40, 1)  # (48, places, 40)
        here = (windows == patch[:, None]).all(2).all(0)
        assert here.sum() == 1
        x = int(here.nonzero()[0, 0])
        assert float(drawn.unit[0, t : t + 48, x : x + 40].float().mean()) == pytest.approx(float(patches.cover[k]))


def test_patches_lie_in_their_unit_as_far_as_it_reaches():
    patches = facies_patches(20, seed=0)
    channel = SECTION_FACIES.index("channel")  # the one unit that is narrower than a patch
    assert (patches.cover[patches.labels != channel] > 0.6 - 1e-6).all()
    assert (patches.cover[patches.labels == channel] > 0.2).all()


def test_patches_are_nested_balanced_and_independent_of_other_seeds():
    many = facies_patches(10, seed=0)
    later = facies_patches(4, seed=0, first=6)
    assert torch.equal(many.seismic[6:], later.seismic)
    assert torch.equal(many.labels, torch.arange(10) % 5)
    assert not torch.equal(many.seismic, facies_patches(10, seed=1).seismic)
    assert len(many) == 10
    only = facies_patches(1, seed=0, first=1, facies=("channel", "clinoform"))
    assert torch.equal(only.seismic[0], many.seismic[1])  # a facies' patch does not depend on what it stands among


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"num": 0}, "num: expected an integer >= 1"),
        ({"first": -1}, "first: expected an integer >= 0"),
        ({"seed": -1}, "seed: expected an integer >= 0"),
        ({"size": 64}, "size: expected"),
        ({"size": (8, 64)}, "size: expected an integer >= 16"),
        ({"size": (64, 129)}, "size: expected at most 128"),
        ({"facies": ("reef",)}, "facies: expected some of parallel"),
        ({"facies": ("chaotic", "chaotic")}, "facies: expected .* each once"),
        ({"facies": ()}, "facies: expected"),
    ],
)
def test_patches_that_cannot_be_are_refused(changed, message):
    with pytest.raises(ValueError, match=message):
        facies_patches(**{"num": 1, "seed": 0} | changed)


@pytest.mark.parametrize("size", [(16, 16), (15, 18), (16, 17)])
def test_surrogates_keep_spectrum_mean_and_energy_and_change_the_phases(size):
    generator = torch.Generator().manual_seed(0)
    given = torch.randn(3, *size, generator=generator, dtype=torch.float64) + 0.5
    made = phase_randomized(given, generator=generator)
    rounding = 1e-12 * given.numel()
    assert torch.allclose(torch.fft.fft2(made).abs(), torch.fft.fft2(given).abs(), atol=rounding)
    assert torch.allclose(made.mean((1, 2)), given.mean((1, 2)), atol=rounding)
    assert torch.allclose(made.square().mean((1, 2)), given.square().mean((1, 2)), atol=rounding)
    # Correlation of independent fields of n numbers: 1 / sqrt(n); five of these.
    centered = (
        (given - given.mean((1, 2), keepdim=True)).flatten(1),
        (made - made.mean((1, 2), keepdim=True)).flatten(1),
    )
    correlation = torch.nn.functional.cosine_similarity(*centered)
    assert (correlation.abs() < 5 / (size[0] * size[1]) ** 0.5).all()


@pytest.mark.parametrize("size", [(16, 16), (15, 18), (16, 17)])
def test_isotropic_surrogates_keep_the_energy_and_lose_the_direction(size):
    generator = torch.Generator().manual_seed(0)
    layers = torch.randn(2, size[0], 1, generator=generator, dtype=torch.float64).expand(2, *size)
    made = phase_randomized(layers, isotropic=True, generator=generator)
    assert torch.allclose(made.square().mean((1, 2)), layers.square().mean((1, 2)), rtol=1e-10)
    assert torch.allclose(made.mean((1, 2)), layers.mean((1, 2)), atol=1e-12)
    down, across = ((made.diff(dim=axis)).square().mean((1, 2)) for axis in (1, 2))
    kept = phase_randomized(layers, generator=generator)
    assert (across / down > 0.5).all()
    assert float(kept.diff(dim=2).abs().max()) < 1e-10  # what was layered is layered


def test_surrogates_refuse_what_is_no_batch_of_sections():
    generator = torch.Generator()
    with pytest.raises(ValueError, match=r"sections: expected shape \(B, H, W\)"):
        phase_randomized(torch.zeros(4, 4), generator=generator)
    with pytest.raises(ValueError, match=r"sections: expected finite"):
        phase_randomized(torch.full((1, 4, 4), torch.nan), generator=generator)
    with pytest.raises(TypeError, match=r"sections: expected a torch.Tensor"):
        phase_randomized([[0.0]], generator=generator)
    with pytest.raises(TypeError, match=r"generator: expected a torch.Generator"):
        phase_randomized(torch.zeros(1, 4, 4), generator=None)
