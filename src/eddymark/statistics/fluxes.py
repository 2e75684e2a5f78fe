"""What is read off the energy balance of the shells: fluxes, and the share of a model in the dissipation."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]


def spectral_flux(transfer: ArrayLike) -> Array:
    """Return the flux to all smaller scales, Π(κ) = −Σ_{κ' ≤ κ} T(κ'), `(..., shell)`.

    Zero in the last shell, as the nonlinear term makes and destroys nothing.

    Arguments:
        transfer: T, `(..., shell)`, from shell 1 on.

    Source: Pope (2000), Turbulent Flows, Eq. 6.189 ff.; Frisch (1995), Turbulence, Sec. 2.4.
    """
    return np.asarray(-np.cumsum(np.asarray(transfer, dtype=np.float64), axis=-1))


def flux_error(transfer: ArrayLike, reference: ArrayLike, *, shells: NDArray[np.bool_]) -> Array:
    """Return the relative L2 distance of two fluxes, ‖Π − Π_ref‖ / ‖Π_ref‖, over some shells.

    Arguments:
        transfer: T, `(..., shell)`.
        reference: that of the DNS.
        shells: which shells count.

    Returns:
        `(...,)`.
    """
    ours, theirs = (spectral_flux(one)[..., shells] for one in (transfer, reference))
    return np.asarray(np.linalg.norm(ours - theirs, axis=-1) / np.linalg.norm(theirs, axis=-1))


def subgrid_activity(subgrid_transfer: ArrayLike, dissipation_spectrum: ArrayLike) -> Array:
    """Return the share of the model in the dissipation, s = ε_sgs / (ε_sgs + ε), with ε_sgs = −Σ T_sgs and ε = Σ D.

    Source: Geurts & Fröhlich (2002), Phys. Fluids 14, L41.

    Arguments:
        subgrid_transfer: T_sgs, `(..., shell)`.
        dissipation_spectrum: D, `(..., shell)`.

    Returns:
        `(...,)`; negative where the model gives energy back on average.
    """
    modelled = -np.asarray(subgrid_transfer, dtype=np.float64).sum(axis=-1)
    return np.asarray(modelled / (modelled + np.asarray(dissipation_spectrum, dtype=np.float64).sum(axis=-1)))
