"""Is this sample a copy? `nearness`: nearest training examples, the paper's ratio, the tests beside their nulls and the
report. `copies`: the ratio of one set of samples, summarized. `swap`: an exact test. `storage`: what a network kept of
its training pairs. `iteration`: which examples an autoencoder comes back to. `walk`: how evenly a generator moves.
"""

from memprior.memorization.iteration import FIXED, Attractors, attractors
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
from memprior.memorization.walk import LONGEST, LatentWalk, jump_share, latent_walk, slerp

__all__ = [
    "CHECK_LEVEL",
    "COPY_GAP",
    "COPY_LEVEL",
    "FIXED",
    "LONGEST",
    "PAPER_RATIO",
    "Attractors",
    "CopyTest",
    "LatentWalk",
    "LookupIndex",
    "Nearness",
    "Neighbors",
    "Report",
    "SwapTest",
    "attractors",
    "jump_share",
    "latent_walk",
    "leave_one_out",
    "lookup_index",
    "membership_auc",
    "memorization_ratio",
    "nearest_neighbors",
    "report",
    "retrieval",
    "slerp",
    "swap_test",
    "three_sample_test",
]
