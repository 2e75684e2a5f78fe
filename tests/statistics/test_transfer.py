from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from eddymark.closures.base import Closure
from eddymark.closures.fitted_spectral_viscosity import FittedSpectralViscosity
from eddymark.closures.smagorinsky import Smagorinsky
from eddymark.config.schema import Forcing
from eddymark.grid import Grid, SpectralSpace
from eddymark.solvers.periodic import NavierStokes
from eddymark.solvers.time_integration import TimeIntegration
from eddymark.statistics.fluxes import flux_error, spectral_flux, subgrid_activity
from eddymark.statistics.measure import Window
from eddymark.statistics.transfer import EnergyBalance, measure_balance
from eddymark.stepping.large_eddy_simulation import LargeEddySimulation

Fields = Callable[..., Tensor]
TURN = 2 * np.pi
WHOLE = Window(-np.inf)
BOXES = [((12, 16), (TURN, 2.0)), ((12, 8, 10), (3.0, 2.0, TURN)), ((12, 12, 12), (TURN,) * 3)]


def solver_of(grid: Grid, **options: object) -> NavierStokes:
    return NavierStokes(grid, viscosity=0.02, **options)  # type: ignore[arg-type]


@settings(max_examples=8, deadline=None)
@given(st.integers(0, 2**31), st.sampled_from(BOXES))
def test_the_nonlinear_term_only_moves_energy(seed: int, box: tuple[tuple[int, ...], tuple[float, ...]]) -> None:
    # Of any field, be it solenoidal and dealiased or not.
    grid = Grid(*box)
    source = torch.Generator().manual_seed(seed)
    velocity = torch.randn((1, 2, grid.dimension, *grid.points), generator=source, dtype=torch.float64)
    terms = EnergyBalance(solver_of(grid))(velocity)
    names = ["energy_transfer"] + ["enstrophy_transfer"] * (grid.dimension == 2)
    for name in names:
        transfer = terms[name].numpy()
        assert np.abs(transfer).max() > 1e-3
        scale = np.abs(transfer).sum(axis=-1, keepdims=True)
        np.testing.assert_allclose(transfer.sum(axis=-1, keepdims=True) / scale, 0, atol=1e-13)
        # Nothing reaches the shells beyond the dealiased modes, and the flux through the last one is zero.
        last = int(SpectralSpace(grid).shells.max())
        assert transfer.shape[-1] == int(SpectralSpace(grid, dealiased=False).shells.max()) > last
        assert not transfer[..., last:].any()
        np.testing.assert_allclose(spectral_flux(transfer)[..., last - 1 :] / scale, 0, atol=1e-13)


def test_transfer_in_a_triad_is_known() -> None:
    # Of ψ = a cos k₁·x + b cos k₂·x + c cos k₃·x with k₃ = k₁ + k₂, Dω/Dt = 0 gives the first wave the energy
    # ¼ a b c (k₁ × k₂) (k₂² − k₃²) per unit time, and so on around the triad.
    a, b, c = 0.7, -0.4, 0.9
    grid = Grid((16, 16), (TURN, TURN))
    x, y = (torch.as_tensor(one) for one in np.meshgrid(*grid.coordinates(), indexing="ij"))
    waves = [(a, 1, 0), (b, 1, 2), (c, 2, 2)]
    u = sum(-s * m * torch.sin(k * x + m * y) for s, k, m in waves)
    v = sum(s * k * torch.sin(k * x + m * y) for s, k, m in waves)
    terms = EnergyBalance(solver_of(grid))(torch.stack([u, v])[None, None])
    first, second, third = 1, 5, 8
    rate = a * b * c * (1 * 2 - 0 * 1) / 4
    expected = np.zeros(terms["energy_transfer"].shape[-1])
    expected[:3] = rate * np.array([second - third, third - first, first - second])
    found = terms["energy_transfer"][0, 0].numpy()
    np.testing.assert_allclose(found, expected, atol=1e-14)
    # The enstrophy that a wave gets is its energy times k²; it adds up to nothing, too.
    enstrophy = terms["enstrophy_transfer"][0, 0].numpy()
    np.testing.assert_allclose(enstrophy[:3], expected[:3] * [first, second, third], atol=1e-14)
    assert abs(enstrophy.sum()) < 1e-14


@pytest.mark.parametrize("closure", [None, Smagorinsky(filter_width=0.5)])
def test_the_terms_add_up_to_the_change_of_energy_in_every_shell(
    closure: Closure | None, cube: Grid, random_phases: Fields
) -> None:
    forcing = Forcing(type="constant_power", power=0.3, shells=(1, 2))
    solver = solver_of(cube, linear_drag=0.1, forcing=forcing)
    simulation = None
    if closure is not None:
        integration = TimeIntegration("runge_kutta_4", 1.0)
        simulation = LargeEddySimulation(solver, closure=closure, integration=integration, interval=0.1)
    velocity = random_phases(cube, trajectories=2, times=2, seed=1)
    terms = EnergyBalance(solver, simulation)(velocity)
    rate = solver.tendency(velocity.flatten(0, 1), closure).unflatten(0, (2, 2))
    space = solver.space
    spectrum, change = space.to_spectral(velocity), space.to_spectral(rate)
    work = (spectrum.conj() * change).real.sum(2) * space.multiplicity
    expected = space.shell_sum(work)[..., 1:]
    found = terms["energy_transfer"] - terms["dissipation_spectrum"]
    if closure is not None:
        assert (terms["subgrid_transfer"].sum(-1) < 0).all()
        found = found + terms["subgrid_transfer"]
    energy = space.energy_spectrum(spectrum)
    count = expected.shape[-1]
    forced = found[..., :count] - 0.2 * energy[..., 1:] - expected
    # What is left is the input: the power, in the two forced shells, in proportion to their energy.
    share = energy[..., 1:3] / energy[..., 1:3].sum(-1, keepdim=True)
    torch.testing.assert_close(-forced[..., :2], 0.3 * share)
    torch.testing.assert_close(forced[..., 2:], torch.zeros_like(forced[..., 2:]), atol=1e-12, rtol=0)
    torch.testing.assert_close(terms["energy_input"], torch.full((2, 2), 0.3, dtype=torch.float64))


def test_an_eddy_viscosity_that_is_constant_drains_like_the_molecular_one(cube: Grid, random_phases: Fields) -> None:
    solver = solver_of(cube)

    class Constant(Closure):
        def spectral_viscosity(self) -> Tensor:
            return torch.full_like(solver.space.wavenumber_squared, 3 * solver.viscosity)

    integration = TimeIntegration("runge_kutta_4", 1.0)
    simulation = LargeEddySimulation(solver, closure=Constant(), integration=integration, interval=0.1)
    terms = EnergyBalance(solver, simulation)(random_phases(cube, trajectories=1, times=2, seed=2))
    torch.testing.assert_close(terms["subgrid_transfer"], -3 * terms["dissipation_spectrum"], atol=1e-12, rtol=1e-10)
    means = [terms[name].numpy() for name in ("subgrid_transfer", "dissipation_spectrum")]
    np.testing.assert_allclose(subgrid_activity(*means), 0.75)


def test_fitted_models_in_single_precision_are_measured_without_gradients(square: Grid, random_phases: Fields) -> None:
    single = NavierStokes(square, viscosity=0.02, dtype=torch.float32)
    closure = FittedSpectralViscosity(space=single.space, viscosity=0.02)
    assert any(parameter.requires_grad for parameter in closure.parameters())
    integration = TimeIntegration("runge_kutta_4", 1.0)
    simulation = LargeEddySimulation(single, closure=closure, integration=integration, interval=0.1)
    balance = EnergyBalance(solver_of(square), simulation)
    velocity = random_phases(square, trajectories=2, times=5, seed=3).float()
    found = measure_balance(velocity, balance=balance, interval=1.0, window=WHOLE)
    assert found["subgrid_transfer"].dtype == np.float64
    assert np.isfinite(found["subgrid_transfer"]).all()


def test_the_work_of_a_steady_force_is_that_at_the_points(square: Grid, random_phases: Fields) -> None:
    forcing = Forcing(type="sinusoidal", wavenumber=2, amplitude=1.5)
    velocity = random_phases(square, trajectories=2, times=3, seed=4)
    found = EnergyBalance(solver_of(square, forcing=forcing))(velocity)["energy_input"]
    profile = 1.5 * torch.sin(2 * torch.as_tensor(square.coordinates()[1]))
    torch.testing.assert_close(found, (velocity[:, :, 0] * profile).mean((-2, -1)))
    held = Forcing(type="held_shells", energies={1: 1.0})
    assert "energy_input" not in EnergyBalance(solver_of(square, forcing=held))(velocity)


def measured(velocity: Tensor, grid: Grid, window: Window = WHOLE) -> xr.Dataset:
    return measure_balance(velocity, balance=EnergyBalance(solver_of(grid)), interval=1.0, window=window)


def test_averages_are_those_of_each_window_and_skip_failed_trajectories(square: Grid, random_phases: Fields) -> None:
    velocity = random_phases(square, trajectories=2, times=5, seed=5)
    window = Window(start=1.0, parts=2)
    whole = measured(velocity, square, window)
    later = measured(velocity[:, 3:], square)
    velocity[0, 3:] = torch.nan
    found = measured(velocity, square, window)
    for name in whole:
        assert whole[name].dims == ("trajectory", "window", "shell")
        np.testing.assert_allclose(whole[name][:, 1], later[name][:, 0], rtol=1e-12, atol=1e-15)
        np.testing.assert_array_equal(found[name][:, 0], whole[name][:, 0])
        np.testing.assert_array_equal(found[name][1], whole[name][1])
        assert np.isnan(found[name][0, 1]).all()
    velocity[:] = torch.nan
    lost = measured(velocity, square, window)
    assert {name: lost[name].shape for name in lost} == {name: whole[name].shape for name in whole}


def test_the_molecular_dissipation_is_that_of_the_enstrophy(cube: Grid, random_phases: Fields) -> None:
    velocity = random_phases(cube, trajectories=1, times=2, seed=6)
    space = SpectralSpace(cube)
    vorticity = space.to_physical(space.vorticity(space.to_spectral(velocity)))
    expected = 0.02 * vorticity.square().sum(2).mean((-3, -2, -1))
    found = EnergyBalance(solver_of(cube))(velocity)["dissipation_spectrum"].sum(-1)
    torch.testing.assert_close(found, expected)


def test_the_error_of_the_flux_is_relative_and_sees_its_sign() -> None:
    transfer = np.array([[-2.0, 1.0, 0.5, 0.5], [1.0, -1.0, 0.0, 0.0]])
    np.testing.assert_allclose(spectral_flux(transfer), [[2, 1, 0.5, 0], [-1, 0, 0, 0]])
    shells = np.array([True, True, True, False])
    np.testing.assert_allclose(flux_error(1.2 * transfer, transfer, shells=shells), 0.2)
    np.testing.assert_allclose(flux_error(-transfer, transfer, shells=shells), 2)
    # A change beyond the chosen shells does not count.
    changed = transfer + np.array([0, 0, 0, 9.0])
    np.testing.assert_allclose(flux_error(changed, transfer, shells=shells), 0)
