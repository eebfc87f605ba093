"""Chapter 6's page: each experiment in one call, its tables, pictures and claims. Nothing here is of use elsewhere."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import torch
from matplotlib.figure import Figure

from chapters.ch06_calibration import figures as draw
from chapters.ch06_calibration import fits, measures, remedies
from chapters.ch06_calibration.families import FAMILIES, LARGEST, other_examples, training_set, truths_of
from chapters.ch06_calibration.measures import LEVEL, Measured
from chapters.ch06_calibration.posterior_jobs import Choice, chosen, true_prior
from chapters.ch06_calibration.posteriors import (
    exact_draws,
    ledoit_wolf,
    ledoit_wolf_of,
    lookup_draws,
    prior_draws,
    solved,
)
from chapters.ch06_calibration.study import Study
from companion.frames import Frames
from companion.record import Run
from companion.tables import Table
from memprior.calibration import Coverage, joint_coverage, marginal_coverage, normalized_error, pit
from memprior.denoiser import EmpiricalDenoiser, GaussianDenoiser
from memprior.figures import style
from memprior.figures.style import legend_below
from memprior.intervals import Mean
from memprior.memorization import Report, report
from memprior.noise import normal
from memprior.paper import HELD_OUT_SEED, TrainingSet, published_coefficients

KNOWN = tuple(fits.FITS)
SETS, SET_DRAWS = 6, 48  # further training sets, and draws of a posterior there
MIRRORED = "Ledoit-Wolf, mirrored"
TEXTS = {"coverage": "coverage of 90 % intervals", "error": "error"}
IDS = {
    "exact prior": "exact",
    "memorized": "memory",
    "smoothed": "smoothed",
    "Ledoit-Wolf": "lw",
    "shaped kernels": "shaped",
    MIRRORED: "mirrored",
}
SAMPLED_IDS = {
    "exact prior": "sampler",
    "Ledoit-Wolf": "sampled_lw",
    "exact prior, mirrored": "sampler_mirrored",
    "memorized": "sampled_memory",
    "early-stopped": "early",
    "weight decay": "decay",
}
NONLINEAR_IDS = {
    "exact prior": "exact",
    "exact prior, sampled": "sampler",
    "Ledoit-Wolf": "lw",
    MIRRORED: "mirrored",
    "early-stopped, sampled": "early",
    "trained, sampled": "trained",
    "augmented, sampled": "augmented",
}
CAPTIONS = {
    "answer": "Coverage and error of posteriors that are known exactly, on Gaussian and on faulted models",
    "ranks": "Ranks of truths among their draws, and TARP curves, at N = 50",
    "remedies": "Coverage and error of priors of fifty models through one sampler, on both distributions",
    "checks": "Coverage by simulated, by left-out and by held-out truths",
    "waves": "Coverage and error with the nonlinear operator",
    "detect": "Disagreement of two halves, and misfit alarms",
}


def interval(found: Coverage | Mean, digits: int = 3) -> str:
    """A value and its 95 % interval."""
    return f"{found.value:.{digits}f} ({found.low:.{digits}f}, {found.high:.{digits}f})"


@dataclass(frozen=True, eq=False)
class Page:
    """Results of one run, each computed when it is first asked for."""

    run: Run
    study: Study

    def _generator(self, purpose: str) -> torch.Generator:
        return self.run.generator(purpose)

    def _measured(self, survey, draws, forward=None) -> Measured:
        return measures.measure(survey, draws, generator=self._generator("measure"), forward=forward)

    # ---- posteriors that are known -----------------------------------------------------------------------------------

    def posterior(self, family: str, prior, name: str) -> torch.Tensor:
        """Raw draws (T, num, 100) under a prior that is known, for every truth of a family."""
        num = self.run.settings.num_exact_draws
        return exact_draws(self.study.survey_of(family), prior, num, generator=self._generator(name))

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

    @cached_property
    def many_regions(self) -> Coverage:
        """Regions of the exact prior on faulted layers over all truths there are: 200 leave room for chance."""
        noise, survey = self._generator("many truths"), self.study.survey_of("faulted")
        many = survey.of(truths_of("faulted", LARGEST).to(survey.truths), generator=noise)
        z = exact_draws(many, many.prior, self.run.settings.num_exact_draws, generator=noise)
        return joint_coverage(z, many.truths, LEVEL, generator=noise, scale=many.deviations)

    @cached_property
    def untouched(self) -> torch.Tensor:
        """Draws of the Gaussian distribution itself, which ignore the data, (T, num, 100)."""
        truths, num = len(self.study.survey.truths), self.run.settings.num_exact_draws
        z = self.study.survey.prior.sample(truths * num, generator=self._generator("alone"))
        return z.unflatten(0, (truths, num))

    @cached_property
    def alone(self) -> Measured:
        """Calibration of :attr:`untouched`."""
        return self._measured(self.study.survey, self.untouched)

    def ratio(self, family: str, name: str, n: int) -> Mean:
        """Mean error over that of the exact prior, with an interval over truths: linearized, both have the truths."""
        ours, best = self.known[family, name, n].errors, self.known[family, "exact prior", 0].errors
        value = float(ours.mean() / best.mean())
        return Mean(value, Mean.over((ours - value * best) / best.mean()).half)

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
                    z = exact_draws(survey, prior, SET_DRAWS, generator=self._generator(f"{family} {name} set {index}"))
                    ranks = pit(z, survey.truths, generator=self._generator(f"ranks of set {index}"))
                    error = normalized_error(z, survey.truths, survey.overall).mean()
                    measured.append((marginal_coverage(ranks, LEVEL).value, float(error / best)))
                coverages, ratios = zip(*measured, strict=True)
                found[family, name] = {"coverage": Mean.over(coverages), "ratio": Mean.over(ratios)}
        return found

    def known_table(self, family: str) -> Table:
        """A row for each prior that is known."""
        rows = [
            self._row(name if not n else f"{name}, N = {n}", m)
            for (of, name, n), m in self.known.items()
            if of == family
        ]
        if family == "Gaussian":
            rows.append(self._row("the prior, no data", self.alone))
        return Table(["prior", "coverage of 90 %", "principal axes", "regions of 90 %", "error"], rows)

    @staticmethod
    def _row(name: str, m: Measured) -> list[str]:
        return [name, interval(m.coverage), interval(m.axes), interval(m.region, 2), interval(m.error)]

    def answer(self) -> Figure:
        """Coverage above, error below; a column for each family."""
        sizes = self.run.settings.sizes
        figure, axes = style.panels(2, 2, height=5.2, sharex=True, sharey="row")
        for row, what in enumerate(TEXTS):
            for column, family in enumerate(FAMILIES):
                ax = axes[2 * row + column]
                curves = {"exact prior": [self.known[family, "exact prior", 0].dots[what]] * len(sizes)}
                curves |= {name: [self.known[family, name, n].dots[what] for n in sizes] for name in KNOWN}
                draw.by_size(ax, sizes, curves, truth=LEVEL if what == "coverage" else None, ylabel=TEXTS[what])
                ax.set(ylim=(0, 1 if what == "coverage" else 1.05))
                if column:
                    ax.set_ylabel("")
                if not row:
                    ax.set(title="Gaussian" if family == "Gaussian" else "faulted layers", xlabel="")
        legend_below(figure, axes[:1], 3)
        return figure

    def ranks(self) -> Figure:
        """Of the Gaussian family at N = 50."""
        at_50 = {
            name: self.known.get(("Gaussian", name, 50))
            for name in ("exact prior", "memorized", "smoothed", "Ledoit-Wolf")
        }
        at_50["exact prior"] = self.known["Gaussian", "exact prior", 0]
        figure, axes = style.panels(2, 2, height=5)
        shown = [name for name in at_50 if name != "smoothed"]  # its ranks are under the slider
        for ax, name in zip(axes, shown, strict=False):
            draw.rank_histogram(ax, at_50[name].pit, name, top=3)
            ax.set_yticks([0, 1, 2, 3])
        draw.tarp_curves(axes[3], {name: m.tarp for name, m in at_50.items()})
        legend_below(figure, axes[3:], 4)
        return figure

    def width_slider(self) -> Frames:
        """Kernels of every width at N = 50."""
        survey, examples = self.study.survey, self.training(50).examples
        grid = [float(w) for w in torch.logspace(-2, 0.5, self.run.settings.num_widths)]
        found = {}
        for w in grid:
            z = exact_draws(survey, fits.kernels(examples, w), 64, generator=self._generator("widths"))
            found[w] = self._measured(survey, z)
        curves = [m.coverage.value for m in found.values()], [m.error.value for m in found.values()]
        options = *curves, self.known["Gaussian", "exact prior", 0].error.value, self.width
        return Frames(
            lambda w: draw.width_frame(grid, *options, found[w].pit, at=grid.index(w)),
            grid,
            name="bandwidth h",
            label="{:.2g}".format,
            alt=lambda w: (
                f"Bandwidth {w:.2g}: coverage {found[w].coverage.value:.2f} and error {found[w].error.value:.2f}, "
                "and the histogram of ranks there."
            ),
        )

    @cached_property
    def width(self) -> float:
        """The leave-one-out bandwidth at N = 50."""
        return fits.leave_one_out_width(self.training(50).standardized)

    def training(self, n: int, family: str = "Gaussian") -> TrainingSet:
        """The examples with their coordinates."""
        return training_set(family, n, self.study.device)

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

    def floor_table(self) -> Table:
        """The floor beside the error."""
        rows = []
        for n, (certain, floor, narrow) in self.floors.items():
            error = self.known["Gaussian", "memorized", n].error
            rows.append([f"N = {n}", f"{certain:.1%}", interval(floor), interval(error), interval(narrow)])
        header = ["training set", "truths with a weight above 0.95", "floor", "error", "error, width / 100"]
        return Table(header, rows)

    # ---- the check -----------------------------------------------------------------------------------------------

    @cached_property
    def checks(self) -> dict[tuple[str, str], tuple[Coverage, measures.LeftOut]]:
        """(family, name) -> coverage by simulated truths, and the check by left-out ones, N = 50."""
        num, found = self.run.settings.num_exact_draws, {}
        for family in FAMILIES:
            survey, examples = self.study.survey_of(family), self.training(50, family).examples
            for name in KNOWN:
                fitted = self.fitted[family, name, 50]
                noise = self._generator(f"simulated {family} {name}")
                simulated = measures.simulated(fitted, survey, len(survey.truths), num, generator=noise)
                # One noise for all priors, so that their errors are paired.
                fit, noise = fits.with_its_width(name, examples), self._generator(f"left out {family}")
                found[family, name] = simulated, measures.left_out(examples, fit, survey, num, generator=noise)
        return found

    def check_table(self) -> Table:
        """A row for each prior and family."""
        rows = []
        for (family, name), (simulated, left_out) in self.checks.items():
            m = self.known[family, name, 50]
            coverages = map(interval, (simulated, left_out.coverage, m.coverage))
            rows.append([f"{name}, {family}", *coverages, interval(Mean.over(left_out.errors)), interval(m.error)])
        header = ["prior of fifty models", "coverage, simulated truths", "coverage, left-out", "coverage, held-out"]
        return Table([*header, "error, left-out", "error, held-out"], rows)

    def left_out_gain(self, family: str) -> Mean:
        """Error of shaped kernels less that of the Gaussian, at the same left-out truths."""
        shaped, gaussian = (self.checks[family, name][1].errors for name in ("shaped kernels", "Ledoit-Wolf"))
        return Mean.over(shaped - gaussian)

    def check_picture(self) -> Figure:
        """The three coverages of each prior, a panel for each family."""
        figure, axes = style.panels(1, 2, height=2.9, sharey=True)
        for ax, family in zip(axes, FAMILIES, strict=True):
            rows = {}
            for name in KNOWN:
                simulated, left_out = self.checks[family, name]
                rows[name] = simulated, left_out.coverage, self.known[family, name, 50].coverage
            draw.check_rows(ax, rows, truth=LEVEL)
            ax.set(title="Gaussian" if family == "Gaussian" else "faulted layers", xlabel="coverage of 90 % intervals")
        legend_below(figure, axes[:1], 3)
        return figure

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
                z = exact_draws(few, prior, size.num_draws, generator=self._generator(f"reach {family} {name}"))
                found[family, name] = self._measured(few, z)
        return found

    @property
    def first(self) -> int:
        """N at which the remedies are compared."""
        return self.run.settings.remedies_at[0]

    def paired(self, how: str, name: str, n: int, other: str = "Ledoit-Wolf") -> Mean:
        """Error less that of another prior through the same sampler, truth by truth."""
        beside = self.sampled["linear" if how == "neutral" else how, other, n]
        return Mean.over(self.sampled[how, name, n].errors - beside.errors)

    def sampled_table(self, family: str) -> Table:
        """A row for each sampled posterior; the last column is the paired difference to the Ledoit-Wolf Gaussian."""
        hows = {"faulted": ("faulted",), "Gaussian": ("linear", "neutral")}[family]
        rows = [
            [f"{name}, no sampler", interval(m.coverage), interval(m.region, 2), interval(m.error), ""]
            for (of, name), m in self.reach.items()
            if of == family
        ]
        for (how, name, n), m in self.sampled.items():
            if how in hows:
                label = f"{name}, N = {n}" + ", neutral guide" * (how == "neutral")
                difference = "" if name == "Ledoit-Wolf" else str(self.paired(how, name, n)).replace("0.", ".")
                row = [label, interval(m.coverage), interval(m.region, 2), interval(m.error), difference]
                rows.append(row)
        header = ["prior, one sampler", "coverage of 90 %", "regions of 90 %", "error", "error less Ledoit-Wolf's"]
        return Table(header, rows)

    def remedies(self) -> Figure:
        """Coverage and error through one sampler; a row of panels for each family."""
        figure, axes = style.panels(2, 2, height=5.6)
        for row, (how, family) in enumerate((("linear", "Gaussian"), ("faulted", "faulted"))):
            tried = {name: m for (of, name, n), m in self.sampled.items() if of == how and n == self.first}
            tried = {name: m for name, m in tried.items() if "width" not in name}
            for column, what in enumerate(TEXTS):
                ax = axes[2 * row + column]
                right = LEVEL if what == "coverage" else self.reach[family, "exact prior"].error.value
                limits = (0, 1) if what == "coverage" else (0, None)
                dots = {name: m.dots[what] for name, m in tried.items()}
                draw.dot_rows(ax, dots, truth=right, xlabel=TEXTS[what], limits=limits)
                ax.set_title("Gaussian" if family == "Gaussian" else "faulted layers")
                if column:
                    ax.set_yticklabels([])
        return figure

    @cached_property
    def choice(self) -> dict[str, Choice]:
        """What the halves choose at N = :attr:`first`, of each family."""
        return {family: chosen(self.study.networks(self.first, family), self.study.device, ()) for family in FAMILIES}

    # ---- without a truth ---------------------------------------------------------------------------------------------

    @cached_property
    def samples(self) -> dict[str, torch.Tensor]:
        """Raw samples of each prior on Gaussian models, (num, 100)."""
        known, num = self.training(self.first), self.run.settings.num_prior_draws
        priors = {
            "memorized": self.fitted["Gaussian", "memorized", self.first],
            "exact prior": self.study.survey.prior,
            "Ledoit-Wolf": self.fitted["Gaussian", "Ledoit-Wolf", self.first],
        }
        found = {name: prior.sample(num, generator=self._generator(f"prior {name}")) for name, prior in priors.items()}
        plain = next(result for part, result in self.study.networks(self.first).items() if part.kind == "plain")
        for label, step in self._looks.items():
            found[label] = known.standardizer.restore(self._flow(plain[step]))
        return found

    @property
    def _looks(self) -> dict[str, int]:
        return {
            "network, stopped early": self.choice["Gaussian"].step,
            "network, last step": self.run.settings.checkpoints[-1],
        }

    def _flow(self, denoiser) -> torch.Tensor:
        """Prior samples from the same noise for all, in the coordinates of the training set."""
        x = self.training(self.first).standardized
        noise = normal(self.run.settings.num_prior_draws, 100, like=x, generator=self._generator("noise"))
        return prior_draws(denoiser, noise, 40, generator=self._generator("flow"))

    @cached_property
    def held_out(self) -> torch.Tensor:
        """Models in neither the training set nor among the truths, raw."""
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
        truth = true_prior("Gaussian", known)
        gaussians = [ledoit_wolf_of(half) for half in halves]
        pairs = {
            "memorized": [EmpiricalDenoiser(half) for half in halves],
            "exact prior": [truth.denoiser] * 2,
            "Ledoit-Wolf": [GaussianDenoiser(g.mean, g.covariance) for g in gaussians],
        }
        networks = [result for part, result in self.study.networks(self.first).items() if "half" in part.kind]
        pairs |= {label: [one[step] for one in networks] for label, step in self._looks.items()}
        return {name: measures.disagreement(*map(self._flow, two)) for name, two in pairs.items()}

    @cached_property
    def alarming(self) -> dict[str, Measured]:
        """Posteriors whose misfit is looked at, by name."""
        names = {"network, stopped early": "early-stopped", "network, last step": "trained"}
        closed = {name: self.known["Gaussian", name, self.first] for name in ("memorized", "Ledoit-Wolf", "smoothed")}
        exact = {"exact prior": self.known["Gaussian", "exact prior", 0]}
        return exact | closed | {label: self.sampled["linear", name, self.first] for label, name in names.items()}

    def report_table(self) -> Table:
        """A row for each prior: what the report says, and the swap test's numbers."""
        rows = []
        for name, of in self.reports.items():
            low, high = of.swap.share_interval
            share = f"{of.swap.share:.2f} ({low:.2f}, {high:.2f})"
            null = "{:.2f} to {:.2f}".format(*of.swap.null_interval)
            alike = interval(self.apart[name], 2)
            misfit = self.alarming[name].alarms
            alarms = f"{misfit.value:.2f} ({misfit.interval[0]:.2f}, {misfit.interval[1]:.2f})"
            rows.append([name, of.finding, f"{of.swap.p:.2g}", share, null, alike, alarms])
        header = ["samples of", "finding", "p of the swap test", "nearer to training", "by labels alone"]
        return Table([*header, "disagreement of halves", "misfit alarms"], rows)

    def detect(self) -> Figure:
        """Disagreement of halves, and misfit alarms."""
        figure, axes = style.panels(1, 2, height=2.9)
        dots = {name: mean.dot for name, mean in self.apart.items()}
        dots["exact prior"] = (0.0, 0.0, 0.0)
        draw.dot_rows(axes[0], dots, truth=None, xlabel="disagreement of two halves", limits=(-0.06, 1.1))
        dots = {name: self.alarming[name].alarms.dot for name in dots}  # the same order in both
        draw.dot_rows(axes[1], dots, truth=0.05, xlabel="data sets with a misfit alarm", limits=(0, 1))
        axes[1].set_yticklabels([])
        return figure

    # ---- the nonlinear operator --------------------------------------------------------------------------------------

    @cached_property
    def _weighted(self) -> dict:
        jobs = [job for job in self.study.posterior_jobs if job.how.startswith("waves")]
        return {job.remedy + ", sampled" * (job.how == "waves"): self.study.result(job) for job in jobs}

    @cached_property
    def nonlinear(self) -> dict[str, Measured]:
        """Calibration with the nonlinear operator: weighted draws where there are any, and the lookup."""
        size = self.run.settings
        survey, forward, y = self.study.waves
        num, found = size.num_exact_draws, {}
        for name, drawn in self._weighted.items():
            z = drawn.resampled(num, generator=self._generator(f"by weight, {name}"))
            found[name] = self._measured(survey, z, forward)
        examples = self.training(max(size.wave_sizes)).examples
        predicted = solved(self.study.inversion.likelihood.forward, examples)
        for n in size.wave_sizes:
            options = examples[:n], predicted[:n], y, survey.noise_std, num
            z = lookup_draws(*options, generator=self._generator("lookup"))
            found[f"memorized, N = {n}"] = self._measured(survey, z, forward)
        return found

    def nonlinear_table(self) -> Table:
        """A row for each prior, with the effective number of draws where they are weighted."""
        rows = []
        for name, m in self.nonlinear.items():
            counted = ["", ""]
            if name in self._weighted:
                drawn = self._weighted[name]
                least = f"{drawn.effective.median():.0f} ({drawn.effective.min():.0f})"
                counted = [least, f"{drawn.attainable(LEVEL):.3f}"]
            row = [name, interval(m.coverage), interval(m.region, 2), interval(m.error), *counted]
            rows.append(row if self._weighted else row[:4])
        header = ["nonlinear operator", "coverage of 90 %", "regions of 90 %", "error"]
        header += ["effective draws, median (least)", "coverage expected of so many"] if self._weighted else []
        return Table(header, rows)

    def waves_picture(self) -> Figure:
        """Coverage and error with the nonlinear operator."""
        figure, axes = style.panels(1, 2, height=3.4, sharey=True)
        for ax, what in zip(axes, TEXTS, strict=True):
            dots = {name: m.dots[what] for name, m in self.nonlinear.items()}
            draw.dot_rows(ax, dots, truth=LEVEL if what == "coverage" else None, xlabel=TEXTS[what], limits=(0, 1))
        return figure

    # ---- the control -------------------------------------------------------------------------------------------------

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
        return {name: measures.all_tests(survey, z, generator=self._generator("tests")) for name, z in tests.items()}

    def control_picture(self) -> Figure:
        """The grid of p-values."""
        figure, (ax,) = style.panels(height=2.1)
        values = {name: list(p.values()) for name, p in self.control.items()}
        draw.alarm_grid(ax, values, list(self.control["exact posterior"]))
        return figure

    # ---- claims and pictures -----------------------------------------------------------------------------------------

    def claims(self) -> dict[str, float]:
        """Every claim of the page, id -> value; of a full run's own numbers those that are listed.

        What a first recording is to tell cannot be expected before it.
        """
        found = {"truths": len(self.study.survey.truths), "width_50": self.width}
        for part in (self._of_known, self._of_checks, self._of_networks, self._of_detection, self._of_nonlinear):
            found |= part()
        made = {f"c6.{id}": float(value) for id, value in found.items()}
        return {id: value for id, value in made.items() if id in self.run.listed or not id.startswith("c6.full_")}

    def _of_known(self) -> dict:
        found = {"prior_coverage": self.alone.coverage.value, "prior_error": self.alone.error.value}
        for (family, name, n), m in self.known.items():
            id = "faulted_" * (family == "faulted") + IDS[name] + f"_{n}" * (n > 0)
            found |= {f"{id}_coverage": m.coverage.value, f"{id}_error": m.error.value}
            found[f"{id}_joint"] = m.region.value
            if n and name in ("memorized", "Ledoit-Wolf", "shaped kernels"):
                ratio = self.ratio(family, name, n)
                found[f"{id}_ratio"] = ratio.value
                if n == 50:
                    found |= {f"{id}_ratio_half": ratio.half}
            if n == 50 and name in ("memorized", "Ledoit-Wolf"):
                found |= {f"{id}_low": m.coverage.low, f"{id}_high": m.coverage.high}
        for (family, name), means in self.over_sets.items():
            for what, mean in means.items():
                id = f"sets_{'faulted_' * (family == 'faulted')}{IDS[name]}_{what}"
                found |= {id: mean.value, f"{id}_half": mean.half}
        for n, (certain, floor, narrow) in self.floors.items():
            found |= {f"certain_{n}": certain, f"floor_{n}": floor.value, f"narrow_{n}_error": narrow.value}
        many = self.many_regions
        found |= {"many_joint": many.value, "many_joint_low": many.low, "many_joint_high": many.high}
        shaped = (
            self.known["faulted", "shaped kernels", 1000].errors - self.known["faulted", "Ledoit-Wolf", 1000].errors
        )
        covariance = self.study.survey.prior.covariance
        gaps = [float((c - covariance).abs().max()) for c in remedies.moved_covariances(self.study.device)]
        found |= {"faulted_gain": Mean.over(shaped).value, "faulted_gain_half": Mean.over(shaped).half}
        found |= {"maps": len(gaps), "invariance": max(gaps) / float(covariance.abs().max())}
        return found | {
            "right_p": min(self.control["exact posterior"].values()),
            "narrow_p": max(self.control["20 % too narrow"].values()),
        }

    def _of_checks(self) -> dict:
        found = {}
        for (family, name), (simulated, left_out) in self.checks.items():
            id = "faulted_" * (family == "faulted") + IDS[name]
            found |= {f"{id}_simulated": simulated.value, f"{id}_left_out": left_out.coverage.value}
        for family in FAMILIES:
            id, gain = "faulted_" * (family == "faulted"), self.left_out_gain(family)
            found |= {f"{id}left_out_gain": gain.value, f"{id}left_out_gain_half": gain.half}
            found[f"{id}left_out_gain_size"] = abs(gain.value)
            of = self.checks[family, "Ledoit-Wolf"][1].coverage
            found |= {f"{id}lw_left_out_low": of.low, f"{id}lw_left_out_high": of.high}
            found[f"{id}h_50"] = fits.shaped_width(self.training(50, family).standardized)
        of = self.checks["Gaussian", "memorized"][1].coverage
        return found | {"memory_left_out_low": of.low, "memory_left_out_high": of.high}

    def _of_networks(self) -> dict:
        profile, found = self.run.profile, {}
        for (how, name, n), m in self.sampled.items():
            if "width" not in name:
                prefix = "" if how == "linear" else f"{how}_"
                id = f"{profile}_{prefix}{SAMPLED_IDS.get(name, name.lower())}_{n}"
                found |= {f"{id}_coverage": m.coverage.value, f"{id}_error": m.error.value}
        n = self.first
        for how in ("linear", "faulted"):
            prefix = "" if how == "linear" else "faulted_"
            difference = self.paired(how, "early-stopped", n)
            found |= {
                f"{profile}_{prefix}early_less_lw": difference.value,
                f"{profile}_{prefix}early_less_lw_half": difference.half,
                f"{profile}_{prefix}early_less_lw_size": abs(difference.value),
            }
            family = "Gaussian" if how == "linear" else "faulted"
            found[f"{profile}_{prefix}alone_lw_region"] = self.reach[family, "Ledoit-Wolf"].region.value
            for id, name in (("exact", "exact prior"), ("lw", "Ledoit-Wolf")):
                found[f"{profile}_{prefix}alone_{id}_error"] = self.reach[family, name].error.value
            for id, name in (("early", "early-stopped"), ("lw", "Ledoit-Wolf"), ("trained", "trained")):
                found[f"{profile}_{prefix}{id}_region"] = self.sampled[how, name, n].region.value
        found[f"{profile}_faulted_step_{n}"] = self.choice["faulted"].step
        for n in self.run.settings.remedies_at:
            choice = chosen(self.study.networks(n), self.study.device)
            found |= {f"{profile}_step_{n}": choice.step, f"{profile}_width_{n}": choice.width}
        return found | {f"{profile}_last": self.run.settings.checkpoints[-1]}

    def _of_detection(self) -> dict:
        found, profile = {}, f"{self.run.profile}_"
        ids = {"memorized": ("", "memory"), "exact prior": ("", "exact"), "Ledoit-Wolf": ("", "ledoit")}
        ids |= {"network, stopped early": (profile, "early"), "network, last step": (profile, "last")}
        for name, (before, id) in ids.items():
            of = self.reports[name].swap
            found |= {f"{before}report_{id}": of.p, f"{before}nearer_{id}": of.share}
            found |= {f"{before}apart_{id}": self.apart[name].value}
            found |= {f"{before}alarms_{id}": self.alarming[name].alarms.value}
        return found

    def _of_nonlinear(self) -> dict:
        found = {}
        for name, m in self.nonlinear.items():
            id = NONLINEAR_IDS.get(name) or name.replace("memorized, N = ", "memory_")
            id = f"waves_{id}" if "memory" in id else f"full_waves_{id}"
            found |= {f"{id}_coverage": m.coverage.value, f"{id}_error": m.error.value}
            if name in self._weighted:
                drawn = self._weighted[name]
                found |= {f"{id}_effective": drawn.effective.median(), f"{id}_at_most": drawn.attainable(LEVEL)}
        if self.study.linearization_points:
            misfits = [self.study.result(point).misfit for point in self.study.linearization_points]
            found["full_waves_located"] = max(misfits)
        return found

    def tables(self) -> dict[str, tuple[Table, str]]:
        """name -> (table, caption) of what is kept, by a full run alone."""
        if self.run.profile != "full":
            return {}
        over, sampled = "± or intervals: 95 % over truths", "through one sampler, 95 % over truths"
        found = {
            "known-gaussian": (self.known_table("Gaussian"), f"Known posteriors, Gaussian models; {over}."),
            "known-faulted": (self.known_table("faulted"), f"Known posteriors, models with faulted layers; {over}."),
            "sampled-gaussian": (self.sampled_table("Gaussian"), f"Gaussian models, {sampled}; one training set."),
            "sampled-faulted": (self.sampled_table("faulted"), f"Faulted layers, {sampled}; one training set."),
            "checks": (self.check_table(), "Coverage by simulated, left-out and held-out truths."),
            "reports": (self.report_table(), "What can be said without a truth."),
        }
        if self.study.linearization_points:
            found["nonlinear"] = self.nonlinear_table(), f"With the nonlinear operator; {over}."
        return found

    def pictures(self) -> dict[str, tuple[Figure, str, str]]:
        """name -> (figure, alt text, caption) of what is kept, by a full run alone."""
        if self.run.profile != "full":
            return {}
        makers: dict[str, Callable[[], Figure]] = {
            "answer": self.answer,
            "ranks": self.ranks,
            "remedies": self.remedies,
            "checks": self.check_picture,
            "detect": self.detect,
        }
        if self.study.linearization_points:
            makers["waves"] = self.waves_picture
        return {
            name: (make(), f"Panels with intervals. {CAPTIONS[name]}.", f"{CAPTIONS[name]}.")
            for name, make in makers.items()
        }
