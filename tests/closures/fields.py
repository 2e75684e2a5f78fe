"""Flows on which subgrid-scale models are tried."""

from __future__ import annotations

import math
from functools import cache

import torch
from torch import Tensor, nn

from eddymark.closures import CLOSURES
from eddymark.closures.base import Closure
from eddymark.closures.build import build_closure
from eddymark.config.names import CLOSURE_DIMENSIONS
from eddymark.config.schema import Closure as ClosureConfiguration
from eddymark.config.schema import Filter
from eddymark.filters import GridFilter, filter_width
from eddymark.grid import Grid, SpectralSpace
from eddymark.solvers.periodic import NavierStokes
from eddymark.solvers.resolved import reduce_symmetric, symmetric_pairs
from eddymark.solvers.time_integration import TimeIntegration
from tests.solvers.test_periodic import random_spectrum

BOX = 2 * math.pi
POINTS = {2: (32, 32), 3: (16, 16, 16)}
Arguments = dict[str, float | int | str | bool]
Case = tuple[str, Arguments]

NEEDED: dict[str, Arguments] = {"approximate_deconvolution": {"relaxation_rate": 2.0}}


class EquivariantNetwork(nn.Module):
    """A stress that turns with the flow and is bounded: (b ∂_k u_i ∂_k u_j − a S_ij) / (1 + |∇u|²).

    Arguments:
        dimension: d.
    """

    def __init__(self, dimension: int) -> None:
        super().__init__()
        self.dimension = dimension
        self.constants = nn.Parameter(torch.ones(3))

    def forward(self, gradient: Tensor) -> Tensor:
        """Map `(batch, d², *grid)` to `(batch, d(d+1)/2 − 1, *grid)`."""
        g = gradient.unflatten(1, (self.dimension, self.dimension))
        strain_rate, square = 0.5 * (g + g.transpose(1, 2)), torch.einsum("bik...,bjk...->bij...", g, g)
        _, a, b = self.constants.to(gradient.dtype)
        stress = (b * square - a * strain_rate) / (1 + gradient.square().sum(dim=1)[:, None, None])
        return reduce_symmetric([stress[:, i, j] for i, j in symmetric_pairs(self.dimension)])


MODELS: list[Case] = [(name, NEEDED.get(name, {})) for name in CLOSURES if name != "none"]
VARIANTS: list[Case] = [
    ("dynamic_smagorinsky", {"average": "local"}),
    ("dynamic_smagorinsky", {"average": "x"}),
    ("dynamic_smagorinsky", {"average": "local", "relaxation_time": 0.5}),
    ("dynamic_mixed", {"average": "local"}),
    ("dynamic_mixed", {"average": "x", "relaxation_time": 0.5}),
    ("learned", {"limiter": "volume"}),
    ("learned", {"limiter": "pointwise"}),
]
CASES = [
    (name, arguments, dimension)
    for name, arguments in MODELS + VARIANTS
    for dimension in (2, 3)
    if CLOSURE_DIMENSIONS.get(name, dimension) == dimension
]
"""Every closure in every number of dimensions that it has."""


def case_name(value: object) -> str:
    """Return how a part of a case is shown."""
    return ",".join(map(str, value.values())) if isinstance(value, dict) else str(value)


def make(name: str, space: SpectralSpace, arguments: Arguments | None = None) -> Closure:
    """Return a closure; a fitted one with some constants, a learned one with a network of three."""
    closure = build_closure(
        ClosureConfiguration(type=name, arguments=arguments or NEEDED.get(name, {})),
        space=space,
        filter_width=filter_width(space.grid),
        viscosity=0.01,
        operator=EquivariantNetwork(space.grid.dimension),
    )
    for parameter in closure.parameters():
        with torch.no_grad():
            parameter.copy_(torch.linspace(0, 2, parameter.numel()))
    return closure


@cache
def turbulent(points: tuple[int, ...]) -> tuple[NavierStokes, torch.Tensor]:
    """A resolved decaying flow after about a turnover time, filtered sharply: unlike noise it has a cascade."""
    sides = (BOX,) * len(points)
    fine = NavierStokes(Grid(tuple(2 * n for n in points), sides), viscosity=0.03)
    spectrum = random_spectrum(fine, batch=1)
    spectrum = spectrum * torch.exp(-fine.space.wavenumber_squared / 8)
    energy = fine.space.energy_spectrum(spectrum).sum()
    spectrum = TimeIntegration("runge_kutta_4", 1.0).advance(fine, spectrum * (2 / energy).sqrt(), 1.0, steps=40)
    coarse = NavierStokes(Grid(points, sides), viscosity=0.03)
    restrict = GridFilter(fine.space, coarse.grid, Filter(type="sharp"))
    return coarse, coarse.space.to_spectral(restrict(spectrum))


def shear(space: SpectralSpace) -> torch.Tensor:
    """Parallel flow u = sin y + 0.3 sin 4y, `(1, d, *grid)`."""
    y = torch.as_tensor(space.grid.coordinates()[1])
    y = y.reshape(1, -1, *(1,) * (space.grid.dimension - 2)).expand(space.grid.points)
    return torch.stack([torch.sin(y) + 0.3 * torch.sin(4 * y), *[0 * y] * (space.grid.dimension - 1)]).unsqueeze(0)
