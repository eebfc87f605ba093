"""The command of a diagnosis: one page, JSON and picture; errors in one line with status 2 before any long work."""

import json
import os
import signal
import struct
import subprocess
import sys
import time
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers import PATHS
from matplotlib import pyplot as plt

from memprior.diagnose.__main__ import main, split_models
from memprior.diagnose.inputs import read_models, read_observed
from memprior.diagnose.simulators import load_operator
from memprior.report import BadInput

OPERATORS = """
import time
import numpy as np
import torch

A = np.random.default_rng(1).standard_normal((8, 6))
calls = []


def f(x):
    calls.append(1)
    return np.tanh(A @ x.ravel()) + 0.5 * (A @ x.ravel())


def rows(x):
    return ((1 - np.tanh(A @ x.ravel()) ** 2) + 0.5)[:, None] * A


def wrong(x):
    return 1.02 * rows(x)


def noisy(x):
    return f(x) + 1e-3 * np.random.standard_normal(8)


def slow(x):
    time.sleep(0.004)
    return f(x)


def not_finite(x):
    return f(x) + (np.nan if x.ravel()[0] > 1.7 else 0)


def bounded(x):
    return f(x)


bounded.bounds = 1.4, 6.0


class Shaped:
    model_shape = 2, 3

    def __call__(self, x):
        return x.flatten(1) @ torch.from_numpy(A).T


def torch_operator():
    return Shaped()


def mixing(x):
    return (x - x.mean(0)).flatten(1) @ torch.from_numpy(A).T


def detached(x):
    return torch.from_numpy(x.detach().numpy().reshape(len(x), -1) @ A.T)


number = 3
"""


@pytest.fixture(autouse=True)
def _no_figure_stays():
    with plt.rc_context():
        yield
        plt.close("all")


@pytest.fixture
def folder(tmp_path):
    """ops.py, models (60 of 2 x 3 in two files), data of a fresh one."""
    rng = np.random.default_rng(0)
    (tmp_path / "ops.py").write_text(OPERATORS)
    (tmp_path / "models").mkdir()
    models = rng.uniform(1.5, 4.5, (60, 2, 3))
    np.save(tmp_path / "models" / "a.npy", models[:40])
    np.save(tmp_path / "models" / "b.npy", models[40:])
    A = np.random.default_rng(1).standard_normal((8, 6))
    x = A @ rng.uniform(1.5, 4.5, 6)
    np.save(tmp_path / "data.npy", np.tanh(x) + 0.5 * x + 0.3 * rng.standard_normal(8))
    return tmp_path


SIZES = ["--truths", "12", "--draws", "39", "--proposals", "64"]


def arguments(folder, operator="f", *more, noise="0.3", numpy=True, models=None):
    given = ["--models", str(models or folder / "models"), "--data", str(folder / "data.npy"), "--noise-std", noise]
    given += ["--operator", f"{folder}/ops.py:{operator}", *SIZES, *more]
    if numpy:
        given += ["--numpy"]
    if numpy and operator != "f_alone":
        given += ["--jacobian", f"{folder}/ops.py:rows"]
    return given


def refused(capsys, given) -> str:
    """The one line on stderr."""
    assert main(given) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert "Traceback" not in said.err
    return said.err.strip().removeprefix("python -m memprior.diagnose: ")


def test_command_makes_one_page_with_json_and_picture(folder, capsys):
    assert main(arguments(folder, "f", "--out", str(folder / "out"))) == 0
    said = capsys.readouterr()
    numbers = json.loads((folder / "out" / "diagnosis.json").read_text())
    assert f"Verdict: {numbers['verdict']}." in said.out
    assert "truths: 12 of 12" in said.err
    assert sum(numbers["lookup"]["weights"]) == pytest.approx(1, abs=1e-12)
    assert numbers["lookup"]["best"].split("[")[0] in ("a.npy", "b.npy")
    assert (folder / "out" / "diagnosis.png").read_bytes().startswith(b"\x89PNG")


def test_command_goes_on_after_a_kill_with_the_same_json(folder, capsys):
    def given(operator, out):
        return [*arguments(folder, operator), "--proposals", "2000", "--out", str(folder / out)]

    assert main(given("f", "whole")) == 0
    command = [sys.executable, "-m", "memprior.diagnose", *given("slow", "killed")]  # the same data, later
    killed = subprocess.Popen(command, env=os.environ | PATHS, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    for _ in range(600):  # the Jacobians are kept, and the proposals, 8 s of them, are not
        if (folder / "killed" / "work" / "jacobians.safetensors").is_file():
            break
        time.sleep(0.1)
    killed.send_signal(signal.SIGKILL)
    killed.communicate()
    assert not (folder / "killed" / "diagnosis.json").exists()
    capsys.readouterr()
    assert main(given("f", "killed")) == 0
    said = capsys.readouterr().err
    assert "solves: 60, kept" in said
    assert "jacobians: 60, kept" in said
    assert (folder / "killed" / "diagnosis.json").read_bytes() == (folder / "whole" / "diagnosis.json").read_bytes()


def test_command_takes_a_torch_operator_that_a_function_makes(folder, capsys):
    assert main(arguments(folder, "torch_operator", numpy=False)) == 0
    assert "the linearization" in capsys.readouterr().out


def test_command_without_a_derivative_says_what_to_bring_and_what_goes_without(folder, capsys):
    given = [one for one in arguments(folder) if one not in ("--jacobian", f"{folder}/ops.py:rows")]
    said = refused(capsys, given)
    assert said.startswith("operator: expected a derivative, got the numpy function f alone: bring jacobian(x)")
    assert "--no-derivative" in said
    assert main([*given, "--no-derivative"]) == 0
    assert "not computed: without a derivative" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("operator", "numpy", "message"),
    [
        ("wrong_rows", True, "forward: expected F(x + h v) - F(x) - h J v that falls as h^2"),
        ("noisy", True, "operator: expected the same data from the same models, got"),
        ("mixing", False, "operator: expected members that do not depend on their batch, got data"),
        ("detached", False, "operator: expected a derivative; forward: expected data that depend on x by torch"),
        ("f", False, "models: the operator refuses a.npy[0]"),
        ("number", False, "operator: expected a function or an operator, got int"),
        ("absent", False, "operator: expected absent in"),
    ],
)
def test_command_names_an_operator_that_will_not_do(folder, capsys, operator, numpy, message):
    given = arguments(folder, operator.replace("wrong_rows", "f"), numpy=numpy)
    if operator == "wrong_rows":
        given[-1] = f"{folder}/ops.py:wrong"
    assert refused(capsys, given).startswith(message)


def test_command_names_a_numpy_function_that_was_not_said_to_be_one(folder, capsys):
    (folder / "ops.py").write_text(OPERATORS + "\ndef g(x):\n    return np.asarray(x).reshape(len(x), -1) @ A.T\n")
    said = refused(capsys, arguments(folder, "g", numpy=False))
    assert said.startswith("operator: expected a torch.Tensor (B, m) from a batch (B, *shape); a numpy simulator")
    assert said.endswith("got ndarray from g")


@pytest.mark.parametrize("noise", ["0", "-1", "nan", "inf"])
def test_command_names_a_noise_level_that_is_none(folder, capsys, noise):
    said = refused(capsys, [*arguments(folder), f"--noise-std={noise}"])
    assert said == f"noise_std: expected one number, finite and > 0, got {float(noise):g}"


def scaled(folder, models, data):
    for file in sorted((folder / "models").iterdir()):
        np.save(file, models * np.load(file))
    np.save(folder / "data.npy", data * np.load(folder / "data.npy"))


@pytest.mark.parametrize(
    ("models", "data", "noise", "message"),
    [
        (1.0, 1.0, "1e-300", "noise_std: expected a number from some 7e-139"),
        (1.0, 1.0, "1e200", "noise_std: expected a number from some 7e-139"),
        (1.0, 1.0, "1e-16", "noise_std: expected at least "),
        (1e200, 1.0, "0.3", "models: expected numbers from some 7e-139"),
        (1e-200, 1.0, "0.3", "models: expected numbers from some 7e-139"),
        (1.0, 1e200, "0.3", "data: expected numbers up to some "),
    ],
)
def test_command_names_a_scale_that_float64_does_not_hold_before_any_solve(
    folder, capsys, models, data, noise, message
):
    scaled(folder, models, data)
    said = refused(capsys, arguments(folder, noise=noise))
    assert said.startswith(message)
    assert len(said.splitlines()) == 1


def test_command_takes_data_far_below_the_noise(folder, capsys):
    scaled(folder, 1.0, 1e-200)
    assert main(arguments(folder)) == 0
    assert "Verdict: " in capsys.readouterr().out


@pytest.mark.parametrize("bounds", [("nan", "5"), ("5", "1"), ("1", "inf")])
def test_command_names_bounds_that_are_none(folder, capsys, bounds):
    said = refused(capsys, [*arguments(folder), "--bounds", *bounds])
    assert said.startswith("bounds: expected two finite numbers, the lower one first, got [")


@pytest.mark.filterwarnings("always")
def test_command_says_a_warning_once(folder, capsys, monkeypatch):
    from memprior.diagnose import __main__ as command

    def warns(args):
        for _ in range(3):
            warnings.warn("the same", stacklevel=1)
        return 0

    monkeypatch.setattr(command, "_run", warns)
    assert main(arguments(folder)) == 0
    assert capsys.readouterr().err.splitlines() == ["python -m memprior.diagnose: the same"]


def test_command_names_the_model_with_a_nan(folder, capsys):
    models = np.load(folder / "models" / "b.npy")
    models[7, 1, 2] = np.nan
    np.save(folder / "models" / "b.npy", models)
    said = refused(capsys, arguments(folder))
    assert said == (
        "models: b.npy: 1 of 120 numbers are NaN or infinite, expected none, in 1 of 20 points, "
        "first at index (7, 1, 2)"
    )


def test_command_names_axes_that_are_swapped(folder, capsys):
    models = np.load(folder / "models" / "b.npy")
    np.save(folder / "models" / "b.npy", models.transpose(0, 2, 1))
    said = refused(capsys, arguments(folder))
    assert said.startswith("models: expected models of shape (2, 3), as the other files hold, got (3, 2) in b.npy")
    np.save(folder / "models" / "a.npy", np.load(folder / "models" / "a.npy").transpose(0, 2, 1))
    said = refused(capsys, arguments(folder, "torch_operator", numpy=False))
    assert said == (
        "models: expected models of shape (2, 3), as the operator takes, got (3, 2) in a.npy: its axes are swapped, "
        "transpose the models"
    )


def test_command_names_models_in_metres(folder, capsys):
    models = np.load(folder / "models" / "b.npy")
    np.save(folder / "models" / "b.npy", 1000 * models)
    said = refused(capsys, arguments(folder, "bounded"))
    assert said.startswith("models: expected numbers from 1.4 to 6, the operator's bounds, got ")
    assert "in b.npy[0] (20 of 60 models are outside): m/s for km/s, or metres for km? times 0.001 it is inside" in said
    said = refused(capsys, arguments(folder))
    assert said.startswith("models: expected one unit, got b.npy[")
    assert "times larger than most: m/s and km/s, or metres and km, mixed?" in said


def test_command_names_models_that_a_wave_operator_refuses(folder, capsys):
    (folder / "waves.py").write_text(
        "import torch\nfrom memprior.fields import Grid\nfrom memprior.waves import Acquisition, HelmholtzOperator\n\n"
        "def make():\n"
        "    at = lambda *x: torch.tensor([x], dtype=torch.float64)\n"
        "    return HelmholtzOperator(Grid((8, 8), 0.1), Acquisition(at(0.2, 0.2), at(0.6, 0.6)), 3.0)\n"
    )
    np.save(folder / "models" / "a.npy", np.full((12, 8, 8), 2000.0) + np.random.default_rng(0).random((12, 8, 8)))
    (folder / "models" / "b.npy").unlink()
    given = arguments(folder, numpy=False)
    given[given.index("--operator") + 1] = f"{folder}/waves.py:make"
    said = refused(capsys, given)
    assert said.startswith("models: the operator refuses a.npy[0]")
    assert "km/s" in said


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"data.npy": np.zeros(7)}, "data: expected 8 numbers, as f predicts, got 7"),
        ({"data.npy": np.full(8, np.nan)}, "data: expected finite numbers, got 8 NaN or infinite of 8 in data.npy"),
        ({"data.npy": np.zeros((2, 4), complex)}, "data: expected real numbers, got complex128"),
        (
            {"models/b.npy": np.zeros((4, 3, 3))},
            "models: expected models of shape (2, 3), as the other files hold",
        ),
        ({"models/b.npy": np.zeros((4, 2, 3), complex)}, "models: b.npy: expected real numbers, got complex128"),
        ({"models/b.npy": np.zeros((4, 1, 70, 70))}, "models: b.npy: expected --format openfwi (km/s, x first) or"),
    ],
)
def test_command_names_arrays_that_do_not_fit(folder, capsys, change, message):
    for name, array in change.items():
        np.save(folder / name, array)
    assert refused(capsys, arguments(folder)).startswith(message)


def test_command_names_what_is_not_there(folder, capsys):
    assert refused(capsys, arguments(folder, models=folder / "none")).startswith("models: expected a folder of models")
    (folder / "empty").mkdir()
    assert refused(capsys, arguments(folder, models=folder / "empty")).startswith("models: expected .npy, .sgy, .segy")
    np.save(folder / "few.npy", np.ones((4, 2, 3)))
    assert refused(capsys, arguments(folder, models=folder / "few.npy")) == "models: expected at least 5, got 4"
    np.save(folder / "few.npy", np.ones((9, 2, 3)))
    said = refused(capsys, arguments(folder, models=folder / "few.npy"))
    assert said == "models: expected models that differ, got 9 equal ones"


def test_command_names_a_model_that_makes_no_data(folder, capsys):
    given = arguments(folder, "not_finite")
    models = np.load(folder / "models" / "a.npy")
    models[:, 0, 0] = 1.6
    models[30, 0, 0] = 1.75
    np.save(folder / "models" / "a.npy", models)
    np.save(folder / "models" / "b.npy", models[:5])
    assert refused(capsys, given).endswith("operator: expected finite data from a.npy[30], got NaN or infinity")


def test_command_names_samples_that_do_not_fit(folder, capsys):
    np.save(folder / "samples.npy", np.ones((9, 3, 2)))
    said = refused(capsys, [*arguments(folder), "--samples", str(folder / "samples.npy")])
    assert said.startswith("samples: expected models of shape (2, 3), as the operator takes, got (3, 2) in samples.npy")
    assert refused(capsys, [*arguments(folder), "--split", "10", "0"]).startswith("samples: expected --samples beside")
    np.save(folder / "samples.npy", np.ones((9, 2, 3)))
    both = ["--samples", str(folder / "samples.npy"), "--split", "58", "0"]
    assert refused(capsys, [*arguments(folder), *both]) == "split: expected 5 to 55 held-out models of 60, got 58"


def test_command_tests_samples_against_a_split(folder, capsys):
    models = np.concatenate([np.load(folder / "models" / f"{name}.npy") for name in "ab"])
    trained = split_models(read_models(folder / "models"), 20, 3)[0].points.numpy()
    for name, samples, found in (("copies", trained[:30], "refuse the prior"), ("fresh", models + 0.01, None)):
        np.save(folder / f"{name}.npy", samples)
        out = str(folder / name)
        given = ["--samples", str(folder / f"{name}.npy"), "--split", "20", "3", "--out", out]
        assert main([*arguments(folder), *given]) == 0
        numbers = json.loads((Path(out) / "diagnosis.json").read_text())
        assert numbers["num_models"] == 40
        assert (numbers["verdict"] == "refuse the prior") == (found is not None)
    assert "swap test: p, one-sided" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("def f(x)\n", "operator: expected a module that can be imported, got {}: SyntaxError: "),
        ("f = nothing\n", "operator: expected a module that can be imported, got {}: NameError: name 'nothing' is"),
        ("def f():\n    raise KeyError('a.json')\n", "operator: expected an operator from {}:f(), got KeyError: "),
    ],
)
def test_command_names_a_module_that_will_not_do(folder, capsys, text, message):
    (folder / "ops.py").write_text(text)
    assert refused(capsys, arguments(folder, numpy=False)).startswith(message.format(folder / "ops.py"))


def test_operator_and_jacobian_of_one_file_share_what_it_made(folder):
    (folder / "ops.py").write_text(
        "import numpy as np\nA = np.random.default_rng().standard_normal((8, 6))\n"
        "def f(x):\n    return A @ x.ravel()\ndef rows(x):\n    return A\n"
    )
    forward = load_operator(f"{folder}/ops.py:f", numpy=True, jacobian=f"{folder}/ops.py:rows")
    x = torch.eye(6, dtype=torch.float64)
    assert torch.equal(forward(x).T, forward.jacobian(x[:1])[0])


def test_models_of_one_line_each_are_read_with_their_shape(tmp_path):
    for name in "ab":
        np.save(tmp_path / f"{name}.npy", np.arange(12.0))
    assert read_models(tmp_path, shape=(12,)).points.shape == (2, 12)
    with pytest.raises(BadInput, match=r"a.npy: expected shape \(n, ...\), got \(12,\): of one model, --shape 12"):
        read_models(tmp_path)


def test_command_takes_samples_as_npy_beside_windows_of_sections(folder, capsys):
    (folder / "lines").mkdir()
    traces = np.random.default_rng(0).standard_normal((12, 60)).astype(np.float32)
    segy(folder / "lines" / "a.sgy", traces, [[(181, "i", 25 * k), (71, "h", 1)] for k in range(12)], sorting=4)
    np.save(folder / "samples.npy", np.random.default_rng(1).standard_normal((20, 2, 3)))
    given = arguments(folder, models=folder / "lines")
    given += ["--window", "2,3", "--samples", str(folder / "samples.npy"), "--split", "20", "0"]
    assert main(given) == 0
    assert "swap test: p, one-sided" in capsys.readouterr().out
    np.save(folder / "samples.npy", np.ones((20, 3, 2)))
    assert refused(capsys, given).startswith("samples: samples.npy: expected a SEG-Y section to cut windows from, or")


def test_command_hints_at_models_that_are_transposed(folder, capsys):
    rng = np.random.default_rng(4)
    square = np.array([1.5, 3.0, 4.5]) + 0.2 * rng.standard_normal((60, 3, 3))  # faster with depth, the last axis
    A = np.random.default_rng(6).standard_normal((12, 9))
    text = "import numpy as np\nA = np.random.default_rng(6).standard_normal((12, 9))\n"
    (folder / "ops.py").write_text(text + "def f(x):\n    return A @ x.ravel()\ndef rows(x):\n    return A\n")
    np.save(folder / "data.npy", A @ square[3].ravel())
    np.save(folder / "square.npy", square.transpose(0, 2, 1))
    given = [*arguments(folder, noise="0.01", models=folder / "square.npy"), "--truths", "60"]
    assert main(given) == 0
    text = capsys.readouterr().out
    assert "refuse the data" in text
    assert "Hint: transposed, the best of 16 models has a misfit per datum of 0, not" in text


def segy(path, traces, heads, dt_us=4000, sorting=0):
    """SEG-Y of revision 1, big-endian IEEE: (byte, type, value) of each trace's header."""
    binary = bytearray(400)
    for byte, code, value in ((17, "H", dt_us), (21, "H", len(traces[0])), (25, "h", 5), (29, "h", sorting)):
        struct.pack_into(f">{code}", binary, byte - 1, value)
    binary[300] = 1
    blocks = [b" " * 3200, bytes(binary)]
    for trace, fields in zip(traces, heads, strict=True):
        head = bytearray(240)
        for byte, code, value in ((29, "h", 1), (115, "H", len(trace)), (117, "H", dt_us), *fields):
            struct.pack_into(f">{code}", head, byte - 1, value)
        blocks += [bytes(head), trace.astype(">f4").tobytes()]
    path.write_bytes(b"".join(blocks))


def test_models_are_windows_of_a_section_and_of_a_gather(tmp_path):
    traces = np.random.default_rng(0).standard_normal((12, 20)).astype(np.float32)
    segy(tmp_path / "line.sgy", traces, [[(181, "i", 25 * k), (71, "h", 1)] for k in range(12)], sorting=4)
    segy(tmp_path / "shot.segy", traces, [[(73, "i", 0), (81, "i", 100 + 25 * k), (71, "h", 1)] for k in range(12)])
    models = read_models(tmp_path, window=(4, 10))
    assert models.points.shape == (12, 4, 10)
    assert models.places[6] == "shot.segy[0]"
    assert np.array_equal(models.points[6].numpy(), traces[:4, :10])
    assert np.array_equal(read_models(tmp_path / "line.sgy").points[0].numpy(), traces)
    assert np.array_equal(read_observed(tmp_path / "shot.segy").numpy(), traces.ravel())
    segy(tmp_path / "shot.segy", traces, [[(29, "h", 2)]] * 12)
    with pytest.raises(BadInput, match=r"data: shot.segy: expected live seismic traces, got 12 dead"):
        read_observed(tmp_path / "shot.segy")
    with pytest.raises(BadInput, match=r"models: shot.segy: expected live seismic traces, got 12 dead or auxiliary"):
        read_models(tmp_path)


def test_models_are_openfwis_where_it_is_said(tmp_path):
    maps = np.random.default_rng(0).uniform(1500, 4500, (6, 1, 70, 70)).astype(np.float32)
    np.save(tmp_path / "model1.npy", maps)
    models = read_models(tmp_path, form="openfwi")
    assert models.shape == (70, 70)
    assert np.allclose(models.points[2, 5, 9], maps[2, 0, 9, 5] / 1000)
    assert read_models(tmp_path, form="npy").shape == (1, 70, 70)


def test_command_finds_the_format_of_each_folder_or_is_told_it(folder, capsys):
    rng = np.random.default_rng(0)
    (folder / "mean.py").write_text("import torch\n\n\ndef f(x):\n    return x.mean(2)\n")
    (folder / "maps").mkdir()
    maps = rng.uniform(1500, 4500, (30, 1, 70, 70)).astype(np.float32)
    np.save(folder / "maps" / "model1.npy", maps)
    np.save(folder / "data.npy", np.full(70, 3.0))
    np.save(folder / "samples.npy", rng.uniform(1.5, 4.5, (10, 70, 70)))  # km/s, x first: as the operator takes them
    given = ["--models", str(folder / "maps"), "--format", "openfwi", "--data", str(folder / "data.npy")]
    given += ["--operator", f"{folder}/mean.py:f", "--noise-std", "0.1", "--no-derivative", "--truths", "5"]
    given += ["--samples", str(folder / "samples.npy"), "--held-out", str(folder / "held.npy")]
    np.save(folder / "held.npy", maps[:10] + 1)
    assert refused(capsys, given).startswith("held_out: held.npy: expected --held-out-format openfwi (km/s, x first)")
    assert main([*given, "--held-out-format", "openfwi"]) == 0
    assert "swap test: p, one-sided" in capsys.readouterr().out
    np.save(folder / "samples.npy", maps[:10])
    said = refused(capsys, [*given, "--held-out-format", "openfwi"])
    assert said.startswith("samples: samples.npy: expected --samples-format openfwi")
