"""Chapter 3's page: what it computes once, its figures, tables, sliders and claims."""

import math
from dataclasses import replace
from functools import cache, cached_property

import torch
from matplotlib.figure import Figure

from chapters.ch03_linearized_posterior import comparison, figures, lookup, lookup_figures, scales
from chapters.ch03_linearized_posterior.comparison import Comparison
from chapters.ch03_linearized_posterior.lookup import PUBLISHED_SIZES
from chapters.ch03_linearized_posterior.scales import EQ_7, EQ_8, WITH_RESIDUAL, InversionScales, LineScales
from companion import record
from companion.frames import Frames
from companion.record import Run
from companion.tables import Table
from memprior import paper
from memprior.denoiser import EmpiricalDenoiser
from memprior.fields import CosineBasis, velocity
from memprior.figures import style
from memprior.figures.maps import density_map, velocity_map
from memprior.figures.style import legend_below
from memprior.intervals import Mean, Share, log_interval, student
from memprior.mixture import effective_components
from memprior.operators import MatrixOperator
from memprior.paper import Problem
from memprior.posterior import MemorizedPosteriorDenoiser, collapsed_log_weights

SIZES = 50, 200, 1000  # published training sets
AFFINE_SIZE = 20  # examples of the negative control


class Results:
    """What this page shows, each computed when it is first asked for."""

    def __init__(self, run: Run):
        self.run, self.size, self.device = run, run.settings, run.device
        self.line = paper.line_problem(run.device)
        self.pentagon, self.truth = paper.pentagon_problem(run.device)
        self.grid = {"num_grid": self.size.num_grid_line}

    @cached_property
    def on_line(self) -> list[Comparison]:
        return [comparison.compare(self.line, s, **self.grid) for s in paper.PUBLISHED_SIGMAS]

    @cached_property
    def on_plane(self) -> list[Comparison]:
        side = {"num_grid": self.size.num_grid_plane}
        return [comparison.compare(self.pentagon, s, **side) for s in paper.PUBLISHED_SIGMAS]

    @cached_property
    def corrected(self) -> tuple:
        """Importance correction at the largest sigma: (correction, distance to exact weights, halves of intervals)."""
        draws = {"num_draws": self.size.num_draws, "generator": self.run.generator("correction")}
        found, distance = comparison.correct(self.line, self.on_line[0], **draws)
        # Of a share w estimated by an effective number of draws, two standard errors.
        effective = found.efficiency * self.size.num_draws
        return found, distance, 1.96 * (found.weights * (1 - found.weights) / effective).sqrt()

    @cached_property
    def two_sigmas(self) -> list[tuple]:
        """(smoothed posterior, noised lookup, their distance) at each published sigma."""
        _, cell = comparison.grid_for(self.line, self.size.num_grid_line)
        found = [comparison.two_sigmas(self.line, sigma, **self.grid) for sigma in paper.PUBLISHED_SIGMAS]
        return [(a, b, float(comparison.density_distance(a.log_density, b, cell))) for a, b in found]

    @cached_property
    def samplers(self) -> dict[str, lookup.LookupRun]:
        """Two samplers of one memorized prior, with the data and without, by name."""
        noisy = replace(self.line, noise_std=1.0)
        weights = collapsed_log_weights(noisy.train_set, noisy.likelihood).exp()
        denoisers = {
            "sampled with the exact posterior": MemorizedPosteriorDenoiser(noisy.train_set, noisy.likelihood),
            "sampled without the data": EmpiricalDenoiser(noisy.train_set),
        }
        steps = {"num_samples": self.size.num_samples, "num_steps": self.size.num_steps}
        return {
            name: lookup.run_lookup(noisy, denoiser, weights, **steps, generator=self.run.generator(name))
            for name, denoiser in denoisers.items()
        }

    @cached_property
    def scales(self) -> list[LineScales]:
        return [self._scales(lookup.line_with(num, self.device), 10.0) for num in PUBLISHED_SIZES]

    @cached_property
    def affine_scales(self) -> LineScales:
        """Negative control: the same with F(x) = x, where nothing is linearized."""
        one = torch.ones(1, 1, dtype=torch.float64, device=self.device)
        problem = replace(lookup.line_with(AFFINE_SIZE, self.device), forward=MatrixOperator(one))
        return self._scales(problem, 3.0)

    def _scales(self, problem: Problem, reach: float) -> LineScales:
        sigmas = torch.logspace(-2, math.log10(5), 2 * self.size.num_sigmas, dtype=torch.float64, device=self.device)
        data = torch.linspace(-reach, reach, self.size.num_data, dtype=torch.float64, device=self.device)
        return scales.line_scales(problem, data, sigmas, **self.grid)

    @cached_property
    def tangent(self):
        """The published inversion, linearized at its truth."""
        return paper.tangent(paper.published_inversion(device=self.device))

    @cached_property
    def examples(self) -> torch.Tensor:
        return paper.published_coefficients(max(SIZES)).to(self.device)

    @cached_property
    def truths(self) -> torch.Tensor:
        return paper.published_coefficients(self.size.num_truths, seed=paper.TRUTH_SEED).to(self.device)

    @cached_property
    def inversion(self) -> list[InversionScales]:
        """Eq. 8 in the published inversion, over unseen truths, for each number of examples."""
        sigmas = torch.logspace(-3.5, 1, 181, dtype=torch.float64, device=self.device)
        return [
            scales.inversion_scales(
                self.tangent, self.examples[:n], self.truths, sigmas, generator=self.run.generator("truths")
            )
            for n in SIZES
        ]

    @cached_property
    def by_noise(self) -> tuple[torch.Tensor, dict[int, list[Mean]]]:
        """Noise in units of the paper's, and effective examples there at each N, over truths."""
        factors = torch.logspace(-1, 3, 13, dtype=torch.float64)
        factors = torch.cat([factors[factors < 0.99], torch.ones(1, dtype=torch.float64), factors[factors > 1.01]])
        curves = {}
        for n in SIZES:
            draws = self.run.generator("noises")
            every = scales.effective_by_noise(self.tangent, self.examples[:n], self.truths, factors, generator=draws)
            curves[n] = [Mean.over(one) for one in every.cpu()]
        return factors, curves

    @cached_property
    def held_out(self) -> dict[int, torch.Tensor]:
        models = paper.published_coefficients(self.size.num_held_out, seed=paper.HELD_OUT_SEED)
        return lookup.ratios_of(models.to(self.device), SIZES)

    @cached_property
    def control(self) -> lookup.ManyExamples:
        repeats = {"num_repeats": self.size.num_repeats, "generator": self.run.generator("control")}
        return lookup.many_examples(self.line, self.size.control_sizes, **repeats, **self.grid)


# ---- figures -------------------------------------------------------------------------------------------------------


def answer(results: Results) -> Figure:
    """The lookup in the plane, and in the published inversion."""
    points, _ = comparison.grid_for(results.pentagon, results.size.num_grid_plane)
    posterior = comparison.compare(results.pentagon, 0.1, num_grid=results.size.num_grid_plane).exact
    figure, axes = style.panels(1, 2, height=3.0, width_ratios=[1, 1.3])
    density_map(axes[0], points, posterior.log_density, results.pentagon.train_set, truth=results.truth)
    axes[0].set(title="five examples: the posterior", ylabel="$x_2$")
    lookup_figures.effective_against_noise(axes[1], *results.by_noise)
    axes[1].set_title("the published inversion, linearized")
    return legend_below(figure, axes, 5)


def problem_picture(results: Results) -> Figure:
    """Prior, likelihood and posterior of the pentagon; the index shows it, too."""
    points, _ = comparison.grid_for(results.pentagon, results.size.num_grid_plane)
    posterior = comparison.compare(results.pentagon, 0.1, num_grid=results.size.num_grid_plane).exact
    figure, axes = style.panels(1, 3, height=2.9, sharey=True)
    views = {
        "memorized prior": results.pentagon.prior(0.1).log_prob(points),
        "likelihood of the data": results.pentagon.likelihood.log_prob(points),
        "posterior: one example": posterior.log_density,
    }
    for ax, (title, log_density) in zip(axes, views.items(), strict=True):
        density_map(ax, points, log_density, results.pentagon.train_set, truth=results.truth, title=title)
    axes[0].set_ylabel("$x_2$")
    record.picture("lookup", figure)
    return legend_below(figure, axes[:1], 4)


def line_figure(results: Results) -> Figure:
    figure, axes = style.panels(1, 3, height=2.6)
    for ax, one in zip(axes, results.on_line, strict=True):
        figures.line_densities(ax, one, results.line.train_set)
    return legend_below(figure, axes[:1], 4)


def plane_figure(results: Results) -> Figure:
    figure, axes = style.panels(1, 3, height=2.9, sharey=True)
    for ax, one in zip(axes, results.on_plane, strict=True):
        figures.plane_posterior(ax, one, results.pentagon.train_set, results.truth)
    axes[0].set_ylabel("$x_2$")
    return legend_below(figure, axes[:1], 4)


@cache
def breaks(results: Results) -> Figure:
    """Where linearization breaks: weights against sigma at y = 0, densities against sigma and y."""
    size, line = results.size, results.line
    sigmas = torch.logspace(-1.3, 0, size.num_sigmas, dtype=torch.float64)
    found = [comparison.compare(line, sigma, **results.grid) for sigma in sigmas.tolist()]
    draws = {"num_draws": size.num_draws, "generator": results.run.generator("correction curve")}
    distances = {
        "without determinant": [one.distance_released for one in found],
        "linearized": [one.distance for one in found],
        "importance-corrected": [comparison.correct(line, one, **draws)[1] for one in found],
    }
    data = torch.linspace(-8, 8, size.num_observations, dtype=torch.float64)
    broken = comparison.breakdown(line, sigmas, data, num_grid=2001)
    figure, axes = style.panels(1, 2, height=3.0)
    figures.distance_curves(axes[0], sigmas, distances).legend(loc="lower right")
    figures.breakdown_map(axes[1], sigmas, data, broken)
    return figure


def two_sigmas_figure(results: Results) -> Figure:
    figure, axes = style.panels(1, 3, height=2.5)
    cases = zip(axes, paper.PUBLISHED_SIGMAS, results.two_sigmas, strict=True)
    for ax, sigma, (smoothed, noised, _) in cases:
        figures.two_posteriors(ax, smoothed, noised, results.line.train_set).set_title(rf"$\sigma = {sigma}$")
    return legend_below(figure, axes[:1], 4)


def sampler_figure(results: Results) -> Figure:
    figure, (ax,) = style.panels(height=2.6)
    lookup_figures.landing_bars(ax, results.samplers).legend(loc="upper right")
    return figure


def dominance_figure(results: Results) -> Figure:
    """Effective components against sigma at y = 0, and their excess at sigma_crit against y."""
    figure, axes = style.panels(1, 2, height=3.1, width_ratios=[1, 1.1])
    lookup_figures.effective_curves(axes[0], results.scales).legend(loc="upper left", ncols=2, fontsize=8)
    lookup_figures.excess_curves(axes[1], results.scales)
    return figure


def scales_figure(results: Results) -> Figure:
    """Settling scale over each prediction, on the line and in the inversion."""
    every = {f"N = {one.num}": one for one in results.scales}
    every[f"N = {AFFINE_SIZE}, F(x) = x"] = results.affine_scales
    rows: dict[str, dict] = {}
    for name in (EQ_8, WITH_RESIDUAL, EQ_7):
        rows[name] = {label: quantiles(one.ratios(name)) for label, one in every.items()}
        if name != EQ_7:  # exact in the linearized inversion
            rows[name] |= {f"inversion, N = {one.num}": quantiles(one.ratios(name)) for one in results.inversion}
    figure, (ax,) = style.panels(height=5.2)
    lookup_figures.ratio_rows(ax, rows).legend(loc="lower right", fontsize=8)
    return figure


def quantiles(values: torch.Tensor) -> tuple[float, float, float]:
    """Median, 5 % and 95 %: values that were met, for some may be infinite."""
    at = values.new_tensor([0.5, 0.05, 0.95])
    median, low, high = torch.quantile(values, at, interpolation="nearest").tolist()
    return median, low, high


def published_figure(results: Results) -> Figure:
    """The paper's truth, and the example that the lookup returns for it at each N."""
    basis, truth = CosineBasis(paper.published_grid()), paper.published_truth().to(results.device)
    chosen = [int(collapsed_log_weights(results.examples[:n], results.tangent).argmax()) for n in SIZES]
    fields = velocity(basis.decode(torch.cat([truth[None], results.examples[chosen]])))
    limits = float(fields.min()), float(fields.max())
    titles = ["truth", *(f"lookup, $N={n}$" for n in SIZES)]
    figure, axes = style.panels(1, 4, height=2.35, sharey=True)
    for ax, field, title in zip(axes, fields, titles, strict=True):
        image = velocity_map(ax, field, 2.0, limits, title=title)
    axes[0].set_ylabel("depth, km")
    figure.colorbar(image, ax=axes, label="km/s", shrink=0.8, pad=0.01)
    return figure


def nulls_figure(results: Results) -> Figure:
    """Effective examples against noise, and the ratio of held-out fields."""
    figure, axes = style.panels(1, 2, height=2.8)
    lookup_figures.effective_against_noise(axes[0], *results.by_noise).legend(loc="upper left")
    lookup_figures.ratio_histograms(axes[1], results.held_out, paper.MEMORIZED_BELOW).legend(loc="upper left")
    return figure


def control_figure(results: Results) -> Figure:
    figure, (ax,) = style.panels(height=2.7)
    lookup_figures.convergence_curve(ax, results.control).legend(loc="lower left")
    return figure


# ---- sliders -------------------------------------------------------------------------------------------------------

MOVED = {
    "sigma": ("prior width σ", [0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.65, 0.8, 1.0], 6),
    "noise_std": ("noise γ", [0.05, 0.1, 0.2, 0.3, 0.5, 0.8, 1.2, 2.0], 3),
    "observed": ("data y", [-6, -4, -2, -1, 0, 1, 2, 3, 4, 5, 6, 7, 8], 7),
}


def slider(results: Results, moved: str) -> Frames:
    """Densities and weights on the line as one of ``MOVED`` moves, the others as published."""
    label, values, start = MOVED[moved]
    line = results.line

    @cache
    def at(value):
        now = {"sigma": 0.5, "noise_std": line.noise_std, "observed": 0.0} | {moved: value}
        problem = replace(
            line, observed=torch.full_like(line.observed, now["observed"]), noise_std=float(now["noise_std"])
        )
        return comparison.compare(problem, now["sigma"], num_grid=2001)

    def alt(value):
        return f"Densities and weights, {label} = {value:g}: {figures.describe(at(value), line.train_set)}"

    def frame(value):
        return figures.densities_and_weights(at(value), line.train_set)

    return Frames(frame, values, name=label, alt=alt, start=start)


def number_slider(results: Results) -> Frames:
    """The line with more and more examples: densities, and lookup weights."""

    @cache
    def at(num):
        problem = lookup.line_with(num, results.device)
        weights = collapsed_log_weights(problem.train_set, problem.likelihood)
        return problem, comparison.compare(problem, 0.3, num_grid=2001), weights

    def frame(num):
        problem, compared, weights = at(num)
        return lookup_figures.densities_and_lookup(compared, problem.train_set, weights.exp())

    def alt(num):
        return f"Densities and lookup weights, {num} examples, {effective_components(at(num)[2]):.1f} effective"

    return Frames(frame, [2, 3, 4, 5, 7, 10, 15, 20, 30, 50, 100], name="examples N", alt=alt, start=3)


# ---- tables --------------------------------------------------------------------------------------------------------


def weights_table(results: Results) -> Table:
    """Component weights on the line at the largest sigma: exact by quadrature, by Eq. 7, corrected; a row an example.

    One row would hold five intervals, wider than a phone.
    """
    compared, (correction, _, halves) = results.on_line[0], results.corrected
    kinds = compared.exact.weights, compared.linearized.weights, compared.released.weights
    closed = zip(*(weights.tolist() for weights in kinds), strict=True)
    examples = results.line.train_set.flatten().tolist()
    rows = []
    for x, weights, w, half in zip(examples, closed, correction.weights.tolist(), halves.tolist(), strict=True):
        rows.append([f"{x:g}", *(f"{one:.5f}" for one in weights), f"{w:.5f} ± {half:.5f}"])
    return Table(["example x", "exact", "Eq. 7", "no determinant", "corrected"], rows)


def scales_table(results: Results) -> Table:
    """Eq. 8 on the line at all data."""
    rows = []
    cases = {f"{one.num}": one for one in results.scales}
    cases[f"{AFFINE_SIZE}, F(x) = x"] = results.affine_scales
    for label, one in cases.items():
        excess = f"{one.excess[one.data.abs().argmin()]:+.1%}", f"{one.excess.min():+.0%} to {one.excess.max():+.0%}"
        shares = (f"{float(flags.double().mean()):.0%}" for flags in (one.excess > 0.1, one.exchanged))
        ratios = ("{:.2f} ({:.2f} to {:.2f})".format(*quantiles(one.ratios(k))) for k in (EQ_8, WITH_RESIDUAL, EQ_7))
        rows.append([label, f"{one.sigma_crit:.3f}", *excess, *shares, *ratios])
    header = ["N", "σ_crit", "excess at y = 0", "excess over y", "y with more than 10 %", "y with another leader"]
    return Table([*header, *(f"settling scale over {name}" for name in (EQ_8, WITH_RESIDUAL, EQ_7))], rows)


def inversion_table(results: Results) -> Table:
    """Eq. 8 in the published inversion, linearized, over truths."""
    rows = []
    for one in results.inversion:
        shares = Share.of_flags(one.exchanged.cpu())
        low, high = shares.interval
        settling = "{:.3f} ({:.3f} to {:.3f})".format(*log_interval(one.settling.tolist(), 0.95))
        ratios = ("{:.2f} ({:.2f} to {:.2f})".format(*_geometric(one, name)) for name in (EQ_8, WITH_RESIDUAL))
        numbers = f"{one.spacing:.1f}", f"{one.sigma_crit:.3f}", f"{Mean.over(one.effective.cpu())}"
        rows.append([f"{one.num}", *numbers, f"{shares.value:.2f} ({low:.2f} to {high:.2f})", settling, *ratios])
    header = ["N", "spacing δ", "σ_crit", "effective examples at σ_crit", "truths with another leader there"]
    return Table([*header, "settling scale", "over σ_crit", "over that with the residual"], rows)


def _geometric(one: InversionScales, name: str) -> tuple[float, float, float]:
    return log_interval(one.ratios(name).tolist(), 0.95)


# ---- claims, and what a full run keeps -----------------------------------------------------------------------------


def claims(results: Results) -> dict[str, float]:
    """Id -> value: every number that the page quotes."""
    correction, distance, _ = results.corrected
    at_half, run, inversion = results.on_line[0], results.run, results.inversion
    found = {
        "tv_released": at_half.distance_released,
        "tv_linearized": at_half.distance,
        "tv_corrected": distance,
        "efficiency": correction.efficiency,
        "tv_density": at_half.density_distance,
        "tv_plane": results.on_plane[0].density_distance,
        "broken": comparison.breakdown(results.line, [0.5], [3.0], num_grid=2001),
        "two_sigmas_half": results.two_sigmas[0][2],
        "two_sigmas_small": results.two_sigmas[-1][2],
    }
    sizes = {"num_examples": 7, "model_size": 4, "data_size": 3}
    found["affine_gap"] = comparison.affine_gap(**sizes, generator=run.generator("affine"), device=run.device)
    informed, blind = results.samplers.values()
    found |= {"sampler_ratio": informed.distance / informed.floor, "sampler_std": informed.floor_std / informed.floor}
    found |= {"sampler_blind": blind.distance, "sampler_spread": max(informed.spread, blind.spread)}
    found |= _scale_claims(results)
    found["limit_100"] = results.scales[-1].limits[results.scales[-1].data.abs().argmin()]
    gaps = {"gap_100": (100, 0.3), "gap_dense": (10_000, 0.3), "gap_quiet": (10_000, 0.03)}
    found |= {id: lookup.limit_gap(num, noise, run.device) for id, (num, noise) in gaps.items()}
    factors, curves = results.by_noise
    at_paper = int((factors - 1).abs().argmin())
    truth = lookup.ratios_of(paper.published_truth().to(run.device)[None], SIZES)
    for one in inversion:
        n = one.num
        found[f"effective_{n}"] = curves[n][at_paper].value
        found |= {f"held_out_{n}": (results.held_out[n] < paper.MEMORIZED_BELOW).double().mean()}
        found |= {f"truth_ratio_{n}": truth[n], f"spacing_{n}": one.spacing, f"inversion_crit_{n}": one.sigma_crit}
    slope = results.control.slope
    found |= {"control_slope": slope.value, "control_slope_half": slope.half}
    few = results.control.distances[:, 0].cpu()
    found |= {"control_few": few.mean(), "control_few_half": student(few)}
    full = _truth_claims(inversion) if run.profile == "full" else {}
    full |= {"truths": results.size.num_truths} if run.profile == "full" else {}
    made = {f"c3.{id}": float(v) for id, v in found.items()} | {f"c3.full_{id}": float(v) for id, v in full.items()}
    return {id: value for id, value in made.items() if id in run.listed}


def _scale_claims(results: Results) -> dict[str, float]:
    every = results.scales
    found = {f"sigma_crit_{one.num}": one.sigma_crit for one in every}
    found |= {f"excess_zero_{one.num}": float(one.excess[one.data.abs().argmin()]) for one in every}
    found |= {"excess_most": max(float(one.excess.max()) for one in every)}
    found |= {f"excess_share_{one.num}": float((one.excess > 0.1).double().mean()) for one in every}
    for id, name in (("eq8", EQ_8), ("residual", WITH_RESIDUAL), ("eq7", EQ_7)):
        for one in every:
            found |= {f"{id}_{part}_{one.num}": v for part, v in _middle(one.ratios(name)).items()}
    affine = results.affine_scales
    found |= {f"affine_{part}": v for part, v in _middle(affine.ratios(EQ_7)).items()}
    return found | {"affine_excess": float(affine.excess.max())}


def _middle(values: torch.Tensor) -> dict[str, float]:
    median, low, high = quantiles(values)
    return {"median": median, "low": low, "high": high}


def _truth_claims(inversion: list[InversionScales]) -> dict[str, float]:
    """Over truths, of a full run."""
    found = {}
    for one in inversion:
        crit = Mean.over(one.effective.cpu())
        low, high = Share.of_flags(one.exchanged.cpu()).interval
        found |= {f"crit_{one.num}": crit.value, f"crit_half_{one.num}": crit.half}
        found |= {f"exchanged_{one.num}": float(one.exchanged.double().mean())}
        found |= {f"exchanged_low_{one.num}": low, f"exchanged_high_{one.num}": high}
        for id, name in (("over", EQ_8), ("residual", WITH_RESIDUAL)):
            middle, low, high = _geometric(one, name)
            found |= {f"{id}_{one.num}": middle, f"{id}_low_{one.num}": low, f"{id}_high_{one.num}": high}
        found[f"rho_{one.num}"] = float(one.residuals.median())
    return found


def tables(results: Results) -> dict[str, tuple[Table, str]]:
    """Name -> table and caption, of what a full run keeps for its page."""
    return {
        "weights": (
            weights_table(results),
            f"Weights of the five examples at y = 0, σ = {results.on_line[0].sigma:g}. Exact by quadrature, and "
            "closed forms: no interval; ± 95 % over draws where these are reweighted.",
        ),
        "scales": (
            scales_table(results),
            "Eq. 8 on the line, exact by quadrature: no interval. Ranges, shares, medians (5 to 95 %) are over the "
            "data y in [-10, 10], in the last row over [-3, 3].",
        ),
        "inversion": (
            inversion_table(results),
            f"Eq. 8 in the published inversion, F linearized at its truth, over {results.size.num_truths} "
            "unseen truths with a noise draw each. δ and σ_crit are exact; ± and brackets are 95 % over truths; the "
            "last three are geometric means.",
        ),
    }


def pictures(results: Results) -> dict[str, tuple[Figure, str, str]]:
    """Name -> figure, alt text and caption, of what a full run keeps for its page."""
    return {
        "answer": (
            answer(results),
            "Left, a map of five circles on a pentagon: all posterior is on the one nearest to the star, nothing "
            "on the star. Right, three curves of effective examples against noise: at one up to ten times the "
            "paper's noise, then rising to N.",
            "Left: the posterior of a memorized prior of five examples sits on one of them, not on the truth (star). "
            "Right: effective examples in the published inversion, linearized, against the noise (dotted: the "
            f"paper's), mean and 95 % over {results.size.num_truths} unseen truths.",
        ),
        "breaks": (
            breaks(results),
            "Left, three rising curves of total variation against sigma: without determinant highest; the importance-"
            "corrected one is flat, and lowest at large sigma. Right, a map over sigma and data, dark between and "
            "beyond the data of examples.",
            "Left: distance of approximate to exact weights at y = 0; the corrected curve ends at the noise of its "
            "draws. Right: distance of the linearized density to the exact one at all data.",
        ),
        "scales": (
            scales_figure(results),
            "Rows of dots with bars on a logarithmic axis, in three groups. Those of Eq. 8 and of the residual spread "
            "widely, most of all in the inversion; those of Eq. 7 lie near one from ten examples on.",
            "Settling scale over three predictions of it: median, and 5 to 95 % of the data (on the line) or of the "
            "truths (in the inversion). One is right; below one the prediction is too large.",
        ),
    }
