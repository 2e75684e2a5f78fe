"""Incompressible Navier–Stokes equations between two walls: one right-hand side for DNS, LES, losses and hybrids."""

from __future__ import annotations

import math
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from eddymark.solvers.channel.grid import ChannelGrid
from eddymark.solvers.channel.resolved import ResolvedChannelVelocity, combined
from eddymark.solvers.channel.space import ChannelSpace
from eddymark.solvers.channel.stokes_modes import StokesModes
from eddymark.solvers.resolved import products

if TYPE_CHECKING:
    from eddymark.closures.channel import ChannelClosure


class ChannelFlow:
    """Galerkin discretisation in Stokes modes, with the nonlinear term at quadrature points.

        ⟨φ, ∂u/∂t⟩ = ⟨∂_j φ_i, u_i u_j + τ_ij⟩ − ν ⟨∂_j φ_i, ∂_j u_i⟩ + ⟨φ_x, G⟩

    for every solenoidal φ without slip. The pressure and isotropic stresses do no work on such φ and are not there;
    at the walls φ vanishes, so that nothing is left of the partial integration. On a dealiased grid the flux is
    integrated exactly and does no net work.

    The flow is driven by a given pressure gradient or at constant mass flux, the one of the state: φ then carries no
    flux, which eliminates G. The spanwise flux is constant in the same way, or free.

    Arguments:
        grid: the channel.
        viscosity: ν.
        pressure_gradient: G = −(1/ρ) dp/dx, u_τ² / h in a statistically steady flow; None for constant mass flux.
        dtype: real precision.
        device: where the arrays live.

    Raises:
        ValueError: if the viscosity is not positive, or G is not finite.

    Source: Canuto, Hussaini, Quarteroni & Zang, Spectral Methods in Fluid Dynamics (1988), Ch. 7; Moser, Moin & Leonard
    (1983), J. Comput. Phys. 52, 524 (Galerkin's method with solenoidal functions).
    """

    def __init__(
        self,
        grid: ChannelGrid,
        *,
        viscosity: float,
        pressure_gradient: float | None = None,
        dtype: torch.dtype = torch.float64,
        device: torch.device | str = "cpu",
    ) -> None:
        if not (viscosity > 0 and math.isfinite(viscosity)):
            raise ValueError(f"the viscosity must be positive; got {viscosity}")
        if pressure_gradient is not None and not math.isfinite(pressure_gradient):
            raise ValueError(
                f"the pressure gradient must be a number, or None for constant mass flux; got {pressure_gradient}"
            )
        self.grid = grid
        self.viscosity = viscosity
        self.pressure_gradient = pressure_gradient
        self.space = ChannelSpace(grid, dtype=dtype, device=device)
        self.modes = StokesModes(self.space, constant_flux=pressure_gradient is None)

    def to_spectral(self, velocity: Tensor) -> Tensor:
        """Return the amplitudes `(batch, 2, *modes)` of the solenoidal velocity without slip closest to a given one.

        Arguments:
            velocity: u, `(batch, 3, x, y, z)`.

        Raises:
            ValueError: if the shape is not that of the grid.
        """
        if velocity.dim() != 5 or tuple(velocity.shape[1:]) != (3, *self.grid.points):
            wanted = ", ".join(map(str, (3, *self.grid.points)))
            raise ValueError(f"expected a velocity of shape (batch, {wanted}), found {tuple(velocity.shape)}")
        return self.project(self.space.to_spectral(velocity))

    def project(self, velocity: Tensor) -> Tensor:
        """Return the same of a velocity's plane spectrum, `(batch, 3, x mode, y, z mode)`."""
        space = self.space
        u, v, w = velocity.unbind(1)
        across = _with_mean(-combined(space.across, u, w), u, w)
        return self.modes.project([v, -combined(space.along, u, w)], [across])

    def to_physical(self, spectrum: Tensor) -> Tensor:
        """Return u at the grid points, `(batch, 3, x, y, z)`, of amplitudes `(batch, 2, *modes)`."""
        return self.resolved(spectrum).velocity

    def resolved(self, spectrum: Tensor) -> ResolvedChannelVelocity:
        """Return a state with what is derived of it."""
        return ResolvedChannelVelocity(self.modes, spectrum)

    @cached_property
    def linear_rate(self) -> Tensor:
        """Rate of change per mode of the linear term, −ν λ, `(2, *modes)`."""
        return -self.viscosity * self.modes.damping

    def nonlinear(self, spectrum: Tensor, closure: ChannelClosure | None = None) -> Tensor:
        """Return everything but the linear term, `(batch, 2, *modes)`, of amplitudes `(batch, 2, *modes)`."""
        resolved = self.resolved(spectrum)
        coefficient = closure.coefficient(resolved) if closure is not None else None
        return self.nonlinear_of(resolved, closure, coefficient)

    def nonlinear_of(
        self, resolved: ResolvedChannelVelocity, closure: ChannelClosure | None, coefficient: Tensor | None
    ) -> Tensor:
        """Return everything but the linear term, `(batch, 2, *modes)`.

        Arguments:
            resolved: the state; what has been computed of it already is not computed again.
            closure: subgrid-scale model.
            coefficient: what `closure.coefficient` gave for this time step.
        """
        return self._driven(self.flux_work(_flux(resolved, closure, coefficient)), resolved.spectrum)

    def flux_work(self, flux: Tensor) -> Tensor:
        """Return ⟨∂_j φ_i, F_ij⟩ for every mode φ, `(batch, 2, *modes)`: the solenoidal part of −∂_j F_ij.

        Arguments:
            flux: F_ij, reduced, `(batch, 5, x, y, z)`.
        """
        space = self.space
        xx, xy, xz, yy, yz = space.to_spectral(flux).unbind(1)
        shear = -combined((space.i_x, space.i_z), xy, yz)
        normal = yy + combined(space.normal_stress, xx, xz)
        across = _with_mean(-combined(space.across, xy, yz), xy, yz)
        curvature = space.inverse_squared * shear
        return self.modes.project([shear, normal, curvature], [combined(space.twist, xx, xz), across])

    def _driven(self, rate: Tensor, spectrum: Tensor) -> Tensor:
        """Return a rate with what drives the mean flow, in place."""
        mean = rate[:, 1, 0, :, 0]
        if self.pressure_gradient is not None:
            rate[:, 1, 0, :, 0] = mean + self._force
        else:
            assert self.modes.coupling is not None
            carried = self.viscosity * self.modes.coupling * spectrum[:, 1, 0, :1, 0]
            rate[:, 1, 0, :, 0] = self._free * (mean - carried)
        return rate

    @cached_property
    def _force(self) -> Tensor:
        """⟨φ_x, G⟩ of the mean flow's modes, `(y mode,)`."""
        assert self.pressure_gradient is not None
        return self.space.tensor(self.pressure_gradient * self.modes.flux)

    @cached_property
    def _free(self) -> Tensor:
        """1 for modes of the mean flow that carry no flux, 0 for the one that does, `(y mode,)`."""
        free = torch.ones(self.modes.count, dtype=self.space.dtype, device=self.space.device)
        free[0] = 0
        return free

    def driving_gradient(self, spectrum: Tensor, closure: ChannelClosure | None = None) -> Tensor:
        """Return the pressure gradient G which drives the flow at this moment, `(batch,)`.

        At constant flux it balances the mode f that carries all of it: ⟨f⟩ G = ν ⟨f' U'⟩ − ⟨f', u v + τ_xy⟩.

        Arguments:
            spectrum: amplitudes, `(batch, 2, *modes)`.
            closure: subgrid-scale model.
        """
        if self.pressure_gradient is not None:
            return spectrum.real.new_full(spectrum.shape[:1], self.pressure_gradient)
        assert self.modes.coupling is not None
        resolved = self.resolved(spectrum)
        coefficient = closure.coefficient(resolved) if closure is not None else None
        work = self.flux_work(_flux(resolved, closure, coefficient))[:, 1, 0, 0, 0].real
        friction = self.viscosity * (spectrum[:, 1, 0, :, 0].real @ self.modes.coupling)
        return (friction - work) / float(np.linalg.norm(self.modes.flux))

    def tendency(self, velocity: Tensor, closure: ChannelClosure | None = None) -> Tensor:
        """Return ∂u/∂t at the grid points; differentiable.

        Arguments:
            velocity: u, `(batch, 3, x, y, z)`; what of it slips or diverges has no part in it.
            closure: subgrid-scale model; None for DNS.

        Returns:
            ∂u/∂t, `(batch, 3, x, y, z)`.
        """
        spectrum = self.to_spectral(velocity)
        return self.to_physical(self.nonlinear(spectrum, closure) + self.linear_rate * spectrum)

    def courant_rate(self, velocity: Tensor) -> Tensor:
        """Return the Courant number per unit of time step of each trajectory, max Σ_i |u_i| k_i, `(batch,)`.

        k_x and k_z are the highest wavenumbers; k_y = π / Δ_y is that of the highest polynomial at each y.

        Arguments:
            velocity: u, `(batch, 3, x, y, z)`.
        """
        x, y, z = self.grid.widths()
        speeds = velocity.detach().abs()
        across = self.space.tensor(math.pi / y)[:, None]
        total = speeds[:, 0] * (math.pi / x) + speeds[:, 1] * across + speeds[:, 2] * (math.pi / z)
        return total.flatten(1).amax(dim=1)

    def kinetic_energy(self, spectrum: Tensor) -> Tensor:
        """Return ½ ⟨u_i u_i⟩, the average over the channel, `(batch,)`."""
        power = (spectrum.real**2 + spectrum.imag**2).sum(dim=(1, 2, 3))
        return 0.5 * (power @ self.space.multiplicity)

    def dissipation(self, spectrum: Tensor) -> Tensor:
        """Return ν ⟨∂_j u_i ∂_j u_i⟩, the average over the channel, `(batch,)`."""
        rows = self.resolved(spectrum).gradient
        return self.viscosity * _sum_of_averages(self.space, rows)

    def bulk_velocity(self, spectrum: Tensor) -> Tensor:
        """Return the averages of streamwise and spanwise velocity over the channel, `(batch, 2)`."""
        (profile,) = self.modes.vorticity_profiles(spectrum[:, :, :1, :, :1], 1)
        return self.space.height_average(torch.view_as_real(profile[:, 0, :, 0]).movedim(1, -1))

    def wall_shear(self, spectrum: Tensor) -> Tensor:
        """Return ν |∂U/∂y| towards the channel at the lower and the upper wall, `(batch, 2)`: u_τ² of each."""
        slopes = self.modes.mean_slope_at_walls(spectrum)
        return self.viscosity * slopes * slopes.new_tensor([1.0, -1.0])


def _flux(resolved: ResolvedChannelVelocity, closure: ChannelClosure | None, coefficient: Tensor | None) -> Tensor:
    return products(resolved.velocity) if closure is None else closure.flux(resolved, coefficient)


def _with_mean(values: Tensor, first: Tensor, second: Tensor) -> Tensor:
    """Return plane spectra whose mean is that of a first field, plus i times that of a second one."""
    values[..., 0, :, 0] = first[..., 0, :, 0] + 1j * second[..., 0, :, 0]
    return values


def _sum_of_averages(space: ChannelSpace, rows: list[list[Tensor]]) -> Tensor:
    return torch.stack([space.volume_average(entry.square()) for row in rows for entry in row]).sum(dim=0)
