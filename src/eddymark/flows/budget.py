"""The energy budget of DNS runs."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from eddymark.solvers.periodic import NavierStokes

BUDGET = ("run", "time", "kinetic_energy", "dissipation", "injection", "drag", "courant_number")
"""What is known of a run at an output, before the residual is."""


def energy_rates(solver: NavierStokes, spectrum: Tensor, runs: Sequence[int], time: float, courant: float) -> Tensor:
    """Energy and the rates at which it changes at this moment, `(run, len(BUDGET))`.

    The energy that a held-shell constraint adds during the interval which starts here is added by the caller.
    """
    space = solver.space
    axes = tuple(range(1, solver.grid.dimension + 1))
    density = space.mode_energy(spectrum)
    energy = density.sum(dim=axes)
    dissipation = 2 * solver.viscosity * (space.wavenumber_squared * density).sum(dim=axes)
    injection = torch.zeros_like(energy)
    for force in (solver.forcing.steady, solver.forcing.tendency(spectrum)):
        if force is not None:
            work = (spectrum.conj() * force).real.sum(dim=1) * space.multiplicity
            injection = injection + work.sum(dim=axes)
    measured = torch.stack([energy, dissipation, injection, 2 * solver.linear_drag * energy], dim=1).double().cpu()
    numbers = torch.tensor([[run, time] for run in runs], dtype=torch.float64)
    return torch.cat([numbers, measured, torch.full((len(runs), 1), courant, dtype=torch.float64)], dim=1)


def closed_budget(budget: pd.DataFrame, turnover_time: float) -> pd.DataFrame:
    """Add what the budget leaves unexplained: injection − dissipation − drag − dE/dt, by central differences."""
    parts = []
    for _, run in budget.groupby("run", sort=False):
        run = run.sort_values("time")
        change = np.gradient(run["kinetic_energy"], run["time"])
        residual = run["injection"] - run["dissipation"] - run["drag"] - change
        parts.append(run.assign(residual=residual, time=run["time"] / turnover_time))
    columns = [
        "run",
        "time",
        "kinetic_energy",
        "dissipation",
        "injection",
        "drag",
        "residual",
        "courant_number",
    ]
    return pd.concat(parts)[columns].sort_values(["run", "time"], ignore_index=True)
