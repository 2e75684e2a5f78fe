"""Statistically steady isotropic turbulence in a periodic cube, forced at its largest scales."""

from __future__ import annotations

import numpy as np
from torch import Tensor

from eddymark.flows.base import Flow, isotropic_transformation


class ForcedIsotropic(Flow):
    """Homogeneous isotropic turbulence, driven by held shells or by constant power input.

    The equations are unchanged under every translation and under the 48 symmetries of the cube.

    Source: held shell energies E(1) = 1.242477, E(2) = 0.391356 as in Li, Peng, Yuan & Wang (2022), Theor. Appl. Mech.
    Lett. 12, 100389, and the operator papers after it.
    """

    def transform(self, window: Tensor, random: np.random.Generator, *, shifts: bool, symmetries: bool) -> Tensor:
        """Return a window `(..., 3, x, y, z)` under a random translation and a random symmetry of the cube."""
        return isotropic_transformation(window, random, dimension=3, shifts=shifts, symmetries=symmetries)
