"""Averages of fields at the grid points, and the coefficient which is their ratio.

Fields lie in blocks of columns (`arrays.Buffers`): points of the last axis times lanes, a lane being a point of the
middle axis. Sums over axes have length 1 there.
"""

from __future__ import annotations

from typing import Any

from eddymark.solvers.compiled.arrays import Array, Scheme
from eddymark.solvers.compiled.compilation import compiled


@compiled
def clear(values: Array) -> None:
    """Set a field to zero."""
    for i in range(values.size):
        values[i] = 0


@compiled
def copy(source: Array, target: Array) -> None:
    """Copy a field."""
    for i in range(target.size):
        target[i] = source[i]


@compiled
def reduce(values: Array, sums: Array) -> None:
    """Add a block to sums in double precision, `(points or 1, lanes or 1)`."""
    lanes = values.shape[1]
    for z in range(values.shape[0]):
        row, result = values[z], sums[z % sums.shape[0]]
        if result.size == lanes:
            for lane in range(lanes):
                result[lane] += row[lane]
        else:
            total = 0.0
            for lane in range(lanes):
                total += row[lane]
            result[0] += total


@compiled
def expand(sums: Array, values: Array) -> None:
    """Set a block to what is the same along some axes, `(points or 1, lanes or 1)`."""
    lanes = values.shape[1]
    for z in range(values.shape[0]):
        row, source = values[z], sums[z % sums.shape[0]]
        if source.size == lanes:
            for lane in range(lanes):
                row[lane] = source[lane]
        else:
            value = row.dtype.type(source[0])
            for lane in range(lanes):
                row[lane] = value


@compiled
def find_ratios(sums: Array, averaged: bool, cells: int, share: float, smallest: float) -> None:
    """Turn sums of L_ij M_ij and M_ij M_ij into C Δ² = ½ ⟨L_ij M_ij⟩ / ⟨M_ij M_ij⟩, not below zero, in the first one.

    Arguments:
        sums: both sums, `(2, points of the first axis, sums)`.
        averaged: averages are over the first axis, too; the result is at its first point.
        cells: how many averages there are.
        share: the denominator counts as at least this share of its average over the volume.
        smallest: smallest positive number of the precision.
    """
    numbers = sums.shape[2]
    points = sums.shape[1]
    if averaged:
        for x in range(1, points):
            for term in range(2):
                for i in range(numbers):
                    sums[term, 0, i] += sums[term, x, i]
        points = 1
    total = 0.0
    for x in range(points):
        for i in range(numbers):
            total += sums[1, x, i]
    least = max(share * total / cells, smallest)
    for x in range(points):
        for i in range(numbers):
            sums[0, x, i] = max(0.5 * sums[0, x, i] / max(sums[1, x, i], least), 0.0)


@compiled
def divide(mixed: Array, model: Array, least: Any, out: Array) -> None:
    """C Δ² = ½ ⟨L_ij M_ij⟩ / ⟨M_ij M_ij⟩, not below zero, the denominator not below its least value."""
    half, zero = out.dtype.type(0.5), out.dtype.type(0)
    for i in range(out.size):
        out[i] = max(half * mixed[i] / max(model[i], least), zero)


@compiled
def relax(weight: Any, found: Array, coefficient: Array) -> None:
    """Move a coefficient towards what has been found; with the weight one it is set to it, whatever it was."""
    if weight == 1:
        for i in range(found.size):
            coefficient[i] = found[i]
    else:
        for i in range(found.size):
            coefficient[i] += weight * (found[i] - coefficient[i])


@compiled
def relaxation_weight(scheme: Scheme, relaxation_time: float, previous: Any) -> Any:
    """Return ε = Δt / (Δt + T), or one in the first step, before which there is no coefficient but −1."""
    real = scheme.weights.dtype.type
    step = scheme.weights[2, 0] if scheme.weights.shape[0] == 4 else scheme.weights[0, 2]
    if relaxation_time == 0 or previous < 0:
        return real(1)
    return real(step / (step + relaxation_time))
