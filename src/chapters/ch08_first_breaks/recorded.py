"""Chapter 8: the numbers that its page states, and what a full run keeps for it."""

from functools import cache

import torch
from matplotlib.figure import Figure

from chapters.ch08_first_breaks import picking_page, sections_page
from chapters.ch08_first_breaks.field import FieldErrors, field_folder, read_field, reciprocal_differences
from chapters.ch08_first_breaks.picking_study import ENCODERS, encoders
from chapters.ch08_first_breaks.sections_study import GENERATORS
from chapters.ch08_first_breaks.study import Study
from companion.record import Run
from companion.results import RunError
from companion.tables import Table
from companion.weights import recorded_weights

FIELD = "field_errors"  # file of what is kept of the real shots: pick less that by people in ms, no record
RECIPROCITY = "reciprocal"  # its tensor of differences of reciprocal picks of people
CREDIT = "Guedes, Maciel and Rocha (2022), MIT license"
CAPTIONS = {  # of each recorded picture: alt text, caption
    "answer": (
        "Two panels of curves over the number of labeled gathers beside a band.",
        "Hits within one sample against the number of labeled gathers, on other surveys and on shifted ones. Bands: "
        "classical pickers tuned on the same gathers. Bars: 95 % over surveys and seeds. Dotted: the ideal picker of "
        "single traces on its own problem.",
    ),
    "field": (
        "Two panels of rising curves over the distance in milliseconds.",
        "Share of traces whose pick is at most so many ms from that by people, at the two sites. Dotted: reciprocal "
        "picks of people.",
    ),
    "copying": (
        "Two panels: shares over the number of training sections, and a band around one half.",
        "Share of samples nearer to a training section than to any held-out one, in two spaces. Gray: central 95 % by "
        "labels alone. Bars: 95 % over seeds.",
    ),
    "attractors": (
        "Panels of shares over the number of training gathers.",
        "Share of starts that land on a training gather when an autoencoder is iterated, by bottleneck.",
    ),
    "walk": (
        "Size of the steps along a walk: even, in jumps, and those of generators.",
        "Size of the steps along one walk through the latent space, of a linear generator, of a lookup, and of two "
        "trained ones.",
    ),
    "discriminator": (
        "Left, gradients over the steps of training; right, singular values.",
        "Left: norm of the discriminator's gradient along the training. Right: singular values of its third "
        "convolution. One line for each seed.",
    ),
}


def claims(study: Study, run: Run) -> dict[str, float]:
    """What is listed of the numbers of both halves and of the real shots, under the profile's name."""
    found = picking_page.picking_claims(study.picking) | sections_page.claims(study.sections)
    if measured := real_shots(study):
        found |= picking_page.field_claims(*measured)
    named = {f"c8.{run.profile}_{id}": float(value) for id, value in found.items()}
    return {id: value for id, value in named.items() if id in run.listed}


@cache
def real_shots(study: Study) -> tuple[FieldErrors, list[float]] | None:
    """(Errors by site and picker, differences of reciprocal picks of people, ms): measured where the real shots are
    installed, else those of the recorded run; None where there are neither.
    """
    if folder := field_folder():
        shots = read_field(folder)
        return picking_page.measured_field(study.picking, shots), reciprocal_differences(shots).tolist()
    try:
        kept, _ = recorded_weights("08_first_breaks", FIELD, torch.device("cpu"))
    except RunError:
        return None
    return unpacked(kept)


def packed(errors: FieldErrors, reciprocal: list[float]) -> dict[str, torch.Tensor]:
    """What is kept of the real shots, as tensors by name."""
    named = {f"{site}.{picker}": torch.tensor(of) for site, by in errors.items() for picker, of in by.items()}
    return named | {RECIPROCITY: torch.tensor(reciprocal)}


def unpacked(kept: dict[str, torch.Tensor]) -> tuple[FieldErrors, list[float]]:
    """What :func:`packed` was given, in single precision."""
    errors: FieldErrors = {}
    for name, of in kept.items():
        if name != RECIPROCITY:
            site, _, picker = name.partition(".")
            errors.setdefault(site, {})[picker] = of.tolist()
    return errors, kept[RECIPROCITY].tolist()


def tables(study: Study) -> dict[str, tuple[Table, str]]:
    """Name -> table and caption, of what a full run keeps for its page."""
    picking, sections = study.picking, study.sections
    over = "± 95 % over surveys and seeds"
    found = {
        "matched": (picking_page.matched_table(picking), "Single traces of which everything but the onset is known."),
        "transfer": (picking_page.transfer_table(picking), f"Hits within one sample; {over}."),
        "copying": (sections_page.copying_table(sections), "Swap test; ± 95 % over seeds, p by Fisher's method."),
        "attractors": (sections_page.attractor_table(sections), "Autoencoders iterated; means over seeds."),
        "walk": (sections_page.walk_table(sections), "Walks through the latent space; ± 95 % over seeds."),
    }
    for name, title in picking_page.TITLES.items():
        found[f"scores-{name}"] = picking_page.score_table(picking, name), f"Scores on {title}; {over}."
        paired = f"Paired differences on {title}; {over}."
        found[f"difference-{name}"] = picking_page.picking_differences(picking, name), paired
    if measured := real_shots(study):
        found["field"] = picking_page.field_table(*measured), f"Fourteen real shots; {CREDIT}."
    return found


def pictures(study: Study) -> dict[str, tuple[Figure, str, str]]:
    """Name -> figure, alt text and caption, of what a full run keeps for its page."""
    picking, sections = study.picking, study.sections
    made = {
        "answer": picking_page.carrying_figure(picking),
        "copying": sections_page.copying_figure(sections),
        "attractors": sections_page.attractor_figure(sections),
        "walk": sections_page.walk_figure(sections),
        "discriminator": sections_page.discriminator_figure(sections),
    }
    if measured := real_shots(study):
        made["field"] = picking_page.field_figure(*measured)
    return {name: (figure, *CAPTIONS[name]) for name, figure in made.items()}


def networks(study: Study) -> dict[str, tuple[dict[str, torch.Tensor], dict]]:
    """File -> tensors and how they were made: what quick runs start from, and errors on the real shots."""
    made = {GENERATORS: study.sections.to_record(), ENCODERS: encoders(study.picking)}
    found = {name: of for name, of in made.items() if of}
    if measured := real_shots(study):
        found[FIELD] = packed(*measured), {"unit": "ms", "credit": CREDIT}
    return found
