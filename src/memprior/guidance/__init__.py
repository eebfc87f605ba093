"""Approximate posterior samplers: steps for the loop of `sampling`, and one particle method that has a loop of its own.

`gradients`: DPS, its frozen relative and the released sampler, which move along a gradient of the misfit. `moments`:
samplers that approximate p(y | x_sigma) by a Gaussian. `decoupled`: DAPS. `particles`: sequential Monte Carlo, exact in
the limit of many particles. The others are not: compare with `posterior`, never imported here.
"""

from memprior.guidance.gradients import GuidedState, dps_step, frozen_step, released_step

__all__ = ["GuidedState", "dps_step", "frozen_step", "released_step"]
