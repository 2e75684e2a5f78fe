"""Distance between energy spectra."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

SMALLEST_RATIO = 1e-14
"""Energies below this multiple of the reference are counted as this: states are stored in float32, whose
rounding alone leaves about this much in a shell."""


def spectrum_error(
    spectrum: ArrayLike, reference: ArrayLike, *, shells: slice | NDArray[np.bool_]
) -> NDArray[np.float64]:
    """Return the rms distance of two energy spectra in decades, √(mean over shells of log₁₀²(E / E_ref)).

    Arguments:
        spectrum: energy per shell E, `(..., shell)`.
        reference: energy per shell E_ref of the DNS, `(..., shell)`.
        shells: which shells count.

    Returns:
        `(...,)`, decades; NaN where a spectrum is.
    """
    energy = np.asarray(spectrum, dtype=np.float64)[..., shells]
    expected = np.asarray(reference, dtype=np.float64)[..., shells]
    decades = np.log10(np.maximum(energy / expected, SMALLEST_RATIO))
    return np.asarray(np.sqrt((decades**2).mean(axis=-1)))


def resolved_shells(shell: NDArray[np.int64], *, cutoff: int) -> NDArray[np.bool_]:
    """Return which shells lie wholly inside the dealiased modes: 1 ≤ κ ≤ k_c."""
    return (shell >= 1) & (shell <= cutoff)


def upper_shells(shell: NDArray[np.int64], *, cutoff: int) -> NDArray[np.bool_]:
    """Return the upper half of the resolved shells, k_c / 2 < κ ≤ k_c.

    The largest scales differ between samples of DNS by more than closures do, and would hide the scales which
    a subgrid-scale model governs.
    """
    return (2 * shell > cutoff) & (shell <= cutoff)
