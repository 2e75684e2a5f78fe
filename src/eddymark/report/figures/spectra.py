"""Time-averaged energy spectra."""

from __future__ import annotations

import numpy as np
from matplotlib.ticker import NullFormatter, ScalarFormatter

from eddymark.report.figures.view import View, canvas, handle, legend, range_band
from eddymark.report.standings import SPECTRUM, UPPER_SPECTRUM, rank
from eddymark.report.style import Figure, to_svg
from eddymark.report.text import enumeration, multiple


def energy_spectra(view: View) -> Figure:
    """Draw E(k) over the shells and its ratio to DNS."""
    dns = view.flow.dns
    shells = np.asarray(dns.statistics["shell"].values, dtype=float)
    reference, low, high = range_band(np.asarray(dns.statistics["energy_spectrum"].values, dtype=float))
    cutoff = float(dns.statistics.attrs["cutoff"])
    # Above the highest dealiased shell DNS and LES hold nothing but rounding; only a network can put energy there.
    resolved = shells <= float(dns.statistics.attrs["highest_shell"])
    figure = canvas(9.2, 4.6)
    absolute, ratio = figure.subplots(1, 2)
    for axes, scale in ((absolute, np.ones_like(reference)), (ratio, reference)):
        band = (shells[resolved], (low / scale)[resolved], (high / scale)[resolved])
        axes.fill_between(*band, color="0.85", linewidth=0)
        axes.plot(shells[resolved], (reference / scale)[resolved], **view.style(dns).line, zorder=3)
    noise = view.control("matched_noise")
    drawn = view.main + ([noise] if noise else [])
    for stepper in drawn:
        spectrum, _, _ = range_band(np.asarray(stepper.statistics["energy_spectrum"].values, dtype=float))
        style = view.style(stepper)
        absolute.plot(shells, spectrum, **style.line)
        change = (spectrum / reference)[resolved]
        ratio.plot(shells[resolved], change, **style.line, marker=style.marker, markersize=3.5)
    for axes in (absolute, ratio):
        axes.set_xscale("log")
        axes.axvline(cutoff, color="0.5", linewidth=0.8, linestyle=(0, (1, 2)))
        axes.set_xlabel("shell k (lowest wavenumber = 1)")
        ticks = [k for k in (1, 2, 3, 5, 10, 20, 50, 100) if k <= shells[-1]]
        axes.set_xticks(ticks)
        axes.xaxis.set_major_formatter(ScalarFormatter())
        axes.xaxis.set_minor_formatter(NullFormatter())
    absolute.set_yscale("log")
    absolute.set_ylim(float(np.nanmin(low[resolved & (low > 0)])) / 10, float(np.nanmax(high)) * 3)
    absolute.set_ylabel("E(k) (flow units)")
    absolute.set_title("energy spectrum")
    ratio.set_yscale("log")
    ratio.set_ylim(0.2, 5)
    ratio.set_yticks([0.25, 0.5, 1, 2, 4], ["0.25", "0.5", "1", "2", "4"])
    ratio.yaxis.set_minor_formatter(NullFormatter())
    ratio.set_ylabel("E(k) / DNS")
    ratio.set_title("ratio to DNS")
    ratio.annotate(
        "k_c",
        (cutoff, 0.99),
        xycoords=("data", "axes fraction"),
        xytext=(3, 0),
        textcoords="offset points",
        va="top",
    )
    handles = [handle(view.style(dns), "DNS (grey: range of trajectories)")]
    handles += [handle(view.style(stepper), view.label(stepper)) for stepper in drawn]
    legend(figure, handles, columns=3)
    return Figure(
        "spectra",
        "Energy spectra",
        _caption(view, cutoff),
        "Energy spectra of DNS, LES and learned models, and their ratios to DNS, over the shell number",
        to_svg(figure, name=f"{view.flow.name}-spectra"),
    )


def _caption(view: View, cutoff: float) -> str:
    text = (
        f"Kinetic energy per shell, averaged over the statistics window. Shells up to k_c = {cutoff:g} "
        "(dotted) are fully resolved and enter the score; a perfect model stays within the grey band."
    )
    closest = [
        f"{row.name} with {multiple(row[score])} in {where}"
        for score, where in ((SPECTRUM, "all resolved shells"), (UPPER_SPECTRUM, "the upper ones"))
        for row in rank(view.standings, score)[:1]
    ]
    if closest:
        text += f" Closest to DNS: {enumeration(closest)} (multiples of the floor, then decades)."
    return text + view.survivors_note + view.seeds_note
