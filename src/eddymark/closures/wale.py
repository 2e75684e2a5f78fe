"""The wall-adapting local eddy-viscosity model."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from eddymark.closures.base import EddyViscosity, safe_square_root
from eddymark.solvers.resolved import ResolvedVelocity, sum_of_products

if TYPE_CHECKING:
    from eddymark.solvers.compiled.stepping import CompiledSteps
    from eddymark.solvers.periodic import NavierStokes


class Wale(EddyViscosity):
    """WALE: an eddy viscosity that vanishes in pure shear, hence at walls, but not in solid rotation.

        ν_e = (C_w Δ)² (S^d_ij S^d_ij)^{3/2} / [(S_ij S_ij)^{5/2} + (S^d_ij S^d_ij)^{5/4}]

    with S^d the deviatoric symmetric part of the square of the velocity gradient. Three dimensions only: in
    incompressible 2-D flow S^d_ij = 0.

    Arguments:
        filter_width: Δ, in flow units.
        wale_constant: C_w; 0.5 suits homogeneous isotropic turbulence.

    Source: Nicoud & Ducros (1999), Flow Turbul. Combust. 62, 183, Eqs. 10–13.
    """

    def __init__(self, *, filter_width: float, wale_constant: float = 0.5) -> None:
        super().__init__()
        self.filter_width = filter_width
        self.wale_constant = wale_constant

    def compiled(self, solver: NavierStokes) -> CompiledSteps:
        """Return time steps in compiled code."""
        from eddymark.solvers.compiled.subgrid import large_eddy_steps

        return large_eddy_steps(solver, kernel="wale", constant=(self.wale_constant * self.filter_width) ** 2)

    def eddy_viscosity(self, resolved: ResolvedVelocity, coefficient: Tensor | None) -> Tensor:
        """Return ν_e, `(batch, *grid)`."""
        return (self.wale_constant * self.filter_width) ** 2 * wale_rate(resolved.gradient)


def wale_rate(gradient: list[list[Tensor]]) -> Tensor:
    """Return the model's rate ν_e / (C_w Δ)², `(batch, *grid)`.

    By the theorem of Cayley and Hamilton, S^d_ij S^d_ij = s²/6 + w²/24 − s w / 6 + |S ω|² / 2 in incompressible flow,
    with s = S_ij S_ij and w = ω_i ω_i: no matrix product is needed.

    Arguments:
        gradient: ∂_j u_i, row i, column j, each `(batch, *grid)`.
    """
    g = gradient
    xy, xz, yz = (0.5 * (g[i][j] + g[j][i]) for i, j in ((0, 1), (0, 2), (1, 2)))
    strain = [[g[0][0], xy, xz], [xy, g[1][1], yz], [xz, yz, g[2][2]]]
    vorticity = [g[2][1] - g[1][2], g[0][2] - g[2][0], g[1][0] - g[0][1]]
    shear = sum_of_products([xy, xz, yz], [xy, xz, yz])
    squared = sum_of_products([g[0][0], g[1][1], g[2][2]], [g[0][0], g[1][1], g[2][2]]).add_(shear, alpha=2)
    rotation = sum_of_products(vorticity, vorticity)
    stretching = [sum_of_products(row, vorticity) for row in strain]
    invariant = sum_of_products(stretching, stretching).mul_(0.5).addcmul_(squared, squared, value=1 / 6)
    invariant = invariant.addcmul_(rotation, rotation / 24 - squared / 6)
    root = safe_square_root(invariant)
    magnitude = safe_square_root(squared)
    denominator = (squared * squared * magnitude).addcmul_(invariant.clamp_min(0), safe_square_root(root))
    vanishing = denominator <= torch.finfo(denominator.dtype).tiny
    return torch.where(vanishing, 0.0, invariant * root / torch.where(vanishing, 1.0, denominator))
