"""What every figure function gets: the results of one flow, their pooled scores, and how to draw them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import matplotlib.axis
import matplotlib.figure
import numpy as np
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

from eddymark.report.collect import FlowResults, StepperResults
from eddymark.report.constraints import MARK
from eddymark.report.standings import COMPETING, SPECTRUM, Standing, rank
from eddymark.report.style import Style, Styles
from eddymark.report.text import KINDS

LINES = 8
"""More lines than this in one panel cannot be told apart."""

Array = np.ndarray[Any, np.dtype[np.float64]]


@dataclass(frozen=True)
class View:
    """One flow as the figures see it."""

    flow: FlowResults
    standings: list[Standing]
    styles: Styles

    @property
    def clock(self) -> str:
        """Unit of all times, in the plural."""
        return f"{self.flow.flow.clock}s"

    @property
    def transient(self) -> bool:
        """Whether everything is compared with the DNS at the same times."""
        return self.flow.flow.is_transient

    def style(self, stepper: StepperResults | Standing) -> Style:
        """Return how a stepper is drawn."""
        return self.styles.style_for(stepper.name, stepper.kind)

    def standing(self, name: str) -> Standing:
        """Return the pooled scores of a stepper."""
        return next(row for row in self.standings if row.name == name)

    def representative(self, name: str) -> StepperResults:
        """Return the seed whose spectrum error is the median one (the lower of two)."""
        seeds = self.flow.seeds_of(name)
        errors = [_spectrum_error(stepper) for stepper in seeds]
        order = sorted(range(len(seeds)), key=lambda index: (math.isnan(errors[index]), errors[index]))
        return seeds[order[(len(order) - 1) // 2]]

    @property
    def main(self) -> list[StepperResults]:
        """The LES and learned models to draw: all if they are few, else the no-model LES, the best LES and the best.

        A coarser LES, whose statistics are those of fewer shells, is drawn in no figure but those of cost and survival.
        """
        names = [row.name for row in self.standings if row.kind in COMPETING and row.fewer_shells is None]
        if len(names) > LINES:
            ranked = rank(self.standings, SPECTRUM)
            classical = next((row.name for row in ranked if row.kind == "les"), None)
            wanted = [name for name in (self.flow.no_model, classical) if name]
            wanted += [*(row.name for row in ranked), *names]
            keep = set(list(dict.fromkeys(wanted))[:LINES])
            names = [name for name in names if name in keep]
        return [self.representative(name) for name in names]

    @property
    def highlighted(self) -> set[str]:
        """The best LES and the best learned model: the only lines whose intervals are drawn."""
        ranked = rank(self.standings, SPECTRUM)
        best = [next((row.name for row in ranked if row.kind == "les"), None)]
        best.append(next((row.name for row in ranked if row.learned), None))
        return {name for name in best if name}

    def control(self, name: str) -> StepperResults | None:
        """Return a control if the experiment has it."""
        return next((stepper for stepper in self.flow.steppers if stepper.name == name), None)

    def with_statistic(self, name: str) -> list[StepperResults]:
        """Return `main` and matched noise, as far as they have a statistic: an earlier version may have stored none."""
        noise = self.control("matched_noise")
        return [one for one in (*self.main, *([noise] if noise else [])) if name in one.statistics]

    def label(self, stepper: StepperResults | Standing) -> str:
        """Return the legend entry of a stepper, marked if it is constrained and if some of its rollouts failed."""
        row = self.standing(stepper.name)
        return f"{label(stepper)}{f' {MARK}' * bool(row.activities)}{' †' * row.has_failures}"

    @property
    def chance_error(self) -> float:
        """Relative L2 error between unrelated DNS states, NaN where it was not measured."""
        errors = self.standing(self.flow.dns.name).estimates.items()
        return next((one.value for key, one in errors if key.startswith("relative_l2_error")), math.nan)

    @property
    def failures_note(self) -> str:
        """A sentence for captions of figures with averages over rollouts."""
        note = " † Rollouts failed: those that blew up are left out, those that only left the range of DNS are not."
        constrained = f" {MARK} Constraints from reference data act on its outputs."
        return note * any(row.has_failures for row in self.standings) + constrained * any(
            row.activities for row in self.standings
        )

    @property
    def seeds_note(self) -> str:
        """A sentence for captions of figures which show one of several seeds."""
        several = any(row.seeds > 1 for row in self.standings)
        return " Of several seeds, the one with the median spectrum error is drawn." if several else ""


def _spectrum_error(stepper: StepperResults) -> float:
    values = stepper.scores.loc[stepper.scores["statistic"] == SPECTRUM.key, "value"]
    return float(values.iloc[0]) if len(values) else float("nan")


def canvas(width: float, height: float) -> matplotlib.figure.Figure:
    """Return an empty figure, sides in inches."""
    return matplotlib.figure.Figure(figsize=(width, height), layout="constrained")


def label(stepper: StepperResults | Standing) -> str:
    """Return the legend entry of a stepper."""
    if stepper.kind == "floor":
        return "DNS"
    kind = KINDS[stepper.kind]
    return stepper.name if stepper.name == kind else f"{stepper.name} ({kind})"


def legend(figure: matplotlib.figure.Figure, handles: list[Any], *, columns: int = 4) -> None:
    """Put one legend below all panels."""
    figure.legend(handles=handles, loc="outside lower center", ncols=columns, handlelength=3.2)


def legend_height(entries: int, *, columns: int) -> float:
    """Return what a legend below the panels takes of a figure's height, inches."""
    return 0.17 * math.ceil(entries / columns)


def handle(style: Style, text: str, *, marker: bool = False) -> Line2D:
    """Return a legend entry with the line, or the marker, of a style."""
    properties = style.point if marker else style.line
    return Line2D([], [], label=text, **properties)


def mean_interval(values: Array, *, samples: int = 1000) -> tuple[Array, Array, Array]:
    """Return the mean over trajectories and its 95 % bootstrap interval, shapes (time,).

    Arguments:
        values: shape (trajectory, time); NaN is left out.
        samples: number of bootstrap samples.
    """
    random = np.random.default_rng(np.random.SeedSequence(0))
    chosen = random.integers(0, len(values), size=(samples, len(values)))
    means = _nan_mean(values[chosen], axis=1)
    low, high = np.nanpercentile(np.where(np.isnan(means), np.inf, means), [2.5, 97.5], axis=0)
    centre = _nan_mean(values, axis=0)
    return centre, np.where(np.isfinite(low), low, np.nan), np.where(np.isfinite(high), high, np.nan)


def window_mean(stepper: StepperResults, name: str) -> Array:
    """Return a statistic averaged over its windows, shape (trajectory, …); NaN where a window is without value."""
    return np.asarray(stepper.statistics[name].mean("window", skipna=False).values, dtype=float)


def _nan_mean(values: Array, *, axis: int) -> Array:
    """Mean over finite entries, NaN where there is none."""
    finite = np.isfinite(values)
    number = finite.sum(axis=axis)
    total = np.where(finite, values, 0.0).sum(axis=axis)
    return np.where(number > 0, total / np.maximum(number, 1), np.nan)


def range_band(values: Array) -> tuple[Array, Array, Array]:
    """Return mean, minimum and maximum over trajectories, shapes (point,); NaN is left out."""
    finite = np.isfinite(values)
    low = np.where(finite, values, np.inf).min(axis=0)
    high = np.where(finite, values, -np.inf).max(axis=0)
    gap = ~finite.any(axis=0)
    return _nan_mean(values, axis=0), np.where(gap, np.nan, low), np.where(gap, np.nan, high)


def readable_decades(axis: matplotlib.axis.Axis) -> None:
    """Label a logarithmic axis at 1, 2, 5, 10, … with plain numbers."""
    axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axis.set_minor_formatter(NullFormatter())


def thinned(length: int, limit: int = 160) -> slice:
    """Return a slice that keeps at most about `limit` points of a line."""
    return slice(None, None, max(1, -(-length // limit)))
