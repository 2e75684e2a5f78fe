"""Germano's identity in two dimensions, in the complex variables of `plane`."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

from eddymark.solvers.compiled.arrays import Array, Arrays, Equations
from eddymark.solvers.compiled.averages import reduce
from eddymark.solvers.compiled.compilation import compiled, driver
from eddymark.solvers.compiled.modes import times
from eddymark.solvers.compiled.plane import (
    PlaneBuffers,
    PlanePlans,
    copy_kept,
    has_rows,
    row_at,
    scale_line,
    to_columns,
    to_lines,
    to_modes,
    zero,
)
from eddymark.solvers.compiled.plane_stresses import square
from eddymark.solvers.compiled.transforms import execute


class PlaneDynamic(NamedTuple):
    """A dynamic model in two dimensions; what it does not have is empty.

    Arguments:
        varies: the coefficient depends on the point.
        neighbourhood: transfer function of a local average, `(modes,)`.
        relaxation_time: T.
        share: ⟨M_ij M_ij⟩ counts as at least this share of its average over the plane.
        ratio_squared: α².
        similarity: transfer function of the filter of the similarity stress, `(modes,)`.
        tested_similarity: the same at the test level.
        rows: number of modes of the first axis which the test filter keeps.
        kept: number of modes of the last axis which the test filter keeps.
        velocity: the velocity among the fields.
        fields: velocity and strain rate.
    """

    varies: bool
    neighbourhood: Array
    relaxation_time: float
    share: float
    ratio_squared: Any
    similarity: Array
    tested_similarity: Array
    rows: int
    kept: int
    velocity: Array
    fields: Array


class PlaneLevel(NamedTuple):
    """What a thread needs to find the coefficient.

    Arguments:
        smooth_b: work space from the column of the smooth velocity on.
        stress_b: work space with the modes from |S| S_ij on.
        spare_b: work space with the modes after it, and the columns after those of the fields.
        smooth: equations with the similarity filter on the velocity (mixed model); tested_smooth: at the test level.
        sums: L_ij M_ij and M_ij M_ij added up over the averaged axes, `(2, points_2, points_1)`, with lengths 1.
        means: averages of both over the plane, `(2,)`.
        line: room for a row of modes, `(points_2,)`.
        found: a coefficient at the points of some lines, `(lines, points_1)`.
        stress: |S| S_ij without a coefficient that varies, `(points_2, points_1)`, or empty.
        coefficient: that coefficient, likewise.
    """

    smooth_b: PlaneBuffers
    stress_b: PlaneBuffers
    spare_b: PlaneBuffers
    smooth: Equations
    tested_smooth: Equations
    sums: Array
    means: Array
    line: Array
    found: Array
    stress: Array
    coefficient: Array


@compiled
def filter_line(factor: Any, source: Array, line: Array, points: int, kept: int) -> None:
    """Copy what a filter keeps, times a factor, of a line with all wavenumbers of the last axis."""
    for y in range(kept):
        line[y] = times(factor, source[y])
    for y in range(kept, points - kept + 1):
        line[y] = 0
    for y in range(points - kept + 1, points):
        line[y] = times(factor, source[y])


@compiled
def add_similarity(transfer: Array, smooth_square: Array, line: Array, points: int, kept: int) -> None:
    """From w² and w̃² to (1 + G) w² − w̃² in the modes of a line."""
    one = transfer.dtype.type(1)
    for y in range(kept):
        line[y] = times(one + transfer[y], line[y]) - smooth_square[y]
    for y in range(1, kept):
        line[points - y] = times(one + transfer[y], line[points - y]) - smooth_square[points - y]


@compiled
def subtract_smooth(factor: Any, transfer: Array, source: Array, line: Array, points: int, kept: int) -> None:
    """Subtract a multiple of a filtered line."""
    for y in range(kept):
        line[y] -= times(factor * transfer[y], source[y])
    for y in range(1, kept):
        line[points - y] -= times(factor * transfer[y], source[points - y])


@driver
def join_similarity(b: PlaneBuffers, equations: Equations, model: PlaneDynamic, sizes: tuple[int, int]) -> None:
    """Join the two fluxes of the mixed model in `b.modes`."""
    width = equations.k_row.size // equations.rows
    for row in range(equations.rows):
        position = row if row <= equations.rows // 2 else row + sizes[0] - equations.rows
        transfer = model.similarity[row * width : row * width + equations.kept]
        add_similarity(transfer, b.modes[1, position], b.modes[0, position], sizes[1], equations.kept)


@compiled
def add_square(w: Array, out: Array) -> None:
    """Add w²."""
    for i in range(w.size):
        out[i] += complex(w[i].real * w[i].real - w[i].imag * w[i].imag, (w[i].real + w[i].real) * w[i].imag)


@compiled
def contract(ratio_squared: Any, w: Array, strain: Array, flux: Array, stress: Array) -> None:
    """Turn real and imaginary parts of w into L_ij M_ij and M_ij M_ij, times a common factor."""
    for i in range(w.size):
        rate = ratio_squared * math.sqrt(strain[i].real * strain[i].real + strain[i].imag * strain[i].imag)
        first = flux[i].real - (w[i].real * w[i].real - w[i].imag * w[i].imag)
        second = flux[i].imag - (w[i].real + w[i].real) * w[i].imag
        a, c = stress[i].real - rate * strain[i].real, stress[i].imag - rate * strain[i].imag
        w[i] = complex(first * a + second * c, a * a + c * c)


@driver
def square_velocity(plans: PlanePlans, b: PlaneBuffers, level: PlaneLevel, rows: int, sizes: tuple[int, int]) -> None:
    """Transform ŵ² of the test level from `b.columns` to the modes of the spare flux."""
    count = b.points.shape[1]
    flux = b.points[0].reshape(-1)
    for first in range(0, sizes[1], count):
        execute(plans.first_inverse, b.columns[0, first], flux)
        square(flux)
        execute(plans.first_forward, flux, b.returned)
        copy_kept(b.returned, level.spare_b.columns[0, first : first + count], sizes[0], rows)
    to_modes(plans, level.spare_b, 1, sizes, rows)


@driver
def filter_fluxes(
    plans: PlanePlans,
    b: PlaneBuffers,
    equations: Equations,
    model: PlaneDynamic,
    level: PlaneLevel,
    fields: int,
    sizes: tuple[int, int],
) -> None:
    """Filter the modes of flux and stress, and bring them to the columns after those of some fields."""
    lines, scale = b.lines.shape[0], equations.scale + equations.scale
    width = equations.k_row.size // equations.rows
    for flux in range(2):
        source = level.stress_b.modes[0] if flux == 1 else b.modes[0]
        for first in range(0, sizes[0], lines):
            if not has_rows(first, lines, sizes[0], model.rows):
                continue
            for j in range(lines):
                position = first + j
                row = row_at(position, sizes[0], model.rows)
                if row < 0:
                    zero(b.lines[j])
                    continue
                line = b.lines[j]
                filter_line(scale, source[position], line, sizes[1], model.kept)
                if flux == 0 and model.similarity.size > 0:
                    start = (row if row <= model.rows // 2 else row + equations.rows - model.rows) * width
                    transfer = model.similarity[start : start + width]
                    filter_line(scale, b.modes[1, position], level.line, sizes[1], model.kept)
                    add_similarity(transfer, level.line, line, sizes[1], model.kept)
                    transfer = model.tested_similarity[start : start + width]
                    subtract_smooth(scale, transfer, level.spare_b.modes[0, position], line, sizes[1], model.kept)
            execute(plans.last_inverse, b.lines, b.columns[fields + flux, 0, first:])


@driver
def compare(
    plans: PlanePlans,
    b: PlaneBuffers,
    equations: Equations,
    model: PlaneDynamic,
    level: PlaneLevel,
    fields: int,
    sizes: tuple[int, int],
) -> None:
    """Form L_ij M_ij and M_ij M_ij at the grid points: their sums, or both on their way to a local average."""
    count = b.points.shape[1]
    points = b.points.reshape(b.points.shape[0], -1)
    local = model.neighbourhood.size > 0
    level.sums[:] = 0
    for first in range(0, sizes[1], count):
        for field in range(fields + 2):
            execute(plans.first_inverse, b.columns[field, first], points[field])
        if fields == 3:
            add_square(points[2], points[fields])
        contract(model.ratio_squared, points[0], points[1], points[fields], points[fields + 1])
        if local:
            to_lines(plans, level.spare_b, equations, sizes[0], points[0], 0, first)
        else:
            for line in range(min(count, sizes[1] - first)):
                y = (first + line) % level.sums.shape[1]
                terms = b.points[0, line : line + 1, : sizes[0]]
                reduce(terms.real, level.sums[0, y : y + 1])
                reduce(terms.imag, level.sums[1, y : y + 1])


@driver
def average(
    plans: PlanePlans,
    b: PlaneBuffers,
    equations: Equations,
    model: PlaneDynamic,
    level: PlaneLevel,
    sizes: tuple[int, int],
) -> None:
    """Average both locally: from the spare flux to the first of `b.columns`."""
    lines, scale = b.lines.shape[0], equations.scale + equations.scale
    width = equations.k_row.size // equations.rows
    to_modes(plans, level.spare_b, 1, sizes, equations.rows)
    modes = level.spare_b.modes[0]
    level.means[0], level.means[1] = scale * modes[0, 0].real, scale * modes[0, 0].imag
    for first in range(0, sizes[0], lines):
        if not has_rows(first, lines, sizes[0], equations.rows):
            continue
        for j in range(lines):
            row = row_at(first + j, sizes[0], equations.rows)
            if row < 0:
                zero(b.lines[j])
                continue
            filter_line(scale, modes[first + j], b.lines[j], sizes[1], equations.kept)
            scale_line(model.neighbourhood[row * width : (row + 1) * width], b.lines[j], sizes[1], equations.kept)
        execute(plans.last_inverse, b.lines, b.columns[0, 0, first:])


@driver
def evaluate(
    plans: PlanePlans,
    b: PlaneBuffers,
    equations: Equations,
    model: PlaneDynamic,
    arrays: Arrays,
    level: PlaneLevel,
    sizes: tuple[int, int],
) -> None:
    """Evaluate Germano's identity with the modes of the fluxes of the first stage of a step, up to the averages."""
    state = arrays.state[:, 0]
    fields = 2
    # `b.columns` beyond what the test filter keeps must be zero here; each stage sets all of what it needs again.
    for column in range(b.columns.shape[0]):
        zero(b.columns[column].reshape(-1))
    to_columns(plans, b, equations, state, model.fields, sizes, model.rows, model.kept)
    if model.similarity.size > 0:
        smooth_b = level.smooth_b
        to_columns(plans, smooth_b, level.tested_smooth, state, model.velocity, sizes, model.rows, model.kept)
        square_velocity(plans, b, level, model.rows, sizes)
        fields = 3
    filter_fluxes(plans, b, equations, model, level, fields, sizes)
    compare(plans, b, equations, model, level, fields, sizes)
    if model.neighbourhood.size > 0:
        average(plans, b, equations, model, level, sizes)
