"""Smagorinsky's model."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor

from eddymark.closures.base import EddyViscosity, strain_rate_magnitude
from eddymark.solvers.resolved import ResolvedVelocity

if TYPE_CHECKING:
    from eddymark.solvers.compiled.stepping import CompiledSteps
    from eddymark.solvers.periodic import NavierStokes


class Smagorinsky(EddyViscosity):
    """Eddy viscosity from the resolved strain rate with a fixed constant.

        τ_ij = −2 (C_s Δ)² |S| S_ij,    |S| = (2 S_ij S_ij)^½

    Arguments:
        filter_width: Δ, in flow units.
        smagorinsky_constant: C_s (not its square); 0.17 is Lilly's value for a sharp filter in isotropic turbulence.

    Source: Smagorinsky (1963), Mon. Weather Rev. 91, 99; Pope, Turbulent Flows (2000), Eqs. 13.127–13.128.
    """

    def __init__(self, *, filter_width: float, smagorinsky_constant: float = 0.17) -> None:
        super().__init__()
        self.filter_width = filter_width
        self.smagorinsky_constant = smagorinsky_constant

    def compiled(self, solver: NavierStokes) -> CompiledSteps:
        """Return time steps in compiled code."""
        from eddymark.solvers.compiled.subgrid import large_eddy_steps

        return large_eddy_steps(
            solver, kernel="smagorinsky", constant=(self.smagorinsky_constant * self.filter_width) ** 2
        )

    def eddy_viscosity(self, resolved: ResolvedVelocity, coefficient: Tensor | None) -> Tensor:
        """Return ν_e = (C_s Δ)² |S|, `(batch, *grid)`."""
        return (self.smagorinsky_constant * self.filter_width) ** 2 * strain_rate_magnitude(resolved.strain_rate)
