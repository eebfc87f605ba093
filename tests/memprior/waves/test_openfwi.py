"""OpenFWI's files are read as they are published, and anything else is refused with the file's name."""

import pickle
import re
import tracemalloc

import numpy as np
import pytest
import torch

from memprior.waves.openfwi import read_openfwi_data, read_openfwi_models

DATA, MAPS = (3, 5, 1000, 70), (3, 1, 70, 70)


def saved(path, array):
    np.save(path, array)
    return path


def velocity_maps():
    """Three maps in m/s, different along depth, along x and from each other."""
    number, _, depth, across = np.indices(MAPS)
    return (1500 + 1000 * number + 10 * depth + across).astype(np.float32)


def test_openfwi_data_keep_their_axes_and_values(tmp_path):
    stored = np.random.default_rng(0).standard_normal(DATA).astype(np.float32)
    traces = read_openfwi_data(saved(tmp_path / "data1.npy", stored))
    assert traces.dtype == torch.float32
    np.testing.assert_array_equal(traces.numpy(), stored)


def test_openfwi_models_are_returned_x_first_in_km_per_s(tmp_path):
    stored = velocity_maps()
    velocity = read_openfwi_models(saved(tmp_path / "model1.npy", stored))
    assert (velocity.shape, velocity.dtype) == ((3, 70, 70), torch.float32)
    assert velocity[2, 7, 40].item() == pytest.approx(stored[2, 0, 40, 7] / 1000, rel=1e-6)
    np.testing.assert_allclose(velocity.numpy(), stored[:, 0].transpose(0, 2, 1) / 1000, rtol=1e-6)


def test_openfwi_range_of_samples_is_read_alone(tmp_path):
    stored = velocity_maps()
    stored[0] = np.nan
    path = saved(tmp_path / "model1.npy", stored)
    chosen = read_openfwi_models(path, samples=slice(1, 3))
    np.testing.assert_allclose(chosen[:, 0, 0].numpy(), stored[1:, 0, 0, 0] / 1000, rtol=1e-6)


def test_openfwi_tensors_do_not_change_with_the_file(tmp_path):
    path = saved(tmp_path / "model1.npy", velocity_maps())
    velocity = read_openfwi_models(path)
    before = velocity.clone()
    saved(path, velocity_maps() + 100)
    assert torch.equal(velocity, before)


@pytest.mark.parametrize("stored", [np.float64, ">f4", np.float16])
@pytest.mark.parametrize("axes", "CF")
def test_openfwi_tensors_are_single_precision_for_any_float_and_order(tmp_path, stored, axes):
    """In float16, whose steps are 1 or 2 m/s here, the stored values themselves."""
    maps = velocity_maps().astype(stored)
    velocity = read_openfwi_models(saved(tmp_path / "model1.npy", maps.copy(order=axes)))
    assert velocity.dtype == torch.float32
    np.testing.assert_array_equal(velocity, maps[:, 0].astype(np.float32).transpose(0, 2, 1) / 1000)


def test_openfwi_record_of_kaggle_is_one_sample(tmp_path):
    stored = np.random.default_rng(0).standard_normal(DATA[1:]).astype(np.float32)
    traces = read_openfwi_data(saved(tmp_path / "000039dca2.npy", stored))
    np.testing.assert_array_equal(traces, stored[None])


@pytest.mark.parametrize("shape", [(1, 70, 70), (70, 70)])
def test_openfwi_single_map_is_one_sample(tmp_path, shape):
    stored = velocity_maps()[1].reshape(shape)
    velocity = read_openfwi_models(saved(tmp_path / "model1.npy", stored))
    np.testing.assert_array_equal(velocity, stored.reshape(1, 70, 70).transpose(0, 2, 1) / 1000)


def test_openfwi_sample_is_read_without_loading_the_others(tmp_path):
    """Of 20 records of 1.4 MB, one takes the memory of one, and of the flags that say which numbers are finite."""
    path = saved(tmp_path / "data1.npy", np.ones((20, *DATA[1:]), np.float32))
    tracemalloc.start()
    try:
        traces = read_openfwi_data(path, samples=slice(4, 5))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert 4 * traces.numel() <= peak < 2 * 4 * traces.numel()


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


def with_one(value, dtype=np.float32):
    maps = velocity_maps().astype(dtype)
    maps[1, 0, 3, 4] = value
    return maps


def twice(path):
    with path.open("wb") as file:
        np.save(file, velocity_maps()[:1])
        np.save(file, velocity_maps()[1:])
    return path


SHAPE = r"shape \(n, 1, 70, 70\), n >= 1: sample, channel, depth, x"
CASES = {
    "missing": (missing, "expected a .npy file, got no file of that name", FileNotFoundError),
    "empty": (written(b""), "expected a .npy file, got a file that begins with b''"),
    "text": (written(b"velocity 1500\n"), "expected a .npy file, got a file that begins with b'veloci'"),
    "archive": (written(b"PK\x03\x04" + b"0" * 100), "expected a .npy file, got a file that begins with b'PK"),
    "truncated": (truncated, "expected a complete .npy file of numbers, got mmap length is greater than file size"),
    "header cut off": (written(b"\x93NUMPY\x01\x00v\x00{'descr'"), "expected a complete .npy file of numbers, got EOF"),
    "pickled": (pickled, "expected a complete .npy file of numbers, got .*Python objects"),
    "a raw pickle": (lambda path: path.write_bytes(pickle.dumps([1500.0])) and path, "a .npy file, got .* begins with"),
    "two arrays": (twice, r"expected one array, got 39328 bytes after the first, of shape \(1, 1, 70, 70\)"),
    "maps without a channel": (of(velocity_maps()[:, 0]), SHAPE + r", got \(3, 70, 70\)"),
    "channel last": (of(velocity_maps()[..., None][:, 0]), SHAPE + r", got \(3, 70, 70, 1\)"),
    "data for maps": (of(np.zeros((1, 5, 10, 70), dtype=np.float32)), SHAPE + r", got \(1, 5, 10, 70\)"),
    "no maps": (of(velocity_maps()[:0]), SHAPE + r", got \(0, 1, 70, 70\)"),
    "a number": (of(np.float32(1500)), SHAPE + r", got \(\)"),
    "integers": (of(velocity_maps().astype(np.int32)), "expected a floating dtype, got int32"),
    "complex": (of(velocity_maps().astype(np.complex64)), "expected a floating dtype, got complex64"),
    "NaN": (of(with_one(np.nan)), "expected finite numbers in float32, got 1 NaN or infinite of 14700"),
    "too large": (
        of(with_one(1e200, np.float64)),
        "expected finite numbers in float32, got 1 NaN or infinite of 14700",
    ),
    "km/s": (of(velocity_maps() / 1000), "expected velocities in m/s, 100 to 10000, got 1.5 to 4.259"),
    "negative": (of(-velocity_maps()), "expected velocities in m/s, 100 to 10000, got -4259 to -1500"),
}


@pytest.mark.parametrize(
    ("make", "message", "kind"), [(*case, ValueError)[:3] for case in CASES.values()], ids=CASES.keys()
)
def test_openfwi_reader_names_a_wrong_file(tmp_path, make, message, kind):
    path = make(tmp_path / "model1.npy")
    with pytest.raises(kind, match=rf"model1\.npy: .*{message}"):
        read_openfwi_models(path)


@pytest.mark.parametrize("shape", [(2, 5, 1000, 69), (2, 5, 70, 1000), (2, 1000, 70, 5), (1000, 5, 70), (1000, 70)])
def test_openfwi_reader_refuses_data_of_another_shape_or_axis_order(tmp_path, shape):
    path = saved(tmp_path / "data1.npy", np.zeros(shape, dtype=np.float32))
    wanted = r"shape \(n, 5, 1000, 70\), n >= 1: sample, source, time, receiver"
    with pytest.raises(ValueError, match=rf"data1\.npy: expected {wanted}, got {re.escape(str(shape))}"):
        read_openfwi_data(path)


@pytest.mark.parametrize(
    ("samples", "kind", "message"),
    [
        (slice(5, 9), ValueError, r"^samples: expected a range of the 3 samples of .*, got slice\(5, 9, None\)"),
        (0, TypeError, "^samples: expected a slice or None, got int"),
        (range(2), TypeError, "^samples: expected a slice or None, got range"),
    ],
)
def test_openfwi_reader_refuses_samples_outside_the_file(tmp_path, samples, kind, message):
    path = saved(tmp_path / "model1.npy", velocity_maps())
    with pytest.raises(kind, match=message):
        read_openfwi_models(path, samples=samples)
