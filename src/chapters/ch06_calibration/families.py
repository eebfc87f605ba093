"""Chapter 6: the two distributions of models. The published one is Gaussian; the other one has faulted layers.

Two layers under a fault: slow above an interface, fast below it, and the interface deeper or shallower by the throw
right of the fault. Interface, fault and throw lie on cells, so that there are finitely many triples, all as likely
(without a throw the fault's place changes nothing); a Gaussian background is added to each. So the distribution is a
mixture of one covariance, and its posterior under linear data a finite sum: nothing is sampled, integrated or
truncated.
"""

from functools import cache

import torch

from memprior._check import expect
from memprior._random import generator_for
from memprior.fields import CosineBasis, Standardizer
from memprior.gaussian import Gaussian
from memprior.mixture import TiedMixture
from memprior.paper import (
    HELD_OUT_SEED,
    TrainingSet,
    published_coefficients,
    published_grid,
    published_law,
)

Prior = Gaussian | TiedMixture
FAMILIES = ("Gaussian", "faulted")
BACKGROUND = 0.3  # deviation of the background over that of the published fields
CENTER, HALF_CONTRAST = 0.25, 0.06  # squared slowness, s^2/km^2: 1.8 km/s above, 2.3 km/s below
CELLS, THROWS = range(18, 47, 2), range(-12, 13, 2)  # of 31.25 m: the interface's depth and the fault's place; throws
OTHER_SEEDS = 600_000  # of further training sets of published fields: neither theirs nor the held-out ones
LARGEST = 1000  # examples are the first of so many draws, so that sets of different size are nested


def structures() -> torch.Tensor:
    """Coefficients of the structure of every triple without a background, (2925, 100); 2715 of them differ."""
    depth, fault, throw = torch.cartesian_prod(*(torch.tensor(list(one)) for one in (CELLS, CELLS, THROWS))).T
    cell = torch.arange(64)
    interface = depth[:, None] + throw[:, None] * (cell >= fault[:, None])  # of each column
    below = (cell >= interface[:, :, None]).double()
    return CosineBasis(published_grid()).encode(CENTER + HALF_CONTRAST * (1 - 2 * below))


@cache
def prior_of(family: str) -> Prior:
    """The distribution of raw coefficients. Raises ``ValueError`` for a family that is none of :data:`FAMILIES`."""
    expect(family in FAMILIES, "family", f"one of {FAMILIES}", family)
    published = published_law()
    if family == "Gaussian":
        return published
    return TiedMixture(Gaussian(structures(), BACKGROUND**2 * published.covariance))


def examples_of(family: str, num: int) -> torch.Tensor:
    """Training models, raw (num, 100), at most :data:`LARGEST` of the faulted."""
    if family == "Gaussian":
        return published_coefficients(num)
    expect(num <= LARGEST, "num", f"at most {LARGEST}", num)
    return prior_of(family).sample(LARGEST, generator=generator_for("faulted examples"))[:num]


def other_examples(family: str, num: int, index: int) -> torch.Tensor:
    """Another training set, raw (num, 100): of a stream of its own for each ``index``."""
    if family == "Gaussian":
        return published_coefficients(num, seed=OTHER_SEEDS + index)
    return prior_of(family).sample(num, generator=generator_for(f"faulted examples {index}"))


def truths_of(family: str, num: int) -> torch.Tensor:
    """Held-out models, raw (num, 100): of another stream than the examples."""
    if family == "Gaussian":
        return published_coefficients(num, seed=HELD_OUT_SEED)
    expect(num <= LARGEST, "num", f"at most {LARGEST}", num)
    return prior_of(family).sample(LARGEST, generator=generator_for("faulted truths"))[:num]


def training_set(family: str, num: int, device: torch.device) -> TrainingSet:
    """The examples with the coordinates that networks are trained in: standardized by them."""
    if family == "Gaussian":
        return TrainingSet.published(num, device)
    examples = examples_of(family, num)
    return TrainingSet(examples.to(device), Standardizer.fit(examples).to(device))
