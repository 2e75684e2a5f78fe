"""The tables of the page: the comparison of all steppers, failures and jobs."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from eddymark.report.ablation import Change
from eddymark.report.collect import FlowResults, Record
from eddymark.report.constraints import shares, strengths
from eddymark.report.standings import (
    DECORRELATION,
    ENSTROPHY,
    INCREMENT_PDF,
    MEAN_VELOCITY,
    MISSING,
    MOMENTUM_THICKNESS,
    ONE_STEP,
    REYNOLDS_STRESS,
    SPECTRUM,
    UPPER_SPECTRUM,
    VORTICITY_PDF,
    Estimate,
    Score,
    Standing,
    displayed,
    fake_catcher,
    rank,
    separated,
)
from eddymark.report.text import DASH, KINDS, count, duration, interval, number, size
from eddymark.statistics.pooled import SURVIVING

FAILURES = "†"
"""Marks a score from which failed rollouts are missing."""
CHANCE = "(chance)"


@dataclass(frozen=True)
class Cell:
    """One entry of the comparison: what is shown, what it is sorted by, whether it is the best."""

    text: str
    key: float
    best: bool = False
    detail: str = ""
    """Second line."""


@dataclass(frozen=True)
class Column:
    """One column of the comparison."""

    title: str
    unit: str
    cell: Callable[[Standing], Cell]


def columns(
    standings: Sequence[Standing], *, dimensions: int, longest_lead: float, clock: str = "turnover time"
) -> list[Column]:
    """Return the columns of the comparison; the best of one is marked only where intervals separate it.

    Arguments:
        standings: one row per stepper.
        dimensions: number of space dimensions; decides which statistic catches fakes.
        longest_lead: end of the DNS data, where decorrelation times are cut off, turnover times.
        clock: unit of all times.
    """

    def scored(title: str, unit: str, score: Score) -> Column:
        best = _separated_best(standings, score)

        def cell(row: Standing) -> Cell:
            estimate = row[score]
            mark = _mark(row, estimate)
            if row.kind == "floor" and score in (DECORRELATION, ONE_STEP) and math.isfinite(estimate.value):
                return Cell(interval(estimate), estimate.value, detail=CHANCE)
            if score is DECORRELATION and estimate.value >= longest_lead:
                return Cell(f"≥ {number(longest_lead)}{mark}", estimate.value, row.name == best)
            if not math.isfinite(estimate.multiple):
                return Cell(interval(estimate) + mark, estimate.value, row.name == best)
            times = f"{number(estimate.multiple, 2)} ×{mark}"
            return Cell(times, estimate.value, row.name == best, f"({interval(estimate)})")

        return Column(title, unit, cell)

    layers = [
        scored(title, unit, score)
        for title, unit, score in (
            ("Momentum thickness", "× floor (relative error)", MOMENTUM_THICKNESS),
            ("Mean velocity", "× floor (velocity difference)", MEAN_VELOCITY),
            ("Reynolds stresses", "× floor (relative error)", REYNOLDS_STRESS),
        )
        if any(math.isfinite(row[score].value) for row in standings)
    ]
    constrained = [Column("Constraint activity", "of shells and outputs", _activity)]
    catcher = fake_catcher(dimensions)
    catcher_title = catcher.title[0].upper() + catcher.title[1:]
    return [
        scored("Spectrum error", "× floor (decades)", SPECTRUM),
        scored("Upper shells", "× floor (decades)", UPPER_SPECTRUM),
        *layers,
        scored(catcher_title, "× floor (absolute)", catcher),
        scored("Decorrelation", f"{clock}s", DECORRELATION),
        Column("Survived", "rollouts (median failure)", survived),
        *(constrained if any(row.activities for row in standings) else []),
        Column("Cost, batch", f"s / {clock}", lambda row: _seconds(row.cost_batch.value)),
        Column("Cost, one by one", f"s / {clock}", lambda row: _seconds(row.cost_single.value)),
        Column("Enstrophy", "ratio to DNS", _enstrophy(standings)),
        scored("Vorticity PDF", "× floor (total variation)", VORTICITY_PDF),
        scored("Increment PDF", "× floor (total variation)", INCREMENT_PDF),
        scored("One-step error", "of persistence", ONE_STEP),
        Column("Time step", "Courant number", lambda row: Cell(number(row.courant_number), row.courant_number)),
        Column(
            "Memory growth",
            "of the process by building it and its first outputs",
            lambda row: Cell(size(row.peak_memory), row.peak_memory),
        ),
        Column("Training", "time", lambda row: Cell(duration(row.training_seconds), row.training_seconds)),
        Column("Parameters", "", lambda row: Cell(count(row.parameters), row.parameters)),
    ]


def _mark(row: Standing, estimate: Estimate) -> str:
    return f" {FAILURES}" if row.has_failures and math.isfinite(estimate.value) else ""


def _separated_best(standings: Sequence[Standing], score: Score) -> str | None:
    """Return who is best in a score if the intervals separate it from everybody else who is ranked."""
    ranked = rank(standings, score)
    if len(ranked) < 2:
        return None
    best, others = ranked[0], ranked[1:]
    smaller = score.smaller_is_better
    alone = all(separated(best[score], row[score], smaller_is_better=smaller) for row in others)
    return best.name if alone else None


def _enstrophy(standings: Sequence[Standing]) -> Callable[[Standing], Cell]:
    best = _separated_best(standings, ENSTROPHY)

    def cell(row: Standing) -> Cell:
        estimate = row.estimates.get("enstrophy", MISSING)
        return Cell(interval(estimate) + _mark(row, estimate), abs(estimate.value - 1), row.name == best)

    return cell


def survived(row: Standing) -> Cell:
    """Return how many rollouts survived, and when the others failed."""
    if not row.rollouts:
        return Cell(DASH, math.nan)
    text = f"{row.survived}/{row.rollouts}"
    if row.survived < row.rollouts:
        text += f" ({number(row.failure_time)})"
    return Cell(text, -row.survived / row.rollouts)


def _activity(row: Standing) -> Cell:
    """How often constraints from reference data acted, and to how much of the energy."""
    if not row.activities:
        return Cell(DASH, math.nan)
    return Cell(shares(row), max(one.shells for one in row.activities), detail=strengths(row))


def _seconds(value: float) -> Cell:
    return Cell(number(value), value)


def comparison_frame(flow: FlowResults, standings: Sequence[Standing]) -> pd.DataFrame:
    """Return the comparison as shown on the page, as a table for a file."""
    chosen = columns(standings, dimensions=flow.dimensions, longest_lead=flow.longest_lead, clock=flow.flow.clock)
    rows = [
        {
            "stepper": row.name,
            "kind": row.kind,
            "seeds": row.seeds,
            **{f"{column.title} [{column.unit}]".replace(" []", ""): _plain(column.cell(row)) for column in chosen},
        }
        for row in displayed(standings)
    ]
    return pd.DataFrame(rows)


def changes_frame(changes: Sequence[Change]) -> pd.DataFrame:
    """Return what changes of models did as a table with one row per change and statistic."""
    rows = [
        {
            "model": change.standing.name,
            "against": change.base.name,
            "change": "; ".join(change.options),
            "statistic": statistic,
            "effect": "difference" if statistic == SURVIVING else "ratio",
            "value": effect.value,
            "low": effect.low,
            "high": effect.high,
            "outcome": change.outcomes.get(statistic, ""),
        }
        for change in changes
        for statistic, effect in change.effects.items()
    ]
    return pd.DataFrame(rows)


def headline(standings: Sequence[Standing], *, dimensions: int) -> dict[str, dict[str, float]]:
    """Return the scores by which steppers are compared first, by stepper; unknown ones are left out.

    Arguments:
        standings: one row per stepper.
        dimensions: number of space dimensions; decides which statistic catches fakes.
    """
    return {row.name: _headline(row, fake_catcher(dimensions)) for row in displayed(standings)}


def _headline(row: Standing, catcher: Score) -> dict[str, float]:
    scores = {score.key: row[score].value for score in (SPECTRUM, UPPER_SPECTRUM, catcher, DECORRELATION)}
    scores["survived_fraction"] = row.survived / row.rollouts if row.rollouts else math.nan
    scores["seconds_per_turnover_time"] = row.cost.value
    return {name: value for name, value in scores.items() if math.isfinite(value)}


def headline_frame(metrics: Mapping[str, Mapping[str, float]]) -> pd.DataFrame:
    """Return headline scores as a table with one row per stepper."""
    return pd.DataFrame([{"stepper": name, **scores} for name, scores in metrics.items()])


def _plain(cell: Cell) -> str:
    return f"{cell.text} {cell.detail}".rstrip()


def failures(flow: FlowResults) -> pd.DataFrame:
    """Return one row per failed rollout: stepper, seed, trajectory, time in turnover times, cause."""
    rows = []
    for stepper in flow.steppers:
        causes = stepper.statistics["failure_cause"].values if "failure_cause" in stepper.statistics else None
        for trajectory, time in enumerate(stepper.failure_times):
            if math.isfinite(time):
                rows.append(
                    {
                        "stepper": stepper.name,
                        "kind": KINDS[stepper.kind],
                        "seed": "" if stepper.seed is None else str(stepper.seed),
                        "trajectory": trajectory,
                        "time": round(float(time), 9),
                        "cause": "" if causes is None else str(causes[trajectory]),
                    }
                )
    return pd.DataFrame(rows, columns=["stepper", "kind", "seed", "trajectory", "time", "cause"])


def jobs(records: Sequence[Record], *, threads: int) -> pd.DataFrame:
    """Return one row per job: stage, time, memory, machine, code revision and signature.

    Core time is wall time × `threads`, the cores which a job has for itself.
    """
    rows = []
    for record in records:
        content = record.content
        seconds = content.get("seconds", math.nan)
        rows.append(
            {
                "job": record.job,
                "stage": record.stage,
                "seconds": seconds,
                "core_seconds": seconds * threads,
                "peak_memory_bytes": content.get("peak_memory_bytes", math.nan),
                "finished": _words(content.get("finished")),
                "machine": _words(content.get("machine")),
                "revision": _words(content.get("revision")),
                "versions": _words(content.get("versions")),
                "signature": _words(content.get("signature")),
            }
        )
    return pd.DataFrame(rows)


def stages(table: pd.DataFrame) -> pd.DataFrame:
    """Return jobs, wall time, core time and the largest memory of each stage, in the order of the road."""
    totals = table.groupby("stage", sort=False).agg(
        jobs=("job", "count"),
        seconds=("seconds", "sum"),
        core_seconds=("core_seconds", "sum"),
        peak_memory_bytes=("peak_memory_bytes", "max"),
    )
    order = [stage for stage in ("generate", "train", "validate") if stage in totals.index]
    return totals.loc[order].reset_index()


def _words(value: Any) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, sort_keys=True, ensure_ascii=False)
