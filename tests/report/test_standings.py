from __future__ import annotations

import math
from dataclasses import replace

import pandas as pd
import pytest

from eddymark.report.collect import collect
from eddymark.report.standings import (
    DECORRELATION,
    ONE_STEP,
    SPECTRUM,
    Estimate,
    Standing,
    displayed,
    pareto_front,
    rank,
    standings,
)
from eddymark.report.verdict import verdict
from tests.report.conftest import Tree


def point(name: str, error: float, cost: float, kind: str = "les", survived: int = 8) -> Standing:
    return Standing(
        name,
        kind,
        estimates={SPECTRUM.key: Estimate(error, error, error)},
        survived=survived,
        rollouts=8,
        cost_batch=Estimate(cost),
    )


def test_the_pareto_front_holds_whom_nobody_beats_in_both() -> None:
    rows = [
        point("cheap", 0.4, 1),
        point("beaten", 0.5, 2),
        point("middle", 0.2, 3),
        point("tied in error", 0.2, 4),
        point("best", 0.1, 9),
        point("dead", 0.01, 1, survived=0),
        point("lucky survivor", 0.01, 1, survived=1),
        point("almost", 0.01, 1, survived=7),
        point("control", 0.0, 0.1, kind="control"),
    ]
    assert [row.name for row in pareto_front(rows)] == ["cheap", "middle", "best"]


def test_a_coarser_les_is_shown_below_the_others_and_not_ranked() -> None:
    coarser = replace(point("les-8", 0.01, 0.1), fewer_shells=2, on_alternative_grid=True)
    finer = replace(point("les-32", 0.1, 9), on_alternative_grid=True)
    rows = [coarser, finer, point("les", 0.4, 1)]
    assert [row.name for row in pareto_front(rows)] == ["les", "les-32"]
    assert [row.name for row in displayed(rows)] == ["les-32", "les", "les-8"]
    found = verdict(rows, dimensions=2, no_model=None)
    assert "best LES in the spectrum error is the LES les-32" in found.sentence
    assert "Not ranked, because their grids resolve fewer shells: les-8 (shells up to 2)." in found.details


def test_ranking_puts_the_longest_decorrelation_time_first() -> None:
    rows = [
        replace(point(name, 0.1, 1), estimates={DECORRELATION.key: Estimate(time)})
        for name, time in (("short", 2.0), ("long", 5.0), ("unknown", math.nan))
    ]
    assert [row.name for row in rank(rows, DECORRELATION)] == ["long", "short"]


def test_only_steppers_whose_rollouts_all_survived_are_ranked() -> None:
    rows = [point(f"{alive} of 8", 0.01 * alive, 1, survived=alive) for alive in range(9)]
    unknown = replace(rows[-1], name="never run", survived=0, rollouts=0)
    assert [row.name for row in rank([unknown, *rows], SPECTRUM)] == ["8 of 8"]


def test_tables_show_who_failed_below_who_is_ranked_and_above_controls() -> None:
    rows = [
        point("control", 0.1, 1, kind="control"),
        point("failed", 0.1, 1, survived=5),
        point("fno", 0.2, 1, kind="surrogate"),
        point("les", 0.3, 1),
        point("dns", 0.1, 1, kind="floor"),
    ]
    assert [row.name for row in displayed(rows)] == ["dns", "fno", "les", "failed", "control"]


def test_standings_hold_the_numbers_of_scores_csv(tree: Tree) -> None:
    flow = collect(tree.experiment, results=tree.results).flows[0]
    rows = {row.name: row for row in standings(flow)}
    table = pd.read_csv(tree.results / "kolmogorov/validate/cnn_hybrid-seed0/scores.csv").set_index("statistic")
    for key in ("spectrum_error", "spectrum_error_upper", "decorrelation_time", "vorticity_pdf_distance"):
        expected = table.loc[key, ["value", "low", "high", "floor"]].astype(float).tolist()
        got = rows["cnn_hybrid"].estimates[key]
        assert [got.value, got.low, got.high] == expected[:3]
        assert got.floor == expected[3] or math.isnan(expected[3])
    one_step = table.loc["relative_l2_error", "value"]
    persistence = rows["persistence"].estimates["relative_l2_error step 1"].value
    assert rows["cnn_hybrid"][ONE_STEP].value == pytest.approx(one_step / persistence, rel=1e-12)
    assert (rows["smagorinsky"].survived, rows["smagorinsky"].rollouts) == (2, 4)
    assert rows["smagorinsky"].failure_time == 2.5
    assert rows["dns"].cost_single.value == 80.0
    assert math.isnan(rows["dns"].cost_batch.value)
    assert rows["no_model"].cost_single.value == pytest.approx(2 * rows["no_model"].cost_batch.value)
    assert [row.kind for row in standings(flow)] == sorted(
        (row.kind for row in rows.values()), key=["floor", "les", "surrogate", "hybrid", "control"].index
    )


def test_seeds_become_their_median_with_an_interval_over_all_of_them(tree: Tree) -> None:
    flow = collect(tree.experiment, results=tree.results).flows[0]
    first = flow.seeds_of("fno")[0]
    shifted = []
    for seed, factor in ((1, 3.0), (2, 2.0)):
        scores = first.scores.copy()
        scores[["value", "low", "high"]] *= factor
        statistics = first.statistics.assign(decorrelation_time=factor * first.statistics["decorrelation_time"])
        shifted.append(replace(first, seed=seed, scores=scores, statistics=statistics))
    flow = replace(flow, steppers=(*flow.steppers, *shifted))
    pooled = next(row for row in standings(flow) if row.name == "fno")
    single = first.scores.set_index("statistic").loc["decorrelation_time"]
    assert pooled.seeds == 3
    assert pooled[DECORRELATION].value == pytest.approx(2 * single["value"])
    assert pooled[DECORRELATION].low == pytest.approx(single["value"])
    assert pooled[DECORRELATION].high == pytest.approx(3 * single["value"])
    assert (pooled[SPECTRUM].low, pooled[SPECTRUM].high) == flow.pooled["fno"][SPECTRUM.key].interval
    assert math.isfinite(pooled[SPECTRUM].low)
    assert (pooled.survived, pooled.rollouts) == (12, 12)
