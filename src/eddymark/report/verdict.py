"""Who wins, by how much more than chance, and who wins at equal cost: sentences made from the standings."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from eddymark.report.constraints import unearned, without_learned
from eddymark.report.costs import EQUAL_COST, break_even, budget_of_les, equal_cost, one_at_a_time
from eddymark.report.standings import (
    COMPETING,
    DECORRELATION,
    MOMENTUM_THICKNESS,
    REYNOLDS_STRESS,
    SPECTRUM,
    UPPER_SPECTRUM,
    Score,
    Standing,
    fake_catcher,
    rank,
    separated,
    speed_up,
)
from eddymark.report.text import KINDS, count, enumeration, interval, number, sentence

HEADROOM = 2.0
"""Below this multiple of the sampling floor the no-model LES leaves nothing to win."""

NAMED = 6
"""Steppers named in one sentence; the tables have all."""

NOISE = ("matched_noise", "constrained_noise")


@dataclass(frozen=True)
class Verdict:
    """The answer for one flow: the sentence, whether the case can decide anything, and what supports it."""

    sentence: str
    headroom: str
    details: tuple[str, ...]


def verdict(
    standings: Sequence[Standing],
    *,
    dimensions: int,
    no_model: str | None,
    data_seconds: float = float("nan"),
    longest_lead: float = float("inf"),
    clock: str = "turnover time",
) -> Verdict:
    """Compare the best learned model with the best LES.

    A difference counts only if the 95 % intervals do not overlap. A stepper of which a rollout failed cannot
    win: its averages lack the rollouts that blew up.

    Arguments:
        standings: one row per stepper.
        dimensions: number of space dimensions; decides which statistic catches fakes.
        no_model: name of the LES without a closure.
        data_seconds: what generating the data took, for the break-even.
        longest_lead: end of the DNS data, where decorrelation times are cut off.
        clock: unit of all times.
    """
    ranked = rank(standings, SPECTRUM)
    learned = next((row for row in ranked if row.learned), None)
    classical = next((row for row in ranked if row.kind == "les"), None)
    room, exhausted = _headroom(standings, no_model)
    clauses = [_comparison(standings, learned, classical)]
    if learned is not None:
        clauses.append(f"{learned.survived} of {learned.rollouts} rollouts of {learned.name} survived")
        clauses.append(equal_cost(standings, learned, classical, clock))
        if classical is not None and learned.cost.value > EQUAL_COST * classical.cost.value:
            clauses.append(budget_of_les(standings, classical))
    text = sentence("; ".join(clauses))
    if exhausted:
        text = f"The case has no headroom, so it proves nothing for either side: {room}. {text}"
    scores = (SPECTRUM, UPPER_SPECTRUM, fake_catcher(dimensions), DECORRELATION)
    layers = [one for one in (MOMENTUM_THICKNESS, REYNOLDS_STRESS) if rank(standings, one)]
    details = [_leader(standings, score, clock, longest_lead) for score in (*scores, *layers)]
    if learned is not None and classical is not None:
        details += [_other_scores(learned, classical, (*scores[1:], *layers))]
        details += [one_at_a_time(learned, classical), break_even(learned, classical, data_seconds, clock)]
    details.append(_speed_up(standings, [row for row in (learned, classical) if row], clock))
    details += [
        _controls(standings, ranked, (scores[2], REYNOLDS_STRESS)),
        unearned(standings, (*scores, *layers)),
        _excluded(standings, clock),
        _coarser(standings),
    ]
    return Verdict(text, sentence(room), tuple(sentence(detail) for detail in details if detail))


def _named(row: Standing) -> str:
    kind = KINDS[row.kind]
    name = f"the {kind}" if row.name == kind else f"the {kind} {row.name}"
    return f"{name}, under constraints from reference data," if row.activities else name


def _quoted(row: Standing, score: Score = SPECTRUM, clock: str = "") -> str:
    unit = f" {score.unit_with(clock)}" if score.unit else ""
    return f"{_named(row)} ({interval(row[score])}{unit})"


def _comparison(standings: Sequence[Standing], learned: Standing | None, classical: Standing | None) -> str:
    if learned is None and (reason := without_learned(standings, SPECTRUM)):
        return reason if classical is None else f"{reason}; the best LES is {_quoted(classical)}"
    if learned is None and classical is None:
        return "nobody wins: no LES and no learned model survived all of its rollouts"
    if learned is None:
        assert classical is not None
        if not any(row.learned for row in standings):
            return f"no learned model took part; the best LES in the {SPECTRUM.title} is {_quoted(classical)}"
        return f"the learned models lose: none survived all of its rollouts, while {_quoted(classical)} did"
    if classical is None:
        coarser = any(row.kind == "les" and row.survived == row.rollouts > 0 for row in standings)
        nobody = "no LES that resolves all shells" if coarser else "no LES"
        by_default = f"{_quoted(learned)} wins by default: {nobody} survived all of its rollouts"
        return f"{by_default}{_reservation(standings, learned)}"
    ours = f"{SPECTRUM.title} of {interval(learned[SPECTRUM])} {SPECTRUM.unit}{_floors(learned)}"
    theirs = f"{classical.name} ({interval(classical[SPECTRUM])}{_floors(classical)})"
    if separated(learned[SPECTRUM], classical[SPECTRUM]):
        return (
            f"a learned model wins: {_named(learned)} has a {ours}, below that of the best LES, {theirs}, "
            f"outside the 95 % intervals{_reservation(standings, learned)}"
        )
    if separated(classical[SPECTRUM], learned[SPECTRUM]):
        return (
            f"the {KINDS[learned.kind]} loses: the best learned model, {learned.name}, has a {ours}, above "
            f"that of the best LES, {theirs}, outside the 95 % intervals"
        )
    return (
        f"no difference beyond chance: the best learned model, {_named(learned)}, has a {ours}, the best "
        f"LES is {theirs}, and their 95 % intervals overlap"
    )


def _reservation(standings: Sequence[Standing], learned: Standing) -> str:
    """Name the LES that would take the win away, had it not lost a few of its rollouts.

    Only LES get the benefit of the doubt: a win that hangs on one lost rollout of the opponent is a claim to doubt.
    """
    close = [
        row
        for row in standings
        if row.kind == "les"
        and row.has_failures
        and 2 * row.survived > row.rollouts
        and row.fewer_shells is None
        and math.isfinite(row[SPECTRUM].value)
        and not separated(learned[SPECTRUM], row[SPECTRUM])
    ]
    if not close:
        return ""
    rival = min(close, key=lambda row: row[SPECTRUM].value)
    price = rival.cost.value / learned.cost.value
    cost = f", at {number(price, 2)} × the cost" if math.isfinite(price) else ""
    lost = count(rival.rollouts - rival.survived)
    place = "has less" if separated(rival[SPECTRUM], learned[SPECTRUM]) else "is not separated from it"
    return (
        f", but not beyond doubt: {rival.name}, not ranked as it lost {lost} of its {count(rival.rollouts)} rollouts, "
        f"{place} ({interval(rival[SPECTRUM])}{cost})"
    )


def _floors(row: Standing) -> str:
    multiple = row[SPECTRUM].multiple
    return f", {number(multiple, 2)} × the sampling floor" if math.isfinite(multiple) else ""


def _speed_up(standings: Sequence[Standing], best: Sequence[Standing], clock: str) -> str:
    """Say how much cheaper than DNS the best learned model and the best LES are."""
    dns = next((row for row in standings if row.kind == "floor"), None)
    if dns is None:
        return ""
    times = [(row, speed_up(dns, row)) for row in best]
    parts = [f"{number(factor)} × for {_named(row)}" for row, factor in times if math.isfinite(factor)]
    if not parts:
        return ""
    return (
        f"speed-up over DNS on the same device, one trajectory at a time: {enumeration(parts)} "
        f"(DNS: {number(dns.cost_single.value)} s per {clock})"
    )


def _leader(standings: Sequence[Standing], score: Score, clock: str, longest_lead: float) -> str:
    """Who is best in one score, together with everybody who is not separated from the best."""
    ranked = rank(standings, score)
    if not ranked:
        return ""
    best, extreme = ranked[0], "lowest" if score.smaller_is_better else "longest"
    equals = [
        row for row in ranked[1:] if not separated(best[score], row[score], smaller_is_better=score.smaller_is_better)
    ]
    if score is DECORRELATION and best[score].value >= longest_lead:
        return f"{extreme} {score.title}: {beyond_the_data(ranked, longest_lead, clock)}"
    text = f"{extreme} {score.title}: {_quoted(best, score, clock)}"
    if equals:
        return f"{text}, not separated by the intervals from {enumeration([row.name for row in equals], most=NAMED)}"
    if len(ranked) == 1:
        return f"{text}, the only one whose rollouts all survived"
    return f"{text}, ahead of {_quoted(ranked[1], score, clock)} outside the intervals"


def beyond_the_data(ranked: Sequence[Standing], longest_lead: float, clock: str) -> str:
    """Say which steppers are still correlated with the DNS at the end of its data."""
    names = [row.name for row in ranked if row[DECORRELATION].value >= longest_lead]
    return f"longer than the DNS data ({number(longest_lead)} {clock}s) for {enumeration(names)}"


def _other_scores(learned: Standing, classical: Standing, scores: Sequence[Score]) -> str:
    outcomes: dict[str, list[str]] = {"better": [], "worse": [], "not separated": []}
    for score in scores:
        ours, theirs = learned[score], classical[score]
        if not (math.isfinite(ours.value) and math.isfinite(theirs.value)):
            continue
        if separated(ours, theirs, smaller_is_better=score.smaller_is_better):
            outcomes["better"].append(score.title)
        elif separated(theirs, ours, smaller_is_better=score.smaller_is_better):
            outcomes["worse"].append(score.title)
        else:
            outcomes["not separated"].append(score.title)
    parts = [f"{word} in {enumeration(titles)}" for word, titles in outcomes.items() if titles]
    if not parts:
        return ""
    return f"in the other scores, {learned.name} against {classical.name} is {enumeration(parts)}"


def _controls(standings: Sequence[Standing], ranked: Sequence[Standing], catchers: Sequence[Score]) -> str:
    """Say which controls match the winner's spectrum and whether a fake-catching statistic exposes them.

    In a layer, whose skewness few runs do not tell from zero, the Reynolds stresses do.
    """
    if not ranked:
        return ""
    best = ranked[0]
    fakes = [
        row
        for row in standings
        if row.name in NOISE and row[SPECTRUM].value >= 0 and not separated(best[SPECTRUM], row[SPECTRUM])
    ]
    if not fakes:
        return ""
    names = enumeration([row.name for row in fakes])
    text = f"the spectrum alone does not rule out a fake: the control {names} is no worse in it than {best.name}"
    for catcher in catchers:
        if all(separated(best[catcher], row[catcher]) for row in fakes):
            exposed = enumeration([number(row[catcher].value) for row in fakes])
            return f"{text}, but the {catcher.title} exposes it ({exposed} against {interval(best[catcher])})"
    return f"{text}, and the {catchers[0].title} does not expose it"


def _excluded(standings: Sequence[Standing], clock: str) -> str:
    lost = [row for row in standings if row.kind in COMPETING and row.has_failures]
    if not lost:
        return ""
    names = []
    for row in lost:
        facts = [f"{row.survived} of {row.rollouts} survived"]
        facts.append(f"median failure at {number(row.failure_time)} {clock}s")
        if math.isfinite(row[SPECTRUM].value):
            facts.append(f"{SPECTRUM.title} of those that did not blow up {interval(row[SPECTRUM])} {SPECTRUM.unit}")
        names.append(f"{row.name} ({', '.join(facts)})")
    return f"not ranked, because rollouts failed: {enumeration(names, most=NAMED)}"


def _coarser(standings: Sequence[Standing]) -> str:
    rows = [f"{row.name} (shells up to {row.fewer_shells})" for row in standings if row.fewer_shells is not None]
    return f"not ranked, because their grids resolve fewer shells: {enumeration(rows)}" if rows else ""


def _headroom(standings: Sequence[Standing], no_model: str | None) -> tuple[str, bool]:
    """Return how far the no-model LES is from the sampling floor, and whether that leaves nothing to win.

    The upper shells count too: there the floor is often much lower than in the few energetic ones.
    """
    row = next((row for row in standings if row.name == no_model), None)
    if row is None:
        return "headroom unknown: the experiment has no LES without a closure", False
    estimate = row[SPECTRUM]
    if row.has_failures:
        alive = f"only {row.survived} of {row.rollouts} rollouts" if row.survived else "no rollout"
        return f"there is headroom: {alive} of the no-model LES survived", False
    if not math.isfinite(estimate.multiple):
        return (
            f"headroom unknown: no sampling floor for the no-model LES ({interval(estimate)} decades)",
            False,
        )
    upper = row[UPPER_SPECTRUM].multiple
    text = f"the sampling floor in the spectrum error ({interval(estimate)} against {number(estimate.floor)} decades)"
    if math.isfinite(upper):
        text += f" and {number(upper, 2)} × the floor in that of the upper shells"
    text = f"{number(estimate.multiple, 2)} × {text}"
    if max(estimate.multiple, upper if math.isfinite(upper) else 0.0) <= HEADROOM:
        return f"the no-model LES is already within {text}", True
    return f"there is headroom: the no-model LES is at {text}", False
