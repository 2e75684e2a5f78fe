"""Two-dimensional turbulence driven by a sinusoidal force, with linear drag."""

from __future__ import annotations

import math

import numpy as np
from torch import Tensor

from eddymark.flows.base import Flow, reflect


class Kolmogorov(Flow):
    """Kolmogorov flow: f_x = A sin(n y) in a periodic square, with drag −α u.

    The equations are unchanged under every translation in x, under translations in y by whole wavelengths of the force,
    under translation by half a wavelength together with x → −x, and under rotation by π.

    Source: Chandler & Kerswell (2013), J. Fluid Mech. 722, 554, Sec. 2 (symmetries); set-up as in Kochkov et al.
    (2021), Proc. Natl. Acad. Sci. 118, e2101784118.
    """

    def transform(self, window: Tensor, random: np.random.Generator, *, shifts: bool, symmetries: bool) -> Tensor:
        """Return a window `(..., 2, x, y)` under a random transformation of the flow's symmetry group."""
        points = window.shape[-1]
        # Translations in y that are possible on this grid: multiples of the half wavelength which hit grid points.
        halves = 2 * (self.configuration.forcing.wavenumber or 1)
        stride = halves // math.gcd(halves, points)
        if symmetries and random.integers(2):
            window = reflect(reflect(window, 0, 2), 1, 2)
        if shifts:
            count = stride * int(random.integers(halves // stride))
            if count % 2 and not symmetries:
                count -= stride
            if count % 2:
                window = reflect(window, 0, 2)
            window = window.roll((int(random.integers(window.shape[-2])), count * points // halves), (-2, -1))
        return window
