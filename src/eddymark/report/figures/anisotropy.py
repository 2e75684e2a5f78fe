"""Anisotropy of the Reynolds stresses across a layer, in Lumley's triangle."""

from __future__ import annotations

import numpy as np

from eddymark.report.collect import StepperResults
from eddymark.report.expert_scores import ANISOTROPY
from eddymark.report.figures.lines import closest, coordinate, draw_lines, in_the_last_window, last_window, put_legend
from eddymark.report.figures.view import Array, View, canvas, range_band
from eddymark.report.style import Figure, to_svg
from eddymark.report.text import number
from eddymark.statistics.anisotropy import lumley_invariants

TURBULENT = 0.1
"""Points of a layer with less than this part of the highest energy are not drawn: ratios of next to nothing."""


def anisotropy(view: View) -> Figure:
    """Draw the way of the Reynolds stresses through Lumley's triangle across the layer, and η over the layer."""
    state = view.flow.flow.initial_state
    assert state is not None
    assert state.mean_flow is not None
    thickness = 4 * state.mean_flow.momentum_thickness
    drawn = view.with_statistic("reynolds_stress")
    figure = canvas(9.2, 4.2)
    triangle, profile = figure.subplots(1, 2)
    edge = np.linspace(-1 / 6, 1 / 3, 101)
    triangle.plot(edge, np.sqrt(1 / 27 + 2 * edge**3), color="0.6", linewidth=0.8)
    triangle.plot([-1 / 6, 0, 1 / 3], [1 / 6, 0, 1 / 3], color="0.6", linewidth=0.8)
    for stepper in (view.flow.dns, *drawn):
        mean = range_band(last_window(stepper, "reynolds_stress"))[0]
        xi, eta = lumley_invariants(mean)
        inside = _turbulent(mean)
        triangle.plot(xi[inside], eta[inside], **view.style(stepper).line)
    for corner, place in {"isotropic": (0, 0), "one component": (1 / 3, 1 / 3), "two equal": (-1 / 6, 1 / 6)}.items():
        triangle.annotate(corner, place, xytext=(4, 4), textcoords="offset points", color="0.4", fontsize=7)
    triangle.set_xlabel("ξ (1)")
    triangle.set_ylabel("η (1)")
    triangle.set_title("Lumley's triangle, across the layer")

    def distance(stepper: StepperResults) -> Array:
        return coordinate(stepper, "distance") / thickness

    def eta_of(stresses: Array) -> Array:
        return np.where(_turbulent(stresses), lumley_invariants(stresses)[1], np.nan)

    draw_lines(view, profile, drawn, distance, lambda stepper: last_window(stepper, "reynolds_stress"), eta_of)
    profile.set_xlabel("y from the centre / initial δ_ω")
    profile.set_ylabel("η (1)")
    profile.set_title("strength of the anisotropy")
    put_legend(view, figure, drawn)
    return Figure(
        "anisotropy",
        "Anisotropy of the layers",
        _caption(view),
        "Invariants of the anisotropy of the Reynolds stresses in Lumley's triangle and across the layer",
        to_svg(figure, name=f"{view.flow.name}-anisotropy"),
    )


def _turbulent(stresses: Array) -> np.ndarray[tuple[int, ...], np.dtype[np.bool_]]:
    """Return which points of stresses, shape (stress, distance), hold enough energy to speak of ratios."""
    energy = stresses[:3].sum(axis=0)
    return np.asarray(energy > TURBULENT * np.nanmax(energy, initial=0.0))


def _caption(view: View) -> str:
    mean = range_band(last_window(view.flow.dns, "reynolds_stress"))[0]
    centre = int(np.abs(coordinate(view.flow.dns, "distance")).argmin())
    xi, eta = (float(one[centre]) for one in lumley_invariants(mean))
    text = (
        "6η² = b_ij b_ji and 6ξ³ = b_ij b_jk b_ki of b_ij = R_ij / R_kk − δ_ij / 3; only states inside the triangle "
        f"are possible. At the centre of the layer DNS has ξ = {number(xi, 2)}, η = {number(eta, 2)}. Points with less "
        f"than {100 * TURBULENT:.0f} % of the highest fluctuating energy are left out. Stresses are those of the "
        "resolved scales."
    )
    text += in_the_last_window(view) + closest(view, [(ANISOTROPY, "anisotropy")], then="rms difference of b_ij")
    return text + view.failures_note + view.seeds_note
