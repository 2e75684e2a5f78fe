"""All trajectories of a source over all of its files, and whether they fit their flow."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from eddymark.config.schema import Flow
from eddymark.config.source import Source, Units
from eddymark.config.source_files import source_files
from eddymark.external.opening import open_store
from eddymark.external.store import AXES, Array, SourceError, Store

SPACING_TOLERANCE = 1e-4
"""Relative difference between the spacing of the source and side / points, beside rounding to single precision."""
INTERVAL_TOLERANCE = 1e-4
"""Relative difference between sampling.interval and a multiple of the source's time step."""


@dataclass(frozen=True)
class Segment:
    """Consecutive outputs of one trajectory in one file."""

    path: Path
    index: int
    outputs: int


@dataclass(frozen=True)
class Trajectory:
    """One trajectory of the source.

    Arguments:
        segments: where its outputs are.
        run: what it was cut from; trajectories of one run are not independent.
        stride: every how many outputs of the source there is one of the flow.
    """

    segments: tuple[Segment, ...]
    run: int
    stride: int

    @property
    def outputs(self) -> int:
        """Number of outputs `sampling.interval` apart."""
        return (sum(segment.outputs for segment in self.segments) - 1) // self.stride + 1


@dataclass(frozen=True)
class Catalogue:
    """What a source holds.

    Arguments:
        layouts: what its files are, in words.
        files: number of files.
        points: its grid.
        double: whether the numbers are in double precision.
        trajectories: those which the flow uses, by number.
    """

    layouts: tuple[str, ...]
    files: int
    points: tuple[int, ...]
    double: bool
    trajectories: dict[int, Trajectory]


def catalogue(flow: Flow) -> Catalogue:
    """Look into every file of a flow's source, without reading a field, and check that it fits the flow.

    Raises:
        SourceError: with what does not fit.
    """
    source = flow.source
    assert source is not None
    dimension = len(flow.sides)
    found: list[Trajectory] = []
    layouts: dict[str, None] = {}
    points: tuple[int, ...] | None = None
    double = False
    groups = source_files(source)
    joined = groups if source.join == "time" else [[path] for group in groups for path in group]
    for files in joined:
        described: list[Store] = []
        for path in files:
            with open_store(path, source, dimension) as store:
                points = points or store.points
                if store.points != points:
                    raise SourceError(f"{path}", f"the grid of the other files {list(points)}", f"{list(store.points)}")
                if not described and not found:
                    _check_points(flow, store)
                _check_coordinates(flow, store)
                layouts[store.layout] = None
                double |= store.dtype.itemsize > 4
                described.append(store)
        found += _joined(flow, described, first=len(found))
    if points is None:
        raise SourceError("source.files", "at least one file", "none")
    used = _used(flow, found)
    return Catalogue(tuple(layouts), sum(map(len, groups)), points, double, used)


def _check_points(flow: Flow, store: Store) -> None:
    coarse, points = flow.large_eddy_grid.points, store.points
    if any(n % 2 for n in points):
        raise SourceError(f"{store.path}", "even numbers of grid points", f"{list(points)}")
    if points != coarse and any(n < m for n, m in zip(points, coarse, strict=True)):
        raise SourceError(f"{store.path}", f"at least the points of large_eddy_grid {list(coarse)}", f"{list(points)}")
    width = flow.large_eddy_grid.filter.width
    spacing = max(side / n for side, n in zip(flow.sides, points, strict=True))
    if points != coarse and width is not None and width < spacing:
        expected = f"a grid finer than large_eddy_grid.filter.width {width:g}"
        raise SourceError(f"{store.path}", expected, f"a spacing of {spacing:.3g}")


def _check_coordinates(flow: Flow, store: Store) -> None:
    assert flow.source is not None
    for axis, name in enumerate(AXES[: len(flow.sides)]):
        values, points = store.coordinates[axis], store.points[axis]
        if values is None:
            continue
        where = f"{store.path}, {name}"
        if values.shape != (points,):
            raise SourceError(where, f"{points} coordinates", f"shape {list(values.shape)}")
        values = values * flow.source.units.length
        if not np.isfinite(values).all():
            raise SourceError(where, "finite coordinates", "NaN or infinity")
        expected = flow.sides[axis] / points
        steps = np.diff(values)
        rounding = 4 * np.finfo(np.float32).eps * np.abs(values).max()
        if not np.all(np.abs(steps - expected) <= SPACING_TOLERANCE * expected + rounding):
            text = f"{steps.min():.6g}" if np.ptp(steps) <= 1e-3 * abs(steps[0]) else "an uneven one"
            hint = " (does the file repeat the first point at the end?)" if _closed(steps, expected, points) else ""
            raise SourceError(where, f"a spacing of side / points = {expected:.6g} flow units", text + hint)
        _check_origin(flow, where, axis, float(values[0]), expected)


def _closed(steps: NDArray[np.float64], expected: float, points: int) -> bool:
    """Return whether the spacing is that of a grid which includes both ends of the side."""
    return bool(abs(steps.mean() * (points - 1) / (expected * points) - 1) < SPACING_TOLERANCE)


def _check_origin(flow: Flow, where: str, axis: int, start: float, spacing: float) -> None:
    """Refuse a grid on which a force that is fixed in space would stand elsewhere."""
    if flow.forcing.type != "sinusoidal" or axis != 1:
        return
    wavelength = flow.sides[1] / (flow.forcing.wavenumber or 1)
    if abs(start - wavelength * round(start / wavelength)) > 1e-3 * spacing:
        expected = f"a first coordinate of 0 or a multiple of the force's wavelength {wavelength:.6g}"
        raise SourceError(where, expected, f"{start:.6g}")


def _joined(flow: Flow, stores: list[Store], *, first: int) -> list[Trajectory]:
    """Return the trajectories of files which hold consecutive times of them (or of one file)."""
    count = stores[0].trajectories
    different = next((store for store in stores if store.trajectories != count), None)
    if different is not None:
        raise SourceError(
            f"{different.path}", f"{count} trajectories as in {stores[0].path}", f"{different.trajectories}"
        )
    trajectories = []
    for index in range(count):
        segments = tuple(Segment(store.path, index, store.outputs) for store in stores)
        runs = stores[0].runs
        run = first + index if runs is None else int(runs[index])
        trajectories.append(Trajectory(segments, run, _stride(flow, stores, index)))
    return trajectories


def _stride(flow: Flow, stores: list[Store], index: int) -> int:
    """Return every how many outputs of the source there is one of the flow."""
    source = flow.source
    assert source is not None
    step = _time_step(source, stores, index)
    ratio = flow.interval / step
    stride = round(ratio)
    if stride < 1 or abs(ratio - stride) > INTERVAL_TOLERANCE * stride:
        nearest = max(1, stride) * step / flow.turnover_time
        raise SourceError(
            f"{stores[0].path}",
            f"a time step of which sampling.interval × turnover_time = {flow.interval:g} is a multiple "
            f"(nearest: interval {nearest:.6g})",
            f"a time step of {step:.6g} flow units",
        )
    return stride


def _time_step(source: Source, stores: list[Store], index: int) -> float:
    """Return the time between outputs in flow units; all of them are checked."""
    units = _time_unit(source.units)
    where = f"{stores[0].path}" if len(stores) == 1 else f"{stores[0].path} to {stores[-1].path.name}"
    times = [None if store.time is None else _row(store.time, index) for store in stores]
    known = [time for time in times if time is not None]
    if len(known) < len(times):
        if source.time_step is None:
            raise SourceError(where, "times, or source.time_step", "neither")
        return source.time_step * units
    time = np.concatenate(known)
    if len(time) != sum(store.outputs for store in stores):
        raise SourceError(where, f"{sum(store.outputs for store in stores)} times", f"{len(time)}")
    if len(time) < 2:
        raise SourceError(where, "at least 2 outputs", f"{len(time)}")
    if not np.isfinite(time).all():
        raise SourceError(where, "finite times", "NaN or infinity")
    step = float(time[-1] - time[0]) / (len(time) - 1)
    rounding = 4 * np.finfo(np.float32).eps * float(np.abs(time).max())
    if step <= 0 or np.abs(time - time[0] - step * np.arange(len(time))).max() > 1e-3 * step + rounding:
        steps = np.diff(time)
        raise SourceError(where, "times at equal steps", f"steps from {steps.min():.6g} to {steps.max():.6g}")
    if source.time_step is not None and abs(step / source.time_step - 1) > 1e-3:
        raise SourceError(where, f"the time step {source.time_step:g} of source.time_step", f"{step:.6g}")
    return (source.time_step or step) * units


def _time_unit(units: Units) -> float:
    return units.length / units.velocity if units.time is None else units.time


def _row(time: NDArray[np.float64], index: int) -> NDArray[np.float64]:
    return time[index] if time.ndim == 2 else time


def _used(flow: Flow, found: list[Trajectory]) -> dict[int, Trajectory]:
    """Return the trajectories that the flow uses, by number."""
    source = flow.source
    assert source is not None
    numbers = list(range(flow.runs))
    if source.trajectories is not None:
        chosen = source.trajectories
        numbers = sorted([*chosen.train, *chosen.validation, *chosen.test])
    if numbers[-1] >= len(found):
        wanted = "sampling.runs" if source.trajectories is None else "source.trajectories"
        expected = f"at least {numbers[-1] + 1} trajectories ({wanted})"
        raise SourceError(", ".join(source.files), expected, f"{len(found)}")
    return {number: found[number] for number in numbers}


class Reader:
    """Reads outputs of trajectories; one file is open at a time.

    Arguments:
        source: the source.
        dimension: number of space dimensions.
    """

    def __init__(self, source: Source, dimension: int) -> None:
        self.source = source
        self.dimension = dimension
        self._stack = ExitStack()
        self._store: Store | None = None

    def __enter__(self) -> Reader:
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()

    def blocks(self, trajectory: Trajectory, first: int, last: int, *, size: int) -> Iterator[Array]:
        """Yield outputs `first` to `last` (inclusive, `sampling.interval` apart), at most `size` at a time.

        Yields:
            `(time, component, *grid)` in the source's units.
        """
        wanted = range(first * trajectory.stride, last * trajectory.stride + 1, trajectory.stride)
        for start in range(0, len(wanted), size):
            yield np.concatenate(list(self._outputs(trajectory, wanted[start : start + size])))

    def _outputs(self, trajectory: Trajectory, wanted: range) -> Iterator[Array]:
        begin = 0
        for segment in trajectory.segments:
            here = [output - begin for output in wanted if begin <= output < begin + segment.outputs]
            begin += segment.outputs
            if here:
                yield self._read(segment, slice(here[0], here[-1] + 1, wanted.step))

    def _read(self, segment: Segment, outputs: slice) -> Array:
        store = self._open(segment.path)
        try:
            return store.read(segment.index, outputs)
        except Exception as error:  # whatever a damaged chunk or a missing codec makes the libraries raise
            found = " ".join(f"{type(error).__name__}: {error}".split())
            raise SourceError(f"{segment.path}, trajectory {segment.index}", "readable fields", found) from error

    def _open(self, path: Path) -> Store:
        if self._store is None or self._store.path != path:
            self._stack.close()
            self._store = self._stack.enter_context(open_store(path, self.source, self.dimension))
        return self._store
