"""Probability densities of vorticity and of velocity increments."""

from __future__ import annotations

import numpy as np

from eddymark.report.figures.view import View, canvas, handle, legend, range_band, window_mean
from eddymark.report.standings import INCREMENT_PDF, VORTICITY_PDF, fake_catcher, rank
from eddymark.report.style import Figure, to_svg
from eddymark.report.text import enumeration, multiple

PANELS = (
    ("vorticity_density", "vorticity_bin", "vorticity / DNS rms"),
    ("increment_density", "increment_bin", "longitudinal velocity increment / DNS rms"),
)


def densities(view: View) -> Figure:
    """Draw the densities of vorticity and longitudinal velocity increments on a logarithmic axis."""
    dns = view.flow.dns
    noise = view.control("matched_noise")
    drawn = view.main + ([noise] if noise else [])
    figure = canvas(9.2, 4.4)
    panels = figure.subplots(1, 2)
    for axes, (name, coordinate, title) in zip(panels, PANELS, strict=True):
        bins = np.asarray(dns.statistics[coordinate].values, dtype=float)
        reference, low, high = range_band(window_mean(dns, name))
        smallest = float(reference[reference > 0].min())
        axes.fill_between(bins, np.maximum(low, smallest / 10), high, color="0.85", linewidth=0)
        axes.plot(bins, _positive(reference), **view.style(dns).line, zorder=3)
        for stepper in drawn:
            density, _, _ = range_band(window_mean(stepper, name))
            axes.plot(bins, _positive(density), **view.style(stepper).line)
        axes.set_yscale("log")
        axes.set_ylim(max(smallest / 3, 1e-6), float(np.nanmax(high)) * 2)
        seen = bins[reference > 0]
        axes.set_xlim(seen[0] * 1.1, seen[-1] * 1.1)
        axes.set_xlabel(title)
        axes.set_ylabel("probability density (1)")
    handles = [handle(view.style(dns), "DNS (grey: range of trajectories)")]
    legend(figure, handles + [handle(view.style(stepper), view.label(stepper)) for stepper in drawn], columns=3)
    return Figure(
        "densities",
        "Distributions",
        _caption(view),
        "Probability densities of vorticity and velocity increments of DNS, LES and learned models",
        to_svg(figure, name=f"{view.flow.name}-densities"),
    )


def _positive(values: np.ndarray) -> np.ndarray:
    return np.where(values > 0, values, np.nan)


def _caption(view: View) -> str:
    text = (
        "Tails are rare, strong events: a model above DNS makes too many of them, one below too few; the outermost "
        "points also count what lies beyond. "
        "Matched noise has the spectrum of DNS and random phases; what it gets right here proves nothing. "
        f"The {fake_catcher(view.flow.dimensions).title} in the table is there to catch it."
    )
    if view.transient:
        text = f"Means over the windows, in each of which values are divided by the rms of DNS at that time. {text}"
    closest = [
        f"{row.name} for {what} at {multiple(row[score])}"
        for score, what in ((VORTICITY_PDF, "vorticity"), (INCREMENT_PDF, "increments"))
        for row in rank(view.standings, score)[:1]
    ]
    if closest:
        text += f" Closest to DNS (multiples of the floor, then total variation): {enumeration(closest)}."
    return text + view.failures_note + view.seeds_note
