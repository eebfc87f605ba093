"""Chapter 6's page: tables, figures and the slider, all of numbers that :class:`Results` computed."""

from dataclasses import dataclass

from matplotlib.figure import Figure

from chapters.ch06_calibration import figures as draw
from chapters.ch06_calibration.families import FAMILIES
from chapters.ch06_calibration.measures import LEVEL, Measured
from chapters.ch06_calibration.results import KNOWN, LINEARIZED, Results
from companion.frames import Frames
from companion.tables import Table
from memprior.calibration import Coverage
from memprior.figures import style
from memprior.figures.style import legend_below
from memprior.intervals import Mean

TEXTS = {"coverage": "coverage of 90 % intervals", "error": "error"}
TITLES = {"Gaussian": "Gaussian", "faulted": "faulted layers"}


def interval(found: Coverage | Mean, digits: int = 3) -> str:
    """A value and its 95 % interval."""
    return f"{found.value:.{digits}f} ({found.low:.{digits}f}, {found.high:.{digits}f})"


@dataclass(frozen=True, eq=False)
class Page:
    """The results of one run, as the page shows them."""

    results: Results

    # ---- posteriors that are known -----------------------------------------------------------------------------------

    def known_table(self, family: str) -> Table:
        """A row for each prior that is known."""
        rows = [
            self._row(name if not n else f"{name}, N = {n}", m)
            for (of, name, n), m in self.results.known.items()
            if of == family
        ]
        if family == "Gaussian":
            rows.append(self._row("the prior, no data", self.results.alone))
        return Table(["prior", "coverage of 90 %", "principal axes", "regions of 90 %", "error"], rows)

    @staticmethod
    def _row(name: str, m: Measured) -> list[str]:
        return [name, interval(m.coverage), interval(m.axes), interval(m.region, 2), interval(m.error)]

    def answer(self) -> Figure:
        """Coverage above, error below; a column for each family."""
        known, sizes = self.results.known, self.results.run.settings.sizes
        figure, axes = style.panels(2, 2, height=5.2, sharex=True, sharey="row")
        for row, what in enumerate(TEXTS):
            for column, family in enumerate(FAMILIES):
                ax = axes[2 * row + column]
                curves = {"exact prior": [known[family, "exact prior", 0].dots[what]] * len(sizes)}
                curves |= {name: [known[family, name, n].dots[what] for n in sizes] for name in KNOWN}
                draw.by_size(ax, sizes, curves, truth=LEVEL if what == "coverage" else None, ylabel=TEXTS[what])
                ax.set(ylim=(0, 1 if what == "coverage" else 1.05))
                if column:
                    ax.set_ylabel("")
                if not row:
                    ax.set(title=TITLES[family], xlabel="")
        legend_below(figure, axes[:1], 3)
        return figure

    def ranks(self) -> Figure:
        """Of the Gaussian family at N = 50."""
        known = self.results.known
        at_50 = {"exact prior": known["Gaussian", "exact prior", 0]}
        at_50 |= {name: known["Gaussian", name, 50] for name in ("memorized", "smoothed", "Ledoit-Wolf")}
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
        found, exact = self.results.by_width, self.results.known["Gaussian", "exact prior", 0].error.value
        grid = list(found)
        curves = [m.coverage.value for m in found.values()], [m.error.value for m in found.values()]
        options = *curves, exact, self.results.width
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

    def floor_table(self) -> Table:
        """The floor beside the error."""
        rows = []
        for n, (certain, floor, narrow) in self.results.floors.items():
            error = self.results.known["Gaussian", "memorized", n].error
            rows.append([f"N = {n}", f"{certain:.1%}", interval(floor), interval(error), interval(narrow)])
        header = ["training set", "truths with a weight above 0.95", "floor", "error", "error, width / 100"]
        return Table(header, rows)

    # ---- the checks --------------------------------------------------------------------------------------------------

    def check_table(self) -> Table:
        """A row for each prior and family."""
        rows = []
        for (family, name), (simulated, left_out) in self.results.checks.items():
            m = self.results.known[family, name, 50]
            coverages = map(interval, (simulated, left_out.coverage, m.coverage))
            rows.append([f"{name}, {family}", *coverages, interval(Mean.over(left_out.errors)), interval(m.error)])
        header = ["prior of fifty models", "coverage, simulated truths", "coverage, left-out", "coverage, held-out"]
        return Table([*header, "error, left-out", "error, held-out"], rows)

    def check_picture(self) -> Figure:
        """The three coverages of each prior, a panel for each family."""
        figure, axes = style.panels(1, 2, height=2.9, sharey=True)
        for ax, family in zip(axes, FAMILIES, strict=True):
            rows = {}
            for name in KNOWN:
                simulated, left_out = self.results.checks[family, name]
                rows[name] = simulated, left_out.coverage, self.results.known[family, name, 50].coverage
            draw.check_rows(ax, rows, truth=LEVEL)
            ax.set(title=TITLES[family], xlabel="coverage of 90 % intervals")
        legend_below(figure, axes[:1], 3)
        return figure

    def control_picture(self) -> Figure:
        """The grid of p-values."""
        figure, (ax,) = style.panels(height=2.1)
        values = {name: list(p.values()) for name, p in self.results.control.items()}
        draw.alarm_grid(ax, values, list(self.results.control["exact posterior"]))
        return figure

    # ---- networks ----------------------------------------------------------------------------------------------------

    def sampled_table(self, family: str) -> Table:
        """A row for each sampled posterior; the last column is the paired difference to the Ledoit-Wolf Gaussian."""
        hows = {"faulted": ("faulted",), "Gaussian": ("linear", "neutral")}[family]
        rows = [
            [f"{name}, no sampler", interval(m.coverage), interval(m.region, 2), interval(m.error), ""]
            for (of, name), m in self.results.reach.items()
            if of == family
        ]
        for (how, name, n), m in self.results.sampled.items():
            if how in hows:
                label = f"{name}, N = {n}" + ", neutral guide" * (how == "neutral")
                less = "" if name == "Ledoit-Wolf" else str(self.results.paired(how, name, n)).replace("0.", ".")
                rows.append([label, interval(m.coverage), interval(m.region, 2), interval(m.error), less])
        header = ["prior, one sampler", "coverage of 90 %", "regions of 90 %", "error", "error less Ledoit-Wolf's"]
        return Table(header, rows)

    def remedies(self) -> Figure:
        """Coverage and error through one sampler; a row of panels for each family."""
        sampled, first = self.results.sampled, self.results.first
        figure, axes = style.panels(2, 2, height=5.6)
        for row, family in enumerate(FAMILIES):
            tried = {name: m for (how, name, n), m in sampled.items() if (how, n) == (LINEARIZED[family], first)}
            tried = {name: m for name, m in tried.items() if "width" not in name}
            for column, what in enumerate(TEXTS):
                ax = axes[2 * row + column]
                right = LEVEL if what == "coverage" else self.results.reach[family, "exact prior"].error.value
                limits = (0, 1) if what == "coverage" else (0, None)
                dots = {name: m.dots[what] for name, m in tried.items()}
                draw.dot_rows(ax, dots, truth=right, xlabel=TEXTS[what], limits=limits)
                ax.set_title(TITLES[family])
                if column:
                    ax.set_yticklabels([])
        return figure

    # ---- without a truth ---------------------------------------------------------------------------------------------

    def report_table(self) -> Table:
        """A row for each prior: what the report says, and the swap test's numbers."""
        rows, spread = [], "{:.2f} ({:.2f}, {:.2f})".format
        for name, of in self.results.reports.items():
            share = spread(of.swap.share, *of.swap.share_interval)
            null = "{:.2f} to {:.2f}".format(*of.swap.null_interval)
            alike, alarms = interval(self.results.apart[name], 2), spread(*self.results.alarming[name].alarms.dot)
            rows.append([name, of.finding, f"{of.swap.p:.2g}", share, null, alike, alarms])
        header = ["samples of", "finding", "p of the swap test", "nearer to training", "by labels alone"]
        return Table([*header, "disagreement of halves", "misfit alarms"], rows)

    def detect(self) -> Figure:
        """Disagreement of halves, and misfit alarms."""
        figure, axes = style.panels(1, 2, height=2.9)
        dots = {name: mean.dot for name, mean in self.results.apart.items()}
        dots["exact prior"] = (0.0, 0.0, 0.0)
        draw.dot_rows(axes[0], dots, truth=None, xlabel="disagreement of two halves", limits=(-0.06, 1.1))
        dots = {name: self.results.alarming[name].alarms.dot for name in dots}  # the same order in both
        draw.dot_rows(axes[1], dots, truth=0.05, xlabel="data sets with a misfit alarm", limits=(0, 1))
        axes[1].set_yticklabels([])
        return figure

    # ---- the nonlinear operator --------------------------------------------------------------------------------------

    def nonlinear_table(self) -> Table:
        """A row for each prior, with the effective number of draws where they are weighted."""
        rows, weighted = [], self.results.weighted
        for name, m in self.results.nonlinear.items():
            counted = ["", ""]
            if name in weighted:
                drawn = weighted[name]
                least = f"{drawn.effective.median():.0f} ({drawn.effective.min():.0f})"
                counted = [least, f"{drawn.attainable(LEVEL):.3f}"]
            row = [name, interval(m.coverage), interval(m.region, 2), interval(m.error), *counted]
            rows.append(row if weighted else row[:4])
        header = ["nonlinear operator", "coverage of 90 %", "regions of 90 %", "error"]
        header += ["effective draws, median (least)", "coverage expected of so many"] if weighted else []
        return Table(header, rows)

    def waves_picture(self) -> Figure:
        """Coverage and error with the nonlinear operator."""
        figure, axes = style.panels(1, 2, height=3.4, sharey=True)
        for ax, what in zip(axes, TEXTS, strict=True):
            dots = {name: m.dots[what] for name, m in self.results.nonlinear.items()}
            draw.dot_rows(ax, dots, truth=LEVEL if what == "coverage" else None, xlabel=TEXTS[what], limits=(0, 1))
        return figure
