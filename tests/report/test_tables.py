from __future__ import annotations

import json
import math
from dataclasses import replace

import pandas as pd
import pytest

from eddymark.report.collect import FlowResults, collect
from eddymark.report.quality import quality
from eddymark.report.standings import DECORRELATION, SPECTRUM, Activity, Estimate, Standing
from eddymark.report.tables import Column, columns
from tests.report.conftest import Tree


@pytest.fixture(scope="module")
def flow(tree: Tree) -> FlowResults:
    return collect(tree.experiment, results=tree.results).flows[1]


def model(name: str, low: float, high: float, kind: str = "les", survived: int = 2) -> Standing:
    estimate = Estimate((low + high) / 2, low, high)
    estimates = {SPECTRUM.key: estimate, DECORRELATION.key: estimate}
    return Standing(name, kind, estimates=estimates, survived=survived, rollouts=2, failure_time=3.0)


def column(rows: list[Standing], title: str, longest_lead: float = 100.0) -> Column:
    return next(one for one in columns(rows, dimensions=2, longest_lead=longest_lead) if one.title == title)


def best_of(rows: list[Standing], title: str) -> list[str]:
    return [row.name for row in rows if column(rows, title).cell(row).best]


def test_the_best_is_marked_only_if_separated_from_everybody() -> None:
    clear = [model("a", 1, 2), model("b", 3, 4), model("c", 8, 9)]
    assert best_of(clear, "Spectrum error") == ["a"]
    assert best_of(clear, "Decorrelation") == ["c"]
    # The runner-up is separated, but a third with a wide interval is not.
    wide = [model("a", 1, 2), model("b", 3, 4), model("c", 1.5, 30)]
    assert best_of(wide, "Spectrum error") == []


def test_controls_and_the_dead_are_neither_marked_nor_rivals() -> None:
    rows = [model("a", 1, 2), model("b", 3, 4), model("noise", 0, 0, "control"), model("dead", 0, 0.1, survived=0)]
    assert best_of(rows, "Spectrum error") == ["a"]
    assert best_of(rows[:1], "Spectrum error") == []


def test_survival_is_a_count_with_the_median_failure_time() -> None:
    rows = [model("a", 1, 2), model("b", 3, 4, survived=1)]
    cells = [column(rows, "Survived").cell(row) for row in rows]
    assert [cell.text for cell in cells] == ["2/2", "1/2 (3.00)"]
    assert cells[0].key < cells[1].key


def test_decorrelation_times_at_the_end_of_the_data_are_lower_bounds() -> None:
    rows = [model("a", 1, 2), model("b", 6, 6)]
    texts = [column(rows, "Decorrelation", longest_lead=6.0).cell(row).text for row in rows]
    assert texts == ["1.5 [1.0, 2.0]", "≥ 6.00"]


def test_good_data_carry_no_warning(flow: FlowResults) -> None:
    result = quality(flow)
    assert result.warnings == ()
    facts = dict(result.facts)
    assert facts["Re_λ"] == "54.3"
    assert facts["Turnover time, measured / nominal"] == "0.810 / 0.800 flow time units"
    assert facts["Energy budget: |mean residual| / mean injection"] == "0.30 %"
    assert facts["Statistically steady: |mean dE/dt| / mean injection"] == "0.50 %"
    assert facts["Kinetic energy, first / second half of the samples"].startswith("0.5")
    assert facts["Trajectories, test"].startswith("4 of 0.600")


def test_each_defect_of_the_data_has_its_warning(flow: FlowResults) -> None:
    budget = json.dumps({"supply": 2.0, "relative_residual": -0.05, "relative_drift": -0.03})
    changes = {"resolution": 0.9, "turnover_time": 1.0, "energy_budget": budget}
    attributes = tuple({**one, **changes} for one in flow.data.attributes)
    warnings = quality(replace(flow, data=replace(flow.data, attributes=attributes))).warnings
    assert ["under-resolved" in warnings[0], "differs from the nominal" in warnings[1]] == [True, True]
    assert warnings[2] == "The energy budget does not close: residual 5.0 % of the injection."
    assert "not statistically steady: its kinetic energy changes by 3.0 % of the injection" in warnings[3]
    assert len(warnings) == 4


def test_the_budget_is_that_of_generation_weighted_over_shards(flow: FlowResults) -> None:
    shares = [
        {"supply": 1.0, "relative_residual": 0.04, "relative_drift": -0.03},
        {"supply": 3.0, "relative_residual": -0.04, "relative_drift": 0.01},
    ]
    attributes = tuple({"energy_budget": json.dumps(one)} for one in shares)
    balance = replace(flow.data, attributes=attributes).energy_budget
    assert balance.relative_residual == pytest.approx(0.02)
    assert balance.relative_drift == pytest.approx(0.0)


def test_data_without_a_stated_budget_are_not_judged(flow: FlowResults) -> None:
    attributes = tuple({key: one[key] for key in one if key != "energy_budget"} for one in flow.data.attributes)
    result = quality(replace(flow, data=replace(flow.data, attributes=attributes)))
    assert result.warnings == ()
    assert dict(result.facts)["Statistically steady: |mean dE/dt| / mean injection"] == "–"


def test_the_halves_of_the_sampled_period_leave_the_spin_up_out(flow: FlowResults) -> None:
    budget = pd.DataFrame(
        {
            "run": [0] * 5 + [1] * 5,
            "time": [0.0, 5.0, 6.0, 7.0, 9.0] * 2,
            "kinetic_energy": [99.0, 1.0, 2.0, 3.0, 5.0, 99.0, 2.0, 3.0, 4.0, 6.0],
        }
    )
    assert replace(flow.data, budget=budget).energy_of_halves(start=5.0) == pytest.approx((2.5, 5.5))


def test_scores_of_models_with_failures_are_marked(flow: FlowResults) -> None:
    rows = [model("a", 1, 2), model("b", 3, 4, survived=1), model("c", 5, 6, survived=1)]
    assert column(rows, "Spectrum error").cell(rows[0]).text == "1.5 [1.0, 2.0]"
    assert column(rows, "Spectrum error").cell(rows[1]).text == "3.5 [3.0, 4.0] †"
    assert column(rows, "Decorrelation", longest_lead=5.5).cell(rows[2]).text == "≥ 5.50 †"
    floored = replace(rows[1], estimates={SPECTRUM.key: Estimate(3.0, 2.0, 4.0, floor=1.0)})
    cell = column([floored], "Spectrum error").cell(floored)
    assert (cell.text, cell.detail) == ("3.0 × †", "(3.0 [2.0, 4.0])")
    assert column(rows, "Enstrophy").cell(rows[1]).text == "–"


def test_forecast_scores_of_dns_are_the_chance_level() -> None:
    dns = Standing("dns", "floor", estimates={DECORRELATION.key: Estimate(7.0, 6.0, 8.0)}, survived=2, rollouts=2)
    cell = column([dns], "Decorrelation", longest_lead=6.0).cell(dns)
    assert (cell.text, cell.detail) == ("7.0 [6.0, 8.0]", "(chance)")
    blank = replace(dns, estimates={})
    assert column([blank], "Decorrelation").cell(blank).text == "–"


def test_the_activity_of_constraints_is_a_column_where_there_are_some() -> None:
    capped = replace(model("a", 1, 2), activities=(Activity("shell_energy_cap", 0.12, 0.003),), noise="a-noise")
    cell = column([capped], "Constraint activity").cell(capped)
    assert (cell.text, cell.detail, cell.key) == ("capped 12.0 %", "(0.300 % of the energy)", 0.12)
    free = model("b", 3, 4)
    assert column([capped, free], "Constraint activity").cell(free).text == "–"
    assert "Constraint activity" not in [one.title for one in columns([free], dimensions=2, longest_lead=math.inf)]
