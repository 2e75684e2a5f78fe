"""Measured orders between walls, growth of the Tollmien–Schlichting wave, choice and failure of the time step."""

from __future__ import annotations

import math
from functools import cache

import numpy as np
import pytest
import torch
from numpy.polynomial import chebyshev

from eddymark.errors import EddymarkError
from eddymark.solvers.channel.flow import ChannelFlow
from eddymark.solvers.channel.grid import ChannelGrid
from eddymark.solvers.channel.time_integration import (
    INTEGRATORS,
    ChannelIntegration,
    CourantReport,
    exponential_functions,
)
from tests.solvers.channel.fields import GRID, parabola, random_field, shear


def test_exponential_functions_are_their_series_and_their_recurrence() -> None:
    z = torch.tensor([0.0, -1e-9, -0.3, -0.999, -1.001, -5.0, -300.0, -1e6], dtype=torch.float64)
    for order, found in enumerate(exponential_functions(z), start=1):
        for point, value in zip(z.tolist(), found.tolist(), strict=True):
            if point > -10:
                expected = math.fsum(point**n / math.factorial(n + order) for n in range(60))
            else:
                powers = [1 / math.factorial(order - 1 - n) / point ** (n + 1) for n in range(order)]
                expected = -math.fsum(powers) + math.exp(point) / point**order
            assert value == pytest.approx(expected, rel=1e-13)


@cache
def accurately_advanced() -> tuple[ChannelFlow, torch.Tensor, torch.Tensor]:
    """A flow, a state, and the state 0.2 time units later."""
    grid = ChannelGrid((8, 12, 8), (3.0, 2.0, 1.7))
    flow = ChannelFlow(grid, viscosity=0.02)
    spectrum = 0.5 * flow.to_spectral(random_field(grid, batch=1))
    return flow, spectrum, ChannelIntegration("exponential_runge_kutta_4").advance(flow, spectrum, 0.2, steps=120)


@pytest.mark.parametrize("name", sorted(INTEGRATORS))
@pytest.mark.parametrize("implicit_viscosity", [0.0, 0.02])
def test_order_of_convergence(name: str, implicit_viscosity: float) -> None:
    flow, spectrum, exact = accurately_advanced()
    integration = ChannelIntegration(name, implicit_viscosity=implicit_viscosity)
    errors = [float((integration.advance(flow, spectrum, 0.2, steps=n) - exact).abs().max()) for n in (10, 20, 40)]
    orders = np.diff(-np.log(errors)) / math.log(2)
    assert orders.min() >= INTEGRATORS[name].order - 0.25, orders


def orr_sommerfeld(reynolds_number: float, wavenumber: float, count: int = 72) -> tuple[complex, np.ndarray]:
    """Return c of the fastest growing wave on U = 1 − y² and the Chebyshev coefficients of its v.

    Collocation with v = (1 − y²)² q, q a sum of Chebyshev polynomials.
    """
    y = np.cos(np.pi * np.arange(1, count) / count)
    polynomials = np.eye(count - 1)
    wall = np.array([0.5, 0, -0.5])  # 1 − y²
    columns = [chebyshev.chebmul(wall, chebyshev.chebmul(wall, row)) for row in polynomials]

    def derivative(order: int) -> np.ndarray:
        return np.stack([chebyshev.chebval(y, chebyshev.chebder(c, order) if order else c) for c in columns], axis=1)

    v, v2, v4 = derivative(0), derivative(2), derivative(4)
    a2 = wavenumber**2
    laplacian = v2 - a2 * v
    left = (v4 - 2 * a2 * v2 + a2**2 * v) / reynolds_number
    left = left - 1j * wavenumber * ((1 - y**2)[:, None] * laplacian + 2 * v)
    values, vectors = np.linalg.eig(np.linalg.solve(laplacian, left))
    best = int(values.real.argmax())
    found = sum(
        amount * np.pad(column, (0, count + 3 - len(column)))
        for amount, column in zip(vectors[:, best], columns, strict=True)
    )
    return 1j * values[best] / wavenumber, found


def test_growth_of_the_orr_sommerfeld_wave() -> None:
    """Re = 7500, α = 1: c = 0.24989154 + 0.00223498 i, from the nonlinear solver with a wave of tiny amplitude.

    Source of c: Canuto, Hussaini, Quarteroni & Zang, Spectral Methods in Fluid Dynamics (1988).
    """
    expected, time = 0.24989154 + 0.00223498j, 2.0
    c, coefficients = orr_sommerfeld(7500, 1.0)
    assert abs(c - expected) <= 1e-7
    grid = ChannelGrid((4, 84, 4), (2 * math.pi, 2.0, 1.0))
    flow = ChannelFlow(grid, viscosity=1 / 7500)
    y = grid.coordinates()[1] - 1
    v = chebyshev.chebval(y, coefficients)
    slope = chebyshev.chebval(y, chebyshev.chebder(coefficients))
    wave = torch.as_tensor(np.exp(1j * grid.coordinates()[0]))[:, None, None].expand(4, 84, 4)
    velocity = shear(grid, parabola(grid))
    velocity[0, 0] += 1e-7 * (1j * torch.as_tensor(slope)[:, None] * wave).real / np.abs(v).max()
    velocity[0, 1] += 1e-7 * (torch.as_tensor(v)[:, None] * wave).real / np.abs(v).max()
    spectrum = flow.to_spectral(velocity)
    advanced = ChannelIntegration("exponential_runge_kutta_4").advance(flow, spectrum, time, steps=50)
    before, after = spectrum[0, 0, 1, :, 0], advanced[0, 0, 1, :, 0]
    growth = complex(torch.vdot(before, after) / torch.vdot(before, before))
    assert abs(1j * np.log(growth) / time - expected) <= 1e-6


def test_steps_respect_the_courant_number_and_the_report_has_it() -> None:
    flow = ChannelFlow(GRID, viscosity=0.02)
    velocity = torch.zeros((2, 3, *GRID.points), dtype=torch.float64)
    velocity[0, :, 3, 4, 5] = torch.tensor([-2.0, 1.0, 0.5])
    y = GRID.coordinates()[1][4] - 1
    rate = 2.0 * 2 * 2 * math.pi / 3 + 1.0 * GRID.degree / math.sqrt(1 - y**2) + 0.5 * 3 * 2 * math.pi / 1.7
    assert flow.courant_rate(velocity).tolist() == pytest.approx([rate, 0.0])
    integration = ChannelIntegration(courant_number=1.5)
    assert integration.steps(flow.courant_rate(velocity), 1.0) == math.ceil(rate / 1.5)
    assert ChannelIntegration(courant_number=rate).steps(flow.courant_rate(velocity), 1.0) == 1
    report = CourantReport()
    state = flow.to_spectral(shear(GRID, parabola(GRID)))
    integration.advance(flow, state, 0.3, steps=3, report=report)
    assert report.largest == pytest.approx(0.1 * float(flow.courant_rate(flow.to_physical(state))), rel=1e-12)


@pytest.mark.parametrize("name", sorted(INTEGRATORS))
def test_stable_at_its_limit_and_not_far_beyond(name: str) -> None:
    """A wave on a uniform stream, which slips: the advection of χ alone, without viscosity."""
    method = INTEGRATORS[name]
    rate = torch.zeros(1, dtype=torch.float64)
    for courant, stable in ((method.stability_limit, True), (1.1 * method.stability_limit, False)):
        step, state = method(rate, courant), torch.ones(1, dtype=torch.complex128)
        for _ in range(100):
            state = step(lambda u: 1j * u, state)
        assert (float(state.abs()) <= 1 + 1e-9) == stable


def test_a_step_that_fails_stops_with_the_courant_numbers() -> None:
    flow = ChannelFlow(GRID, viscosity=1e-4)
    spectrum = 10 * flow.to_spectral(random_field())
    with pytest.raises(EddymarkError) as stopped:
        ChannelIntegration().advance(flow, spectrum, 100.0, steps=30)
    line = str(stopped.value)
    first = 100 / 30 * float(flow.courant_rate(flow.to_physical(spectrum)).max())
    assert line.startswith("the time step 3.33 failed: the velocity is not finite after step ")
    assert f"Courant number {first:.3g} in the first step, " in line
    assert line.endswith("(stable up to about 1.7): take more steps")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            {"integrator": "exponential_runge_kuta_3"},
            "found 'exponential_runge_kuta_3'; did you mean exponential_runge_kutta_3?",
        ),
        ({"courant_number": 0.0}, "courant_number: expected a number above zero, found 0.0"),
        ({"implicit_viscosity": -1.0}, "implicit_viscosity: expected zero or more, found -1.0"),
    ],
)
def test_bad_settings_are_refused_with_the_reason(arguments, message: str) -> None:
    with pytest.raises(EddymarkError) as refused:
        ChannelIntegration(**arguments)
    assert message in str(refused.value)
