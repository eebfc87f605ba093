"""Chapter 4: the posterior of an ideal prior, the distribution that the training examples were drawn from."""

import torch

from memprior.gaussian import Gaussian
from memprior.paper import Inversion, published_law


def ideal_posterior(inversion: Inversion, observed: torch.Tensor | None = None) -> Gaussian:
    """Under the true prior, F linearized at the truth t: F(t) + J (z - t). Raw coefficients, d = 100.

    observed: (m,), by default the data of ``inversion``.
    """
    likelihood, truth = inversion.likelihood, inversion.truth
    observed = likelihood.observed if observed is None else observed
    with torch.no_grad():
        offset = likelihood.forward(truth[None])[0] - inversion.slope @ truth
    return published_law().to(truth).condition(inversion.slope, observed - offset, likelihood.noise_std)
