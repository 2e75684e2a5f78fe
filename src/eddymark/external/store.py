"""One opened file or store of velocity fields, whatever its layout."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eddymark.errors import EddymarkError

AXES = ("x", "y", "z")
Array = NDArray[np.floating[Any]]


class SourceError(EddymarkError):
    """A source is not what its flow's configuration says.

    Arguments:
        where: file, and what in it.
        expected, found: in words.
    """

    def __init__(self, where: str, expected: str, found: str) -> None:
        self.where, self.expected, self.found = where, expected, found
        super().__init__(f"{where}: expected {expected}, found {found}")


@dataclass(frozen=True)
class Store:
    """The velocity in one file; nothing but its description is read before it is asked for.

    Arguments:
        path: the file, or the folder of a Zarr store.
        layout: what it is, in words.
        trajectories, outputs: how many there are.
        points: grid points in the order x, y, z.
        coordinates: coordinates of the points, in the same order; None where the file has none.
        time: times of the outputs, `(output,)` or `(trajectory, output)`, or None; in the source's units.
        runs: the run that each trajectory was cut from, if the file says so.
        dtype: type of the numbers.
        read: maps a trajectory and a slice of outputs to `(time, component, *grid)`.
    """

    path: Path
    layout: str
    trajectories: int
    outputs: int
    points: tuple[int, ...]
    coordinates: tuple[NDArray[np.float64] | None, ...]
    time: NDArray[np.float64] | None
    runs: NDArray[np.int64] | None
    dtype: np.dtype[Any]
    read: Callable[[int, slice], Array]


def fields(
    variables: Sequence[Any], dimensions: Sequence[str], where: str, dimension: int
) -> tuple[int, int, tuple[int, ...], Callable[[int, slice], Array]]:
    """Return the numbers of trajectories, outputs and points of a velocity, and how to read it.

    Arguments:
        variables: one array with all components, or one for each; indexed like NumPy's, read only where indexed.
        dimensions: what their axes are, among trajectory, time, component, x, y, z; any order.
        where: file and name, for messages.
        dimension: number of space dimensions.

    Raises:
        SourceError: if the shapes do not fit.
    """
    axes = AXES[:dimension]
    shape = variables[0].shape
    if len(shape) != len(dimensions):
        raise SourceError(where, f"{len(dimensions)} axes ({', '.join(dimensions)})", f"shape {list(shape)}")
    other = next((variable.shape for variable in variables if variable.shape != shape), None)
    if other is not None:
        raise SourceError(where, f"components of equal shape {list(shape)}", f"{list(other)}")
    sizes = dict(zip(dimensions, shape, strict=True))
    if missing := [axis for axis in axes if axis not in sizes]:
        named = ", ".join(dimensions)
        raise SourceError(where, f"axes for {', '.join(missing)} (name them in source.dimensions)", named)
    if unknown := [name for name in dimensions if name not in ("trajectory", "time", "component", *axes)]:
        expected = f"axes among trajectory, time, component, {', '.join(axes)} (name them in source.dimensions)"
        raise SourceError(where, expected, ", ".join(unknown))
    components = sizes.get("component", len(variables))
    if components != dimension or (len(variables) > 1 and "component" in sizes):
        raise SourceError(where, f"{dimension} components of the velocity", f"{components * len(variables)}")
    if not np.issubdtype(variables[0].dtype, np.floating):
        raise SourceError(where, "real floating-point numbers", str(variables[0].dtype))
    left = [name for name in dimensions if name != "trajectory"]
    order = [left.index(name) for name in ("time", "component", *axes) if name in left]

    def read(trajectory: int, outputs: slice) -> Array:
        chosen = {"trajectory": trajectory, "time": outputs}
        index = tuple(chosen.get(name, slice(None)) for name in dimensions)
        parts = [native(variable[index]).transpose(order) for variable in variables]
        if "time" not in sizes:
            parts = [part[np.newaxis] for part in parts]
        return parts[0] if "component" in sizes else np.stack(parts, axis=1)

    points = tuple(sizes[axis] for axis in axes)
    return sizes.get("trajectory", 1), sizes.get("time", 1), points, read


def native(values: Any) -> Array:
    """Return an array in the byte order of this machine and in single or double precision."""
    array = np.asarray(getattr(values, "values", values))
    return array.astype(np.float64 if array.dtype.itemsize > 4 else np.float32, copy=False)


def numbers(values: Any, where: str) -> NDArray[np.float64]:
    """Return a coordinate as an array in double precision.

    Raises:
        SourceError: if it is not made of numbers.
    """
    try:
        return np.asarray(getattr(values, "values", values), dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise SourceError(where, "numbers", "something else") from error
