"""Training tends to the empirical denoiser, and a killed training run resumes to the same bits."""

import json
import math
import os
import random
import re
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers import PATHS, assert_mean, assert_same, pentagon
from safetensors import safe_open
from safetensors.torch import save_file

from memprior import training
from memprior.checkpoint import canonical, read_saved, save_atomically
from memprior.denoiser import EmpiricalDenoiser, GaussianDenoiser, MixtureDenoiser, NetworkDenoiser
from memprior.mixture import IsotropicMixture
from memprior.networks import ResidualMLP
from memprior.noise import perturb
from memprior.training import TrainingPlan, denoising_loss, snapshots, train

PLAN = {
    "num_steps": 12,
    "batch_size": 16,
    "learning_rate": 1e-3,
    "final_rate": 1e-4,
    "ema_decay": 0.7,
    "sigma_min": 0.1,
    "sigma_max": 3.0,
}
SPREAD = math.sqrt(2)


@pytest.fixture(autouse=True)
def _one_thread():
    """Threads do not speed up such small networks, and on busy cores they cost a factor of ten."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def begin(width=8, depth=1, dtype=torch.float32, seed=0):
    """An untrained network, and the generator that its training goes on with."""
    generator = torch.Generator().manual_seed(seed)
    return NetworkDenoiser(ResidualMLP(2, width, depth, generator=generator, dtype=dtype), SPREAD), generator


def weights_of(denoiser):
    return {name: weight.clone() for name, weight in denoiser.network.state_dict().items()}


def assert_same_bits(came, expected):
    assert came.keys() == expected.keys()
    for name, weight in came.items():
        assert torch.equal(weight, expected[name]), name


# The loss


def test_denoising_loss_of_zero_is_the_power_of_the_examples(generator):
    x = torch.randn(5, 3, generator=generator)
    sigma = torch.tensor([0.1, 1.0, 2.0, 3.0, 40.0])
    loss = denoising_loss(lambda x, sigma: torch.zeros_like(x), x, sigma, generator=generator)
    assert torch.equal(loss, x.square().mean(1))


def test_denoising_loss_of_the_identity_is_the_power_of_the_noise(generator):
    loss = denoising_loss(lambda x, sigma: x, torch.ones(10_000, 3), 0.3, generator=generator)
    assert_mean(loss, 0.09)


@pytest.mark.parametrize("sigma", [0.4, 1.0, 2.0])
@pytest.mark.parametrize("other", ["too wide", "too warm", "gaussian"])
def test_denoising_loss_on_its_examples_is_least_for_the_empirical_denoiser(other, sigma):
    examples = pentagon()
    best = EmpiricalDenoiser(examples)
    worse = {
        "too wide": MixtureDenoiser(IsotropicMixture(examples, 0.5)),
        "too warm": lambda x, sigma: 1.1 * best(x, sigma),
        "gaussian": GaussianDenoiser(torch.zeros(2), 2 * torch.eye(2)),
    }[other]
    clean = examples[torch.randint(5, (20_000,), generator=torch.Generator().manual_seed(1))]

    def same_noise():
        return torch.Generator().manual_seed(2)

    extra = denoising_loss(worse, clean, sigma, generator=same_noise())
    extra -= denoising_loss(best, clean, sigma, generator=same_noise())
    noisy = perturb(clean, sigma, generator=same_noise())
    gap = (worse(noisy, sigma) - best(noisy, sigma)).square().mean(1)
    # Pythagoras: the error of a conditional mean is orthogonal to every function of x_sigma.
    assert_mean(extra - gap, 0.0)
    assert float(extra.mean()) > 4 * float(extra.std()) / math.sqrt(len(extra))


@pytest.mark.parametrize("sigma", [0.01, 1.0, 50.0])
def test_train_starts_from_a_weighted_loss_of_one_at_every_level(sigma):
    num = 20_000
    denoiser, generator = begin(dtype=torch.float64)
    train_set = SPREAD * torch.randn(num, 2, generator=generator)
    plan = TrainingPlan(**{**PLAN, "batch_size": num, "sigma_min": sigma, "sigma_max": 1.001 * sigma})
    first = next(train(denoiser, train_set, plan, generator=generator))
    # A mean of squares of 2 num normals: of the noise at low levels, at high ones of the batch and of its examples.
    assert float(first.loss) == pytest.approx(1.0, abs=4 * math.sqrt(4 / (2 * num)))


# The loop


def test_learning_rate_falls_as_a_cosine(monkeypatch):
    plan, taken = TrainingPlan(**PLAN), []
    monkeypatch.setattr(torch.optim.Adam, "step", lambda self: taken.append(self.param_groups[0]["lr"]))
    denoiser, generator = begin()
    for _ in train(denoiser, pentagon(), plan, generator=generator):
        pass
    expected = [1e-4 + 9e-4 * math.cos(math.pi / 2 * k / 12) ** 2 for k in range(12)]
    assert taken == pytest.approx(expected, rel=1e-12)
    assert (plan.rate(1), plan.rate(13)) == pytest.approx((1e-3, 1e-4), rel=1e-12)


def test_train_yields_every_step_in_order_and_lazily():
    denoiser, generator = begin()
    before = weights_of(denoiser)
    states = train(denoiser, pentagon(), TrainingPlan(**PLAN), generator=generator)
    assert_same_bits(weights_of(denoiser), before)
    assert [state.step for state in states] == list(range(1, 13))


def test_train_first_adam_step_is_the_rate_against_the_gradients_sign():
    denoiser, generator = begin(dtype=torch.float64)
    next(train(denoiser, pentagon(), TrainingPlan(**PLAN), generator=generator))
    # m / sqrt(v) is the sign of the gradient g but for 1e-8 / |g|; the last layer began at zero.
    moved = denoiser.network.leave[1].weight.detach().abs()
    torch.testing.assert_close(moved, torch.full_like(moved, 1e-3), rtol=1e-4, atol=0)


def test_train_average_is_the_recursion_by_hand():
    denoiser, generator = begin(dtype=torch.float64)
    expected = weights_of(denoiser)
    plan = TrainingPlan(**{**PLAN, "num_steps": 40})
    for state in train(denoiser, pentagon(), plan, generator=generator):
        # The decay grows to 0.7, which it has from step 21 on.
        decay = min(0.7, state.step / (state.step + 9))
        new = weights_of(denoiser)
        expected = {name: decay * old + (1 - decay) * new[name] for name, old in expected.items()}
    for name, weight in weights_of(state.average).items():
        assert_same(weight, expected[name])


def test_train_takes_its_randomness_from_the_generator_alone():
    def trained(seed):
        denoiser, generator = begin(seed=seed)
        for _ in train(denoiser, pentagon(), TrainingPlan(**PLAN), generator=generator):
            pass
        return weights_of(denoiser)

    before = torch.get_rng_state()
    first, other = trained(0), trained(1)
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(99)
    assert_same_bits(trained(0), first)
    assert not torch.equal(first["enter.weight"], other["enter.weight"])
    torch.set_rng_state(before)


# Checkpoints


def run(folder, steps=(3, 4, 10, 12)):
    """A small training run with checkpoints, to its end: the weights at each of ``steps``."""
    denoiser, generator = begin()
    return {
        step: weights_of(average)
        for step, average in snapshots(
            denoiser, pentagon(), TrainingPlan(**PLAN), steps, generator=generator, folder=folder
        )
    }


def finished_files(folder):
    """The bytes of every finished file, without half-written ones."""
    return {file.name: file.read_bytes() for file in folder.iterdir() if not file.name.endswith(".partial")}


class DiedError(Exception):
    pass


@pytest.fixture
def save_often(monkeypatch):
    """A checkpoint every four steps, so that short runs have several."""
    monkeypatch.setattr(training, "train", partial(train, save_every=4))


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("write", range(7))
@pytest.mark.usefixtures("save_often")
def test_snapshots_resume_to_the_same_bits_after_death_at_any_write(write, moment, tmp_path, monkeypatch):
    # The writes of a run: average 3, training 4, average 4, training 8, average 10, training 12, average 12.
    expected = run(tmp_path / "whole")
    replace, count = os.replace, iter(range(100))

    def dying(partial_file, file):
        last = next(count) == write
        if not (last and moment == "before"):
            replace(partial_file, file)
        if last:
            raise DiedError

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", dying)
        with pytest.raises(DiedError):
            run(tmp_path / "died")
    again = run(tmp_path / "died")
    for step, weights in again.items():
        assert_same_bits(weights, expected[step])
    assert finished_files(tmp_path / "died") == finished_files(tmp_path / "whole")


@pytest.mark.usefixtures("save_often")
def test_snapshots_of_a_finished_run_are_read_without_training(tmp_path, monkeypatch):
    expected = run(tmp_path)
    monkeypatch.setattr(training, "denoising_loss", None)
    for step, weights in run(tmp_path).items():
        assert_same_bits(weights, expected[step])


def test_train_of_a_finished_run_yields_its_last_state(tmp_path, monkeypatch):
    def last():
        denoiser, generator = begin()
        options = {"generator": generator, "checkpoint": str(tmp_path / "training")}
        states = list(train(denoiser, pentagon(), TrainingPlan(**PLAN), **options))
        return states[-1], weights_of(denoiser), len(states)

    first, trained, steps = last()
    monkeypatch.setattr(training, "denoising_loss", None)
    again, read, more = last()
    assert (steps, more) == (PLAN["num_steps"], 1)
    assert (again.step, float(again.loss)) == (first.step, float(first.loss))
    assert_same_bits(weights_of(again.average), weights_of(first.average))
    assert_same_bits(read, trained)


@pytest.mark.parametrize("place", ["nowhere/training", "."])
def test_train_refuses_an_unwritable_checkpoint_before_the_first_step(place, tmp_path, monkeypatch):
    monkeypatch.setattr(training, "denoising_loss", None)
    denoiser, generator = begin()
    with pytest.raises(ValueError, match=r"^checkpoint: expected a file in a folder that exists, got "):
        train(denoiser, pentagon(), TrainingPlan(**PLAN), generator=generator, checkpoint=tmp_path / place)


def test_training_plan_accepts_numpy_numbers(tmp_path):
    kinds = {int: np.int64, float: np.float64}
    plan = TrainingPlan(**{name: kinds[type(value)](value) for name, value in PLAN.items()})
    assert plan == TrainingPlan(**PLAN)
    assert all(type(getattr(plan, name)) is type(value) for name, value in PLAN.items())
    single = TrainingPlan(**{**PLAN, "learning_rate": np.float32(1e-3)})
    for chosen in (single, single):  # the second reads what the first wrote
        denoiser, generator = begin()
        *_, last = train(denoiser, pentagon(), chosen, generator=generator, checkpoint=tmp_path / "training")
        assert last.step == PLAN["num_steps"]


def test_canonical_identity_is_what_json_gives_back():
    identity = {
        "grid": (3, np.int64(4)),
        "noise": np.float32(0.25),
        "on": np.bool_(True),
        "n": torch.tensor(2),
        "no": None,
    }
    written = canonical("identity", identity)
    assert written == {"grid": [3, 4], "noise": 0.25, "on": True, "n": 2, "no": None}
    assert json.loads(json.dumps(written)) == written
    assert type(written["on"]) is bool


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"a": [math.nan]}, "finite numbers, got nan"),
        ({"a": np.float32("inf")}, "finite numbers, got inf"),
        ({"a": {1: 2}}, r"texts as keys, got \[1\]"),
        ({"a": np.ones(2)}, "finite numbers, got array"),
        ({"a": Path("x")}, "finite numbers, got .*Path"),
    ],
)
def test_canonical_refuses_an_identity_that_would_not_be_read_back(value, message, tmp_path):
    with pytest.raises(ValueError, match=f"^identity: expected .*{message}"):
        canonical("identity", value)
    with pytest.raises(ValueError, match=f"^told: expected .*{message}"):
        save_atomically(tmp_path / "file", {}, value)
    assert not list(tmp_path.iterdir())


def test_snapshots_with_a_checkpoint_equal_those_without(tmp_path):
    with_checkpoint, other = run(tmp_path), run(None)
    for step, weights in with_checkpoint.items():
        assert_same_bits(weights, other[step])


def test_snapshots_are_copies_of_the_average_as_training_passes(tmp_path):
    denoiser, generator = begin()
    states = train(denoiser, pentagon(), TrainingPlan(**PLAN), generator=generator)
    passed = {state.step: weights_of(state.average) for state in states}
    for step, weights in run(tmp_path).items():
        assert_same_bits(weights, passed[step])


def test_snapshots_ignore_a_half_written_checkpoint(tmp_path):
    expected = run(tmp_path / "whole")
    (tmp_path / "half").mkdir()
    (tmp_path / "half" / ".training.safetensors.partial").write_bytes(b"half")
    again = run(tmp_path / "half")
    assert_same_bits(again[12], expected[12])
    assert finished_files(tmp_path / "half") == finished_files(tmp_path / "whole")


def test_save_atomically_keeps_the_old_file_when_it_dies(tmp_path, monkeypatch):
    file = tmp_path / "a.safetensors"
    save_atomically(file, {"x": torch.zeros(3)}, {})
    before = file.read_bytes()
    monkeypatch.setattr(os, "fsync", lambda *_: (_ for _ in ()).throw(DiedError))
    with pytest.raises(DiedError):
        save_atomically(file, {"x": torch.ones(3)}, {})
    assert file.read_bytes() == before


def flip_a_bit(file):
    data = bytearray(file.read_bytes())
    data[-7] ^= 1  # of a weight, or of whatever number comes last
    file.write_bytes(data)


BROKEN = {
    "empty": lambda file: file.write_bytes(b""),
    "garbage": lambda file: file.write_bytes(b"garbage" * 100),
    "truncated": lambda file: file.write_bytes(file.read_bytes()[:-100]),
    "cut in its header": lambda file: file.write_bytes(file.read_bytes()[:40]),
    "one bit of a number": flip_a_bit,
    "someone else's": lambda file: save_file({"x": torch.ones(2)}, file),
    "told in words": lambda file: save_file({"x": torch.ones(2)}, file, {"told": "words"}),
}


@pytest.mark.parametrize("name", ["training", "average_3"])
@pytest.mark.parametrize("breaking", BROKEN.values(), ids=BROKEN)
def test_snapshots_refuse_a_broken_file_by_name(breaking, name, tmp_path):
    run(tmp_path)
    file = tmp_path / f"{name}.safetensors"
    breaking(file)
    with pytest.raises(ValueError, match=rf"^checkpoint {re.escape(str(file))}: expected .*, got "):
        run(tmp_path)


def test_read_saved_detects_any_flipped_bit(tmp_path):
    file = tmp_path / "a.safetensors"
    tensors = {"x": torch.arange(3.0), "scalar": torch.tensor(2), "none": torch.zeros(0, 5)}
    save_atomically(file, tensors | {"complex": torch.ones(2, 2, dtype=torch.complex64)}, {"step": 3})
    assert read_saved(file)[1] == {"step": 3}
    whole = file.read_bytes()
    for at in range(len(whole)):
        file.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        with pytest.raises(ValueError, match=rf"^checkpoint {re.escape(str(file))}: expected "):
            read_saved(file)


def swap(one, other):
    bytes_of_one = one.read_bytes()
    one.write_bytes(other.read_bytes())
    other.write_bytes(bytes_of_one)


def test_snapshots_refuse_swapped_steps_by_name(tmp_path):
    run(tmp_path)
    swap(tmp_path / "average_3.safetensors", tmp_path / "average_10.safetensors")
    with pytest.raises(ValueError, match=r"average_3.safetensors: expected .*'step': 3}, got .*'step': 10}"):
        run(tmp_path)


@pytest.mark.parametrize("name", ["training", "average_3"])
def test_snapshots_refuse_swapped_seeds_by_name(tmp_path, name):
    """Same plan, same examples, same sizes: only the first weights and the batches differ."""
    for seed in (0, 1):
        denoiser, generator = begin(seed=seed)
        plan, folder = TrainingPlan(**PLAN), tmp_path / str(seed)
        for _ in snapshots(denoiser, pentagon(), plan, (3, 12), generator=generator, folder=folder):
            pass
    swap(*(tmp_path / seed / f"{name}.safetensors" for seed in "01"))
    with pytest.raises(ValueError, match=rf"^checkpoint .*0/{name}.safetensors: expected "):
        run(tmp_path / "0", (3, 12))


OTHERS = {
    "seed": ({}, {"seed": 1}, "first weights and seed of this run, got others"),
    "plan": ({"batch_size": 17}, {}, r"plan .*'batch_size': 17.*, got .*'batch_size': 16"),
    "train_set": ({}, {"train_set": pentagon(1.0)}, r"train_set \w+, got \w+"),
    "spread": ({}, {"spread": 2.0}, rf"spread 2\.0, got {SPREAD}"),
    "width": ({}, {"width": 9}, r"shape \(9,.*\), got \(8,"),
    "depth": ({}, {"depth": 2}, r"shape \(8,.*\), got None"),
}


@pytest.mark.parametrize(("changes", "other", "message"), OTHERS.values(), ids=OTHERS)
def test_train_refuses_the_checkpoint_of_another_run(changes, other, message, tmp_path):
    run(tmp_path)
    size = {key: value for key, value in other.items() if key in ("seed", "width", "depth")}
    denoiser, generator = begin(**size)
    denoiser.spread = other.get("spread", SPREAD)
    file = tmp_path / "training.safetensors"
    with pytest.raises(ValueError, match=rf"^checkpoint.*: expected {message}"):
        train(
            denoiser,
            other.get("train_set", pentagon()),
            TrainingPlan(**{**PLAN, **changes}),
            generator=generator,
            checkpoint=file,
        )


def long_run(folder):
    """The training run of the killed process: 2000 steps, a line printed before each, ``train``'s own checkpoints."""
    denoiser, generator = begin(width=16)
    # Longer than a line has to be, so that the pipe holds a few and the process cannot run away from its reader.
    denoiser.network.register_forward_hook(lambda *_: print("step".ljust(500), flush=True))
    # float64 is the default here and not in a fresh process: nothing may depend on it.
    examples = torch.randn(5, 2, generator=generator, dtype=torch.float32)
    plan, steps = TrainingPlan(**{**PLAN, "num_steps": 2000}), [20, 300, 620, 900, 1400, 2000]
    for _ in snapshots(denoiser, examples, plan, steps, generator=generator, folder=folder):
        pass


def test_snapshots_resume_to_the_same_bits_after_three_random_kills(tmp_path, capfd):
    long_run(tmp_path / "whole")
    assert len(capfd.readouterr().out.splitlines()) == 2000
    folder, moments, reached = tmp_path / "killed", random.Random(0), []
    command = "import sys, pathlib, test_training; test_training.long_run(pathlib.Path(sys.argv[1]))"
    command, kind = [sys.executable, "-c", command, str(folder)], {"cwd": Path(__file__).parent}
    kind["env"] = os.environ | PATHS
    # Checkpoints are 500 steps apart: the first kill finds none, each other one when it has passed one more.
    for first, last in ((1, 450), (550, 950), (550, 950)):
        with subprocess.Popen(command, stdout=subprocess.PIPE, pipesize=4096, text=True, **kind) as process:
            for _ in range(moments.randint(first, last)):
                assert process.stdout.readline().startswith("step")
            time.sleep(moments.uniform(0, 2e-3))  # a step takes about 1 ms: anywhere in it
            os.kill(process.pid, signal.SIGKILL)
        assert process.returncode == -signal.SIGKILL
        checkpoint, step = folder / "training.safetensors", 0
        if checkpoint.exists():
            with safe_open(checkpoint, framework="pt") as opened:
                step = json.loads(opened.metadata()["told"])["step"]
        reached.append((step, len(list(folder.glob("average_*.safetensors")))))
    assert [step for step, _ in reached] == [0, 500, 1000]
    assert reached[-1][1] >= 3
    subprocess.run(command, stdout=subprocess.DEVNULL, check=True, timeout=120, **kind)
    assert finished_files(folder) == finished_files(tmp_path / "whole")


# Memorization of few examples, and of many


def rms(x):
    return float(x.square().mean().sqrt())


def errors_of_a_trained_network(train_set, generator):
    """At five levels: rms |D - D_empirical| over rms |D_empirical|, and over rms |D_empirical - D_true|.

    A noised point of N(0, 2 I) carries log(1 + 2 / sigma^2) nats about its clean point, and log N nats identify one of
    N examples: memorization sets in around the level where these are equal. Errors are measured from a quarter of that
    level to twice it; training draws its levels from half as low to twice as high. All other settings are fixed.
    """
    onset = math.sqrt(2 / (len(train_set) - 1))
    denoiser = NetworkDenoiser(ResidualMLP(2, 64, 2, generator=generator), SPREAD)
    plan = TrainingPlan(
        num_steps=3000,
        batch_size=512,
        learning_rate=3e-3,
        final_rate=1e-5,
        ema_decay=0.998,
        sigma_min=onset / 8,
        sigma_max=4 * onset,
    )
    *_, state = train(denoiser, train_set, plan, generator=generator)
    empirical, true = EmpiricalDenoiser(train_set), GaussianDenoiser(torch.zeros(2), 2 * torch.eye(2))
    relative, missed = [], []
    for factor in (1 / 4, 2**-1.25, 2**-0.5, 2**0.25, 2):
        sigma = factor * onset
        clean = train_set[torch.randint(len(train_set), (1000,), generator=generator)]
        x = perturb(clean, sigma, generator=generator)
        memorized, error = empirical(x, sigma), state.average(x, sigma) - empirical(x, sigma)
        relative.append(rms(error) / rms(memorized))
        missed.append(rms(error) / rms(memorized - true(x, sigma)))
    return relative, missed


def test_trained_network_memorizes_five_points(generator):
    relative, missed = errors_of_a_trained_network(pentagon(), generator)
    assert max(relative) <= 0.05, relative
    assert max(missed) <= 0.25, missed


def test_trained_network_does_not_memorize_five_thousand_points(generator):
    examples = SPREAD * torch.randn(5000, 2, generator=generator)
    _, missed = errors_of_a_trained_network(examples, generator)
    assert min(missed) >= 0.5, missed
