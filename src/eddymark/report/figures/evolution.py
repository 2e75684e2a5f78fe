"""Energy and enstrophy over long rollouts, and how long rollouts live."""

from __future__ import annotations

import math

import numpy as np

from eddymark.report.figures.view import Array, View, canvas, label, range_band, readable_decades, thinned
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
    """One small panel per stepper: rollouts as thin lines over the range that DNS visits (transient: at that time)."""
    mean, low, high = _dns_range(view, name)
    unit = mean[0]
    rows = math.ceil(len(view.main) / COLUMNS) if view.main else 1
    figure = canvas(9.2, 0.5 + 1.75 * rows)
    panels = figure.subplots(rows, COLUMNS, sharex=True, sharey=True, squeeze=False)
    outside = []
    bottom, top = 0.0, max(2.0, 1.15 * float(high[0]) / unit)
    lowest, highest = float(low.min()) / unit, float(high.max()) / unit
    # What decays by much is drawn over decades; the energy of a shear flow hardly changes.
    logarithmic = view.transient and highest > 3 * lowest
    if view.transient:
        margin = 0.5 * (highest - lowest)
        bottom, top = (0.5 * lowest, 1.6 * highest) if logarithmic else (lowest - margin, highest + margin)
        bottom, top = _with_rollouts(view, name, unit, bottom, top)
    for axes in panels.flat[len(view.main) :]:
        axes.set_visible(False)
    for index, (axes, stepper) in enumerate(zip(panels.flat, view.main, strict=False)):
        style = view.style(stepper)
        time = np.asarray(stepper.statistics["time"].values, dtype=float)
        values = np.asarray(stepper.statistics[name].values, dtype=float)
        keep = thinned(len(time))
        band = (np.broadcast_to(part, time.shape) / unit for part in (low, high))
        axes.fill_between(time, *band, color="0.88", linewidth=0)
        axes.plot(time, np.broadcast_to(mean, time.shape) / unit, color="black", linewidth=0.7)
        axes.plot(time[keep], values[:, keep].T / unit, color=style.colour, linewidth=0.6)
        for trajectory, failure in enumerate(stepper.failure_times):
            if math.isfinite(failure):
                last = np.flatnonzero(np.isfinite(values[trajectory]) & (time <= failure))
                height = values[trajectory, last[-1]] / unit if last.size else 1.0
                inside = min(max(height, bottom + 0.03 * (top - bottom)), top - 0.03 * (top - bottom))
                axes.plot([failure], [inside], "x", color="black", markersize=5)
        if not _within(view, values, time, low, high):
            outside.append(stepper.name)
        axes.set_title(label(stepper), fontsize=8)
        if logarithmic:
            axes.set_yscale("log")
            readable_decades(axes.yaxis)
        axes.set_ylim(bottom, top)
        axes.set_xlim(0, time[-1])
        if index + COLUMNS >= len(view.main):
            axes.set_xlabel(f"time ({view.clock})", fontsize=8 if view.transient else None)
            axes.tick_params(labelbottom=True)
    for axes in panels[:, 0]:
        axes.set_ylabel(f"{title.lower()}\n/ {'initial ' if view.transient else ''}DNS mean", fontsize=8)
    return Figure(
        name.replace("_", "-"),
        f"{title} over time",
        _evolution_caption(view, outside),
        f"{title} of every rollout over time, one panel per model, with the range of DNS",
        to_svg(figure, name=f"{view.flow.name}-{name}"),
    )


def _with_rollouts(view: View, name: str, unit: float, bottom: float, top: float) -> tuple[float, float]:
    """Return limits of the axis which hold the rollouts of every model that lost none."""
    kept = [stepper for stepper in view.main if not view.standing(stepper.name).has_failures]
    values = [np.asarray(stepper.statistics[name].values, dtype=float) / unit for stepper in kept]
    lows, highs = [float(one.min()) for one in values], [float(one.max()) for one in values]
    return min([bottom, *(0.98 * low for low in lows)]), max([top, *(1.02 * high for high in highs)])


def _dns_range(view: View, name: str) -> tuple[Array, Array, Array]:
    """Return mean and range of the DNS test trajectories, of shape (1,), or (time,) of a transient flow."""
    reference = np.asarray(view.flow.dns.statistics[name].values, dtype=float)
    if not view.transient:
        reference = reference.reshape(-1, 1)
    return range_band(reference)


def _within(view: View, values: Array, time: Array, low: Array, high: Array) -> bool:
    """Say whether the mean over rollouts, and over time unless the flow is transient, is in the range of the DNS."""
    window = time >= view.flow.flow.validation.statistics_start
    chosen = values[:, window] if view.transient else values[:, window].reshape(-1, 1)
    average, _, _ = range_band(chosen)
    inside = (average >= (low[window] if view.transient else low)) & (
        average <= (high[window] if view.transient else high)
    )
    return bool(inside.all())


def _evolution_caption(view: View, outside: list[str]) -> str:
    if view.transient:
        after = number(view.flow.flow.validation.statistics_start)
        verdict = f"The mean of every model stays within the range of DNS from {after} {view.clock} on."
        if outside:
            verdict = f"Mean outside the range of DNS at some time from {after} on, or no rollout left: {{}}."
        text = "Each thin line is one rollout; black: mean over the DNS test runs, grey: their range at the same time"
    else:
        verdict = "The mean of every model stays within the range of DNS."
        if outside:
            verdict = "Mean outside the range of DNS, or no rollout left: {}."
        text = "Each thin line is one rollout; grey: range of the DNS test trajectories"
    return (
        f"{text}; a cross marks a failure (at the edge if beyond it). "
        f"{verdict.format(enumeration(outside))}{view.seeds_note}"
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
    axes.set_xlabel(f"time ({view.clock})")
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
        f"enstrophy leaves the stated multiples of the DNS mean{' at the same time' if view.transient else ''}. "
        f"{conclusion}",
        "Fraction of rollouts alive over time for each model",
        to_svg(figure, name=f"{view.flow.name}-survival"),
    )
