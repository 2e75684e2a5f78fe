"""Checks of how a flow is sampled and of what is measured on its rollouts."""

from __future__ import annotations

from collections.abc import Iterator

from eddymark.config.findings import Problem, show
from eddymark.config.model_checks import MOST_OUTPUTS, count, intervals
from eddymark.config.schema import Flow
from eddymark.config.steppers import longest_history

SPLITS = ("train", "validation", "test")

_FEWEST_BOOTSTRAP_SAMPLES = 100
"""Below this, the ends of a 95 % interval rest on fewer than three samples each."""


def check_sampling(flow: Flow) -> Iterator[Problem]:
    """Yield what is wrong with how runs are cut into trajectories."""
    sampling = flow.sampling
    missing = list(_check_kind(flow))
    yield from missing
    if sampling.shards > flow.runs > 0:
        yield Problem(("sampling", "shards"), f"at most one per run ({flow.runs})", show(sampling.shards))
    if sampling.gap is not None and not flow.is_transient and sampling.gap < sampling.interval * (1 - 1e-9):
        expected = f"at least one interval ({sampling.interval:g}), so that no two stretches share an output"
        yield Problem(("sampling", "gap"), expected, show(sampling.gap))
    for split in SPLITS:
        stretch = getattr(sampling.splits, split)
        if intervals(stretch, sampling.interval) < 1:
            path = ("sampling", "splits", split, "length")
            yield Problem(path, f"at least one interval ({sampling.interval:g})", show(stretch.length))
        if intervals(stretch, sampling.interval) > MOST_OUTPUTS:
            path = ("sampling", "splits", split, "length")
            yield Problem(path, f"at most {MOST_OUTPUTS} intervals", show(stretch.length))
    if flow.trajectories("test") < 2 and not missing:
        own = flow.is_transient
        path = ("sampling", "splits", "test", "runs" if own else "stretches")
        yield Problem(path, f"at least 2 test {'runs' if own else 'trajectories (runs times stretches)'}", "1")


def _check_kind(flow: Flow) -> Iterator[Problem]:
    """Yield keys that the other kind of flow has, statistically steady or transient, and those that are missing."""
    sampling, transient = flow.sampling, flow.is_transient
    kind = f"{flow.type} is {'transient' if transient else 'statistically steady'}"
    for key, value in {"runs": sampling.runs, "gap": sampling.gap}.items():
        if transient and value is not None:
            hint = "each split states its runs" if key == "runs" else "each run is one trajectory"
            yield Problem(("sampling", key), f"no such key ({kind}: {hint})", show(value))
        if not transient and value is None:
            yield Problem(("sampling", key), f"a value ({kind})", "nothing")
    for split in SPLITS:
        section = getattr(sampling.splits, split)
        wanted, other = ("runs", "stretches") if transient else ("stretches", "runs")
        path = ("sampling", "splits", split)
        if getattr(section, wanted) is None:
            yield Problem((*path, wanted), f"a value ({kind})", "nothing")
        if getattr(section, other) is not None:
            yield Problem((*path, other), f"no such key ({kind})", show(getattr(section, other)))


def check_validation(flow: Flow) -> Iterator[Problem]:
    """Yield what is wrong with the rollouts and what is measured on them."""
    validation = flow.validation
    interval = flow.sampling.interval
    if validation.rollout_length < interval:
        yield Problem(
            ("validation", "rollout_length"),
            f"at least one interval ({interval:g})",
            show(validation.rollout_length),
        )
    elif validation.statistics_start > validation.rollout_length - interval:
        expected = f"at least one interval before the end of the rollouts ({validation.rollout_length:g})"
        yield Problem(("validation", "statistics_start"), expected, show(validation.statistics_start))
    if count(validation.rollout_length, interval) > MOST_OUTPUTS:
        expected = f"at most {MOST_OUTPUTS} intervals"
        yield Problem(("validation", "rollout_length"), expected, show(validation.rollout_length))
    yield from _check_matched_times(flow)
    for key in ("energy", "enstrophy"):
        low, high = getattr(validation.survival, key)
        if not low < 1 < high:
            yield Problem(
                ("validation", "survival", key), "a lower limit < 1 and an upper limit > 1", show((low, high))
            )
    if validation.bootstrap_samples < _FEWEST_BOOTSTRAP_SAMPLES:
        yield Problem(
            ("validation", "bootstrap_samples"),
            f"at least {_FEWEST_BOOTSTRAP_SAMPLES}",
            show(validation.bootstrap_samples),
        )


def _check_matched_times(flow: Flow) -> Iterator[Problem]:
    """Check that a transient flow's statistics can be compared with the DNS at the same times."""
    validation, interval, path = flow.validation, flow.sampling.interval, ("validation", "windows")
    if not flow.is_transient:
        if validation.windows != 1:
            yield Problem(path, f"1 ({flow.type} is statistically steady)", show(validation.windows))
        return
    history = (longest_history(flow) - 1) * interval
    longest = flow.sampling.splits.test.length - history
    if count(validation.rollout_length, interval) > count(longest, interval):
        less = " less the longest history" if history else ""
        expected = f"at most {longest:g} ({flow.type} is transient: the test runs{less} have to reach as far)"
        yield Problem(("validation", "rollout_length"), expected, show(validation.rollout_length))
    outputs = count(max(validation.rollout_length - validation.statistics_start, interval), interval)
    if not 2 <= validation.windows <= outputs:
        expected = f"2 to {outputs} (the outputs from statistics_start on; {flow.type} is transient)"
        yield Problem(path, expected, show(validation.windows))
