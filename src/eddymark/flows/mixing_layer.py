"""The temporally evolving turbulent mixing layer, with its mirror image in one periodic box."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from eddymark.config.schema import InitialState, MeanFlow
from eddymark.flows.base import Flow, Scales, reflect
from eddymark.grid import Grid, SpectralSpace

CENTRES = (0.25, 0.75)
"""Where the layers are, in units of the cross-stream side."""
_IMAGES = 3
"""Periodic images of the layers on either side that are added up."""


class MixingLayer(Flow):
    """Two streams of velocity ±ΔU/2 along x, sheared in y, homogeneous in x and z; nothing drives them.

        ū(y) = ΔU/2 [tanh(s₁ / 2δ) − tanh(s₂ / 2δ) − 1],    s₁ = y − L_y/4,    s₂ = y − 3L_y/4

    and its periodic images; δ is the momentum thickness, 4δ the vorticity thickness. The second layer is the mirror
    image of the first. So the flow is periodic in all directions by itself: a fringe would add a damping to the
    equations that DNS, LES and surrogates would have to share. And each run holds two layers to average over. They
    evolve independently until their turbulent parts, which are about 12 δ wide, meet halfway, L_y/4 from the centres.

    Axes: x streamwise, y cross-stream, z spanwise. The equations are unchanged under every translation and reflection;
    those which leave the statistics unchanged, too, are translations in x and z, y → −y, z → −z, and x → −x together
    with a translation in y by half a side.

    Source: Rogers & Moser (1994), Phys. Fluids 6, 903 (definitions); Vreman, Geurts & Kuerten (1997), J. Fluid Mech.
    339, 357 (the flow as a test of subgrid-scale models).
    """

    def initial_spectrum(self, space: SpectralSpace, random: np.random.Generator) -> Tensor:
        """Return the two layers with a random solenoidal perturbation, `(3, *modes)`."""
        state = self.configuration.initial_state
        assert state is not None
        assert state.mean_flow is not None
        grid, mean_flow = space.grid, state.mean_flow
        layers = torch.zeros((3, *grid.points), dtype=space.dtype, device=space.device)
        layers[0] = mean_velocity(_cross_stream(grid), side=grid.sides[1], mean_flow=mean_flow).reshape(1, -1, 1)
        return space.to_spectral(layers) + perturbation(space, random, state)

    def scales(self, space: SpectralSpace, spectrum: Tensor) -> Scales:
        """Return the scales at the centres of the layers, of the fluctuations about the mean over planes y = const.

        The integral length is the momentum thickness, averaged over the layers; the turnover time is the clock
        of the flow, 4 δ / ΔU with the initial δ. The smallest scales are resolved worst in these planes.
        """
        state = self.configuration.initial_state
        assert state is not None
        assert state.mean_flow is not None
        mean_flow, grid, viscosity = state.mean_flow, space.grid, self.configuration.viscosity
        centres = [round(fraction * grid.points[1]) for fraction in CENTRES]
        velocity, vorticity = (space.to_physical(field) for field in (spectrum, space.vorticity(spectrum)))
        energy, enstrophy = (
            0.5 * float(_fluctuation(field)[..., centres, :].double().square().sum(dim=1).mean())
            for field in (velocity, vorticity)
        )
        mean = velocity[:, 0].double().mean(dim=(1, 3))
        deficit = 0.25 - (mean / mean_flow.velocity_difference) ** 2
        rms, dissipation = math.sqrt(2 * energy / 3), 2 * viscosity * enstrophy
        # A layer without any perturbation has no smallest scale.
        kolmogorov = (viscosity**3 / dissipation) ** 0.25 if dissipation > 0 else math.inf
        taylor = rms * math.sqrt(15 * viscosity / dissipation) if dissipation > 0 else 0.0
        return Scales(
            energy=energy,
            root_mean_square_velocity=rms,
            integral_length=float(deficit.mean()) * grid.sides[1] / len(CENTRES),
            turnover_time=4 * mean_flow.momentum_thickness / mean_flow.velocity_difference,
            dissipation=dissipation,
            taylor_reynolds_number=rms * taylor / viscosity,
            resolution=grid.resolved_shells * grid.lowest_wavenumber * kolmogorov,
        )

    def transform(self, window: Tensor, random: np.random.Generator, *, shifts: bool, symmetries: bool) -> Tensor:
        """Return a window `(..., 3, x, y, z)` under a random transformation which leaves equations and statistics."""
        if symmetries:
            for axis in (1, 2):
                if random.integers(2):
                    window = reflect(window, axis, 3)
            if random.integers(2):
                window = reflect(window, 0, 3).roll(window.shape[-2] // 2, -2)
        if shifts:
            window = window.roll([int(random.integers(window.shape[axis])) for axis in (-3, -1)], (-3, -1))
        return window


def mean_velocity(y: Tensor, *, side: float, mean_flow: MeanFlow) -> Tensor:
    """Return ū(y) of two layers at a quarter and at three quarters of a periodic side, `(y,)`.

    Arguments:
        y: cross-stream coordinate, `(y,)`.
        side: L_y.
        mean_flow: velocity difference and momentum thickness.
    """
    total = torch.full_like(y, -1.0)
    for sign, fraction in zip((1, -1), CENTRES, strict=True):
        for image in range(-_IMAGES, _IMAGES + 1):
            distance = y - (fraction + image) * side
            total = total + sign * torch.tanh(distance / (2 * mean_flow.momentum_thickness))
    return mean_flow.velocity_difference / 2 * total


def perturbation(space: SpectralSpace, random: np.random.Generator, state: InitialState) -> Tensor:
    """Return the spectrum of u' = ∇ × (g(y) a), solenoidal and confined to the layers, `(3, *modes)`.

    a is the vector potential of noise with E(k) ∝ k⁴ exp(−2 (k / k_p)²), and g is a Gaussian about each layer whose
    standard deviation is the vorticity thickness. The kinetic energy in the planes at the centres is that of the state.

    Arguments:
        space: spectral space.
        random: stream of the noise.
        state: energy, peak wavenumber and mean flow.
    """
    assert state.energy is not None
    assert state.peak_wavenumber is not None
    assert state.mean_flow is not None
    grid = space.grid
    noise = torch.as_tensor(random.standard_normal((3, *grid.points)))
    white = space.project(space.to_spectral(noise.to(space.dtype).to(space.device)))
    # The spectrum of white noise is k², which leaves k² for the square of the factor.
    squared, peak = space.wavenumber_squared, state.peak_wavenumber * grid.lowest_wavenumber
    shaped = white * (squared.sqrt() * torch.exp(-squared / peak**2))
    potential = space.vorticity(shaped) * space.inverse_wavenumber_squared
    y, width = _cross_stream(grid), 4 * state.mean_flow.momentum_thickness
    envelope = torch.zeros_like(y)
    for fraction in CENTRES:
        for image in range(-_IMAGES, _IMAGES + 1):
            envelope += torch.exp(-(((y - (fraction + image) * grid.sides[1]) / width) ** 2) / 2)
    window = envelope.reshape(1, -1, 1).to(space.dtype).to(space.device)
    confined = space.vorticity(space.to_spectral(window * space.to_physical(potential)))
    centres = [round(fraction * grid.points[1]) for fraction in CENTRES]
    present = 0.5 * space.to_physical(confined)[:, :, centres].square().sum(dim=0).mean()
    return confined * torch.sqrt(state.energy / present)


def _cross_stream(grid: Grid) -> Tensor:
    return torch.as_tensor(grid.coordinates()[1], dtype=torch.float64)


def _fluctuation(field: Tensor) -> Tensor:
    """Return a field `(batch, component, x, y, z)` less its mean over planes y = const."""
    return field - field.mean(dim=(-3, -1), keepdim=True)
