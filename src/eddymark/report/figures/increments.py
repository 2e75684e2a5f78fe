"""Structure functions, and probability densities of increments over several separations."""

from __future__ import annotations

from functools import partial

import matplotlib.axes
import numpy as np
from matplotlib.ticker import NullFormatter, NullLocator, ScalarFormatter

from eddymark.report.collect import StepperResults
from eddymark.report.expert_scores import INCREMENT_PDFS, INCREMENT_SKEWNESS, STRUCTURE_FUNCTIONS
from eddymark.report.figures.lines import closest, coordinate, draw_lines, in_the_last_window, last_window, put_legend
from eddymark.report.figures.view import Array, View, canvas, readable_decades
from eddymark.report.style import Figure, to_svg
from eddymark.report.text import number
from eddymark.statistics.increments import DIRECTIONS, ORDERS, increment_flatness, increment_skewness

SHOWN_ORDERS = (2, 4, 6)


def structure_functions(view: View) -> Figure:
    """Draw longitudinal structure functions relative to DNS, and skewness and flatness of the increments."""
    drawn = view.with_statistic("structure_function")
    functions = partial(last_window, name="structure_function")
    reference = functions(view.flow.dns).mean(axis=0)
    figure = canvas(9.2, 6.0)
    ratios, shapes = figure.subplots(2, 3)

    def relative(values: Array, order: int) -> Array:
        index = ORDERS.index(order)
        return np.asarray(values[0, index] / reference[0, index])

    for axes, order in zip(ratios, SHOWN_ORDERS, strict=True):
        draw_lines(view, axes, drawn, partial(_separations, view), functions, partial(relative, order=order))
        axes.set_title(f"longitudinal, order {order}")
        axes.set_ylabel(f"S_{order} / DNS")
        low, high = axes.get_ylim()
        if high > 3 * max(low, 0.05):
            axes.set_yscale("log")
            axes.set_ylim(max(low, 0.05), min(high, 20))
            readable_decades(axes.yaxis)
    skewness, *flatness = shapes
    draw_lines(view, skewness, drawn, partial(_separations, view), functions, increment_skewness)
    skewness.axhline(0, color="0.5", linewidth=0.8, linestyle=(0, (1, 2)))
    skewness.set_title("longitudinal")
    skewness.set_ylabel("skewness S_3 / S_2^(3/2) (1)")
    for index, (axes, direction) in enumerate(zip(flatness, DIRECTIONS, strict=True)):
        draw_lines(view, axes, drawn, partial(_separations, view), functions, partial(_flatness, direction=index))
        axes.axhline(3, color="0.5", linewidth=0.8, linestyle=(0, (1, 2)))
        axes.set_title(direction)
        axes.set_ylabel("flatness S_4 / S_2² (1)")
    for axes in (*ratios, *shapes):
        _label_separations(view, axes)
    put_legend(view, figure, drawn)
    return Figure(
        "structure-functions",
        "Structure functions",
        _functions_caption(view),
        "Structure functions relative to DNS, skewness and flatness of velocity increments over the separation",
        to_svg(figure, name=f"{view.flow.name}-structure-functions"),
    )


def increment_densities(view: View) -> Figure:
    """Draw the densities of longitudinal and transverse increments over three separations on logarithmic axes."""
    drawn = view.with_statistic("increment_densities")
    dns = view.flow.dns
    lengths = coordinate(dns, "density_separation")
    figure = canvas(9.2, 6.0)
    rows = figure.subplots(2, len(lengths), squeeze=False, sharex=True)
    for panels, direction in zip(rows, DIRECTIONS, strict=True):
        for axes, length, multiple in zip(panels, lengths, lengths / _spacing(view), strict=True):
            values = partial(_density, direction=direction, length=length)
            draw_lines(view, axes, drawn, partial(coordinate, name="increment_bin"), values, _positive)
            seen = values(dns).mean(axis=0)
            smallest = float(seen[seen > 0].min())
            axes.set_yscale("log")
            axes.set_ylim(max(smallest / 3, 1e-6), 3 * float(seen.max()))
            axes.set_title(f"{direction}, r = {number(multiple, 2)} Δ")
    for axes in rows[-1]:
        axes.set_xlabel("increment / DNS rms")
    for axes in rows[:, 0]:
        axes.set_ylabel("probability density (1)")
    put_legend(view, figure, drawn)
    return Figure(
        "increments",
        "Velocity increments over several separations",
        _densities_caption(view),
        "Probability densities of longitudinal and transverse velocity increments at three separations",
        to_svg(figure, name=f"{view.flow.name}-increments"),
    )


def _spacing(view: View) -> float:
    """Return the smallest separation, the largest spacing of the LES grid along which increments are taken."""
    return float(coordinate(view.flow.dns, "separation")[0])


def _separations(view: View, stepper: StepperResults) -> Array:
    return coordinate(stepper, "separation") / _spacing(view)


def _flatness(functions: Array, direction: int) -> Array:
    return increment_flatness(functions)[direction]


def _density(stepper: StepperResults, *, direction: str, length: float) -> Array:
    """Return a density averaged over the windows, in each of which it is normalised, shape (trajectory, bin)."""
    chosen = stepper.statistics["increment_densities"].sel(direction=direction, density_separation=length)
    return np.asarray(chosen.mean("window", skipna=False).values, dtype=float)


def _positive(values: Array) -> Array:
    return np.where(values > 0, values, np.nan)


def _label_separations(view: View, axes: matplotlib.axes.Axes) -> None:
    axes.set_xscale("log")
    highest = float(_separations(view, view.flow.dns)[-1])
    axes.set_xticks([2.0**power for power in range(16) if 2**power <= highest])
    axes.xaxis.set_major_formatter(ScalarFormatter())
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_xlabel("separation r / Δ")


def _functions_caption(view: View) -> str:
    reference = last_window(view.flow.dns, "structure_function").mean(axis=0)
    nearest, farthest = increment_flatness(reference)[0, [0, -1]]
    text = (
        "S_p(r) = ⟨(u(x + r) − u(x))^p⟩ of the velocity component along r (longitudinal) or across it (transverse), r "
        f"in spacings Δ = {number(_spacing(view))} of the LES grid. Dotted: Gaussian increments. "
        "The order 2 says what the spectrum says, the others do not. In DNS the longitudinal skewness is "
        f"{number(float(increment_skewness(reference)[0]))} at r = Δ, and the flatness {number(float(nearest))} there "
        f"and {number(float(farthest))} at the largest separation."
    )
    if "reynolds_stress" in view.flow.dns.statistics:
        text += " Separations are along the homogeneous directions, so that the mean profile is no part of increments."
    best = [(STRUCTURE_FUNCTIONS, "structure functions of orders 2, 4 and 6"), (INCREMENT_SKEWNESS, "skewness")]
    text += in_the_last_window(view) + closest(view, best, then="decades and absolute differences")
    return text + view.failures_note + view.seeds_note


def _densities_caption(view: View) -> str:
    text = (
        "Increments over the smallest, a middle and the largest separation r, divided by the rms of DNS at that "
        f"separation, Δ = {number(_spacing(view))} flow units; the outermost points also count what lies beyond. Wider "
        "tails at small r are intermittency; that of longitudinal increments is lower on the positive side where "
        "energy goes to small scales."
    )
    if view.transient:
        text = f"Means over the windows, in each of which the rms is that of DNS at that time. {text}"
    text += closest(view, [(INCREMENT_PDFS, "all six densities")], then="mean total variation")
    return text + view.failures_note + view.seeds_note
