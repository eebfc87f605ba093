"""Chapter 9: which parts its settings ask for, that halves share nothing, and that what is measured is what is said."""

from dataclasses import replace
from types import SimpleNamespace as Of

import pytest
import torch
from helpers import store_in

from chapters.ch09_inception import data, measures, page, recorded, runs
from chapters.ch09_inception.data import Cut
from chapters.ch09_inception.runs import FaciesRun, FirstLayer
from chapters.ch09_inception.settings import Ascent, Schedule, Settings
from chapters.ch09_inception.study import APART, Study
from memprior.dreaming import DreamPlan
from memprior.geology import FaciesPatches
from memprior.intervals import Mean

CPU = torch.device("cpu")
RUN = FaciesRun("A", 10, 0, 4, 3, 5, 1e-2)
PLAN = DreamPlan(3, 0.1, "trace")


def settings(**changed):
    given = {
        "workers": 1,
        "num_seeds": 2,
        "networks": "trained",
        "width": 4,
        "sizes": (10, 15),
        "training": Schedule(3, 5, 1e-2),
        "num_referee": 10,
        "referee_steps": 2,
        "num_test": 10,
        "num_sections": 5,
        "ascent": Ascent(2, 0.05, 2, 1.0),
        "linear_steps": 3,
        "linear_seeds": 1,
        "memory_sizes": (10,),
        "num_labelings": 199,
        "noise_levels": (0.0, 0.5),
    }
    return Settings(**given | changed)


def made_up(num=10, seed=0):
    """Patches of noise, 64 x 64."""
    generator = torch.Generator().manual_seed(seed)
    seismic = torch.randn(num, 64, 64, generator=generator, dtype=torch.float32)
    labels = torch.arange(num) % 5
    return FaciesPatches(seismic, labels, labels * 10.0, torch.ones(num), ("a", "b", "c", "d", "e"))


def test_study_has_every_network_and_dream_once(tmp_path):
    study = Study(settings(), 0, store_in(tmp_path), print)
    assert len({part.name for part in study.parts}) == len(study.parts)
    assert len(study.trained) == 1 + 2 * (2 * 2 + 1)
    place = {part: k for k, part in enumerate(study.parts)}
    assert all(place[other] < place[part] for part in study.parts for other in study.needs(part))
    assert len(page.first_layers(study)) == 4  # two sizes, random weights, little trained
    answered = [part for part in study.parts if isinstance(part, runs.Answers)]
    assert len(answered) == 2 * 3
    assert sum(bool(part.noise_levels) for part in answered) == 2 * 2  # the largest N, random weights


def test_study_gives_halves_seeds_and_referee_sections_of_their_own(tmp_path):
    study = Study(settings(), 0, store_in(tmp_path), print)
    cuts = [part for part in study.parts if isinstance(part, Cut)]
    for k, one in enumerate(cuts):
        for other in cuts[:k]:
            apart = one.first >= other.first + other.num or other.first >= one.first + one.num
            assert one.stream != other.stream or apart
    assert len({cut.stream for cut in cuts}) == len(data.STREAMS)
    assert study.members("A", 1).first == APART


def test_study_arguments_change_with_what_a_part_is_given(tmp_path):
    def arguments(changed, seed=0):
        study = Study(settings(**changed), seed, store_in(tmp_path), print)
        run = study.run_of("A", 10, study.seeds[0])
        return study.arguments(run), study.arguments(study.answers(run))

    fitted, answered = arguments({})
    assert arguments({"num_test": 15})[0] == fitted
    assert arguments({"num_test": 15})[1] != answered
    assert arguments({"num_referee": 20})[1] != answered
    assert arguments({"sizes": (10, 20)})[0] != fitted
    assert all(other != mine for other, mine in zip(arguments({}, seed=1), (fitted, answered), strict=True))


def test_study_starts_from_recorded_networks_by_name(tmp_path):
    trained = Study(settings(), 3, store_in(tmp_path), print)
    weights = {run: run.network(CPU).state_dict() for run in trained.trained}
    trained._results.update(weights)
    study = Study(settings(networks="recorded"), 0, store_in(tmp_path), print)
    study.__dict__["recording"] = recorded.networks(trained)
    assert study.seeds == trained.seeds
    for run in study.trained:
        assert all(torch.equal(w, weights[run][name]) for name, w in study.network(run).state_dict().items())
    assert not any(isinstance(part, FaciesRun) for part in study.parts)
    assert study.members("A", study.seeds[1]) == trained.members("A", study.seeds[1])
    assert study.test.seed == 0  # new sections for known networks
    assert "networks" in study.arguments(study.parts[-1])
    assert recorded.networks(study) is None
    with pytest.raises(ValueError, match=r"networks: expected A\.20\..* among the recorded ones"):
        study.network(study.run_of("A", 20, study.seeds[0]))


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"width": 6}, "width"),
        ({"memory_sizes": (20,)}, "memory_sizes"),
        ({"sizes": (10, 12)}, "sizes"),
        ({"num_test": 12}, "num_test"),
        ({"linear_seeds": 3}, "linear_seeds"),
    ],
)
def test_settings_that_do_not_go_together_are_refused(changed, message):
    with pytest.raises(ValueError, match=f"expected {message}"):
        settings(**changed)


def test_networks_of_one_seed_start_alike_and_training_moves_them():
    start = RUN.network(CPU).state_dict()
    same = replace(RUN, half="B", num_examples=50).network(CPU).state_dict()
    assert all(torch.equal(w, same[name]) for name, w in start.items())
    assert not torch.equal(replace(RUN, seed=1).network(CPU).conv1.weight, start["conv1.weight"])
    assert not torch.equal(replace(RUN, half="referee").network(CPU).conv1.weight, start["conv1.weight"])
    fitted = runs.fit(RUN, made_up(), CPU)
    assert not torch.equal(fitted["conv1.weight"], start["conv1.weight"])


def test_depth_only_finds_what_depth_tells_and_no_more():
    patches = made_up(20)
    assert torch.equal(runs.depth_only(patches, patches.depth + 4), patches.labels)
    flat = replace(patches, depth=torch.zeros(20))
    assert (runs.depth_only(flat, flat.depth) == patches.labels).double().mean() == 0.2


@pytest.mark.parametrize("noise_level", [0.0, 0.3])
def test_budget_bounds_what_a_dream_does_to_the_data(noise_level):
    network, start = RUN.network(CPU), made_up(2).seismic
    made, misfit = runs.in_budget(network, start, replace(PLAN, step=0.5), noise_level)
    assert not torch.allclose(made, start)
    assert (misfit < (1 if noise_level else 0) + 1e-6).all()
    budget = runs.budget_of(start, 1.0)
    spectrum = torch.fft.rfft(start.double(), dim=1).abs().square()
    frequency = torch.fft.rfftfreq(64, 0.004)
    inside = (frequency >= 10) & (frequency <= 60)
    energy = 2 * spectrum[:, inside].sum((1, 2)) / 64
    assert torch.allclose(budget.budget.square(), energy)


def test_first_layer_tells_the_peaks_of_its_filter_bank():
    found = runs.layered(FirstLayer(RUN, 30), RUN.network(CPU))
    assert found["wavenumbers"].shape == (3, 2)
    assert int(found["bins_apart"][0]) <= 1  # edges widen a line by a bin


def test_linearized_cosine_is_one_for_the_linear_layer():
    network, start = RUN.network(CPU), made_up(2).seismic
    few = DreamPlan(2, 0.05, "section")
    assert runs.linearized_cosine(network, "conv1", start, few).tolist() == pytest.approx([1, 1], abs=1e-5)
    assert (runs.linearized_cosine(network, "stage3", start, few) < 1 - 1e-4).all()


def test_centroid_wavenumbers_are_those_of_sinusoids_at_their_depth():
    t = torch.arange(96, dtype=torch.float64)[:, None]
    cycles = torch.where(t < 32, 4 / 32, 8 / 32)  # a faster one below the upper third
    section = torch.sin(2 * torch.pi * cycles * t).expand(1, 96, 16)
    down, across = runs.centroid_wavenumbers(section)[0].unbind(1)
    assert torch.allclose(down, torch.tensor([4 / 32, 8 / 32, 8 / 32], dtype=torch.float64))
    assert torch.allclose(across, torch.zeros(3, dtype=torch.float64), atol=1e-9)
    assert float(runs.centroid_wavenumbers(section.mT)[0, 0, 0]) < 1e-9


def test_crossed_mean_is_wider_for_seeds_that_disagree():
    sections = torch.arange(40.0)
    same = measures.crossed_mean([sections, sections, sections])
    apart = measures.crossed_mean([sections - 20, sections, sections + 20])
    assert same.value == apart.value == pytest.approx(19.5)
    assert apart.half > same.half > 0
    one = measures.crossed_mean([torch.zeros(1), torch.ones(1)])
    assert one == Mean.over([0.0, 1.0])
    with pytest.raises(ValueError, match=r"expected two seeds or more, got 1"):
        measures.crossed_mean([sections])


def test_copying_dreams_fail_the_swap_test_and_the_other_half_passes(tmp_path):
    study = Study(settings(), 0, store_in(tmp_path), print)
    halves = {half: made_up(15, seed) for half, seed in (("A", 1), ("B", 2))}
    for half, patches in halves.items():
        study._results[study.members(half, 0)] = patches
        study._results[study.recollection(half, 10, 0)] = {"sections": halves["A"].seismic[:5] + 0.01}
    found = measures.memory_tests(study, 10, 0)
    assert set(found) == {(half, space) for half in "AB" for space in runs.SPACES}
    # Five copies of five models: all are of one half in C(15, 5) / C(20, 10) = .016 of the labelings.
    assert found["A", "samples"].p < 0.016 + 3 * (0.016 / 199) ** 0.5
    assert found["A", "samples"].share == 1
    assert found["B", "samples"].p > 0.5
    assert found["B", "samples"].share == 0


@pytest.fixture(scope="module")
def done(tmp_path_factory) -> Study:
    """All parts of a study of the least size."""
    small = settings(sizes=(10,), num_sections=2)
    study = Study(small, 0, store_in(tmp_path_factory.mktemp("inception")), lambda _: None)
    study.run()
    return study


def test_study_runs_to_tables_claims_and_pictures(done):
    tables = recorded.tables(done)
    assert all(len(table.rows) > 1 for table, _ in tables.values())
    assert len(tables["directed"][0].rows) == 3  # N = 10, random weights, and these for longer
    assert set(recorded.pictures(done)) == set(recorded.PICTURE_TEXTS)

    listed = {"c9.quick_misfit", "c9.quick_misfit_null", "c9.quick_gain_most", "c9.full_gain_most"}
    found = recorded.claims(done, Of(profile="quick", listed=listed))
    assert found.keys() == {id for id in listed if "quick" in id}
    assert found["c9.quick_misfit"] < 1 + 1e-6
    assert found["c9.quick_misfit_null"] < 1e-6


def test_study_dreams_do_not_depend_on_their_batch(done):
    """The first section alone, of the filmstrip, is the one that was ascended among all."""
    run = done.run_of("A", 10, 0)
    strip = page.filmstrip_of(done, run, (0, 2))
    assert torch.allclose(strip[1], done.result(done.answers(run))["directed"][0], atol=1e-4)


def test_sliders_have_a_frame_for_each_value(done):
    for slider, num in ((page.layer_slider, 4), (page.iteration_slider, 3), (page.budget_slider, 2)):
        assert len(slider(done).values) == num
