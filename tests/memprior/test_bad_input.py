"""Bad input is refused before any work, by a message that names the argument, the expected and the given value."""

import math

import numpy as np
import pytest
import torch
from helpers import training_set

from memprior._check import expect
from memprior.calibration import energy_distance, energy_test
from memprior.denoiser import EmpiricalDenoiser, GaussianDenoiser, MixtureDenoiser, NetworkDenoiser, score
from memprior.fields import CosineBasis, Grid, Standardizer, squared_slowness, velocity
from memprior.gaussian import Gaussian
from memprior.guidance import daps_step, pigdm_step
from memprior.likelihood import GaussianLikelihood, observe
from memprior.memorization import Neighbors, leave_one_out, memorization_ratio, nearest_neighbors, three_sample_test
from memprior.mixture import GaussianMixture, IsotropicMixture
from memprior.networks import ResidualMLP, VariationalAutoencoder
from memprior.noise import ddpm_sigmas, karras_sigmas, perturb
from memprior.operators import CoupledQuadraticOperator, CubicOperator, MatrixOperator, jacobian
from memprior.paper import published_fields
from memprior.posterior import (
    MemorizedPosteriorDenoiser,
    collapsed_log_weights,
    linearized_posterior,
    quadrature_posterior,
)
from memprior.sampling import euler_step, log_likelihood, sample, trajectory
from memprior.training import TrainingPlan, snapshots, train


def zeros(*shape, **kind):
    return torch.zeros(shape, **{"dtype": torch.float64, **kind})


def nans(*shape):
    return torch.full(shape, math.nan, dtype=torch.float64)


def single(*shape):
    return zeros(*shape, dtype=torch.float32)


def elsewhere(*shape):
    return zeros(*shape, device="meta")


def eye(size, num):
    return torch.eye(size, dtype=torch.float64).repeat(num, 1, 1)


def empirical(x, sigma=1.0, train_set=None):
    return EmpiricalDenoiser(zeros(4, 3) if train_set is None else train_set)(x, sigma)


def full_mixture(means=None, covariances=None, log_weights=None):
    return GaussianMixture(
        zeros(2, 3) if means is None else means,
        eye(3, 2) if covariances is None else covariances,
        zeros(2) if log_weights is None else log_weights,
    )


def cubic(observed=None, noise_std=0.3):
    return GaussianLikelihood(CubicOperator(), zeros(1) if observed is None else observed, noise_std)


def lopsided(size):
    return torch.eye(size, dtype=torch.float64) + torch.ones(size, size, dtype=torch.float64).triu(1)


def states_from(x_init, sigmas):
    return trajectory(lambda x, sigma: x, x_init, sigmas, step=euler_step, generator=torch.Generator())


def smooth(x, sigma=1.0):
    return MixtureDenoiser(IsotropicMixture(zeros(4, 3), 0.5))(x, sigma)


def network(size=3, width=4, depth=1):
    return ResidualMLP(size, width, depth, generator=GENERATOR)


def learned(x, sigma=1.0, spread=1.0):
    return NetworkDenoiser(network(), spread)(x, sigma)


def likelihood_along(sigmas, x=None, num_probes=None):
    x = zeros(2, 3) if x is None else x
    return log_likelihood(empirical, x, sigmas, num_probes=num_probes, generator=GENERATOR)


def autoencoder(size=3, latent=2, width=4, floor=0.1):
    return VariationalAutoencoder(size, latent, width, floor, generator=GENERATOR, dtype=torch.float64)


def plan(**changes):
    sizes = {"num_steps": 10, "batch_size": 4, "learning_rate": 1e-3, "final_rate": 1e-4}
    return TrainingPlan(**{**sizes, "ema_decay": 0.9, "sigma_min": 0.1, "sigma_max": 1.0, **changes})


def training(train_set, **options):
    return train(NetworkDenoiser(network(), 1.0), train_set, plan(), generator=GENERATOR, **options)


def snapshots_at(*steps):
    return next(snapshots(NetworkDenoiser(network(), 1.0), zeros(4, 3), plan(), steps, generator=GENERATOR))


GENERATOR = torch.Generator()
GRID = Grid((8, 6), 0.1)

CASES = {
    # noise
    "no steps": ("num_steps", lambda: ddpm_sigmas(0)),
    "half a step": ("num_steps", lambda: ddpm_sigmas(2.5)),
    "betas in the wrong order": ("beta_min, beta_max", lambda: ddpm_sigmas(10, 0.1, 0.01)),
    "beta of one": ("beta_min, beta_max", lambda: ddpm_sigmas(10, 0.1, 1.0)),
    "one karras level": ("num_steps", lambda: karras_sigmas(1, 0.1, 1.0)),
    "sigma_min of zero": ("sigma_min, sigma_max", lambda: karras_sigmas(10, 0.0, 1.0)),
    "sigma_max infinite": ("sigma_min, sigma_max", lambda: karras_sigmas(10, 0.1, math.inf)),
    "rho negative": ("rho", lambda: karras_sigmas(10, 0.1, 1.0, rho=-1.0)),
    "perturb without noise": ("sigma", lambda: perturb(zeros(2, 3), 0.0, generator=GENERATOR)),
    "perturb one vector": ("x", lambda: perturb(zeros(3), 1.0, generator=GENERATOR)),
    # mixtures
    "mixture without means": ("means", lambda: IsotropicMixture(zeros(0, 3), 1.0)),
    "mixture of vectors without coordinates": ("means", lambda: IsotropicMixture(zeros(3, 0), 1.0)),
    "mixture with a NaN mean": ("means", lambda: IsotropicMixture(nans(2, 3), 1.0)),
    "mixture of a list": ("means", lambda: IsotropicMixture([[0.0]], 1.0), TypeError),
    "mixture of integers": ("means", lambda: IsotropicMixture(zeros(2, 3, dtype=torch.int64), 1.0)),
    "mixture without width": ("sigma", lambda: IsotropicMixture(zeros(2, 3), 0.0)),
    "mixture of NaN width": ("sigma", lambda: IsotropicMixture(zeros(2, 3), math.nan)),
    "too few log_weights": ("log_weights", lambda: IsotropicMixture(zeros(2, 3), 1.0, zeros(1))),
    "log_weights of another dtype": ("log_weights", lambda: IsotropicMixture(zeros(2, 3), 1.0, single(2))),
    "log_weights elsewhere": ("log_weights", lambda: IsotropicMixture(zeros(2, 3), 1.0, elsewhere(2))),
    "log_weights all -inf": ("log_weights", lambda: IsotropicMixture(zeros(2, 3), 1.0, zeros(2) - math.inf)),
    "log_weights NaN": ("log_weights", lambda: IsotropicMixture(zeros(2, 3), 1.0, nans(2))),
    "log_weights +inf": ("log_weights", lambda: full_mixture(log_weights=torch.tensor([math.inf, 0.0]).double())),
    "no draws": ("num", lambda: IsotropicMixture(zeros(2, 3), 1.0).sample(0, generator=GENERATOR)),
    "point of the wrong size": ("x", lambda: IsotropicMixture(zeros(2, 3), 1.0).log_prob(zeros(5, 2))),
    "point of another dtype": ("x", lambda: full_mixture().log_prob(single(5, 3))),
    "covariances of the wrong shape": ("covariances", lambda: full_mixture(covariances=eye(2, 2))),
    "covariances of another dtype": ("covariances", lambda: full_mixture(covariances=eye(3, 2).float())),
    "covariance of no definite sign": ("covariances", lambda: full_mixture(covariances=-eye(3, 2))),
    "covariance NaN": ("covariances", lambda: full_mixture(covariances=nans(2, 3, 3))),
    # denoisers
    "empty training set": ("train_set", lambda: EmpiricalDenoiser(zeros(0, 3))),
    "NaN in the training set": ("train_set", lambda: EmpiricalDenoiser(nans(2, 3))),
    "training set of one vector": ("train_set", lambda: EmpiricalDenoiser(zeros(3))),
    "x of the wrong size": ("x", lambda: empirical(zeros(2, 4))),
    "x of another dtype": ("x", lambda: empirical(single(2, 3))),
    "x elsewhere": ("x", lambda: empirical(elsewhere(2, 3))),
    "x of numbers": ("x", lambda: empirical([[0.0, 0.0, 0.0]]), TypeError),
    "sigma zero": ("sigma", lambda: empirical(zeros(2, 3), 0.0)),
    "sigma negative": ("sigma", lambda: empirical(zeros(2, 3), torch.tensor([1.0, -1.0]))),
    "sigma for other rows": ("sigma", lambda: empirical(zeros(2, 3), torch.ones(3))),
    "score without noise": ("sigma", lambda: score(lambda x, sigma: x, zeros(2, 3), 0.0)),
    "asymmetric covariance": ("covariance", lambda: GaussianDenoiser(zeros(3), lopsided(3))),
    "negative eigenvalue": (
        "covariance",
        lambda: GaussianDenoiser(zeros(2), eye(2, 1)[0] - 1),
    ),
    "covariance not square": ("covariance", lambda: GaussianDenoiser(zeros(3), zeros(2, 3))),
    "mean of another dtype": ("mean", lambda: GaussianDenoiser(single(3), torch.eye(3, dtype=torch.float64))),
    "mean NaN": ("mean", lambda: GaussianDenoiser(nans(3), torch.eye(3, dtype=torch.float64))),
    "x of another size than the components": ("x", lambda: smooth(zeros(2, 4))),
    "x of another dtype than the components": ("x", lambda: smooth(single(2, 3))),
    "mixture at sigma zero": ("sigma", lambda: smooth(zeros(2, 3), 0.0)),
    "mixture at sigma for other rows": ("sigma", lambda: smooth(zeros(2, 3), torch.ones(3))),
    "network without spread": ("spread", lambda: learned(zeros(2, 3), spread=0.0)),
    "network of one vector": ("x", lambda: learned(zeros(3))),
    "network of the wrong size": ("x", lambda: learned(zeros(2, 4))),
    "network of a list": ("x", lambda: learned([[0.0, 0.0, 0.0]]), TypeError),
    "network at sigma below zero": ("sigma", lambda: learned(zeros(2, 3), -1.0)),
    "network at sigma for other rows": ("sigma", lambda: learned(zeros(2, 3), torch.ones(3))),
    # networks
    "network of no size": ("size", lambda: network(size=0)),
    "network of no width": ("width", lambda: network(width=0)),
    "network of half a layer": ("depth", lambda: network(depth=0.5)),
    "x of another size than the network": ("x", lambda: network()(single(2, 4), single(2))),
    "one condition for two": ("condition", lambda: network()(single(2, 3), single(1))),
    "conditions in a column": ("condition", lambda: network()(single(2, 3), single(2, 1))),
    "autoencoder of no size": ("size", lambda: autoencoder(size=0)),
    "autoencoder without a code": ("latent", lambda: autoencoder(latent=0)),
    "autoencoder of no width": ("width", lambda: autoencoder(width=0)),
    "autoencoder without a floor": ("floor", lambda: autoencoder(floor=0.0)),
    "bound of another size": ("x", lambda: autoencoder().log_prob_bound(zeros(2, 4), 1, generator=GENERATOR)),
    "bound of no draws": ("num_draws", lambda: autoencoder().log_prob_bound(zeros(2, 3), 0, generator=GENERATOR)),
    "no draws of the autoencoder": ("num", lambda: autoencoder().sample(0, generator=GENERATOR)),
    # training
    "no training": ("num_steps", lambda: plan(num_steps=0)),
    "half a batch": ("batch_size", lambda: plan(batch_size=0.5)),
    "no learning": ("learning_rate", lambda: plan(learning_rate=0.0)),
    "learning backwards": ("final_rate", lambda: plan(final_rate=-1e-4)),
    "average that never moves": ("ema_decay", lambda: plan(ema_decay=1.0)),
    "average of NaN": ("ema_decay", lambda: plan(ema_decay=math.nan)),
    "levels in the wrong order": ("sigma_min, sigma_max", lambda: plan(sigma_min=2.0)),
    "training without noise": ("sigma_min, sigma_max", lambda: plan(sigma_min=0.0)),
    "training with endless noise": ("sigma_min, sigma_max", lambda: plan(sigma_max=math.inf)),
    "nothing to train on": ("train_set", lambda: training(zeros(0, 3))),
    "NaN to train on": ("train_set", lambda: training(nans(4, 3))),
    "training set of another size": ("train_set", lambda: training(zeros(4, 2))),
    "training set of a list": ("train_set", lambda: training([[0.0]]), TypeError),
    "checkpoints never": ("save_every", lambda: training(zeros(4, 3), save_every=0)),
    "no snapshots": ("steps", lambda: snapshots_at()),
    "snapshot before training": ("steps", lambda: snapshots_at(0, 5)),
    "snapshot after training": ("steps", lambda: snapshots_at(5, 11)),
    "snapshots backwards": ("steps", lambda: snapshots_at(5, 3)),
    "a snapshot twice": ("steps", lambda: snapshots_at(5, 5)),
    "snapshot between steps": ("steps", lambda: snapshots_at(1.5)),
    # calibration
    "one sample": ("samples", lambda: energy_distance(zeros(1, 3), zeros(4, 3))),
    "one draw of the reference": ("reference", lambda: energy_distance(zeros(4, 3), zeros(1, 3))),
    "law without atoms": ("reference", lambda: energy_distance(zeros(4, 3), zeros(0, 3), reference_is_law=True)),
    "reference of another size": ("reference", lambda: energy_distance(zeros(4, 3), zeros(4, 2))),
    "reference of another dtype": ("reference", lambda: energy_distance(zeros(4, 3), single(4, 3))),
    "reference elsewhere": ("reference", lambda: energy_distance(zeros(4, 3), elsewhere(4, 3))),
    "reference NaN": ("reference", lambda: energy_distance(zeros(4, 3), nans(4, 3))),
    "distance of NaN": ("samples", lambda: energy_distance(nans(4, 3), zeros(4, 3))),
    "distance of one vector": ("samples", lambda: energy_distance(zeros(3), zeros(4, 3))),
    "distance of a list": ("samples", lambda: energy_distance([[0.0], [1.0]], zeros(4, 1)), TypeError),
    # fields
    "no draws of a law": ("num", lambda: Gaussian(zeros(2), eye(2, 1)[0]).sample(0, generator=GENERATOR)),
    "grid of three axes": ("shape", lambda: Grid((2, 2, 2), 0.1)),
    "grid without cells": ("shape", lambda: Grid((0, 4), 0.1)),
    "grid without spacing": ("spacing_km", lambda: Grid((4, 4), 0.0)),
    "no fields": ("num", lambda: published_fields(0)),
    "as many modes as cells": ("num_modes", lambda: CosineBasis(GRID, 6)),
    "no modes": ("num_modes", lambda: CosineBasis(GRID, 0)),
    "coefficients of the wrong size": ("z", lambda: CosineBasis(GRID, 2).decode(zeros(1, 5))),
    "fields of another grid": ("fields", lambda: CosineBasis(GRID, 2).encode(zeros(1, 6, 8))),
    "one example to standardize by": ("x", lambda: Standardizer.fit(zeros(1, 3))),
    "NaN to standardize by": ("x", lambda: Standardizer.fit(nans(4, 3))),
    "slowness of zero": ("squared_slowness", lambda: velocity(zeros(1, 2, 2))),
    "velocity negative": ("velocity", lambda: squared_slowness(zeros(1, 2, 2) - 1)),
    # memorization
    "k of zero": ("k", lambda: nearest_neighbors(zeros(2, 3), zeros(4, 3), 0)),
    "k beyond the training set": ("k", lambda: nearest_neighbors(zeros(2, 3), zeros(4, 3), 5)),
    "k of all when one is left out": ("k", lambda: leave_one_out(zeros(4, 3), 4)),
    "ratio of one neighbor": ("neighbors", lambda: memorization_ratio(Neighbors(zeros(2, 1), zeros(2, 1)))),
    "no training set to copy": ("train_set", lambda: nearest_neighbors(zeros(2, 3), zeros(0, 3), 1)),
    "samples NaN": ("samples", lambda: nearest_neighbors(nans(2, 3), zeros(4, 3), 1)),
    "samples of another size": ("samples", lambda: three_sample_test(zeros(2, 2), zeros(4, 3), zeros(2, 3))),
    "samples of another dtype": ("samples", lambda: nearest_neighbors(single(2, 3), zeros(4, 3), 1)),
    "samples elsewhere": ("samples", lambda: nearest_neighbors(elsewhere(2, 3), zeros(4, 3), 1)),
    # operators
    "two numbers for the cubic": ("x", lambda: CubicOperator()(zeros(3, 2))),
    "one number for the pair": ("x", lambda: CoupledQuadraticOperator()(zeros(3, 1))),
    "numpy for the pair": ("x", lambda: CoupledQuadraticOperator()(zeros(3, 2).numpy()), TypeError),
    "wrong size for the matrix": ("x", lambda: MatrixOperator(zeros(2, 3))(zeros(1, 2))),
    "another dtype than the matrix": ("x", lambda: MatrixOperator(zeros(2, 3))(single(1, 3))),
    "matrix NaN": ("matrix", lambda: MatrixOperator(nans(2, 3))),
    "matrix of one row": ("matrix", lambda: MatrixOperator(zeros(3))),
    "data without a batch": ("forward", lambda: jacobian(lambda x: x.sum(1), zeros(2, 3))),
    # likelihood
    "observed as a row": ("observed", lambda: cubic(observed=zeros(1, 1))),
    "observed empty": ("observed", lambda: cubic(observed=zeros(0))),
    "observed NaN": ("observed", lambda: cubic(observed=nans(1))),
    "observed of the wrong length": ("forward", lambda: cubic(observed=zeros(2)).log_prob(zeros(3, 1))),
    "data of another dtype": ("forward", lambda: cubic().log_prob(single(3, 1))),
    "no noise": ("noise_std", lambda: cubic(noise_std=0.0)),
    "infinite noise": ("noise_std", lambda: cubic(noise_std=math.inf)),
    "observe without noise": ("noise_std", lambda: observe(CubicOperator(), zeros(1), -1.0, generator=GENERATOR)),
    "truth NaN": ("truth", lambda: observe(CubicOperator(), nans(1), 0.3, generator=GENERATOR)),
    # sampling
    "levels that rise": ("sigmas", lambda: states_from(zeros(2, 1), torch.tensor([1.0, 2.0, 0.0]))),
    "levels that stay": ("sigmas", lambda: states_from(zeros(2, 1), [1.0, 1.0, 0.0])),
    "levels below zero": ("sigmas", lambda: states_from(zeros(2, 1), [1.0, -1.0])),
    "start NaN": ("x_init", lambda: states_from(nans(2, 1), [1.0, 0.0])),
    "start of one vector": ("x_init", lambda: sample(empirical, zeros(3), [1.0, 0.0], generator=GENERATOR)),
    "likelihood without noise": ("sigmas", lambda: likelihood_along([1.0, 0.0])),
    "likelihood along levels that rise": ("sigmas", lambda: likelihood_along([1.0, 2.0])),
    "likelihood of NaN": ("x", lambda: likelihood_along([2.0, 1.0], x=nans(2, 3))),
    "likelihood of one vector": ("x", lambda: likelihood_along([2.0, 1.0], x=zeros(3))),
    "likelihood by no signs": ("num_probes", lambda: likelihood_along([2.0, 1.0], num_probes=0)),
    # posterior
    "nothing to look up": ("train_set", lambda: collapsed_log_weights(zeros(0, 1), cubic())),
    "NaN to look up": ("train_set", lambda: MemorizedPosteriorDenoiser(nans(2, 1), cubic())),
    "grid of the wrong size": (
        "points",
        lambda: quadrature_posterior(IsotropicMixture(zeros(2, 1), 1.0), cubic(), zeros(5, 2), 0.1),
    ),
    "cells without volume": (
        "cell",
        lambda: quadrature_posterior(IsotropicMixture(zeros(2, 1), 1.0), cubic(), zeros(5, 1), 0.0),
    ),
    "data of another length than predicted": (
        "forward",
        lambda: linearized_posterior(IsotropicMixture(zeros(2, 1), 1.0), cubic(observed=zeros(2))),
    ),
    # at every door
    "covariances asymmetric": ("covariances", lambda: full_mixture(covariances=lopsided(3).repeat(2, 1, 1))),
    "covariances of a list": ("covariances", lambda: full_mixture(covariances=[[[1.0]]]), TypeError),
    "score of the wrong size": ("x", lambda: full_mixture().score(zeros(5, 2))),
    "log_weights of a list": ("log_weights", lambda: IsotropicMixture(zeros(2, 3), 1.0, [0.0, 0.0]), TypeError),
    "width for each mean": ("sigma", lambda: IsotropicMixture(zeros(2, 3), torch.ones(2))),
    "width in words": ("sigma", lambda: IsotropicMixture(zeros(2, 3), "wide")),
    "no sigma": ("sigma", lambda: empirical(zeros(2, 3), None)),
    "mean as a column": ("mean", lambda: GaussianDenoiser(zeros(3, 1), torch.eye(3, dtype=torch.float64))),
    "mean as a list": ("mean", lambda: GaussianDenoiser([0.0], torch.eye(1, dtype=torch.float64)), TypeError),
    "grid as a list": ("shape", lambda: Grid([4, 4], 0.1)),
    "grid of one number": ("shape", lambda: Grid(4, 0.1)),
    "fields of a list": ("fields", lambda: CosineBasis(GRID, 2).encode([[0.0]]), TypeError),
    "fields of integers": ("fields", lambda: CosineBasis(GRID, 2).encode(zeros(1, 8, 6, dtype=torch.int64))),
    "velocity of a list": ("velocity", lambda: squared_slowness([1.0]), TypeError),
    "k true": ("k", lambda: leave_one_out(zeros(4, 3), True)),
    "held-out of another size": ("held_out", lambda: three_sample_test(zeros(2, 3), zeros(4, 3), zeros(2, 2))),
    "no held-out": ("held_out", lambda: three_sample_test(zeros(2, 3), zeros(4, 3), zeros(0, 3))),
    "no samples": ("samples", lambda: three_sample_test(zeros(0, 3), zeros(4, 3), zeros(2, 3))),
    "jacobian of the wrong size": ("x", lambda: jacobian(MatrixOperator(zeros(2, 3)), zeros(1, 2))),
    "observed of a list": ("observed", lambda: cubic(observed=[0.0]), TypeError),
    "observed of integers": ("observed", lambda: cubic(observed=zeros(1, dtype=torch.int64))),
    "noise for each datum": ("noise_std", lambda: cubic(noise_std=torch.ones(2))),
    "noise in words": ("noise_std", lambda: cubic(noise_std="loud")),
    "truth of a list": ("truth", lambda: observe(CubicOperator(), [0.0], 0.3, generator=GENERATOR), TypeError),
    "one level": ("sigmas", lambda: states_from(zeros(2, 1), torch.tensor(1.0))),
    "NaN among the looked up": ("train_set", lambda: collapsed_log_weights(nans(2, 1), cubic())),
    "looked up beyond every likelihood": ("train_set", lambda: collapsed_log_weights(zeros(2, 1) + 1e200, cubic())),
    "cells of their own": (
        "cell",
        lambda: quadrature_posterior(IsotropicMixture(zeros(2, 1), 1.0), cubic(), zeros(5, 1), torch.ones(5)),
    ),
}


@pytest.mark.parametrize(("name", "call", "kind"), [(*case, ValueError)[:3] for case in CASES.values()], ids=CASES)
def test_arguments_that_are_invalid_are_refused_by_name(name, call, kind):
    with pytest.raises(kind, match=rf"^{name}: expected .*, got .*"):
        call()


@pytest.mark.parametrize("field", ["log_weights", "means"])
def test_gaussian_mixture_is_frozen(field):
    with pytest.raises(AttributeError):
        setattr(full_mixture(), field, zeros(2))


def test_error_message_counts_the_entries_that_are_not_finite():
    broken = training_set()[:3].clone()
    broken[1, 4] = math.nan
    with pytest.raises(ValueError, match=r"^train_set: expected finite numbers, got 1 NaN or infinite of 300$"):
        EmpiricalDenoiser(broken)


def _of_numpy(kind):
    """Calls that take integers, given numpy's."""
    x, generator = torch.linspace(0, 1, 30).reshape(10, 3), torch.Generator()
    one, two, three = kind(1), kind(2), kind(3)
    prior = GaussianDenoiser(zeros(3), torch.eye(3))
    data = GaussianLikelihood(MatrixOperator(torch.eye(3)), zeros(3), 1.0)
    levels = torch.tensor([2.0, 1.0])
    autoencode = VariationalAutoencoder(three, two, three, 0.1, generator=generator, dtype=torch.float64)
    yield ddpm_sigmas(three)
    yield karras_sigmas(three, 0.1, 1.0)
    yield nearest_neighbors(x, x, two)
    yield leave_one_out(x, two)
    yield IsotropicMixture(x, 1.0).sample(three, generator=generator)
    yield full_mixture().sample(three, generator=generator)
    yield ResidualMLP(three, two, one, generator=generator)
    yield autoencode.log_prob_bound(x, two, generator=generator)
    yield autoencode.sample(two, generator=generator)
    yield CosineBasis(Grid((kind(8), kind(6)), 0.1), two).decode(zeros(1, 4))
    yield published_fields(two)
    yield energy_test(x, x + 1, num_permutations=three, generator=generator)
    yield log_likelihood(prior, x, levels, num_probes=two, generator=generator)
    yield pigdm_step(data, num_iterations=two)(prior, x, *levels, generator=generator)
    yield daps_step(data, num_ode=two, num_langevin=two, step_size=0.1, curvature=1.0)(
        prior, x, *levels, generator=generator
    )
    start = NetworkDenoiser(network(), 1.0)
    sizes = plan(num_steps=three, batch_size=two)
    yield list(snapshots(start, zeros(4, 3), sizes, [one, three], generator=generator))


@pytest.mark.parametrize("kind", [np.int64, np.int32, np.uint8])
def test_integer_arguments_accept_numpy_integers(kind):
    assert len(list(_of_numpy(kind))) == 16


@pytest.mark.parametrize("value", [np.bool_(True), np.float64(2.0), np.array([2])])
def test_integer_arguments_refuse_other_numpy_values(value):
    with pytest.raises(ValueError, match=r"^num_steps: expected an integer >= 1, got "):
        ddpm_sigmas(value)


def test_error_messages_are_built_only_when_a_check_fails(monkeypatch):
    """On a GPU to print a tensor waits for the GPU: a step of a sampler prints none."""

    printed = []
    x, level = torch.ones(3, 2), torch.tensor(0.5)
    denoiser = EmpiricalDenoiser(torch.eye(2))
    for name in ("__repr__", "__format__", "tolist"):
        plain = getattr(torch.Tensor, name)
        monkeypatch.setattr(torch.Tensor, name, lambda *args, plain=plain: printed.append(plain) or plain(*args))
    denoiser(x, level)
    GaussianDenoiser(torch.zeros(2), torch.eye(2))(x, level)
    IsotropicMixture(torch.eye(2), level)
    list(trajectory(denoiser, x, torch.tensor([1.0, 0.5, 0.0]), generator=torch.Generator()))
    assert not printed
    with pytest.raises(ValueError, match=r"^sigma: expected"):
        denoiser(x, -level)
    assert printed  # the patched methods do record


def test_expect_calls_a_message_function_only_on_failure():
    expect(True, "x", "nothing", lambda: 1 / 0)
    with pytest.raises(ValueError, match=r"^x: expected two, got three$"):
        expect(False, "x", "two", lambda: "three")
