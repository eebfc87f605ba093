"""Chapter 2: the numbers that its page states, and what a full run keeps for it."""

import math

import torch
from matplotlib.figure import Figure
from scipy import stats

from chapters.ch02_gaussian_mixture_prior import losses, measures, page
from chapters.ch02_gaussian_mixture_prior.study import LONGER, RELEASED, REPAIRED, TRUE_START, Study
from companion.record import Run
from companion.tables import Table
from memprior.condensation import condensation_level, information
from memprior.intervals import Mean
from memprior.memorization.copies import copy_counts, paper_neighbors
from memprior.paper import MEMORIZED_BELOW

EARLY = 1000  # the step at which sizes are compared in both profiles
PICTURE_TEXTS = {  # of each recorded picture: alt text, caption
    "answer": (
        "Left, curves of a over b against the step on logarithmic axes: those of 50 examples fall below one near step "
        "900, those of 1000 examples stay above. Right, swap shares by N: networks on 50 examples near one, on 1000 "
        "far lower, beside the true distribution.",
        "Left: distance to the memorized form over distance to the true one, a line for each network; shaded, 95 % for "
        "the step at which N = 50 crosses. Right: share of samples that are nearer to a training model than to a "
        "held-out one; dots are networks.",
    ),
    "gaps": (
        "Left, paths in the plane of a and b: those of 50 examples turn to the memorized corner, those of 1000 stay "
        "near the true one. Middle, a below b at noised training examples. Right, at held-out fields, a above b at "
        "small noise levels and below it at large ones.",
        "Networks in the plane of a and b, and a and b of one network (N = 50) level by level, at noised training "
        "examples and at noised held-out fields.",
    ),
    "copies": (
        "Histograms of the ratio r: at N = 50 the networks' lie far left of those of held-out fields, at N = 1000 on "
        "top of them.",
        "The ratio r of networks' samples, beside samples of the true denoiser and held-out fields; dashed, 0.7.",
    ),
    "condensation": (
        "Left, three falling curves that cross one half just right of their ticks. Right, measured levels along the "
        "diagonal, slightly above it; those of two dimensions farther.",
        "Left: mean responsibility of a noised example for itself; ticks are predicted levels. Right: measured against "
        "predicted levels; bars, 95 % over training sets (white) or over noised draws of one set (published); the band "
        "is 15 % either side.",
    ),
    "selection": (
        "Left, one steep and three flat curves of sorted frequencies. Middle, frequency falling with distance from the "
        "center. Right, curves that fall to zero where the start level is several times the condensation level.",
        "Which of 50 examples the exactly memorized sampler ends on: four ways to sample, the released one against "
        "distance from the center, and a Gaussian start at other levels.",
    ),
}


def claims(study: Study, run: Run) -> dict[str, float]:
    """What the page states or rests on: what is listed of it at this profile."""
    of = _theorem(study) | _networks(study) | _copies(study) | _levels(study) | _schedules(study)
    made = {f"c2.{id}": float(value) for id, value in of.items()}
    return {id: value for id, value in made.items() if id in run.listed and run.profile in run.listed[id].profiles}


def _theorem(study: Study) -> dict[str, float]:
    excess, fifty = measures.excess(study), study.priors(50)
    drawn = {"num_points": 200, "generator": study.generator("score")}
    return {
        "score_gap": losses.score_gap(fifty.train_set, 1.0, **drawn),
        "excess_identity": excess.identity,
        "excess_surplus": abs(excess.loss - excess.distance) / excess.standard_error,
        "loss_train_3": measures.loss_ratio(study, "training examples", 3.0),
        "loss_held_out_3": measures.loss_ratio(study, "held-out fields", 3.0),
        "loss_held_out_low": measures.loss_ratio(study, "held-out fields", 0.1),
    }


def _networks(study: Study) -> dict[str, float]:
    """Full runs state more of it: what is known after all steps."""
    of = dict(zip(("crossing_50", "crossing_low", "crossing_high"), measures.crossing(study, 50), strict=True))
    of["five_error"] = of["five_error_full"] = measures.plane_error(study)
    of["quotient_50"] = max(measures.quotients(study, 50, "train", EARLY))
    of["quotient_1000"] = min(measures.quotients(study, 1000, "train", EARLY))
    of["quotient_held_out"] = min(measures.quotients(study, 50, "held_out", math.inf))
    of["quotient_exchanged"] = min(measures.quotients(study, 50, "exchanged", math.inf))
    of["final_quotient_1000"] = min(measures.quotients(study, 1000, "train", math.inf))
    for num in study.seeds:
        a, b = measures.ends(study, num, "train")
        of |= {f"final_a_{num}": a.value, f"final_a_{num}_half": a.half}
        of |= {f"final_b_{num}": b.value, f"final_b_{num}_half": b.half}
        of[f"seeds_{num}"] = study.seeds[num]
    return of


def _copies(study: Study) -> dict[str, float]:
    of = {}
    for num in study.published:
        near = paper_neighbors(study.strangers, study.raw[:num])
        of[f"held_out_{num}"] = copy_counts(near, MEMORIZED_BELOW).memorized
    for num in study.seeds:
        found = measures.swaps(study, num)
        networks = found[measures.NETWORKS]
        of |= {f"swap_share_{num}": networks.test.share, f"swap_p_{num}": networks.test.p}
        of |= {f"swap_least_{num}": min(networks.by_seed), f"swap_most_{num}": max(networks.by_seed)}
        of[f"swap_half_{num}"] = Mean.over(networks.by_seed).half
        controls = {"true": measures.TRUE_DRAWS, "narrow": measures.NARROW, "other": measures.OTHER_SET}
        for id, name in (controls | {"denoiser": measures.TRUE_DENOISER}).items():
            of |= {f"swap_{id}_{num}": found[name].test.share, f"swap_p_{id}_{num}": found[name].test.p}
        of[f"swap_memorized_{num}"] = found[measures.MEMORIZED].test.share
        first = measures.copies(study, num)[measures.NETWORKS][measures.SPACES[0]]
        of[f"near_network_{num}"] = Mean.over([one.near for one in first]).value
        of[f"near_network_{num}_half"] = Mean.over([one.near for one in first]).half
        of[f"median_network_{num}"] = max(one.median for one in first)
    of["copied_exactly"] = measures.copies(study, 50)[measures.MEMORIZED][measures.SPACES[0]][0].near
    return of


def _levels(study: Study) -> dict[str, float]:
    of, published = {}, measures.published_levels(study)
    for c in published:
        _, variance = information(study.spectrum(c.num), c.predicted)
        of |= {f"level_{c.num}": c.ratio, f"fluctuation_{c.num}": variance**0.5 / math.log(c.num)}
    of["level_half"] = max(c.ratio_half for c in published)
    white = measures.white_levels(study)
    for d, results in white.items():
        of[f"white_{d}"] = max((c.ratio for c in results), key=lambda ratio: abs(math.log(ratio)))
    ratios = [c.ratio for results in (published, *white.values()) for c in results]
    of["level_highest"] = max(ratios)
    own = torch.linalg.eigvalsh(torch.cov(study.priors(50).train_set.T)).clamp(min=0)
    of["level_wrong"] = condensation_level(own, 50) / published[0].measured
    return of


def _schedules(study: Study) -> dict[str, float]:
    released = measures.selected(study, RELEASED)
    first = float(study.schedule(RELEASED)[0])
    norms = study.priors(50).train_set.norm(dim=1)
    return {
        "sigma_t": first,
        "abar": 1 / (1 + first**2),
        "predicted_50": study.predicted(50),
        "tv_200": released.distance,
        "tv_200_half": released.half,
        "tv_1000_excess": measures.selected(study, LONGER).excess,
        "tv_repaired_excess": measures.selected(study, REPAIRED).excess,
        "tv_control_excess": measures.selected(study, TRUE_START).excess,
        "rank_correlation": stats.spearmanr(norms.cpu(), released.frequencies.cpu()).statistic,
        "precision": measures.in_both_precisions(study),
    }


def tables(study: Study) -> dict[str, tuple[Table, str]]:
    """Name -> table and caption, of what a full run keeps for its page."""
    return {
        "gaps": (page.gaps_table(study), "Distances after the last step; ± 95 % over networks."),
        "copies": (
            page.copies_table(study),
            "The paper's ratio; in brackets 95 %, over networks, or over samples where there is one sampler.",
        ),
        "swaps": (page.swap_table(study), "Swap tests of N training (T) and N held-out (H) fields; one-sided p."),
        "levels": (
            page.levels_table(study),
            "Condensation levels; ± 95 % over training sets (white), over noised draws at one set (published).",
        ),
        "schedules": (page.schedule_table(study), "Examples that samples end on, N = 50; ± 95 % over draws."),
    }


def pictures(study: Study) -> dict[str, tuple[Figure, str, str]]:
    """Name -> figure, alt text and caption, of what a full run keeps for its page."""
    made = {
        "answer": page.answer(study),
        "gaps": page.gaps_figure(study),
        "copies": page.copies_figure(study),
        "condensation": page.condensation_figure(study),
        "selection": page.selection_figure(study),
    }
    return {name: (figure, *PICTURE_TEXTS[name]) for name, figure in made.items()}
