"""One random stream and one checkpoint on every device: what a CPU began a GPU ends, with the same numbers."""

import itertools
import logging
from dataclasses import asdict

import pytest
import torch
from helpers import store_in

from chapters.ch04_dps_fwi.runs import TrainingRun, trained
from companion import record
from memprior import _random
from memprior._random import generator_for
from memprior.checkpoint import read_saved
from memprior.denoiser import EmpiricalDenoiser, NetworkDenoiser
from memprior.guidance import dps_step, sample_guided
from memprior.likelihood import GaussianLikelihood
from memprior.networks import ResidualMLP
from memprior.noise import karras_sigmas
from memprior.operators import MatrixOperator
from memprior.training import TrainingPlan, snapshots

DEVICES = ("cpu", "cuda")
PAIRS = list(itertools.product(DEVICES, DEVICES))
PLAN = TrainingPlan(600, 16, 1e-3, 1e-4, 0.99, 0.05, 5.0)


class Killed(Exception):
    """What ends a run in its middle."""


@pytest.mark.parametrize("draw", [_random.normal, _random.uniform])
def test_draws_are_the_same_on_a_gpu_as_on_the_cpu(draw):
    here, there = (draw(50, 3, like=torch.ones(1, device=device), generator=generator_for("x")) for device in DEVICES)
    assert there.is_cuda
    assert torch.equal(there.cpu(), here)


@pytest.mark.parametrize("where", DEVICES)
def test_generator_of_either_device_serves_tensors_of_both(where):
    generator = torch.Generator(where).manual_seed(3)
    for device in DEVICES:
        like = torch.ones(4, 3, device=device)
        assert _random.integers(5, 2, like=like, generator=generator).device.type == device
        assert _random.choices(like, 2, generator=generator).device.type == device


def test_weights_are_the_same_on_a_gpu():
    here, there = (ResidualMLP(3, 8, 2, generator=generator_for("w"), device=device) for device in DEVICES)
    for one, other in zip(here.state_dict().values(), there.state_dict().values(), strict=True):
        assert other.is_cuda
        assert torch.equal(one, other.cpu())


def history(device, folder, stop=None):
    """(step, first weights) of a training run with three checkpoints; ``stop``: it is killed after so many."""
    generator = torch.Generator().manual_seed(1)
    x = torch.arange(12.0, device=device).reshape(6, 2)
    denoiser = NetworkDenoiser(ResidualMLP(2, 8, 1, generator=generator, device=device), 1.0)
    passed = snapshots(denoiser, x, PLAN, [500, 550, 600], generator=generator, folder=folder)
    found = []
    for step, average in itertools.islice(passed, stop):
        weights = average.network.enter.weight
        assert weights.device.type == device
        found.append((step, weights.detach().cpu().clone()))
    return found


@pytest.mark.parametrize(("first", "then"), PAIRS)
def test_training_resumes_on_another_device(first, then, tmp_path, caplog):
    caplog.set_level(logging.INFO, "memprior")
    expected = history("cpu", None)
    history(first, tmp_path, stop=1)
    assert not caplog.messages
    found = history(then, tmp_path)
    assert [message for message in caplog.messages if "goes on from step 500 of 600" in message]
    for (step, weights), (same, others) in zip(found, expected, strict=True):
        assert step == same
        torch.testing.assert_close(weights, others, rtol=1e-6, atol=1e-7)


def sampled(device, file, fail_after=None):
    generator, calls = torch.Generator().manual_seed(1), itertools.count()
    likelihood = GaussianLikelihood(MatrixOperator(torch.eye(2, device=device)), torch.ones(2, device=device), 0.5)
    plain = dps_step(likelihood, scale=0.1, norm="squared")

    def step(*args, **kwargs):
        if next(calls) == fail_after:
            raise Killed
        return plain(*args, **kwargs)

    start = _random.normal(3, 2, like=likelihood.observed, generator=generator)
    told = {"step": step, "generator": generator, "checkpoint": file, "identity": {}, "save_every": 2}
    return sample_guided(EmpiricalDenoiser(torch.eye(2, device=device)), start, karras_sigmas(8, 0.1, 5.0), **told)


@pytest.mark.parametrize(("first", "then"), PAIRS)
def test_sampling_resumes_on_another_device(first, then, tmp_path, caplog):
    caplog.set_level(logging.INFO, "memprior")
    expected = sampled("cpu", tmp_path / "whole.safetensors")
    with pytest.raises(Killed):
        sampled(first, tmp_path / "run.safetensors", fail_after=5)
    found = sampled(then, tmp_path / "run.safetensors")
    assert found.x.device.type == found.misfits.device.type == then
    assert [message for message in caplog.messages if "goes on from step 4 of 8" in message]
    torch.testing.assert_close(found.x.cpu(), expected.x)
    torch.testing.assert_close(found.misfits.cpu(), expected.misfits)


def test_generator_state_of_a_gpu_is_refused_on_the_cpu(tmp_path):
    file = tmp_path / "run.safetensors"
    with pytest.raises(Killed):
        sampled("cpu", file, fail_after=5)
    likelihood = GaussianLikelihood(MatrixOperator(torch.eye(2)), torch.ones(2), 0.5)
    told = {
        "step": dps_step(likelihood, scale=0.1, norm="squared"),
        "checkpoint": file,
        "identity": {},
        "save_every": 2,
    }
    with pytest.raises(ValueError, match=r"checkpoint .*: expected the \d+ bytes of a generator on cuda"):
        sample_guided(
            EmpiricalDenoiser(torch.eye(2)),
            torch.ones(3, 2),
            karras_sigmas(8, 0.1, 5.0),
            generator=torch.Generator("cuda"),
            **told,
        )


@pytest.mark.parametrize(("first", "then"), [("cpu", "cuda"), ("cuda", "cpu")])
def test_store_keeps_results_by_device_and_resumes_on_any(first, then, tmp_path, monkeypatch):
    lesson, stores = TrainingRun(6, 0, 8, 1, 4, (2, 4)), [store_in(tmp_path, device) for device in (first, then)]
    plain, taken = torch.optim.Adam.step, itertools.count(1)

    def killed(self, *args, **kwargs):
        if next(taken) == 4:
            raise Killed
        return plain(self, *args, **kwargs)

    monkeypatch.setattr(torch.optim.Adam, "step", killed)
    with pytest.raises(Killed):
        trained(lesson, stores[0])
    monkeypatch.setattr(torch.optim.Adam, "step", plain)
    assert [path.suffix for path in tmp_path.glob("[!.]*")] == [".begun"]
    trained(lesson, stores[1])
    (file,) = tmp_path.glob("[!.]*")
    assert read_saved(file)[1]["device"] == then
    assert read_saved(file)[1]["made_on"] == [f"{device} in words" for device in (first, then)]
    trained(lesson, stores[0])  # a finished one has its device's rounding: there is one of each
    files = [store.file(lesson.name, asdict(lesson)) for store in stores]
    assert [read_saved(one)[1]["device"] for one in files] == [first, then]
    assert files[1] == file


def test_run_draws_the_same_on_a_gpu_and_lists_every_device(tmp_path, monkeypatch):
    monkeypatch.setenv("COMPANION_STORE", str(tmp_path))
    monkeypatch.setenv("COMPANION_WORK", "code")
    name = "03_linearized_posterior"
    run = record.begin(name, "quick", 0, {})
    assert run.device.type == "cuda"
    assert run.generator("purpose").device.type == "cpu"
    told = record.provenance(run)["device"]
    assert told == "Fake GPU, 16 GiB, driver unknown" or told.startswith("Fake GPU, 16 GiB, driver ")

    def dies(folder):
        raise Killed

    with pytest.raises(Killed):
        run.cached("work", dies)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    run = record.begin(name, "quick", 0, {})
    assert run.cached("work", lambda folder: 1) == 1
    assert record.provenance(run)["device"] == f"{told}; then CPU, 1 thread"
