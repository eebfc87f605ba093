"""Generators of geology: velocity models of the unit square, shot gathers with known first breaks, sections.

The velocity families imitate OpenFWI's (Deng et al. 2022) and are not OpenFWI's models: numbers measured on one do not
compare with numbers published for the other.
"""

from memprior.geology.facies import SECTION_FACIES, Sections, sections
from memprior.geology.families import VELOCITY_FAMILIES, velocity_model, velocity_models
from memprior.geology.gathers import (
    SHOT_FAMILIES,
    ShotGather,
    ShotGathers,
    ShotSurvey,
    berlage,
    shot_gather,
    shot_gathers,
    shot_survey,
    unlabeled_gathers,
)
from memprior.geology.layered import Fault, LayeredModel, LayerShape
from memprior.geology.near_surface import NearSurface
from memprior.geology.patches import FaciesPatches, facies_patches
from memprior.geology.style import StyleModel
from memprior.geology.surrogates import phase_randomized

__all__ = [
    "SECTION_FACIES",
    "SHOT_FAMILIES",
    "VELOCITY_FAMILIES",
    "FaciesPatches",
    "Fault",
    "LayerShape",
    "LayeredModel",
    "NearSurface",
    "Sections",
    "ShotGather",
    "ShotGathers",
    "ShotSurvey",
    "StyleModel",
    "berlage",
    "facies_patches",
    "phase_randomized",
    "sections",
    "shot_gather",
    "shot_gathers",
    "shot_survey",
    "unlabeled_gathers",
    "velocity_model",
    "velocity_models",
]
