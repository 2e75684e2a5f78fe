"""Subgrid-scale models between walls: exact values, behaviour at walls, the dynamic coefficient, dissipation."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch

from eddymark.closures.channel import (
    ChannelClosure,
    ChannelEddyViscosity,
    ChannelVreman,
    ChannelWale,
    DampedSmagorinsky,
    PlaneDynamicSmagorinsky,
    subgrid_dissipation,
)
from eddymark.errors import EddymarkError
from eddymark.solvers.channel.flow import ChannelFlow
from eddymark.solvers.channel.grid import ChannelGrid
from eddymark.solvers.channel.resolved import ResolvedChannelVelocity
from eddymark.solvers.channel.space import ChannelSpace
from eddymark.solvers.channel.time_integration import ChannelIntegration
from tests.solvers.channel.fields import GRID, parabola, random_field, shear

VISCOSITY = 0.02
MODELS: dict[str, Callable[[ChannelSpace], ChannelEddyViscosity]] = {
    "damped_smagorinsky": lambda space: DampedSmagorinsky(space=space, viscosity=VISCOSITY),
    "wale": lambda space: ChannelWale(space=space),
    "vreman": lambda space: ChannelVreman(space=space),
    "dynamic_smagorinsky": lambda space: PlaneDynamicSmagorinsky(space=space),
}


def viscosity_of(model: ChannelEddyViscosity, resolved: ResolvedChannelVelocity) -> torch.Tensor:
    return model.eddy_viscosity(resolved, model.coefficient(resolved))


def sheared(grid: ChannelGrid = GRID, *, gradient: float | None = None) -> tuple[ChannelFlow, torch.Tensor]:
    """Poiseuille flow with a random one on it, which is different in both halves."""
    flow = ChannelFlow(grid, viscosity=VISCOSITY, pressure_gradient=gradient)
    velocity = 0.3 * random_field(grid) + shear(grid, parabola(grid))
    y = torch.as_tensor(grid.coordinates()[1])
    velocity[:, 0] += 0.2 * (y * (2 - y) * (y - 0.8))[:, None]
    return flow, flow.to_spectral(velocity)


@pytest.mark.parametrize("name", MODELS)
def test_no_stress_in_a_laminar_flow_but_of_smagorinskys_model(name: str) -> None:
    flow = ChannelFlow(GRID, viscosity=VISCOSITY)
    resolved = flow.resolved(flow.to_spectral(shear(GRID, parabola(GRID))))
    stress = MODELS[name](flow.space).modelled_stress(resolved).abs().max()
    if name == "damped_smagorinsky":
        assert stress > 1e-5
    else:
        assert stress < 1e-12


def test_damped_smagorinsky_is_its_formula_with_the_friction_of_each_wall() -> None:
    """U = y (2 − y) + 0.2 y (2 − y) (y − 0.8): slopes 2 − 0.32 and 2 + 0.48 at the walls."""
    flow = ChannelFlow(GRID, viscosity=VISCOSITY)
    y = torch.as_tensor(GRID.coordinates()[1])
    profile = y * (2 - y) + 0.2 * y * (2 - y) * (y - 0.8)
    slope = 2 - 2 * y + 0.2 * ((2 - 2 * y) * (y - 0.8) + y * (2 - y))
    resolved = flow.resolved(flow.to_spectral(shear(GRID, profile)))
    friction = torch.where(y < 1, torch.full_like(y, 2 - 0.32), torch.full_like(y, 2 + 0.48))
    plus = torch.minimum(y, 2 - y) * torch.sqrt(VISCOSITY * friction) / VISCOSITY
    width = torch.as_tensor(GRID.filter_width())
    expected = (0.12 * width * (1 - torch.exp(-plus / 26))) ** 2 * slope.abs()
    model = DampedSmagorinsky(space=flow.space, viscosity=VISCOSITY, smagorinsky_constant=0.12, damping_length=26.0)
    found = viscosity_of(model, resolved)
    assert torch.allclose(found, expected[:, None].expand_as(found), rtol=1e-9, atol=1e-16)
    assert flow.wall_shear(resolved.spectrum)[0].tolist() == pytest.approx([0.0336, 0.0496])


@pytest.mark.parametrize(("name", "power"), [("damped_smagorinsky", 2), ("wale", 3), ("vreman", 7 / 6)])
def test_power_of_the_wall_distance_with_which_the_eddy_viscosity_vanishes(name: str, power: int) -> None:
    """ν_e / Δ² towards both walls, of a flow without fine structure.

    Vreman's is ∝ Δ_x Δ_y y / Δ², and towards a wall Δ_y falls as y^½.
    """
    grid = ChannelGrid((8, 96, 12), (3.0, 2.0, 1.7))
    flow, spectrum = sheared(grid, gradient=0.0)  # with modes of the mean flow that are all smooth
    smooth = spectrum.clone()
    half = spectrum.shape[3] // 2
    smooth[..., 3:half, :], smooth[..., half + 3 :, :] = 0, 0
    resolved = flow.resolved(smooth)
    model = MODELS[name](flow.space)
    rate = viscosity_of(model, resolved) / model.filter_width**2
    y = torch.as_tensor(grid.coordinates()[1])
    for points in ([0, 1], [-1, -2]):
        distance = torch.minimum(y, 2 - y)[points]
        mean = rate.mean(dim=(0, 1, 3))[points]
        slope = float(torch.log(mean[1] / mean[0]) / torch.log(distance[1] / distance[0]))
        assert slope == pytest.approx(power, abs=0.06)


def test_vreman_is_its_formula_with_the_widths_of_each_point() -> None:
    flow, spectrum = sheared()
    resolved = flow.resolved(spectrum)
    g = torch.stack([torch.stack(row, dim=-1) for row in resolved.gradient], dim=-2)[0, 3, :, 5]  # (y, i, j)
    x, y, z = GRID.widths()
    widths = torch.tensor([[x, b, z] for b in y], dtype=torch.float64)
    b = torch.einsum("yk,yik,yjk->yij", widths**2, g, g)
    invariant = torch.stack([b[:, i, i] * b[:, j, j] - b[:, i, j] ** 2 for i, j in ((0, 1), (0, 2), (1, 2))]).sum(dim=0)
    expected = 0.03 * torch.sqrt(invariant / g.square().sum(dim=(1, 2)))
    found = viscosity_of(ChannelVreman(space=flow.space, vreman_constant=0.03), resolved)
    assert torch.allclose(found[0, 3, :, 5], expected, rtol=1e-9)


def naive_tensors(flow: ChannelFlow, resolved: ResolvedChannelVelocity, kept: tuple[int, int]):
    """L_ij and M_ij / (2 Δ²) with all nine entries, by FFTs of whole planes."""
    u = resolved.velocity.numpy()
    g = np.stack([np.stack([entry.numpy() for entry in row], axis=1) for row in resolved.gradient], axis=1)
    n_x, n_z = GRID.points[0], GRID.points[2]
    inside = (np.abs(np.fft.fftfreq(n_x, 1 / n_x))[:, None] <= kept[0]) & (
        np.abs(np.fft.fftfreq(n_z, 1 / n_z))[None, :] <= kept[1]
    )

    def tested(field: np.ndarray) -> np.ndarray:
        moved = np.moveaxis(field, -2, -3)
        return np.moveaxis(np.fft.ifft2(inside * np.fft.fft2(moved)).real, -3, -2)

    def product(gradient: np.ndarray) -> np.ndarray:
        strain = (gradient + gradient.swapaxes(1, 2)) / 2
        return np.sqrt(2 * (strain**2).sum(axis=(1, 2), keepdims=True)) * strain

    # What the solver does not resolve of products is not seen by its test filter either.
    leonard = tested(u[:, :, None] * u[:, None]) - tested(u)[:, :, None] * tested(u)[:, None]
    leonard = leonard - np.eye(3)[None, :, :, None, None, None] * np.trace(leonard, axis1=1, axis2=2)[:, None, None] / 3
    ratio = (2 * 3 / (kept[0] * kept[1])) ** (2 / 3)
    return leonard, tested(product(g)) - ratio * product(tested(g))


def test_dynamic_coefficient_is_the_least_squares_solution_of_each_plane() -> None:
    flow, spectrum = sheared()
    resolved = flow.resolved(spectrum)
    assert GRID.cutoff == (2, 3)
    leonard, model = naive_tensors(flow, resolved, (1, 1))
    model = 2 * GRID.filter_width()[None, None, None, None, :, None] ** 2 * model
    expected = (leonard * model).sum(axis=(1, 2)).mean(axis=(1, 3)) / (model**2).sum(axis=(1, 2)).mean(axis=(1, 3))
    assert (expected < 0).any()
    assert (expected > 0).any()
    found = PlaneDynamicSmagorinsky(space=flow.space).coefficient(resolved)
    assert found.shape == (2, 1, 18, 1)
    np.testing.assert_allclose(found[:, 0, :, 0].numpy(), np.maximum(expected, 0), rtol=1e-9, atol=1e-15)


def test_dynamic_model_recovers_a_constant_that_varies_with_the_wall_distance(monkeypatch: pytest.MonkeyPatch) -> None:
    """If L_ij is C(y) M_ij plus what no M_ij sees, C(y) is found."""
    flow, spectrum = sheared()
    resolved = flow.resolved(spectrum)
    closure = PlaneDynamicSmagorinsky(space=flow.space)
    _, model = closure.germano_tensors(resolved)
    truth = torch.linspace(0.001, 0.03, GRID.points[1], dtype=torch.float64)[:, None]
    monkeypatch.setattr(closure, "germano_tensors", lambda _: (truth * model, model))
    found = closure.coefficient(resolved)
    assert torch.allclose(found, truth.expand_as(found), rtol=1e-12)
    strain = resolved.strain_rate
    xx_zz, xy, xz, yy_zz, yz = strain.unbind(1)
    zz = -(xx_zz + yy_zz) / 3
    squares = (xx_zz + zz) ** 2 + (yy_zz + zz) ** 2 + zz**2 + 2 * (xy**2 + xz**2 + yz**2)
    width = torch.as_tensor(GRID.filter_width())[:, None]
    expected = truth * width**2 * torch.sqrt(2 * squares)
    assert torch.allclose(closure.eddy_viscosity(resolved, found), expected, rtol=1e-10)


def test_a_test_filter_that_filters_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="test_filter_ratio: expected a number above 1, found 1"):
        PlaneDynamicSmagorinsky(space=ChannelSpace(GRID), test_filter_ratio=1.0)


@pytest.mark.parametrize("name", MODELS)
def test_what_a_model_takes_out_is_what_the_resolved_flow_loses(name: str) -> None:
    flow, spectrum = sheared()
    closure = MODELS[name](flow.space)
    rate = flow.nonlinear(spectrum, closure) - flow.nonlinear(spectrum)
    power = (spectrum.conj() * rate).real
    power[:, 1, 0, 0, 0] = 0  # the flux does not change
    lost = -(power.sum(dim=(1, 2, 3)) @ flow.space.multiplicity)
    taken = subgrid_dissipation(closure, flow.modes, spectrum)
    # The eddy viscosity is no polynomial, but its stress is integrated at the same points on both sides; the part that
    # would change the flux is balanced by the pressure gradient.
    carrier = (closure_work(flow, spectrum, closure)[:, 0] * spectrum[:, 1, 0, 0, 0].conj()).real
    assert torch.allclose(lost - carrier, taken, rtol=1e-10)
    assert (taken > 0).all()


def closure_work(flow: ChannelFlow, spectrum: torch.Tensor, closure: ChannelClosure) -> torch.Tensor:
    """⟨∂_j φ_i, τ_ij⟩ of the mean flow's modes."""
    stress = closure.modelled_stress(flow.resolved(spectrum))
    return flow.flux_work(stress)[:, 1, 0, :, 0]


@pytest.mark.parametrize("name", MODELS)
def test_tendency_with_a_model_is_differentiable_and_mirror_symmetric(name: str) -> None:
    flow, spectrum = sheared()
    closure = MODELS[name](flow.space)
    velocity = flow.to_physical(spectrum).requires_grad_()
    rate = flow.tendency(velocity, closure)
    rate.square().sum().backward()
    assert velocity.grad is not None
    assert torch.isfinite(velocity.grad).all()
    assert velocity.grad.abs().max() > 0
    sign = torch.tensor([1.0, -1.0, 1.0], dtype=torch.float64).reshape(3, 1, 1, 1)
    with torch.no_grad():
        mirrored = flow.tendency(sign * velocity.flip(-2), closure)
    assert (mirrored - sign * rate.detach().flip(-2)).abs().max() <= 1e-9 * rate.detach().abs().max()


def test_implicit_viscosity_lifts_the_limit_of_a_large_eddy_viscosity() -> None:
    """A uniform ν_e = 100 ν: explicit steps fail; with two thirds of it implicit, the same steps are accurate."""

    class Uniform(ChannelEddyViscosity):
        def eddy_viscosity(self, resolved: ResolvedChannelVelocity, coefficient: torch.Tensor | None) -> torch.Tensor:
            return torch.full_like(resolved.velocity[:, 0], 100 * VISCOSITY)

    grid = ChannelGrid((8, 24, 8), (3.0, 2.0, 1.7))
    flow = ChannelFlow(grid, viscosity=VISCOSITY)
    closure = Uniform(space=flow.space)
    spectrum = 1e-6 * flow.to_spectral(random_field(grid, batch=1))
    exact = spectrum * torch.exp(101 * flow.linear_rate * 0.4)
    exact[:, 1, 0, :, 0] = 0

    def advanced(implicit: float) -> torch.Tensor:
        integration = ChannelIntegration(implicit_viscosity=implicit)
        result = integration.advance(flow, spectrum, 0.4, steps=40, closure=closure)
        result[:, 1, 0, :, 0] = 0  # where the flux is held
        return result

    with pytest.raises(EddymarkError, match="the velocity is not finite"):
        advanced(0.0)
    assert (advanced(100 * VISCOSITY * 2 / 3) - exact).abs().max() <= 1e-3 * exact.abs().max()
