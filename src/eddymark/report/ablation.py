"""What each change of a model did: a model that extends another one against the one which it extends."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from eddymark.report.collect import FlowResults
from eddymark.report.standings import DECORRELATION, MISSING, SPECTRUM, Estimate, Score, Standing, fake_catcher
from eddymark.report.text import enumeration
from eddymark.statistics.pooled import SURVIVING, difference, ratio

HELPS, HARMS, NEITHER = "helps", "harms", "not separable"
SURVIVAL = Score(SURVIVING, "survival", "", smaller_is_better=False)
JUDGED = (SURVIVAL, SPECTRUM, DECORRELATION)
"""What the verdict looks at: whether rollouts live, their statistics, and how long forecasts hold."""


@dataclass(frozen=True)
class Change:
    """A change of a model and what it did.

    Arguments:
        standing, base: the model and the one which it extends.
        options: what differs in the configuration, `key: from → to`.
        effects: by statistic, of survival the difference of the surviving fractions, else the ratio of the scores, with
            its 95 % interval over seeds and initial states.
        outcomes: by statistic that is judged, whether the change helps, harms or cannot be separated from none.
    """

    standing: Standing
    base: Standing
    options: tuple[str, ...]
    effects: dict[str, Estimate]
    outcomes: dict[str, str]

    def effect(self, score: Score) -> Estimate:
        """Return the effect on a score."""
        return self.effects.get(score.key, MISSING)

    @property
    def verdict(self) -> str:
        """The outcome in words."""
        return verdict(self.outcomes)


def verdict(outcomes: Mapping[str, str]) -> str:
    """Return the outcomes of a change in words.

    Arguments:
        outcomes: by statistic, whether the change helps, harms or cannot be separated from none.
    """
    titles = {score.key: score.title for score in JUDGED}
    found = {word: [titles[key] for key, outcome in outcomes.items() if outcome == word] for word in (HELPS, HARMS)}
    parts = [f"{word} {enumeration(names)}" for word, names in found.items() if names]
    return ", ".join(parts) or NEITHER


def changes(flow: FlowResults, standings: list[Standing]) -> list[Change]:
    """Return one row for each model that extends another one, in the experiment's order.

    The statistics of rollouts are compared only where neither model lost one: what is left of the others is their
    luckiest part.

    Arguments:
        flow: the results.
        standings: one row per stepper.
    """
    rows = {row.name: row for row in standings}
    return [_change(flow, rows[name], rows[base]) for name, base in flow.extensions.items()]


def _change(flow: FlowResults, row: Standing, base: Standing) -> Change:
    ours, theirs = flow.pooled[row.name], flow.pooled[base.name]
    effects = {SURVIVING: Estimate(*difference(ours[SURVIVING], theirs[SURVIVING]))}
    compared: list[Score] = [DECORRELATION]
    if not (row.has_failures or base.has_failures):
        compared += [SPECTRUM, fake_catcher(flow.dimensions)]
    for score in compared:
        if score.key in ours and score.key in theirs:
            effects[score.key] = Estimate(*ratio(ours[score.key], theirs[score.key]))
    outcomes = {score.key: _outcome(effects.get(score.key, MISSING), score) for score in JUDGED}
    models = flow.flow.surrogates
    options = differences(_options(models[base.name]), _options(models[row.name]))
    return Change(row, base, tuple(options), effects, outcomes)


def _outcome(effect: Estimate, score: Score) -> str:
    unchanged = 0.0 if score is SURVIVAL else 1.0
    if effect.low > unchanged:
        return HARMS if score.smaller_is_better else HELPS
    if effect.high < unchanged:
        return HELPS if score.smaller_is_better else HARMS
    return NEITHER


def _options(model: Any) -> dict[str, Any]:
    options: dict[str, Any] = model.model_dump(mode="json", exclude={"extends", "seeds"})
    return options


def differences(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[str]:
    """Yield what differs between two configurations, `key: from → to`.

    Arguments:
        before, after: options of two models; parts have options of their own.
    """
    for key in dict.fromkeys([*before, *after]):
        old, new = before.get(key), after.get(key)
        if old == new:
            continue
        if isinstance(old, Mapping) and isinstance(new, Mapping):
            yield from differences(old, new)
        elif key == "curriculum":
            yield f"unroll: {_curriculum(old)} → {_curriculum(new)}"
        elif isinstance(old, list) and isinstance(new, list) and _is_longer(old, new):
            yield f"{key}: without {_words([part for part in old if part not in new])}"
        elif isinstance(old, list) and isinstance(new, list) and _is_longer(new, old):
            yield f"{key}: with {_words([part for part in new if part not in old])}"
        else:
            yield f"{key}: {_words(old)} → {_words(new)}"


def _is_longer(some: list[Any], others: list[Any]) -> bool:
    return len(some) > len(others) and all(part in some for part in others)


def _curriculum(stages: Any) -> str:
    """Return `1, 4 from 50 %`."""
    return ", ".join(
        _stage(stage) + (f" from {100 * stage['start']:g} %" if stage["start"] else "") for stage in stages
    )


def _stage(stage: Mapping[str, Any]) -> str:
    longest = stage.get("all_to_all")
    return str(stage["unroll"]) if longest is None else f"all to all within {longest}"


def _words(value: Any) -> str:
    if value is None or value == []:
        return "none"
    if isinstance(value, Mapping):
        # What is not chosen says nothing, and a type says what it is.
        chosen = {key: _words(part) for key, part in value.items() if part not in (None, False)}
        return ", ".join(words if key == "type" else f"{key} {words}" for key, words in chosen.items())
    if isinstance(value, list):
        return ", ".join(map(_words, value))
    if isinstance(value, float) and math.isfinite(value):
        return f"{value:g}"
    return str(value).lower() if isinstance(value, bool) else str(value)
