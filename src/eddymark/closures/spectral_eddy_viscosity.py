"""The spectral eddy viscosity of Chollet and Lesieur."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from eddymark.closures.base import Closure
from eddymark.grid import SpectralSpace
from eddymark.solvers.resolved import ResolvedVelocity

if TYPE_CHECKING:
    from eddymark.solvers.compiled.stepping import CompiledSteps
    from eddymark.solvers.periodic import NavierStokes


class SpectralEddyViscosity(Closure):
    """An eddy viscosity per wavenumber, a plateau with a cusp, in proportion to the energy at the cut-off.

        ν_e(k) = C_K^{−3/2} [0.441 + 15.2 exp(−3.03 k_c / k)] (E(k_c) / k_c)^½

    The stress is −2 ν_e(k) Ŝ_ij, formed in spectral space, so that the model adds no transform. k_c is the highest
    shell that the grid resolves wholly; modes beyond it, in the corners of the grid, get the value at k_c. E(k_c) is
    measured once per time step. The form is that of an infinite inertial range of −5/3 in three dimensions.

    Arguments:
        space: spectral space of the LES.
        kolmogorov_constant: C_K.

    Source: Kraichnan (1976), J. Atmos. Sci. 33, 1521; Chollet & Lesieur (1981), J. Atmos. Sci. 38, 2747; the fit of
    the cusp as in Lesieur & Métais (1996), Annu. Rev. Fluid Mech. 28, 45.
    """

    def __init__(self, *, space: SpectralSpace, kolmogorov_constant: float = 1.4) -> None:
        super().__init__()
        grid = space.grid
        self.cutoff = grid.resolved_shells * grid.lowest_wavenumber
        wavenumber = space.wavenumber_squared.sqrt().clamp(max=self.cutoff)
        cusp = torch.exp(-3.03 * self.cutoff / wavenumber.clamp_min(torch.finfo(space.dtype).tiny ** 0.5))
        self._profile = kolmogorov_constant**-1.5 * (0.441 + 15.2 * cusp)
        self._weights = 0.5 * space.multiplicity * (space.shells == grid.resolved_shells) / grid.lowest_wavenumber

    def compiled(self, solver: NavierStokes) -> CompiledSteps:
        """Return time steps in compiled code."""
        from eddymark.solvers.compiled.stepping import direct_steps

        damping = self._profile * solver.space.wavenumber_squared
        return direct_steps(solver, damping=damping, damping_weights=self._weights / self.cutoff)

    def coefficient(self, resolved: ResolvedVelocity) -> Tensor:
        """Return (E(k_c) / k_c)^½ of each trajectory, `(batch, 1, …)`."""
        axes = (-resolved.space.grid.dimension - 1, *resolved.space.axes)
        power = resolved.spectrum.real**2 + resolved.spectrum.imag**2
        energy = (self._weights * power).sum(dim=axes, keepdim=True)
        return (energy / self.cutoff).clamp_min(torch.finfo(energy.dtype).tiny).sqrt()

    def flux(self, resolved: ResolvedVelocity, coefficient: Tensor | None) -> Tensor:
        """Return the spectrum of u_i u_j + τ_ij, reduced, `(batch, d(d+1)/2 − 1, *modes)`."""
        assert coefficient is not None, "the solver computes the coefficient first"
        return super().flux(resolved, None) - 2 * coefficient * self._profile * resolved.strain_rate_spectrum
