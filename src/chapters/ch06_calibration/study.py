"""Chapter 6's experiment as one object: its training runs, its posterior jobs, and their results.

Only :meth:`Study.run` trains networks and draws posteriors. It does so in parts, which the store keeps.
"""

from collections.abc import Callable
from dataclasses import asdict
from functools import cached_property
from typing import TYPE_CHECKING

import torch

from chapters.ch06_calibration.families import FAMILIES
from chapters.ch06_calibration.nonlinear import Drawn, LinearizationPoint, Local, linearized_at
from chapters.ch06_calibration.posterior_jobs import (
    CLOSED,
    NEUTRAL,
    NONLINEAR,
    OF_NETWORKS,
    WITHOUT,
    Networks,
    PosteriorJob,
    build_gaussian,
    build_prior,
    guiding_covariance,
)
from chapters.ch06_calibration.posteriors import (
    LinearSurvey,
    exact_draws,
    guided_draws,
    linear_survey,
    nonlinear_survey,
)
from chapters.ch06_calibration.remedies import FaultedTraining, Training, trained
from companion.jobs import LongWork
from memprior._random import generator_for
from memprior.denoiser import Denoiser
from memprior.likelihood import GaussianLikelihood
from memprior.operators import ForwardOperator
from memprior.paper import Inversion, published_inversion

if TYPE_CHECKING:  # what settings may be changes no result
    from chapters.ch06_calibration.settings import Settings


class Study(LongWork):
    """Networks and sampled posteriors at the sizes of ``settings`` (06_calibration of notebooks/profiles.yml)."""

    settings: "Settings"

    @cached_property
    def inversion(self) -> Inversion:
        """The published inversion. Its Jacobian at the truth linearizes F for all truths."""
        return published_inversion(torch.complex64, self.device)

    @cached_property
    def survey(self) -> LinearSurvey:
        """Held-out truths of the Gaussian distribution with F linearized."""
        randomness = generator_for(f"survey {self.seed}")
        return linear_survey(self.inversion, "Gaussian", self.settings.num_truths, generator=randomness)

    @cached_property
    def faulted(self) -> LinearSurvey:
        """Held-out truths with faulted layers, by the same operator."""
        randomness = generator_for(f"faulted survey {self.seed}")
        return linear_survey(self.inversion, "faulted", self.settings.num_truths, generator=randomness)

    def survey_of(self, family: str) -> LinearSurvey:
        """One of the two."""
        return self.faulted if family == "faulted" else self.survey

    @cached_property
    def waves(self) -> tuple[LinearSurvey, ForwardOperator, torch.Tensor]:
        """Held-out truths with the nonlinear operator: see ``nonlinear_survey``."""
        randomness = generator_for(f"waves {self.seed}")
        return nonlinear_survey(self.inversion, self.settings.waves.num_truths, generator=randomness)

    @property
    def linearization_points(self) -> tuple[LinearizationPoint, ...]:
        """One for each truth with the nonlinear operator; none if no posterior is drawn with it."""
        size = self.settings.waves
        return tuple(LinearizationPoint(index, self.seed) for index in range(size.num_truths if size.num_draws else 0))

    def trainings_of(self, n: int, family: str = "Gaussian") -> tuple[Training, ...]:
        """Networks on N examples: plain ones and, where remedies are tried, two halves and one for each remedy."""
        size = self.settings
        tried, faulted = n in size.remedies_at, family == "faulted"
        kinds = [("plain", 0.0, k) for k in range(size.num_members if tried and not faulted else 1)]
        if tried or faulted:
            kinds += [("first half", 0.0, 0), ("second half", 0.0, 0)]
        strengths = {"augmented": 0.0, "weight decay": size.weight_decay, "dropout": size.dropout}
        if tried:
            wanted = size.faulted_remedies if faulted else size.remedies
            kinds += [(kind, strength, 0) for kind, strength in strengths.items() if kind in wanted]
        shape = size.network.width, size.network.depth, size.network.batch_size, size.checkpoints
        make = FaultedTraining if faulted else Training
        return tuple(make(kind, n, 100 * self.seed + k, strength, *shape) for kind, strength, k in kinds)

    @cached_property
    def posterior_jobs(self) -> list[PosteriorJob]:
        """Every posterior job: with F linearized for all remedies, with the nonlinear operator for a few."""
        size, jobs = self.settings, []
        truths = size.num_sampled_truths, size.num_draws, size.num_levels, self.seed
        for n in size.network_sizes:
            parts, tried = self.trainings_of(n), n in size.remedies_at
            wanted = [name for name in OF_NETWORKS if name in size.remedies]
            known = [name for name in WITHOUT if "mirrored" not in name or "augmented" in wanted]
            jobs += [
                PosteriorJob(name, n, parts, 0.0, "linear", *truths)
                for name in [*known, *wanted[: None if tried else 1]]
            ]
            jobs += [PosteriorJob("Tikhonov", n, parts, w, "linear", *truths) for w in size.widths if tried]
        n = size.remedies_at[0]
        jobs += [PosteriorJob(name, n, self.trainings_of(n), 0.0, "neutral", *truths) for name in NEUTRAL]
        for n in size.network_sizes:
            parts = self.trainings_of(n, "faulted")
            wanted = [name for name in OF_NETWORKS if name in size.faulted_remedies]
            wanted = (
                wanted if n in size.remedies_at else [name for name in wanted if name in ("trained", "early-stopped")]
            )
            known = [name for name in WITHOUT if "mirrored" not in name]
            jobs += [PosteriorJob(name, n, parts, 0.0, "faulted", *truths) for name in [*known, *wanted]]
        if self.linearization_points:
            n, few = size.remedies_at[0], size.waves
            truths = few.num_truths, few.num_draws, few.num_levels, self.seed
            jobs += [PosteriorJob(remedy, n, (), 0.0, "waves, closed", *truths) for remedy in CLOSED]
            jobs += [PosteriorJob(remedy, n, self.trainings_of(n), 0.0, "waves", *truths) for remedy in NONLINEAR]
        return jobs

    def sampler(self, job: PosteriorJob, networks: Networks) -> Callable[[LinearSurvey], torch.Tensor]:
        """LinearSurvey -> raw draws (T, S, 100) of its posteriors, with the survey's linearization."""
        randomness, num = generator_for(job.name), job.num_draws
        if job.how == "waves, closed":
            prior = build_gaussian(job, self.survey.prior, self.device)
            return lambda survey: exact_draws(survey, prior, num, generator=randomness)
        denoiser, known = build_prior(job, networks, self.device)
        options = known, denoiser, guiding_covariance(job, known), num, job.num_levels
        return lambda survey: guided_draws(survey, *options, generator=randomness)

    def likelihoods(self) -> list[GaussianLikelihood]:
        """Nonlinear likelihoods, one for each truth, with an operator of their own, as parts run in parallel."""
        forward = published_inversion(torch.complex64, self.device).likelihood.forward
        return [GaussianLikelihood(forward, y, self.waves[0].noise_std) for y in self.waves[2]]

    def linearized(self, point: LinearizationPoint) -> Local:
        """One truth with F linearized at its most probable model."""
        survey = self.waves[0]

        def compute(_):
            local = linearized_at(survey, point.index, self.likelihoods()[point.index])
            parts = {"response": local.survey.response, "data": local.survey.data, "misfit": local.misfit}
            return {name: torch.as_tensor(x) for name, x in parts.items()}

        stored = self.store.tensors(point.name, self.arguments(point), compute)
        truth = survey.truths[point.index, None]
        return Local(
            LinearSurvey(survey.prior, stored["response"], truth, stored["data"], survey.noise_std),
            float(stored["misfit"]),
        )

    def drawn(self, job: PosteriorJob, networks: Networks, local: list[Local]) -> Drawn:
        """The draws of a job."""

        def compute(_):
            draw = self.sampler(job, networks)
            if job.how.startswith("waves"):
                drawn = Drawn.reweighted(local, draw, self.likelihoods())
            else:
                drawn = Drawn.equally_weighted(draw(self.survey_of(job.family).first(job.num_truths)))
            return {"draws": drawn.draws, "weights": drawn.weights}

        return Drawn(**self.store.tensors(job.name, self.arguments(job), compute))

    @property
    def parts(self) -> list[Training | LinearizationPoint | PosteriorJob]:
        """Every training, every linearization point, every posterior job."""
        sizes = self.settings.network_sizes
        trainings = [part for family in FAMILIES for n in sizes for part in self.trainings_of(n, family)]
        return [*trainings, *self.linearization_points, *self.posterior_jobs]

    def needs(self, part: Training | LinearizationPoint | PosteriorJob) -> list[Training | LinearizationPoint]:
        """A posterior job needs its networks and, with the nonlinear operator, every linearization point."""
        if not isinstance(part, PosteriorJob):
            return []
        return [*part.trainings, *(self.linearization_points if part.how.startswith("waves") else ())]

    def arguments(self, part: Training | LinearizationPoint | PosteriorJob) -> dict:
        """Its fields and, but for a training, the truths of each survey, for all of which noise is drawn at once."""
        if isinstance(part, Training):
            return asdict(part)
        size = self.settings
        return asdict(part) | {"survey": size.num_truths, "nonlinear_survey": size.waves.num_truths}

    def work(
        self, part: Training | LinearizationPoint | PosteriorJob, earlier: Callable
    ) -> dict[int, Denoiser] | Local | Drawn:
        """Result of a part: networks, a local survey, or draws. earlier: a part that it needs -> its result."""
        if isinstance(part, Training):
            return trained(part, self.store)
        if isinstance(part, LinearizationPoint):
            return self.linearized(part)
        local = [earlier(one) for one in self.needs(part) if isinstance(one, LinearizationPoint)]
        return self.drawn(part, {one: earlier(one) for one in part.trainings}, local)

    def run(self) -> None:
        """Train every network, and draw every posterior as soon as its networks are trained.

        Results that the store already has are read.
        """
        self.survey, self.faulted, self.waves if self.linearization_points else None  # noqa: B018 - made once, before threads start
        super().run()

    def networks(self, n: int, family: str = "Gaussian") -> Networks:
        """Training -> step -> network at that step, for N examples."""
        return {part: self.result(part) for part in self.trainings_of(n, family)}
