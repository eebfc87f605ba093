"""Chapter 8's unlabeled half: its parts, that they resume, and what an exact copier and fresh draws come to."""

import math
from dataclasses import replace

import matplotlib.pyplot as plt
import pytest
import torch
from helpers import run_parts, store_in

from chapters.ch08_first_breaks import autoencoding, sections_gan, sections_measures, sections_page, sections_study
from chapters.ch08_first_breaks.sections_study import COPIER, FRESH, SectionsStudy
from chapters.ch08_first_breaks.settings import Adversaries, Autoencoders, SectionsSettings
from companion import weights
from companion.weights import MOST_BYTES, write_weights
from memprior.linear_autoencoder import best_linear_autoencoder

ADVERSARIES = Adversaries((5, 8), 8, 4, (1, 2), 4, 1e-3, 1e-3)
AUTOENCODERS = Autoencoders((2, 3), (1,), 2, 2, 1e-3, 3, 2)


def settings(**changed):
    given = {
        "num_seeds": 2,
        "base": "trained",
        "width": 8,
        "adversaries": ADVERSARIES,
        "autoencoders": AUTOENCODERS,
        "num_samples": 12,
        "num_repeats": 2,
        "num_labelings": 199,
        "num_walks": 2,
        "num_walk_steps": 20,
    }
    return SectionsSettings(**given | changed)


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    made = SectionsStudy(settings(), 0, store_in(tmp_path_factory.mktemp("sections")), lambda message: None)
    run_parts(made)
    return made


def test_study_has_every_part_once_after_what_it_needs(study):
    assert len(study.gans) == 2 * 3
    assert len(study.autoencoders) == 2 * 2
    assert len(study.iterations) == 4 + 2
    assert len(study.testings) == 6 + 2 * 2 * 2
    assert len({part.name for part in study.parts}) == len(study.parts)
    place = {part: k for k, part in enumerate(study.parts)}
    assert all(place[other] < place[part] for part in study.parts for other in study.needs(part))


def test_study_gives_seeds_and_streams_sections_of_their_own(study):
    sets = [study.result(study.sections(stream, seed)) for seed in study.seeds for stream in ("train", "held out")]
    flat = torch.cat(sets).flatten(1)
    assert len(flat.unique(dim=0)) == len(flat) == 4 * 8
    assert torch.equal(study.training_set(5, 0), study.training_set(8, 0)[:5])


def test_generator_resumes_to_the_same_bits(tmp_path, study, monkeypatch):
    part = study.gans[0]
    whole = study.result(part)
    original, calls = sections_gan.train_adversarial, []

    def killed(*arguments, **options):
        for state in original(*arguments, **options | {"save_every": 1}):
            yield state
            if state.step == 1 and not calls:
                calls.append(state.step)
                raise KeyboardInterrupt

    monkeypatch.setattr(sections_gan, "train_adversarial", killed)
    again = SectionsStudy(study.settings, 0, store_in(tmp_path), print)
    work = lambda one: again.work(one, work)  # noqa: E731
    with pytest.raises(KeyboardInterrupt):
        work(part)
    found = work(part)
    assert calls == [1]
    for name, tensor in whole.tensors().items():
        assert torch.equal(found.tensors()[name], tensor), name


def test_exact_copier_has_the_share_one_and_fresh_draws_have_not(study):
    for space in sections_measures.SPACES:
        for n in ADVERSARIES.sizes:
            for one in study.copying(COPIER, n, space):
                assert one.share == 1
                assert one.gap == 0
            for one in study.copying(FRESH, n, space):
                assert one.share < 1


def test_fresh_draws_are_rejected_at_most_at_the_level():
    """Of 200 independent repeats at .05, 18 or more have a chance of .01, 2 or fewer one of .002 (binomial)."""
    generator = torch.Generator().manual_seed(0)
    drawn = sections_gan.draw(sections_gan.SectionSet("fresh", 200 * 24, 0))
    p_values = []
    for some in drawn.split(24):
        p_values.append(sections_measures.copying(*some.split(8), "spectra", 199, generator=generator).p)
    assert 2 / 200 < sections_measures.rejections(p_values).value < 18 / 200


def test_spectra_are_those_of_a_section_wherever_it_is_moved():
    x = torch.randn(2, 64, 64, generator=torch.Generator().manual_seed(0))
    moved = sections_measures.in_space(x.roll((5, 9), (1, 2)), "spectra")
    torch.testing.assert_close(moved, sections_measures.in_space(x, "spectra"))
    assert torch.equal(sections_measures.in_space(x, "sections"), x.flatten(1))


def test_coarse_gathers_are_every_second_trace_and_means_of_two_samples():
    whole = torch.randn(2, 64, 128, generator=torch.Generator().manual_seed(0))
    found = autoencoding.coarse(whole).reshape(2, 32, 64)
    torch.testing.assert_close(found.abs().amax(2), torch.full((2, 32), 3.0))
    mean = (whole[0, 6, 10] + whole[0, 6, 11]) / 2
    ratio = (whole[0, 6, 40] + whole[0, 6, 41]) / 2 / mean
    assert float(found[0, 3, 20] / found[0, 3, 5]) == pytest.approx(float(ratio), rel=1e-5)


def test_autoencoder_that_stores_its_gathers_has_them_for_attractors(tmp_path):
    """Radhakrishnan, Belkin and Uhler (2020): trained to no error, iterated from noise it ends on one of them."""
    store, generator = store_in(tmp_path), torch.Generator().manual_seed(0)
    training, held_out, starts = torch.randn(3, 2, 64, generator=generator, dtype=torch.float32)
    run = autoencoding.Autoencoding(2, 16, 0, 800, 2, 2e-3)
    weights = autoencoding.encoded(run, training, store, {})
    part = autoencoding.Iterating(run, 20, 300)
    found = autoencoding.iterated(part, weights, training, held_out, starts, store, {})
    assert float(found.errors[0]) < 1e-6 < float(found.errors[1])
    assert found.training["noise"].landed.value == 1
    assert found.held_out["noise"].landed.value == 0
    untrained = replace(run, num_steps=0)
    control = autoencoding.Iterating(untrained, 20, 300)
    none = autoencoding.iterated(control, None, training, held_out, starts, store, {})
    assert none.training["noise"].landed.value == 0


def test_step_down_is_holm():
    assert sections_measures.step_down([0.01, 0.04, 0.03]) == [True, False, False]
    assert sections_measures.step_down([0.01, 0.02, 0.03]) == [True, True, True]
    assert sections_measures.step_down([0.06]) == [False]
    assert sections_measures.step_down([0.026, 0.001, 0.9]) == [False, True, False]


def test_walks_of_the_references_are_even_and_in_jumps():
    generator = torch.Generator().manual_seed(0)
    # Examples of one scale in every direction: the linear generator is an orthonormal map but for a factor.
    examples = (
        torch.linalg.qr(torch.randn(40, 8, generator=generator))[0]
        @ torch.linalg.qr(torch.randn(8, 8, generator=generator))[0]
    )
    best = best_linear_autoencoder(torch.cat([examples, -examples]), 8)
    ends = torch.randn(2, 5, 8, generator=generator)
    ends = ends / ends.norm(dim=-1, keepdim=True)
    linear = sections_measures.gaussian_generator(best)
    even = sections_measures.walking(linear, ends, examples, 50)
    assert even.jump_share.value == pytest.approx(0.1, rel=1e-6)
    lookup = sections_measures.walking(sections_measures.lookup_generator(linear, examples), ends, examples, 50)
    assert lookup.jump_share.value > 0.7
    assert math.isnan(sections_measures.walking(lambda z: torch.ones(len(z), 8), ends, examples, 50).jump_share.value)


def test_gaussian_generator_has_the_mean_and_components_of_its_examples():
    generator = torch.Generator().manual_seed(0)
    examples = 2 + torch.randn(50, 3, generator=generator)
    best = best_linear_autoencoder(examples, 3)
    made = sections_measures.gaussian_generator(best)(torch.randn(100_000, 3, generator=generator))
    centered = examples - examples.mean(0)
    # A covariance of 100 000 draws is within 2 % of the largest variance, five standard errors.
    torch.testing.assert_close(
        torch.cov(made.T), centered.T @ centered / 50, rtol=0, atol=0.03 * float(best.scales[0] ** 2)
    )
    torch.testing.assert_close(made.mean(0), examples.mean(0), rtol=0, atol=5 * float(best.scales[0]) / 300)


def test_page_shows_every_item(study):
    tables = [
        of(study) for of in (sections_page.copying_table, sections_page.attractor_table, sections_page.walk_table)
    ]
    assert [len(table.rows) for table in tables] == [2 * (3 * 2 + 1), 2 + 1, 2 + 2]
    made = [
        sections_page.copying_figure(study),
        sections_page.dreams(study, 5, 3),
        sections_page.attractor_figure(study),
        sections_page.walk_figure(study),
        sections_page.discriminator_figure(study),
    ]
    assert all(figure.axes for figure in made)
    plt.close("all")
    slider = sections_page.walk_slider(study, 8, 3)
    assert len(set(slider.alts)) == 3
    plt.close("all")
    claims = sections_page.claims(study)
    assert claims["copier_sections_8"] == 1
    assert all(isinstance(value, float) for value in claims.values())


def test_recorded_networks_give_the_same_parts_without_training(tmp_path, study, monkeypatch):
    folder = tmp_path / "recorded" / sections_study.CHAPTER
    folder.mkdir(parents=True)
    write_weights(folder, sections_study.GENERATORS, *study.to_record())
    monkeypatch.setattr(weights.paths, "shipped", lambda what: tmp_path / what)
    quick = SectionsStudy(replace(study.settings, base="recorded"), 7, store_in(tmp_path), lambda message: None)
    assert quick.seeds == study.seeds  # its sections are those that the networks were trained on
    assert not set(quick.parts) & {*quick.gans}
    run_parts(quick)
    for gan in study.gans:
        ours, theirs = (of.result(of.sampling(gan)) for of in (quick, study))
        # Half precision keeps 11 bits of each weight; some layers add them up.
        torch.testing.assert_close(ours, theirs, rtol=0, atol=0.02 * float(theirs.abs().max()))
    assert quick.to_record() is None
    with pytest.raises(ValueError, match="settings: expected generators that the full run has recorded, got 6"):
        quick.recorded_gan(study.gan(6, 0))


def test_recorded_networks_of_the_full_run_fit_their_files():
    """Three seeds, five N and one without spectral norm; half precision."""
    gan = sections_gan.Gan(16, 0, True, 8, 16, (1,), 4, 1e-3, 1e-3)
    num = sum(w.numel() for w in sections_gan.build_generator(gan, torch.device("cpu")).parameters())
    assert 18 * 2 * (num + 20_000) < MOST_BYTES


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"width": 10}, "width"),
        ({"adversaries": replace(ADVERSARIES, plain=6)}, "adversaries.plain"),
    ],
)
def test_settings_that_do_not_go_together_are_refused(changed, message):
    with pytest.raises(ValueError, match=f"expected {message}"):
        settings(**changed)
