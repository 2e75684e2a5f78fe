"""Leith's model of two-dimensional turbulence."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor

from eddymark.closures.base import EddyViscosity, safe_square_root
from eddymark.solvers.resolved import ResolvedVelocity

if TYPE_CHECKING:
    from eddymark.solvers.compiled.stepping import CompiledSteps
    from eddymark.solvers.periodic import NavierStokes


class Leith(EddyViscosity):
    """Eddy viscosity from the gradient of the vorticity: the cascade that crosses the cut-off is that of enstrophy.

        ν_e = (C_L Δ)³ |∇ω|

    Two dimensions only.

    Arguments:
        filter_width: Δ, in flow units.
        leith_constant: C_L; 1/π makes ν_e = |∇ω| / k_c³.

    Source: Leith (1996), Physica D 98, 481; constant of order one relative to k_c as in Fox-Kemper & Menemenlis (2008),
    in Ocean Modeling in an Eddying Regime, AGU Geophys. Monogr. 177, 319.
    """

    def __init__(self, *, filter_width: float, leith_constant: float = 0.32) -> None:
        super().__init__()
        self.filter_width = filter_width
        self.leith_constant = leith_constant

    def compiled(self, solver: NavierStokes) -> CompiledSteps:
        """Return time steps in compiled code."""
        from eddymark.solvers.compiled.subgrid import large_eddy_steps

        return large_eddy_steps(solver, kernel="leith", constant=(self.leith_constant * self.filter_width) ** 3)

    def eddy_viscosity(self, resolved: ResolvedVelocity, coefficient: Tensor | None) -> Tensor:
        """Return ν_e, `(batch, *grid)`."""
        space = resolved.space
        derivative = space.derivatives
        vorticity = derivative[0] * resolved.spectrum[:, 1] - derivative[1] * resolved.spectrum[:, 0]
        x, y = space.to_physical(derivative * vorticity.unsqueeze(1)).unbind(1)
        return (self.leith_constant * self.filter_width) ** 3 * safe_square_root((x * x).addcmul_(y, y))
