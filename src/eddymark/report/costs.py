"""What the best models cost: who wins at equal cost, and when training is repaid, in sentences."""

from __future__ import annotations

import math
from collections.abc import Sequence

from eddymark.report.constraints import matched_by_noise
from eddymark.report.standings import SPECTRUM, Standing, pareto_front, rank, separated
from eddymark.report.text import count, duration, interval, number

EQUAL_COST = 1.1
"""Steppers up to this multiple of a model's cost count as equally expensive."""


def equal_cost(standings: Sequence[Standing], learned: Standing, classical: Standing | None, clock: str) -> str:
    """Who wins among the steppers which cost no more than the best learned model does."""
    cost = learned.cost.value
    if not math.isfinite(cost):
        return "its cost was not measured"
    front = "on" if learned in pareto_front(standings) else "not on"
    position = f"it is {front} the cost–accuracy Pareto front"
    price = f"up to {EQUAL_COST} × its {number(cost)} s per {clock}"
    grids = "all grids" if any(row.on_alternative_grid for row in standings) else "the same grid"
    budget = f"at equal cost among LES on {grids} ({price})"
    rivals = [row for row in _affordable(standings, cost) if row.kind == "les"]
    if not rivals:
        return f"{budget} there is no LES that survived all of its rollouts, and {position}"
    rival = rivals[0]
    if rival is classical:
        return f"{budget} the outcome is the same, as {rival.name} takes {number(rival.cost.value)} s, and {position}"
    if separated(learned[SPECTRUM], rival[SPECTRUM]):
        outcome = f"it beats the best LES there, {_priced(rival)}"
    elif separated(rival[SPECTRUM], learned[SPECTRUM]):
        outcome = f"it loses to {_priced(rival)}"
    else:
        outcome = f"it does not differ from the best LES there, {_priced(rival)}, beyond chance"
    return f"{budget} {outcome}, and {position}"


def budget_of_les(standings: Sequence[Standing], classical: Standing) -> str:
    """The converse question: with no more than the best LES costs, does any learned model do better?"""
    cost = classical.cost.value
    affordable = [row for row in _affordable(standings, cost) if row.learned]
    budget = f"at the lower cost of the best LES ({number(cost)} s)"
    if not affordable:
        unranked = [row for row in standings if row.learned and row.has_failures]
        if any(row.cost.value <= EQUAL_COST * cost for row in unranked):
            return f"{budget} no affordable learned model survived all of its rollouts, and the LES wins"
        if any(row.cost.value <= EQUAL_COST * cost for row in matched_by_noise(standings, SPECTRUM)):
            return (
                f"{budget} no affordable learned model is better than noise through its constraints, and the LES wins"
            )
        return f"{budget} no learned model is affordable and the LES wins"
    best = affordable[0]
    if separated(best[SPECTRUM], classical[SPECTRUM]):
        return f"{budget} a learned model wins: {_priced(best)}"
    if separated(classical[SPECTRUM], best[SPECTRUM]):
        return f"{budget} the LES wins; the best affordable learned model is {_priced(best)}"
    return f"{budget} the best affordable learned model, {_priced(best)}, does not differ from it beyond chance"


def one_at_a_time(learned: Standing, classical: Standing) -> str:
    """Say how the costs compare if there is one trajectory instead of a batch."""
    batch, single = (
        ours.value / theirs.value
        for ours, theirs in (
            (learned.cost, classical.cost),
            (learned.cost_single, classical.cost_single),
        )
    )
    if not (math.isfinite(batch) and math.isfinite(single)):
        return ""
    return (
        f"the cost of {learned.name} is {number(batch, 2)} × that of {classical.name} for all test "
        f"trajectories at once and {number(single, 2)} × for one at a time"
    )


def break_even(learned: Standing, classical: Standing, data_seconds: float, clock: str) -> str:
    if not math.isfinite(learned.training_seconds):
        return ""
    spent, data = learned.training_seconds, ""
    if math.isfinite(data_seconds):
        spent, data = spent + data_seconds, f" and {duration(data_seconds)} of data generation"
    text = f"the learned model {learned.name} took {duration(learned.training_seconds)} of training{data}"
    if math.isfinite(classical.training_seconds):
        # A closure that was fitted has cost the same data, and a training of its own.
        spent = learned.training_seconds - classical.training_seconds
        same = "the same data and " if data else ""
        text += f", {classical.name} {same}{duration(classical.training_seconds)} of training"
    saved = classical.cost.value - learned.cost.value
    if not math.isfinite(saved):
        return text
    if saved <= 0:
        return f"{text}, which it never repays: it is not cheaper than {classical.name}"
    repaid = count(math.ceil(max(spent, 0.0) / saved))
    return f"{text}, repaid against {classical.name} after {repaid} simulated {clock}s"


def _priced(row: Standing) -> str:
    return f"{row.name} ({interval(row[SPECTRUM])} {SPECTRUM.unit}, {number(row.cost.value)} s)"


def _affordable(standings: Sequence[Standing], cost: float) -> list[Standing]:
    return [row for row in rank(standings, SPECTRUM) if row.cost.value <= EQUAL_COST * cost]
