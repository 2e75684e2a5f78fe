"""Moments of the velocity gradient, and the joint density of its invariants."""

from __future__ import annotations

import math
from collections.abc import Callable

import matplotlib.axes
import numpy as np

from eddymark.report.collect import StepperResults
from eddymark.report.expert_scores import GRADIENT_FLATNESS, INVARIANTS
from eddymark.report.figures.lines import closest, in_the_last_window, last_window
from eddymark.report.figures.view import Array, View, canvas, label, range_band
from eddymark.report.style import Figure, to_svg
from eddymark.report.text import number
from eddymark.statistics.gradients import DIRECTIONS, INVARIANT_BINS, gradient_flatness, gradient_skewness

ENCLOSED = (0.5, 0.9, 0.99)
"""Shares of the points inside the contours."""
COLUMNS = 4


def gradient_moments(view: View) -> Figure:
    """Draw skewness and flatness of the velocity gradient of each stepper, with the range of its trajectories."""
    drawn = view.with_statistic("gradient_moment")
    rows = [view.flow.dns, *drawn]
    figure = canvas(9.2, 0.9 + 0.22 * len(rows))
    quantities: list[tuple[str, Callable[[Array], Array], float]] = [
        ("longitudinal skewness (1)", lambda moments: gradient_skewness(moments)[0], 0.0),
        *(
            (f"{direction} flatness (1)", lambda moments, index=index: gradient_flatness(moments)[index], 3.0)
            for index, direction in enumerate(DIRECTIONS)
        ),
    ]
    panels = figure.subplots(1, len(quantities), sharey=True)
    for axes, (title, formula, gaussian) in zip(panels, quantities, strict=True):
        _dots(view, axes, rows, formula)
        axes.axvline(gaussian, color="0.5", linewidth=0.8, linestyle=(0, (1, 2)))
        axes.set_xlabel(title)
    panels[0].set_yticks(range(len(rows)), [label(row) if row.kind == "floor" else view.label(row) for row in rows])
    panels[0].invert_yaxis()
    return Figure(
        "gradients",
        "Velocity gradient",
        _moments_caption(view),
        "Skewness and flatness of longitudinal and transverse velocity derivatives of DNS and each model",
        to_svg(figure, name=f"{view.flow.name}-gradients"),
    )


def invariant_densities(view: View) -> Figure:
    """Draw the joint density of Q and R, a panel for each stepper, over that of the DNS."""
    drawn = view.with_statistic("invariant_density")
    count = math.ceil(len(drawn) / COLUMNS) if drawn else 1
    figure = canvas(9.2, 0.4 + 2.3 * count)
    panels = figure.subplots(count, COLUMNS, sharex=True, sharey=True, squeeze=False)
    reference = _density(view.flow.dns)
    for axes in panels.flat[len(drawn) :]:
        axes.set_visible(False)
    third = INVARIANT_BINS.centres
    line = (27 / 4) ** (1 / 6)
    for index, (axes, stepper) in enumerate(zip(panels.flat, drawn, strict=False)):
        _contour(axes, reference, filled=True)
        style = view.style(stepper)
        density = _density(stepper)
        if np.isfinite(density).all():
            _contour(axes, density, colour=style.colour)
        axes.plot(third, -line * np.abs(third), color="0.5", linewidth=0.8, linestyle=(0, (1, 2)))
        axes.set_title(view.label(stepper), fontsize=8)
        axes.set_xlim(-1.5, 1.5)
        axes.set_ylim(-1.6, 1.6)
        if index + COLUMNS >= len(drawn):
            axes.set_xlabel("sign(R) |R|^(1/3) / s")
            axes.tick_params(labelbottom=True)
    for axes in panels[:, 0]:
        axes.set_ylabel("sign(Q) |Q|^(1/2) / s")
    return Figure(
        "invariants",
        "Invariants Q and R of the velocity gradient",
        _invariants_caption(view),
        "Contours of the joint density of the invariants Q and R of each model over those of DNS",
        to_svg(figure, name=f"{view.flow.name}-invariants"),
    )


def _dots(
    view: View, axes: matplotlib.axes.Axes, rows: list[StepperResults], formula: Callable[[Array], Array]
) -> None:
    for place, stepper in enumerate(rows):
        moments = last_window(stepper, "gradient_moment")
        mean = formula(range_band(moments)[0])
        each = np.array([formula(one) for one in moments])
        style = view.style(stepper)
        if stepper.kind == "floor":
            axes.axvspan(float(np.nanmin(each)), float(np.nanmax(each)), color="0.9", linewidth=0)
        if np.isfinite(mean):
            axes.plot([np.nanmin(each), np.nanmax(each)], [place, place], color=style.colour, linewidth=1.2)
            axes.plot([float(mean)], [place], **(style.point | {"markersize": 5}))


def _density(stepper: StepperResults) -> Array:
    """Return the joint density over the last window, averaged over trajectories, shape (q bin, r bin)."""
    return range_band(last_window(stepper, "invariant_density"))[0]


def _levels(density: Array) -> list[float]:
    """Return the densities whose contours enclose the shares `ENCLOSED`, lowest first."""
    ranked = np.sort(density.ravel())[::-1]
    share = np.cumsum(ranked) / ranked.sum()
    levels = {float(ranked[np.searchsorted(share, part)]) for part in ENCLOSED}
    return sorted(level for level in levels if level > 0)


def _contour(axes: matplotlib.axes.Axes, density: Array, *, colour: str = "", filled: bool = False) -> None:
    centres = INVARIANT_BINS.centres
    levels = _levels(density)
    if not levels:
        return
    if filled:
        greys = ["0.93", "0.85", "0.75"][-len(levels) :]
        axes.contourf(centres, centres, density, levels=[*levels, 1.001 * float(density.max())], colors=greys)
    else:
        axes.contour(centres, centres, density, levels=levels, colors=colour, linewidths=1.1)


def _moments_caption(view: View) -> str:
    moments = range_band(last_window(view.flow.dns, "gradient_moment"))[0]
    skewness, flatness = gradient_skewness(moments), gradient_flatness(moments)
    text = (
        "Markers: ratios of moments averaged over trajectories; lines: range of trajectories; grey: that of DNS; "
        "dotted: a Gaussian field. In DNS on this grid the longitudinal skewness is "
        f"{number(float(skewness[0]))}, the flatness of longitudinal derivatives {number(float(flatness[0]))} and of "
        f"transverse ones {number(float(flatness[1]))}."
    )
    text += in_the_last_window(view) + closest(view, [(GRADIENT_FLATNESS, "flatness")], then="absolute differences")
    return text + view.failures_note + view.seeds_note


def _invariants_caption(view: View) -> str:
    reference = _density(view.flow.dns)
    third, second = np.meshgrid(INVARIANT_BINS.centres, INVARIANT_BINS.centres)
    total = reference.sum()
    tail = float(reference[(third > 0) & (second < 0)].sum() / total)
    mirrored = float(reference[(third < 0) & (second < 0)].sum() / total)
    text = (
        "Q = −½ A_ij A_ji and R = −det A of the velocity gradient A, over the rms strain rate s of DNS; contours "
        "enclose 50 %, 90 % and 99 % of the points, grey those of DNS, coloured those of the model. Top: rotation "
        "outweighs strain; below on the right: one compressed and two stretched axes, along Vieillefosse's "
        "line (dotted, 27/4 R² + Q³ = 0). Of the points with Q < 0, DNS has "
        f"{100 * tail / (tail + mirrored):.0f} % at R > 0; a Gaussian field has half."
    )
    text += in_the_last_window(view) + closest(view, [(INVARIANTS, "this density")], then="total variation")
    return text + view.failures_note + view.seeds_note
