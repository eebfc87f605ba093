"""Chapter 6's results: everything that its page shows or claims of one run, computed once, without table or figure."""

from dataclasses import dataclass
from functools import cached_property

import torch

from chapters.ch06_calibration import fits, measures, remedies
from chapters.ch06_calibration.families import FAMILIES, LARGEST, other_examples, training_set, truths_of
from chapters.ch06_calibration.measures import LEVEL, LeftOut, Measured
from chapters.ch06_calibration.nonlinear import Drawn
from chapters.ch06_calibration.posterior_jobs import Choice, chosen, true_prior
from chapters.ch06_calibration.posteriors import (
    LinearSurvey,
    exact_draws,
    ledoit_wolf,
    ledoit_wolf_of,
    lookup_draws,
    prior_draws,
    solved,
)
from chapters.ch06_calibration.study import Study
from companion.record import Run
from memprior.calibration import Coverage, joint_coverage, marginal_coverage, normalized_error, pit
from memprior.denoiser import EmpiricalDenoiser, GaussianDenoiser
from memprior.intervals import Mean
from memprior.memorization import Report, report
from memprior.noise import normal
from memprior.paper import HELD_OUT_SEED, TrainingSet, published_coefficients

KNOWN = tuple(fits.FITS)
MIRRORED = "Ledoit-Wolf, mirrored"
SETS, SET_DRAWS = 6, 48  # further training sets, and draws of a posterior there
WIDTH_DRAWS = 64  # of a posterior under the slider
LINEARIZED = {"Gaussian": "linear", "faulted": "faulted"}  # how posteriors of each family are sampled, F linearized


@dataclass(frozen=True, eq=False)
class Results:
    """Results of one run, each computed when it is first asked for.

    T truths, N training models. Raw models are rows of 100 coefficients.
    """

    run: Run
    study: Study

    @property
    def first(self) -> int:
        """N at which the remedies are compared."""
        return self.run.settings.remedies_at[0]

    def training(self, n: int, family: str = "Gaussian") -> TrainingSet:
        """The examples with their coordinates."""
        return training_set(family, n, self.study.device)

    def _measured(self, survey: LinearSurvey, draws: torch.Tensor, forward=None) -> Measured:
        return measures.measure(survey, draws, generator=self.run.generator("measure"), forward=forward)

    # ---- posteriors that are known -----------------------------------------------------------------------------------

    def posterior(self, family: str, prior, purpose: str) -> torch.Tensor:
        """Raw draws (T, num_exact_draws, 100) under a prior that is known, for every truth of a family."""
        num = self.run.settings.num_exact_draws
        return exact_draws(self.study.survey_of(family), prior, num, generator=self.run.generator(purpose))

    @cached_property
    def exact(self) -> dict[str, torch.Tensor]:
        """Draws under the true prior of each family."""
        return {
            family: self.posterior(family, self.study.survey_of(family).prior, f"{family} exact prior")
            for family in FAMILIES
        }

    @cached_property
    def fitted(self) -> dict:
        """(family, name, N) -> the fitted prior in closed form."""
        cases = [(family, name, n) for family in FAMILIES for name in KNOWN for n in self.run.settings.sizes]
        found = {(family, name, n): fits.FITS[name](self.training(n, family).examples) for family, name, n in cases}
        for n in self.run.settings.sizes[:-1]:  # 32 000 images of a thousand would take as long as all the rest
            known = remedies.augmented(n, self.study.device)
            found["Gaussian", MIRRORED, n] = ledoit_wolf(known).restored(known.standardizer)
        return found

    @cached_property
    def known(self) -> dict[tuple[str, str, int], Measured]:
        """(family, name, N) -> calibration over all truths; the exact prior under N = 0."""
        found = {
            (family, "exact prior", 0): self._measured(self.study.survey_of(family), z)
            for family, z in self.exact.items()
        }
        for (family, name, n), prior in self.fitted.items():
            z = self.posterior(family, prior, f"{family} {name} {n}")
            found[family, name, n] = self._measured(self.study.survey_of(family), z)
        return found

    def ratio(self, family: str, name: str, n: int) -> Mean:
        """Mean error over that of the exact prior, with an interval over truths: linearized, both have the truths."""
        ours, best = self.known[family, name, n].errors, self.known[family, "exact prior", 0].errors
        value = float(ours.mean() / best.mean())
        return Mean(value, Mean.over((ours - value * best) / best.mean()).half)

    @cached_property
    def faulted_gain(self) -> Mean:
        """Error of shaped kernels less that of the Gaussian, on faulted layers, N = 1000, truth by truth."""
        shaped, gaussian = (self.known["faulted", name, 1000].errors for name in ("shaped kernels", "Ledoit-Wolf"))
        return Mean.over(shaped - gaussian)

    @cached_property
    def many_regions(self) -> Coverage:
        """Regions of the exact prior on faulted layers over all truths there are: 200 leave room for chance."""
        noise, survey = self.run.generator("many truths"), self.study.survey_of("faulted")
        many = survey.of(truths_of("faulted", LARGEST).to(survey.truths), generator=noise)
        z = exact_draws(many, many.prior, self.run.settings.num_exact_draws, generator=noise)
        return joint_coverage(z, many.truths, LEVEL, generator=noise, scale=many.deviations)

    @cached_property
    def over_sets(self) -> dict[tuple[str, str], dict[str, Mean]]:
        """(family, name) -> coverage, and error over the exact prior's, over :data:`SETS` other training sets of fifty.

        Each is a mean over all truths; the intervals are over training sets.
        """
        found = {}
        for family in FAMILIES:
            survey, best = self.study.survey_of(family), self.known[family, "exact prior", 0].errors.mean()
            for name in ("memorized", "Ledoit-Wolf"):
                measured = []
                for index in range(SETS):
                    prior = fits.FITS[name](other_examples(family, 50, index).to(survey.truths))
                    noise = self.run.generator(f"{family} {name} set {index}")
                    z = exact_draws(survey, prior, SET_DRAWS, generator=noise)
                    ranks = pit(z, survey.truths, generator=self.run.generator(f"ranks of set {index}"))
                    error = normalized_error(z, survey.truths, survey.overall).mean()
                    measured.append((marginal_coverage(ranks, LEVEL).value, float(error / best)))
                coverages, ratios = zip(*measured, strict=True)
                found[family, name] = {"coverage": Mean.over(coverages), "ratio": Mean.over(ratios)}
        return found

    @cached_property
    def width(self) -> float:
        """The leave-one-out bandwidth at N = 50."""
        return fits.leave_one_out_width(self.training(50).standardized)

    @cached_property
    def by_width(self) -> dict[float, Measured]:
        """Bandwidth -> calibration under kernels of that width at N = 50."""
        survey, examples = self.study.survey, self.training(50).examples
        found = {}
        for w in torch.logspace(-2, 0.5, self.run.settings.num_widths).tolist():
            z = exact_draws(survey, fits.kernels(examples, w), WIDTH_DRAWS, generator=self.run.generator("widths"))
            found[w] = self._measured(survey, z)
        return found

    @cached_property
    def floors(self) -> dict[int, tuple[float, Mean, Mean]]:
        """N -> (share of truths with a weight above 0.95, distance to the nearest example, error at a narrow width).

        That width is a hundredth of the memorized prior's: no data are sharper, and the examples stay where they are.
        """
        survey, found = self.study.survey, {}
        total = survey.prior.covariance.trace().sqrt()
        observed = survey.data + survey.prior.mean @ survey.response.T
        for n in self.run.settings.sizes:
            examples = self.training(n).examples
            near = torch.cdist(survey.truths, examples).min(1).values / total
            narrow = self.posterior("Gaussian", fits.kernels(examples, fits.MEMORY_WIDTH / 100), f"narrow {n}")
            error = Mean.over(normalized_error(narrow, survey.truths, survey.overall))
            posterior = self.fitted["Gaussian", "memorized", n].condition(survey.response, observed, survey.noise_std)
            found[n] = float((posterior.weights.amax(1) > 0.95).double().mean()), Mean.over(near), error
        return found

    # ---- the checks --------------------------------------------------------------------------------------------------

    @cached_property
    def checks(self) -> dict[tuple[str, str], tuple[Coverage, LeftOut]]:
        """(family, name) -> coverage by simulated truths, and the check by left-out ones, N = 50."""
        num, found = self.run.settings.num_exact_draws, {}
        for family in FAMILIES:
            survey, examples = self.study.survey_of(family), self.training(50, family).examples
            for name in KNOWN:
                fitted = self.fitted[family, name, 50]
                noise = self.run.generator(f"simulated {family} {name}")
                simulated = measures.simulated(fitted, survey, len(survey.truths), num, generator=noise)
                # One noise for all priors, so that their errors are paired.
                fit, noise = fits.with_its_width(name, examples), self.run.generator(f"left out {family}")
                found[family, name] = simulated, measures.left_out(examples, fit, survey, num, generator=noise)
        return found

    def left_out_gain(self, family: str) -> Mean:
        """Error of shaped kernels less that of the Gaussian, at the same left-out truths."""
        shaped, gaussian = (self.checks[family, name][1].errors for name in ("shaped kernels", "Ledoit-Wolf"))
        return Mean.over(shaped - gaussian)

    @cached_property
    def untouched(self) -> torch.Tensor:
        """Draws of the Gaussian distribution itself, which ignore the data, (T, num_exact_draws, 100)."""
        truths, num = len(self.study.survey.truths), self.run.settings.num_exact_draws
        z = self.study.survey.prior.sample(truths * num, generator=self.run.generator("alone"))
        return z.unflatten(0, (truths, num))

    @cached_property
    def alone(self) -> Measured:
        """Calibration of :attr:`untouched`."""
        return self._measured(self.study.survey, self.untouched)

    @cached_property
    def control(self) -> dict[str, dict[str, float]]:
        """p-values of four tests of a posterior that is right, of one too narrow, and of one that ignores its data."""
        right = self.exact["Gaussian"]
        tests = {
            "exact posterior": right,
            "20 % too narrow": measures.too_narrow(right, 0.8),
            "the prior, no data": self.untouched,
        }
        survey = self.study.survey
        return {name: measures.all_tests(survey, z, generator=self.run.generator("tests")) for name, z in tests.items()}

    # ---- networks ----------------------------------------------------------------------------------------------------

    @cached_property
    def sampled(self) -> dict[tuple[str, str, int], Measured]:
        """(how, name, N) -> calibration of every sampled posterior with F linearized; see ``PosteriorJob``."""
        found = {}
        for job in self.study.posterior_jobs:
            if not job.how.startswith("waves"):
                name = job.remedy + (f", width {job.width:g}" if job.width else "")
                survey = self.study.survey_of(job.family).first(job.num_truths)
                found[job.how, name, job.num_examples] = self._measured(survey, self.study.result(job).draws)
        return found

    @cached_property
    def reach(self) -> dict[tuple[str, str], Measured]:
        """(family, name) -> the closed form at the truths of the sampled posteriors, with as many draws: no sampler."""
        size, found = self.run.settings, {}
        for family in FAMILIES:
            few = self.study.survey_of(family).first(size.num_sampled_truths)
            priors = {"exact prior": few.prior, "Ledoit-Wolf": self.fitted[family, "Ledoit-Wolf", self.first]}
            for name, prior in priors.items():
                z = exact_draws(few, prior, size.num_draws, generator=self.run.generator(f"reach {family} {name}"))
                found[family, name] = self._measured(few, z)
        return found

    def paired(self, how: str, name: str, n: int, other: str = "Ledoit-Wolf") -> Mean:
        """Error less that of another prior through the same sampler, truth by truth."""
        beside = self.sampled["linear" if how == "neutral" else how, other, n]
        return Mean.over(self.sampled[how, name, n].errors - beside.errors)

    @cached_property
    def choices(self) -> dict[tuple[str, int], Choice]:
        """(family, N) -> what the halves choose: the step and, on Gaussian models, the width of Tikhonov's penalty."""
        networks, device = self.study.networks, self.study.device
        found = {("Gaussian", n): chosen(networks(n), device) for n in self.run.settings.remedies_at}
        return found | {("faulted", self.first): chosen(networks(self.first, "faulted"), device, ())}

    # ---- without a truth ---------------------------------------------------------------------------------------------

    @cached_property
    def samples(self) -> dict[str, torch.Tensor]:
        """Raw samples of each prior on Gaussian models, (num_prior_draws, 100)."""
        known, num = self.training(self.first), self.run.settings.num_prior_draws
        priors = {
            "memorized": self.fitted["Gaussian", "memorized", self.first],
            "exact prior": self.study.survey.prior,
            "Ledoit-Wolf": self.fitted["Gaussian", "Ledoit-Wolf", self.first],
        }
        found = {}
        for name, prior in priors.items():
            found[name] = prior.sample(num, generator=self.run.generator(f"prior {name}"))
        plain = next(result for part, result in self.study.networks(self.first).items() if part.kind == "plain")
        for label, step in self._steps.items():
            found[label] = known.standardizer.restore(self._flow(plain[step]))
        return found

    @property
    def _steps(self) -> dict[str, int]:
        return {
            "network, stopped early": self.choices["Gaussian", self.first].step,
            "network, last step": self.run.settings.checkpoints[-1],
        }

    def _flow(self, denoiser) -> torch.Tensor:
        """Prior samples from the same noise for all, in the coordinates of the training set."""
        x = self.training(self.first).standardized
        noise = normal(self.run.settings.num_prior_draws, 100, like=x, generator=self.run.generator("noise"))
        return prior_draws(denoiser, noise, 40, generator=self.run.generator("flow"))

    @cached_property
    def held_out(self) -> torch.Tensor:
        """Models in neither the training set nor among the truths, raw, (num_held_out, 100)."""
        skip, num = self.run.settings.num_truths, self.run.settings.num_held_out
        return published_coefficients(skip + num, seed=HELD_OUT_SEED)[skip:].to(self.study.device)

    @cached_property
    def reports(self) -> dict[str, Report]:
        """The report on each prior's samples, in raw coordinates: those of the training set alone would favor it."""
        examples = self.training(self.first).examples
        return {name: report(z, examples, self.held_out) for name, z in self.samples.items()}

    @cached_property
    def apart(self) -> dict[str, Mean]:
        """Disagreement of priors of two halves."""
        known = self.training(self.first)
        halves = known.standardized[::2], known.standardized[1::2]
        gaussians = [ledoit_wolf_of(half) for half in halves]
        pairs = {
            "memorized": [EmpiricalDenoiser(half) for half in halves],
            "exact prior": [true_prior("Gaussian", known).denoiser] * 2,
            "Ledoit-Wolf": [GaussianDenoiser(g.mean, g.covariance) for g in gaussians],
        }
        networks = [result for part, result in self.study.networks(self.first).items() if "half" in part.kind]
        pairs |= {label: [one[step] for one in networks] for label, step in self._steps.items()}
        return {name: measures.disagreement(*map(self._flow, two)) for name, two in pairs.items()}

    @cached_property
    def alarming(self) -> dict[str, Measured]:
        """Posteriors whose misfit is looked at, by name."""
        names = {"network, stopped early": "early-stopped", "network, last step": "trained"}
        closed = {name: self.known["Gaussian", name, self.first] for name in ("memorized", "Ledoit-Wolf", "smoothed")}
        exact = {"exact prior": self.known["Gaussian", "exact prior", 0]}
        return exact | closed | {label: self.sampled["linear", name, self.first] for label, name in names.items()}

    # ---- the nonlinear operator --------------------------------------------------------------------------------------

    @cached_property
    def weighted(self) -> dict[str, Drawn]:
        """Name -> weighted draws with the nonlinear operator; none where the run has no such draws."""
        jobs = [job for job in self.study.posterior_jobs if job.how.startswith("waves")]
        return {job.remedy + ", sampled" * (job.how == "waves"): self.study.result(job) for job in jobs}

    @cached_property
    def nonlinear(self) -> dict[str, Measured]:
        """Calibration with the nonlinear operator: weighted draws where there are any, and the lookup."""
        size = self.run.settings
        survey, forward, y = self.study.waves
        num, found = size.num_exact_draws, {}
        for name, drawn in self.weighted.items():
            z = drawn.resampled(num, generator=self.run.generator(f"by weight, {name}"))
            found[name] = self._measured(survey, z, forward)
        examples = self.training(max(size.wave_sizes)).examples
        predicted = solved(self.study.inversion.likelihood.forward, examples)
        for n in size.wave_sizes:
            options = examples[:n], predicted[:n], y, survey.noise_std, num
            z = lookup_draws(*options, generator=self.run.generator("lookup"))
            found[f"memorized, N = {n}"] = self._measured(survey, z, forward)
        return found
