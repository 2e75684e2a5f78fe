"""Incompressible Navier–Stokes equations on a periodic box: one right-hand side for DNS, LES, losses and hybrids."""

from __future__ import annotations

from functools import cached_property

import torch
from torch import Tensor

from eddymark.closures.base import Closure, NoClosure
from eddymark.config.schema import Forcing as ForcingConfiguration
from eddymark.grid import Grid, SpectralSpace
from eddymark.solvers.forcing import build_forcing
from eddymark.solvers.resolved import ResolvedVelocity, symmetric_pairs

NO_CLOSURE = NoClosure()


class NavierStokes:
    """Pseudo-spectral discretisation in divergence form with the strict 2/3 rule.

        ∂u_i/∂t = −P_ij ∂_k (u_j u_k + τ_jk) + ν ∇²u_i − α u_i + f_i

    P is the projection onto solenoidal fields, which eliminates the pressure; τ is the subgrid-scale stress of a
    closure (none: DNS). Isotropic parts of the stress are gradients and drop out, so that 3-D needs 3 inverse and 5
    forward transforms per evaluation and 2-D needs 2 and 2.

    Arguments:
        grid: periodic grid, 2-D or 3-D, sides may differ.
        viscosity: ν.
        linear_drag: α.
        forcing: external force.
        dtype: real precision.
        device: where the arrays live.

    Source: Canuto, Hussaini, Quarteroni & Zang, Spectral Methods in Fluid Dynamics (1988), Ch. 7.
    """

    def __init__(
        self,
        grid: Grid,
        *,
        viscosity: float,
        linear_drag: float = 0.0,
        forcing: ForcingConfiguration | None = None,
        dtype: torch.dtype = torch.float64,
        device: torch.device | str = "cpu",
    ) -> None:
        self.grid = grid
        self.space = SpectralSpace(grid, dtype=dtype, device=device)
        self.viscosity = viscosity
        self.linear_drag = linear_drag
        self.forcing = build_forcing(forcing or ForcingConfiguration(), self.space)

    @cached_property
    def _molecular_rate(self) -> Tensor:
        return -self.viscosity * self.space.wavenumber_squared - self.linear_drag

    def linear_rate(self, closure: Closure | None = None) -> Tensor:
        """Return the rate of change per mode of the linear terms, −(ν + ν_e(k)) k² − α, `(*modes)`."""
        eddy = closure.spectral_viscosity() if closure is not None else None
        if eddy is None:
            return self._molecular_rate
        return self._molecular_rate - eddy * self.space.wavenumber_squared

    def nonlinear(self, spectrum: Tensor, closure: Closure | None = None) -> Tensor:
        """Return everything but the linear terms, `(batch, d, *modes)`, of a state û `(batch, d, *modes)`."""
        resolved = ResolvedVelocity(self.space, spectrum)
        coefficient = closure.coefficient(resolved) if closure is not None else None
        return self.nonlinear_of(resolved, closure, coefficient)

    def nonlinear_of(self, resolved: ResolvedVelocity, closure: Closure | None, coefficient: Tensor | None) -> Tensor:
        """Return everything but the linear terms, `(batch, d, *modes)`.

        Arguments:
            resolved: the state; what has been computed of it already is not computed again.
            closure: subgrid-scale model.
            coefficient: what `closure.coefficient` gave for this time step.
        """
        flux = (closure or NO_CLOSURE).flux(resolved, coefficient)
        rate = self.space.project(self._flux_divergence(flux))
        if self.forcing.steady is not None:
            rate = rate + self.forcing.steady
        force = self.forcing.tendency(resolved.spectrum)
        return rate if force is None else rate + force

    def _flux_divergence(self, flux: Tensor) -> Tensor:
        """−∂_j of a reduced flux tensor, `(batch, d, *modes)`."""
        pairs = symmetric_pairs(self.grid.dimension)
        derivative = self.space.derivatives
        rows = []
        for i in range(self.grid.dimension):
            terms = [(j, pairs.index((min(i, j), max(i, j)))) for j in range(self.grid.dimension)]
            (first, pair), *others = [term for term in terms if term[1] < len(pairs) - 1]
            total = derivative[first] * flux[:, pair]
            for j, pair in others:
                total = total.addcmul(derivative[j], flux[:, pair])
            rows.append(total)
        return -torch.stack(rows, dim=1)

    def subgrid_force(self, stress: Tensor) -> Tensor:
        """Return the spectrum of the solenoidal part of −∂_j τ_ij, `(batch, d, *modes)`.

        Arguments:
            stress: τ_ij, reduced, `(batch, d(d+1)/2 − 1, *grid)`.
        """
        return self.space.project(self._flux_divergence(self.space.to_spectral(stress)))

    def tendency(self, velocity: Tensor, closure: Closure | None = None) -> Tensor:
        """Return ∂u/∂t at the grid points; differentiable.

        Arguments:
            velocity: u, `(batch, d, *grid)`.
            closure: subgrid-scale model; None for DNS.

        Returns:
            ∂u/∂t, `(batch, d, *grid)`. A force that holds shells is a constraint and has no part in it.
        """
        spectrum = self.space.to_spectral(velocity)
        rate = self.nonlinear(spectrum, closure) + self.linear_rate(closure) * spectrum
        return self.space.to_physical(rate)

    def courant_rate(self, velocity: Tensor) -> Tensor:
        """Return the Courant number per unit of time step of each trajectory, max Σ_i |u_i| k_i,max, `(batch,)`.

        Arguments:
            velocity: u, `(batch, d, *grid)`.
        """
        highest = velocity.new_tensor(
            [
                cutoff * 2 * torch.pi / side
                for cutoff, side in zip(self.grid.dealiased_cutoff, self.grid.sides, strict=True)
            ]
        ).reshape(-1, *(1,) * self.grid.dimension)
        return (velocity.detach().abs() * highest).sum(dim=1).flatten(1).amax(dim=1)
