"""A model whose outputs are constrained by reference data, as a reader of the page meets it."""

from __future__ import annotations

import html
import re
from dataclasses import replace

import pandas as pd
import pytest

from eddymark.config.constraints import Constraint
from eddymark.report.collect import FlowResults, Results, StepperResults, collect
from eddymark.report.page import Report, build
from eddymark.report.standings import SPECTRUM, rank, standings
from tests.report.conftest import Tree


def with_activity(stepper: StepperResults, shells: float, energy: float) -> StepperResults:
    """Return results with the scores that validation adds for a cap."""
    like = stepper.scores[stepper.scores["statistic"] == SPECTRUM.key].assign(floor=float("nan"), unit="1")
    values = {"shell_energy_cap_activity": shells, "shell_energy_cap_changed_energy": energy}
    rows = [like.assign(statistic=name, value=value, low=value, high=value) for name, value in values.items()]
    return replace(stepper, scores=pd.concat([stepper.scores, *rows], ignore_index=True))


@pytest.fixture(scope="module")
def constrained(tree: Tree) -> FlowResults:
    """The 2-D flow, where noise through the cap of `cnn_hybrid` is as good in the spectrum as the model is."""
    flow = collect(tree.experiment, results=tree.results).flows[0]
    surrogates = dict(flow.flow.surrogates)
    cap = (Constraint(type="shell_energy_cap"),)
    surrogates["cnn_hybrid"] = surrogates["cnn_hybrid"].model_copy(update={"constraints": cap})
    steppers = [with_activity(one, 0.25, 0.02) if one.name == "cnn_hybrid" else one for one in flow.steppers]
    (noise,) = flow.seeds_of("persistence")  # with the spectrum of the model
    steppers.append(with_activity(replace(noise, name="cnn_hybrid-noise"), 0.99, 0.9))
    return replace(flow, flow=flow.flow.model_copy(update={"surrogates": surrogates}), steppers=tuple(steppers))


@pytest.fixture(scope="module")
def page(tree: Tree, constrained: FlowResults) -> Report:
    results = collect(tree.experiment, results=tree.results)
    records = tuple(record for record in results.records if record.job.startswith("kolmogorov/"))
    return build(Results(tree.experiment, (constrained,), records))


def test_it_is_marked_with_its_activity_and_shown_beside_its_noise(page: Report) -> None:
    text = " ".join(html.unescape(re.sub(r"<[^>]+>", "", page.html)).split())
    assert "cnn_hybrid ¶ hybrid" in text
    assert "cnn_hybrid-noise ¶ control" in text
    assert "capped 25.0 % (2.00 % of the energy)" in text
    assert "capped 99.0 % (90.0 % of the energy)" in text
    assert "cnn_hybrid-noise is noise pushed through the constraints of cnn_hybrid for as many steps." in text
    assert "<!-- cnn_hybrid (hybrid) ¶ -->" in page.figures["kolmogorov-spectra.svg"]
    table = page.tables["kolmogorov-comparison.csv"].set_index("stepper")
    assert (
        table.loc["cnn_hybrid", "Constraint activity [of shells and outputs]"] == "capped 25.0 % (2.00 % of the energy)"
    )


def test_it_is_not_ranked_where_its_noise_is_as_good(page: Report, constrained: FlowResults) -> None:
    rows = standings(constrained)
    names = [row.name for row in rank(rows, SPECTRUM)]
    assert names[0] == "fno"
    assert "cnn_hybrid" not in names
    text = html.unescape(page.html)
    assert "Not ranked, because noise pushed through the model's own constraints is as good" in text
    assert "A learned model wins: the surrogate fno has" in text
