"""States on the grid of any LES, from what the data hold."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
import xarray as xr
from numpy.typing import NDArray
from torch import Tensor

from eddymark.config.schema import Flow
from eddymark.config.steppers import needs_unfiltered_states
from eddymark.execution import split_files
from eddymark.filters import GridFilter
from eddymark.grid import Grid, SpectralSpace
from eddymark.storage import open_trajectories


class GridStates:
    """States of the validation or test trajectories of a flow on an LES grid.

    On `large_eddy_grid` these are the filtered DNS. If the filter is sharp, what a coarser grid resolves is a part of
    them. All other states are filtered from the DNS states of a few outputs that are kept for this.

    Arguments:
        flow: the flow.
        flow_name: its name.
        split: validation or test.
        points: the alternative grid; None for `large_eddy_grid`.
        results: root of the results.
    """

    def __init__(
        self, flow: Flow, flow_name: str, split: str, *, points: tuple[int, ...] | None, results: Path
    ) -> None:
        files = split_files(flow, flow_name, split, results)
        self._restrict: GridFilter | None = None
        if points is None:
            self._data = open_trajectories(files)
        else:
            target = Grid(points=points, sides=flow.sides)
            if needs_unfiltered_states(flow, points):
                self._data = open_trajectories([file.with_name(f"unfiltered_{file.name}") for file in files])
                space = _space(self._data["velocity"].shape[3:], flow, compact=True)
            else:
                self._data = open_trajectories(files)
                space = _space(flow.large_eddy_grid.points, flow)
            self._restrict = GridFilter(space, target, flow.large_eddy_grid.filter)
        count = self._data.sizes["time"]
        stored = "output" in self._data.coords
        self.outputs: NDArray[np.int64] = self._data["output"].to_numpy() if stored else np.arange(count)
        """Number of each stored output in its trajectory."""

    def states(self) -> Tensor:
        """Return all states, `(trajectory, output, component, *grid)`."""
        return self._on_grid(self._data["velocity"])

    def state(self, output: int) -> Tensor:
        """Return one output of every trajectory, `(trajectory, component, *grid)`."""
        (position,) = np.flatnonzero(self.outputs == output)
        return self._on_grid(self._data["velocity"][:, position])

    def successive(self, most: int) -> tuple[Tensor, Tensor]:
        """Return states, evenly spread over all trajectories, and those one output later.

        Arguments:
            most: at most so many.
        """
        first = np.flatnonzero(np.diff(self.outputs) == 1)
        trajectories = self._data.sizes["trajectory"]
        chosen = np.unique(np.linspace(0, trajectories * len(first) - 1, most).round().astype(int))
        places = [(index // len(first), first[index % len(first)]) for index in chosen]
        pairs = torch.stack(
            [self._on_grid(self._data["velocity"][place, begin : begin + 2]) for place, begin in places]
        )
        return pairs[:, 0], pairs[:, 1]

    def _on_grid(self, velocity: xr.DataArray) -> Tensor:
        stored = torch.as_tensor(velocity.to_numpy())
        if self._restrict is None:
            return stored
        fine = self._restrict.fine
        return self._restrict(fine.to_spectral(stored.to(fine.dtype))).to(stored.dtype)


def _space(points: tuple[int, ...], flow: Flow, *, compact: bool = False) -> SpectralSpace:
    """Return the space of stored states; a compact grid has no points for dealiasing."""
    cutoff = tuple(n // 2 - 1 for n in points) if compact else None
    return SpectralSpace(Grid(points=tuple(points), sides=flow.sides), cutoff=cutoff)


def resampled(velocity: Tensor, space: SpectralSpace, target: SpectralSpace) -> Tensor:
    """Return the field with the same Fourier coefficients on another grid of the same box, zero where there was none.

    Arguments:
        velocity: `(..., *grid)`.
        space, target: dealiased spectral spaces of the two grids; modes that the target lacks are lost.

    Returns:
        `(..., *target grid)`.
    """
    return target.to_physical(space.resample(space.to_spectral(velocity), target))
