"""Two-point correlations in space and the autocorrelation in time."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from eddymark.report.expert_scores import INTEGRAL_LENGTH, INTEGRAL_TIME
from eddymark.report.figures.lines import closest, coordinate, draw_lines, in_the_last_window, last_window, put_legend
from eddymark.report.figures.view import Array, View, canvas, range_band
from eddymark.report.style import Figure, to_svg
from eddymark.report.text import number
from eddymark.statistics.correlations import DIRECTIONS, correlation, integral_scale, longitudinal_length


def correlations(view: View) -> Figure:
    """Draw longitudinal and transverse two-point correlations, and in a steady flow the autocorrelation in time."""
    drawn = view.with_statistic("two_point_covariance")
    steady = "autocovariance" in view.flow.dns.statistics
    figure = canvas(9.2, 3.6)
    panels = list(figure.subplots(1, 3 if steady else 2))
    for index, (axes, direction) in enumerate(zip(panels, DIRECTIONS, strict=False)):
        values = partial(last_window, name="two_point_covariance")
        draw_lines(view, axes, drawn, partial(coordinate, name="offset"), values, _in_space(index))
        axes.set_title(f"{direction} correlation")
        axes.set_xlabel("distance r (flow units)")
        axes.set_ylabel("⟨u_i'(x) u_i'(x + r)⟩ / ⟨u_i'²⟩ (1)")
    if steady:
        axes = panels[-1]
        remembering = [one for one in drawn if "autocovariance" in one.statistics]
        values = partial(coordinate, name="autocovariance")
        draw_lines(view, axes, remembering, partial(coordinate, name="lag"), values, correlation)
        axes.set_title("autocorrelation in time")
        axes.set_xlabel(f"lag τ ({view.clock})")
        axes.set_ylabel("⟨u_i'(t) u_i'(t + τ)⟩ / ⟨u_i'²⟩ (1)")
    for axes in panels:
        axes.axhline(0, color="0.5", linewidth=0.8)
        axes.set_xlim(left=0)
    put_legend(view, figure, drawn)
    return Figure(
        "correlations",
        "Correlations in space and time",
        _caption(view, steady=steady),
        "Longitudinal and transverse two-point correlations over the distance and autocorrelation over the time lag",
        to_svg(figure, name=f"{view.flow.name}-correlations"),
    )


def _in_space(direction: int) -> Callable[[Array], Array]:
    return lambda covariances: correlation(covariances[direction])


def _caption(view: View, *, steady: bool) -> str:
    dns = view.flow.dns
    spacing = float(coordinate(dns, "offset")[1])
    length = float(longitudinal_length(range_band(last_window(dns, "two_point_covariance"))[0], spacing=spacing))
    text = (
        "Of fluctuations u' about the average over the homogeneous directions, along these. The integral of the "
        f"longitudinal correlation up to half the box, the integral length, is {number(length)} flow units in DNS"
    )
    if steady:
        lag = coordinate(dns, "lag")
        time = float(integral_scale(range_band(coordinate(dns, "autocovariance"))[0], spacing=float(lag[1])))
        text += (
            f"; that of the autocorrelation at fixed points up to τ = {number(float(lag[-1]))}, the integral time, is "
            f"{number(time)} {view.clock}. A line above DNS remembers for too long"
        )
    text += "."
    best = [(INTEGRAL_LENGTH, "integral length"), (INTEGRAL_TIME, "integral time")]
    text += in_the_last_window(view) + closest(view, best, then="relative errors")
    return text + view.failures_note + view.seeds_note
