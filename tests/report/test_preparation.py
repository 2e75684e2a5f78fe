"""Training curves, with what only some trainings have."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from eddymark.report.collect import FlowResults, collect
from eddymark.report.figures.preparation import training_curves
from eddymark.report.figures.view import View
from eddymark.report.standings import standings
from eddymark.report.style import Figure, Styles, plotting

from .conftest import Tree


def drawn(flow: FlowResults) -> Figure:
    styles = Styles([(stepper.name, stepper.kind) for stepper in flow.steppers])
    with plotting():
        return training_curves(View(flow, standings(flow), styles))


def test_the_residual_is_drawn_beside_that_of_the_data_if_a_training_has_one(tree: Tree) -> None:
    flow = collect(tree.experiment, results=tree.results).flows[0]
    plain = drawn(flow)
    assert "filtered DNS" not in plain.caption
    one, *others = flow.trainings
    residual = np.linspace(0.9, 0.1, len(one.history))
    history = one.history.assign(residual=residual, residual_floor=0.025)
    figure = drawn(replace(flow, trainings=(replace(one, history=history), *others)))
    assert f"at the end: {one.name} 0.100 (filtered DNS 0.0250)" in figure.caption
    # A third panel with the model's line and the dotted one of its floor, in a second row.
    assert figure.svg.count("<clipPath") == plain.svg.count("<clipPath") + 1 == 3
    assert figure.svg.count("stroke-dasharray") > plain.svg.count("stroke-dasharray")
    assert "Learned" not in figure.caption
    # And a fourth one with a constant which is learned.
    history = history.assign(closure_constant=np.linspace(0.1, 0.1234, len(history)))
    model = one.model | {"closure_constant": {"smagorinsky_constant": 0.1234}}
    figure = drawn(replace(flow, trainings=(replace(one, history=history, model=model), *others)))
    assert f"Learned from a known trajectory: {one.name} smagorinsky_constant 0.123." in figure.caption
    assert figure.svg.count("<clipPath") == 4
