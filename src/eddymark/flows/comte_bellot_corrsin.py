"""Comte-Bellot & Corrsin's grid turbulence: energy spectra measured at three stations, in units of a periodic box.

The unit of length is 9 cm and the unit of velocity the root-mean-square velocity at the first station: a box of side
2π (56.5 cm, 11 mesh sizes; the box of the FDS verification guide) has whole wavenumbers, and the energy at the first
station is 3/2.

Source: Comte-Bellot & Corrsin (1971), J. Fluid Mech. 48, 273, Table 3 (mesh M = 5.08 cm, U₀ = 10 m/s, U₀ M / ν =
34 000), as given by the file cbc_spectrum.txt of https://github.com/saadgroup/TurboGenPY.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

STATIONS = (42, 98, 171)
"""Distance behind the grid in mesh sizes = time t U₀ / M."""

_MESH_SIZE = 5.08  # cm
_MEAN_VELOCITY = 1000.0  # cm/s
_MESH_REYNOLDS_NUMBER = 34_000.0
_UNIT_LENGTH = 9.0  # cm
_UNIT_VELOCITY = 22.2  # cm/s

VISCOSITY = _MEAN_VELOCITY * _MESH_SIZE / _MESH_REYNOLDS_NUMBER / (_UNIT_LENGTH * _UNIT_VELOCITY)
"""ν in flow units."""

STATION_TIMES = tuple(
    (station - STATIONS[0]) * _MESH_SIZE / _MEAN_VELOCITY * _UNIT_VELOCITY / _UNIT_LENGTH for station in STATIONS
)
"""Time since the first station in flow units."""

# k in 1/cm, E in cm³/s² at the three stations. The first row, and at the first two stations the second one, were not
# measured: the file continues the spectra to them. At the third station nothing was measured beyond k = 15.
_MEASURED = np.array(
    [
        [0.11, 30, 25, 20],
        [0.15, 60, 55, 49.7],
        [0.20, 129, 106, 92.0],
        [0.25, 230, 196, 120],
        [0.30, 322, 195, 125],
        [0.40, 435, 202, 98.0],
        [0.50, 457, 168, 81.5],
        [0.70, 380, 127, 60.2],
        [1.00, 270, 79.2, 39.4],
        [1.50, 168, 47.8, 24.1],
        [2.00, 120, 34.6, 16.5],
        [2.50, 89.0, 28.6, 12.5],
        [3.00, 70.3, 23.1, 9.12],
        [4.00, 47.0, 14.3, 5.62],
        [6.00, 24.7, 5.95, 1.69],
        [8.00, 12.6, 2.23, 0.520],
        [10.0, 7.42, 0.900, 0.161],
        [12.5, 3.96, 0.363, 0.0520],
        [15.0, 2.33, 0.162, 0.0141],
    ]
)


def measured_spectrum(station: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the wavenumbers k and energy densities E(k) of the table, `(19,)` each, in flow units.

    Arguments:
        station: one of `STATIONS`.
    """
    wavenumber = _MEASURED[:, 0] * _UNIT_LENGTH
    energy = _MEASURED[:, 1 + STATIONS.index(station)] / (_UNIT_VELOCITY**2 * _UNIT_LENGTH)
    return wavenumber, energy


def energy_density(station: int, wavenumber: ArrayLike) -> NDArray[np.float64]:
    """Return E(k), interpolated linearly in log E over log k between the measurements; flow units.

    Arguments:
        station: one of `STATIONS`.
        wavenumber: k, `(...)`, positive; beyond the table E goes on as the power law of its last interval.
    """
    known, energy = (np.log(values) for values in measured_spectrum(station))
    sought = np.log(np.asarray(wavenumber, dtype=np.float64))
    interval = np.clip(np.searchsorted(known, sought) - 1, 0, len(known) - 2)
    slope = np.diff(energy) / np.diff(known)
    return np.asarray(np.exp(energy[interval] + slope[interval] * (sought - known[interval])))
