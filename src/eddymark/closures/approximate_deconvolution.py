"""Approximate deconvolution with a relaxation term."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from eddymark.closures.base import Closure
from eddymark.filters import gaussian
from eddymark.grid import SpectralSpace
from eddymark.solvers.resolved import ResolvedVelocity, products

if TYPE_CHECKING:
    from eddymark.solvers.compiled.stepping import CompiledSteps
    from eddymark.solvers.periodic import NavierStokes


class ApproximateDeconvolution(Closure):
    """The flux of a deconvolved velocity, and a drain of what the deconvolution cannot represent.

        ∂ū/∂t + G ∇·(u* u*) = … − χ (I − Q_N G) ū,    u* = Q_N ū,    Q_N = Σ_{n=0}^{N} (I − G)^n (van Cittert)

    The states of this solver are filtered sharply, and a sharp filter cannot be inverted: there is nothing to
    deconvolve beyond k_c. The model's filter G is therefore a smooth one on the resolved modes, here a Gaussian, and
    the state is u = G⁻¹ ū, which exists mode by mode. With this change of variables the equations above become exactly

        ∂u/∂t + ∇·(u* u*) = … − χ (I − Q_N G) u,    u* = Q_N G u

    so that states need no conversion between the model and the filtered DNS. The convecting velocity differs from the
    state by (I − G)^{N+1} u, of order (k Δ_G)^{2N+2}; χ is integrated exactly with the viscosity, and the cost is that
    of no model.

    Arguments:
        space: spectral space of the LES.
        filter_width: Δ = π / k_c, in flow units.
        relaxation_rate: χ, per unit of flow time.
        order: N.
        width_ratio: width of G over Δ.

    Source: Stolz & Adams (1999), Phys. Fluids 11, 1699; relaxation term as in Stolz, Adams & Kleiser (2001), Phys.
    Fluids 13, 997.
    """

    def __init__(
        self,
        *,
        space: SpectralSpace,
        filter_width: float,
        relaxation_rate: float,
        order: int = 5,
        width_ratio: float = 2.0,
    ) -> None:
        super().__init__()
        # Q_N G = I − (I − G)^{N+1}, the sum of the geometric series.
        lost = (1 - gaussian(space, width_ratio * filter_width)) ** (order + 1)
        self.deconvolved = 1 - lost
        squared = space.wavenumber_squared
        self._viscosity = relaxation_rate * lost / torch.where(squared > 0, squared, 1.0)

    def compiled(self, solver: NavierStokes) -> CompiledSteps:
        """Return time steps in compiled code."""
        from eddymark.solvers.compiled.stepping import direct_steps

        return direct_steps(solver, convecting=self.deconvolved)

    def flux(self, resolved: ResolvedVelocity, coefficient: Tensor | None) -> Tensor:
        """Return the spectrum of u*_i u*_j, reduced, `(batch, d(d+1)/2 − 1, *modes)`."""
        space = resolved.space
        return space.to_spectral(products(space.to_physical(self.deconvolved * resolved.spectrum)))

    def spectral_viscosity(self) -> Tensor:
        """Return χ (1 − Q_N G) / k² per mode, the relaxation as an eddy viscosity, `(*modes)`."""
        return self._viscosity
