"""The right-hand side between walls against exact solutions, balances and invariances."""

from __future__ import annotations

import math

import pytest
import torch

from eddymark.solvers.channel.flow import ChannelFlow
from eddymark.solvers.channel.grid import ChannelGrid
from eddymark.solvers.channel.time_integration import ChannelIntegration
from tests.solvers.channel.fields import DRIVES, GRID, parabola, random_field, shear, work

INTEGRATION = ChannelIntegration()


@pytest.mark.parametrize("pressure_gradient", DRIVES)
def test_nonlinear_term_does_no_net_work(pressure_gradient) -> None:
    flow = ChannelFlow(GRID, viscosity=0.02, pressure_gradient=pressure_gradient)
    spectrum = flow.to_spectral(random_field())
    resolved = flow.resolved(spectrum)
    velocity = resolved.velocity
    u, v, w = velocity.unbind(1)
    flux = torch.stack([u * u - w * w, u * v, u * w, v * v - w * w, v * w], dim=1)
    rate = flow.flux_work(flux)
    power = (spectrum.conj() * rate).real
    net = power.sum(dim=(1, 2, 3)) @ flow.space.multiplicity
    size = power.abs().sum(dim=(1, 2, 3)) @ flow.space.multiplicity
    assert (net.abs() / size).max() <= 1e-13


@pytest.mark.parametrize("pressure_gradient", DRIVES)
def test_energy_balance(pressure_gradient) -> None:
    """⟨u ∂u/∂t⟩ = G U_b − ν ⟨∂_j u_i ∂_j u_i⟩, also with the G that holds the flux."""
    flow = ChannelFlow(GRID, viscosity=0.02, pressure_gradient=pressure_gradient)
    spectrum = flow.to_spectral(random_field() + 3 * shear(GRID, parabola(GRID)))
    spectrum[:, 1, 0, :, 0] = spectrum[:, 1, 0, :, 0].real + 0j  # no spanwise mean flow, whose flux would be held, too
    velocity = flow.to_physical(spectrum)
    rate = flow.tendency(velocity)
    if pressure_gradient is None:
        assert flow.bulk_velocity(flow.to_spectral(rate)).abs().max() <= 1e-13 * rate.abs().max()
    supplied = flow.driving_gradient(spectrum) * flow.bulk_velocity(spectrum)[:, 0]
    assert supplied.abs().min() > 0.1
    assert torch.allclose(work(flow, velocity, rate), supplied - flow.dissipation(spectrum), rtol=1e-12)


def test_momentum_balance_while_a_flow_starts_from_rest() -> None:
    """U = G/ν [(1 − y²)/2 − Σ 2 (−1)ⁿ / q_n³ cos(q_n y) e^{−q_n² ν t}], q_n = (n + ½) π, y from the middle, h = 1."""
    viscosity, gradient, time = 0.05, 0.3, 0.4
    grid = ChannelGrid((4, 48, 4), (1.0, 2.0, 1.0))
    flow = ChannelFlow(grid, viscosity=viscosity, pressure_gradient=gradient)
    rest = torch.zeros((1, 2, *flow.modes.modes), dtype=torch.complex128)
    spectrum = INTEGRATION.advance(flow, rest, time, steps=3)
    y = torch.as_tensor(grid.coordinates()[1]) - 1
    q = (torch.arange(60, dtype=torch.float64)[:, None] + 0.5) * math.pi
    sign = 1 - 2 * (torch.arange(60)[:, None] % 2)
    series = (2 * sign / q**3 * torch.cos(q * y) * torch.exp(-(q**2) * viscosity * time)).sum(dim=0)
    exact = gradient / viscosity * ((1 - y**2) / 2 - series)
    assert (flow.to_physical(spectrum)[0, 0] - exact[:, None]).abs().max() <= 1e-10
    decays = 2 / q**2 * torch.exp(-(q**2) * viscosity * time)
    assert flow.wall_shear(spectrum)[0].tolist() == pytest.approx([gradient * (1 - float(decays.sum()))] * 2, abs=1e-9)
    rate = flow.to_spectral(flow.tendency(flow.to_physical(spectrum)))
    acceleration = float(flow.bulk_velocity(rate)[0, 0])
    assert acceleration == pytest.approx(gradient - float(flow.wall_shear(spectrum).mean()), abs=1e-9)


@pytest.mark.parametrize("gradient", [None, 0.04])
def test_poiseuille_flow_stays_as_it_is(gradient) -> None:
    """U = 1 − (y/h − 1)² with G = 2 ν / h², held by it or by its flux, with steps of any size."""
    viscosity = 0.02
    flow = ChannelFlow(GRID, viscosity=viscosity, pressure_gradient=gradient)
    initial = shear(GRID, parabola(GRID))
    spectrum = INTEGRATION.advance(flow, flow.to_spectral(initial), 50.0, steps=25)
    assert (flow.to_physical(spectrum) - initial).abs().max() <= 1e-10
    assert float(flow.driving_gradient(spectrum)) == pytest.approx(2 * viscosity, rel=1e-10)
    assert flow.wall_shear(spectrum)[0].tolist() == pytest.approx([2 * viscosity] * 2, rel=1e-10)


def test_poiseuille_flow_is_reached_from_another_profile_of_the_same_flux() -> None:
    flow = ChannelFlow(GRID, viscosity=0.5)
    y = torch.as_tensor(GRID.coordinates()[1]) - 1
    other = shear(GRID, 5 / 4 * (1 - y**4) * (2 / 3))  # bulk velocity 2/3
    spectrum = INTEGRATION.advance(flow, flow.to_spectral(other), 4.0, steps=4)
    assert (flow.to_physical(spectrum) - shear(GRID, parabola(GRID))).abs().max() <= 1e-10


@pytest.mark.parametrize("even", [True, False])
@pytest.mark.parametrize("drive", DRIVES)
def test_stokes_modes_decay_at_their_rate(even: bool, drive) -> None:
    """v = cos py / cos p − cosh ky / cosh k (or sin, sinh) cos(k·x) of tiny amplitude, as e^{−ν (k² + p²) t}."""
    grid = ChannelGrid((8, 42, 8), (5.0, 2.0, 4.0))
    flow = ChannelFlow(grid, viscosity=0.1, pressure_gradient=None if drive is None else 0.0)
    a, b = 2 * math.pi / 5, 2 * 2 * math.pi / 4
    k = math.hypot(a, b)

    def mismatch(p: float) -> float:
        if even:
            return p * math.sin(p) * math.cosh(k) + k * math.sinh(k) * math.cos(p)
        return p * math.cos(p) * math.sinh(k) - k * math.cosh(k) * math.sin(p)

    low, high = (math.pi / 2, math.pi) if even else (math.pi, 1.5 * math.pi)
    for _ in range(80):
        middle = (low + high) / 2
        low, high = (middle, high) if mismatch(low) * mismatch(middle) > 0 else (low, middle)
    p = (low + high) / 2
    x, y, z = torch.meshgrid(*[torch.as_tensor(c) for c in grid.coordinates()], indexing="ij")
    y = y - 1
    if even:
        v = torch.cos(p * y) / math.cos(p) - torch.cosh(k * y) / math.cosh(k)
        slope = -p * torch.sin(p * y) / math.cos(p) - k * torch.sinh(k * y) / math.cosh(k)
    else:
        v = torch.sin(p * y) / math.sin(p) - torch.sinh(k * y) / math.sinh(k)
        slope = p * torch.cos(p * y) / math.sin(p) - k * torch.cosh(k * y) / math.sinh(k)
    phase = a * x + b * z
    along = -torch.sin(phase) * slope / k**2
    initial = 1e-12 * torch.stack([a * along, v * torch.cos(phase), b * along]).unsqueeze(0)
    spectrum = INTEGRATION.advance(flow, flow.to_spectral(initial), 0.7, steps=2)
    exact = initial * math.exp(-0.1 * (k**2 + p**2) * 0.7)
    assert (flow.to_physical(spectrum) - exact).abs().max() <= 1e-10 * exact.abs().max()


def test_a_flow_and_its_mirror_image_stay_mirror_images_and_translations_commute() -> None:
    flow = ChannelFlow(GRID, viscosity=0.02)
    velocity = flow.to_physical(flow.to_spectral(random_field(batch=1)))
    rate = flow.tendency(velocity)
    sign = torch.tensor([1.0, -1.0, 1.0], dtype=torch.float64).reshape(3, 1, 1, 1)
    assert (flow.tendency(sign * velocity.flip(-2)) - sign * rate.flip(-2)).abs().max() <= 1e-11
    moved = flow.tendency(velocity.roll((3, 5), dims=(-3, -1)))
    assert (moved - rate.roll((3, 5), dims=(-3, -1))).abs().max() <= 1e-11
    across = velocity[:, [2, 1, 0]].transpose(-1, -3)
    turned = ChannelFlow(ChannelGrid((12, 18, 8), (1.7, 2.0, 3.0)), viscosity=0.02)
    assert (turned.tendency(across) - rate[:, [2, 1, 0]].transpose(-1, -3)).abs().max() <= 1e-11


@pytest.mark.parametrize("pressure_gradient", DRIVES)
def test_gradients_of_the_tendency_and_of_a_step(pressure_gradient) -> None:
    grid = ChannelGrid((4, 6, 4), (3.0, 2.0, 1.7))
    flow = ChannelFlow(grid, viscosity=0.05, pressure_gradient=pressure_gradient)
    base, directions = random_field(grid, batch=1), random_field(grid, batch=4, seed=1)
    probe = random_field(grid, batch=3, seed=2)

    def tendency(amounts: torch.Tensor) -> torch.Tensor:
        velocity = base + (amounts.reshape(-1, 1, 1, 1, 1) * directions).sum(dim=0, keepdim=True)
        return (flow.tendency(velocity) * probe).sum(dim=(1, 2, 3, 4))

    def step(amounts: torch.Tensor) -> torch.Tensor:
        velocity = base + (amounts.reshape(-1, 1, 1, 1, 1) * directions).sum(dim=0, keepdim=True)
        spectrum = INTEGRATION.advance(flow, flow.to_spectral(velocity), 0.05, steps=2)
        return (flow.to_physical(spectrum) * probe).sum(dim=(1, 2, 3, 4))

    amounts = torch.tensor([0.3, -0.2, 0.5, 0.1], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(tendency, (amounts,), rtol=1e-6)
    assert torch.autograd.gradcheck(step, (amounts,), rtol=1e-6)


def test_batch_members_do_not_influence_each_other() -> None:
    flow = ChannelFlow(GRID, viscosity=0.02)
    spectrum = flow.to_spectral(random_field(batch=3))
    together = INTEGRATION.advance(flow, spectrum, 0.02, steps=2)
    alone = torch.cat([INTEGRATION.advance(flow, part, 0.02, steps=2) for part in spectrum.split(1)])
    assert torch.allclose(together, alone, atol=1e-15)


def test_single_precision_follows_double_precision() -> None:
    double, single = (ChannelFlow(GRID, viscosity=0.02, dtype=dtype) for dtype in (torch.float64, torch.float32))
    spectrum = double.to_spectral(random_field())
    expected = INTEGRATION.advance(double, spectrum, 0.1, steps=10)
    computed = INTEGRATION.advance(single, spectrum.to(torch.complex64), 0.1, steps=10)
    assert computed.dtype == torch.complex64
    assert (computed - expected).abs().max() <= 1e-5 * expected.abs().max()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"viscosity": 0.0}, "the viscosity must be positive; got 0.0"),
        ({"viscosity": math.nan}, "the viscosity must be positive; got nan"),
        ({"viscosity": 1.0, "pressure_gradient": math.inf}, "or None for constant mass flux; got inf"),
    ],
)
def test_bad_arguments_are_refused_with_the_reason(arguments, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ChannelFlow(GRID, **arguments)


def test_a_field_of_another_grid_is_refused() -> None:
    flow = ChannelFlow(GRID, viscosity=0.02)
    with pytest.raises(
        ValueError, match=r"expected a velocity of shape \(batch, 3, 8, 18, 12\), found \(2, 3, 8, 16, 12\)"
    ):
        flow.to_spectral(torch.zeros((2, 3, 8, 16, 12), dtype=torch.float64))
