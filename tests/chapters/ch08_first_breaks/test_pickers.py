"""Chapter 8's pickers: which parts its settings ask for, what is trained and what is not, and how picks are scored."""

from dataclasses import replace

import pytest
import torch
from helpers import run_parts, store_in

from chapters.ch08_first_breaks import matched, pickers, picking_measures, picking_page, picking_study
from chapters.ch08_first_breaks.pickers import Labeled, PickerTraining, Pretraining
from chapters.ch08_first_breaks.picking_study import PickingStudy, encoders, split
from chapters.ch08_first_breaks.settings import MatchedProblem, Picking, Unlabeled
from memprior.picking import pick_scores

CPU = torch.device("cpu")
FEW = "scratch", "autoencoder", "random, frozen", "autoencoder, frozen"
STARTS = (
    "scratch",
    "autoencoder",
    "masked",
    "discriminator",
    "discriminator, untrained",
    "random, frozen",
    "autoencoder, frozen",
)


def settings(**changed):
    given = {
        "num_seeds": 2,
        "base": "trained",
        "width": 8,
        "num_validation": 4,
        "num_test": 8,
        "unlabeled": Unlabeled(4, 2, 2, 1e-3, 4, 0.5, 8, 1, 1e-3),
        "sizes": (1, 3),
        "starts": STARTS,
        "num_steps": (1, 2),
        "batch_size": 2,
        "rates": (1e-3, 3e-3),
        "trial_size": 3,
        "matched": MatchedProblem(40, 40, 2, 8, 3e-3, 0.3),
    }
    return Picking(**given | changed)


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    made = PickingStudy(settings(starts=FEW), 0, store_in(tmp_path_factory.mktemp("study")), lambda _: None)
    run_parts(made)
    return made


def made_up(num, seed=0):
    """Gathers of 8 traces of 32 samples: noise, and a step at the onset."""
    generator = torch.Generator().manual_seed(seed)
    onsets = 5 + 20 * torch.rand(num, 8, generator=generator, dtype=torch.float64)
    late = (torch.arange(32) - onsets[..., None]).clamp(min=0)
    traces = torch.exp(-late / 4) * (late > 0) + 0.05 * torch.randn(num, 8, 32, generator=generator)
    return Labeled(traces.float(), onsets, torch.ones(num, 8, dtype=torch.bool), torch.arange(num) // 4)


def picker(start, base=None, **changed):
    return replace(PickerTraining(start, 3, 0, 8, 6, 2, 1e-2, base), **changed)


def test_study_has_every_start_size_seed_and_rate_once(tmp_path):
    made = PickingStudy(settings(), 0, store_in(tmp_path), print)
    assert len(made.pickers) == len(STARTS) * (2 * 2 + 2)  # two rates at N = 3, one at N = 1, of two seeds
    assert len(made.tunings) == 2 * 2 * 2
    assert len(made.bases) == 3 * 2
    assert len({part.name for part in made.parts}) == len(made.parts)
    place = {part: k for k, part in enumerate(made.parts)}
    assert all(place[other] < place[part] for part in made.parts for other in made.needs(part))


def test_study_has_no_survey_in_two_sets(tmp_path):
    made = PickingStudy(settings(sizes=(3, 10), num_seeds=3), 0, store_in(tmp_path), print)
    sets = [made.labeled(seed) for seed in made.seeds] + [*made.tests.values()]
    sets += [made.pool(base) for base in made.bases.values() if base.kind == "masked"]
    surveys = []
    for parts in sets:
        # Streams of a family have seeds of their own; a pool is drawn from numbers that no labeled set has.
        surveys.append({(part.family, part.stream, (part.first + k) // 4) for part in parts for k in range(part.num)})
    assert sum(map(len, surveys)) == len(set().union(*surveys))
    assert {part.stream for part in made.labeled(0)} == {"train"}


def test_every_part_is_kept_under_its_name(study):
    assert all(study.store.file(part.name, study.arguments(part)).is_file() for part in study.parts)


def test_labeled_gathers_are_nested_and_the_first_three_of_one_survey(study):
    most = study.members(0, 3)
    assert torch.equal(study.members(0, 1).traces, most.traces[:1])
    assert most.surveys.tolist() == [0, 0, 0]
    assert not torch.equal(study.members(1, 1).traces, most.traces[:1])


def test_arguments_change_with_what_a_part_is_given(tmp_path):
    def arguments(changed, seed=0):
        made = PickingStudy(settings(**changed), seed, store_in(tmp_path), print)
        return made.arguments(made.pickers[0]), made.arguments(made.tunings[0])

    first = arguments({})
    for changed, seed in (({"num_test": 12}, 0), ({"num_validation": 12}, 0), ({"sizes": (3, 5)}, 0), ({}, 1)):
        assert all(one != other for one, other in zip(arguments(changed, seed), first, strict=True))


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"base": "recorded"}, "unlabeled.num"),
        ({"starts": ("masked",)}, "starts"),
        ({"starts": ("scratch", "scratch")}, "starts"),
        ({"num_steps": (1,)}, "num_steps"),
        ({"width": 10}, "width"),
        ({"trial_size": 2}, "trial_size"),
        ({"num_test": 10}, "num_test"),
        ({"unlabeled": Unlabeled(4, 2, 2, 1e-3, 4, 1.5, 8, 1, 1e-3)}, "unlabeled.hidden"),
    ],
)
def test_settings_that_do_not_go_together_are_refused(changed, message):
    with pytest.raises(ValueError, match=f"expected {message}"):
        settings(**changed)


def encoder(kind, folder, seed=0):
    """Of two steps on noise."""
    base = Pretraining(kind, ("base",), seed, 8, 3, 2, 2, 1e-3, 4, 0.5, 8)
    return base, pickers.pretrained(base, made_up(3).traces, store_in(folder), {"seed": seed})


@pytest.mark.parametrize("start", STARTS)
def test_start_trains_what_it_says_from_what_it_says(start, tmp_path):
    base, weights = encoder(kind, tmp_path) if (kind := pickers.kind_of(start)) else (None, None)
    run, gathers = picker(start, base), made_up(3)
    network = pickers.build_picker(run, weights, CPU)
    before = {name: w.detach().clone() for name, w in network.named_parameters()}
    if weights is not None:
        assert all(torch.equal(w, weights[name]) for name, w in network.encoder.state_dict().items())
    *_, _ = pickers.trained(run, network, gathers, tmp_path)
    moved = {name for name, w in network.named_parameters() if not torch.equal(w, before[name])}
    assert any(name.startswith("encoder") for name in moved) != run.frozen
    assert any(name.startswith("decoder") for name in moved)


def test_pretraining_differs_by_kind_and_seed(tmp_path):
    found = [encoder(kind, tmp_path, seed)[1] for kind, seed in (("autoencoder", 0), ("masked", 0), ("masked", 1))]
    name = "stages.0.0.weight"
    assert not torch.equal(found[0][name], found[1][name])
    assert not torch.equal(found[1][name], found[2][name])
    with pytest.raises(ValueError, match="kind: expected one of"):
        replace(encoder("masked", tmp_path)[0], kind="another")
    with pytest.raises(ValueError, match="weights: expected an encoder's for the start 'masked'"):
        pickers.build_picker(picker("masked"), None, CPU)


def test_picker_resumed_is_the_uninterrupted_one(tmp_path):
    gathers, ends = made_up(3), []
    for interrupted in (False, True):
        folder = tmp_path / f"{interrupted}"
        folder.mkdir()
        run = picker("scratch", num_steps=103)
        if interrupted:
            for state in pickers.trained(run, pickers.build_picker(run, None, CPU), gathers, folder):
                if state.step == 101:  # the checkpoint of step 100 is there
                    break
        network = pickers.build_picker(run, None, CPU)
        steps = [state.step for state in pickers.trained(run, network, gathers, folder)]
        assert steps[0] == (101 if interrupted else 1)
        ends.append(network.state_dict())
    assert all(torch.equal(w, ends[1][name]) for name, w in ends[0].items())


def test_rate_of_all_sizes_is_the_one_that_picks_most_validation_gathers(study):
    validation = study.joined(study.tests["validation"])
    for start in FEW:
        hits = {}
        for run in study.trials[start]:
            error = (study.result(run).medians["validation"] - validation.onsets).abs()[validation.live]
            hits[run.rate] = hits.get(run.rate, 0) + float((error <= 1).double().mean())
        assert hits[study.rate(start)] == max(hits.values())
        assert [run.seed for run in study.chosen(start, 3)] == [run.seed for run in study.chosen(start, 1)] == [0, 1]
        assert {run.rate for run in study.chosen(start, 3)} == {study.rate(start)}
    run = study.chosen("scratch", 1)[0]
    with pytest.raises(ValueError, match="start, n: expected a start and N of the settings, got 'scratch' and 2"):
        study.chosen("scratch", 2)
    with pytest.raises(ValueError, match="rate: expected a number, or None where there are trials"):
        replace(run, trials=())


def test_best_rate_is_that_of_the_trials_together():
    gathers = made_up(4)

    def found(rate, seed, apart):
        return picker("scratch", rate=rate, seed=seed), pickers.Picks(
            {"validation": gathers.onsets + apart}, {}, {}, 0.0, {}
        )

    trials = dict([found(1e-3, 0, 0.5), found(1e-3, 1, 3.0), found(1e-2, 0, 0.5), found(1e-2, 1, 0.9)])
    assert pickers.best_rate(trials, gathers) == 1e-2


def test_picker_is_kept_and_found_again(study):
    run = study.chosen("scratch", 1)[0]
    picks = study.result(run)
    assert picks.medians["test"].shape == picks.low["shifted"].shape == (8, 64)
    assert picks.medians["members"].shape == (1, 64)
    assert all(bool((picks.low[name] <= picks.medians[name]).all()) for name in picks.medians)
    network = pickers.build_picker(run, None, CPU)
    network.load_state_dict(picks.weights)
    again = pickers.onset_posterior(network, study.joined(study.tests["test"]).traces).median
    assert torch.equal(again.reshape(8, 64), picks.medians["test"])


def test_recorded_encoders_are_those_that_were_trained(study):
    weights, made = encoders(study)
    assert set(made) == {"autoencoder"}
    for kind, of in split(weights).items():
        assert all(torch.equal(w, of[name]) for name, w in study.result(study.bases[kind, 0]).items())
    assert sum(w.nbytes for w in weights.values()) < 2**22


def test_recorded_encoder_is_the_start_of_every_seed(study, tmp_path, monkeypatch):
    weights, made = encoders(study)
    monkeypatch.setattr(picking_study, "recorded_weights", lambda *_: (weights, made))
    none = replace(settings().unlabeled, num=0)
    starts = "scratch", "autoencoder", "autoencoder, frozen"

    def recorded():
        return PickingStudy(settings(base="recorded", unlabeled=none, starts=starts), 0, store_in(tmp_path), print)

    small = recorded()
    assert not small.bases
    assert {part.stream for part in small.parts if isinstance(part, pickers.Gathers)} == {"train", "validation", "test"}
    for run in small.trials["autoencoder"]:
        network = pickers.build_picker(run, small.weights(run), CPU)
        trained = study.result(study.bases["autoencoder", 0])
        assert all(torch.equal(w, trained[name]) for name, w in network.encoder.state_dict().items())
    before = small.arguments(small.trials["autoencoder"][0])
    assert "encoder" not in small.arguments(small.trials["scratch"][0])
    with pytest.raises(ValueError, match=r"expected one of a recorded encoder \(autoencoder\), got 'masked'"):
        small.weights(picker("masked"))
    weights = {name: w + 1 for name, w in weights.items()}
    changed = recorded()
    assert changed.arguments(changed.trials["autoencoder"][0])["encoder"] != before["encoder"]


def test_tuned_classical_picker_is_scored_on_its_own_gathers(study):
    one = study.tuned("AIC", 3)[0]
    members = study.members(0, 3)
    hits = picking_measures.value_of(one.medians["members"], members, "hit 1").mean()
    assert picking_measures.training_hits(study, "AIC", 3)[0] == pytest.approx(float(hits))
    again = one.picker(members.traces)
    assert torch.equal(again[members.live], one.medians["members"][members.live])
    with pytest.raises(ValueError, match="method: expected one of AIC, STA/LTA"):
        pickers.Tuning("another", 1, 0)


def test_planted_shift_of_one_sample_is_seen():
    gathers, groups = made_up(8), torch.arange(64) // 32
    right = [gathers.onsets, gathers.onsets + 0.1]
    for score, expected in (("error", 1.0), ("size", 0.9)):
        values = [
            picking_measures.value_of(picks + 1, gathers, score) - picking_measures.value_of(picks, gathers, score)
            for picks in right
        ]
        found = picking_measures.two_way(values, groups)
        assert found.value == pytest.approx(1.0, abs=0.2)
        assert found.value == pytest.approx(expected, abs=0.11)
    late = [picking_measures.value_of(picks + 1.05, gathers, "hit 1") for picks in right]
    assert float(torch.stack(late).mean()) == 0
    kept = [picking_measures.value_of(picks, gathers, "hit 1") for picks in right]
    assert float(torch.stack(kept).mean()) == 1


def test_scores_are_those_of_the_library():
    gathers = made_up(8)
    generator = torch.Generator().manual_seed(1)
    picks = gathers.onsets + 3 * torch.randn(8, 8, generator=generator, dtype=torch.float64)
    picks[0, 0] = torch.nan
    scores = pick_scores(picks, gathers.onsets, dt_s=0.004, groups=gathers.surveys, live=gathers.live)
    pairs = {"hit 1": scores.hits[1.0], "hit 9": scores.hits[9.0], "ms 10": scores.hits_ms[10.0]}
    pairs |= {"size": scores.mae, "error": scores.bias, "picked": scores.coverage}
    for score, expected in pairs.items():
        values = picking_measures.value_of(picks, gathers, score)
        found = picking_measures.two_way([values, values], picking_measures.surveys_of(gathers))
        assert found.value == pytest.approx(expected.value)


@pytest.mark.parametrize(("seeds", "larger"), [(2, 0.05), (3, 0.05), (2, 0.3), (3, 0.3), (3, 1.0)])
def test_two_way_interval_covers_seeds_and_surveys(seeds, larger):
    covered, num, surveys, each = 0, 400, 10, 8
    groups = torch.arange(surveys * each) // each
    for k in range(num):
        generator = torch.Generator().manual_seed(k)
        of_survey = 0.5 * torch.randn(surveys, generator=generator)[groups]
        of_seed = larger * torch.randn(seeds, 1, generator=generator)
        values = of_survey + of_seed + torch.randn(seeds, surveys * each, generator=generator)
        covered += abs((found := picking_measures.two_way(list(values), groups)).value) < found.half
    assert covered / num > 0.95 - 0.033  # three standard errors of a binomial of 400; else conservative
    with pytest.raises(ValueError, match="values: expected two seeds or more, got 1"):
        picking_measures.two_way([values[0]], groups)


def test_matched_ideal_picker_is_calibrated_and_classical_ones_are_not_better(tmp_path):
    run = matched.Matched(0, 8, 200, 2000, 1, 8, 1e-3, 0.3)
    scores = matched.matched(run, store_in(tmp_path), {})
    assert abs(scores.coverage.value - 0.9) < 0.02
    bias, error = scores.bias()
    assert abs(bias) < 3 * error
    for name in matched.OTHERS:
        for score in matched.SCORES:
            excess, standard = scores.excess(name, score)
            assert excess > -3 * standard
    assert scores.excess("AIC, tuned", "hit 1")[0] > 0


def test_page_has_a_row_for_every_picker(study):
    rows = 2 * (len(FEW) + 2)
    assert len(picking_page.transfer_table(study).rows) == rows
    assert len(picking_page.score_table(study, "shifted").rows) == rows
    pairs = picking_measures.comparisons(study)
    assert len(picking_page.picking_differences(study, "test").rows) == 2 * len(pairs)
    assert [len(row) for row in picking_page.matched_table(study).rows] == [8] * 4
    claims = picking_page.picking_claims(study)
    assert all(isinstance(value, float) for value in claims.values())
    assert "test_3_autoencoder_frozen_less_random_frozen" in claims


def test_figures_show_every_start_and_the_reference(study):
    figure = picking_page.carrying_figure(study)
    shown = {text.get_text() for text in figure.legends[0].get_texts()}
    assert set(FEW) < shown
    assert any("no bound" in text for text in shown)
    assert len(picking_page.gather_figure(study).axes) == 2
    slider = picking_page.number_slider(study)
    assert slider.labels == ["1", "3"]
