"""Chapter 4's long work: parts that no kill, neighbor or order changes, each stored by itself."""

import os
import random
import re
import signal
import subprocess
import sys
import threading
import time
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from unittest import mock

import pytest
import torch
from helpers import PATHS, assert_same, store_in

from chapters.ch04_dps_fwi import runs as dps_parts
from chapters.ch04_dps_fwi.runs import SamplingRun, TrainingRun, sampled, trained
from companion import store as stores
from companion.jobs import side_by_side
from memprior import paper, training
from memprior._random import generator_for
from memprior.denoiser import NetworkDenoiser
from memprior.guidance import released_step
from memprior.networks import ResidualMLP
from memprior.sampling import trajectory
from memprior.training import train

CPU = torch.device("cpu")
LESSON = TrainingRun(num_examples=5, seed=0, width=16, depth=1, batch_size=16, checkpoints=(20, 60, 100))
LONGER = replace(LESSON, checkpoints=(20, 540, 700))  # training is kept every 500 steps
WALK = SamplingRun("memory", num_examples=50, seed=0, num_samples=2)
TAUGHT = SamplingRun("network", 5, 0, 2, training_run=LESSON)


@pytest.fixture
def store(tmp_path):
    return store_in(tmp_path)


@pytest.fixture
def ten_steps(monkeypatch):
    """The released sampler from its first level to its last in ten steps instead of two hundred."""
    monkeypatch.setattr(dps_parts, "SIGMAS", paper.SIGMAS[::20])


def prior_of(walk):
    known = paper.TrainingSet.published(walk.num_examples, CPU)
    return known.memorized_prior if walk.prior == "memory" else known.true_prior


def bits_of(found):
    """What a part gives, as tensors by name."""
    if isinstance(found, dict):
        named = {step: denoiser.network.state_dict() for step, denoiser in found.items()}
        return {f"{step}.{name}": weight for step, weights in named.items() for name, weight in weights.items()}
    return {"x": found.x, "misfits": found.misfits}


def assert_same_bits(came, expected):
    came, expected = bits_of(came), bits_of(expected)
    assert came.keys() == expected.keys()
    assert all(torch.equal(tensor, expected[name]) for name, tensor in came.items())


# Killed and started again


def do(what, folder, tell):
    """A training run of 700 steps, or a nonlinear sampling run of 40; ``tell`` before each call of network or prior."""
    with ExitStack() as patches:
        if what == "lesson":
            forward = ResidualMLP.forward
            patches.enter_context(mock.patch.object(ResidualMLP, "forward", lambda *a: (tell(), forward(*a))[1]))
            return trained(LONGER, store_in(folder))
        patches.enter_context(mock.patch.object(dps_parts, "SIGMAS", paper.SIGMAS[::5]))
        memory = prior_of(WALK)
        return sampled(WALK, lambda x, sigma: (tell(), memory(x, sigma))[1], store_in(folder))


def say():
    """Longer than a line has to be, so that the pipe holds a few and the process cannot run away from its reader."""
    print("call".ljust(500), flush=True)


@dataclass(frozen=True)
class Case:
    calls: int  # of a whole run
    dies_in: tuple[int, int]  # calls
    takes: float  # seconds of one
    left: dict[int, int]  # calls that are left, by the steps that were kept


# A walk asks its prior twice a step, and is kept every five steps; eight more calls may wait in the pipe.
CASES = {
    "lesson": Case(700, (550, 680), 1e-3, {500: 200}),
    "walk": Case(80, (12, 62), 8e-3, {step: 80 - 2 * step for step in range(5, 40, 5)}),
}


@pytest.mark.parametrize("what", CASES)
def test_run_killed_at_random_resumes_to_the_same_bits(what, tmp_path):
    case, moments, calls = CASES[what], random.Random(3), []
    whole = do(what, tmp_path / "whole", lambda: calls.append(1))
    assert len(calls) == case.calls
    command = "import sys, pathlib, test_runs as t; t.do(sys.argv[1], pathlib.Path(sys.argv[2]), t.say)"
    command = [sys.executable, "-c", command, what, str(tmp_path / "killed")]
    kind = {"cwd": Path(__file__).parent, "env": os.environ | PATHS}
    with subprocess.Popen(command, stdout=subprocess.PIPE, pipesize=4096, text=True, **kind) as process:
        for _ in range(moments.randint(*case.dies_in)):
            assert process.stdout.readline().startswith("call")
        time.sleep(moments.uniform(0, 2 * case.takes))
        os.kill(process.pid, signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL
    again = []
    assert_same_bits(do(what, tmp_path / "killed", lambda: again.append(1)), whole)
    kept = {step for step, left in case.left.items() if left == len(again)}
    assert len(kept) == 1, f"{len(again)} calls were left"


@pytest.mark.usefixtures("ten_steps")
def test_sampling_run_that_is_done_is_read_and_not_repeated(store):
    calls = []

    def counting(x, sigma):
        calls.append(1)
        return prior_of(WALK)(x, sigma)

    first = sampled(WALK, counting, store)
    assert len(calls) == 20
    assert_same_bits(sampled(WALK, counting, store), first)
    assert len(calls) == 20


def test_training_run_that_is_done_is_read_and_not_repeated(store, monkeypatch):
    """Its networks ask for no gradient, fresh or read: a sampler would carry their graphs along."""
    fresh = trained(LESSON, store)
    monkeypatch.setattr(training, "denoising_loss", None)
    read = trained(LESSON, store)
    assert_same_bits(read, fresh)
    for found in (fresh, read):
        assert list(found) == [20, 60, 100]
        for denoiser in found.values():
            assert not any(weight.requires_grad for weight in denoiser.network.parameters())
            assert not denoiser(torch.zeros(1, 100), 1.0).requires_grad


# What a part does


def test_training_run_is_training_by_hand(store):
    """Weights of its seed and batches of seed and number; levels a little wider than the sampler's."""
    plan = LESSON.plan
    assert (plan.num_steps, plan.batch_size) == (100, 16)
    assert plan.sigma_min < float(paper.SIGMAS[-2]) < float(paper.SIGMAS[0]) < plan.sigma_max
    network = ResidualMLP(100, 16, 1, generator=generator_for("weights 0"))
    examples = paper.TrainingSet.published(5, CPU).standardized
    states = train(NetworkDenoiser(network, 1.0), examples, plan, generator=generator_for("batches 5 0"))
    found = bits_of(trained(LESSON, store))
    for state in states:
        if state.step in LESSON.checkpoints:
            for name, weight in state.average.network.state_dict().items():
                assert torch.equal(found[f"{state.step}.{name}"], weight), (state.step, name)


@pytest.mark.usefixtures("ten_steps")
def test_sampling_run_is_the_released_sampler_by_hand(store):
    walk = replace(WALK, truth="disc", finer=True, seed=4)
    found = sampled(walk, prior_of(walk), store)
    inversion = paper.published_inversion(torch.complex64, CPU, truth="disc", finer=True)
    known, generator = paper.TrainingSet.published(50, CPU), generator_for("start 4")
    step = released_step(paper.standardized(inversion.likelihood, known.standardizer), 0.07)
    first = paper.start(2, inversion.truth, generator=generator)
    states = list(trajectory(prior_of(walk), first, paper.SIGMAS[::20], step=step, generator=generator))
    assert torch.equal(found.misfits, torch.stack([state.misfit for state in states]))
    assert_same(found.x, known.examples.mean(0) + states[-1].x * known.standardizer.scale)


@pytest.mark.usefixtures("ten_steps")
def test_sampling_run_of_a_network_carries_no_graph(store):
    found = sampled(TAUGHT, trained(LESSON, store)[100], store)
    assert not found.x.requires_grad
    assert not found.misfits.requires_grad
    assert bool(torch.isfinite(found.misfits).all())


class StartedError(Exception):
    pass


def first_state(walk, folder):
    """Where a sampling run starts, in its standardized coordinates."""

    def stopping(x, sigma):
        raise StartedError(x)

    with pytest.raises(StartedError) as started:
        sampled(walk, stopping, store_in(folder))
    return started.value.args[0]


def test_sampling_runs_of_one_seed_start_from_the_same_noise(tmp_path):
    first = first_state(WALK, tmp_path)
    for other in (SamplingRun("truth", 10, 0, 2, truth="disc"), TAUGHT):
        assert torch.equal(first_state(other, tmp_path), first)
    # Two other draws of a hundred coordinates: their correlation is 0 with a deviation of 1 / sqrt(200).
    other = first_state(replace(WALK, seed=1), tmp_path)
    assert abs(float(torch.corrcoef(torch.stack([first.flatten(), other.flatten()]))[0, 1])) < 4 / 200**0.5


def test_generator_for_depends_on_nothing_but_its_purpose():
    one = torch.randn(5, generator=generator_for("start 1"))
    with torch.random.fork_rng():
        torch.manual_seed(2)
        assert torch.equal(torch.randn(5, generator=generator_for("start 1")), one)
    assert not torch.equal(torch.randn(5, generator=generator_for("start 2")), one)


def test_sampling_run_refuses_a_file_of_another(store):
    other = replace(WALK, seed=1)
    with mock.patch.object(dps_parts, "SIGMAS", paper.SIGMAS[::100]):
        sampled(WALK, prior_of(WALK), store)
        one, another = (store.file(walk.name, asdict(walk)) for walk in (WALK, other))
        one.rename(another)
        with pytest.raises(ValueError, match=r"expected the result of .*'seed': 1.*, got that of .*'seed': 0"):
            sampled(other, prior_of(other), store)


# Names


def test_parts_that_differ_in_anything_differ_in_their_folder():
    lessons = [LESSON] + [
        replace(LESSON, **{name: getattr(LESSON, name) + 1})
        for name in ("num_examples", "seed", "width", "depth", "batch_size")
    ]
    lessons += [replace(LESSON, checkpoints=looks) for looks in ((20, 100), (20, 60, 101), (100,))]
    walks = [
        WALK,
        replace(WALK, prior="truth"),
        replace(WALK, num_examples=5),
        replace(WALK, seed=1),
        replace(WALK, num_samples=3),
        replace(WALK, truth="disc"),
        replace(WALK, truth="unseen"),
        replace(WALK, truth=3),
        replace(WALK, finer=True),
        replace(WALK, pooled=True),
    ]
    walks += [SamplingRun("network", lesson.num_examples, 0, 2, training_run=lesson) for lesson in lessons]
    names = [part.name for part in (*lessons, *walks)]
    assert len(set(names)) == len(names)
    # A folder anywhere, and readable: what is done, with how many examples, and the seed.
    assert all(re.fullmatch(r"[a-z0-9_-]+", name) for name in names)
    assert replace(WALK, truth="unseen", seed=7).name.startswith("sample_memory_50_unseen_7-")
    assert LESSON.name.startswith("train_5_0-")


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"prior": "networks"}, r"prior: expected one of \('network', 'truth', 'memory'\), got networks"),
        ({"truth": "square"}, r"truth: expected one of \('published', 'unseen', 'disc'\), or a number, got square"),
        ({"truth": 3, "finer": True}, "finer: expected False for a numbered truth, got True"),
        (
            {"prior": "network"},
            "training_run: expected that of a network of 50 examples, .*, got None",
        ),
        (
            {"prior": "network", "training_run": LESSON},
            "training_run: expected that of a network of 50 ex.*, got TrainingRun",
        ),
        (
            {"num_examples": 5, "training_run": LESSON},
            "training_run: expected .*, for a network alone, got TrainingRun",
        ),
    ],
)
def test_sampling_run_refuses_values_that_do_not_go_together(wrong, message):
    with pytest.raises(ValueError, match=rf"^{message}"):
        replace(WALK, **wrong)


# Side by side


@dataclass(frozen=True)
class Part:
    name: str


PARTS = [Part(f"part {k}") for k in range(20)]


@pytest.mark.usefixtures("ten_steps")
def test_side_by_side_gives_the_same_bits_with_two_workers(tmp_path, capsys):
    def work(store, part, _):
        return trained(part, store) if isinstance(part, TrainingRun) else sampled(part, prior_of(part), store)

    parts = [WALK, LESSON, replace(WALK, prior="truth"), replace(LESSON, seed=1)]
    stores = [store_in(tmp_path / str(workers)) for workers in (1, 2)]
    one, two = (side_by_side(parts, partial(work, store), k, print) for k, store in enumerate(stores, 1))
    for came, expected in zip(two, one, strict=True):
        assert_same_bits(came, expected)
    said = capsys.readouterr().out.splitlines()
    assert said[:4] == [f"{part.name}: done, {k} of 4" for k, part in enumerate(parts, 1)]
    assert sorted(line.split(":")[0] for line in said[4:]) == sorted(part.name for part in parts)


def test_side_by_side_returns_results_in_the_order_of_the_parts(capsys):
    second_is_done = threading.Event()

    def work(part, _):
        if part is PARTS[0]:
            assert second_is_done.wait(30)
        else:
            second_is_done.set()
        return part.name

    assert side_by_side(PARTS[:2], work, 2, print) == ["part 0", "part 1"]
    assert len(capsys.readouterr().out.splitlines()) == 2


def test_one_thread_each_leaves_other_threads_as_they_are():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        assert side_by_side(PARTS[:3], lambda *_: torch.get_num_threads(), 2, print) == [1, 1, 1]
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_side_by_side_ends_the_rest_after_an_error(capsys):
    begun = []

    def work(part, _):
        begun.append(part.name)
        if part is PARTS[1]:
            raise StartedError(part.name)
        time.sleep(0.1)

    with pytest.raises(StartedError, match="part 1"):
        side_by_side(PARTS, work, 2, print)
    # The other one at work goes on to its end, and the worker that failed may have taken one more by then.
    assert len(begun) < 8, begun
    assert "part 1:" not in capsys.readouterr().out


def test_side_by_side_refuses_parts_that_are_equal():
    with pytest.raises(ValueError, match=r"^parts: expected each once, got part 0 again"):
        side_by_side([PARTS[0], PARTS[1], PARTS[0]], len, 1, print)


def test_side_by_side_refuses_no_workers():
    with pytest.raises(ValueError, match=r"^workers: expected an integer >= 1, got 0"):
        side_by_side(PARTS, len, 0, print)


@pytest.mark.parametrize("workers", [1, 2])
def test_side_by_side_waits_for_an_earlier_part_that_is_needed(workers):
    def work(part, earlier):
        if part is PARTS[0]:
            time.sleep(0.1)
            return 1
        return 1 + earlier(PARTS[0])

    assert side_by_side(PARTS[:3], work, workers, lambda _: None) == [1, 2, 2]


def test_side_by_side_fails_parts_that_wait_for_a_failed_one():
    def work(part, earlier):
        if part is PARTS[0]:
            time.sleep(0.1)
            raise StartedError(part.name)
        return earlier(PARTS[0])

    with pytest.raises(StartedError, match="part 0"):
        side_by_side(PARTS[:2], work, 2, lambda _: None)


# Costs


def made(store, part):
    return store.made(part.name, asdict(part))


@pytest.mark.usefixtures("ten_steps")
def test_seconds_of_a_part_cover_all_of_its_attempts(store, monkeypatch):
    """On a clock that goes on by a second with each call of a prior. A killed attempt counts to its last checkpoint."""
    now = [0.0]
    monkeypatch.setattr(stores, "time", SimpleNamespace(perf_counter=lambda: now[0]))

    def passing(x, sigma):
        if now[0] == dies_at:
            raise StartedError
        now[0] += 1
        return prior_of(WALK)(x, sigma)

    dies_at = 14
    with pytest.raises(StartedError):
        sampled(WALK, passing, store)
    (begun,) = store.folder.glob("*.begun")
    for file, moment in ((begun / "attempts.safetensors", 1000.0), (begun / "run.safetensors", 1010.0)):
        os.utime(file, (moment, moment))
    dies_at = None
    sampled(WALK, passing, store)  # on from its fifth step, which was its tenth call
    assert made(store, WALK) == {"seconds": 20.0, "made_on": ["cpu in words"]}
