"""The mixing layer's initial state, symmetries and turbulent growth."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
import torch
from torch import Tensor

from eddymark.config.checks import check_flow
from eddymark.config.schema import MeanFlow
from eddymark.flows.base import Flow
from eddymark.flows.mixing_layer import mean_velocity, perturbation
from eddymark.grid import Grid, SpectralSpace
from eddymark.solvers.time_integration import TimeIntegration
from eddymark.statistics import profiles
from tests.flows.test_flows import flow

STATE = {
    "energy": 0.01,
    "peak_wavenumber": 5.0,
    "mean_flow": {"velocity_difference": 2.0, "momentum_thickness": 0.16},
}


@pytest.fixture(scope="module")
def layer() -> Flow:
    numerics = {"points": [64, 64, 32], "precision": "float32"}
    return flow("mixing_layer", viscosity=0.01, initial_state=STATE, direct_numerical_simulation=numerics)


def test_initial_state_is_a_confined_solenoidal_perturbation_of_the_mean_profile(layer: Flow) -> None:
    space = SpectralSpace(layer.fine_grid)
    state = layer.initial_spectrum(space, np.random.default_rng(0))
    assert space.divergence(state).abs().max() < 1e-13
    y = torch.as_tensor(space.grid.coordinates()[1])
    mean = mean_velocity(y, side=space.grid.sides[1], mean_flow=MeanFlow(**STATE["mean_flow"]))
    assert float(mean.mean().abs()) < 1e-14
    assert (float(mean[0]), float(mean[32]), float(mean[16])) == pytest.approx((-1.0, 1.0, 0.0), abs=1e-7)
    random = space.to_physical(perturbation(space, np.random.default_rng(0), layer.configuration.initial_state))
    laminar = space.to_physical(state) - random
    assert torch.allclose(laminar[0], mean.reshape(1, -1, 1).expand(space.grid.points), atol=0.01)
    assert laminar[1:].abs().max() < 1e-12
    energy = 0.5 * random.square().sum(dim=0).mean(dim=(0, 2))
    assert float(energy[[16, 48]].mean()) == pytest.approx(0.01)
    assert float(energy[[0, 32]].max()) < 1e-4


def test_runs_differ_in_their_perturbation_alone(layer: Flow) -> None:
    space = SpectralSpace(layer.coarse_grid)
    first, second = (layer.initial_spectrum(space, np.random.default_rng(seed)) for seed in (0, 1))
    assert torch.allclose(first[:, 0, 0, 0], second[:, 0, 0, 0])
    assert not torch.allclose(first, second, atol=1e-3)


@pytest.mark.parametrize("seed", range(8))
def test_symmetries_leave_the_mean_profile_and_the_sign_of_the_shear_stress(layer: Flow, seed: int) -> None:
    """A window under a transformation has layers at the same places, with the same mean and −⟨u'v'⟩ ∂ū/∂y."""
    space = SpectralSpace(layer.coarse_grid)
    field = space.to_physical(layer.initial_spectrum(space, np.random.default_rng(0)))
    changed = layer.transform(field, np.random.default_rng(seed), shifts=True, symmetries=True)
    assert torch.allclose(_sorted_layers(changed), _sorted_layers(field), atol=1e-12)


@pytest.mark.parametrize("seed", range(4))
def test_equations_do_not_change_under_the_symmetries(layer: Flow, seed: int) -> None:
    solver = layer.solver(layer.coarse_grid, dtype=torch.float64)
    velocity = solver.space.to_physical(layer.initial_spectrum(solver.space, np.random.default_rng(1)).unsqueeze(0))

    def transform(field: Tensor) -> Tensor:
        return layer.transform(field, np.random.default_rng(seed), shifts=True, symmetries=True)

    tendency = solver.tendency(velocity)
    changed = solver.tendency(transform(velocity))
    assert torch.allclose(changed, transform(tendency), atol=1e-11 * float(tendency.abs().max()))


def test_the_state_says_where_the_layers_are(layer: Flow) -> None:
    """Nothing drives the flow, so that operators need no other input."""
    assert layer.static_fields(SpectralSpace(layer.coarse_grid)).shape == (0, 24, 24, 14)


def test_scales_are_those_of_the_layers(layer: Flow) -> None:
    space = SpectralSpace(layer.fine_grid)
    scales = layer.scales(space, layer.initial_spectrum(space, np.random.default_rng(0)).unsqueeze(0))
    assert scales.energy == pytest.approx(0.01, rel=0.05)  # the mean over planes belongs to the mean flow
    assert scales.integral_length == pytest.approx(0.16, rel=0.05)
    assert scales.turnover_time == pytest.approx(4 * 0.16 / 2)
    laminar = flow("mixing_layer", initial_state=STATE | {"energy": 1e-12})
    still = laminar.scales(space, laminar.initial_spectrum(space, np.random.default_rng(0)).unsqueeze(0))
    assert still.integral_length == pytest.approx(0.16, rel=1e-3)
    assert still.resolution > 50 * scales.resolution


@pytest.mark.parametrize(
    ("name", "changes", "message"),
    [
        ("mixing_layer", {"mean_flow": None}, "initial_state.mean_flow: expected a value"),
        ("mixing_layer", {"mean_flow": {"velocity_difference": 2.0, "momentum_thickness": 0.05}}, "between 0.0714 "),
        ("mixing_layer", {"mean_flow": {"velocity_difference": 2.0, "momentum_thickness": 0.3}}, "and 0.262 "),
        ("decaying_isotropic", {"mean_flow": STATE["mean_flow"]}, "initial_state.mean_flow: expected no such key"),
    ],
)
def test_impossible_mean_flows_are_refused(name: str, changes: dict[str, object], message: str) -> None:
    configuration = flow(name).configuration
    state = {**configuration.initial_state.model_dump(), **changes}
    changed = configuration.model_validate(configuration.model_dump() | {"initial_state": state})
    found = [f"{'.'.join(problem.path)}: expected {problem.expected}" for problem in check_flow(name, changed)]
    assert len(found) == 1
    assert message in found[0]


def _sorted_layers(field: Tensor) -> Tensor:
    """Return stresses and |ū| of both layers, in ascending order: what is left if layers swap and turn."""
    stress = profiles.reynolds_stress(field).transpose(0, 1)
    return torch.cat([stress, profiles.mean_velocity(field).abs().unsqueeze(0)]).flatten(1).sort().values


@dataclass(frozen=True)
class Evolution:
    """Runs at equal times: `time (time,)`, velocity `(run, time, 3, x, y, z)`."""

    time: np.ndarray
    velocity: Tensor
    grid: Grid
    viscosity: float

    @property
    def mean(self) -> Tensor:
        return profiles.mean_velocity(self.velocity)

    @property
    def thickness(self) -> np.ndarray:
        """Momentum thickness `(run, time, layer)`."""
        return profiles.momentum_thickness(self.mean, velocity_difference=2.0, spacing=self.grid.spacing[1]).numpy()


@pytest.fixture(scope="module")
def evolution(layer: Flow) -> Evolution:
    """Four runs from the laminar layer to turbulence."""
    solver = layer.solver(layer.fine_grid, dtype=torch.float32)
    states = [layer.initial_spectrum(solver.space, np.random.default_rng(seed)) for seed in range(4)]
    spectrum, interval = torch.stack(states), 0.32
    integration = TimeIntegration("runge_kutta_4", 2.5)
    outputs = [solver.space.to_physical(spectrum)]
    with torch.inference_mode():
        for _ in range(28):
            steps = integration.steps(solver.courant_rate(outputs[-1]), interval)
            spectrum = integration.advance(solver, spectrum, interval, steps=steps)
            outputs.append(solver.space.to_physical(spectrum))
    return Evolution(interval * np.arange(29), torch.stack(outputs, dim=1).double(), solver.grid, solver.viscosity)


def test_momentum_is_conserved(evolution: Evolution) -> None:
    total = evolution.velocity.mean(dim=(3, 4, 5))
    assert (total - total[:, :1]).abs().max() < 1e-6


def test_growth_of_the_momentum_thickness_is_production_and_diffusion(evolution: Evolution) -> None:
    """dδ/dt = 2/ΔU² ∫ (−⟨u'v'⟩ ∂ū/∂y + ν (∂ū/∂y)²) dy over both layers, from the momentum equation."""
    spacing = evolution.grid.spacing[1]
    mean = evolution.velocity[:, :, 0].mean(dim=(2, 4))
    fluctuation = evolution.velocity - evolution.velocity.mean(dim=(3, 5), keepdim=True)
    shear = (fluctuation[:, :, 0] * fluctuation[:, :, 1]).mean(dim=(2, 4))
    wavenumber = 2 * torch.pi * torch.fft.rfftfreq(mean.shape[-1], spacing, dtype=torch.float64)
    gradient = torch.fft.irfft(1j * wavenumber * torch.fft.rfft(mean), n=mean.shape[-1])
    rate = (2 / 4 * (-shear * gradient + evolution.viscosity * gradient**2)).sum(dim=-1) * spacing
    thickness = (0.25 - (mean / 2) ** 2).sum(dim=-1) * spacing
    gained = (thickness[:, -1] - thickness[:, 0]).numpy()
    assert np.trapezoid(rate.numpy(), evolution.time, axis=1) == pytest.approx(gained, rel=2e-3)


def test_mirrored_layers_are_statistically_alike(evolution: Evolution) -> None:
    """The difference of the layers' thickness, averaged over the turbulent half of all runs, is within its error."""
    late = evolution.thickness[:, 14:].mean(axis=1)
    difference = late[:, 0] - late[:, 1]
    assert abs(difference.mean()) < 3 * difference.std(ddof=1) / 2
    # Mirror images of each other they are not: their perturbations differ.
    assert difference.std() > 0.01 * late.mean()


def test_the_layer_rolls_up_and_becomes_turbulent(evolution: Evolution) -> None:
    """Growth rate and peak stresses are those of turbulent mixing layers, as far as so low a Reynolds number goes.

    In self-similar layers dδ/dt is 0.014 to 0.018 ΔU and the rms velocities are about 0.16, 0.13 and 0.14 ΔU (Rogers &
    Moser 1994 and the experiments that they compare with).
    """
    thickness = evolution.thickness.mean(axis=(0, 2))
    late = evolution.time > 4.5
    slope, intercept = np.polyfit(evolution.time[late], thickness[late], 1)
    assert 0.012 < slope / 2 < 0.022
    fitted = slope * evolution.time[late] + intercept
    assert np.abs(fitted / thickness[late] - 1).max() < 0.02
    stress = profiles.reynolds_stress(evolution.velocity[:, -5:]).mean(dim=(0, 1, 2)) / 4
    peaks = stress[:3].amax(dim=-1).sqrt()
    assert 0.13 < float(peaks[0]) < 0.22
    assert 0.08 < float(peaks[1]) < 0.18
    assert 0.08 < float(peaks[2]) < 0.18
    # Production is positive: momentum is carried down its gradient.
    assert -0.022 < float(stress[3].min()) < -0.008
    assert float(stress[3].max()) < 0.001
