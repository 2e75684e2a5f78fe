"""Smagorinsky's model."""

from __future__ import annotations

from torch import Tensor

from eddymark.closures.base import Closure, eddy_viscosity_stress, safe_square_root
from eddymark.solvers.resolved import ResolvedVelocity, contract


class Smagorinsky(Closure):
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

    def stress(self, resolved: ResolvedVelocity, coefficient: Tensor | None) -> Tensor:
        """Return τ_ij, i ≤ j, `(batch, d(d+1)/2, *grid)`."""
        strain_rate = resolved.strain_rate
        magnitude = strain_rate_magnitude(strain_rate, resolved.space.grid.dimension)
        return eddy_viscosity_stress((self.smagorinsky_constant * self.filter_width) ** 2 * magnitude, strain_rate)


def strain_rate_magnitude(strain_rate: Tensor, dimension: int) -> Tensor:
    """Return |S| = (2 S_ij S_ij)^½, `(batch, *grid)`; its derivative is zero, not infinite, where S vanishes."""
    return safe_square_root(2 * contract(strain_rate, strain_rate, dimension))
