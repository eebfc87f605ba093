"""Chapter 6's long work as one object: networks that are trained, and posteriors that are drawn with them.

Networks are trained and posteriors drawn by :meth:`Study.run` alone, in parts that the store keeps.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

import torch

from chapters.ch06_calibration.columns import (
    CLOSED,
    OF_NETWORKS,
    WITH_WAVES,
    WITHOUT,
    Column,
    Networks,
    gaussian_of,
    prior_of,
)
from chapters.ch06_calibration.nonlinear import Drawn, Local, Place, located
from chapters.ch06_calibration.posteriors import (
    LinearSurvey,
    gaussian_draws,
    guided_draws,
    ledoit_wolf,
    linear_survey,
    wave_survey,
)
from chapters.ch06_calibration.remedies import Training, trained
from companion.jobs import side_by_side, workers_on
from companion.record import Run
from companion.store import Store
from memprior._check import expect
from memprior._random import generator_for
from memprior.denoiser import Denoiser
from memprior.likelihood import GaussianLikelihood
from memprior.operators import ForwardOperator
from memprior.paper import Inversion, published_inversion

if TYPE_CHECKING:  # what settings may be changes no result
    from chapters.ch06_calibration.settings import Settings


@dataclass(frozen=True, eq=False)
class Study:
    """Networks and sampled posteriors at the sizes of ``settings`` (06_calibration of notebooks/profiles.yml).

    seed: that of the notebook. store: keeps the parts. tell: hears of every part that is done.
    """

    settings: "Settings"
    seed: int
    store: Store
    tell: Callable[[str], None]
    _results: dict = field(default_factory=dict, init=False)

    @classmethod
    def of(cls, run: Run, tell: Callable[[str], None]) -> "Study":
        """That of one run of the notebook."""
        return cls(run.settings, run.seed, run.store(__name__), tell)

    @property
    def device(self) -> torch.device:
        """Of everything that is computed."""
        return self.store.device

    @cached_property
    def inversion(self) -> Inversion:
        """The published one, whose Jacobian at the truth linearizes F for all."""
        return published_inversion(torch.complex64, self.device)

    @cached_property
    def survey(self) -> LinearSurvey:
        """Held-out truths with F linearized."""
        randomness = generator_for(f"survey {self.seed}")
        return linear_survey(self.inversion, self.settings.num_truths, generator=randomness)

    @cached_property
    def waves(self) -> tuple[LinearSurvey, ForwardOperator, torch.Tensor]:
        """Held-out truths with the waves: :func:`calibration_study.wave_survey`."""
        randomness = generator_for(f"waves {self.seed}")
        return wave_survey(self.inversion, self.settings.waves.num_truths, generator=randomness)

    @property
    def places(self) -> tuple[Place, ...]:
        """Where F is linearized for each truth with the waves; none where nothing is drawn with them."""
        asked = self.settings.waves
        return tuple(Place(index, self.seed) for index in range(asked.num_truths if asked.num_draws else 0))

    def trainings_of(self, n: int) -> tuple[Training, ...]:
        """The networks on N examples: plain ones, and where remedies are tried two halves and one for each remedy."""
        size = self.settings
        tried = n in size.remedies_at
        kinds = [("plain", 0.0, k) for k in range(size.num_members if tried else 1)]
        if tried:
            kinds += [("first half", 0.0, 0), ("second half", 0.0, 0), ("augmented", 0.0, 0)]
            kinds += [("weight decay", size.weight_decay, 0), ("dropout", size.dropout, 0)]
        shape = size.network.width, size.network.depth, size.network.batch_size, size.looks
        return tuple(Training(kind, n, 100 * self.seed + k, strength, *shape) for kind, strength, k in kinds)

    @cached_property
    def columns(self) -> list[Column]:
        """Every posterior that is drawn: with F linearized for all remedies, with the waves for a few."""
        size, columns = self.settings, []
        truths = size.num_sampled_truths, size.num_draws, size.num_levels, self.seed
        for n in size.network_sizes:
            parts, tried = self.trainings_of(n), n in size.remedies_at
            remedies = [*WITHOUT, *(OF_NETWORKS if tried else OF_NETWORKS[:1])]
            columns += [Column(remedy, n, parts, 0.0, "linear", *truths) for remedy in remedies]
            columns += [Column("Tikhonov", n, parts, w, "linear", *truths) for w in size.widths if tried]
        if self.places:
            n, few = size.remedies_at[0], size.waves
            truths = few.num_truths, few.num_draws, few.num_levels, self.seed
            columns += [Column(remedy, n, (), 0.0, "waves, closed", *truths) for remedy in CLOSED]
            columns += [Column(remedy, n, self.trainings_of(n), 0.0, "waves", *truths) for remedy in WITH_WAVES]
        return columns

    def sampler(self, column: Column, networks: Networks) -> Callable[[LinearSurvey], torch.Tensor]:
        """LinearSurvey -> raw draws (T, S, 100) of its posteriors, F linearized as the survey has it."""
        randomness, num = generator_for(column.name), column.num_draws
        if column.how == "waves, closed":
            law = gaussian_of(column, self.survey.law, self.device)
            return lambda survey: gaussian_draws(survey, law, num, generator=randomness)
        denoiser, known = prior_of(column, networks, self.device)
        told = known, denoiser, ledoit_wolf(known).covariance, num, column.num_levels
        return lambda survey: guided_draws(survey, *told, generator=randomness)

    def likelihoods(self) -> list[GaussianLikelihood]:
        """With the waves, one for each truth; an operator of their own, for parts run side by side."""
        forward = published_inversion(torch.complex64, self.device).likelihood.forward
        return [GaussianLikelihood(forward, y, self.waves[0].noise_std) for y in self.waves[2]]

    def placed(self, place: Place) -> Local:
        """One truth with F linearized where its data lead."""
        survey = self.waves[0]

        def compute(_):
            found = located(survey, place.index, self.likelihoods()[place.index])
            parts = {"response": found.survey.response, "data": found.survey.data, "misfit": found.misfit}
            return {name: torch.as_tensor(x) for name, x in parts.items()}

        kept = self.store.tensors(place.name, asdict(place), compute)
        truth = survey.truths[place.index, None]
        return Local(
            LinearSurvey(survey.law, kept["response"], truth, kept["data"], survey.noise_std), float(kept["misfit"])
        )

    def drawn(self, column: Column, networks: Networks, places: list[Local]) -> Drawn:
        """The draws of a column."""

        def compute(_):
            draw = self.sampler(column, networks)
            if column.how == "linear":
                found = Drawn.alike(draw(self.survey.first(column.num_truths)))
            else:
                found = Drawn.by_waves(places, draw, self.likelihoods())
            return {"draws": found.draws, "weights": found.weights}

        return Drawn(**self.store.tensors(column.name, asdict(column), compute))

    @property
    def parts(self) -> list[Training | Place | Column]:
        """Every network, every place where F is linearized, every column."""
        trainings = [part for n in self.settings.network_sizes for part in self.trainings_of(n)]
        return [*trainings, *self.places, *self.columns]

    def needs(self, part: Training | Place | Column) -> list[Training | Place]:
        """A column starts from its networks and, with the waves, from every place."""
        if not isinstance(part, Column):
            return []
        return [*part.trainings, *(() if part.how == "linear" else self.places)]

    def work(self, part: Training | Place | Column, earlier: Callable) -> dict[int, Denoiser] | Local | Drawn:
        """A training's networks, a place's survey, or a column's draws. earlier: part it needs -> what that came to."""
        if isinstance(part, Training):
            return trained(part, self.store)
        if isinstance(part, Place):
            return self.placed(part)
        places = [earlier(one) for one in self.needs(part) if isinstance(one, Place)]
        return self.drawn(part, {one: earlier(one) for one in part.trainings}, places)

    def run(self) -> None:
        """Train every network, draw every column as soon as its networks are trained. What the store has is read."""
        self.survey, self.waves if self.places else None  # noqa: B018 - made once, before several threads ask for them
        workers = workers_on(self.device, self.settings.workers)
        results = side_by_side(self.parts, self.work, workers, self.tell)
        self._results.update(zip(self.parts, results, strict=True))

    def result(self, part: Training | Place | Column) -> dict[int, Denoiser] | Local | Drawn:
        """What a part has come to. Raises ``ValueError`` before :meth:`run`."""
        expect(part in self._results, "study", "run() before its results are asked for", "none of them yet")
        return self._results[part]

    def networks(self, n: int) -> Networks:
        """Training -> step -> network there, for N examples."""
        return {part: self.result(part) for part in self.trainings_of(n)}
