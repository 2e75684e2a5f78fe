"""Subgrid-scale stresses in three dimensions at the grid points, reduced (`eddymark.solvers.resolved`)."""

from __future__ import annotations

from typing import Any

from eddymark.solvers.compiled import rates
from eddymark.solvers.compiled.arrays import Array, Subgrid
from eddymark.solvers.compiled.compilation import compiled, driver

SMAGORINSKY, WALE, VREMAN, SIGMA, GRADIENT, CLIPPED_GRADIENT = range(6)
WORK = 14
"""Rows of work space that a stress needs, its own entries first."""


@compiled
def multiply_strain(factor: Any, rate: Array, strain: Array, out: Array) -> None:
    """Factor times rate times an entry of the strain rate."""
    for i in range(out.size):
        out[i] = factor * rate[i] * strain[i]


@compiled
def multiply_sum(p: Any, a: Array, q: Any, b: Array, rate: Array, out: Array) -> None:
    """Rate times p a + q b."""
    for i in range(out.size):
        out[i] = rate[i] * (p * a[i] + q * b[i])


@driver
def multiply_gradient(factor: Any, rate: Array, gradient: Array, out: Array) -> None:
    """Factor times rate times the strain rate of a gradient."""
    vx, wx, uy, vy, wy, uz, vz, wz = rates.rows(gradient)
    half = out.dtype.type(0.5) * factor
    multiply_sum(-factor, vy, -factor - factor, wz, rate, out[0])
    multiply_sum(half, uy, half, vx, rate, out[1])
    multiply_sum(half, uz, half, wx, rate, out[2])
    multiply_sum(factor, vy, -factor, wz, rate, out[3])
    multiply_sum(half, vz, half, wy, rate, out[4])


@compiled
def difference_of_squares(
    factor: Any, weights: Array, a: Array, b: Array, c: Array, p: Array, q: Array, r: Array, out: Array
) -> None:
    """Factor times the weighted sum of a² − p², b² − q², c² − r²."""
    x, y, z = factor * weights[0], factor * weights[1], factor * weights[2]
    for i in range(out.size):
        first, second, third = a[i] * a[i] - p[i] * p[i], b[i] * b[i] - q[i] * q[i], c[i] * c[i] - r[i] * r[i]
        out[i] = x * first + y * second + z * third


@compiled
def weighted_products(
    factor: Any, weights: Array, a: Array, b: Array, c: Array, p: Array, q: Array, r: Array, out: Array
) -> None:
    """Factor times the weighted sum of a p, b q, c r."""
    x, y, z = factor * weights[0], factor * weights[1], factor * weights[2]
    for i in range(out.size):
        out[i] = x * a[i] * p[i] + y * b[i] * q[i] + z * c[i] * r[i]


@driver
def gradient_products(factor: Any, weights: Array, gradient: Array, ux: Array, out: Array) -> None:
    """Factor times Σ_k weight_k ∂_k u_i ∂_k u_j, reduced; leaves ∂_1 u in `ux`."""
    vx, wx, uy, vy, wy, uz, vz, wz = rates.rows(gradient)
    rates.minus_sum(vy, wz, ux)
    difference_of_squares(factor, weights, ux, uy, uz, wx, wy, wz, out[0])
    difference_of_squares(factor, weights, vx, vy, vz, wx, wy, wz, out[3])
    weighted_products(factor, weights, ux, uy, uz, vx, vy, vz, out[1])
    weighted_products(factor, weights, ux, uy, uz, wx, wy, wz, out[2])
    weighted_products(factor, weights, vx, vy, vz, wx, wy, wz, out[4])


@compiled
def add_multiple(p: Any, a: Array, q: Any, b: Array, c: Array, out: Array) -> None:
    """Add (p a + q b) c."""
    for i in range(out.size):
        out[i] += (p * a[i] + q * b[i]) * c[i]


@compiled
def clip(contraction: Array, out: Array) -> None:
    """Set to zero where a contraction is not below zero."""
    zero = out.dtype.type(0)
    for i in range(out.size):
        out[i] = out[i] if contraction[i] < zero else zero


@driver
def clip_backscatter(gradient: Array, contraction: Array, out: Array) -> None:
    """Set a stress to zero where it gives energy to the resolved scales, τ_ij S_ij ≥ 0."""
    vx, wx, uy, vy, wy, uz, vz, wz = rates.rows(gradient)
    one = out.dtype.type(1)
    for i in range(contraction.size):
        contraction[i] = 0
    # τ_ij S_ij of the deviatoric parts: with S_33 = w_z the reduced diagonal entries weigh S_11 and S_22 themselves.
    add_multiple(-one, vy, -one, wz, out[0], contraction)
    add_multiple(one, vy, one - one, wz, out[3], contraction)
    add_multiple(one, uy, one, vx, out[1], contraction)
    add_multiple(one, uz, one, wx, out[2], contraction)
    add_multiple(one, vz, one, wy, out[4], contraction)
    for entry in range(5):
        clip(contraction, out[entry])


@driver
def find_stress(subgrid: Subgrid, coefficient: Any, fields: Array, work: Array) -> None:
    """Set the first rows of `work` to the stress whose factor is given.

    Arguments:
        subgrid: which model.
        coefficient: (C Δ)² or the like.
        fields: velocity, and strain rate or gradient, at the grid points.
        work: `(WORK, points)`.
    """
    kind, derived = subgrid.kind, fields[3:]
    factor, rate = -coefficient - coefficient, work[5]
    if kind == SMAGORINSKY:
        rates.strain_rate(derived[0], derived[1], derived[2], derived[3], derived[4], rate)
        for entry in range(5):
            multiply_strain(factor, rate, derived[entry], work[entry])
    elif kind == GRADIENT or kind == CLIPPED_GRADIENT:  # noqa: SIM109 (compiled sooner)
        gradient_products(coefficient, subgrid.weights, derived, rate, work)
        if kind == CLIPPED_GRADIENT:
            clip_backscatter(derived, rate, work)
    else:
        if kind == WALE:
            rates.wale(derived, subgrid.tiny, rate)
        elif kind == VREMAN:
            rates.vreman(derived, subgrid.weights, subgrid.tiny, rate)
        else:
            rates.sigma(derived, subgrid.series, subgrid.tiny, work[6:], rate)
        multiply_gradient(factor, rate, derived, work)
