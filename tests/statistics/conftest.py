"""Fields with known statistics."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from eddymark.grid import Grid, SpectralSpace

TURN = 2 * torch.pi


@pytest.fixture
def square() -> Grid:
    """A 2-D box of side 2π."""
    return Grid(points=(16, 16), sides=(TURN, TURN))


@pytest.fixture
def cube() -> Grid:
    """A 3-D box of side 2π."""
    return Grid(points=(12, 12, 12), sides=(TURN, TURN, TURN))


@pytest.fixture
def random_phases() -> Callable[..., Tensor]:
    """Solenoidal Gaussian fields `(trajectory, time, component, *grid)` in the dealiased modes."""

    def make(grid: Grid, *, trajectories: int, times: int, seed: int, slope: float = -1.0) -> Tensor:
        source = torch.Generator().manual_seed(seed)
        space = SpectralSpace(grid, dealiased=True)
        shape = (trajectories, times, grid.dimension, *grid.points)
        noise = space.project(space.to_spectral(torch.randn(shape, generator=source, dtype=torch.float64)))
        amplitude = torch.where(space.shells > 0, space.shells.clamp_min(1).double() ** (slope / 2), 0.0)
        return space.to_physical(noise * amplitude)

    return make
