from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from eddymark.config.schema import Surrogate
from eddymark.report.ablation import HARMS, HELPS, NEITHER, SURVIVAL, Change, changes, differences
from eddymark.report.collect import FlowResults, StepperResults, collect
from eddymark.report.figures import results_of
from eddymark.report.figures.seeds import seeds
from eddymark.report.page import build
from eddymark.report.standings import DECORRELATION, SPECTRUM, standings
from eddymark.report.tables import changes_frame
from tests.report.conftest import Tree

BASE: dict[str, Any] = {
    "kind": "surrogate",
    "operator": {"type": "fno", "arguments": {"width": 8}},
    "objective": {"curriculum": [{"start": 0, "unroll": 1}]},
    "schedule": {"steps": 100},
    "seeds": (0, 1, 2),
}


def trained(like: StepperResults, name: str, *, forecast: float = 1.0, failed: int = 0) -> list[StepperResults]:
    """Three seeds of a model whose forecasts hold so much longer than those of another one."""
    found = []
    for seed in range(3):
        statistics = like.statistics.copy(deep=True).assign_attrs(stepper=name)
        scatter = 1 + 0.02 * (seed - 1)
        statistics["decorrelation_time"] = forecast * scatter * like.statistics["decorrelation_time"]
        lost = np.arange(statistics.sizes["trajectory"]) < failed
        statistics["failure_time"] = ("trajectory", np.where(lost, 3.0, np.nan))
        found.append(replace(like, name=name, seed=seed, statistics=statistics))
    return found


@pytest.fixture(scope="module")
def flow(tree: Tree) -> FlowResults:
    """The synthetic 2-D flow with a base, a change that helps, one that does nothing and one that harms."""
    results = collect(tree.experiment, results=tree.results).flows[0]
    like = results.seeds_of("fno")[0]
    models = {
        "base": BASE,
        "longer": BASE | {"extends": "base", "objective": {"curriculum": [{"start": 0, "unroll": 1}] * 2}},
        "same": BASE | {"extends": "base", "augmentation": {"input_noise": 0.02}},
        "worse": BASE | {"extends": "longer", "history": 2, "schedule": {"steps": 100, "average_decay": 0.0}},
    }
    models["longer"]["objective"]["curriculum"][1] = {"start": 0.5, "unroll": 4}
    configuration = results.flow.model_copy(
        update={"surrogates": {name: Surrogate.model_validate(model) for name, model in models.items()}}
    )
    steppers = [one for one in results.steppers if one.kind in ("floor", "control") or one.name == "no_model"]
    steppers += trained(like, "base") + trained(like, "longer", forecast=1.5) + trained(like, "same")
    steppers += trained(like, "worse", forecast=0.5, failed=4)
    return replace(results, flow=configuration, steppers=tuple(steppers), trainings=(), apriori=None)


@pytest.fixture(scope="module")
def found(flow: FlowResults) -> dict[str, Change]:
    return {change.standing.name: change for change in changes(flow, standings(flow))}


def test_each_extension_is_compared_with_what_it_extends(found: dict[str, Change]) -> None:
    pairs = [(name, change.base.name) for name, change in found.items()]
    assert pairs == [("longer", "base"), ("same", "base"), ("worse", "longer")]


def test_a_change_is_told_by_what_differs_in_the_configuration(found: dict[str, Change]) -> None:
    assert found["longer"].options == ("unroll: 1 → 1, 4 from 50 %",)
    assert found["same"].options == ("input_noise: 0 → 0.02",)
    assert found["worse"].options == ("history: 1 → 2", "unroll: 1, 4 from 50 % → 1", "average_decay: 0.99 → 0")


def test_options_with_parts_are_told_by_what_was_chosen() -> None:
    cap = {"type": "shell_energy_cap", "factor": 1.5, "shells": None, "training": False}
    stages = [{"start": 0.0, "unroll": 1, "all_to_all": None}], [{"start": 0.0, "unroll": 1, "all_to_all": 2}]
    before, after = ({"constraints": part, "curriculum": one} for part, one in zip(([], [cap]), stages, strict=True))
    assert list(differences(before, after)) == [
        "constraints: with shell_energy_cap, factor 1.5",
        "unroll: 1 → all to all within 2",
    ]


def test_a_verdict_needs_an_interval_that_excludes_no_change(found: dict[str, Change]) -> None:
    longer, same = found["longer"].effect(DECORRELATION), found["same"].effect(DECORRELATION)
    assert longer.value == pytest.approx(1.5)
    assert 1.4 < longer.low < 1.5 < longer.high < 1.6
    assert same.low < 1 < same.high
    assert found["longer"].outcomes == {
        "surviving_fraction": NEITHER,
        "spectrum_error": NEITHER,
        DECORRELATION.key: HELPS,
    }
    assert found["longer"].verdict == "helps decorrelation time"
    assert found["same"].verdict == NEITHER


def test_rollouts_that_failed_decide_and_take_the_time_averages_out(found: dict[str, Change]) -> None:
    worse = found["worse"]
    assert worse.effect(SURVIVAL).value == -1
    assert worse.outcomes[SURVIVAL.key] == HARMS
    assert math.isnan(worse.effect(SPECTRUM).value)
    assert worse.verdict == "harms survival and decorrelation time"
    table = changes_frame(list(found.values()))
    row = table[(table["model"] == "worse") & (table["statistic"] == "surviving_fraction")].iloc[0]
    assert (row["effect"], row["value"], row["outcome"]) == ("difference", -1, HARMS)
    assert "spectrum_error" not in set(table[table["model"] == "worse"]["statistic"])


def test_the_page_shows_changes_and_every_seed_only_where_there_are_some(tree: Tree, flow: FlowResults) -> None:
    results = collect(tree.experiment, results=tree.results)
    plain = results.flows[0]
    assert changes(plain, standings(plain)) == []
    assert [seeds in results_of(one) for one in (plain, flow)] == [False, True]
    report = build(replace(results, flows=(flow,)))
    # Not `in` itself: pytest would take minutes to explain where a page does not have it.
    for words in ("What each change did", "input_noise: 0 → 0.02", "helps decorrelation time", "each of 3 rows, a few"):
        assert (words, " ".join(report.html.split()).count(words) > 0) == (words, True)
    # All models have three seeds here.
    assert report.html.count("Models trained with a single seed") == 0
    assert "kolmogorov-seeds.svg" in report.figures
    assert isinstance(report.tables["kolmogorov-changes.csv"], pd.DataFrame)
