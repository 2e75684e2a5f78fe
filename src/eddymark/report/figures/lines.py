"""Lines of a statistic over the range of the DNS trajectories."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import matplotlib.axes
import matplotlib.figure
import numpy as np

from eddymark.report.collect import StepperResults
from eddymark.report.figures.view import Array, View, handle, legend, range_band
from eddymark.report.standings import Score, rank
from eddymark.report.text import enumeration, multiple, number


def draw_lines(
    view: View,
    axes: matplotlib.axes.Axes,
    drawn: Sequence[StepperResults],
    along: Callable[[StepperResults], Array],
    values: Callable[[StepperResults], Array],
    formula: Callable[[Array], Array] = lambda values: values,
) -> None:
    """Draw each stepper over the range of the DNS trajectories.

    Arguments:
        view: the flow.
        axes: where to draw.
        drawn: the steppers beside the DNS.
        along: the abscissa, shape (point,).
        values: shape (trajectory, …).
        formula: from averages over trajectories, shape (…), to what is drawn, shape (point,); of all trajectories one
            by one, too, as ratios of averages are no averages of ratios.
    """
    dns = view.flow.dns
    found = values(dns)
    _, low, high = range_band(np.stack([formula(one) for one in found]))
    axes.fill_between(along(dns), low, high, color="0.85", linewidth=0)
    axes.plot(along(dns), formula(range_band(found)[0]), **view.style(dns).line, zorder=3)
    for stepper in drawn:
        axes.plot(along(stepper), formula(range_band(values(stepper))[0]), **view.style(stepper).line)


def last_window(stepper: StepperResults, name: str, **chosen: object) -> Array:
    """Return a statistic in the last window, chosen by its coordinates, shape (trajectory, …)."""
    return np.asarray(stepper.statistics[name].isel(window=-1).sel(chosen).values, dtype=float)


def coordinate(stepper: StepperResults, name: str) -> Array:
    """Return a coordinate or a series over time."""
    return np.asarray(stepper.statistics[name].values, dtype=float)


def put_legend(view: View, figure: matplotlib.figure.Figure, drawn: Sequence[StepperResults]) -> None:
    """Put the legend of the DNS, its range and the steppers below all panels."""
    handles = [handle(view.style(view.flow.dns), "DNS (grey: range of trajectories)")]
    legend(figure, handles + [handle(view.style(stepper), view.label(stepper)) for stepper in drawn], columns=3)


def in_the_last_window(view: View) -> str:
    """Return a sentence that says over which part of a transient flow averages are; empty for a steady one."""
    if not view.transient:
        return ""
    start, end = (float(coordinate(view.flow.dns, f"window_{end}")[-1]) for end in ("start", "end"))
    return f" Averages over the last window, t = {number(start)} to {number(end)} {view.clock}."


def closest(view: View, scores: Sequence[tuple[Score, str]], *, then: str) -> str:
    """Return a sentence that names who is closest to DNS in each score; empty where nobody is ranked.

    Arguments:
        view: the flow.
        scores: each with the words for what it compares.
        then: the unit of the scores.
    """
    best = [
        f"{row.name} in {what} with {multiple(row[score])}"
        for score, what in scores
        for row in rank(view.standings, score)[:1]
    ]
    return f" Closest to DNS: {enumeration(best)} (multiples of the floor, then {then})." if best else ""
