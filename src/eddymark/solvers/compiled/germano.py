"""The coefficient of the dynamic Smagorinsky model, averaged over a volume (`eddymark.closures.dynamic_smagorinsky`).

The fluxes u_i u_j and |S| S_ij are transformed for the first Runge–Kutta stage of a step anyway; their test-filtered
modes are all that the coefficient needs of the grid. Two dimensions: `plane`.
"""

from __future__ import annotations

from typing import Any

from eddymark.solvers.compiled import rates
from eddymark.solvers.compiled.arrays import Array, Arrays, Buffers, Equations, Plans, Recipe, Subgrid, TestLevel
from eddymark.solvers.compiled.compilation import compiled, driver
from eddymark.solvers.compiled.direct import inverse_middle, product
from eddymark.solvers.compiled.modes import times, to_points
from eddymark.solvers.compiled.transforms import execute


@compiled
def filter_rows(source: Array, factor: Any, rows: int, row: int, target: Array, kept_rows: int, kept: int) -> None:
    """Copy the modes which a test filter keeps, times a factor, from `rows` rows of modes or points."""
    width = target.shape[0] // kept_rows
    for r in range(kept_rows):
        start = (r if r <= kept_rows // 2 else rows - kept_rows + r) * row
        modes, filtered = source[start : start + kept], target[r * width : r * width + kept]
        for i in range(kept):
            filtered[i] = times(factor, modes[i])


@driver
def filter_slabs(
    plans: Plans,
    b: Buffers,
    equations: Equations,
    tested: Equations,
    arrays: Arrays,
    level: TestLevel,
    start: int,
    stop: int,
) -> None:
    """Filter the state and the fluxes of the slabs which the test filter keeps."""
    row = b.plane.shape[1]
    points, kept = b.slab.shape[1] // row, tested.k_slab.size
    one = tested.k_last.dtype.type(1)
    for slab in range(start, stop):
        source = slab if slab <= kept // 2 else equations.k_slab.size - kept + slab
        for c in range(3):
            modes, filtered = arrays.state[c, source], level.state[c, slab]
            filter_rows(modes, one, equations.rows, row, filtered, tested.rows, tested.kept)
        for flux in range(10):
            execute(plans.first_forward, arrays.fluxes[flux, 0, source * row :], b.slab[flux])
            filtered = level.state[3 + flux, slab]
            filter_rows(b.slab[flux], equations.scale, points, row, filtered, tested.rows, tested.kept)


@compiled
def subtract_product(factor: Any, a: Array, b: Array, out: Array) -> None:
    """Subtract factor times a times b."""
    for i in range(out.size):
        out[i] -= factor * a[i] * b[i]


@compiled
def add_product(factor: Any, a: Array, b: Array, out: Array) -> None:
    """Add factor times a times b."""
    for i in range(out.size):
        out[i] += factor * a[i] * b[i]


@compiled
def subtract(a: Array, out: Array) -> None:
    """Subtract a field from another."""
    for i in range(out.size):
        out[i] -= a[i]


@driver
def add_contraction(a: Array, b: Array, out: Array) -> None:
    """Add a_ij b_ij of the deviatoric parts of two reduced tensors."""
    real = out.dtype.type
    add_product(real(2 / 3), a[0], b[0], out)
    add_product(real(2 / 3), a[3], b[3], out)
    add_product(real(-1 / 3), a[0], b[3], out)
    add_product(real(-1 / 3), a[3], b[0], out)
    for entry in (1, 2, 4):
        add_product(real(2), a[entry], b[entry], out)


@compiled
def total(values: Array) -> float:
    """Sum in double precision."""
    result = 0.0
    for i in range(values.size):
        result += values[i]
    return result


@driver
def sum_plane(plans: Plans, b: Buffers, tested: Equations, recipe: Recipe, subgrid: Subgrid, sums: Array) -> None:
    """Add up L_ij M_ij and M_ij M_ij over a plane of the test grid, M without its factor 2 Δ²."""
    half, width = b.padded.shape[0] // b.plane.shape[1] // 2, b.block.shape[1]
    rate, mixed, model = b.stress[0], b.stress[1], b.stress[2]
    leonard, models, strain = b.fields[3:8], b.fields[8:13], b.fields[13:18]
    mixed[:] = 0
    model[:] = 0
    for start in range(0, half, width):
        stop = min(half, start + width)
        if stop - start < width:
            b.block[:] = 0  # columns beyond the plane must add nothing
        to_points(plans, b, recipe, tested.k_last, start, stop, half, tested.kept)
        rates.strain_rate(strain[0], strain[1], strain[2], strain[3], strain[4], rate)
        for entry in range(5):
            subtract_product(subgrid.ratio_squared, rate, strain[entry], models[entry])
            product(b.fields, entry, b.product)
            subtract(b.product, leonard[entry])
        add_contraction(leonard, models, mixed)
        add_contraction(models, models, model)
    sums[0], sums[1] = total(mixed), total(model)


@driver
def test_planes(
    plans: Plans,
    b: Buffers,
    tested: Equations,
    recipe: Recipe,
    subgrid: Subgrid,
    level: TestLevel,
    start: int,
    stop: int,
) -> None:
    """Go through planes of the first axis of the test grid."""
    for x in range(start, stop):
        inverse_middle(plans, b, tested, recipe, level.lines, x)
        sum_plane(plans, b, tested, recipe, subgrid, level.sums[x])


@compiled
def find_coefficient(level: TestLevel, smallest: float, coefficient: Array) -> None:
    """Set the coefficient to C Δ² = ½ ⟨L_ij M_ij⟩ / ⟨M_ij M_ij⟩, not below zero; Δ² cancels."""
    mixed = model = 0.0
    for x in range(level.sums.shape[0]):
        mixed += level.sums[x, 0]
        model += level.sums[x, 1]
    coefficient[0] = max(0.5 * mixed / max(model, smallest), 0.0)
