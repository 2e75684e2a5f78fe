"""Growth and profiles of mixing layers."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import matplotlib.axes
import numpy as np

from eddymark.report.collect import StepperResults
from eddymark.report.figures.view import Array, View, canvas, handle, legend, range_band
from eddymark.report.standings import MEAN_VELOCITY, MOMENTUM_THICKNESS, REYNOLDS_STRESS, rank
from eddymark.report.style import Figure, to_svg
from eddymark.report.text import enumeration, multiple, number

STRESSES = {"uu": "⟨u'u'⟩ / ΔU²", "vv": "⟨v'v'⟩ / ΔU²", "ww": "⟨w'w'⟩ / ΔU²", "uv": "⟨u'v'⟩ / ΔU²"}


def mixing_layers(view: View) -> Figure:
    """Draw the momentum thickness over time, and mean velocity and Reynolds stresses over the last window."""
    dns = view.flow.dns
    state = view.flow.flow.initial_state
    assert state is not None
    assert state.mean_flow is not None
    thickness = state.mean_flow.momentum_thickness
    figure = canvas(9.2, 6.0)
    growth, mean, *stresses = figure.subplots(2, 3).flat

    def distance(stepper: StepperResults) -> Array:
        return _values(stepper, "distance") / (4 * thickness)

    _draw(
        view,
        growth,
        lambda stepper: _values(stepper, "time"),
        lambda stepper: _values(stepper, "momentum_thickness") / thickness,
    )
    growth.set_title("momentum thickness δ / initial δ")
    growth.set_xlabel(f"time ({view.clock})")
    growth.set_xlim(0, float(_values(dns, "time")[-1]))
    _draw(view, mean, distance, lambda stepper: _last(stepper, "mean_velocity"))
    mean.set_title("mean velocity / ΔU")
    for axes, (name, title) in zip(stresses, STRESSES.items(), strict=True):
        _draw(view, axes, distance, partial(_last, name="reynolds_stress", stress=name))
        axes.set_title(title)
    for axes in (mean, *stresses):
        axes.set_xlabel("y from the centre / initial δ_ω")
    handles = [handle(view.style(dns), "DNS (grey: range of trajectories)")]
    legend(figure, handles + [handle(view.style(stepper), view.label(stepper)) for stepper in view.main], columns=3)
    return Figure(
        "mixing-layers",
        "Growth and profiles of the layers",
        _caption(view),
        "Momentum thickness over time, mean velocity and Reynolds stresses across the layer, of DNS and each model",
        to_svg(figure, name=f"{view.flow.name}-mixing-layers"),
    )


def _values(stepper: StepperResults, name: str) -> Array:
    return np.asarray(stepper.statistics[name].values, dtype=float)


def _last(stepper: StepperResults, name: str, **chosen: str) -> Array:
    """Return profiles in the last window, `(trajectory, distance)`."""
    return np.asarray(stepper.statistics[name].isel(window=-1).sel(chosen).values, dtype=float)


def _draw(
    view: View,
    axes: matplotlib.axes.Axes,
    along: Callable[[StepperResults], Array],
    values: Callable[[StepperResults], Array],
) -> None:
    """Draw the mean of each stepper over the range of the DNS: values `(trajectory, point)` over `(point,)`."""
    dns = view.flow.dns
    reference, low, high = range_band(values(dns))
    axes.fill_between(along(dns), low, high, color="0.85", linewidth=0)
    axes.plot(along(dns), reference, **view.style(dns).line)
    for stepper in view.main:
        axes.plot(along(stepper), range_band(values(stepper))[0], **view.style(stepper).line)


def _caption(view: View) -> str:
    start, end = (float(view.flow.dns.statistics[f"window_{end}"].values[-1]) for end in ("start", "end"))
    text = (
        "Averages over planes, both layers and all test trajectories; profiles in the last window, t = "
        f"{number(start)} to {number(end)} {view.clock} since the start of the rollouts. ΔU: velocity difference; δ_ω: "
        "vorticity thickness. Stresses are those of the resolved scales, for DNS those of the filtered field."
    )
    closest = [
        f"{row.name} with {multiple(row[score])} in the {what}"
        for score, what in (
            (MOMENTUM_THICKNESS, "momentum thickness"),
            (MEAN_VELOCITY, "mean velocity"),
            (REYNOLDS_STRESS, "Reynolds stresses"),
        )
        for row in rank(view.standings, score)[:1]
    ]
    if closest:
        text += (
            f" Closest to DNS over all windows: {enumeration(closest)} (multiples of the floor, then errors relative "
            "to DNS, or of the mean velocity to ΔU)."
        )
    return text + view.failures_note + view.seeds_note
