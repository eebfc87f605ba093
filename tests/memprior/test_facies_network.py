"""The facies network: linear at first, deaf to gain, and trained from its generator alone."""

import pytest
import torch

from memprior.facies_network import FaciesNetwork, FaciesTraining, train_facies
from memprior.geology import facies_patches


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def test_network_takes_patches_of_any_size_and_their_gain_changes_nothing():
    network = FaciesNetwork(5, 8, generator=generator(), dtype=torch.float64)
    for size in ((16, 16), (40, 33)):
        x = torch.randn(3, *size, generator=generator(1), dtype=torch.float64)
        logits = network(x)
        assert logits.shape == (3, 5)
        assert torch.allclose(network(100 * x), logits, atol=1e-3)  # but for the normalization's epsilon
        assert torch.allclose(network(x[1:2]), logits[1:2])
    x, y = (torch.randn(1, 1, 16, 16, generator=generator(k), dtype=torch.float64) for k in (1, 2))
    assert torch.allclose(network.conv1(x + y), network.conv1(x) + network.conv1(y))


def test_network_is_its_generators():
    same = [FaciesNetwork(5, 8, generator=generator(3)).state_dict() for _ in range(2)]
    assert all(torch.equal(same[0][name], same[1][name]) for name in same[0])
    assert not torch.equal(same[0]["head.weight"], FaciesNetwork(5, 8, generator=generator(4)).head.weight)


def test_training_separates_facies_and_is_the_same_run_again():
    patches = facies_patches(8, seed=0, size=(24, 24), facies=("parallel", "chaotic"))
    runs = []
    for _ in range(2):
        network = FaciesNetwork(2, 4, generator=generator())
        *_, (step, loss) = train_facies(
            network, patches.seismic, patches.labels, FaciesTraining(60, 8, 1e-2), generator=generator(1)
        )
        runs.append(network.state_dict())
    assert step == 60
    assert float(loss) < 0.3
    assert (network(patches.seismic).argmax(1) == patches.labels).all()
    assert all(torch.equal(runs[0][name], runs[1][name]) for name in runs[0])


def test_rate_falls_to_nothing():
    plan = FaciesTraining(10, learning_rate=0.1)
    rates = [plan.rate(step) for step in range(1, 11)]
    assert rates[0] == 0.1
    assert rates == sorted(rates, reverse=True)
    assert rates[-1] < 0.003


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"num_facies": 1}, "num_facies: expected an integer >= 2"),
        ({"width": 6}, "width: expected a multiple of 4"),
    ],
)
def test_network_refuses_sizes(given, message):
    with pytest.raises(ValueError, match=message):
        FaciesNetwork(**{"num_facies": 2} | given, generator=generator())


def test_network_and_training_refuse_by_name():
    network = FaciesNetwork(2, 4, generator=generator())
    x, labels, plan = torch.ones(2, 16, 16, dtype=torch.float32), torch.tensor([0, 1]), FaciesTraining(1)

    draws = generator()

    def train(patches=x, labels=labels, generator=draws):
        return train_facies(network, patches, labels, plan, generator=generator)

    with pytest.raises(TypeError, match=r"generator: expected a torch.Generator"):
        FaciesNetwork(2, generator=None)
    with pytest.raises(ValueError, match=r"patches: expected shape \(B, H, W\), H and W >= 8"):
        network(torch.ones(2, 7, 16))
    with pytest.raises(ValueError, match=r"patches: expected dtype torch.float32"):
        network(x.double())
    with pytest.raises(ValueError, match=r"patches: expected shape \(N, H, W\)"):
        train(x[0])
    with pytest.raises(ValueError, match=r"patches: expected finite"):
        train(torch.nan * x)
    with pytest.raises(ValueError, match=r"labels: expected int64 of shape \(2,\)"):
        train(labels=labels.float())
    with pytest.raises(ValueError, match=r"labels: expected from 0 to 1"):
        train(labels=labels + 1)
    with pytest.raises(TypeError, match=r"generator: expected a torch.Generator"):
        train(generator=None)
    for name in ("num_steps", "batch_size", "learning_rate"):
        with pytest.raises(ValueError, match=f"{name}: expected"):
            FaciesTraining(**{"num_steps": 1} | {name: 0})
    with pytest.raises(ValueError, match=r"noise: expected"):
        FaciesTraining(1, noise=-1.0)
