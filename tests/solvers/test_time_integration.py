"""Measured order of convergence, exactness of the linear part, choice of the time step."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from eddymark.grid import Grid
from eddymark.solvers.periodic import NavierStokes
from eddymark.solvers.time_integration import INTEGRATORS, TimeIntegration
from tests.solvers.test_periodic import BOX, random_spectrum


@pytest.mark.parametrize("name", sorted(INTEGRATORS))
@pytest.mark.parametrize("points", [(24, 24), (12, 12, 12)], ids=str)
@pytest.mark.usefixtures("path")
def test_order_of_convergence(name: str, points: tuple[int, ...]) -> None:
    solver = NavierStokes(Grid(points, (BOX,) * len(points)), viscosity=0.1)
    spectrum = random_spectrum(solver, batch=1)
    integration = TimeIntegration(name, 1.0)
    exact = TimeIntegration("runge_kutta_4", 1.0).advance(solver, spectrum, 0.2, steps=640)
    steps = [10, 20, 40]
    errors = [float((integration.advance(solver, spectrum, 0.2, steps=n) - exact).abs().max()) for n in steps]
    orders = np.diff(-np.log(errors)) / math.log(2)
    assert orders.min() >= INTEGRATORS[name].order - 0.25, orders


@pytest.mark.parametrize("name", sorted(INTEGRATORS))
@pytest.mark.usefixtures("path")
def test_linear_terms_are_exact_for_any_step(name: str) -> None:
    grid = Grid((16, 16), (BOX, BOX))
    solver = NavierStokes(grid, viscosity=0.7, linear_drag=0.2)
    y = torch.as_tensor(grid.coordinates()[1]).expand(16, 16)
    shear = torch.stack([torch.sin(3 * y), torch.zeros_like(y)]).unsqueeze(0)  # no nonlinear term
    spectrum = solver.space.to_spectral(shear)
    advanced = TimeIntegration(name, 1.0).advance(solver, spectrum, 2.0, steps=1)
    assert torch.allclose(advanced, spectrum * math.exp(-(0.7 * 9 + 0.2) * 2.0), atol=1e-15)


@pytest.mark.parametrize("name", sorted(INTEGRATORS))
@pytest.mark.usefixtures("path")
def test_stable_at_its_limit_and_not_far_beyond(name: str) -> None:
    """Advection of a shear wave by a uniform flow: growth is bounded up to the limit on the imaginary axis."""
    grid = Grid((32, 32), (BOX, BOX))
    solver = NavierStokes(grid, viscosity=1e-30)
    x = torch.as_tensor(grid.coordinates()[0]).reshape(-1, 1).expand(32, 32)
    velocity = torch.stack([torch.ones_like(x), 1e-3 * torch.cos(10 * x)]).unsqueeze(0)
    spectrum = solver.space.to_spectral(velocity)
    limit = INTEGRATORS[name].stability_limit
    for courant, stable in ((limit, True), (1.15 * limit, False)):
        step = courant / 10  # highest wavenumber 10, velocity 1
        advanced = TimeIntegration(name, 1.0).advance(solver, spectrum, 100 * step, steps=100)
        growth = float(advanced[0, 1].abs().max() / spectrum[0, 1].abs().max())
        assert (growth <= 1.0 + 1e-9) == stable


def test_steps_respect_the_courant_number_and_land_on_the_output() -> None:
    solver = NavierStokes(Grid((32, 32), (BOX, BOX)), viscosity=0.01)
    velocity = torch.zeros((1, 2, 32, 32), dtype=torch.float64)
    velocity[0, 0, 3, 4], velocity[0, 1, 3, 4] = -2.0, 1.0
    rate = 3.0 * 10
    assert solver.courant_rate(velocity).tolist() == pytest.approx([rate])
    assert TimeIntegration("runge_kutta_4", 2.0).steps(solver.courant_rate(velocity), 1.0) == math.ceil(rate / 2)
    assert TimeIntegration("runge_kutta_4", rate).steps(solver.courant_rate(velocity), 1.0) == 1


@pytest.mark.parametrize("name", sorted(INTEGRATORS))
@pytest.mark.usefixtures("path")
def test_single_precision_follows_double_precision(name: str) -> None:
    grid = Grid((16, 16, 16), (BOX,) * 3)
    double = NavierStokes(grid, viscosity=0.05)
    single = NavierStokes(grid, viscosity=0.05, dtype=torch.float32)
    spectrum = random_spectrum(double)
    integration = TimeIntegration(name, 1.0)
    expected = integration.advance(double, spectrum, 0.1, steps=10)
    computed = integration.advance(single, spectrum.to(torch.complex64), 0.1, steps=10)
    assert computed.dtype == torch.complex64
    assert (computed - expected).abs().max() <= 1e-5 * expected.abs().max()
