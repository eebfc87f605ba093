"""ResNet-18 with torchvision's names; a reader's file is read and never run."""

import pickle

import pytest
import torch
from safetensors.torch import save_file

from memprior.dreaming import DreamPlan, dream, layer_norm_objective
from memprior.resnet import OfSections, ResNet18, load_resnet18


@pytest.fixture(scope="module")
def weights() -> dict[str, torch.Tensor]:
    """Random ones, of four classes."""
    generator = torch.Generator().manual_seed(0)
    state = ResNet18(4).state_dict()
    for name, tensor in state.items():
        if tensor.is_floating_point():
            noise = torch.randn(tensor.shape, generator=generator)
            tensor.copy_(noise.abs() + 0.5 if name.endswith("running_var") else 0.05 * noise)
    return state


def test_resnet_has_the_sizes_of_torchvisions():
    network = ResNet18()
    assert sum(w.numel() for w in network.parameters()) == 11_689_512
    names = network.state_dict()
    assert len(names) == 122
    assert names["layer2.0.downsample.0.weight"].shape == (128, 64, 1, 1)
    assert names["layer4.1.bn2.num_batches_tracked"].shape == ()
    assert not network.training
    assert network(torch.zeros(1, 3, 64, 64)).shape == (1, 1000)


@pytest.mark.parametrize("suffix", ["pth", "safetensors"])
def test_file_of_weights_comes_back_bit_by_bit(tmp_path, weights, suffix):
    file = tmp_path / f"resnet18.{suffix}"
    torch.save(weights, file) if suffix == "pth" else save_file(weights, file)
    found = load_resnet18(file)
    assert all(torch.equal(tensor, weights[name]) for name, tensor in found.state_dict().items())
    assert found.fc.out_features == 4


def test_file_without_counts_of_batches_is_taken(tmp_path, weights):
    file = tmp_path / "old.pth"
    torch.save({name: tensor for name, tensor in weights.items() if not name.endswith("tracked")}, file)
    assert torch.equal(load_resnet18(file).conv1.weight, weights["conv1.weight"])


def test_network_of_pictures_dreams_of_sections(tmp_path, weights):
    file = tmp_path / "resnet18.pth"
    torch.save(weights, file)
    network = OfSections(load_resnet18(file))
    start = torch.randn(1, 32, 32, generator=torch.Generator().manual_seed(1))
    objective = layer_norm_objective(network, "network.layer1")
    *_, state = dream(objective, start, DreamPlan(3, 0.05, "trace"))
    assert objective(state.sections) > objective(start)
    with pytest.raises(ValueError, match=r"sections: expected shape \(B, H, W\)"):
        network(torch.zeros(1, 3, 32, 32))


class Payload:
    """What a malicious file would run when it is read."""

    def __init__(self, file):
        self.file = file

    def __reduce__(self):
        return open, (str(self.file), "w")


def test_pickle_is_refused_and_nothing_of_it_is_run(tmp_path):
    trap = tmp_path / "trap"
    for name, save in (("plain.pth", pickle.dump), ("torch.pth", torch.save)):
        file = tmp_path / name
        with file.open("wb") as opened:
            save({"fc.weight": Payload(trap)}, opened)
        with pytest.raises(ValueError, match=f"weights {name}: expected tensors alone, got a pickle of more"):
            load_resnet18(file)
    assert not trap.exists()


def changed(weights, **new):
    return weights | {name.replace("__", "."): tensor for name, tensor in new.items()}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda w: {k: v for k, v in w.items() if "layer3" not in k},
            "expected all of ResNet-18's, got 25 missing: layer3",
        ),
        (lambda w: changed(w, layer9=torch.ones(1)), "expected only ResNet-18's, got 1 more: layer9"),
        (lambda w: changed(w, conv1__weight=torch.ones(64, 1, 7, 7)), r"conv1.weight: expected shape \(64, 3, 7, 7\)"),
        (lambda w: changed(w, fc__bias=torch.full((4,), torch.nan)), "fc.bias: expected finite floating numbers"),
        (lambda w: {k: v for k, v in w.items() if k != "fc.weight"}, r"expected fc.weight \(C, 512\), got none"),
        (lambda w: changed(w, fc__weight=torch.ones(4)), r"expected fc.weight \(C, 512\), got \(4,\)"),
        (lambda w: {"state_dict": w}, "expected a dict of tensors by name"),
        (lambda w: [1], "expected a dict of tensors by name, got list"),
    ],
)
def test_file_of_other_weights_is_refused_by_name(tmp_path, weights, change, message):
    file = tmp_path / "other.pth"
    torch.save(change(weights), file)
    with pytest.raises(ValueError, match=f"weights other.pth.*{message}"):
        load_resnet18(file)


def test_file_that_is_none_is_refused_by_name(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"path: expected a file of weights"):
        load_resnet18(tmp_path / "nowhere.pth")
    for name in ("text.pth", "text.safetensors"):
        (tmp_path / name).write_text("not weights at all")
        with pytest.raises(ValueError, match=f"weights {name}: expected"):
            load_resnet18(tmp_path / name)
    with pytest.raises(ValueError, match=r"pictures: expected shape \(B, 3, H, W\)"):
        ResNet18(2)(torch.zeros(1, 1, 32, 32))
    with pytest.raises(ValueError, match=r"num_classes: expected"):
        ResNet18(0)
