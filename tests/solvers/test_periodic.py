"""The Navier–Stokes right-hand side against exact solutions, conservation and invariances."""

from __future__ import annotations

import math

import pytest
import torch

from eddymark.config.schema import Forcing
from eddymark.grid import Grid
from eddymark.solvers.periodic import NavierStokes
from eddymark.solvers.time_integration import TimeIntegration

BOX = 2 * math.pi
RUNGE_KUTTA_4 = TimeIntegration("runge_kutta_4", 1.0)


def random_spectrum(solver: NavierStokes, *, batch: int = 2, seed: int = 0) -> torch.Tensor:
    random = torch.Generator().manual_seed(seed)
    noise = torch.randn((batch, solver.grid.dimension, *solver.grid.points), generator=random, dtype=torch.float64)
    return solver.space.project(solver.space.to_spectral(noise))


@pytest.mark.parametrize("points", [(32, 32), (16, 24), (16, 16, 16), (12, 16, 20)], ids=str)
def test_nonlinear_term_does_no_net_work_and_stays_solenoidal(points: tuple[int, ...]) -> None:
    sides = tuple(BOX * (1 + 0.5 * axis) for axis in range(len(points)))
    solver = NavierStokes(Grid(points, sides), viscosity=0.1)
    space = solver.space
    spectrum = random_spectrum(solver)
    rate = solver.nonlinear(spectrum)
    axes = tuple(range(1, len(points) + 2))
    work = ((spectrum.conj() * rate).real * space.multiplicity).sum(dim=axes)
    size = ((spectrum.abs() * rate.abs()) * space.multiplicity).sum(dim=axes)
    assert (work.abs() / size).max() <= 1e-12
    assert space.divergence(rate).abs().max() <= 1e-12 * (space.wavenumber_squared.sqrt() * rate.abs()).max()


@pytest.mark.usefixtures("path")
def test_two_dimensional_taylor_green_vortex_decays_exactly() -> None:
    """u = cos x sin y e^{−2νt}, v = −sin x cos y e^{−2νt} solves the equations for any ν."""
    viscosity, time = 0.05, 2.0
    grid = Grid((32, 32), (BOX, BOX))
    solver = NavierStokes(grid, viscosity=viscosity)
    x, y = torch.meshgrid(*[torch.as_tensor(c) for c in grid.coordinates()], indexing="ij")
    initial = torch.stack([torch.cos(x) * torch.sin(y), -torch.sin(x) * torch.cos(y)]).unsqueeze(0)
    spectrum = RUNGE_KUTTA_4.advance(solver, solver.space.to_spectral(initial), time, steps=20)
    exact = initial * math.exp(-2 * viscosity * time)
    assert (solver.space.to_physical(spectrum) - exact).abs().max() <= 1e-10


@pytest.mark.usefixtures("path")
def test_beltrami_flow_on_a_box_with_unequal_sides_decays_exactly() -> None:
    """A flow whose vorticity is parallel to its velocity has no net nonlinear term: u ∝ (0, sin kx, cos kx)."""
    grid = Grid((16, 8, 12), (2.0, 1.0, 3.0))
    solver = NavierStokes(grid, viscosity=0.01)
    k = 2 * math.pi / 2.0
    x = torch.as_tensor(grid.coordinates()[0]).reshape(-1, 1, 1).expand(grid.points)
    initial = torch.stack([torch.zeros_like(x), torch.sin(k * x), torch.cos(k * x)]).unsqueeze(0)
    spectrum = RUNGE_KUTTA_4.advance(solver, solver.space.to_spectral(initial), 1.0, steps=10)
    exact = initial * math.exp(-0.01 * k**2)
    assert (solver.space.to_physical(spectrum) - exact).abs().max() <= 1e-12


@pytest.mark.usefixtures("path")
def test_three_dimensional_taylor_green_energy_decays_at_twice_viscosity_times_enstrophy() -> None:
    """Re 100: |dE/dt + 2νZ| ≤ 1e-4 of the dissipation, divergence ≤ 1e-12."""
    viscosity, step = 0.01, 0.01
    grid = Grid((32, 32, 32), (BOX,) * 3)
    solver = NavierStokes(grid, viscosity=viscosity)
    space = solver.space
    x, y, z = torch.meshgrid(*[torch.as_tensor(c) for c in grid.coordinates()], indexing="ij")
    velocity = torch.stack(
        [
            torch.sin(x) * torch.cos(y) * torch.cos(z),
            -torch.cos(x) * torch.sin(y) * torch.cos(z),
            torch.zeros_like(x),
        ]
    )
    spectrum = space.to_spectral(velocity.unsqueeze(0))
    spectrum = RUNGE_KUTTA_4.advance(solver, spectrum, 3.0, steps=75)
    energies, enstrophy = [], 0.0
    for index in range(5):
        density = space.mode_energy(spectrum)
        energies.append(float(density.sum()))
        if index == 2:
            enstrophy = float((space.wavenumber_squared * density).sum())
        spectrum = RUNGE_KUTTA_4.advance(solver, spectrum, step, steps=1)
    rate = (energies[0] - 8 * energies[1] + 8 * energies[3] - energies[4]) / (12 * step)
    dissipation = 2 * viscosity * enstrophy
    assert abs(rate + dissipation) <= 1e-4 * dissipation
    assert enstrophy > 0.5  # vortex stretching has acted: it was 3/8 at the start
    assert space.divergence(spectrum).abs().max() <= 1e-12


@pytest.mark.usefixtures("path")
def test_inviscid_taylor_green_enstrophy_growth_matches_the_series() -> None:
    """⟨ω²⟩/2 = 3/8 (1 + 5/48 t² + …) for the vortex without viscosity (Brachet et al., J. Fluid Mech. 130, 1983)."""
    grid = Grid((16, 16, 16), (BOX,) * 3)
    solver = NavierStokes(grid, viscosity=1e-30)
    x, y, z = torch.meshgrid(*[torch.as_tensor(c) for c in grid.coordinates()], indexing="ij")
    velocity = torch.stack(
        [
            torch.sin(x) * torch.cos(y) * torch.cos(z),
            -torch.cos(x) * torch.sin(y) * torch.cos(z),
            torch.zeros_like(x),
        ]
    ).unsqueeze(0)
    space = solver.space
    spectrum = RUNGE_KUTTA_4.advance(solver, space.to_spectral(velocity), 0.05, steps=5)
    enstrophy = float((space.wavenumber_squared * space.mode_energy(spectrum)).sum())
    assert (enstrophy / (3 / 8) - 1) / 0.05**2 == pytest.approx(5 / 48, rel=2e-3)


@pytest.mark.usefixtures("path")
def test_mean_flow_is_not_damped_by_viscosity() -> None:
    grid = Grid((16, 16), (BOX, BOX))
    solver = NavierStokes(grid, viscosity=0.5)
    spectrum = random_spectrum(solver)
    advanced = RUNGE_KUTTA_4.advance(solver, spectrum, 0.01, steps=2)
    assert torch.allclose(advanced[..., 0, 0], spectrum[..., 0, 0], atol=1e-15)


@pytest.mark.usefixtures("path")
def test_galilean_invariance() -> None:
    """Adding a uniform velocity only translates the solution."""
    grid = Grid((24, 24), (BOX, BOX))
    solver = NavierStokes(grid, viscosity=0.05)
    space = solver.space
    spectrum = random_spectrum(solver, batch=1) * 0.3
    spectrum[..., 0, 0] = 0
    boost, time = 2 * BOX / 24 / 0.1, 0.1  # two grid spacings in the time of the test
    boosted = spectrum.clone()
    boosted[:, 0, 0, 0] = boost
    alone = space.to_physical(RUNGE_KUTTA_4.advance(solver, spectrum, time, steps=200))
    moving = space.to_physical(RUNGE_KUTTA_4.advance(solver, boosted, time, steps=200))
    moving[:, 0] -= boost
    assert (moving - alone.roll(2, dims=-2)).abs().max() <= 1e-7


def test_tendency_is_the_derivative_of_the_solution_and_is_differentiable() -> None:
    grid = Grid((16, 16), (BOX, BOX))
    forcing = Forcing(type="sinusoidal", wavenumber=2, amplitude=1.0)
    solver = NavierStokes(grid, viscosity=0.05, linear_drag=0.1, forcing=forcing)
    space = solver.space
    velocity = space.to_physical(random_spectrum(solver, batch=1)).requires_grad_()
    tendency = solver.tendency(velocity)
    step = 1e-4
    forward = RUNGE_KUTTA_4.advance(solver, space.to_spectral(velocity.detach()), step, steps=1)
    backward = RUNGE_KUTTA_4.advance(solver, space.to_spectral(velocity.detach()), -step, steps=1)
    difference = space.to_physical(forward - backward) / (2 * step)
    assert torch.allclose(tendency.detach(), difference, atol=1e-6 * float(tendency.detach().abs().max()))
    tendency.square().sum().backward()
    assert velocity.grad is not None
    assert torch.isfinite(velocity.grad).all()
    assert velocity.grad.abs().max() > 0


@pytest.mark.usefixtures("path")
def test_batch_members_do_not_influence_each_other() -> None:
    solver = NavierStokes(Grid((16, 16, 16), (BOX,) * 3), viscosity=0.05)
    spectrum = random_spectrum(solver, batch=3)
    together = RUNGE_KUTTA_4.advance(solver, spectrum, 0.02, steps=2)
    alone = torch.cat([RUNGE_KUTTA_4.advance(solver, part, 0.02, steps=2) for part in spectrum.split(1)])
    assert torch.allclose(together, alone, atol=1e-14)
