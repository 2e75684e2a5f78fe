"""The Taylor–Green vortex at Reynolds number 1600: dissipation over time."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from eddymark.closures import CLOSURES
from eddymark.closures.build import build_closure
from eddymark.config.schema import Closure as ClosureConfiguration
from eddymark.filters import filter_width
from eddymark.grid import Grid
from eddymark.solvers.periodic import NavierStokes
from verification.marching import Row, Simulation, sources

REYNOLDS_NUMBER = 1600
REFERENCE_TIME, REFERENCE_PEAK = 8.97, 1.28575e-2
"""Largest −dE/dt of the pseudo-spectral DNS with 512³ points, file spectral_Re1600_512.gdiag of the International
Workshop on High-Order CFD Methods."""


@dataclass(frozen=True)
class Case:
    """One simulation of the vortex."""

    points: int
    closure: str = "none"
    precision: str = "float32"
    end: float = 12.0

    @property
    def name(self) -> str:
        """Name of its folder."""
        return f"taylor-green-{self.points}-{self.closure}-{self.precision}"


def initial_state(grid: Grid) -> Tensor:
    """Return u = (sin x cos y cos z, −cos x sin y cos z, 0), `(1, 3, *grid)`.

    Source: Taylor & Green (1937), Proc. R. Soc. A 158, 499.
    """
    x, y, z = torch.meshgrid(*[torch.as_tensor(c) for c in grid.coordinates()], indexing="ij")
    first = torch.sin(x) * torch.cos(y) * torch.cos(z)
    second = -torch.cos(x) * torch.sin(y) * torch.cos(z)
    return torch.stack([first, second, torch.zeros_like(x)]).unsqueeze(0)


def simulate(case: Case, folder: Path) -> list[Row]:
    """Return kinetic energy, its whole rate of loss −dE/dt and the molecular share of it, every 0.1 time units."""
    grid = Grid((case.points,) * 3, (2 * math.pi,) * 3)
    solver = NavierStokes(grid, viscosity=1 / REYNOLDS_NUMBER, dtype=getattr(torch, case.precision))
    space = solver.space
    closure = build_closure(
        ClosureConfiguration(type=case.closure),
        space=space,
        filter_width=filter_width(grid),
        viscosity=solver.viscosity,
    )

    def measure(spectrum: Tensor) -> Row:
        density = space.mode_energy(spectrum).double()
        molecular = 2 * solver.viscosity * (space.wavenumber_squared.double() * density).sum()
        rate = solver.nonlinear(spectrum, closure) + solver.linear_rate(closure) * spectrum
        work = ((spectrum.conj() * rate).real.sum(dim=1) * space.multiplicity).double().sum()
        return {"energy": float(density.sum()), "molecular": float(molecular), "loss": -float(work)}

    times = np.linspace(0, case.end, round(10 * case.end) + 1).tolist()
    key = {"case": repr(case), "sources": sources("verification.taylor_green", CLOSURES[case.closure])}
    simulation = Simulation(case.name, solver, times, measure, closure)
    return simulation.run(lambda: space.to_spectral(initial_state(grid).to(space.dtype)), folder=folder, key=key)[0]


def peak(rows: list[Row]) -> tuple[float, float]:
    """Return time and height of the largest rate of loss, from the parabola through the three highest rows."""
    times, loss = np.array([row["time"] for row in rows]), np.array([row["loss"] for row in rows])
    middle = int(np.clip(loss.argmax(), 1, len(loss) - 2))
    around = slice(middle - 1, middle + 2)
    a, b, c = np.polyfit(times[around] - times[middle], loss[around], 2)
    return float(times[middle] - b / (2 * a)), float(c - b**2 / (4 * a))
