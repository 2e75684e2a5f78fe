"""The true subgrid-scale stress of a DNS state."""

from __future__ import annotations

from torch import Tensor

from eddymark.filters import GridFilter
from eddymark.solvers.resolved import products


def subgrid_stress(restrict: GridFilter, spectrum: Tensor) -> Tensor:
    """Return τ_ij = (u_i u_j)‾ − ū_i ū_j as the resolved modes see it, reduced, `(batch, d(d+1)/2 − 1, *coarse grid)`.

    Both products are free of aliasing in the modes that the LES grid resolves, and neither is kept beyond them: this is
    exactly the stress which is missing in the equations of the LES. Its isotropic part is the pressure's business.

    Arguments:
        restrict: filter from the DNS to the LES grid.
        spectrum: û of the DNS, `(batch, d, *modes)`.
    """
    fine, coarse = restrict.fine, restrict.coarse
    square = restrict.spectrum(fine.to_spectral(products(fine.to_physical(spectrum))))
    return coarse.to_physical(square - coarse.to_spectral(products(restrict(spectrum))))
