"""The measured spectra of Comte-Bellot & Corrsin in units of a periodic box.

The unit of length is 9 cm and the unit of velocity the root-mean-square velocity at the first station: a box of side
2π (56.5 cm, 11 mesh sizes; the box of the FDS verification guide) has whole wavenumbers, and the energy at the first
station is 3/2.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from eddymark.flows.decaying_isotropic import AIR_VISCOSITY, MESH, STREAM
from eddymark.initial_spectra import COMTE_BELLOT_CORRSIN, STATIONS, comte_bellot_corrsin

_UNIT_LENGTH = 9.0  # cm
_UNIT_VELOCITY = 22.2  # cm/s

VISCOSITY = AIR_VISCOSITY / (_UNIT_LENGTH * _UNIT_VELOCITY)
"""ν in flow units."""

STATION_TIMES = tuple((station - STATIONS[0]) * MESH / STREAM * _UNIT_VELOCITY / _UNIT_LENGTH for station in STATIONS)
"""Time since the first station in flow units."""


def measured_spectrum(station: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the wavenumbers k and energy densities E(k) that were measured, `(19,)` each, in flow units.

    Arguments:
        station: one of `STATIONS`.
    """
    table = np.array(COMTE_BELLOT_CORRSIN)
    energy = table[:, 1 + STATIONS.index(station)] / (_UNIT_VELOCITY**2 * _UNIT_LENGTH)
    return table[:, 0] * _UNIT_LENGTH, energy


def energy_density(station: int, wavenumber: ArrayLike) -> NDArray[np.float64]:
    """Return E(k) in flow units.

    Arguments:
        station: one of `STATIONS`.
        wavenumber: k, `(...)`.
    """
    number = STATIONS.index(station) + 1
    sought = np.asarray(wavenumber, dtype=np.float64)
    energies = [comte_bellot_corrsin(float(k) / _UNIT_LENGTH, station=number) for k in sought.ravel()]
    return np.reshape(energies, sought.shape) / (_UNIT_VELOCITY**2 * _UNIT_LENGTH)
