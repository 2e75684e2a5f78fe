"""Energy spectra from which random initial states are drawn, without units and without any library."""

from __future__ import annotations

import itertools
import math

STATIONS = (42, 98, 171)
"""Times t U₀ / M after the grid of the three stations of Comte-Bellot & Corrsin."""

COMTE_BELLOT_CORRSIN: tuple[tuple[float, float, float, float], ...] = (
    (0.11, 30.0, 25.0, 20.0),
    (0.15, 60.0, 55.0, 49.7),
    (0.20, 129.0, 106.0, 92.0),
    (0.25, 230.0, 196.0, 120.0),
    (0.30, 322.0, 195.0, 125.0),
    (0.40, 435.0, 202.0, 98.0),
    (0.50, 457.0, 168.0, 81.5),
    (0.70, 380.0, 127.0, 60.2),
    (1.00, 270.0, 79.2, 39.4),
    (1.50, 168.0, 47.8, 24.1),
    (2.00, 120.0, 34.6, 16.5),
    (2.50, 89.0, 28.6, 12.5),
    (3.00, 70.3, 23.1, 9.12),
    (4.00, 47.0, 14.3, 5.62),
    (6.00, 24.7, 5.95, 1.69),
    (8.00, 12.6, 2.23, 0.520),
    (10.0, 7.42, 0.900, 0.161),
    (12.5, 3.96, 0.363, 0.0520),
    (15.0, 2.33, 0.162, 0.0141),
)
"""Wavenumber (1/cm) and energy E (cm³/s²) at the stations t U₀ / M = 42, 98, 171 behind a grid of M = 5.08 cm in a
stream of U₀ = 1000 cm/s.

Source: Comte-Bellot & Corrsin (1971), J. Fluid Mech. 48, 273; numbers as in the file `cbc_spectrum.txt` of
https://github.com/saadgroup/TurboGenPY.
"""


def gaussian(wavenumber: float, *, peak: float) -> float:
    """Return E(k) ∝ k⁴ exp(−2 (k / k_p)²), which is largest at k_p.

    Source: initial spectra of this form e.g. in Orszag & Patterson (1972), Phys. Rev. Lett. 28, 76.
    """
    return (wavenumber / peak) ** 4 * math.exp(-2 * (wavenumber / peak) ** 2)


def mcwilliams(wavenumber: float, *, peak: float) -> float:
    """Return E(k) ∝ k² / (1 + (k / k_p)⁴), which is largest at k_p: |ψ̂|² ∝ k⁻¹ / (1 + (k / k_p)⁴).

    Source: McWilliams (1984), J. Fluid Mech. 146, 21, with k_p = 6.
    """
    return (wavenumber / peak) ** 2 / (1 + (wavenumber / peak) ** 4)


def comte_bellot_corrsin(wavenumber: float, *, station: int) -> float:
    """Return E(k) in cm³/s², interpolated between the measured points in a double logarithm, zero beyond them.

    Arguments:
        wavenumber: 1/cm.
        station: 1, 2 or 3.
    """
    for below, above in itertools.pairwise(COMTE_BELLOT_CORRSIN):
        if below[0] <= wavenumber <= above[0]:
            fraction = math.log(wavenumber / below[0]) / math.log(above[0] / below[0])
            energy: float = below[station] * (above[station] / below[station]) ** fraction
            return energy
    return 0.0
