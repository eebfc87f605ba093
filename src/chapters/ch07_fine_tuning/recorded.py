"""Chapter 7: the numbers that its page states, and what a full run keeps for it."""

from dataclasses import asdict

import torch
from matplotlib.figure import Figure

from chapters.ch07_fine_tuning import page
from chapters.ch07_fine_tuning.data import SOURCE
from chapters.ch07_fine_tuning.measures import holm
from chapters.ch07_fine_tuning.page import BASE, MEAN_MODEL, SETS
from chapters.ch07_fine_tuning.runs import OUTPUT_KMS
from chapters.ch07_fine_tuning.study import EARLY, Study
from companion.record import Run
from companion.tables import Table

LINEAR = 1, 2, 4, 8, 16  # ranks of the linear map's best update
CAPTIONS = {  # of each recorded picture: alt text, caption
    "answer": (
        "Two panels: shares that rise with the rank, and errors that fall with the number of training models.",
        "Left: shuffled pairs stored by a network, against the rank of its adapter, beside the exact answer for a "
        "linear map (dashed; dotted: chance). Right: error on the new geology. Bars: least to most over seeds on the "
        "left, 95 % over seeds on the right.",
    ),
    "filter": (
        "Two panels over the rank that is kept: a share that rises, and errors.",
        "The update of all weights, cut to a rank. Left: shuffled pairs that are still retrieved. Right: error on the "
        "target after fine-tuning on N models.",
    ),
    "plane": (
        "A panel for each N with one path for each method.",
        "Error on the source families against error on the target, along the training; the marker is its end.",
    ),
}
WITH_MOST = {  # differences at the largest N, by test set: ours less theirs
    "test": [("all", "scratch"), *((few, "all") for few in ("head", "norms", "lora_1", "lora", "lora_16"))],
    "outside": [("lora", "all"), ("base", "lora")],
}
WITH_FEWEST = {"test": [("lora", "all"), ("lora", "early")]}  # the same at the smallest N


def claims(study: Study, run: Run) -> dict[str, float]:
    """What the page states or rests on, but for its open cells; of a full run what is listed.

    What a first recording is to tell cannot be expected before it. Numbers of a linear map on 32 pairs are those of
    every profile; the others carry the profile's name.
    """
    exact = page.linear_retrieval(LINEAR, 32, num_draws=20, generator=run.generator("random pairs"))
    of: dict[str, float] = {}
    for rank, found in zip(LINEAR, exact, strict=True):
        of |= _over(f"linear_32_{rank}", found)
    measured = _of_storage(study) | _of_comparison(study)
    of |= {f"{run.profile}_{id}": value for id, value in measured.items()}
    made = {f"c7.{id}": float(value) for id, value in of.items()}
    return {id: value for id, value in made.items() if id in run.listed or not id.startswith("c7.full_")}


def _of_storage(study: Study) -> dict[str, float]:
    n = study.settings.memorizing.sizes[-1]
    found: dict[str, float] = {"num_shuffled": n, "seeds": study.settings.num_seeds}
    by_rank = {what: page.storage(study, what, n) for what in ("before", "half", "end", "membership")}
    for id, rank in (("1", 1), ("all", 0)):
        for what in ("half", "end", "membership"):
            found |= _over(f"{what}_{id}", by_rank[what][rank])
    # Before the first step every rank is the base network.
    found |= _over("before", by_rank["before"][0])
    return found | _over("membership_before", page.storage(study, "membership_before", n)[0])


def _of_comparison(study: Study) -> dict[str, float]:
    few, *_, n = study.settings.sizes
    rank = max(rank for rank in study.settings.ranks if rank <= 4)
    labels = {f"lora_{other}": f"LoRA, rank {other}" for other in study.settings.ranks if other != rank}
    labels |= {label: label for label in study.labels} | {"lora": f"LoRA, rank {rank}"}
    labels |= {"early": EARLY, "base": BASE, "mean": MEAN_MODEL}
    found: dict[str, float] = {"num_examples": n, "num_few": few, "rank": rank}
    differences = {name: page.differences(study, name) for name in SETS}
    for before, size, deciding in (("", n, WITH_MOST), ("few_", few, WITH_FEWEST)):
        for name, pairs in deciding.items():
            for a, b in pairs:
                if a in labels:  # a quick run has fewer ranks
                    one = differences[name][labels[a], labels[b], size]
                    found |= {f"{before}{name}_{a}_less_{b}": one.value, f"{before}{name}_{a}_less_{b}_half": one.half}
    for name, of in differences.items():
        found[f"sure_{name}"] = sum(holm([one.p for one in of.values()]))
    for id in ("mean", "base", "all", "lora"):
        error = page.error(study, labels[id], n, "test")
        found |= {f"test_{id}": error.value, f"test_{id}_half": error.half}
    return found


def _over(id: str, values: list[float]) -> dict[str, float]:
    """Their mean, the least and the largest."""
    return {id: sum(values) / len(values), f"{id}_least": min(values), f"{id}_most": max(values)}


def tables(study: Study) -> dict[str, tuple[Table, str]]:
    """Name -> table and caption, of what a full run keeps for its page."""
    over = "± 95 % over seeds"
    found = {
        "storage": (page.storage_table(study), "Shuffled pairs; mean, least and largest over seeds."),
        "errors": (page.error_table(study), f"Mean absolute error of the velocity; {over}."),
        "forgetting": (page.forgetting_table(study), f"Forgetting at equal learning; {over}."),
        "lookup": (page.lookup_table(study), "Unseen records of the target; mean, least and largest over seeds."),
        "quality": (page.quality_table(study), f"Structural similarity, {over}; misfit, ± 95 % over test models."),
        "cost": (page.cost_table(study), "What training each method needs."),
    }
    paired = "Paired; ± 95 % over seeds and test models, p by Student's t."
    return found | {f"difference-{name}": (page.difference_table(study, name), paired) for name in SETS}


def pictures(study: Study, *, generator: torch.Generator) -> dict[str, tuple[Figure, str, str]]:
    """Name -> figure, alt text and caption, of what a full run keeps for its page."""
    made = {"answer": page.answer(study, generator=generator)}
    made |= {"filter": page.filter_figure(study), "plane": page.plane_figure(study)}
    return {name: (figure, *CAPTIONS[name]) for name, figure in made.items()}


def base_network(study: Study) -> tuple[dict[str, torch.Tensor], dict] | None:
    """The first seed's base network and how it was made, which quick runs start from; None where it is given."""
    base = study.bases[study.seeds[0]]
    made = {"families": SOURCE, "output_kms": OUTPUT_KMS}
    return (study.result(base), made | asdict(base)) if base else None
