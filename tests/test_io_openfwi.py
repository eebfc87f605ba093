"""OpenFWI's files are read as they are published, and anything else is refused with the file's name."""

import numpy as np
import pytest
import torch

from memprior.io_openfwi import read_openfwi_data, read_openfwi_models

DATA, MAPS = (3, 5, 1000, 70), (3, 1, 70, 70)


def saved(path, array):
    np.save(path, array)
    return path


def velocity_maps():
    """Three maps in m/s, different along depth, along x and from each other."""
    number, _, depth, across = np.indices(MAPS)
    return (1500 + 1000 * number + 10 * depth + across).astype(np.float32)


def test_data_keep_their_axes_and_values(tmp_path):
    stored = np.random.default_rng(0).standard_normal(DATA).astype(np.float32)
    traces = read_openfwi_data(saved(tmp_path / "data1.npy", stored))
    assert traces.dtype == torch.float32
    np.testing.assert_array_equal(traces.numpy(), stored)


def test_models_are_turned_to_x_first_and_kilometres(tmp_path):
    stored = velocity_maps()
    velocity = read_openfwi_models(saved(tmp_path / "model1.npy", stored))
    assert (velocity.shape, velocity.dtype) == ((3, 70, 70), torch.float32)
    assert velocity[2, 7, 40].item() == pytest.approx(stored[2, 0, 40, 7] / 1000, rel=1e-6)
    np.testing.assert_allclose(velocity.numpy(), stored[:, 0].transpose(0, 2, 1) / 1000, rtol=1e-6)


def test_a_range_of_samples_is_read_alone(tmp_path):
    stored = velocity_maps()
    stored[0] = np.nan
    path = saved(tmp_path / "model1.npy", stored)
    chosen = read_openfwi_models(path, samples=slice(1, 3))
    np.testing.assert_allclose(chosen[:, 0, 0].numpy(), stored[1:, 0, 0, 0] / 1000, rtol=1e-6)


def test_what_was_read_does_not_change_with_the_file(tmp_path):
    path = saved(tmp_path / "model1.npy", velocity_maps())
    velocity = read_openfwi_models(path)
    before = velocity.clone()
    saved(path, velocity_maps() + 100)
    assert torch.equal(velocity, before)


@pytest.mark.parametrize("stored", [np.float64, ">f4"])
def test_other_floats_become_single(tmp_path, stored):
    path = saved(tmp_path / "model1.npy", velocity_maps().astype(stored))
    assert torch.equal(read_openfwi_models(path), read_openfwi_models(saved(tmp_path / "single.npy", velocity_maps())))


def missing(path):
    return path


def truncated(path):
    saved(path, velocity_maps())
    path.write_bytes(path.read_bytes()[:-1000])
    return path


def written(content):
    def write(path):
        path.write_bytes(content)
        return path

    return write


def of(array):
    return lambda path: saved(path, array)


def pickled(path):
    np.save(path, np.array([{"velocity": 1500.0}], dtype=object), allow_pickle=True)
    return path


def with_nan():
    maps = velocity_maps()
    maps[1, 0, 3, 4] = np.nan
    return maps


SHAPE = r"shape \(n, 1, 70, 70\), n >= 1"
CASES = {
    "missing": (missing, "expected a .npy file, got no file of that name", FileNotFoundError),
    "empty": (written(b""), "expected a .npy file, got a file that begins with b''"),
    "text": (written(b"velocity 1500\n"), "expected a .npy file, got a file that begins with b'veloci'"),
    "archive": (written(b"PK\x03\x04" + b"0" * 100), "expected a .npy file, got a file that begins with b'PK"),
    "truncated": (truncated, "expected a complete .npy file of numbers, got mmap length is greater than file size"),
    "header cut off": (written(b"\x93NUMPY\x01\x00v\x00{'descr'"), "expected a complete .npy file of numbers, got EOF"),
    "pickled": (pickled, "expected a complete .npy file of numbers, got .*Python objects"),
    "one map": (of(velocity_maps()[0, 0]), SHAPE + r", got \(70, 70\)"),
    "data for maps": (of(np.zeros((1, 5, 10, 70), dtype=np.float32)), SHAPE + r", got \(1, 5, 10, 70\)"),
    "no maps": (of(velocity_maps()[:0]), SHAPE + r", got \(0, 1, 70, 70\)"),
    "a number": (of(np.float32(1500)), SHAPE + r", got \(\)"),
    "integers": (of(velocity_maps().astype(np.int32)), "expected a floating dtype, got int32"),
    "complex": (of(velocity_maps().astype(np.complex64)), "expected a floating dtype, got complex64"),
    "NaN": (of(with_nan()), "expected finite numbers, got 1 NaN or infinite of 14700"),
    "km/s": (of(velocity_maps() / 1000), "expected velocities in m/s, 100 to 10000, got 1.5 to 4.259"),
    "negative": (of(-velocity_maps()), "expected velocities in m/s, 100 to 10000, got -4259 to -1500"),
}


@pytest.mark.parametrize(
    ("make", "told", "kind"), [(*case, ValueError)[:3] for case in CASES.values()], ids=CASES.keys()
)
def test_a_wrong_file_is_named(tmp_path, make, told, kind):
    path = make(tmp_path / "model1.npy")
    with pytest.raises(kind, match=rf"model1\.npy: .*{told}"):
        read_openfwi_models(path)


def test_data_of_another_shape_are_refused(tmp_path):
    path = saved(tmp_path / "data1.npy", np.zeros((2, 5, 1000, 69), dtype=np.float32))
    with pytest.raises(
        ValueError, match=r"data1\.npy: expected shape \(n, 5, 1000, 70\), n >= 1, got \(2, 5, 1000, 69\)"
    ):
        read_openfwi_data(path)


@pytest.mark.parametrize(
    ("samples", "kind", "told"),
    [
        (slice(5, 9), ValueError, r"^samples: expected a range of the 3 samples of .*, got slice\(5, 9, None\)"),
        (0, TypeError, "^samples: expected a slice or None, got int"),
        (range(2), TypeError, "^samples: expected a slice or None, got range"),
    ],
)
def test_samples_that_are_no_range_of_the_file_are_refused(tmp_path, samples, kind, told):
    path = saved(tmp_path / "model1.npy", velocity_maps())
    with pytest.raises(kind, match=told):
        read_openfwi_models(path, samples=samples)
