"""What there is to say of a flow's data, and what is wrong with them."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from eddymark.report.collect import SPLITS, EnergyBudget, FlowResults
from eddymark.report.text import DASH, number

STEADY = 0.02
"""Largest residual and drift of the energy budget, relative to the injection, that is no cause for a warning."""


@dataclass(frozen=True)
class Quality:
    """Facts about the data of one flow and what is wrong with them."""

    facts: tuple[tuple[str, str], ...]
    warnings: tuple[str, ...]


def quality(flow: FlowResults) -> Quality:
    """Return resolution, statistics and budget of the DNS, with a warning for each that is out of bounds."""
    resolution = _resolution(flow)
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
    resolution = number(_resolution(flow))
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

    state = flow.flow.initial_state
    where = " (fluctuations at the centres)" if state is not None and state.mean_flow is not None else ""
    return [
        (f"Re_λ{where}, start / end", course("taylor_reynolds_number")),
        (f"Kinetic energy{where}, start / end", course("energy")),
        ("k_max·η, lowest", resolution),
        ("Energy budget: |mean residual| / mean loss of kinetic energy", _percent(balance.relative_residual)),
    ]


def _resolution(flow: FlowResults) -> float:
    """Return k_max η, of a transient flow the lowest one of all runs."""
    lowest = [float(one["resolution"]) for one in flow.data.attributes if one.get("resolution") is not None]
    return min(lowest) if flow.flow.is_transient and lowest else _attribute(flow, "resolution")


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
