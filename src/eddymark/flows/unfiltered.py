"""DNS states before they are filtered, kept for LES on other grids than that of the data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from eddymark.config.steppers import FINEST_GRID
from eddymark.grid import Grid, SpectralSpace


def kept_space(space: SpectralSpace, coarse: Grid) -> SpectralSpace:
    """Return the modes of DNS states that are kept, on the smallest grid that holds them.

    These are the modes which a grid with `FINEST_GRID` times the points of the LES grid resolves. Without the points
    for dealiasing, a state then takes about as much room as two or three filtered ones, however fine the DNS is.

    Arguments:
        space: spectral space of the DNS.
        coarse: the LES grid.
    """
    finest = coarse.coarsened([FINEST_GRID * n for n in coarse.points])
    cutoff = tuple(min(pair) for pair in zip(space.cutoff, finest.dealiased_cutoff, strict=True))
    grid = coarse.coarsened([2 * (highest + 1) for highest in cutoff])
    return SpectralSpace(grid, cutoff=cutoff, dtype=space.dtype, device=space.device)


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
