"""First breaks: classical pickers, their scores, the ideal picker of a single trace, and readers of field data.

A picker takes traces (..., nt) to onsets (...), in samples after sample 0, NaN where it does not pick.
"""

from memprior.picking.classical import AIC_GRID, STA_LTA_GRID, Aic, StaLta, TunedPicker, tune
from memprior.picking.ideal import IdealPicker, OnsetPosterior
from memprior.picking.scores import PickScores, grouped_mean, pick_scores
from memprior.picking.sgt import SgtPicks, read_sgt
from memprior.picking.surveys import (
    GEO_STACK_DT_S,
    HARDPICKS,
    HARDPICKS_FOLDS,
    HardPicksSurvey,
    LabeledGathers,
    read_bad_gathers,
    read_geo_stack,
    read_hardpicks,
)

__all__ = [
    "AIC_GRID",
    "GEO_STACK_DT_S",
    "HARDPICKS",
    "HARDPICKS_FOLDS",
    "STA_LTA_GRID",
    "Aic",
    "HardPicksSurvey",
    "IdealPicker",
    "LabeledGathers",
    "OnsetPosterior",
    "PickScores",
    "SgtPicks",
    "StaLta",
    "TunedPicker",
    "grouped_mean",
    "pick_scores",
    "read_bad_gathers",
    "read_geo_stack",
    "read_hardpicks",
    "read_sgt",
    "tune",
]
