"""Anisotropy of the Reynolds stresses across layers, and Lumley's invariants of it."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from eddymark.statistics.profiles import STRESSES

Array = NDArray[np.float64]


def anisotropy(stresses: ArrayLike) -> Array:
    """Return b_ij = R_ij / R_kk − δ_ij / 3 for the entries `profiles.STRESSES`.

    Source: Pope (2000), Turbulent Flows, Sec. 11.3.2.

    Arguments:
        stresses: R_ij, `(..., stress, distance)`.

    Returns:
        same shape; NaN where there are no fluctuations.
    """
    found = np.asarray(stresses, dtype=np.float64)
    trace = np.broadcast_to(found[..., :3, :].sum(axis=-2, keepdims=True), found.shape)
    isotropic = np.array([1 / 3 if name[0] == name[1] else 0.0 for name in STRESSES])[:, np.newaxis]
    return np.divide(found, trace, out=np.full(found.shape, np.nan), where=trace > 0) - isotropic


def lumley_invariants(stresses: ArrayLike) -> tuple[Array, Array]:
    """Return ξ and η with 6η² = b_ij b_ji and 6ξ³ = b_ij b_jk b_ki, the axes of Lumley's triangle.

    Isotropic turbulence is at the origin, one component at ξ = η = 1/3, two equal ones at ξ = −1/6, η = 1/6. Whatever
    is possible lies in |ξ| ≤ η ≤ (1/27 + 2ξ³)^½.

    Source: Pope (2000), Turbulent Flows, Sec. 11.3.2; Lumley & Newman (1977), J. Fluid Mech. 82, 161.

    Arguments:
        stresses: R_ij of `profiles.STRESSES`, `(..., stress, distance)`.

    Returns:
        each `(..., distance)`.
    """
    uu, vv, ww, uv = np.moveaxis(anisotropy(stresses), -2, 0)
    second = uu**2 + vv**2 + ww**2 + 2 * uv**2
    # b_13 = b_23 = 0: tr b³ = 3 det b for a tensor without trace.
    third = 3 * ww * (uu * vv - uv**2)
    return np.cbrt(third / 6), np.sqrt(second / 6)


def anisotropy_error(stresses: ArrayLike, reference: ArrayLike) -> Array:
    """Return the rms distance of two anisotropy tensors across a layer, weighted with the energy of the DNS.

        (∫ R_kk,ref (b_ij − b_ij,ref)(b_ij − b_ij,ref) dy / ∫ R_kk,ref dy)^½

    Arguments:
        stresses: R_ij of `profiles.STRESSES`, `(..., stress, distance)`.
        reference: those of the DNS.

    Returns:
        `(...,)`.
    """
    expected = np.asarray(reference, dtype=np.float64)
    energy = expected[..., :3, :].sum(axis=-2)
    double = np.array([1.0, 1.0, 1.0, 2.0])[:, np.newaxis]
    squared = (double * (anisotropy(stresses) - anisotropy(expected)) ** 2).sum(axis=-2)
    return np.asarray(np.sqrt((energy * squared).sum(axis=-1) / energy.sum(axis=-1)))
