"""First breaks: classical pickers, their scores, and the ideal picker of a single trace.

A picker takes traces (..., nt) to onsets (...), in samples after sample 0, NaN where it does not pick.
"""

from memprior.picking.classical import AIC_GRID, STA_LTA_GRID, Aic, StaLta, TunedPicker, tune
from memprior.picking.ideal import IdealPicker, OnsetPosterior
from memprior.picking.scores import PickScores, grouped_mean, pick_scores
from memprior.picking.sgt import SgtPicks, read_sgt

__all__ = [
    "AIC_GRID",
    "STA_LTA_GRID",
    "Aic",
    "IdealPicker",
    "OnsetPosterior",
    "PickScores",
    "SgtPicks",
    "StaLta",
    "TunedPicker",
    "grouped_mean",
    "pick_scores",
    "read_sgt",
    "tune",
]
