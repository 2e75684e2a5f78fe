"""Energy and enstrophy over long rollouts, and how long rollouts live."""

from __future__ import annotations

import math

import numpy as np

from eddymark.report.figures.view import View, canvas, label, thinned
from eddymark.report.standings import COMPETING
from eddymark.report.style import Figure, to_svg
from eddymark.report.text import enumeration, number

COLUMNS = 4


def kinetic_energy(view: View) -> Figure:
    """Draw the kinetic energy of every rollout over time."""
    return _evolution(view, "kinetic_energy", "Kinetic energy")


def enstrophy(view: View) -> Figure:
    """Draw the enstrophy of every rollout over time."""
    return _evolution(view, "enstrophy", "Enstrophy")


def _evolution(view: View, name: str, title: str) -> Figure:
    """One small panel per stepper: rollouts as thin lines over the range that DNS visits."""
    reference = np.asarray(view.flow.dns.statistics[name].values, dtype=float)
    low, high, mean = np.nanmin(reference), np.nanmax(reference), np.nanmean(reference)
    rows = math.ceil(len(view.main) / COLUMNS) if view.main else 1
    figure = canvas(9.2, 0.5 + 1.75 * rows)
    panels = figure.subplots(rows, COLUMNS, sharex=True, sharey=True, squeeze=False)
    outside = []
    for axes in panels.flat[len(view.main) :]:
        axes.set_visible(False)
    for index, (axes, stepper) in enumerate(zip(panels.flat, view.main, strict=False)):
        style = view.style(stepper)
        top = max(2.0, 1.15 * high / mean)
        time = np.asarray(stepper.statistics["time"].values, dtype=float)
        values = np.asarray(stepper.statistics[name].values, dtype=float)
        keep = thinned(len(time))
        axes.axhspan(low / mean, high / mean, color="0.88", linewidth=0)
        axes.axhline(1, color="black", linewidth=0.7)
        axes.plot(time[keep], values[:, keep].T / mean, color=style.colour, linewidth=0.6)
        for trajectory, failure in enumerate(stepper.failure_times):
            if math.isfinite(failure):
                last = np.flatnonzero(np.isfinite(values[trajectory]) & (time <= failure))
                height = values[trajectory, last[-1]] / mean if last.size else 1.0
                axes.plot([failure], [min(height, 0.97 * top)], "x", color="black", markersize=5, zorder=4)
        window = time >= view.flow.flow.validation.statistics_start
        average = np.nanmean(values[:, window]) / mean if np.isfinite(values[:, window]).any() else math.nan
        if not low / mean <= average <= high / mean:
            outside.append(stepper.name)
        axes.set_title(label(stepper), fontsize=8)
        axes.set_ylim(0, top)
        axes.set_xlim(0, time[-1])
        if index + COLUMNS >= len(view.main):
            axes.set_xlabel("time (turnover times)")
            axes.tick_params(labelbottom=True)
    for axes in panels[:, 0]:
        axes.set_ylabel(f"{title.lower()}\n/ DNS mean", fontsize=8)
    verdict = (
        f"Mean outside the range of DNS, or no rollout left: {enumeration(outside)}."
        if outside
        else "The mean of every model stays within the range of DNS."
    )
    caption = (
        "Each thin line is one rollout; grey: range of the DNS test trajectories; a cross marks a failure "
        f"(at the upper edge if beyond it). {verdict}{view.seeds_note}"
    )
    return Figure(
        name.replace("_", "-"),
        f"{title} over time",
        caption,
        f"{title} of every rollout over time, one panel per model, with the range of DNS",
        to_svg(figure, name=f"{view.flow.name}-{name}"),
    )


def survival(view: View) -> Figure:
    """Draw the fraction of rollouts alive over time, one band per stepper."""
    rows = [row for row in view.standings if row.kind in COMPETING]
    length = view.flow.flow.validation.rollout_length
    figure = canvas(9.2, 0.8 + 0.34 * len(rows))
    axes = figure.subplots()
    for position, row in enumerate(reversed(rows)):
        failures = np.concatenate([stepper.failure_times for stepper in view.flow.seeds_of(row.name)])
        times = np.sort(failures[np.isfinite(failures)])
        edges = np.concatenate([[0.0], times, [length]])
        alive = 1 - np.arange(len(times) + 1) / len(failures)
        style = view.style(row)
        heights = position + 0.8 * np.concatenate([alive, alive[-1:]])
        axes.fill_between(edges, position, heights, step="post", color=style.colour, alpha=0.75, linewidth=0)
        axes.plot([0, length], [position, position], color="0.6", linewidth=0.5)
        axes.annotate(
            f"{row.survived}/{row.rollouts}",
            (length, position + 0.4),
            xytext=(5, 0),
            textcoords="offset points",
            va="center",
            annotation_clip=False,
        )
    axes.set_yticks([position + 0.4 for position in range(len(rows))], [label(row) for row in reversed(rows)])
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    axes.set_xlim(0, length)
    axes.set_xlabel("time (turnover times)")
    lost = [
        f"{row.name} {row.rollouts - row.survived} of {row.rollouts} (median at {number(row.failure_time)})"
        for row in rows
        if row.survived < row.rollouts
    ]
    conclusion = f"Failed rollouts: {enumeration(lost)}." if lost else "Every rollout of every model survived."
    return Figure(
        "survival",
        "Survival",
        "Height of a band: fraction of the rollouts still alive; a rollout fails when its energy or "
        f"enstrophy leaves the stated multiples of the DNS mean. {conclusion}",
        "Fraction of rollouts alive over time for each model",
        to_svg(figure, name=f"{view.flow.name}-survival"),
    )
