"""The mixing layer against theory: linear instability and viscous spreading."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache

import numpy as np
import pytest
import torch
from scipy.linalg import eigvals
from scipy.special import erf
from torch import Tensor

from eddymark.config.schema import MeanFlow
from eddymark.flows import mixing_layer
from eddymark.grid import Grid
from eddymark.solvers.periodic import NavierStokes
from eddymark.solvers.time_integration import TimeIntegration
from eddymark.statistics import profiles

SIDE = 60.0
CENTRES = (SIDE / 4, 3 * SIDE / 4)


def rayleigh_growth_rate(wavenumber: float) -> float:
    """Largest k c_i of Rayleigh's equation (U − c)(φ'' − k² φ) = U'' φ for U = tanh y, φ → 0, by sinc collocation."""
    spacing = 0.2
    y = spacing * np.arange(-150, 151)
    offset = np.subtract.outer(np.arange(len(y)), np.arange(len(y)))
    with np.errstate(divide="ignore", invalid="ignore"):
        second = np.where(offset == 0, -(math.pi**2) / 3, -2 * (-1.0) ** offset / offset**2) / spacing**2
    laplacian = second - wavenumber**2 * np.eye(len(y))
    mean, curvature = np.tanh(y), -2 * np.tanh(y) / np.cosh(y) ** 2
    speeds = eigvals(mean[:, None] * laplacian - np.diag(curvature), laplacian)
    return float(wavenumber * speeds.imag.max())


def perturbed(wavenumber: float, shape: Callable[[Tensor], Tensor]) -> tuple[NavierStokes, Tensor, Tensor]:
    """Return an almost inviscid solver, two layers U = ±tanh y, and a small wave with a given stream function."""
    grid = Grid((8, 512), (2 * math.pi / wavenumber, SIDE))
    solver = NavierStokes(grid, viscosity=1e-6)
    x, y = (torch.as_tensor(axis) for axis in grid.coordinates())
    mean = mixing_layer.mean_velocity(y, side=SIDE, mean_flow=MeanFlow(velocity_difference=2.0, momentum_thickness=0.5))
    layers = torch.stack([mean.expand(grid.points), torch.zeros(grid.points, dtype=torch.float64)])
    stream = 1e-9 * torch.cos(wavenumber * x)[:, None] * sum(shape(y - centre) for centre in CENTRES)
    spectrum = solver.space.to_spectral(stream)
    wave = torch.stack([solver.space.derivative(spectrum, 1), -solver.space.derivative(spectrum, 0)])
    return solver, solver.space.to_spectral(layers).unsqueeze(0), wave.unsqueeze(0)


def advanced(solver: NavierStokes, state: Tensor, duration: float) -> Tensor:
    return TimeIntegration("runge_kutta_4", 1.0).advance(solver, state, duration, steps=round(8 * duration))


@cache
def growth_rate(wavenumber: float) -> float:
    """Growth rate of a wave whose other modes have been left behind; unit: U / δ of the layers U tanh(y / δ)."""
    solver, layers, wave = perturbed(wavenumber, lambda distance: torch.exp(-(distance**2) / 2))
    early = advanced(solver, layers + wave, 50.0)
    late = advanced(solver, early, 10.0)
    energies = [float(solver.space.mode_energy(state)[0, 1].sum()) for state in (early, late)]
    return 0.5 * math.log(energies[1] / energies[0]) / 10.0


def test_the_most_unstable_wave_grows_at_michalkes_rate() -> None:
    """Michalke (1964), J. Fluid Mech. 19, 543: for U tanh(y / δ), k δ = 0.4446 grows at 0.1897 U / δ."""
    assert growth_rate(0.4446) == pytest.approx(0.1897, rel=1e-3)


@pytest.mark.parametrize("wavenumber", [0.25, 0.4446, 0.6])
def test_waves_grow_at_the_rate_of_rayleighs_equation(wavenumber: float) -> None:
    assert growth_rate(wavenumber) == pytest.approx(rayleigh_growth_rate(wavenumber), rel=1e-3)


def test_the_neutral_wave_neither_grows_nor_moves() -> None:
    """φ = sech(y / δ) with k δ = 1 is steady (Michalke 1964): shorter waves are stable, longer ones grow."""
    solver, layers, wave = perturbed(1.0, lambda distance: 1 / torch.cosh(distance))
    after = advanced(solver, layers + wave, 10.0)[:, :, 1] - layers[:, :, 1]
    assert (after - wave[:, :, 1]).abs().max() < 1e-3 * wave.abs().max()


def test_the_unperturbed_layer_spreads_by_diffusion() -> None:
    """ū = ΔU/2 erf(y / (4 ν t)^½) solves ∂ū/∂t = ν ∂²ū/∂y², with the momentum thickness (2 ν t / π)^½."""
    grid = Grid((8, 128, 8), (2.0, 24.0, 3.0))
    solver = NavierStokes(grid, viscosity=0.05)
    y = torch.as_tensor(grid.coordinates()[1])

    def velocity(time: float) -> Tensor:
        width = math.sqrt(4 * 0.05 * time)
        layers = [(1, 6), (-1, 18), (-1, -6), (1, 30)]
        mean = sum(sign * torch.as_tensor(erf((y - centre).numpy() / width)) for sign, centre in layers) + 1.0
        field = torch.zeros((1, 3, *grid.points), dtype=torch.float64)
        field[:, 0] = mean.reshape(1, -1, 1)
        return field

    state = solver.space.to_spectral(velocity(2.0))
    after = solver.space.to_physical(advanced(solver, state, 6.0))
    assert torch.allclose(after, velocity(8.0), atol=1e-6)
    mean = profiles.mean_velocity(after)
    thickness = profiles.momentum_thickness(mean, velocity_difference=2.0, spacing=grid.spacing[1])
    assert torch.allclose(
        thickness, torch.full((1, 2), math.sqrt(2 * 0.05 * 8 / math.pi), dtype=torch.float64), rtol=1e-5
    )
