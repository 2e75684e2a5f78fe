"""What the page says of constraints from reference data, and of models which noise through them matches."""

from __future__ import annotations

import math
from collections.abc import Sequence

from eddymark.report.standings import CONSTRAINTS, Score, Standing, beats_its_noise
from eddymark.report.text import enumeration, interval, number

MARK = "¶"
"""Marks the name of a stepper on whose outputs constraints from reference data act."""


def shares(row: Standing) -> str:
    """Return how often constraints acted: `capped 12.0 %`."""
    return ", ".join(f"{CONSTRAINTS[one.constraint]} {_percentage(one.shells)}" for one in row.activities)


def strengths(row: Standing) -> str:
    """Return to how much of the energy constraints did something: `(0.300 % of the energy)`."""
    return f"({', '.join(_percentage(one.energy) for one in row.activities)} of the energy)" if row.activities else ""


def _percentage(share: float) -> str:
    return f"{number(100 * share)} %" if math.isfinite(share) else number(share)


def matched_by_noise(standings: Sequence[Standing], score: Score) -> list[Standing]:
    """Return the learned models that would be ranked in a score, were they better in it than their own noise."""
    return [
        row
        for row in standings
        if row.learned
        and row.comparable
        and math.isfinite(row[score].value)
        and not beats_its_noise(row, standings, score)
    ]


def unearned(standings: Sequence[Standing], scores: Sequence[Score]) -> str:
    """Say which models are not ranked in which scores, as noise through their constraints is as good."""
    noise = {row.name: row for row in standings}
    parts = []
    for row in standings:
        lost = [score for score in scores if row in matched_by_noise(standings, score)]
        if not lost or row.noise is None:
            continue
        values = [
            f"{score.title} ({interval(row[score])} against {interval(noise[row.noise][score])})" for score in lost
        ]
        parts.append(f"{row.name} in the {enumeration(values)}")
    if not parts:
        return ""
    return (
        f"not ranked, because noise pushed through the model's own constraints is as good, so that these alone earn "
        f"the score: {'; '.join(parts)}"
    )


def without_learned(standings: Sequence[Standing], score: Score) -> str:
    """Say that no learned model is ranked, if constraints alone earn the scores of those which could be."""
    names = [row.name for row in matched_by_noise(standings, score)]
    if not names:
        return ""
    verb, whose = ("is", "its") if len(names) == 1 else ("are", "their")
    return (
        f"no learned model wins: {enumeration(names)} {verb} no better in the {score.title} than noise pushed through "
        f"{whose} own constraints, so that these alone earn the score"
    )
