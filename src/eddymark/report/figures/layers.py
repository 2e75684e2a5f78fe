"""Growth and profiles of mixing layers."""

from __future__ import annotations

from functools import partial

from eddymark.report.collect import StepperResults
from eddymark.report.figures.lines import coordinate, draw_lines, last_window, put_legend
from eddymark.report.figures.view import Array, View, canvas
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
        return coordinate(stepper, "distance") / (4 * thickness)

    draw_lines(
        view,
        growth,
        view.main,
        lambda stepper: coordinate(stepper, "time"),
        lambda stepper: coordinate(stepper, "momentum_thickness") / thickness,
    )
    growth.set_title("momentum thickness δ / initial δ")
    growth.set_xlabel(f"time ({view.clock})")
    growth.set_xlim(0, float(coordinate(dns, "time")[-1]))
    draw_lines(view, mean, view.main, distance, lambda stepper: last_window(stepper, "mean_velocity"))
    mean.set_title("mean velocity / ΔU")
    for axes, (name, title) in zip(stresses, STRESSES.items(), strict=True):
        draw_lines(view, axes, view.main, distance, partial(last_window, name="reynolds_stress", stress=name))
        axes.set_title(title)
    for axes in (mean, *stresses):
        axes.set_xlabel("y from the centre / initial δ_ω")
    put_legend(view, figure, view.main)
    return Figure(
        "mixing-layers",
        "Growth and profiles of the layers",
        _caption(view),
        "Momentum thickness over time, mean velocity and Reynolds stresses across the layer, of DNS and each model",
        to_svg(figure, name=f"{view.flow.name}-mixing-layers"),
    )


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
