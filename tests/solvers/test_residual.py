"""The residual of the equations against exact solutions, and its norms."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from eddymark.closures.base import Closure
from eddymark.config.names import CLOSURE_DIMENSIONS
from eddymark.config.schema import Forcing
from eddymark.grid import Grid, SpectralSpace
from eddymark.solvers.norms import divergence_square, gradient_square, mean_square, sobolev_square
from eddymark.solvers.periodic import NavierStokes
from eddymark.solvers.residual import differential_residual, integral_residual
from eddymark.solvers.time_integration import TimeIntegration
from tests.closures.fields import MODELS, Arguments, make
from tests.solvers.test_periodic import random_spectrum

BOX = 2 * math.pi
VISCOSITY = 0.3
DRIFT = (0.7, -0.4, 0.3)


def coordinates(grid: Grid) -> list[Tensor]:
    return list(torch.meshgrid(*[torch.as_tensor(c) for c in grid.coordinates()], indexing="ij"))


def moving_vortices(dimension: int, interval: float, times: int) -> tuple[NavierStokes, Tensor]:
    """Return an exact solution, `(1, time, d, *grid)`: decaying Taylor–Green or ABC vortices carried by a mean flow."""
    grid = Grid((16,) * dimension, (BOX,) * dimension)
    states = []
    for step in range(times):
        time = step * interval
        x = [c - drift * time for c, drift in zip(coordinates(grid), DRIFT, strict=False)]
        if dimension == 2:
            vortices = [torch.sin(x[0]) * torch.cos(x[1]), -torch.cos(x[0]) * torch.sin(x[1])]
            decay = math.exp(-2 * VISCOSITY * time)
        else:
            a, b, c = 1.0, 0.8, 0.6
            vortices = [
                a * torch.sin(x[2]) + c * torch.cos(x[1]),
                b * torch.sin(x[0]) + a * torch.cos(x[2]),
                c * torch.sin(x[1]) + b * torch.cos(x[0]),
            ]
            decay = math.exp(-VISCOSITY * time)
        states.append(torch.stack([v * decay + drift for v, drift in zip(vortices, DRIFT, strict=False)]))
    return NavierStokes(grid, viscosity=VISCOSITY), torch.stack(states).unsqueeze(0)


def rms(residual: Tensor) -> float:
    return float(residual.square().mean().sqrt())


@pytest.mark.parametrize("dimension", [2, 3])
@pytest.mark.parametrize("ends", [True, False])
@pytest.mark.parametrize("order", [2, 4])
def test_differential_residual_of_an_exact_solution_vanishes_at_the_order_of_the_differences(
    dimension: int, order: int, ends: bool
) -> None:
    errors = []
    for interval in (0.08, 0.04):
        solver, states = moving_vortices(dimension, interval, 7)
        residual = differential_residual(solver, states, interval=interval, order=order, ends=ends)
        assert residual.shape[1] == (7 if ends else 7 - order)
        # Where differences are central the error is the same at all times but for the decay.
        errors.append(rms(residual))
    assert math.log2(errors[0] / errors[1]) == pytest.approx(order, abs=0.3)
    assert 0 < errors[1] < 0.02


@pytest.mark.parametrize("dimension", [2, 3])
def test_integral_residual_of_an_exact_solution_vanishes_at_the_order_of_the_steps(dimension: int) -> None:
    errors = []
    for interval, steps in ((0.4, 1), (0.4, 2), (0.2, 1)):
        solver, states = moving_vortices(dimension, interval, 3)
        residual = integral_residual(solver, states, interval=interval, steps=steps)
        assert residual.shape[1] == 2
        errors.append(rms(residual))
    assert math.log2(errors[0] / errors[1]) == pytest.approx(4, abs=0.4)
    # Over half the interval, the error of a step is 2⁵ times smaller and divided by half the time.
    assert math.log2(errors[0] / errors[2]) == pytest.approx(4, abs=0.4)


def test_viscosity_and_the_model_each_have_their_own_place() -> None:
    """In u = sin ky, ν k² sin ky is the viscous force and (C_s Δ)² k³ d/dθ(|cos θ| cos θ) that of Smagorinsky's model.

    |cos θ| cos θ is 8 / (3π) cos θ and odd harmonics.
    """
    k, points = 2, 64
    grid = Grid((8, points), (BOX, BOX))
    viscosity, constant, width = 0.05, 0.2, 0.7
    solver = NavierStokes(grid, viscosity=viscosity)
    y = coordinates(grid)[1]
    states = torch.stack([torch.sin(k * y), torch.zeros_like(y)]).expand(1, 3, 2, 8, points)
    expected = {
        "none": viscosity * k**2,
        "smagorinsky": viscosity * k**2 + (constant * width) ** 2 * k**3 * 8 / 3 / math.pi,
    }
    for name, size in expected.items():
        closure = make(name, solver.space, {} if name == "none" else {"smagorinsky_constant": constant})
        if name == "smagorinsky":
            closure.filter_width = width  # type: ignore[assignment]
        for residual in (
            differential_residual(solver, states, interval=0.1, order=2, closure=closure),
            # Over a short interval the integral form is the same: nothing has moved yet.
            integral_residual(solver, states, interval=1e-6, steps=1, closure=closure),
        ):
            amplitude = 2 * (residual[0, 0, 0, 0] * torch.sin(k * y[0])).mean()
            assert float(amplitude) == pytest.approx(size, rel=1e-3), name


def test_mean_flow_has_no_friction_and_counts_in_every_norm() -> None:
    grid = Grid((8, 12, 10), (1.0, 2.0, 3.0))
    solver = NavierStokes(grid, viscosity=0.5)
    space = solver.space
    uniform = torch.tensor(DRIFT, dtype=torch.float64).reshape(1, 1, 3, 1, 1, 1).expand(1, 5, 3, *grid.points)
    for residual in (
        differential_residual(solver, uniform, interval=0.1, order=4),
        integral_residual(solver, uniform, interval=0.1, steps=2),
    ):
        assert residual.abs().max() < 1e-14
    accelerated = uniform * torch.arange(5).reshape(1, 5, 1, 1, 1, 1)
    for residual in (
        differential_residual(solver, accelerated, interval=0.1, order=2),
        integral_residual(solver, accelerated, interval=0.1, steps=2),
    ):
        expected = sum(10 * 10 * drift**2 for drift in DRIFT)
        for order in (-1.0, 0.0, 1.0):
            norm = sobolev_square(space.to_spectral(residual), order=order, space=space)
            torch.testing.assert_close(norm, torch.full_like(norm, expected))


def test_without_ends_an_oscillation_between_outputs_passes_unseen() -> None:
    """û' = −λ û: û_{n+1} = û_{n−1} − 2 T λ û_n solves the central differences from any first step, right or wrong."""
    grid = Grid((8, 8), (BOX, BOX))
    solver = NavierStokes(grid, viscosity=0.5)
    y = coordinates(grid)[1]
    shear = torch.stack([torch.sin(y), torch.zeros_like(y)])
    values = [1.0, 3.0]
    for _ in range(4):
        values.append(values[-2] - 2 * 0.1 * 0.5 * values[-1])
    states = torch.stack([value * shear for value in values]).unsqueeze(0)
    inner = differential_residual(solver, states, interval=0.1, order=2, ends=False)
    whole = differential_residual(solver, states, interval=0.1, order=2)
    assert rms(inner) < 1e-13
    assert rms(whole) > 1


def test_an_les_satisfies_its_own_integral_form_and_that_of_no_other_model() -> None:
    grid = Grid((12, 12, 12), (BOX,) * 3)
    solver = NavierStokes(
        grid, viscosity=0.02, forcing=Forcing.model_validate({"type": "held_shells", "energies": {1: 0.4, 2: 0.2}})
    )
    space = solver.space
    right, other = (make("smagorinsky", space, {"smagorinsky_constant": value}) for value in (0.17, 0.1))
    integration = TimeIntegration("runge_kutta_3", 1.0)
    spectrum = solver.forcing.constrain(random_spectrum(solver, batch=2) * 0.02)
    states = [space.to_physical(spectrum)]
    for _ in range(2):
        spectrum = integration.advance(solver, spectrum, 0.05, steps=2, closure=right)
        states.append(space.to_physical(spectrum))
    window = torch.stack(states, dim=1)

    def residual(closure: Closure) -> float:
        made = integral_residual(solver, window, interval=0.05, steps=2, closure=closure, integration=integration)
        return rms(made)

    assert residual(right) < 1e-12
    assert residual(other) > 1e-4
    with torch.no_grad():
        assert residual(right) < 1e-12
    with pytest.raises(ValueError, match="holds shells"):
        differential_residual(solver, window, interval=0.05, order=2, closure=right)


@pytest.mark.parametrize("order", [2, 4])
def test_too_few_states_are_refused(order: int) -> None:
    solver, states = moving_vortices(2, 0.1, order)
    with pytest.raises(ValueError, match=f"need {order + 1} states; got {order}"):
        differential_residual(solver, states, interval=0.1, order=order)
    with pytest.raises(ValueError, match="got 1"):
        integral_residual(solver, states[:, :1], interval=0.1, steps=1)


@pytest.mark.parametrize(("name", "arguments"), MODELS, ids=lambda value: value if isinstance(value, str) else "")
def test_gradients_are_finite_where_there_is_no_strain(name: str, arguments: Arguments) -> None:
    """Half of the box is at rest, and so is all of the second trajectory."""
    dimension = CLOSURE_DIMENSIONS.get(name, 3)
    grid = Grid((12,) * dimension, (BOX,) * dimension)
    solver = NavierStokes(grid, viscosity=0.01)
    closure = make(name, solver.space, arguments)
    torch.manual_seed(0)
    moving = torch.randn(3, dimension, *grid.points, dtype=torch.float64)
    moving[..., 6:] = 0
    states = torch.stack([moving, torch.zeros_like(moving)]).requires_grad_()
    for residual in (
        differential_residual(solver, states, interval=0.1, order=2, closure=closure),
        integral_residual(solver, states, interval=0.01, steps=1, closure=closure),
    ):
        (slope,) = torch.autograd.grad(mean_square(residual, space=solver.space).sum(), states)
        assert torch.isfinite(slope).all()
        assert slope[0].abs().max() > 0


@pytest.mark.parametrize("points", [(12, 16), (8, 12, 10)], ids=str)
def test_norm_of_order_zero_is_the_mean_square(points: tuple[int, ...]) -> None:
    """Parseval, in a box with unequal sides."""
    solver = NavierStokes(Grid(points, (1.0, 2.0, 3.0)[: len(points)]), viscosity=0.1)
    space = solver.space
    field = space.to_physical(random_spectrum(solver, batch=3))
    spectral = sobolev_square(space.to_spectral(field), order=0, space=space)
    torch.testing.assert_close(spectral, mean_square(field, space=space), rtol=1e-12, atol=0)


def test_norms_of_waves_are_those_of_their_wavenumbers() -> None:
    grid = Grid((12, 24), (BOX, 2 * BOX))
    space = SpectralSpace(grid)
    x, y = coordinates(grid)
    # |k| = 2 along x and 3/2 along y; the lowest wavenumber is 1/2.
    field = torch.stack([3 * torch.sin(2 * x), 4 * torch.cos(1.5 * y)])
    spectrum = space.to_spectral(field)
    assert float(mean_square(field, space=space)) == pytest.approx(4.5 + 8)
    assert float(sobolev_square(spectrum, order=-1, space=space)) == pytest.approx(4.5 / 17 + 8 / 10)
    assert float(sobolev_square(spectrum, order=0.5, space=space)) == pytest.approx(4.5 * 17**0.5 + 8 * 10**0.5)
    assert float(gradient_square(spectrum, space=space)) == pytest.approx(4 * 4.5 + 2.25 * 8)


@pytest.mark.parametrize("points", [12, 24])
def test_divergence_has_its_size_on_every_grid(points: int) -> None:
    grid = Grid((points,) * 3, (BOX, BOX, BOX))
    space = SpectralSpace(grid)
    x, y, z = coordinates(grid)
    # ∂_i u_i = 6 cos 2x + cos z; what depends on other coordinates has none.
    field = torch.stack([3 * torch.sin(2 * x) + torch.sin(y), torch.cos(x), torch.sin(z)])
    assert float(divergence_square(space.to_spectral(field), space=space)) == pytest.approx(18 + 0.5)
