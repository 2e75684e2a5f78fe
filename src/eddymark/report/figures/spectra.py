"""Energy spectra: averaged over time, or of a transient flow over some of its windows."""

from __future__ import annotations

import matplotlib.axes
import numpy as np
from matplotlib.ticker import NullFormatter, ScalarFormatter

from eddymark.report.collect import StepperResults
from eddymark.report.figures.view import Array, View, canvas, handle, legend, range_band
from eddymark.report.standings import SPECTRUM, UPPER_SPECTRUM, rank
from eddymark.report.style import Figure, to_svg
from eddymark.report.text import enumeration, multiple, number


def energy_spectra(view: View) -> Figure:
    """Draw E(k) over the shells and its ratio to DNS; of a transient flow in the first, middle and last window."""
    dns = view.flow.dns
    count = dns.statistics.sizes["window"]
    shown = sorted({0, (count - 1) // 2, count - 1})
    noise = view.control("matched_noise")
    drawn = view.main + ([noise] if noise else [])
    figure = canvas(9.2, 1.2 + 3.4 * len(shown))
    panels = figure.subplots(len(shown), 2, squeeze=False)
    for row, window in zip(panels, shown, strict=True):
        _draw(view, drawn, window, *row)
    handles = [handle(view.style(dns), "DNS (grey: range of trajectories)")]
    handles += [handle(view.style(stepper), view.label(stepper)) for stepper in drawn]
    legend(figure, handles, columns=3)
    return Figure(
        "spectra",
        "Energy spectra",
        _caption(view),
        "Energy spectra of DNS, LES and learned models, and their ratios to DNS, over the shell number",
        to_svg(figure, name=f"{view.flow.name}-spectra"),
    )


def _spectrum(stepper: StepperResults, window: int) -> tuple[Array, Array, Array]:
    """Return mean, minimum and maximum over trajectories of the energy per shell in a window, shapes (shell,)."""
    return range_band(np.asarray(stepper.statistics["energy_spectrum"].isel(window=window).values, dtype=float))


def _draw(
    view: View,
    drawn: list[StepperResults],
    window: int,
    absolute: matplotlib.axes.Axes,
    ratio: matplotlib.axes.Axes,
) -> None:
    """Draw the spectra of one window and their ratios to DNS."""
    dns = view.flow.dns
    shells = np.asarray(dns.statistics["shell"].values, dtype=float)
    reference, low, high = _spectrum(dns, window)
    cutoff = float(dns.statistics.attrs["cutoff"])
    # In shells without dealiased modes DNS and LES hold nothing but rounding; only a network can put energy there.
    resolved = np.asarray(dns.statistics["modes"].values) > 0
    for axes, scale in ((absolute, np.ones_like(reference)), (ratio, reference)):
        band = (shells[resolved], low[resolved] / scale[resolved], high[resolved] / scale[resolved])
        axes.fill_between(*band, color="0.85", linewidth=0)
        axes.plot(shells[resolved], reference[resolved] / scale[resolved], **view.style(dns).line, zorder=3)
    for stepper in drawn:
        spectrum, _, _ = _spectrum(stepper, window)
        style = view.style(stepper)
        absolute.plot(shells, spectrum, **style.line)
        change = spectrum[resolved] / reference[resolved]
        ratio.plot(shells[resolved], change, **style.points_on_line)
    for axes in (absolute, ratio):
        axes.set_xscale("log")
        axes.axvline(cutoff, color="0.5", linewidth=0.8, linestyle=(0, (1, 2)))
        axes.set_xlabel("shell k (lowest wavenumber = 1)")
        ticks = [k for k in (1, 2, 3, 5, 10, 20, 50, 100) if k <= shells[-1]]
        axes.set_xticks(ticks)
        axes.xaxis.set_major_formatter(ScalarFormatter())
        axes.xaxis.set_minor_formatter(NullFormatter())
    when = ""
    if view.transient:
        ends = (float(dns.statistics[f"window_{end}"].values[window]) for end in ("start", "end"))
        when = ", t = {} to {}".format(*map(number, ends))
    absolute.set_yscale("log")
    absolute.set_ylim(float(np.nanmin(low[resolved & (low > 0)])) / 10, float(np.nanmax(high)) * 3)
    absolute.set_ylabel("E(k) (flow units)")
    absolute.set_title(f"energy spectrum{when}")
    ratio.set_yscale("log")
    ratio.set_ylim(0.2, 5)
    ratio.set_yticks([0.25, 0.5, 1, 2, 4], ["0.25", "0.5", "1", "2", "4"])
    ratio.yaxis.set_minor_formatter(NullFormatter())
    ratio.set_ylabel("E(k) / DNS")
    ratio.set_title(f"ratio to DNS{' at the same time' if view.transient else ''}")
    ratio.annotate(
        "k_c",
        (cutoff, 0.99),
        xycoords=("data", "axes fraction"),
        xytext=(3, 0),
        textcoords="offset points",
        va="top",
    )


def _caption(view: View) -> str:
    cutoff = float(view.flow.dns.statistics.attrs["cutoff"])
    windows = view.flow.flow.validation.windows
    over = f"over the first, middle and last of {windows} windows" if view.transient else "over the statistics window"
    text = (
        f"Kinetic energy per shell, averaged {over}. Shells up to k_c = {cutoff:g} "
        "(dotted) are fully resolved and enter the score; a perfect model stays within the grey band."
    )
    if "reynolds_stress" in view.flow.dns.statistics:
        text += " The mean profile is part of it and dominates the lowest odd shells."
    if view.transient:
        text += f" Times t are {view.clock} since the start of the rollouts."
    closest = [
        f"{row.name} with {multiple(row[score])} in {where}"
        for score, where in ((SPECTRUM, "all resolved shells"), (UPPER_SPECTRUM, "the upper ones"))
        for row in rank(view.standings, score)[:1]
    ]
    if closest:
        text += f" Closest to DNS: {enumeration(closest)} (multiples of the floor, then decades)."
    return text + view.failures_note + view.seeds_note
