"""The second wing: waves. Surveys, forward operators in frequency and in time, and readers of others' data.

Every operator takes models (B, nx, nz) to data, as :mod:`memprior.operators` says; kilometres, seconds and km/s.
Those in time need deepwave, the extra ``waves``.
"""

from memprior.waves.acquisition import Acquisition
from memprior.waves.helmholtz import FreezeInvalid, HelmholtzOperator
from memprior.waves.openfwi import read_openfwi_data, read_openfwi_models
from memprior.waves.openfwi_pairs import (
    PairMisfit,
    check_openfwi_pair,
    coarse_openfwi_acquisition,
    energy_above_nyquist,
    openfwi_model_file,
    pair_misfit,
    read_openfwi_pairs,
    simulate_records,
    to_operator,
)
from memprior.waves.seg2 import Seg2Gather, read_seg2
from memprior.waves.segy import SegyGather, SegyTraces, read_segy, read_traces
from memprior.waves.stencil import FivePointOperator
from memprior.waves.time_domain import AcousticOperator, BornOperator, Survey, fourier, openfwi_acquisition, ricker

__all__ = [
    "AcousticOperator",
    "Acquisition",
    "BornOperator",
    "FivePointOperator",
    "FreezeInvalid",
    "HelmholtzOperator",
    "PairMisfit",
    "Seg2Gather",
    "SegyGather",
    "SegyTraces",
    "Survey",
    "check_openfwi_pair",
    "coarse_openfwi_acquisition",
    "energy_above_nyquist",
    "fourier",
    "openfwi_acquisition",
    "openfwi_model_file",
    "pair_misfit",
    "read_openfwi_data",
    "read_openfwi_models",
    "read_openfwi_pairs",
    "read_seg2",
    "read_segy",
    "read_traces",
    "ricker",
    "simulate_records",
    "to_operator",
]
