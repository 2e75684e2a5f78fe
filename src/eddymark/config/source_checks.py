"""Checks of a flow's source that need no look into its files."""

from __future__ import annotations

from collections.abc import Iterator

from eddymark.config.findings import Problem, show
from eddymark.config.schema import Flow
from eddymark.config.source import Source
from eddymark.config.source_files import source_files

_SIMULATED = ("initial_state", "direct_numerical_simulation")
_SPLITS = ("train", "validation", "test")


def check_source(flow: Flow) -> Iterator[Problem]:
    """Yield what is wrong with where a flow's fields come from."""
    for key in _SIMULATED:
        section = getattr(flow, key)
        if flow.source is None and section is None:
            yield Problem((key,), "a section (only a flow with a source does without)", "nothing")
        if flow.source is not None and section is not None:
            yield Problem((key,), "null with a source (its fields are not simulated)", "a section")
    if flow.source is not None:
        yield from _check_files(flow.source)
        yield from _check_dimensions(flow.source, len(flow.sides))
        yield from _check_trajectories(flow, flow.source)


def _check_files(source: Source) -> Iterator[Problem]:
    path = ("source", "files")
    if not source.files:
        yield Problem(path, "at least one file or pattern", "none")
    groups = source_files(source)
    for pattern, files in zip(source.files, groups, strict=True):
        if not files:
            yield Problem(path, "paths or patterns of existing files (from the working directory)", show(pattern))
    files = [file.resolve() for group in groups for file in group]
    twice = next((file for file in files if files.count(file) > 1), None) if len(set(files)) < len(files) else None
    if twice is not None:
        yield Problem(path, "each file once", f"{show(twice.name)} twice")


def _check_dimensions(source: Source, dimension: int) -> Iterator[Problem]:
    if source.velocity is not None and len(source.velocity) not in (1, dimension):
        expected = f"one name, or {dimension} of the components in the order of the axes"
        yield Problem(("source", "velocity"), expected, show(source.velocity))
    if source.dimensions is None:
        return
    path = ("source", "dimensions")
    together = source.velocity is None or len(source.velocity) == 1
    needed = [*"xyz"[:dimension], *(["component"] if together else [])]
    possible = {*needed, "trajectory", "time"}
    if len(set(source.dimensions)) < len(source.dimensions):
        yield Problem(path, "each dimension once", show(source.dimensions))
    elif not set(needed) <= set(source.dimensions) <= possible:
        expected = f"{', '.join(needed)} and, where the velocity has them, trajectory and time, in the file's order"
        yield Problem(path, expected, show(source.dimensions))


def _check_trajectories(flow: Flow, source: Source) -> Iterator[Problem]:
    chosen = source.trajectories
    if chosen is None:
        if flow.is_transient:
            expected = f"trajectories for each split ({flow.type} is transient: no two splits may share one)"
            yield Problem(("source", "trajectories"), expected, "nothing")
        return
    owners: dict[int, str] = {}
    for split in _SPLITS:
        numbers = getattr(chosen, split)
        path = ("source", "trajectories", split)
        if not numbers:
            yield Problem(path, "at least one trajectory", "none")
        elif flow.sampling.shards > len(numbers):
            expected = f"at most one per trajectory of each split ({split} has {len(numbers)})"
            yield Problem(("sampling", "shards"), expected, show(flow.sampling.shards))
        for number in numbers:
            if number in owners:
                expected = "every trajectory in one split, once (data of one split must not reach another)"
                yield Problem(path, expected, f"{number}, which is in {owners[number]}")
                break
            owners[number] = split
    if flow.is_transient:
        for split in _SPLITS:
            total, runs = len(getattr(chosen, split)), getattr(flow.sampling.splits, split).runs
            if runs != total:
                expected = f"{total}, the number of trajectories in source.trajectories.{split}"
                yield Problem(("sampling", "splits", split, "runs"), expected, show(runs))
        return
    total = sum(len(getattr(chosen, split)) for split in _SPLITS)
    if flow.runs != total:
        expected = f"{total}, the number of trajectories in source.trajectories"
        yield Problem(("sampling", "runs"), expected, show(flow.sampling.runs))
