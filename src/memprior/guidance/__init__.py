"""Approximate posterior samplers: steps for the loop of `sampling`, and one particle method that has a loop of its own.

A step yields a `GuidedState`: that of an unguided step, and the misfit of a guess. `gradients`: DPS, its frozen
relative and the released sampler, which move along a gradient of the misfit. `moments`: samplers that approximate
p(y | x_sigma) by a Gaussian. `decoupled`: DAPS. `particles`: sequential Monte Carlo, exact in the limit of many
particles. The others are not: compare with `posterior`, never imported here. `run`: a whole run, resumable.
"""

from memprior.guidance.decoupled import DecoupledState, daps_step
from memprior.guidance.gradients import GuidedState, GuidedStep, dps_step, frozen_step, released_step
from memprior.guidance.moments import covariance_step, mmps_step, pigdm_step, point_step
from memprior.guidance.particles import Particles, smc
from memprior.guidance.run import GuidedSamples, sample_guided

__all__ = [
    "DecoupledState",
    "GuidedSamples",
    "GuidedState",
    "GuidedStep",
    "Particles",
    "covariance_step",
    "daps_step",
    "dps_step",
    "frozen_step",
    "mmps_step",
    "pigdm_step",
    "point_step",
    "released_step",
    "sample_guided",
    "smc",
]
