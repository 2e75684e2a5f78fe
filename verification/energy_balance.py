"""Whether a simulation without a model loses exactly the energy that its viscosity takes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.integrate import simpson

from verification.marching import Row


def instantaneous_imbalance(rows: list[Row]) -> float:
    """Return the largest difference between −dE/dt of the right-hand side and 2 ν Ω, over the largest −dE/dt.

    It is what the nonlinear term adds to the energy, which should be nothing but rounding.
    """
    loss = _column(rows, "loss")
    return float(np.abs(loss - _column(rows, "molecular")).max() / loss.max())


def accumulated_imbalance(rows: list[Row]) -> float:
    """Return the relative difference between the energy lost and the integral of −dE/dt by Simpson's rule.

    It is what the time steps add to the energy.
    """
    energy = _column(rows, "energy")
    lost = simpson(_column(rows, "loss"), x=_column(rows, "time"))
    return float(abs(lost / (energy[0] - energy[-1]) - 1))


def _column(rows: list[Row], name: str) -> NDArray[np.float64]:
    return np.array([row[name] for row in rows])
