"""Figures of the verification page."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from eddymark.initial_spectra import STATIONS
from eddymark.records import write_atomically
from eddymark.report.style import COLD, GREYS, LES_DASHES, WARM, Style, plotting, to_svg
from verification import taylor_green
from verification.forced_isotropic import Statistics
from verification.marching import Row
from verification.stations import measured_spectrum

_KOLMOGOROV_CONSTANT = 1.62
"""C in E(k) = C ε^⅔ k^(−5/3); Source: 55/18 · 0.53 of Sreenivasan (1995), Phys. Fluids 7, 2778."""

FOLDER = Path(__file__).parents[1] / "docs" / "images"


def write_figures(
    vortex: Mapping[taylor_green.Case, list[Row]],
    stations: Mapping[str, Mapping[int, Row]],
    forced: Mapping[int, Statistics],
) -> None:
    """Write all figures.

    Arguments:
        vortex: rows of every simulation of the Taylor–Green vortex.
        stations: what each closure's LES has at the stations of Comte-Bellot & Corrsin.
        forced: statistics of forced turbulence by number of points.
    """
    with plotting():
        for name, figure in (
            ("taylor-green", _taylor_green(vortex)),
            ("comte-bellot-corrsin", _comte_bellot_corrsin(stations)),
            ("forced-isotropic", _forced_isotropic(forced)),
        ):
            write_atomically(FOLDER / f"verification-{name}.svg", to_svg(figure, name=name))


def _styles(names: list[str]) -> dict[str, Style]:
    """Return a style for each closure; there are more than an experiment has, so that all colours are needed."""
    colours, count = (*COLD, *WARM), len(LES_DASHES)
    closures = [name for name in names if name != "none"]
    styles = {name: Style(colours[i], LES_DASHES[i % count], "", 1.4) for i, name in enumerate(closures)}
    return {"none": Style(GREYS[0], (1, 1.2), "", 1.4), **styles}


def _taylor_green(vortex: Mapping[taylor_green.Case, list[Row]]) -> Figure:
    figure = Figure(figsize=(7.2, 3.4), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    direct = [case for case in vortex if case.closure == "none" and case.precision == "float32"]
    modelled = [case for case in vortex if case.closure != "none"]
    for case, width in zip(direct, (0.8, 1.3, 2.0), strict=False):
        _loss(left, vortex[case], color="black", linewidth=width, label=f"{case.points}³ points")
    left.set_title("No model")
    styles = _styles([case.closure for case in modelled])
    for case in modelled:
        _loss(right, vortex[case], label=case.closure.replace("_", " "), **styles[case.closure].line)
    right.set_title(f"LES, {modelled[0].points}³ points")
    for axes in (left, right):
        axes.plot(
            taylor_green.REFERENCE_TIME,
            taylor_green.REFERENCE_PEAK,
            "o",
            color="#D55E00",
            label="peak of the 512³ reference",
            zorder=5,
        )
        axes.set_xlabel("t V₀ / L")
        axes.set_ylim(0, None)
        axes.legend(loc="lower right", fontsize=7)
    left.set_ylabel("−dE/dt · L / V₀³")
    return figure


def _loss(axes: Axes, rows: list[Row], **style: Any) -> None:
    axes.plot([row["time"] for row in rows], [row["loss"] for row in rows], **style)


def _comte_bellot_corrsin(stations: Mapping[str, Mapping[int, Row]]) -> Figure:
    figure = Figure(figsize=(7.2, 3.8), layout="constrained")
    axes = figure.subplots(1, 2, sharey=True)
    styles = _styles(list(stations))
    for panel, station in zip(axes, STATIONS[1:], strict=True):
        wavenumber, energy = measured_spectrum(STATIONS[0])
        panel.loglog(wavenumber, energy, "-", color="0.8", linewidth=1, label="measured, station 42")
        wavenumber, energy = measured_spectrum(station)
        panel.loglog(wavenumber, energy, "o", color="black", markersize=4, label="measured here", zorder=5)
        for name, rows in stations.items():
            spectrum = np.array(rows[station]["spectrum"])
            shells = np.arange(1, len(spectrum))
            panel.loglog(shells, spectrum[1:], label=name.replace("_", " "), **styles[name].line)
        panel.set_title(f"t U₀ / M = {station}")
        panel.set_xlabel("wavenumber (1 = 1 / 9 cm)")
        panel.set_xlim(0.85, 30)
        panel.set_ylim(6e-4, 0.15)
    axes[0].set_ylabel("E(k) (1 = (22.2 cm/s)² · 9 cm)")
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside right upper")
    return figure


def _forced_isotropic(forced: Mapping[int, Statistics]) -> Figure:
    figure = Figure(figsize=(7.2, 3.2), layout="constrained")
    left, right = figure.subplots(1, 2)
    for (points, found), colour in zip(forced.items(), ("#56B4E9", "black"), strict=False):
        label = f"{points}³, R_λ = {found.taylor_reynolds_number:.0f}"
        shells = np.arange(1, len(found.spectrum))
        compensated = found.spectrum[1:] * shells ** (5 / 3) * found.dissipation ** (-2 / 3)
        left.loglog(shells * found.kolmogorov_length, compensated, "-", color=colour, label=label)
        distance = found.distance / found.kolmogorov_length
        scale = (found.viscosity * found.dissipation) ** 0.5
        right.loglog(distance, found.longitudinal / scale, "--", color=colour, label=f"D_LL, {points}³")
        right.loglog(distance, found.transverse / scale, "-", color=colour, label=f"D_NN, {points}³")
        right.loglog(distance, found.isotropic / scale, "o", color=colour, markersize=3, markevery=3)
    left.axhline(
        _KOLMOGOROV_CONSTANT, color="0.7", linewidth=1, label=f"{_KOLMOGOROV_CONSTANT} (experiments)", zorder=0
    )
    right.plot([], [], "o", color="0.4", markersize=3, label="D_LL + ½ r dD_LL/dr")
    left.set_xlabel("k η")
    left.set_ylabel("E(k) k$^{5/3}$ ε$^{−2/3}$")
    right.set_xlabel("r / η")
    right.set_ylabel("structure functions / (ν ε)$^{1/2}$")
    for axes in (left, right):
        axes.legend(loc="lower left" if axes is left else "lower right")
    return figure
