"""How the modes of a spectral space lie in memory, and what it takes to transform them."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from eddymark.grid import SpectralSpace
from eddymark.solvers.compiled.arrays import Buffers, Equations, Plans, Recipe
from eddymark.solvers.compiled.transforms import aligned, aligned_count, plan

_BLOCK_BYTES = 1 << 17
"""What the columns of one block of a plane may take together: half of a small second-level cache."""

_MOST_RATES = 2048
"""Modes whose nonlinear terms are computed together: they stay in the second-level cache, and each call has a price."""

_LONGEST_SINGLE_PASS = 128
"""FFTW makes longer transforms in several passes, which are fastest over columns that fill one cache line."""


class Storage:
    """Modes, rows and slabs of a dealiased space on the CPU.

    Arguments:
        space: the space.
    """

    def __init__(self, space: SpectralSpace) -> None:
        self.space = space
        grid = space.grid
        self.points = grid.points
        self.dimension = grid.dimension
        self.dtype = {torch.float32: "complex64", torch.float64: "complex128"}[space.dtype]
        self.real = np.dtype(str(space.dtype).removeprefix("torch."))
        self.modes = (*(1,) * (3 - grid.dimension), *space.modes)
        self.slabs, self.rows = (space.modes[1], space.modes[0]) if grid.dimension == 3 else (1, space.modes[0])
        self.row = aligned_count(space.modes[-1], self.dtype)

    def zeros(self, *shape: int) -> NDArray[Any]:
        """Return complex zeros."""
        return aligned(shape, self.dtype)

    def rates(self, count: int) -> NDArray[Any]:
        """Return room for fields in some whole rows of a slab on one side of the gap of high wavenumbers."""
        low = self.rows // 2 + 1
        return self.zeros(count, math.ceil(low / math.ceil(low * self.row / _MOST_RATES)) * self.row)

    def stored(self, array: NDArray[Any]) -> NDArray[Any]:
        """Return `(..., *modes)` as the kernels store modes, `(..., slabs, rows · row)`, padded with zeros."""
        leading = array.shape[: array.ndim - self.dimension]
        array = array.reshape(*leading, *self.modes)
        stored = aligned((*leading, self.slabs, self.rows, self.row), str(array.dtype))
        stored[..., : self.modes[-1]] = array.swapaxes(-3, -2) if self.slabs > 1 else array
        return stored.reshape(*leading, self.slabs, self.rows * self.row)

    def returned(self, states: NDArray[Any]) -> Tensor:
        """Return spectra `(batch, d, *modes)` from the kernels' states."""
        stored = states.reshape(*states.shape[:2], self.slabs, self.rows, self.row)[..., : self.modes[-1]]
        modes = stored.swapaxes(-3, -2) if self.slabs > 1 else stored
        return torch.from_numpy(np.ascontiguousarray(modes)).reshape(*states.shape[:2], *self.space.modes)

    def positions(self) -> NDArray[np.int64]:
        """Return where each mode, in the order of the space, is stored."""
        first, middle, last = np.unravel_index(np.arange(math.prod(self.modes)), self.modes)
        slab, row = (middle, first) if self.dimension == 3 else (first, middle)
        return (slab * self.rows + row) * self.row + last

    def equations(self, **others: Any) -> Equations:
        """Return wavenumbers and normalisation; the rest is empty unless it is given."""
        space = self.space
        stored = [self.stored(k.numpy()) for k in space.wavenumbers]
        real = self.real.type
        empty = np.zeros((0, 0), self.real)
        rest: dict[str, Any] = {
            "steady": np.zeros((0, 0, 0), self.dtype),
            "power": 0.0,
            **dict.fromkeys(("forced", "convecting", "damping", "damping_weights"), empty),
        }
        return Equations(
            rows=self.rows,
            kept=self.modes[-1],
            k_slab=stored[1][:, 0].copy() if self.dimension == 3 else np.zeros(1, self.real),
            k_row=stored[0][0],
            k_last=stored[-1][0],
            inverse_square=self.stored(space.inverse_wavenumber_squared.numpy()),
            scale=real(0.5 / math.prod(self.points)),
            smallest=float(np.finfo(real).tiny),
            **(rest | others),
        )


class Layout(Storage):
    """A 3-D space with blocks and plans for its transforms.

    Arguments:
        space: the space.
        fields: number of fields that are at the grid points of a block at the same time.
    """

    def __init__(self, space: SpectralSpace, *, fields: int) -> None:
        super().__init__(space)
        self.fields = fields
        # One cache line more than a power of two keeps the rows of a plane from falling into the same cache sets.
        self.column = aligned_count(self.points[-2] + 1, self.dtype)
        self.width = self._block_width(fields)
        self.plans = self._make_plans()

    def lines(self, count: int) -> NDArray[Any]:
        """Return room for some fields between the transforms of the first and the second axis."""
        return self.zeros(count, self.points[0], self.slabs * self.row)

    def buffers(self, recipe: Recipe, *, fluxes: int, work: int = 0) -> Buffers:
        """Return work space for one thread.

        Arguments:
            recipe: the fields which go to the grid points.
            fluxes: number of fields which come back.
            work: rows of work space at the grid points.
        """
        points, row, column = self.points, self.row, self.column
        planes = recipe.stored + len(recipe.lines)
        block = 2 * points[-1] * self.width
        return Buffers(
            first=self.zeros(points[0] * row),
            slab=self.zeros(fluxes, points[0] * row),
            padded=self.zeros(points[-2] * row),
            returned=self.zeros(points[-2] * row),
            plane=self.zeros(planes, row, column),
            fluxes=self.zeros(fluxes, row, column),
            block=self.zeros(points[-1], self.width),
            fields=aligned((planes + len(recipe.along_last), block), self.real.name),
            stress=aligned((work, block), self.real.name),
            product=aligned((block,), self.real.name),
            transformed=self.zeros(points[-1], self.width),
            rate=self.rates(3),
        )

    def _block_width(self, fields: int) -> int:
        """Return how many columns of a plane are transformed at a time along the last axis."""
        half, last = self.points[-2] // 2, self.points[-1]
        if last > _LONGEST_SINGLE_PASS:
            return aligned_count(1, self.dtype)
        column = np.dtype(self.dtype).itemsize * last * fields
        most = max(1, _BLOCK_BYTES // column)
        return aligned_count(math.ceil(half / math.ceil(half / most)), self.dtype)

    def _make_plans(self) -> Plans:
        points, row, column = self.points, self.row, self.column
        apart = self.slabs * row
        last = [
            plan(self.dtype, points[-1], (self.width,) * 2, self.width, (1, 1), inverse=inverse)
            for inverse in (True, False)
        ]
        return Plans(
            plan(self.dtype, points[0], (row, apart), row, (1, 1), inverse=True),
            plan(self.dtype, points[0], (apart, row), row, (1, 1), inverse=False),
            plan(self.dtype, points[-2], (row, 1), row, (1, column), inverse=True),
            plan(self.dtype, points[-2], (1, row), row, (column, 1), inverse=False),
            *last,
        )


def velocity_recipe(space: SpectralSpace) -> Recipe:
    """Return the recipe for the velocity alone."""
    real = str(space.dtype).removeprefix("torch.")
    none = np.zeros(0, np.int64)
    return Recipe(
        stored=3,
        along_first=none,
        lines=np.zeros((0, 3), np.int64),
        weights=np.zeros((0, 3), real),
        along_last=none,
        last_weights=np.zeros(0, real),
    )
