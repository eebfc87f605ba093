r"""The graded exercises of chapters 1 to 6. Others than the book's own, whose solutions are printed.

Each function is the reference: its docstring is what students read, its body what instructors read. A student's
notebook has the parameters as drawn for the cohort and these imports.
"""

import math
from itertools import combinations, pairwise

import torch
from scipy.optimize import brentq

from companion.course.exercise import Exercise, ParameterDraw, counted, three_decimals, three_digits
from memprior.denoiser import EmpiricalDenoiser, score
from memprior.gaussian import Gaussian
from memprior.intervals import jeffreys
from memprior.likelihood import GaussianLikelihood
from memprior.memorization import leave_one_out, memorization_ratio, nearest_neighbors
from memprior.mixture import IsotropicMixture, effective_components, total_variation
from memprior.operators import CoupledQuadraticOperator, CubicOperator, MatrixOperator
from memprior.paper import square_grid
from memprior.posterior import (
    MemorizedPosteriorDenoiser,
    collapsed_log_weights,
    linearized_posterior,
    quadrature_posterior,
)
from memprior.sampling import euler_step, trajectory


def memorized_nats(train_set, floor):
    r"""How many nats does memorizing earn?

    `train_set`, (5, 1), holds five examples on a line. A memorized model is the mixture of five Gaussians of standard
    deviation `floor` on them, of equal weights; the other model is the one Gaussian of maximum likelihood. Hand in the
    mean log-density of the examples under each, `memorized` and `gaussian`, and their difference `gap`, in nats.
    """
    memorized = IsotropicMixture(train_set, floor).log_prob(train_set).mean()
    variance = train_set.var(0, correction=0)
    gaussian = Gaussian(train_set.mean(0), variance[:, None]).log_prob(train_set).mean()
    gap = memorized - gaussian
    return {"memorized": memorized, "gaussian": gaussian, "gap": gap}


def left_out_scores(train_set, widths):
    r"""Which width would an example choose that was left out?

    Each of the six examples in `train_set`, (6, 1), is scored under the kernel density of the *other five*, of width h.
    Hand in `scores`, (4,): the mean of the six log-densities for each h in `widths`, in nats.
    """
    scores = torch.zeros(len(widths), dtype=torch.float64)
    for at, h in enumerate(widths.tolist()):
        for n in range(len(train_set)):
            others = torch.cat([train_set[:n], train_set[n + 1 :]])
            scores[at] += IsotropicMixture(others, h).log_prob(train_set[n : n + 1])[0] / len(train_set)
    return {"scores": scores}


def memorized_denoiser(train_set, x, sigma):
    r"""The denoiser and the score of a memorized prior

    A diffusion model has memorized the four examples of `train_set`, (4, 2). Hand in what it predicts for the noised
    point `x`, (1, 2), at noise level `sigma`: `denoised`, (2,), and its score there, `slope`, (2,), the gradient of
    $\log p_\sigma$.
    """
    denoiser = EmpiricalDenoiser(train_set)
    denoised = denoiser(x, sigma)[0]
    slope = score(denoiser, x, sigma)[0]
    return {"denoised": denoised, "slope": slope}


def choosing_level(train_set, x):
    r"""At which noise level are two examples left?

    The memorized denoiser weighs the examples in `train_set`, (5, 1), by their responsibilities for the point `x`,
    (1, 1). Their entropy $H$ grows with $\sigma$. Hand in `level`, the $\sigma$ at which the effective number of
    components, $e^H$, is exactly two.
    """

    def excess(log_sigma):
        weights = IsotropicMixture(train_set, math.exp(log_sigma)).responsibilities(x)[0]
        return float(effective_components(weights.log())) - 2.0

    level = math.exp(brentq(excess, math.log(1e-2), math.log(1e2)))
    return {"level": level}


def probability_flow(train_set, x, sigmas):
    r"""Down the probability flow, by hand

    Carry the point `x`, (1, 2), from `sigmas[0]` down the five levels that follow in `sigmas`, by Euler's method on the
    probability-flow equation $\mathrm dx/\mathrm d\sigma = (x - D(x, \sigma))/\sigma$, with the memorized denoiser $D$
    of `train_set`, (3, 2). Hand in `path`, (5, 2): the point after each step.
    """
    states = trajectory(EmpiricalDenoiser(train_set), x, sigmas, step=euler_step, generator=None)
    path = torch.cat([state.x for state in states])
    return {"path": path}


def lookup_on_a_line(train_set, observed, noise_std):
    r"""A lookup on a line

    The prior has memorized `train_set`, (5, 1); the data `observed`, (1,), are $F(x) = x + 0.3x^3$ with noise of
    standard deviation `noise_std`. Hand in the posterior's `weights`, (5,), the effective number of components
    `effective`, and the posterior `mean`.
    """
    log_weights = collapsed_log_weights(train_set, GaussianLikelihood(CubicOperator(), observed, noise_std))
    weights = log_weights.exp()
    effective = effective_components(log_weights)
    mean = weights @ train_set[:, 0]
    return {"weights": weights, "effective": effective, "mean": mean}


def linearized_weights(train_set, observed, noise_std, sigma):
    r"""What linearization costs

    Smooth a prior that memorized `train_set`, (5, 1), to the width `sigma`. The data `observed`, (1,), are $x + 0.3x^3$
    with noise `noise_std`. Hand in the `linearized` weights of the five components, their `exact` weights by quadrature
    on $[-6, 6]$, (5,) each, and the total variation `distance` between the two.
    """
    prior = IsotropicMixture(train_set, sigma)
    likelihood = GaussianLikelihood(CubicOperator(), observed, noise_std)
    linearized = linearized_posterior(prior, likelihood).weights
    points, cell = square_grid(-6.0, 6.0, num=4001, dim=1, device=train_set.device)
    exact = quadrature_posterior(prior, likelihood, points, cell).weights
    distance = total_variation(linearized, exact)
    return {"linearized": linearized, "exact": exact, "distance": distance}


def undecided_data(train_set, noise_std, sigma):
    r"""Data that cannot decide

    A prior knows two examples, `train_set`, (2, 1); the data are one number $y$, of $x + 0.3x^3$ with noise
    `noise_std`. Hand in the $y$ between the data of the two examples for which both have the weight ½: `by_lookup` for
    the memorized prior, `by_linearization` for the prior that is smoothed to width `sigma`, with linearized weights.
    Why do they differ?
    """

    def lead(y):
        data = torch.tensor([y], dtype=torch.float64)
        likelihood = GaussianLikelihood(CubicOperator(), data, noise_std)
        weights = linearized_posterior(IsotropicMixture(train_set, sigma), likelihood).weights
        return float(weights[0] - weights[1])

    low, high = CubicOperator()(train_set)[:, 0].tolist()
    by_lookup = (low + high) / 2
    by_linearization = brentq(lead, low, high)
    return {"by_lookup": by_lookup, "by_linearization": by_linearization}


def copy_ratios(samples, train_set):
    r"""The ratio, and what it is for models that nobody copied

    For each of three samples, (3, 3), take the distances $d_1 \le d_2 \le \dots \le d_6$ to the six models of
    `train_set`, (6, 3). Hand in `ratios`, (3,): $d_1$ over the mean of the other five. The null: hand in `left_out`,
    (6,), the same of each training model and the other five models (now over the mean of four).
    """
    ratios = memorization_ratio(nearest_neighbors(samples, train_set, 6))
    left_out = memorization_ratio(leave_one_out(train_set, 5))
    return {"ratios": ratios, "left_out": left_out}


def all_labelings(samples, train_set, held_out):
    r"""A swap test without chance

    Six samples, (6, 1), three training and three held-out models, (3, 1) each, on a line. With $d_T$ and $d_H$ the
    distance of a sample to the nearest training and to the nearest held-out model, $t$ is the mean of $\log(d_H / d_T)$
    over the samples. Relabel the six models in all 20 ways. Hand in $t$ as `statistic`, the root mean square of
    $t$ over the 20 labelings as `spread`, and as `p` the share of labelings, the true one among them, with a $t$ at
    least as large.
    """
    models = torch.cat([train_set, held_out])

    def log_ratio(chosen):
        others = [n for n in range(6) if n not in chosen]
        near, far = (nearest_neighbors(samples, models[list(some)], 1).distances for some in (chosen, others))
        return (far / near).log().mean()

    null = torch.stack([log_ratio(chosen) for chosen in combinations(range(6), 3)])
    statistic = log_ratio((0, 1, 2))
    spread = null.square().mean().sqrt()
    p = (null >= statistic - 1e-9).double().mean()
    return {"statistic": statistic, "spread": spread, "p": p}


def guidance_gradient(train_set, matrix, observed, noise_std, x, sigma):
    r"""The gradient that guides

    Diffusion posterior sampling moves a noised point `x`, (1, 2), at level `sigma` along the gradient of
    $\log p(y \mid D(x, \sigma))$ *with respect to x*, through the denoiser. The denoiser is the memorized one of
    `train_set`, (4, 2); the data `observed`, (1,), are $Ax$ with `matrix` $A$, (1, 2), and noise `noise_std`. Hand in
    the log-likelihood of $D$ up to its constant, $-|y - AD|^2/2\gamma^2$, as `fit`, and the `gradient`, (2,).
    """
    x = x.clone().requires_grad_()
    denoised = EmpiricalDenoiser(train_set)(x, sigma)
    fit = -(observed - denoised @ matrix.T).square().sum() / (2 * noise_std**2)
    (gradient,) = torch.autograd.grad(fit, x)
    gradient = gradient[0]
    return {"fit": fit, "gradient": gradient}


def noised_and_measured(covariance, matrix, observed, noise_std, x, sigma):
    r"""The denoiser that knows the data

    The prior is Gaussian with mean 0 and `covariance`, (2, 2). Of a model $x_0$ two things are known: the noised copy
    `x`, (1, 2), with noise of level `sigma` in each coordinate, and the data `observed`, (1,), $Ax_0$ with `matrix`
    $A$, (1, 2), and noise `noise_std`. Hand in `mean` and `variances`, (2,) each, of $x_0$ given both: what an exact
    guided sampler would use as its denoiser.
    """
    prior = Gaussian(torch.zeros(2, dtype=torch.float64), covariance)
    both = prior.condition(torch.eye(2, dtype=torch.float64), x[0], sigma).condition(matrix, observed, noise_std)
    mean = both.mean
    variances = both.covariance.diagonal()
    return {"mean": mean, "variances": variances}


def memorized_posterior_denoiser(train_set, observed, noise_std, x, sigma):
    r"""The exact denoiser of a posterior, beside the prior's

    The prior has memorized `train_set`, (5, 2); the data `observed`, (2,), are
    $F(x) = (x_1 + 0.3x_1x_2,\; x_2 + 0.2x_1^2)$ with noise `noise_std`. Hand in, for the noised point `x`, (1, 2), at
    level `sigma`, the prior's denoiser `prior_mean` and the posterior's `posterior_mean`, (2,) each.
    """
    likelihood = GaussianLikelihood(CoupledQuadraticOperator(), observed, noise_std)
    prior_mean = EmpiricalDenoiser(train_set)(x, sigma)[0]
    posterior_mean = MemorizedPosteriorDenoiser(train_set, likelihood)(x, sigma)[0]
    return {"prior_mean": prior_mean, "posterior_mean": posterior_mean}


def weighting_cost(train_set, observed, noise_std):
    r"""What weighting prior draws costs

    The prior has memorized $N = 6$ models, `train_set`, (6, 2); data and operator are
    `observed`, (2,), and $F(x) = (x_1 + 0.3x_1x_2,\; x_2 + 0.2x_1^2)$, with noise `noise_std`. Draws of the prior are
    weighted by their likelihood. Hand in the divergence of the posterior from the prior in `nats`, and `inflation`:
    the factor $\rho = N \sum_n w_n^2$ by which the effective number of many draws is smaller than their number.
    """
    likelihood = GaussianLikelihood(CoupledQuadraticOperator(), observed, noise_std)
    log_weights = collapsed_log_weights(train_set, likelihood)
    nats = math.log(len(train_set)) - effective_components(log_weights).log()
    inflation = len(train_set) * log_weights.exp().square().sum()
    return {"nats": nats, "inflation": inflation}


def assumed_spread(spread, assumed, noise_std):
    r"""The coverage of a prior that is wrong

    Truths are $\mathcal N(0, s^2)$ with $s$ = `spread`, but the prior that is used has the standard deviation
    `assumed`. The datum is the truth with noise `noise_std`. Hand in the probability `coverage` that the central 90 %
    interval of the posterior holds the truth, and the root mean square error `rms` of the posterior mean.
    """
    gain = assumed**2 / (assumed**2 + noise_std**2)
    half = 1.644854 * math.sqrt(gain) * noise_std
    rms = math.hypot((1 - gain) * spread, gain * noise_std)
    coverage = math.erf(half / rms / math.sqrt(2))
    return {"coverage": coverage, "rms": rms}


def left_out_intervals(train_set):
    r"""Leave-one-out, by hand

    Eight models on a line, `train_set`, (8, 1). Leave out each in turn, fit a Gaussian to the other seven by maximum
    likelihood, and standardize the one that was left out: $z = (x - m)/s$. Hand in the eight `z`, (8,), and the `share`
    of them with $|z| \le 1.645$.
    """
    z = torch.zeros(8, dtype=torch.float64)
    for n in range(8):
        others = torch.cat([train_set[:n], train_set[n + 1 :]])
        z[n] = ((train_set[n] - others.mean(0)) / others.std(0, correction=0))[0]
    share = (z.abs() <= 1.645).double().mean()
    return {"z": z, "share": share}


def coverage_interval(num_truths, num_covered):
    r"""How sure is a coverage?

    The 90 % intervals of a posterior held `num_covered` of `num_truths` independent truths. Hand in `low` and `high`,
    the ends of the 95 % interval of the coverage by Jeffreys' prior, Beta(½, ½), and `needed`: how many truths it
    takes before the standard error of a coverage of 0.9 is a tenth of the half width of your interval.
    """
    low, high = jeffreys(num_covered / num_truths, num_truths)
    needed = 0.9 * 0.1 / (0.1 * (high - low) / 2) ** 2
    return {"low": low, "high": high, "needed": needed}


def _line_data(draw: ParameterDraw) -> dict:
    return {
        "train_set": draw.line(5, -1.6, 1.6),
        "observed": draw.points(1, 1, -0.5, 0.5)[0],
        "noise_std": draw.number(0.4, 0.8),
    }


def _plane_data(draw: ParameterDraw, num: int) -> dict:
    return {
        "train_set": draw.points(num, 2, -1.5, 1.5),
        "observed": draw.points(1, 2, -0.5, 0.5)[0],
        "noise_std": draw.number(0.8, 1.2),
    }


def _covariance(draw: ParameterDraw) -> torch.Tensor:
    first, second, correlation = draw.number(1.0, 2.0), draw.number(0.5, 1.0), draw.number(0.3, 0.7)
    between = round(correlation * math.sqrt(first * second), 3)
    return torch.tensor([[first, between], [between, second]], dtype=torch.float64)


def _posterior(train_set, observed, noise_std, forward) -> torch.Tensor:
    return collapsed_log_weights(train_set, GaussianLikelihood(forward, observed, noise_std))


def _without_determinant(right, train_set, observed, noise_std, sigma):
    likelihood = GaussianLikelihood(CubicOperator(), observed, noise_std)
    bare = linearized_posterior(IsotropicMixture(train_set, sigma), likelihood, determinant=False).weights
    return {"linearized": bare, "distance": total_variation(bare, right["exact"])}


def _with_itself(right, train_set, widths):
    return {"scores": torch.stack([IsotropicMixture(train_set, h).log_prob(train_set).mean() for h in widths.tolist()])}


def _variance_exploded(right, train_set, x, sigmas):
    """Steps in sigma squared."""
    denoiser, path = EmpiricalDenoiser(train_set), []
    for level, below in pairwise(sigmas):
        x = x + (below**2 - level**2) * (x - denoiser(x, level)) / level**2
        path.append(x)
    return {"path": torch.cat(path)}


def _frozen(right, train_set, matrix, observed, noise_std, x, sigma):
    """Without the Jacobian of the denoiser."""
    return {
        "gradient": GaussianLikelihood(MatrixOperator(matrix), observed, noise_std).score(
            EmpiricalDenoiser(train_set)(x, sigma)
        )[0]
    }


def _fitted_with_it(right, train_set):
    z = ((train_set - train_set.mean(0)) / train_set.std(0, correction=0))[:, 0]
    return {"z": z, "share": (z.abs() <= 1.645).double().mean()}


def _mean_of_all(right, samples, train_set):
    distances = nearest_neighbors(samples, train_set, 6).distances
    return {"ratios": distances[:, 0] / distances.mean(1)}


def _other_sets(right, samples, train_set, held_out):
    return all_labelings(samples, held_out, train_set)


GRADED = (
    Exercise(
        *("01", 1, 20, "sec-maximum-likelihood", memorized_nats),
        lambda draw: {"train_set": draw.line(5, -2.0, 2.0), "floor": draw.number(0.03, 0.08)},
        {"memorized": three_decimals(), "gaussian": three_decimals(), "gap": three_decimals()},
        {
            "the weight 1/N of a kernel forgotten": lambda right, **_: {
                name: right[name] + math.log(5) for name in ("memorized", "gap")
            },
            "variance over N - 1": lambda right, train_set, floor: {
                "gaussian": Gaussian(train_set.mean(0), train_set.var(0)[:, None]).log_prob(train_set).mean()
            },
        },
    ),
    Exercise(
        *("01", 2, 30, "sec-maximum-likelihood", left_out_scores),
        lambda draw: {
            "train_set": draw.line(6, -2.0, 2.0),
            "widths": torch.tensor([0.15, 0.3, 0.6, 1.2], dtype=torch.float64) + draw.points(1, 4, 0.0, 0.1)[0],
        },
        {"scores": three_decimals(4)},
        {"the example itself left in": _with_itself},
    ),
    Exercise(
        *("02", 1, 20, "sec-mixture", memorized_denoiser),
        lambda draw: {
            "train_set": draw.points(4, 2, -1.5, 1.5),
            "x": draw.points(1, 2, -1.0, 1.0),
            "sigma": draw.number(0.5, 0.8),
        },
        {"denoised": three_decimals(2), "slope": three_decimals(2)},
        {
            "score over sigma, not over its square": lambda right, x, sigma, **_: {"slope": right["slope"] * sigma},
            "score with the other sign": lambda right, **_: {"slope": -right["slope"]},
        },
    ),
    Exercise(
        *("02", 2, 40, "sec-mixture", probability_flow),
        lambda draw: {
            "train_set": draw.points(3, 2, -1.5, 1.5),
            "x": draw.points(1, 2, -4.0, 4.0),
            "sigmas": torch.tensor([4.0, 2.5, 1.6, 1.0, 0.6, 0.4], dtype=torch.float64),
        },
        {"path": three_decimals(5, 2)},
        {"steps in the square of sigma": _variance_exploded},
    ),
    Exercise(
        *("02", 3, 45, "sec-condensation", choosing_level),
        lambda draw: {"train_set": draw.line(5, -2.0, 2.0), "x": draw.points(1, 1, -2.0, 2.0)},
        {"level": three_digits()},
        {"sigma squared handed in": lambda right, **_: {"level": right["level"] ** 2}},
    ),
    Exercise(
        *("03", 1, 20, "sec-lookup", lookup_on_a_line),
        _line_data,
        {"weights": three_decimals(5), "effective": three_digits(), "mean": three_decimals()},
        {
            "noise variance taken for its deviation": lambda right, train_set, observed, noise_std: lookup_on_a_line(
                train_set, observed, noise_std**2
            ),
            "the half in the exponent forgotten": lambda right, train_set, observed, noise_std: lookup_on_a_line(
                train_set, observed, noise_std / math.sqrt(2)
            ),
        },
    ),
    Exercise(
        *("03", 2, 40, "sec-linearized", linearized_weights),
        lambda draw: _line_data(draw) | {"sigma": draw.number(0.35, 0.55)},
        {"linearized": three_decimals(5), "exact": three_decimals(5), "distance": three_decimals()},
        {"determinant left out": _without_determinant},
    ),
    Exercise(
        *("03", 3, 60, "sec-linearized", undecided_data),
        lambda draw: {
            "train_set": torch.cat([draw.points(1, 1, 0.1, 0.4), draw.points(1, 1, 1.3, 1.6)]),
            "noise_std": draw.number(0.2, 0.4),
            "sigma": draw.number(0.3, 0.45),
        },
        {"by_lookup": three_digits(), "by_linearization": three_digits()},
        {"the midpoint for both": lambda right, **_: {"by_linearization": right["by_lookup"]}},
    ),
    Exercise(
        *("04", 1, 25, "sec-dps-table", copy_ratios),
        lambda draw: {"samples": draw.points(3, 3, -1.0, 1.0), "train_set": draw.points(6, 3, -1.0, 1.0)},
        {"ratios": three_digits(3), "left_out": three_digits(6)},
        {"the nearest counted in the mean": _mean_of_all},
    ),
    Exercise(
        *("04", 2, 50, "sec-dps-truths", all_labelings),
        lambda draw: {
            "samples": draw.points(6, 1, -2.0, 2.0),
            "train_set": draw.line(3, -2.0, 1.0),
            "held_out": draw.line(3, -1.0, 2.0),
        },
        {"statistic": three_decimals(), "spread": three_decimals(), "p": counted()},
        {
            "training and held-out sets exchanged": _other_sets,
            "the true labeling not counted": lambda right, **_: {"p": right["p"] - 0.05},
        },
    ),
    Exercise(
        *("04", 3, 60, "sec-dps-sampler", guidance_gradient),
        lambda draw: {
            "train_set": draw.points(4, 2, -1.5, 1.5),
            "matrix": draw.points(1, 2, 0.5, 1.5),
            "observed": draw.points(1, 1, 1.0, 2.0)[0],
            "noise_std": draw.number(0.3, 0.5),
            "x": draw.points(1, 2, -0.8, 0.8),
            "sigma": draw.number(0.7, 1.0),
        },
        {"fit": three_digits(), "gradient": three_digits(2)},
        {"the denoiser's Jacobian left out": _frozen},
    ),
    Exercise(
        *("05", 1, 25, "sec-samplers-weighting", weighting_cost),
        lambda draw: _plane_data(draw, 6),
        {"nats": three_decimals(), "inflation": three_digits()},
        {
            "bits for nats": lambda right, **_: {"nats": right["nats"] / math.log(2)},
            "N over the effective components": lambda right, **_: {"inflation": right["nats"].exp()},
        },
    ),
    Exercise(
        *("05", 2, 40, "sec-samplers-exact", memorized_posterior_denoiser),
        lambda draw: _plane_data(draw, 5) | {"x": draw.points(1, 2, -1.0, 1.0), "sigma": draw.number(0.6, 1.0)},
        {"prior_mean": three_decimals(2), "posterior_mean": three_decimals(2)},
        {
            "the noised point not used": lambda right, train_set, observed, noise_std, x, sigma: {
                "posterior_mean": _posterior(train_set, observed, noise_std, CoupledQuadraticOperator()).exp()
                @ train_set
            }
        },
    ),
    Exercise(
        *("05", 3, 50, "sec-samplers-gaussian", noised_and_measured),
        lambda draw: {
            "covariance": _covariance(draw),
            "matrix": draw.points(1, 2, 0.5, 1.5),
            "observed": draw.points(1, 1, 1.0, 2.0)[0],
            "noise_std": draw.number(0.3, 0.6),
            "x": draw.points(1, 2, -1.5, 1.5),
            "sigma": draw.number(0.6, 1.2),
        },
        {"mean": three_decimals(2), "variances": three_digits(2)},
        {
            "the noised copy taken for the prior mean": lambda right, matrix, observed, noise_std, x, sigma, **_: {
                "mean": Gaussian(x[0], sigma**2 * torch.eye(2, dtype=torch.float64))
                .condition(matrix, observed, noise_std)
                .mean
            }
        },
    ),
    Exercise(
        *("06", 1, 20, "sec-cal-check", coverage_interval),
        lambda draw: {
            "num_truths": (num := int(draw.number(120, 260))),
            "num_covered": int(num * draw.number(0.82, 0.94)),
        },
        {"low": three_digits(), "high": three_digits(), "needed": three_digits()},
        {
            "the normal interval": lambda right, num_truths, num_covered: {
                "low": (p := num_covered / num_truths) - 1.96 * math.sqrt(p * (1 - p) / num_truths),
                "high": p + 1.96 * math.sqrt(p * (1 - p) / num_truths),
            }
        },
    ),
    Exercise(
        *("06", 2, 40, "sec-cal-check", left_out_intervals),
        lambda draw: {"train_set": draw.points(8, 1, -2.0, 2.0)},
        {"z": three_digits(8), "share": counted()},
        {"fitted with the model that should be left out": _fitted_with_it},
    ),
    Exercise(
        *("06", 3, 50, "sec-cal-setting", assumed_spread),
        lambda draw: {
            "spread": draw.number(1.5, 2.0),
            "assumed": draw.number(0.5, 0.9),
            "noise_std": draw.number(0.4, 0.7),
        },
        {"coverage": three_decimals(), "rms": three_digits()},
        {
            "as if the assumed prior were true": lambda right, spread, assumed, noise_std: {
                "coverage": 0.9,
                "rms": math.sqrt(assumed**2 * noise_std**2 / (assumed**2 + noise_std**2)),
            },
            "the quantile of 95 %": lambda right, **_: {
                "coverage": math.erf(torch.special.erfinv(right["coverage"]) * 1.959964 / 1.644854)
            },
        },
    ),
)
BY_ID = {exercise.id: exercise for exercise in GRADED}
