"""Chapter 1: the numbers that its page states, and what a full run keeps for it."""

from matplotlib.figure import Figure

from chapters.ch01_maximum_likelihood import measures, page
from chapters.ch01_maximum_likelihood.problems import FAMILIES
from chapters.ch01_maximum_likelihood.study import PLANE, VELOCITIES, Study
from companion.record import Run
from companion.tables import Table
from memprior.intervals import Mean

PICTURE_TEXTS = {  # of each recorded picture: alt text, caption
    "answer": (
        "Two panels, distance to the empirical distribution across and to the truth up. In the plane kernel, mixture, "
        "diffusion and flow end close together near the left; the autoencoder ends half-way, beside the Gaussian. On "
        "the published fields kernel and mixture are near the left; the three paths end up and to the right.",
        "Where six families end between memory (left) and truth (bottom). Open markers: the first checkpoint; bars: "
        "95 % over training sets in the plane, over training runs on one set of published fields.",
    ),
    "gaps": (
        "Six panels, one for each family, of nats from memory and from the truth against 10 to 160 examples.",
        "In the plane, nats per example from memory (circles) and from the truth (squares); 95 % over training sets.",
    ),
    "times": (
        "Left, curves of distance that fall to one half, later for more examples; dotted ones begin among them and "
        "stay at one or above. Right, the steps to one half rise with N about in proportion.",
        "Left: distance of the denoiser from its own memory (lines) and from that of another training set of the same "
        "size (dotted) as it trains. Right: the step at which it is half-way, a dot for each training run.",
    ),
    "away": (
        "Three panels against the training step. Nats from memory fall. The distance to the empirical distribution "
        "ends above where it began, but for the longer training, where it ends far below. The spread falls below one; "
        "in the longer training it rises again.",
        "Published fields, N = 50, 95 % over training runs on one set: likelihoods (left), samples (middle) and their "
        "spread (right) along training.",
    ),
}


def claims(study: Study, run: Run) -> dict[str, float]:
    """What the page states or rests on: what is listed of it."""
    of: dict[str, float] = {"floor_slope": measures.slope(study), "leave_one_out": measures.floors(study).best}
    mixtures, medium = measures.components(study), measures.medium(study)
    fitted = mixtures[study.settings.components[-1]]
    of["best_components"] = max(mixtures, key=lambda count: mixtures[count]["held_out"])
    of |= {"mixture_train": medium.ceiling - fitted["train"], "mixture_held": medium.truth - fitted["held_out"]}
    of |= {f"ode_{at}": change for at, change in measures.ode_changes(study).items()}
    narrow = measures.spikes(study)
    of["spike_gain"] = narrow[-1].log_likelihood - narrow[1].log_likelihood
    of["spike_distance"] = narrow[-1].to_memory
    found = {f"c1.{id}": value for id, value in of.items()}
    prefix = "c1.full_" if run.profile == "full" else "c1."
    found |= {prefix + id: value for id, value in _of_study(study).items()}
    return {id: float(value) for id, value in found.items() if id in run.listed}


def _of_study(study: Study) -> dict[str, float]:
    """The results of its parts."""
    size = study.settings
    of: dict[str, float] = {"seeds": size.num_seeds}
    few = size.plane_sizes[0]
    for family in FAMILIES:
        name = family.lower()
        of |= _mean(f"memory_{name}", measures.nats(study, PLANE, few, family, "train"))
        of |= _mean(f"truth_{name}", measures.nats(study, PLANE, few, family, "held_out"))
        of |= _mean(f"distance_{name}", measures.ending(study, PLANE, few, family, "to_memory"))
        for num in size.published_sizes:
            of |= _mean(f"fields_{name}_{num}", measures.nats(study, VELOCITIES, num, family, "train"))
            of |= _mean(f"fields_distance_{name}_{num}", measures.ending(study, VELOCITIES, num, family, "to_memory"))
            of |= _mean(f"fields_spread_{name}_{num}", measures.ending(study, VELOCITIES, num, family, "spread"))
        least = size.published_sizes[0]
        of |= _mean(f"fields_first_{name}", measures.ending(study, VELOCITIES, least, family, "to_memory", 0))
    for num in size.time_sizes:
        of |= _mean(f"time_{num}", measures.time_of(study, num))
    for num in (size.time_sizes[0], size.time_sizes[-1]):
        of |= _mean(f"unit_{num}", measures.unit_of(study, num))
    of |= _mean("exponent_absolute", measures.absolute_exponent(study))
    of |= _mean("exponent", measures.exponent(study)) | {"other_least": measures.nearest_to_other(study)}
    for id, num in zip(("few", "many"), study.few_and_many, strict=True):
        for at in ("examples", "held out"):
            errors = measures.erring(study, num, at)
            key = f"{id}_{at.replace(' ', '_')}"
            of |= _mean(f"{key}_to_memory", errors.to_memory) | _mean(f"{key}_to_truth", errors.to_truth)
        of |= _mean(f"{id}_least", measures.least_error(study, num)) | _mean(f"{id}_rise", measures.rise(study, num))
        of |= _mean(f"{id}_ends", measures.ends_apart(study, num))
    of |= {"many": size.many_examples, "many_steps": size.many_steps, "many_half_way": measures.half_way_of_many(study)}
    of["many_half_way_factor"] = measures.half_way_factor(study)
    if study.has_longer:
        for key, name in (("to_memory", "distance"), ("spread", "spread"), ("nearest", "nearest")):
            least = size.published_sizes[0]
            mean = measures.ending(study, VELOCITIES, least, "diffusion", key, longer=True)
            of |= _mean(f"longer_{name}", mean)
        of["longer_steps"] = size.published_long_steps
    return of


def _mean(id: str, mean: Mean) -> dict[str, float]:
    return {id: mean.value, f"{id}_half": mean.half}


def tables(study: Study) -> dict[str, tuple[Table, str]]:
    """Name -> table and caption, of what a full run keeps for its page."""
    over = f"± 95 % over {study.settings.num_seeds} training sets"
    again = f"± 95 % over {study.settings.num_seeds} runs (first weights, batches, draws) on one training set"
    few = f"± 95 % over {study.settings.many_seeds} training sets"
    return {
        "plane": (page.plane_table(study), f"In the plane, nats per example, {over}."),
        "fields": (page.fields_table(study), f"Published fields, nats per coordinate, {again}."),
        "away": (page.away_table(study), f"Published fields, N = 50, first and last checkpoint, {again}."),
        "control": (
            page.control_table(study),
            f"Root mean square distances of a denoiser after {study.settings.many_steps} steps, {few}.",
        ),
    }


def pictures(study: Study) -> dict[str, tuple[Figure, str, str]]:
    """Name -> figure, alt text and caption, of what a full run keeps for its page."""
    made = {
        "answer": page.answer(study),
        "gaps": page.gaps(study, PLANE),
        "times": page.memorization_time_figure(study),
    }
    made["away"] = page.away(study)
    return {name: (figure, *PICTURE_TEXTS[name]) for name, figure in made.items()}
