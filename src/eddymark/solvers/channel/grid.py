"""The grid of a channel: uniform along the walls, Gauss–Legendre points between them."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from eddymark.solvers.channel.legendre import gauss_points

SMALLEST_DEGREE = 3


@dataclass(frozen=True)
class ChannelGrid:
    """Points between walls at y = 0 and y = 2h, periodic in x (streamwise) and z (spanwise).

    Of n points along x or z, (n − 1) // 3 modes per sign are used; of n points between the walls, polynomials of
    streamwise and spanwise velocity up to a degree N ≤ (2 n − 3) / 3, and one more for the wall-normal velocity.
    Products of two velocities and a gradient are then integrated exactly: the 2/3 rule in all directions.

    Arguments:
        points: number of points per axis (x, y, z); even along x and z.
        sides: length per axis; that of y is the distance 2h of the walls.
        degree: N, odd; default: the largest one without aliasing. Up to n − 2 is possible, with aliasing between the
            walls alone, as in most published simulations.

    Raises:
        ValueError: if numbers do not make a grid; the text says which ones would.
    """

    points: tuple[int, int, int]
    sides: tuple[float, float, float]
    degree: int = 0

    def __post_init__(self) -> None:
        if len(self.points) != 3 or len(self.sides) != 3:
            raise ValueError(f"a channel needs 3 axes; got points {self.points} and sides {self.sides}")
        if any(n < 4 or n % 2 for n in self.points[::2]):
            raise ValueError(f"numbers of points along x and z must be even and at least 4; got {self.points}")
        if self.points[1] < 6:
            raise ValueError(f"at least 6 points are needed between the walls; got {self.points[1]}")
        if any(not (side > 0 and math.isfinite(side)) for side in self.sides):
            raise ValueError(f"sides must be positive; got {self.sides}")
        if self.degree == 0:
            largest = (2 * self.points[1] - 3) // 3
            object.__setattr__(self, "degree", largest if largest % 2 else largest - 1)
        if self.degree % 2 == 0 or not SMALLEST_DEGREE <= self.degree <= self.points[1] - 2:
            raise ValueError(
                f"the degree must be odd, from {SMALLEST_DEGREE} to the number of points between the walls "
                f"less 2 ({self.points[1] - 2}); got {self.degree}"
            )

    @property
    def half_height(self) -> float:
        """h, half of the distance of the walls."""
        return self.sides[1] / 2

    @property
    def cutoff(self) -> tuple[int, int]:
        """Highest mode index along x and along z."""
        return (self.points[0] - 1) // 3, (self.points[2] - 1) // 3

    def coordinates(self) -> list[NDArray[np.float64]]:
        """Return the points of each axis; those of y lie between the walls, from 0 to 2h, densest at them."""
        along = [np.arange(n, dtype=np.float64) * (side / n) for n, side in zip(self.points, self.sides, strict=True)]
        return [along[0], self.half_height * (1 + gauss_points(self.points[1])[0]), along[2]]

    def weights(self) -> NDArray[np.float64]:
        """Return the weight of each y in an average over the height; their sum is 1."""
        return gauss_points(self.points[1])[1] / 2

    def widths(self) -> tuple[float, NDArray[np.float64], float]:
        """Return the width Δ_i of what the grid resolves along each axis: half of the shortest wavelength.

        Between the walls, where a polynomial of degree N oscillates with the wavenumber N / (h (1 − ξ²)^½), it is
        one per point, `(y,)`.
        """
        x, z = (side / (2 * m) for side, m in zip(self.sides[::2], self.cutoff, strict=True))
        xi = gauss_points(self.points[1])[0]
        return x, math.pi * self.half_height / self.degree * np.sqrt(1 - xi**2), z

    def filter_width(self) -> NDArray[np.float64]:
        """Return Δ = (Δ_x Δ_y Δ_z)^⅓ at each y, `(y,)`."""
        x, y, z = self.widths()
        return np.cbrt(x * y * z)
