"""Polynomials between two walls: Gauss–Legendre quadrature and bases that satisfy the boundary conditions.

All functions are on −1 ≤ ξ ≤ 1. A basis is given by the Legendre coefficients of its functions and of their
derivatives, which follow from (2 n + 1) L_n = L'_{n+1} − L'_{n−1} without a difference of large numbers.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def gauss_points(count: int) -> tuple[Array, Array]:
    """Return points, increasing, and weights of the quadrature that is exact up to degree 2 count − 1."""
    points, weights = np.polynomial.legendre.leggauss(count)
    # Exactly symmetric, so that even and odd functions stay apart.
    return 0.5 * (points - points[::-1]), 0.5 * (weights + weights[::-1])


def legendre_values(degree: int, points: Array) -> Array:
    """Return L_n(ξ), `(points, degree + 1)`, by the three-term recurrence."""
    values = np.ones((len(points), degree + 1))
    if degree > 0:
        values[:, 1] = points
    for n in range(1, degree):
        values[:, n + 1] = ((2 * n + 1) * points * values[:, n] - n * values[:, n - 1]) / (n + 1)
    return values


@dataclass(frozen=True)
class Basis:
    """Functions between the walls, even ones first, as many odd ones; a missing one is zero.

    Arguments:
        coefficients: Legendre coefficients of the functions and of their derivatives, `(order, function, degree)`.
    """

    coefficients: Array

    def values(self, order: int, points: Array) -> Array:
        """Return the derivatives of an order at points, `(points, function)`."""
        coefficients = self.coefficients[order]
        return legendre_values(coefficients.shape[1] - 1, points) @ coefficients.T

    def products(self, order: int) -> Array:
        """Return the mean over −1 ≤ ξ ≤ 1 of products of the derivatives of an order, `(function, function)`."""
        coefficients = self.coefficients[order]
        norms = 1 / (2 * np.arange(coefficients.shape[1]) + 1)  # mean of L_n²
        return (coefficients * norms) @ coefficients.T


def dirichlet_basis(degree: int) -> Basis:
    """Return ψ_j = (L_j − L_{j+2}) / (4 j + 6)^½ up to an odd degree: zero at the walls; ∫ ψ'_i ψ'_j dξ = δ_ij.

    Source: Shen (1994), SIAM J. Sci. Comput. 15, 1489 (second-order equations).
    """
    coefficients = np.zeros((2, degree - 1, degree + 1))
    for j in range(degree - 1):
        scale = (4 * j + 6) ** -0.5
        coefficients[0, j, [j, j + 2]] = scale, -scale
        coefficients[1, j, j + 1] = -scale * (2 * j + 3)
    return Basis(_by_parity(coefficients))


def clamped_basis(degree: int) -> Basis:
    """Return φ_j up to an even degree, zero with their first derivatives at the walls; ∫ φ''_i φ''_j dξ = δ_ij.

        φ_j ∝ L_j − 2 (2 j + 5) / (2 j + 7) L_{j+2} + (2 j + 3) / (2 j + 7) L_{j+4}
        φ'_j ∝ −(2 j + 3) (L_{j+1} − L_{j+3}),    φ''_j ∝ (2 j + 3) (2 j + 5) L_{j+2}

    Source: Shen (1994), SIAM J. Sci. Comput. 15, 1489 (fourth-order equations).
    """
    coefficients = np.zeros((3, degree - 3, degree + 1))
    for j in range(degree - 3):
        scale = (2 * (2 * j + 3) ** 2 * (2 * j + 5)) ** -0.5
        ratio = (2 * j + 3) / (2 * j + 7)
        coefficients[0, j, [j, j + 2, j + 4]] = scale, -scale * (1 + ratio), scale * ratio
        coefficients[1, j, [j + 1, j + 3]] = -scale * (2 * j + 3), scale * (2 * j + 3)
        coefficients[2, j, j + 2] = scale * (2 * j + 3) * (2 * j + 5)
    return Basis(_by_parity(coefficients))


def _by_parity(coefficients: Array) -> Array:
    even, odd = coefficients[:, 0::2], coefficients[:, 1::2]
    missing = np.zeros_like(coefficients[:, : even.shape[1] - odd.shape[1]])
    return np.concatenate([even, odd, missing], axis=1)
