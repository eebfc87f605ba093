"""Records and models that belong together pass the check, and the ways in which they may not are told apart."""

import dataclasses
import math
import re
from functools import cache

import numpy as np
import pytest
import torch

from memprior.geology import VELOCITY_FAMILIES, velocity_model, velocity_models
from memprior.waves import (
    AcousticOperator,
    check_openfwi_pair,
    coarse_openfwi_acquisition,
    energy_above_nyquist,
    openfwi_acquisition,
    openfwi_model_file,
    pair_misfit,
    read_openfwi_pairs,
    ricker,
    simulate_records,
    to_operator,
)
from memprior.waves.openfwi_pairs import PAIR_LIMIT

COARSE = (35, 35)
EVERY = 4
# Two of each family: flat and curved, sorted and not, with and without fault, smooth.
MODELS = [(family, number) for family in VELOCITY_FAMILIES for number in (0, 1)]


@cache
def coarse():
    return AcousticOperator(*coarse_openfwi_acquisition())


@cache
def drawn(family, number, cells=35):
    return velocity_models(family, 1, seed=21, first=number, size=(cells, cells))[0]


@cache
def record(family, number):
    return simulate_records(drawn(family, number)[None], coarse(), every=EVERY)[0]


def scattered(data, model):
    return pair_misfit(data, model, operator=coarse(), every=EVERY).scattered_misfit


def checked(data, model, **options):
    return check_openfwi_pair(data, model, **{"operator": coarse(), "every": EVERY, **options})


every_model = pytest.mark.parametrize(("family", "number"), MODELS)


def test_coarse_survey_is_openfwis_in_cells_and_samples():
    """Cells and steps twice as long at half the frequency: the same waves per cell and cells per step."""
    coarse_one, fine = coarse_openfwi_acquisition(), openfwi_acquisition()
    assert (coarse_one.grid.shape, coarse_one.grid.spacing_km) == ((35, 35), 2 * fine.grid.spacing_km)
    assert len(coarse_one.wavelet) * coarse_one.dt_s == len(fine.wavelet) * fine.dt_s == 1.0
    # Of the square of a cell, 4 times as much; and the onset after as many samples.
    torch.testing.assert_close(coarse_one.wavelet, 4 * fine.wavelet[:500], rtol=1e-9, atol=1e-9)
    assert coarse_one.acquisition.receivers_km[:, 1].unique().tolist() == pytest.approx([0.03])
    columns = (coarse_one.acquisition.sources_km[:, 0] / 0.02 - 0.5).round().tolist()
    assert columns == [0, 17, 34]


def test_records_of_the_coarse_survey_are_openfwis_of_a_model_twice_as_long():
    """The wave equation does not know kilometers: with every length and time doubled the samples are the same."""
    model = drawn("curve_fault_b", 0)
    fine = openfwi_acquisition()
    small = dataclasses.replace(fine.grid, shape=(35, 35))
    survey = coarse_openfwi_acquisition().acquisition
    halved = type(survey)(survey.sources_km / 2, survey.receivers_km / 2)
    operator = AcousticOperator(small, halved, fine.wavelet[:500], fine.dt_s)
    half, whole = (simulate_records(model[None], one) for one in (operator, coarse()))
    # A source has the amplitude of its cell in square metres, and spreads it over one: u goes as f spacing^2.
    torch.testing.assert_close(whole, 4 * half, rtol=1e-3, atol=1e-4 * float(whole.abs().max()))


def test_records_keep_source_time_and_receiver_and_do_not_depend_on_the_batch():
    models = torch.stack([drawn(*MODELS[i]) for i in (0, 5, 19)])
    done = []
    records = simulate_records(models, coarse(), batch_size=2, progress=lambda *now: done.append(now))
    assert (records.shape, records.dtype) == ((3, 3, 500, 35), torch.float32)
    assert done == [(2, 3), (3, 3)]
    alone = simulate_records(models[2:], coarse(), batch_size=1)
    torch.testing.assert_close(records[2:], alone, rtol=0, atol=1e-6 * float(alone.abs().max()))
    direct = coarse().traces(coarse()(models.mT[2:].contiguous() / 1000))
    torch.testing.assert_close(alone, direct, rtol=0, atol=0)
    # The source in column 0 is heard first, and loudest, in column 0; that in column 34 in column 34.
    assert records[0].abs().amax(1).argmax(1).tolist() == [0, 17, 34]


def test_records_of_every_fourth_sample_are_those_samples():
    model = drawn("curve_vel_b", 1)[None]
    whole, fourth = (simulate_records(model, coarse(), every=every) for every in (1, EVERY))
    assert fourth.shape == (1, 3, 125, 35)
    assert torch.equal(fourth, whole[:, :, ::EVERY])


def test_records_hold_no_energy_above_the_new_nyquist_frequency():
    """Of the wavelet, and of records, seen through a window that ends them softly: less than 1e-6 above 62.5 Hz."""
    survey = coarse_openfwi_acquisition()
    assert energy_above_nyquist(survey.wavelet, survey.dt_s, EVERY) < 1e-8
    for family in ("flat_vel_a", "curve_fault_b", "style_b"):
        whole = simulate_records(drawn(family, 0)[None], coarse())[0].double()
        window = torch.hann_window(1000, periodic=False, dtype=torch.float64)[500:, None]
        energy = torch.fft.rfft(window * whole, dim=1).abs().square()
        high = torch.fft.rfftfreq(500, survey.dt_s) > 62.5
        assert float(energy[:, high].sum() / energy.sum()) < 1e-6


def test_energy_above_nyquist_is_the_rickers_own():
    """A Ricker's amplitude goes as x^2 exp(-x^2), x = f / peak; its energy above x is an incomplete gamma function."""
    wavelet, gamma = ricker(10.0, 2000, 0.001, delay_s=1.0), torch.special.gammaincc
    for every, x in ((20, 2.5), (25, 2.0), (50, 1.0)):
        expected = float(gamma(torch.tensor(2.5), torch.tensor(2 * x**2)))
        # Sums over steps of 1/16 Hz: half a step of the density, at most 1.1 per peak frequency.
        assert energy_above_nyquist(wavelet, 0.001, every) == pytest.approx(expected, abs=1.1 / 160)


def test_to_operator_changes_unit_and_axes():
    models = drawn("curve_fault_a", 0)[None]
    velocity = to_operator(models)
    assert velocity[0, 7, 20].item() == pytest.approx(models[0, 20, 7].item() / 1000)
    assert torch.equal(to_operator(models[0]), velocity[0])


@every_model
def test_pair_of_a_record_and_its_model_passes(family, number):
    """Exactly, and in half precision with noise of 5 % of the median amplitude."""
    data, model = record(family, number), drawn(family, number)
    found = checked(data, model)
    assert max(found.misfit, found.scattered_misfit) < 1e-5  # rounding of float32
    assert found.amplitude == pytest.approx(1, abs=1e-5)
    noise = torch.randn(data.shape, dtype=data.dtype, generator=torch.Generator().manual_seed(number))
    noisy = (data + 0.05 * data.abs().median() * noise).half()
    assert checked(noisy, model).scattered_misfit < 0.7 * PAIR_LIMIT


@cache
def too_fast(family, number):
    """Misfits of a model .3 km/s too fast below the first layer, or below the first tenth of a smooth one."""
    layered = velocity_model(family, number, seed=21)
    below = (
        torch.from_numpy(layered.layers(COARSE)) > 0 if hasattr(layered, "layers") else torch.arange(35)[:, None] > 3
    )
    model = drawn(family, number) + 300.0 * below
    return pair_misfit(record(family, number), model, operator=coarse(), every=EVERY)


@every_model
def test_pair_with_a_model_that_is_too_fast_below_the_top_fails(family, number):
    assert too_fast(family, number).scattered_misfit > 1.5 * PAIR_LIMIT


def test_pair_misfit_of_the_whole_record_does_not_see_what_the_scattered_one_does():
    """The reason for the scattered misfit: a quarter of the models above would pass at .1 by the plain misfit."""
    assert sum(too_fast(*model).misfit < 0.1 for model in MODELS) >= len(MODELS) / 4


@every_model
def test_pair_with_a_mirrored_model_fails(family, number):
    model = drawn(family, number)
    mirrored = scattered(record(family, number), model.flip(1))
    if family.startswith("flat_vel"):
        assert mirrored < 1e-5  # it is its own mirror image
    else:
        assert mirrored > 3 * PAIR_LIMIT


@every_model
def test_pair_with_another_model_of_the_family_fails(family, number):
    assert scattered(record(family, number), drawn(family, 1 - number)) > 10 * PAIR_LIMIT


def test_pair_misfits_are_their_definition():
    data, model, wrong = record("flat_fault_b", 0), drawn("flat_fault_b", 0), drawn("flat_fault_b", 0).clone()
    wrong[20:] += 200
    own, top = (
        simulate_records(one[None], coarse(), every=EVERY)[0].double() for one in (wrong, wrong[:1].expand(35, 35))
    )
    found, data = pair_misfit(data, wrong, operator=coarse(), every=EVERY), data.double()
    a = float((own * data).sum() / (data * data).sum())
    assert found.amplitude == pytest.approx(a)
    for value, expected in (
        (found.misfit, (a * data - own).norm() / (a * data).norm()),
        (found.scattered_misfit, (a * data - own).norm() / (a * data - top).norm()),
        (found.scattered_share, (a * data - top).norm() / (a * data).norm()),
    ):
        assert value == pytest.approx(float(expected), rel=1e-6)
    assert found.misfit == pytest.approx(found.scattered_misfit * found.scattered_share)
    assert model.shape == wrong.shape


def test_pair_of_a_homogeneous_model_passes_and_a_wrong_one_fails():
    """Nothing is scattered, and nothing is divided by zero."""
    model = torch.full(COARSE, 2000.0)
    data = simulate_records(model[None], coarse(), every=EVERY)[0]
    assert checked(data, model).scattered_misfit < 1e-3
    assert scattered(data, model + 20) > PAIR_LIMIT


def test_pair_may_come_in_either_form():
    """m/s, depth first, as files hold it; km/s, x first, as readers return it; with an axis of one, or without."""
    data, model = record("curve_fault_b", 1), drawn("curve_fault_b", 1)
    for other in (model[None], to_operator(model), to_operator(model)[None], model.double()):
        assert checked(data[None], other).scattered_misfit < 1e-4  # float32 leaves about 1e-5


WRONG = {
    "mirrored": (lambda d, m: (d, m.flip(1)), "; the model mirrored left to right has"),
    "transposed": (lambda d, m: (d, m.mT), "; the model transposed has"),
    "upside down": (lambda d, m: (d, m.flip(0)), "; the model turned upside down has"),
    "km/s but depth first": (lambda d, m: (d, m / 1000), "; the model transposed has"),
    "mirrored records": (lambda d, m: (d.flip(0, 2), m), "; the model mirrored left to right has"),
    "standardized": (lambda d, m: (d / d.std(), m), "; the record times"),
    "the other sign": (lambda d, m: (-d, m), "; the record times -1 has"),
    "another model": (lambda d, m: (d, drawn("style_b", 0)), "$"),
}


@pytest.mark.parametrize(("spoil", "reason"), WRONG.values(), ids=WRONG)
def test_pair_that_does_not_belong_together_is_told_why(spoil, reason):
    data, model = spoil(record("curve_fault_a", 0), drawn("curve_fault_a", 0))
    expected = "data, model: expected a record and its model, of a scattered misfit of at most 0.05, got "
    numbers = r"[\d.]+, with a misfit of the whole record of [\d.]+"
    with pytest.raises(ValueError, match=f"^{re.escape(expected)}{numbers}{reason}"):
        checked(data, model)


def test_pair_limit_can_be_raised():
    data, model = record("curve_vel_a", 0), drawn("curve_vel_a", 0).clone()
    model[25:] += 200
    found = pair_misfit(data, model, operator=coarse(), every=EVERY).scattered_misfit
    assert checked(data, model, limit=1.01 * found).scattered_misfit == found
    with pytest.raises(ValueError, match=r"of at most 0\.01, got"):
        checked(data, model, limit=0.01)


def test_pair_of_a_spike_before_the_first_arrival_is_refused():
    """A record that has nothing in common with the simulated one, whose samples there are exact zeros."""
    data = torch.zeros_like(record("flat_vel_a", 0))
    data[0, 0, 34] = 1.0
    with pytest.raises(ValueError, match=r"^data, model: expected .*, got [\d.]+, with .* of [\de.+]+$"):
        checked(data, drawn("flat_vel_a", 0))


def test_pair_of_openfwis_own_shape_needs_no_operator(recwarn):
    """Its scheme, of order 4, has fewer cells per wavelength than ours asks for: that is not told."""
    model = drawn("flat_fault_a", 0, cells=70)
    published = AcousticOperator(*openfwi_acquisition(), accuracy=4, max_velocity_kms=5.0)
    with pytest.warns(UserWarning, match="cells per wavelength"):
        data = simulate_records(model[None], published)[0]
    assert data.shape == (5, 1000, 70)
    assert check_openfwi_pair(data, to_operator(model)).scattered_misfit < 1e-5
    wrong = model + 300.0 * torch.from_numpy(velocity_model("flat_fault_a", 0, seed=21).layers((70, 70)) > 0)
    assert pair_misfit(data, wrong).scattered_misfit > PAIR_LIMIT
    assert not [told for told in recwarn if "cells per wavelength" in str(told.message)]


def good():
    return record("flat_vel_a", 0), drawn("flat_vel_a", 0)


BAD_PAIRS = {
    "a record of one source": (
        lambda d, m: (d[0], m),
        ValueError,
        r"data: expected shape \(3, 125, 35\): source, time, receiver, got \(125, 35\)",
    ),
    "receivers before time": (
        lambda d, m: (d.mT, m),
        ValueError,
        r"data: expected shape \(3, 125, 35\).*\(3, 35, 125\)",
    ),
    "two records": (lambda d, m: (d.expand(2, -1, -1, -1), m), ValueError, r"data: .* got \(2, 3, 125, 35\)"),
    "other cells": (
        lambda d, m: (d, m[:34]),
        ValueError,
        r"model: expected shape \(35, 35\): depth, x, got \(34, 35\)",
    ),
    "other cells in km/s": (lambda d, m: (d, m[:34] / 1000), ValueError, r"model: expected shape \(35, 35\): x, depth"),
    "a model scaled to 1": (
        lambda d, m: (d, m / 4500 - 0.5),
        ValueError,
        "model: expected velocities in m/s or in km/s",
    ),
    "NaN": (lambda d, m: (d / 0 * 0, m), ValueError, "data: expected finite numbers"),
    "silence": (lambda d, m: (0 * d, m), ValueError, "data: expected a number other than 0, got zeros"),
    "an array": (lambda d, m: (d.numpy(), m), TypeError, r"data: expected a torch.Tensor of shape \(3, 125, 35\)"),
    "a model that is an array": (lambda d, m: (d, m.numpy()), TypeError, r"model: expected a torch.Tensor of shape"),
    "integers": (lambda d, m: (d, m.int()), ValueError, "model: expected a floating dtype"),
}


@pytest.mark.parametrize(("spoil", "kind", "message"), BAD_PAIRS.values(), ids=BAD_PAIRS)
def test_pair_check_names_bad_input(spoil, kind, message):
    with pytest.raises(kind, match=f"^{message}"):
        checked(*spoil(*good()))


BAD_MODELS = {
    "km/s": (lambda m: (m / 1000, {}), "models: expected m/s of velocities from 0.1 to 20 km/s"),
    "one map": (lambda m: (m[0], {}), r"models: expected shape \(num, \*\(35, 35\)\), got \(35, 35\)"),
    "other cells": (lambda m: (m[:, :30], {}), r"models: expected shape \(num, \*\(35, 35\)\), got \(1, 30, 35\)"),
    "no models": (lambda m: (m[:0], {}), r"models: expected shape \(n, depth, x\), got \(0, 35, 35\)"),
    "NaN": (lambda m: (m * math.nan, {}), "models: expected finite numbers"),
    "no batch": (lambda m: (m, {"batch_size": 0}), "batch_size: expected an integer >= 1, got 0"),
    "no step": (lambda m: (m, {"every": 0}), "every: expected an integer >= 1, got 0"),
    "aliased": (lambda m: (m, {"every": 20}), r"every: expected a number that leaves .*, got 20: 0.\d+ above 12.5 Hz"),
}


@pytest.mark.parametrize(("spoil", "message"), BAD_MODELS.values(), ids=BAD_MODELS)
def test_records_name_bad_input(spoil, message):
    models, options = spoil(drawn("flat_vel_a", 0)[None])
    with pytest.raises(ValueError, match=f"^{message}"):
        simulate_records(models, coarse(), **options)


@pytest.mark.parametrize(
    ("records", "models"),
    [
        ("FlatVel_A/data/data1.npy", "FlatVel_A/model/model1.npy"),
        ("CurveFault_B/seis2_1_0.npy", "CurveFault_B/vel2_1_0.npy"),
        ("data/openfwi/seis4_1_12.npy", "data/openfwi/vel4_1_12.npy"),
        ("data/seis_sets/data3.npy", "data/seis_sets/model3.npy"),
    ],
)
def test_model_file_is_beside_the_records(records, models):
    """No folder but the one that the file lies in changes its name."""
    assert openfwi_model_file(records).as_posix() == models


def test_model_file_of_a_record_without_one_is_refused():
    with pytest.raises(ValueError, match=r"^000039dca2\.npy: expected a file of records, data\*\.npy or seis\*\.npy"):
        openfwi_model_file("000039dca2.npy")


def saved(folder, num_records, num_models):
    (folder / "data").mkdir(exist_ok=True)
    (folder / "model").mkdir(exist_ok=True)
    records = np.random.default_rng(0).standard_normal((num_records, 5, 1000, 70)).astype(np.float32)
    models = velocity_models("curve_vel_a", num_models, seed=0)[:, None].numpy()
    np.save(folder / "data" / "data1.npy", records)
    np.save(folder / "model" / "model1.npy", models)
    return records, models


def test_pairs_of_files_are_read_sample_by_sample(tmp_path):
    records, models = saved(tmp_path, 3, 3)
    data, velocity = read_openfwi_pairs(tmp_path / "data" / "data1.npy", samples=slice(1, 3))
    np.testing.assert_array_equal(data, records[1:])
    torch.testing.assert_close(velocity, to_operator(torch.from_numpy(models[1:, 0])), rtol=0, atol=0)


def test_pairs_of_files_of_different_length_are_refused(tmp_path):
    saved(tmp_path, 2, 3)
    with pytest.raises(ValueError, match=r"model1\.npy: expected 2 models, as records, got 3"):
        read_openfwi_pairs(tmp_path / "data" / "data1.npy")
    (tmp_path / "data" / "data1.npy").rename(tmp_path / "data" / "seis1.npy")
    with pytest.raises(FileNotFoundError, match=r"vel1\.npy: expected a \.npy file, got no file"):
        read_openfwi_pairs(tmp_path / "data" / "seis1.npy")
