from __future__ import annotations

from dataclasses import replace

import pandas as pd
import pytest

from eddymark.report.collect import FlowResults, collect
from eddymark.report.figures.preparation import closure_of_budget
from eddymark.report.standings import DECORRELATION, SPECTRUM, Estimate, Standing
from eddymark.report.tables import Column, columns, quality
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
    assert facts["Trajectories, test"].startswith("4 of 0.600")


def test_each_defect_of_the_data_has_its_warning(flow: FlowResults) -> None:
    attributes = tuple({**one, "resolution": 0.9, "turnover_time": 1.0} for one in flow.data.attributes)
    budget = flow.data.budget.assign(residual=0.05)
    warnings = quality(replace(flow, data=replace(flow.data, attributes=attributes, budget=budget))).warnings
    assert ["under-resolved" in warnings[0], "differs from the nominal" in warnings[1]] == [True, True]
    assert "does not close" in warnings[2]


def test_the_budget_is_judged_after_the_spin_up_and_without_the_last_sample() -> None:
    budget = pd.DataFrame(
        {
            "run": [0, 0, 0, 0, 1, 1, 1, 1],
            "time": [0, 1, 2, 3] * 2,
            "injection": [9.0, 2.0, 2.0, 9.0] * 2,
            "residual": [9.0, 0.1, 0.3, 9.0, 9.0, -0.1, 0.1, 9.0],
        }
    )
    assert closure_of_budget(budget, start=1) == pytest.approx(0.05)
