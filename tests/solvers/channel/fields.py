"""Channels on which the solver is tried."""

from __future__ import annotations

import torch
from torch import Tensor

from eddymark.solvers.channel.flow import ChannelFlow
from eddymark.solvers.channel.grid import ChannelGrid

GRID = ChannelGrid((8, 18, 12), (3.0, 2.0, 1.7))
DRIVES = (None, 0.3)
"""Constant mass flux, and a pressure gradient."""


def random_field(grid: ChannelGrid = GRID, *, batch: int = 2, seed: int = 0) -> Tensor:
    """Return a field that slips and diverges."""
    random = torch.Generator().manual_seed(seed)
    return torch.randn((batch, 3, *grid.points), generator=random, dtype=torch.float64)


def shear(grid: ChannelGrid, profile: Tensor) -> Tensor:
    """Return a flow u = U(y), `(1, 3, *grid)`, of a profile `(y,)`."""
    velocity = torch.zeros((1, 3, *grid.points), dtype=torch.float64)
    velocity[0, 0] = profile[:, None]
    return velocity


def parabola(grid: ChannelGrid) -> Tensor:
    """Return 1 − (y/h − 1)² at each y."""
    return torch.as_tensor(1 - (grid.coordinates()[1] / grid.half_height - 1) ** 2)


def work(flow: ChannelFlow, velocity: Tensor, rate: Tensor) -> Tensor:
    """Return ⟨u_i r_i⟩ per trajectory."""
    return flow.space.volume_average((velocity * rate).sum(dim=1))
