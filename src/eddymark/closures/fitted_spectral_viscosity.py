"""An eddy viscosity per shell, fitted through the solver."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from eddymark.closures.base import Closure
from eddymark.grid import SpectralSpace

if TYPE_CHECKING:
    from eddymark.solvers.compiled.stepping import CompiledSteps
    from eddymark.solvers.periodic import NavierStokes


class FittedSpectralViscosity(Closure):
    """One constant eddy viscosity per wavenumber shell, ν_e(k) = ν θ_κ with κ = round|k|.

    The numbers θ_κ are trained a posteriori: filtered DNS is compared with what the LES makes of its initial state
    after several output intervals, and the gradient is taken through the solver. Integrated exactly with the molecular
    viscosity, the model adds nothing to the cost of a step. Values below zero (backscatter) are allowed.

    Arguments:
        space: spectral space of the LES.
        viscosity: molecular viscosity ν, the unit of the fitted numbers.

    Source: form after Kraichnan (1976), J. Atmos. Sci. 33, 1521, and Chollet & Lesieur (1981), J. Atmos. Sci. 38, 2747.
    """

    def __init__(self, *, space: SpectralSpace, viscosity: float) -> None:
        super().__init__()
        self.viscosity = viscosity
        self.ratio = nn.Parameter(torch.zeros(int(space.shells.max()) + 1, dtype=space.dtype, device=space.device))
        self.register_buffer("shells", space.shells, persistent=False)

    def compiled(self, solver: NavierStokes) -> CompiledSteps:
        """Return time steps in compiled code."""
        from eddymark.solvers.compiled.stepping import direct_steps

        return direct_steps(solver)

    def spectral_viscosity(self) -> Tensor:
        """Return ν_e(k) per mode, `(*modes)`."""
        shells = self.get_buffer("shells")
        return self.viscosity * self.ratio[shells]
