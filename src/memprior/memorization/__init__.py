"""Is this sample a copy? `nearness`: nearest training examples, the paper's ratio, the tests beside their nulls and the
report. `copies`: the ratio of one set of samples, summarized. `swap`: an exact test. `storage`: what a network kept of
its training pairs.
"""

from memprior.memorization.nearness import (
    CHECK_LEVEL,
    COPY_GAP,
    COPY_LEVEL,
    PAPER_RATIO,
    CopyTest,
    Nearness,
    Neighbors,
    Report,
    leave_one_out,
    memorization_ratio,
    nearest_neighbors,
    report,
    three_sample_test,
)
from memprior.memorization.storage import LookupIndex, lookup_index, membership_auc, retrieval
from memprior.memorization.swap import SwapTest, swap_test

__all__ = [
    "CHECK_LEVEL",
    "COPY_GAP",
    "COPY_LEVEL",
    "PAPER_RATIO",
    "CopyTest",
    "LookupIndex",
    "Nearness",
    "Neighbors",
    "Report",
    "SwapTest",
    "leave_one_out",
    "lookup_index",
    "membership_auc",
    "memorization_ratio",
    "nearest_neighbors",
    "report",
    "retrieval",
    "swap_test",
    "three_sample_test",
]
