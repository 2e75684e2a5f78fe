"""The page on statistics names what is stored and scored."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from torch import Tensor

from eddymark.closures.base import NoClosure
from eddymark.config.schema import Forcing
from eddymark.grid import Grid
from eddymark.solvers.periodic import NavierStokes
from eddymark.solvers.time_integration import TimeIntegration
from eddymark.statistics.correlations import measure_autocovariance, measure_correlations
from eddymark.statistics.gradients import measure_gradients
from eddymark.statistics.increments import measure_increments
from eddymark.statistics.measure import Window, measure, measure_scales
from eddymark.statistics.profiles import measure_layers
from eddymark.statistics.score_definitions import SUBGRID_ACTIVITY, definitions
from eddymark.statistics.transfer import EnergyBalance, measure_balance
from eddymark.stepping.large_eddy_simulation import LargeEddySimulation

PAGE = (Path(__file__).parents[2] / "docs" / "statistics.md").read_text(encoding="utf-8")
WHOLE = Window(-np.inf)


def everything(grid: Grid, velocity: Tensor) -> xr.Dataset:
    scales = measure_scales(velocity, grid=grid, interval=1.0, window=WHOLE)
    found = measure(velocity, grid=grid, interval=1.0, window=WHOLE, scales=scales, truth=velocity[:, 1:])
    found = found.merge(measure_increments(velocity, grid=grid, interval=1.0, window=WHOLE))
    found = found.merge(measure_gradients(velocity, grid=grid, interval=1.0, window=WHOLE))
    found = found.merge(measure_correlations(velocity, grid=grid, interval=1.0, window=WHOLE))
    found = found.merge(measure_autocovariance(velocity, interval=1.0, window=WHOLE, lags=1, mean_axes=(0, 1)))
    forcing = Forcing(type="constant_power", power=1.0, shells=(1,))
    solver = NavierStokes(grid, viscosity=0.1, forcing=forcing)
    integration = TimeIntegration("runge_kutta_4", 1.0)
    simulation = LargeEddySimulation(solver, closure=NoClosure(), integration=integration, interval=0.1)
    balance = EnergyBalance(solver, simulation)
    found = found.merge(measure_balance(velocity, balance=balance, interval=1.0, window=WHOLE))
    if grid.dimension == 3:
        layers = measure_layers(velocity, grid=grid, interval=1.0, window=WHOLE, velocity_difference=1.0)
        found = found.merge(layers)
    return found


@pytest.mark.parametrize("points", [(8, 8), (8, 8, 8)])
def test_every_variable_and_every_distance_is_described(
    points: tuple[int, ...], random_phases: Callable[..., Tensor]
) -> None:
    grid = Grid(points, (2 * np.pi,) * len(points))
    found = everything(grid, random_phases(grid, trajectories=2, times=3, seed=1))
    variables, scores = (set(re.findall(r"`(\w+)`", part)) for part in PAGE.split("## Scores"))
    assert {str(name) for name in found.data_vars} <= variables
    named = {str(size) for name in found.data_vars for size in found[name].dims} - {"vorticity_bin"}
    assert named <= variables
    distances = {score.statistic for score in definitions(found, with_errors=True) if score.is_distance}
    assert distances | {SUBGRID_ACTIVITY.statistic} <= scores
