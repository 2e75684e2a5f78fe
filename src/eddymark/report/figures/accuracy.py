"""Cost against accuracy, and the growth of the error from a known initial state."""

from __future__ import annotations

import math

import matplotlib.axes
import numpy as np

from eddymark.report.figures.view import View, canvas, handle, legend, legend_height, mean_interval, readable_decades
from eddymark.report.standings import (
    COMPETING,
    DECORRELATION,
    SPECTRUM,
    Estimate,
    Standing,
    pareto_front,
    rank,
)
from eddymark.report.style import Figure, to_svg
from eddymark.report.text import DASH, enumeration, interval, number
from eddymark.report.verdict import beyond_the_data


def cost_and_accuracy(view: View) -> Figure:
    """Draw the spectrum error over the cost of every LES and learned model, with the Pareto front."""
    rows = [row for row in view.standings if row.kind in COMPETING]
    figure = canvas(9.2, 3.9 + legend_height(len(rows), columns=3))
    single, batch = figure.subplots(1, 2, sharey=True)
    _scatter(single, view, [(row, row.cost_single) for row in rows])
    _scatter(batch, view, [(row, row.cost) for row in rows])
    front = pareto_front(view.standings)
    if front:
        costs, errors = [row.cost.value for row in front], [row[SPECTRUM].value for row in front]
        batch.step(costs, errors, where="post", color="0.4", linewidth=1, zorder=1)
    floor = next((row[SPECTRUM].floor for row in rows if math.isfinite(row[SPECTRUM].floor)), math.nan)
    for axes, title in ((single, "one trajectory at a time"), (batch, "all test trajectories at once")):
        axes.set_xscale("log")
        axes.set_yscale("log")
        axes.set_xlabel(f"seconds per {view.flow.flow.clock} and trajectory")
        axes.set_title(title)
        axes.margins(0.15)
        readable_decades(axes.xaxis)
        readable_decades(axes.yaxis)
        if math.isfinite(floor):
            axes.axhline(floor, color="0.6", linewidth=0.8, linestyle=(0, (4, 3)))
            axes.annotate(
                "sampling floor",
                (0.99, floor),
                xycoords=("axes fraction", "data"),
                xytext=(0, 2),
                textcoords="offset points",
                ha="right",
                va="bottom",
                color="0.4",
                fontsize=8,
            )
    single.set_ylabel("spectrum error (decades)")
    legend(figure, [handle(view.style(row), view.label(row), marker=True) for row in rows], columns=3)
    names = enumeration([row.name for row in front]) or "nobody"
    lost = [row.name for row in rows if not math.isfinite(row[SPECTRUM].value)]
    missing = f" Without a spectrum, because they blew up: {enumeration(lost)}." if lost else ""
    matched = ", or are matched by noise through their constraints" if any(row.noise for row in rows) else ""
    caption = (
        "Lower left is better; bars are 95 % intervals; hollow symbols lost at least one rollout, or resolve fewer "
        f"shells{matched}, and are not ranked. On the Pareto front (grey steps, right), where no other model is both "
        f"cheaper and more accurate: {names}.{missing}{view.failures_note}"
    )
    return Figure(
        "cost",
        "Cost and accuracy",
        caption,
        "Scatter plot of the spectrum error over the computing time of each model",
        to_svg(figure, name=f"{view.flow.name}-cost"),
    )


def _scatter(axes: matplotlib.axes.Axes, view: View, points: list[tuple[Standing, Estimate]]) -> None:
    ranked = {row.name for row in rank(view.standings, SPECTRUM)}
    for row, cost in points:
        error = row[SPECTRUM]
        if not (math.isfinite(cost.value) and math.isfinite(error.value)):
            continue
        style = view.style(row)
        horizontal = _bars(cost)
        vertical = _bars(error)
        drawn = axes.errorbar(
            [cost.value],
            [error.value],
            xerr=horizontal,
            yerr=vertical,
            ecolor=style.colour,
            elinewidth=0.9,
            markerfacecolor=style.colour if row.name in ranked else "white",
            zorder=2,
            **style.point,
        )
        for bar in drawn.lines[2]:
            bar.set_alpha(0.5)


def _bars(estimate: Estimate) -> list[list[float]] | None:
    if not (math.isfinite(estimate.low) and math.isfinite(estimate.high)):
        return None
    return [[max(estimate.value - estimate.low, 0.0)], [max(estimate.high - estimate.value, 0.0)]]


def error_growth(view: View) -> Figure:
    """Draw relative L2 error and vorticity correlation over the lead time."""
    threshold = view.flow.flow.validation.correlation_threshold
    figure = canvas(9.2, 4.4)
    error, correlation = figure.subplots(1, 2)
    persistence = view.control("persistence")
    drawn = view.main + ([persistence] if persistence else [])
    largest = 0.0
    for stepper in drawn:
        style = view.style(stepper)
        lead = np.asarray(stepper.statistics["lead_time"].values, dtype=float)
        for axes, name in ((error, "relative_l2_error"), (correlation, "vorticity_correlation")):
            values = np.asarray(stepper.statistics[name].values, dtype=float)
            centre, low, high = mean_interval(values)
            axes.plot(lead, centre, **style.line)
            if axes is error and stepper is not persistence and np.isfinite(centre).any():
                largest = max(largest, float(np.nanmax(centre)))
            if stepper.name in view.highlighted:
                axes.fill_between(lead, low, high, color=style.colour, alpha=0.18, linewidth=0)
        time = view.standing(stepper.name)[DECORRELATION].value
        if stepper is not persistence and math.isfinite(time):
            correlation.plot([time], [threshold], **{**style.point, "markersize": 5}, markeredgecolor="white", zorder=4)
    correlation.axhline(threshold, color="0.5", linewidth=0.8, linestyle=(0, (4, 3)))
    correlation.set_ylim(min(0.0, threshold), 1.02)
    correlation.set_ylabel("vorticity correlation with DNS (1)")
    correlation.set_title("correlation")
    state = view.flow.flow.initial_state
    has_mean_flow = state is not None and state.mean_flow is not None
    # The mean flow which all states share makes chance small, and less so as the layers grow: no one number.
    chance = math.nan if has_mean_flow else view.chance_error
    if math.isfinite(chance):
        error.axhline(chance, color="0.6", linewidth=0.8, linestyle=(0, (4, 3)))
        error.annotate(
            "chance: unrelated DNS states",
            (0.01, chance),
            xycoords=("axes fraction", "data"),
            xytext=(0, 2),
            textcoords="offset points",
            va="bottom",
            color="0.4",
            fontsize=8,
        )
        largest = max(largest, chance)
    # What has failed is cut off.
    error.set_ylim(0, min(max(1.15 * largest, 0.01), max(1.6, 1.15 * chance) if math.isfinite(chance) else 1.6))
    error.set_ylabel("relative L2 error (1)")
    error.set_title("pointwise error")
    for axes in (error, correlation):
        axes.set_xlabel(f"lead time ({view.clock})")
        axes.set_xlim(0, None)
    legend(figure, [handle(view.style(stepper), view.label(stepper)) for stepper in drawn], columns=3)
    ranked, longest_lead = rank(view.standings, DECORRELATION), view.flow.longest_lead
    times = [f"{row.name} {interval(row[DECORRELATION])}" for row in ranked[:3]] or [DASH]
    longest = f"{enumeration(times)} {view.clock}"
    if ranked and ranked[0][DECORRELATION].value >= longest_lead:
        longest = beyond_the_data(ranked, longest_lead, view.flow.flow.clock)
    about = " of the fluctuations about the averages over planes" if has_mean_flow else ""
    # What decays may stay correlated for good.
    lost = "lost, and beyond it" if view.transient else "lost: chaos ends every forecast, so beyond it"
    caption = (
        "Average over test trajectories; shaded: 95 % interval of the best LES and the best learned model. "
        f"Where the correlation{about} falls below {number(threshold, 2)} (dashed; markers) the forecast counts as "
        f"{lost} only statistics matter. Longest: {longest}.{view.failures_note}{view.seeds_note}"
    )
    return Figure(
        "error-growth",
        "Error growth",
        caption,
        "Relative error and vorticity correlation over the lead time for LES and learned models",
        to_svg(figure, name=f"{view.flow.name}-error-growth"),
    )
