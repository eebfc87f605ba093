"""Everything published, once: fields, toy problems, survey, operator, noise, truths, schedule, step and threshold.

Settings are those of the paper's abstract and of the authors' released code (Siahkoohi and Sabeddu, arXiv 2603.19629);
each stands in one module: ``fields``, ``survey``, ``toys``, ``inversion``, ``priors``.
"""

from memprior.paper.fields import (
    FASTEST,
    HELD_OUT_SEED,
    SIDE_KM,
    SLOWEST,
    FieldSpace,
    published_coefficients,
    published_fields,
    published_grid,
    published_law,
    published_truth,
    square,
)
from memprior.paper.inversion import (
    MEMORIZED_BELOW,
    NOISE_SEED,
    NOISE_SHARE,
    SIGMAS,
    STEP_SIZE,
    TRUTHS,
    Inversion,
    TrainingSet,
    authors_noise,
    disc_truth,
    finer_forward,
    held_out_truth,
    memorized_share,
    published_inversion,
    standardized,
    start,
    tangent,
)
from memprior.paper.priors import published_priors
from memprior.paper.survey import FREQUENCY_HZ, SPEED_KMS, published_acquisition, published_operator, reference_operator
from memprior.paper.toys import PUBLISHED_NOISE, PUBLISHED_SIGMAS, Problem, line_problem, pentagon_problem, square_grid

__all__ = [
    "FASTEST",
    "FREQUENCY_HZ",
    "HELD_OUT_SEED",
    "MEMORIZED_BELOW",
    "NOISE_SEED",
    "NOISE_SHARE",
    "PUBLISHED_NOISE",
    "PUBLISHED_SIGMAS",
    "SIDE_KM",
    "SIGMAS",
    "SLOWEST",
    "SPEED_KMS",
    "STEP_SIZE",
    "TRUTHS",
    "FieldSpace",
    "Inversion",
    "Problem",
    "TrainingSet",
    "authors_noise",
    "disc_truth",
    "finer_forward",
    "held_out_truth",
    "line_problem",
    "memorized_share",
    "pentagon_problem",
    "published_acquisition",
    "published_coefficients",
    "published_fields",
    "published_grid",
    "published_inversion",
    "published_law",
    "published_operator",
    "published_priors",
    "published_truth",
    "reference_operator",
    "square",
    "square_grid",
    "standardized",
    "start",
    "tangent",
]
