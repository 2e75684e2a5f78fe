"""DNS states as they are, kept for LES on other grids than the one to which the data are filtered."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from eddymark.grid import Grid, SpectralSpace


def compact_space(space: SpectralSpace) -> SpectralSpace:
    """Return the space with the same modes on the smallest grid that holds them, without the points for dealiasing."""
    points = tuple(2 * (highest + 1) for highest in space.cutoff)
    grid = Grid(points=points, sides=space.grid.sides)
    return SpectralSpace(grid, cutoff=space.cutoff, dtype=space.dtype, device=space.device)


def kept_outputs(stretches: Mapping[str, Sequence[tuple[int, int]]], spread: Sequence[int]) -> dict[str, list[int]]:
    """Return by split of which outputs the unfiltered state is kept, counted from the start of a trajectory.

    Of a validation trajectory these are its first and its last interval, from which time steps are measured; of a test
    trajectory the given outputs, from which rollouts start and steps are timed.

    Arguments:
        stretches: first and last output of the stretches of each split, of equal length within a split.
        spread: outputs of a test trajectory, the first one among them.
    """
    first, last = stretches["validation"][0]
    length = last - first
    return {"validation": sorted({0, 1, length - 1, length}), "test": list(spread)}
