"""How the data and the models came about: the energy budget of the DNS and the training curves."""

from __future__ import annotations

import math

import numpy as np

from eddymark.report.figures.view import LINES, View, canvas, handle, legend, readable_decades, thinned
from eddymark.report.style import Figure, to_svg
from eddymark.report.text import enumeration, number

TERMS = (
    ("injection", "#0072B2", "-"),
    ("dissipation", "#D55E00", (0, (5, 1.5))),
    ("drag", "#009E73", (0, (3, 1, 1, 1))),
    ("residual", "#000000", (0, (1, 1.2))),
    ("loss of kinetic energy", "#CC79A7", (0, (7, 1.5, 1, 1.5))),
)

CURVES = {
    "training_loss": "training loss (1)",
    "validation_error": "error of validation rollouts (1)",
    "residual": "residual of the equations (1)",
    "closure_constant": "learned constant of the closure (1)",
}
"""Columns of the history of a training which are drawn, and their titles."""


def training_curves(view: View) -> Figure:
    """Draw training loss, validation error and what there is beside them of every model over the training steps."""
    present = {column for training in view.flow.trainings for column in training.history.columns}
    panels = {column: title for column, title in CURVES.items() if column in present}
    rows = -(-len(panels) // 2)
    figure = canvas(9.2, 0.8 + 3.4 * rows)
    grid = figure.subplots(rows, 2, squeeze=False).flatten()
    for axes in grid[len(panels) :]:
        axes.remove()
    main = {stepper.name for stepper in view.main}
    for training in sorted(view.flow.trainings, key=lambda training: training.name in main):
        style = view.styles.style_for(training.name, training.kind)
        history = training.history
        steps = history["step"].to_numpy(dtype=float)
        keep = thinned(len(steps))
        changes = np.flatnonzero(np.diff(history["unroll"].to_numpy(dtype=float)) != 0) + 1
        for axes, column in zip(grid, panels, strict=False):
            if column not in history:
                continue
            values = history[column].to_numpy(dtype=float)
            if training.name not in main:
                axes.plot(steps[keep], values[keep], color="0.8", linewidth=0.8)
                continue
            axes.plot(steps[keep], values[keep], **style.line)
            axes.plot(steps[changes], values[changes], **{**style.point, "marker": "|"}, markeredgewidth=2)
            if column == "residual":
                floor = history["residual_floor"].to_numpy(dtype=float)
                axes.plot(steps[keep], floor[keep], color=style.colour, linewidth=0.8, linestyle=(0, (1, 1.2)))
    for axes, title in zip(grid, panels.values(), strict=False):
        if title != CURVES["closure_constant"]:
            axes.set_yscale("log")
            readable_decades(axes.yaxis)
        axes.set_xlabel("optimiser steps")
        axes.set_ylabel(title)
        axes.set_xlim(0, None)
    kinds = {item.name: item.kind for item in view.flow.trainings}
    named = [(name, kind) for name, kind in kinds.items() if name in main]
    legend(figure, [handle(view.styles.style_for(*pair), pair[0]) for pair in named], columns=4)
    best: dict[str, float] = {}
    for item in view.flow.trainings:
        best[item.name] = min(best.get(item.name, math.inf), float(item.history["validation_error"].min()))
    lowest = [f"{name} {number(value)}" for name, value in sorted(best.items(), key=lambda pair: pair[1])]
    others = f" Grey: {len(kinds) - len(named)} further models." if len(named) < len(kinds) else ""
    caption = (
        "Vertical ticks mark where training began to unroll more output intervals, so the loss may jump up "
        f"there: it is then another, harder loss.{others}{_of_equations(view)} Lowest validation error: "
        f"{enumeration(lowest[:LINES])}."
    )
    return Figure(
        "training",
        "Training",
        caption,
        "Training loss and validation error over optimiser steps of every trained model",
        to_svg(figure, name=f"{view.flow.name}-training"),
    )


def _of_equations(view: View) -> str:
    """Return what the caption says of models which were trained with the equations, if there are any."""
    asked = [item for item in view.flow.trainings if "residual" in item.history]
    if not asked:
        return ""
    ends = [
        f"{item.name} {number(float(last['residual']))} (filtered DNS {number(float(last['residual_floor']))})"
        for item in asked
        for last in [item.history.iloc[-1]]
    ]
    constants = [
        f"{item.name} {key} {number(value)}"
        for item in asked
        for key, value in item.model.get("closure_constant", {}).items()
    ]
    return (
        " Dotted: the same residual of the filtered DNS, which does not solve the equations of a coarse grid exactly; "
        f"at the end: {enumeration(ends[:LINES])}."
        + (f" Learned from a known trajectory: {enumeration(constants[:LINES])}." if constants else "")
    )


def energy_budget(view: View) -> Figure:
    """Draw injection, dissipation, drag and residual of the DNS over time."""
    budget = view.flow.data.budget
    if view.transient:
        loss = budget["dissipation"] + budget["drag"] + budget["residual"] - budget["injection"]
        budget = budget.assign(**{"loss of kinetic energy": loss})
    spin_up = view.flow.flow.sampling.spin_up
    figure = canvas(9.2, 3.2)
    axes = figure.subplots()
    terms = [term for term in TERMS if term[0] in budget and budget[term[0]].abs().max() > 0]
    runs = [run.iloc[:-1] for _, run in budget.groupby("run")]
    common = np.linspace(0, min(float(run["time"].max()) for run in runs), 161)
    for name, colour, dashes in terms:
        lines = []
        for run in runs:
            time, values = run["time"].to_numpy(dtype=float), run[name].to_numpy(dtype=float)
            lines.append(np.interp(common, time, values))
            axes.plot(common, lines[-1], color=colour, linewidth=0.4, alpha=0.35)
        axes.plot(common, np.mean(lines, axis=0), color=colour, linestyle=dashes, linewidth=1.8, label=name)
    if spin_up > 0:
        axes.axvspan(0, spin_up, color="0.93", linewidth=0)
        axes.annotate(
            "spin-up, discarded",
            (0, 1),
            xycoords=("data", "axes fraction"),
            xytext=(4, -10),
            textcoords="offset points",
            color="0.4",
            fontsize=8,
        )
    axes.axhline(0, color="0.6", linewidth=0.6)
    axes.set_xlim(0, common[-1])
    axes.set_xlabel(f"time since the start of the run ({view.clock})")
    axes.set_ylabel("energy rate (flow units)")
    figure.legend(loc="outside lower center", ncols=4, handlelength=3.2)
    balance = view.flow.data.energy_budget
    terms_of_balance = [("residual", balance.relative_residual)]
    if not view.transient:
        terms_of_balance.append(("dE/dt", balance.relative_drift))
    supply = "loss of kinetic energy" if view.transient else "injection"
    stated = [f"{name} {number(100 * share, 2)} %" for name, share in terms_of_balance if math.isfinite(share)]
    caption = f"Thick: mean over {len(runs)} runs, thin: each run." + (
        f" After the spin-up, relative to the mean {supply}: mean {enumeration(stated)}." if stated else ""
    )
    return Figure(
        "energy-budget",
        "Energy budget of the DNS",
        caption,
        f"{enumeration([name for name, _, _ in terms]).capitalize()} of the DNS over time",
        to_svg(figure, name=f"{view.flow.name}-energy-budget"),
    )
