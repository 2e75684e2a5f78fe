"""The tables of the page: the comparison of all steppers, data quality, failures and jobs."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from eddymark.report.collect import SPLITS, EnergyBudget, FlowResults, Record
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

SURVIVORS = "†"
"""Marks a score from which failed rollouts are missing."""
CHANCE = "(chance)"
STEADY = 0.02
"""Largest residual and drift of the energy budget, relative to the injection, that is no cause for a warning."""


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
    catcher = fake_catcher(dimensions)
    catcher_title = catcher.title[0].upper() + catcher.title[1:]
    return [
        scored("Spectrum error", "× floor (decades)", SPECTRUM),
        scored("Upper shells", "× floor (decades)", UPPER_SPECTRUM),
        *layers,
        scored(catcher_title, "× floor (absolute)", catcher),
        scored("Decorrelation", f"{clock}s", DECORRELATION),
        Column("Survived", "rollouts (median failure)", _survived),
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
    return f" {SURVIVORS}" if row.survivors_only and math.isfinite(estimate.value) else ""


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


def _survived(row: Standing) -> Cell:
    if not row.rollouts:
        return Cell(DASH, math.nan)
    text = f"{row.survived}/{row.rollouts}"
    if row.survived < row.rollouts:
        text += f" ({number(row.failure_time)})"
    return Cell(text, -row.survived / row.rollouts)


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


@dataclass(frozen=True)
class Quality:
    """Facts about the data of one flow and what is wrong with them."""

    facts: tuple[tuple[str, str], ...]
    warnings: tuple[str, ...]


def quality(flow: FlowResults) -> Quality:
    """Return resolution, statistics and budget of the DNS, with a warning for each that is out of bounds."""
    resolution = _attribute(flow, "resolution")
    measured = _attribute(flow, "turnover_time")
    nominal, clock = flow.flow.turnover_time, flow.flow.clock
    balance = flow.data.energy_budget
    coarse, sampling = flow.flow.large_eddy_grid, flow.flow.sampling
    facts = [
        *_origin(flow),
        ("LES grid", f"{_shape(coarse.points)}, {coarse.filter.type} filter"),
        ("Highest resolved shell k_c", f"{int(flow.dns.statistics.attrs['cutoff'])}"),
        *_state(flow, balance),
        (
            f"{clock[0].upper()}{clock[1:]}, measured / nominal",
            f"{number(measured)} / {number(nominal)} flow time units",
        ),
        (
            "Independent runs" if flow.flow.source is None else "Trajectories of the source in use",
            f"{flow.flow.runs}, spin-up {sampling.spin_up:g} {clock}s",
        ),
    ]
    if flow.flow.source is not None:
        # Nobody knows how given data were made: what only the simulation could tell is left out.
        facts = [(name, value) for name, value in facts if value != DASH]
    facts += [
        (
            f"Trajectories, {split}",
            f"{flow.data.trajectories[split]} of {number(flow.data.lengths[split])} {clock}s",
        )
        for split in SPLITS
    ]
    warnings = []
    if resolution < 1:
        warnings.append(
            f"The DNS is under-resolved: k_max·η = {number(resolution)} < 1. Its smallest scales are not "
            "those of the Navier–Stokes equations; choose a finer grid or a higher viscosity."
        )
    if abs(measured / nominal - 1) > 0.1:
        warnings.append(
            f"The measured {clock}, {number(measured)}, differs from the nominal one, "
            f"{number(nominal)}, by more than 10 %: every time of the configuration and of this page is in "
            "nominal units."
        )
    if balance.relative_residual > STEADY:
        supply = "loss of kinetic energy" if flow.flow.is_transient else "injection"
        warnings.append(
            f"The energy budget does not close: residual {_percent(balance.relative_residual)} of the {supply}."
        )
    if not flow.flow.is_transient and balance.relative_drift > STEADY:
        early, late = flow.data.energy_of_halves(start=sampling.spin_up)
        warnings.append(
            f"The DNS is not statistically steady: its kinetic energy changes by {_percent(balance.relative_drift)} "
            f"of the injection (first half of the samples {number(early)}, second half {number(late)}). Averages over "
            "training and test data may then differ for this reason alone; choose a longer spin-up or more runs."
        )
    doubts = [doubt for one in flow.data.attributes for doubt in json.loads(one.get("source_doubts", "[]"))]
    warnings += [f"The source: {doubt}." for doubt in dict.fromkeys(doubts)]
    return Quality(tuple(facts), tuple(warnings))


def _state(flow: FlowResults, balance: EnergyBudget) -> list[tuple[str, str]]:
    """Return what there is to say of the state: of a steady one its averages, of a transient one start and end."""
    resolution = number(_attribute(flow, "resolution"))
    if not flow.flow.is_transient:
        early, late = flow.data.energy_of_halves(start=flow.flow.sampling.spin_up)
        return [
            ("Re_λ", number(_attribute(flow, "taylor_reynolds_number"))),
            ("k_max·η", resolution),
            ("Energy budget: |mean residual| / mean injection", _percent(balance.relative_residual)),
            ("Statistically steady: |mean dE/dt| / mean injection", _percent(balance.relative_drift)),
            ("Kinetic energy, first / second half of the samples", f"{number(early)} / {number(late)} flow units"),
        ]

    def course(name: str) -> str:
        start, end = _attribute(flow, name), _attribute(flow, f"final_{name}")
        return DASH if math.isnan(start) else f"{number(start)} / {number(end)}"

    return [
        ("Re_λ, start / end", course("taylor_reynolds_number")),
        ("Kinetic energy, start / end", course("energy")),
        ("k_max·η, lowest", resolution),
        ("Energy budget: |mean residual| / mean loss of kinetic energy", _percent(balance.relative_residual)),
    ]


def _origin(flow: FlowResults) -> list[tuple[str, str]]:
    """Return where the data come from: the DNS, or somebody else."""
    simulation = flow.flow.direct_numerical_simulation
    if simulation is not None:
        courant = float(flow.data.budget["courant_number"].max())
        return [("DNS grid", _shape(simulation.points)), ("Largest Courant number", number(courant))]
    attributes = flow.data.attributes[0]
    return [
        ("Source of the data", f"{attributes['source_files']} files, {attributes['source_layout']}"),
        ("Grid of the source", _shape(attributes["source_points"])),
        ("Divergence of the source: largest rms ∇·u / rms ∇u", _percent(_attribute(flow, "source_divergence"))),
    ]


def _percent(fraction: float) -> str:
    return f"{number(100 * fraction, 2)} %" if math.isfinite(fraction) else DASH


def _attribute(flow: FlowResults, name: str) -> float:
    """Mean over the shards of a number that generation measured; NaN if it is not stated."""
    values = [float(one[name]) for one in flow.data.attributes if one.get(name) is not None]
    return float(np.mean(values)) if values else math.nan


def _shape(points: Sequence[int]) -> str:
    return " × ".join(str(n) for n in points)


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
                        "time": float(time),
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
