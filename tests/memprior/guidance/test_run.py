"""sample_guided resumes from its checkpoint to the same bits, and refuses any other file."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers import PATHS, pentagon

from memprior.denoiser import EmpiricalDenoiser
from memprior.guidance import dps_step, sample_guided
from memprior.likelihood import GaussianLikelihood
from memprior.noise import karras_sigmas
from memprior.operators import CoupledQuadraticOperator
from memprior.sampling import euler_step

IDENTITY = {"prior": "pentagon", "seed": 3}
SIGMAS = karras_sigmas(30, 0.05, 5.0)


def run(file, *, dies_after=None, identity=IDENTITY, generator=None):
    """30 guided ancestral steps; the process is killed after ``dies_after`` calls of the operator."""
    calls = []

    def forward(x):
        if len(x) == 8:  # not the check of one model before the first gradient
            calls.append(1)
        if dies_after is not None and len(calls) > dies_after:
            os.kill(os.getpid(), signal.SIGKILL)
        return CoupledQuadraticOperator()(x)

    likelihood = GaussianLikelihood(forward, torch.tensor([0.9, 0.4], dtype=torch.float64), 0.3)
    generator = torch.Generator().manual_seed(3) if generator is None else generator
    start = 5 * torch.randn(8, 2, dtype=torch.float64, generator=generator)
    step = dps_step(likelihood, scale=0.02, norm="squared")
    options = {"step": step, "generator": generator, "checkpoint": file, "identity": identity, "save_every": 4}
    return sample_guided(EmpiricalDenoiser(pentagon()), start, SIGMAS, **options), len(calls)


@pytest.mark.parametrize("dies_after", [2, 11, 29])
def test_sample_guided_resumes_to_the_same_bits_after_a_kill(tmp_path, dies_after):
    whole, _ = run(tmp_path / "whole.safetensors")
    file = tmp_path / "killed.safetensors"
    command = f"""
import pathlib, torch
torch.set_default_dtype(torch.float64)
import test_run
test_run.run(pathlib.Path({str(file)!r}), dies_after={dies_after})
"""
    environment = os.environ | PATHS
    killed = subprocess.run([sys.executable, "-c", command], cwd=Path(__file__).parent, env=environment, check=False)
    assert killed.returncode == -signal.SIGKILL
    again, calls = run(file)
    assert calls == 30 - dies_after // 4 * 4
    assert torch.equal(again.x, whole.x)
    assert torch.equal(again.misfits, whole.misfits)


def test_sample_guided_reads_a_finished_run_without_repeating_it(tmp_path):
    first, calls = run(tmp_path / "run.safetensors")
    second, more = run(tmp_path / "run.safetensors")
    assert (calls, more) == (30, 0)
    assert torch.equal(first.x, second.x)
    assert first.misfits.shape == (30, 8)


def test_sample_guided_refuses_another_runs_checkpoint(tmp_path):
    run(tmp_path / "run.safetensors")
    with pytest.raises(ValueError, match=r"checkpoint .*run\.safetensors: expected .*'seed': 4.*, got .*'seed': 3"):
        run(tmp_path / "run.safetensors", identity=IDENTITY | {"seed": 4})


def test_sample_guided_leaves_the_generator_where_a_refused_checkpoint_found_it(tmp_path):
    run(tmp_path / "run.safetensors")
    asked, other = (torch.Generator().manual_seed(3) for _ in range(2))
    with pytest.raises(ValueError, match="'seed': 4"):
        run(tmp_path / "run.safetensors", identity=IDENTITY | {"seed": 4}, generator=asked)
    torch.randn(8, 2, dtype=torch.float64, generator=other)  # the start, before the run
    assert torch.equal(asked.get_state(), other.get_state())


def test_sample_guided_refuses_a_file_that_is_no_checkpoint(tmp_path):
    file = tmp_path / "run.safetensors"
    file.write_bytes(b"no tensors")
    with pytest.raises(ValueError, match=r"run\.safetensors: expected a file written by save_atomically"):
        run(file)


def test_sample_guided_recognizes_an_identity_of_tuples_and_numpy_numbers(tmp_path):
    identity = {"grid": (3, np.int64(4)), "noise": np.float32(0.1)}
    first, _ = run(str(tmp_path / "run.safetensors"), identity=identity)
    second, more = run(str(tmp_path / "run.safetensors"), identity=identity)
    assert more == 0
    assert torch.equal(first.x, second.x)


@pytest.mark.parametrize(
    ("identity", "message"),
    [({"noise": float("nan")}, "finite numbers, got nan"), ({"sizes": {3: 1}}, r"texts as keys, got \[3\]")],
)
def test_sample_guided_refuses_an_invalid_identity_before_the_first_step(identity, message, tmp_path):
    with pytest.raises(ValueError, match=f"^identity: expected .*{message}"):
        run(tmp_path / "run.safetensors", identity=identity, dies_after=0)


def test_sample_guided_refuses_a_missing_folder_before_the_first_step(tmp_path):
    with pytest.raises(ValueError, match=r"^checkpoint: expected a file in a folder that exists, got .*nowhere"):
        run(tmp_path / "nowhere" / "run.safetensors", dies_after=0)


def test_sample_guided_refuses_a_checkpoint_with_a_flipped_bit(tmp_path):
    file = tmp_path / "run.safetensors"
    run(file)
    data = bytearray(file.read_bytes())
    data[-3] ^= 1
    file.write_bytes(data)
    with pytest.raises(ValueError, match=r"run\.safetensors: expected it as it was written, got a damaged"):
        run(file)


def test_sample_guided_refuses_an_unguided_step():
    start = torch.ones(2, 2, dtype=torch.float64)
    with pytest.raises(TypeError, match=r"^step: expected one whose states carry a misfit, got a SamplerState"):
        sample_guided(EmpiricalDenoiser(pentagon()), start, SIGMAS, step=euler_step, generator=torch.Generator())


@pytest.mark.parametrize("change", ["start", "schedule", "generator"])
def test_sample_guided_refuses_a_checkpoint_that_began_otherwise(tmp_path, change):
    def sampled(start, sigmas, seed):
        likelihood = GaussianLikelihood(CoupledQuadraticOperator(), torch.tensor([0.9, 0.4], dtype=torch.float64), 0.3)
        generator = torch.Generator().manual_seed(seed)
        options = {"step": dps_step(likelihood, scale=0.02, norm="squared"), "generator": generator}
        return sample_guided(EmpiricalDenoiser(pentagon()), start, sigmas, **options, checkpoint=tmp_path / "run")

    given = {"start": torch.ones(2, 2, dtype=torch.float64), "sigmas": SIGMAS, "seed": 1}
    first = sampled(**given)
    assert torch.equal(sampled(**given).x, first.x)
    other = {"start": {"start": 2 * given["start"]}, "schedule": {"sigmas": 2 * SIGMAS}, "generator": {"seed": 2}}
    with pytest.raises(ValueError, match=r"^checkpoint .*run: expected .*'start'.*, got .*'start'"):
        sampled(**given | other[change])


@pytest.mark.parametrize("num", [0, 1])
def test_sample_guided_refuses_a_schedule_without_a_step(num):
    start = torch.ones(2, 2, dtype=torch.float64)
    with pytest.raises(ValueError, match=r"^sigmas: expected"):
        sample_guided(EmpiricalDenoiser(pentagon()), start, SIGMAS[:num], step=None, generator=torch.Generator())
