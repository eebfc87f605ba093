"""Bring your own: a folder of models, an operator and data in, a decision with its blind spots out.

``python -m memprior.diagnose --models DIR --data FILE --operator module:function --noise-std S``; the rules stand in
``decide``. `inputs`: what is read, and refused before any work. `simulators`: operators in torch or numpy. `parts`: the
lookup by N solves, the bandwidth, the linearized posterior with its importance check, coverage of left-out truths.
`run`: the parts in order, resumable. `page`: the result as text and JSON.
"""

from memprior.diagnose.decide import VERDICTS, Decision, Verdict, decide, least_truths
from memprior.diagnose.inputs import Models, expect_models, read_models, read_observed, windows
from memprior.diagnose.page import diagnosis_as_dict, diagnosis_page
from memprior.diagnose.parts import (
    Bandwidth,
    ExactLookup,
    Importance,
    KnownData,
    Span,
    coverage_of,
    left_out_bandwidth,
    left_out_credibility,
    look_up,
    p_alike_of,
    smoothed_posterior,
    span_of,
)
from memprior.diagnose.run import Diagnosis, DiagnosisPlan, diagnose
from memprior.diagnose.simulators import NumpyOperator, NumpySimulator, expect_operator, load_operator, numpy_operator

__all__ = [
    "VERDICTS",
    "Bandwidth",
    "Decision",
    "Diagnosis",
    "DiagnosisPlan",
    "ExactLookup",
    "Importance",
    "KnownData",
    "Models",
    "NumpyOperator",
    "NumpySimulator",
    "Span",
    "Verdict",
    "coverage_of",
    "decide",
    "diagnose",
    "diagnosis_as_dict",
    "diagnosis_page",
    "expect_models",
    "expect_operator",
    "least_truths",
    "left_out_bandwidth",
    "left_out_credibility",
    "load_operator",
    "look_up",
    "numpy_operator",
    "p_alike_of",
    "read_models",
    "read_observed",
    "smoothed_posterior",
    "span_of",
    "windows",
]
