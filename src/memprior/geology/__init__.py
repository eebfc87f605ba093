"""Generators of geology: families of velocity models on the unit square.

They imitate OpenFWI's families (Deng et al. 2022) and are not OpenFWI's models: numbers measured on one do not compare
with numbers published for the other.
"""

from memprior.geology.families import VELOCITY_FAMILIES, velocity_model, velocity_models
from memprior.geology.layered import Fault, LayeredModel, LayerShape
from memprior.geology.style import StyleModel

__all__ = [
    "VELOCITY_FAMILIES",
    "Fault",
    "LayerShape",
    "LayeredModel",
    "StyleModel",
    "velocity_model",
    "velocity_models",
]
