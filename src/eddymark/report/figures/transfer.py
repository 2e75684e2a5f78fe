"""The energy balance over the shells: flux, transfer, dissipation and what the models of LES take."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import matplotlib.axes
import numpy as np
import xarray as xr
from matplotlib.ticker import NullFormatter, ScalarFormatter

from eddymark.report.collect import StepperResults
from eddymark.report.expert_scores import ENERGY_FLUX, ENSTROPHY_FLUX
from eddymark.report.figures.lines import closest, coordinate, draw_lines, in_the_last_window, last_window, put_legend
from eddymark.report.figures.view import Array, View, canvas, range_band
from eddymark.report.style import Figure, to_svg
from eddymark.report.text import enumeration, number
from eddymark.statistics.fluxes import spectral_flux, subgrid_activity


def energy_balance(view: View) -> Figure:
    """Draw flux, transfer and dissipation over the shells, in 2-D the enstrophy flux, and what LES models take."""
    drawn = view.with_statistic("energy_transfer")
    # Without a model there is nothing to draw but a line of zeros.
    modelled = [one for one in drawn if bool(one.statistics.get("subgrid_transfer", xr.DataArray(0)).any())]
    figure = canvas(9.2, 6.0)
    panels = list(figure.subplots(2, 3).flat)

    def next_panel(title: str, label: str) -> matplotlib.axes.Axes:
        axes = panels.pop(0)
        axes.set_title(title)
        axes.set_ylabel(label)
        _label_shells(view, axes)
        return axes

    def lines(axes: matplotlib.axes.Axes, name: str, formula: Callable[[Array], Array]) -> None:
        shells = partial(coordinate, name="shell")
        draw_lines(view, axes, drawn, shells, partial(last_window, name=name), formula)
        axes.axhline(0, color="0.5", linewidth=0.8)

    lines(next_panel("energy flux", "Π(k) (flow units)"), "energy_transfer", spectral_flux)
    lines(next_panel("energy transfer", "T(k) (flow units)"), "energy_transfer", _same)
    lines(next_panel("molecular dissipation", "D(k) (flow units)"), "dissipation_spectrum", _same)
    if "enstrophy_transfer" in view.flow.dns.statistics:
        lines(next_panel("enstrophy flux", "Π_Z(k) (flow units)"), "enstrophy_transfer", spectral_flux)
    if modelled:
        axes = next_panel("drain by the model of an LES", "−T_sgs(k) (flow units)")
        axes.axhline(0, color="0.5", linewidth=0.8)
        for stepper in modelled:
            drain = -range_band(last_window(stepper, "subgrid_transfer"))[0]
            axes.plot(coordinate(stepper, "shell"), drain, **view.style(stepper).line)
    for axes in panels:
        axes.set_visible(False)
    put_legend(view, figure, drawn)
    return Figure(
        "energy-balance",
        "Energy flux and transfer",
        _caption(view, modelled),
        "Energy flux, transfer and dissipation over the shells of DNS and each model, and the drain by LES models",
        to_svg(figure, name=f"{view.flow.name}-energy-balance"),
    )


def _same(values: Array) -> Array:
    return values


def _label_shells(view: View, axes: matplotlib.axes.Axes) -> None:
    shells = coordinate(view.flow.dns, "shell")
    axes.set_xscale("log")
    axes.axvline(float(view.flow.dns.statistics.attrs["cutoff"]), color="0.5", linewidth=0.8, linestyle=(0, (1, 2)))
    axes.set_xticks([k for k in (1, 2, 3, 5, 10, 20, 50, 100) if k <= shells[-1]])
    axes.xaxis.set_major_formatter(ScalarFormatter())
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_xlabel("shell k (lowest wavenumber = 1)")


def _caption(view: View, modelled: list[StepperResults]) -> str:
    dns = view.flow.dns
    shells = coordinate(dns, "shell")
    flux = spectral_flux(last_window(dns, "energy_transfer").mean(axis=0))
    dissipation = float(last_window(dns, "dissipation_spectrum").mean(axis=0).sum())
    largest = int(np.abs(flux).argmax())
    where = "to smaller" if flux[largest] > 0 else "to larger"
    text = (
        "Rates per unit mass of the resolved field. Π(k): what the nonlinear term takes from the shells up to k, zero "
        "in the last one; T(k): what it gives to shell k; D(k) = 2ν Σ ½ k² |û|². Dotted: k_c. In DNS the largest "
        f"flux is {number(abs(float(flux[largest])))} {where} scales at k = {shells[largest]:g}; molecular "
        f"dissipation of the resolved scales is {number(dissipation)} there"
    )
    if "energy_input" in dns.statistics:
        text += f", and the force does work at a rate of {number(float(last_window(dns, 'energy_input').mean()))}"
    text += ". What filtered DNS loses to unresolved scales is in the a-priori test."
    if modelled:
        shares = [f"{100 * _share(one):.0f} % in {one.name}" for one in modelled if np.isfinite(_share(one))]
        text += f" Share of the model in the dissipation of LES: {enumeration(shares)}." if shares else ""
    if "reynolds_stress" in dns.statistics:
        text += " The mean profile is part of the field."
    best = [(ENERGY_FLUX, "energy flux"), (ENSTROPHY_FLUX, "enstrophy flux")]
    text += in_the_last_window(view) + closest(view, best, then="relative errors")
    return text + view.failures_note + view.seeds_note


def _share(stepper: StepperResults) -> float:
    means = [range_band(last_window(stepper, name))[0] for name in ("subgrid_transfer", "dissipation_spectrum")]
    return float(subgrid_activity(*means))
