"""Subgrid-scale models between walls: the eddy viscosities of this folder with widths that vary along y."""

from __future__ import annotations

from abc import abstractmethod
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn

from eddymark.closures.base import safe_square_root, strain_rate_magnitude
from eddymark.closures.vreman import vreman_rate
from eddymark.closures.wale import wale_rate
from eddymark.solvers.channel.resolved import ResolvedChannelVelocity
from eddymark.solvers.channel.space import ChannelSpace
from eddymark.solvers.channel.stokes_modes import StokesModes
from eddymark.solvers.resolved import contract, products, reduce_symmetric, symmetric_pairs


class ChannelClosure(nn.Module):
    """Base of subgrid-scale models in a channel.

    A model gives the resolved and the subgrid-scale flux together at the grid points, reduced
    (`eddymark.solvers.resolved`). Its widths are those of what the LES resolves at each y (`ChannelGrid.widths`).

    Arguments:
        space: Fourier modes of the LES along the walls.
    """

    def __init__(self, *, space: ChannelSpace) -> None:
        super().__init__()
        self.register_buffer("filter_width", space.tensor(space.grid.filter_width())[:, None], persistent=False)
        self.filter_width: Tensor
        """Δ = (Δ_x Δ_y Δ_z)^⅓ at each y, `(y, 1)`."""

    def coefficient(self, resolved: ResolvedChannelVelocity) -> Tensor | None:
        """Return what is computed from the flow once per time step and held during its stages (None: nothing)."""
        return None

    @abstractmethod
    def flux(self, resolved: ResolvedChannelVelocity, coefficient: Tensor | None) -> Tensor:
        """Return u_i u_j + τ_ij, reduced, `(batch, 5, x, y, z)`."""

    def modelled_stress(self, resolved: ResolvedChannelVelocity) -> Tensor:
        """Return τ_ij, reduced, `(batch, 5, x, y, z)`."""
        return self.flux(resolved, self.coefficient(resolved)) - products(resolved.velocity)


class ChannelEddyViscosity(ChannelClosure):
    """Base of models with τ_ij = −2 ν_e S_ij."""

    @abstractmethod
    def eddy_viscosity(self, resolved: ResolvedChannelVelocity, coefficient: Tensor | None) -> Tensor:
        """Return ν_e, `(batch, x, y, z)`."""

    def flux(self, resolved: ResolvedChannelVelocity, coefficient: Tensor | None) -> Tensor:
        """Return u_i u_j + τ_ij, reduced, `(batch, 5, x, y, z)`."""
        viscosity = self.eddy_viscosity(resolved, coefficient).unsqueeze(1)
        return products(resolved.velocity).addcmul_(viscosity, resolved.strain_rate, value=-2)


class DampedSmagorinsky(ChannelEddyViscosity):
    """Smagorinsky's model with van Driest's damping at the walls.

        ν_e = (C_s Δ D)² |S|,    D = 1 − exp(−y⁺ / A⁺),    y⁺ = u_τ y_w / ν

    with the distance y_w of the nearest wall and the u_τ² = ν |∂U/∂y| of that wall at this moment.

    Arguments:
        space: Fourier modes of the LES along the walls.
        viscosity: ν.
        smagorinsky_constant: C_s (not its square); 0.1 is Deardorff's value in shear flows.
        damping_length: A⁺.

    Source: Smagorinsky (1963), Mon. Weather Rev. 91, 99; van Driest (1956), J. Aeronaut. Sci. 23, 1007; A⁺ = 25 as in
    Moin & Kim (1982), J. Fluid Mech. 118, 341.
    """

    def __init__(
        self,
        *,
        space: ChannelSpace,
        viscosity: float,
        smagorinsky_constant: float = 0.1,
        damping_length: float = 25.0,
    ) -> None:
        super().__init__(space=space)
        self.viscosity = viscosity
        self.smagorinsky_constant = smagorinsky_constant
        self.damping_length = damping_length
        y = torch.as_tensor(space.grid.coordinates()[1])
        nearest = torch.minimum(y, space.grid.sides[1] - y)
        self.register_buffer("wall_distance", space.tensor(nearest.numpy()), persistent=False)
        self.wall_distance: Tensor

    def coefficient(self, resolved: ResolvedChannelVelocity) -> Tensor:
        """Return D of both halves of the channel, `(batch, 1, y, 1)`."""
        shear = self.viscosity * resolved.modes.mean_slope_at_walls(resolved.spectrum).abs()
        velocity = safe_square_root(shear)
        upper = torch.arange(len(self.wall_distance), device=shear.device) >= len(self.wall_distance) / 2
        of_wall = torch.where(upper, velocity[:, 1:], velocity[:, :1])
        damping = -torch.expm1(-of_wall * self.wall_distance / (self.viscosity * self.damping_length))
        return damping[:, None, :, None]

    def eddy_viscosity(self, resolved: ResolvedChannelVelocity, coefficient: Tensor | None) -> Tensor:
        """Return ν_e, `(batch, x, y, z)`."""
        assert coefficient is not None, "the solver computes the coefficient first"
        length = self.smagorinsky_constant * self.filter_width * coefficient
        return length.square() * strain_rate_magnitude(resolved.strain_rate)


class ChannelWale(ChannelEddyViscosity):
    """WALE, whose eddy viscosity falls to zero with the third power of the distance of a wall.

    ν_e = (C_w Δ)² (S^d_ij S^d_ij)^{3/2} / [(S_ij S_ij)^{5/2} + (S^d_ij S^d_ij)^{5/4}]: `eddymark.closures.wale`.

    Arguments:
        space: Fourier modes of the LES along the walls.
        wale_constant: C_w.

    Source: Nicoud & Ducros (1999), Flow Turbul. Combust. 62, 183, Eqs. 10–13.
    """

    def __init__(self, *, space: ChannelSpace, wale_constant: float = 0.5) -> None:
        super().__init__(space=space)
        self.wale_constant = wale_constant

    def eddy_viscosity(self, resolved: ResolvedChannelVelocity, coefficient: Tensor | None) -> Tensor:
        """Return ν_e, `(batch, x, y, z)`."""
        return (self.wale_constant * self.filter_width).square() * wale_rate(resolved.gradient)


class ChannelVreman(ChannelEddyViscosity):
    """Vreman's model with the three widths of the grid at each y: `eddymark.closures.vreman`.

    Arguments:
        space: Fourier modes of the LES along the walls.
        vreman_constant: c ≈ 2.5 C_s²; 0.07 corresponds to C_s = 0.17, 0.025 to 0.1.

    Source: Vreman (2004), Phys. Fluids 16, 3670, Eqs. 5–8; c = 0.07 there also in a channel.
    """

    def __init__(self, *, space: ChannelSpace, vreman_constant: float = 0.07) -> None:
        super().__init__(space=space)
        self.vreman_constant = vreman_constant
        x, y, z = space.grid.widths()
        widths = np.stack([np.full_like(y, x), y, np.full_like(y, z)], axis=1)
        self.register_buffer("widths", space.tensor(widths)[..., None], persistent=False)
        self.widths: Tensor

    def eddy_viscosity(self, resolved: ResolvedChannelVelocity, coefficient: Tensor | None) -> Tensor:
        """Return ν_e, `(batch, x, y, z)`."""
        relative = (self.widths / self.filter_width.unsqueeze(1)).unbind(1)
        # One width per y, which multiplies fields as a number does.
        rate = vreman_rate(resolved.gradient, cast(tuple[float, ...], relative))
        return self.vreman_constant * self.filter_width.square() * rate


class PlaneDynamicSmagorinsky(ChannelEddyViscosity):
    """The dynamic Smagorinsky model with averages over planes parallel to the walls.

        ν_e = C Δ² |S|,    C(y) = ⟨L_ij M_ij⟩ / ⟨M_ij M_ij⟩, not below zero
        L_ij = (u_i u_j)^ − û_i û_j (traceless part),    M_ij = 2 Δ² [(|S| S_ij)^ − α² |Ŝ| Ŝ_ij]

    with the sharp test filter ^ along x and z alone, α² = (r_x r_z)^⅔ and r the ratio of the modes of the LES to those
    which the filter keeps. C is computed once per time step.

    Arguments:
        space: Fourier modes of the LES along the walls.
        test_filter_ratio: wanted r.

    Raises:
        ValueError: if the ratio is not above 1.

    Source: Germano et al. (1991), Phys. Fluids A 3, 1760 (test filter in planes); Lilly (1992), Phys. Fluids A 4, 633,
    Eq. 11.
    """

    def __init__(self, *, space: ChannelSpace, test_filter_ratio: float = 2.0) -> None:
        super().__init__(space=space)
        if not test_filter_ratio > 1:
            raise ValueError(f"test_filter_ratio: expected a number above 1, found {test_filter_ratio}")
        kept = [max(1, int(m / test_filter_ratio + 1e-9)) for m in space.cutoff]
        ratio = space.cutoff[0] * space.cutoff[1] / (kept[0] * kept[1])
        self.squared_ratio = ratio ** (2 / 3)
        inside = [abs(index) <= modes for index, modes in zip(space.indices, kept, strict=True)]
        mask = inside[0][:, None, None] & inside[1][None, None, :]
        self.register_buffer("mask", space.tensor(mask.astype(float)), persistent=False)
        self.mask: Tensor
        """1 for the modes which the test filter keeps, `(x mode, 1, z mode)`."""

    def coefficient(self, resolved: ResolvedChannelVelocity) -> Tensor:
        """Return C = C_s², `(batch, 1, y, 1)`."""
        leonard, model = self.germano_tensors(resolved)
        numerator, denominator = (
            contract(tensor, model).mean(dim=(-3, -1), keepdim=True) for tensor in (leonard, model)
        )
        return (numerator / denominator.clamp_min(torch.finfo(denominator.dtype).tiny)).clamp_min(0)

    def germano_tensors(self, resolved: ResolvedChannelVelocity) -> tuple[Tensor, Tensor]:
        """Return L_ij and M_ij, reduced, each `(batch, 5, x, y, z)`."""
        space, strain_rate = resolved.space, resolved.strain_rate
        grid_level = strain_rate_magnitude(strain_rate).unsqueeze(1) * strain_rate
        fields = torch.cat([products(resolved.velocity), grid_level], dim=1)
        filtered = space.to_physical(self.mask * space.to_spectral(fields))
        g = resolved.gradient_spectrum
        entries = [0.5 * (g[i][j] + g[j][i]) for i, j in symmetric_pairs(3)]
        tested = torch.cat([resolved.velocity_spectrum, reduce_symmetric(entries)], dim=1)
        velocity, strain = space.to_physical(self.mask * tested).split([3, 5], dim=1)
        leonard = filtered[:, :5] - products(velocity)
        test_level = strain_rate_magnitude(strain).unsqueeze(1) * strain
        model = filtered[:, 5:] - self.squared_ratio * test_level
        return leonard, 2 * self.filter_width.square() * model

    def eddy_viscosity(self, resolved: ResolvedChannelVelocity, coefficient: Tensor | None) -> Tensor:
        """Return ν_e = C Δ² |S|, `(batch, x, y, z)`."""
        assert coefficient is not None, "the solver computes the coefficient first"
        return self.filter_width.square() * coefficient * strain_rate_magnitude(resolved.strain_rate)


def subgrid_dissipation(closure: ChannelClosure, modes: StokesModes, spectrum: Tensor) -> Tensor:
    """Return −⟨τ_ij S_ij⟩, what a model takes out of the resolved kinetic energy, per trajectory `(batch,)`.

    Arguments:
        closure: the model.
        modes: Stokes modes of the channel.
        spectrum: amplitudes, `(batch, 2, *modes)`.
    """
    resolved = ResolvedChannelVelocity(modes, spectrum)
    return -modes.space.volume_average(contract(closure.modelled_stress(resolved), resolved.strain_rate))
