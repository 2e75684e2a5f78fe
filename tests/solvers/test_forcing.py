"""Held shells, constant power and the sinusoidal force."""

from __future__ import annotations

import math

import pytest
import torch

from eddymark.config.schema import Forcing
from eddymark.grid import Grid, SpectralSpace
from eddymark.solvers.forcing import ConstantPower, HeldShells
from eddymark.solvers.periodic import NavierStokes
from eddymark.solvers.time_integration import EnergyLedger, TimeIntegration
from tests.solvers.test_periodic import BOX, random_spectrum

ENERGIES = {1: 1.242477, 2: 0.391356}
INTEGRATION = TimeIntegration("runge_kutta_4", 2.0)


def cube(points: int, dtype: torch.dtype = torch.float64) -> NavierStokes:
    forcing = Forcing(type="held_shells", energies=ENERGIES)
    return NavierStokes(Grid((points,) * 3, (BOX,) * 3), viscosity=0.018, forcing=forcing, dtype=dtype)


def test_held_shells_have_their_energies_and_nothing_else_changes() -> None:
    solver = cube(16)
    spectrum = random_spectrum(solver)
    held = solver.forcing.constrain(spectrum)
    shells = solver.space.energy_spectrum(held)
    for shell, energy in ENERGIES.items():
        assert torch.allclose(shells[:, shell], torch.tensor(energy, dtype=torch.float64))
    free = torch.isin(solver.space.shells, torch.tensor([1, 2]), invert=True)
    assert torch.allclose(held[..., free], spectrum[..., free], atol=1e-15)


def test_held_shells_do_not_multiply_what_the_transform_cannot_see() -> None:
    """Divergence and anti-Hermitian parts in the mirror plane would otherwise be scaled up at every step."""
    solver = cube(16)
    space = solver.space
    clean = random_spectrum(solver)
    dirty = clean.clone()
    dirty[:, :, 1, 0, 0] += 0.1j
    dirty[:, :, -1, 0, 0] += 0.1j  # with its mirror image this is anti-Hermitian: invisible in physical space
    assert torch.allclose(space.to_physical(dirty), space.to_physical(clean), atol=1e-14)
    assert torch.allclose(solver.forcing.constrain(dirty), solver.forcing.constrain(clean), atol=1e-14)
    gradient = space.wavenumbers * (1 + 0j)
    constrained = solver.forcing.constrain(clean + 0.1 * gradient)
    assert space.divergence(constrained).abs().max() < 1e-13


def test_long_single_precision_run_stays_at_its_statistics() -> None:
    """> 50 turnover times (1.5 each) of forced float32 flow: energy and dissipation late as early."""
    solver = cube(16, torch.float32)
    space = solver.space
    spectrum = solver.forcing.constrain(random_spectrum(cube(16), batch=2).to(torch.complex64) * 0.05)
    energies, dissipations = [], []
    with torch.inference_mode():
        for _ in range(int(54 * 1.5 / 0.3)):
            steps = INTEGRATION.steps(solver.courant_rate(space.to_physical(spectrum)), 0.3)
            spectrum = INTEGRATION.advance(solver, spectrum, 0.3, steps=steps)
            density = space.mode_energy(spectrum).sum(dim=0) / 2
            energies.append(float(density.sum()))
            dissipations.append(float(2 * 0.018 * (space.wavenumber_squared * density).sum()))
    early, late = slice(50, 150), slice(170, 270)

    def mean(values: list[float], window: slice) -> float:
        return sum(values[window]) / len(values[window])

    assert mean(energies, late) == pytest.approx(mean(energies, early), rel=0.03)
    assert mean(dissipations, late) == pytest.approx(mean(dissipations, early), rel=0.1)
    assert space.divergence(spectrum).abs().max() < 1e-5
    assert (space.symmetrise(spectrum) - spectrum).abs().max() < 1e-6


def test_constant_power_is_constant_and_steady_budget_closes_within_two_percent() -> None:
    grid = Grid((16, 16, 16), (BOX,) * 3)
    forcing = Forcing(type="constant_power", power=0.5, shells=(1, 2))
    solver = NavierStokes(grid, viscosity=0.1, forcing=forcing)
    space = solver.space
    spectrum = random_spectrum(solver, batch=1) * 0.1
    force = solver.forcing.tendency(spectrum)
    assert isinstance(solver.forcing, ConstantPower)
    assert force is not None
    work = ((spectrum.conj() * force).real.sum(dim=1) * space.multiplicity).sum()
    assert float(work) == pytest.approx(0.5, rel=1e-12)

    change, dissipated, duration = 0.0, 0.0, 0.2
    with torch.inference_mode():
        for index in range(150):
            density = space.mode_energy(spectrum)
            if index == 50:
                change = -float(density.sum())
            if index >= 50:
                dissipated += float(2 * 0.1 * (space.wavenumber_squared * density).sum()) * duration
            spectrum = INTEGRATION.advance(solver, spectrum, duration, steps=6)
    change += float(space.mode_energy(spectrum).sum())
    injected = 0.5 * 100 * duration
    assert abs(injected - dissipated - change) <= 0.02 * injected


@pytest.mark.usefixtures("path")
def test_ledger_counts_what_held_shells_add() -> None:
    solver = cube(16)
    spectrum = solver.forcing.constrain(random_spectrum(solver, batch=2) * 0.05)
    axes = (1, 2, 3)
    ledger = EnergyLedger()
    dissipated = torch.zeros(2, dtype=torch.float64)
    start = solver.space.mode_energy(spectrum).sum(dim=axes)
    for _ in range(40):
        before = 2 * 0.018 * (solver.space.wavenumber_squared * solver.space.mode_energy(spectrum)).sum(dim=axes)
        spectrum = INTEGRATION.advance(solver, spectrum, 0.01, steps=1, ledger=ledger)
        after = 2 * 0.018 * (solver.space.wavenumber_squared * solver.space.mode_energy(spectrum)).sum(dim=axes)
        dissipated += 0.005 * (before + after)
    change = solver.space.mode_energy(spectrum).sum(dim=axes) - start
    assert torch.allclose(torch.as_tensor(ledger.injected), change + dissipated, rtol=1e-2)


def test_sinusoidal_force_is_the_laminar_balance() -> None:
    """With viscosity and drag the laminar state u = A sin(n y) / (ν n² + α) is steady."""
    grid = Grid((16, 24), (BOX, BOX))
    forcing = Forcing(type="sinusoidal", wavenumber=4, amplitude=0.3)
    solver = NavierStokes(grid, viscosity=0.1, linear_drag=0.2, forcing=forcing)
    y = torch.as_tensor(grid.coordinates()[1]).expand(16, 24)
    velocity = torch.stack([0.3 * torch.sin(4 * y) / (0.1 * 16 + 0.2), torch.zeros_like(y)]).unsqueeze(0)
    assert solver.tendency(velocity).abs().max() < 1e-14


def test_no_force_is_the_default() -> None:
    solver = NavierStokes(Grid((16, 16), (BOX, BOX)), viscosity=0.1)
    spectrum = random_spectrum(solver)
    assert solver.forcing.steady is None
    assert solver.forcing.tendency(spectrum) is None
    assert not solver.forcing.constrains
    assert not math.isnan(float(solver.forcing.constrain(spectrum).abs().max()))


def test_held_shells_are_differentiable() -> None:
    space = SpectralSpace(Grid((8, 8, 8), (BOX,) * 3))
    forcing = HeldShells(space, energies={1: 1.0})
    velocity = torch.randn((1, 3, 8, 8, 8), dtype=torch.float64, requires_grad=True)
    forcing.constrain(space.to_spectral(velocity)).abs().square().sum().backward()
    assert velocity.grad is not None
    assert torch.isfinite(velocity.grad).all()
