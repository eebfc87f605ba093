"""The chapters' settings: both profiles are as declared, and what would fail only after hours is refused at once."""

import json
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import pytest
import torch
import yaml

from chapters.ch05_samplers import comparison
from chapters.ch05_samplers.settings import TUNED, UNTUNED
from chapters.ch06_calibration import measures
from chapters.ch06_calibration.posteriors import LinearSurvey
from companion.profiles import PROFILES, SettingsError, settings

ROOT = Path(__file__).parents[2]
SIZES = ROOT / "notebooks" / "profiles.yml"
NAMES = yaml.safe_load(SIZES.read_text())
FIRST, SECOND, THIRD = "01_maximum_likelihood", "02_gaussian_mixture_prior", "03_linearized_posterior"
UNSEEN = NAMES["04_dps_fwi"]["quick"]["unseen"]
FOURTH, FIFTH, SIXTH, APPENDIX = "04_dps_fwi", "05_samplers", "06_calibration", "a1_waves"


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("name", NAMES)
def test_settings_hold_the_values_of_the_profile(name, profile):
    found = settings(SIZES, name, profile, 0, {})
    assert json.loads(json.dumps(asdict(found))) == NAMES[name][profile]


def test_settings_are_read_without_anything_heavy():
    work = f"from companion import profiles; from pathlib import Path; import sys; p = Path({str(SIZES)!r})\n"
    work += f"for name in {list(NAMES)}: profiles.settings(p, name, 'full', 0, {{}})\n"
    work += "print({'torch', 'numpy', 'memprior', 'chapters'} & {*sys.modules})"
    done = subprocess.run([sys.executable, "-c", work], capture_output=True, text=True, check=False)
    assert done.stdout == "set()\n", done.stderr


@pytest.mark.parametrize(
    ("name", "overrides"),
    [
        (FIRST, {"time_sizes": [5, 10], "num_seeds": 2, "many_seeds": 2, "published_long_steps": 600}),
        (SECOND, {"sizes": [50, 200, 1000], "num_seeds": [2, 2, 2]}),
        (THIRD, {"num_draws": 200_000}),
        (FOURTH, {"waves_for_exact": [50], "unseen": UNSEEN | {"num_nonlinear": 2}, "step_sizes": [0.01, 0.07]}),
        (FOURTH, {"network": {"width": 128, "depth": 2, "batch_size": 64}, "finer": True}),
        (FIFTH, {"wave_samplers": {"PiGDM": 0, "frozen, norm": 1}}),
        (SIXTH, {"waves": {"num_truths": 1, "num_draws": 8, "num_levels": 20}, "widths": [1]}),
        (APPENDIX, {"time": {"cells": 200, "num_samples": 3000, "dt_s": 0.001}}),
    ],
)
def test_settings_that_go_together_are_taken(name, overrides):
    chosen = json.loads(json.dumps(asdict(settings(SIZES, name, "quick", 0, overrides))))
    assert chosen == NAMES[name]["quick"] | overrides


@pytest.mark.parametrize(
    ("name", "overrides", "told"),
    [
        (FIRST, {"sweep_examples": 79}, "components to be at most sweep_examples, 79"),
        (FIRST, {"num_scored": 1001}, "num_scored to be at most num_fresh, 1000"),
        (FIRST, {"time_sizes": [5]}, "time_sizes to be a list of 2 or more entries"),
        (FIRST, {"many_seeds": 2}, "many_seeds to be at most num_seeds, 1"),
        (FIRST, {"plane_sizes": [1]}, "plane_sizes[0] to be from 2"),
        (SECOND, {"sizes": [50, 500, 1000]}, "sizes to be among the published training sets (50, 200, 1000)"),
        (SECOND, {"start_sizes": [100]}, "start_sizes to be among the published training sets (50, 200, 1000)"),
        (SECOND, {"sizes": [50, 200]}, "sizes to be a list with 50 and 1000"),
        (SECOND, {"num_held_out": 999}, "num_held_out to be at least 1000"),
        (SECOND, {"num_seeds": [3]}, "num_seeds to be one number for each of sizes, 2"),
        (SECOND, {"white_dims": [2, 5]}, "white_dims to be a list with 2, 10, 30 and 100"),
        (SECOND, {"train_steps": 20_001}, "train_steps to be at most plan_steps, 20000"),
        (SECOND, {"plane_steps": 8001}, "plane_steps to be at most plane_plan_steps, 8000"),
        (THIRD, {"control_sizes": [10]}, "control_sizes to be a list of 2 or more entries"),
        (FOURTH, {"sizes": [50, 200]}, "sizes to be [50, 200, 1000], the authors' panel"),
        (FOURTH, {"waves_for_exact": [100]}, "waves_for_exact to be among sizes (50, 200, 1000)"),
        (FOURTH, {"num_held_out": 999}, "num_held_out to be from 1000"),
        (
            FOURTH,
            {"unseen": UNSEEN | {"num_nonlinear": 11}},
            "unseen.num_nonlinear to be at most unseen.num_truths, 8",
        ),
        (FOURTH, {"unseen": UNSEEN | {"num_nonlinear": 1}}, "unseen.num_nonlinear to be 0, or 2 or more"),
        (FOURTH, {"unseen": UNSEEN | {"num_truths": 2}}, "unseen.num_truths to be from 3"),
        (FOURTH, {"step_sizes": [0.01, 0.1]}, "step_sizes to be a list with 0.01 and 0.07"),
        (FOURTH, {"checkpoints": [100, 300, 200]}, "checkpoints to be a list that ascends"),
        (FOURTH, {"num_stencil": 51}, "num_stencil to be from 2 to 50"),
        (FOURTH, {"network": {"width": 128, "depth": 2}}, "network to be a mapping of width, depth, batch_size"),
        (FIFTH, {"counts": [1, 2]}, "counts to be a list with 64, which is claimed"),
        (FIFTH, {"wave_sizes": [1000]}, "wave_sizes to be among fwi_sizes (50, 200)"),
        (FIFTH, {"fwi_sizes": [50]}, "fwi_sizes to be a list of 2 entries"),
        (FIFTH, {"num_sweep": 21}, "num_sweep to be at most num_problems, 20"),
        (FIFTH, {"wave_samplers": {"MMPS": 1}}, "wave_samplers['MMPS'] to be 0: it has no scale"),
        (FIFTH, {"wave_samplers": {"released": 0}}, "wave_samplers['released'] to be above 0, its scale"),
        (SIXTH, {"sizes": [50, 200]}, "sizes to be a list with 50 and 1000"),
        (SIXTH, {"sizes": [20, 50, 1000]}, "sizes to be a list from 50 on"),
        (SIXTH, {"remedies": ["trained"]}, "remedies to be different ones, with trained and early-stopped"),
        (SIXTH, {"faulted_remedies": ["augmented"]}, "faulted_remedies[0] to be one of trained, early-stopped"),
        (SIXTH, {"remedies_at": [200]}, "remedies_at to be among network_sizes (50)"),
        (SIXTH, {"remedies_at": [60], "network_sizes": [60]}, "remedies_at to be among sizes (50, 200, 1000)"),
        (
            SIXTH,
            {"wave_sizes": [50, 100]},
            "wave_sizes to be a list whose last is among sizes [50, 200, 1000], got 100",
        ),
        (SIXTH, {"num_draws": 18}, "num_draws to be from 19"),
        (SIXTH, {"num_held_out": 19}, "num_held_out to be from 20"),
        (SIXTH, {"dropout": 0}, "dropout to be above 0 and at most 0.99"),
        (SIXTH, {"dropout": 1}, "dropout to be above 0 and at most 0.99"),
        (SIXTH, {"num_sampled_truths": 201}, "num_sampled_truths to be at most num_truths, 200"),
        (SIXTH, {"waves": {"num_truths": 0, "num_draws": 0, "num_levels": 9}}, "waves.num_truths to be from 1"),
        (APPENDIX, {"stencil_cells": [100, 140]}, "stencil_cells to be a list with 200"),
        (APPENDIX, {"orders": [4, 6]}, "orders to be a list with 8"),
        (APPENDIX, {"compared_hz": [3.0]}, "compared_hz to be a list with 6"),
        (APPENDIX, {"iterations": [0, 50, 5]}, "iterations to be a list that ascends"),
    ],
)
def test_settings_that_do_not_go_together_are_named(name, overrides, told):
    with pytest.raises(SettingsError) as raised:
        settings(SIZES, name, "quick", 0, overrides)
    assert str(raised.value).startswith(f"overrides: expected {told}")


def test_settings_ask_for_as_many_draws_as_an_interval_needs():
    one_too_few = LinearSurvey(None, torch.eye(1), torch.zeros(2, 1), torch.zeros(2, 1), 1.0), torch.zeros(2, 18, 1)
    with pytest.raises(ValueError, match=r"draws: expected \(T, S >= 19, d\)"):
        measures.measure(*one_too_few, generator=torch.Generator())


def test_settings_name_the_samplers_that_there_are():
    assert set(TUNED) == comparison.families().keys()
    assert set(UNTUNED) == comparison.untuned(1).keys()
