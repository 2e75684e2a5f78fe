"""Germano's identity in three dimensions, the same equations as in `eddymark.closures` at the level of the test filter.

The fluxes u_i u_j and |S| S_ij are transformed for the first Runge–Kutta stage of a step anyway; their test-filtered
modes, and those of the similarity stress of the mixed model, are all that the dynamic coefficient needs of the grid.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from eddymark.solvers.compiled import rates
from eddymark.solvers.compiled.arrays import Array, Arrays, Buffers, Equations, Plans, Recipe
from eddymark.solvers.compiled.averages import clear, copy, reduce
from eddymark.solvers.compiled.compilation import compiled, driver
from eddymark.solvers.compiled.direct import forward_middle, inverse_first, inverse_middle, planes, product, to_modes
from eddymark.solvers.compiled.large_eddy import add
from eddymark.solvers.compiled.modes import low_modes, to_points
from eddymark.solvers.compiled.transfer import add_similarity, filter_rows, smooth, subtract_smooth, weigh
from eddymark.solvers.compiled.transforms import execute


class DynamicModel(NamedTuple):
    """A dynamic model in 3-D; what it does not have is empty.

    Arguments:
        varies: the coefficient depends on the point.
        averaged: whether averages are over each axis.
        neighbourhood: transfer function of a local average, `(slabs, modes)`.
        relaxation_time: T.
        share: ⟨M_ij M_ij⟩ counts as at least this share of its average over the volume.
        ratio_squared: α².
        similarity: transfer function of the filter of the similarity stress, `(slabs, modes)`.
        tested_similarity: the same at the test level, in the modes of its space.
    """

    varies: bool
    averaged: tuple[bool, bool, bool]
    neighbourhood: Array
    relaxation_time: float
    share: float
    ratio_squared: Any
    similarity: Array
    tested_similarity: Array


class TestLevel(NamedTuple):
    """Where Germano's identity is evaluated in 3-D.

    Arguments:
        plans: transforms of its grid.
        b: work space of the thread.
        velocity_b: the part of it that the velocity needs.
        equations: its wavenumbers.
        recipe: all fields; velocity_recipe: the velocity alone.
        state: what is test-filtered, `(fields, slabs, modes)`: û, its smoothed form in the mixed model, what gives L_ij
            (L_ij − H_ij) with their products, |S| S_ij.
        lines: the same and what the strain rate needs after the inverse transform of the first axis.
        fluxes: û_i û_j before the forward transform of the first axis (mixed model).
        sums: L_ij M_ij and M_ij M_ij added up over the averaged axes of each plane of the first axis,
            `(2, points_1, blocks, points_3, lanes)`, with lengths 1 (`averages`).
    """

    plans: Plans
    b: Buffers
    velocity_b: Buffers
    equations: Equations
    recipe: Recipe
    velocity_recipe: Recipe
    state: Array
    lines: Array
    fluxes: Array
    sums: Array


@driver
def filter_slabs(
    plans: Plans,
    b: Buffers,
    equations: Equations,
    model: DynamicModel,
    arrays: Arrays,
    level: TestLevel,
    start: int,
    stop: int,
) -> None:
    """Filter the state and the fluxes of the slabs which the test filter keeps."""
    row, tested = b.plane.shape[1], level.equations
    points, kept = b.slab.shape[1] // row, tested.k_slab.size
    one = tested.k_last.dtype.type(1)
    similar = model.similarity.size > 0
    fluxes, fields = (10, 6) if similar else (5, 3)
    for slab in range(start, stop):
        source = slab if slab <= kept // 2 else equations.k_slab.size - kept + slab
        for c in range(3):
            modes, filtered = arrays.state[c, source], level.state[c, slab]
            filter_rows(modes, one, equations.rows, row, filtered, tested.rows, tested.kept)
            if similar:
                smooth(model.tested_similarity[slab], filtered, level.state[3 + c, slab])
        for flux in range(fluxes + 5):
            execute(plans.first_forward, arrays.fluxes[flux, 0, source * row :], b.slab[flux])
        for flux in range(5):
            if similar:
                add_similarity(model.similarity[source], b.slab[5 + flux], b.slab[flux], low_modes(equations.rows, row))
            filtered = level.state[fields + flux, slab]
            filter_rows(b.slab[flux], equations.scale, points, row, filtered, tested.rows, tested.kept)
            filtered = level.state[fields + 5 + flux, slab]
            filter_rows(b.slab[fluxes + flux], equations.scale, points, row, filtered, tested.rows, tested.kept)


@driver
def subtract_products(model: DynamicModel, level: TestLevel, start: int, stop: int) -> None:
    """Subtract the filtered û_i û_j of the similarity stress of the test level from what gives L_ij − H_ij."""
    row, tested = level.b.plane.shape[1], level.equations
    low = low_modes(tested.rows, row)
    for slab in range(start, stop):
        for flux in range(5):
            execute(level.plans.first_forward, level.fluxes[flux, 0, slab * row :], level.b.slab[flux])
            transfer, target = model.tested_similarity[slab], level.state[6 + flux, slab]
            subtract_smooth(transfer, tested.scale, level.b.slab[flux], target, low)


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


@driver
def add_terms(model: DynamicModel, level: TestLevel) -> None:
    """Add L_ij M_ij and M_ij M_ij of a block of test-level fields to rows of its work space, M without its 2 Δ²."""
    b = level.b
    similar = model.similarity.size > 0
    first = 6 if similar else 3
    leonard, models, strain = b.fields[first : first + 5], b.fields[first + 5 : first + 10], b.fields[first + 10 :]
    rate, mixed, squared = b.stress[0], b.stress[1], b.stress[2]
    rates.strain_rate(strain[0], strain[1], strain[2], strain[3], strain[4], rate)
    for entry in range(5):
        subtract_product(model.ratio_squared, rate, strain[entry], models[entry])
        product(b.fields, entry, b.product)
        subtract(b.product, leonard[entry])
        if similar:
            product(b.fields[3:], entry, b.product)
            add(b.product, leonard[entry])
    add_contraction(leonard, models, mixed)
    add_contraction(models, models, squared)


@driver
def compare_planes(
    plans: Plans,
    b: Buffers,
    equations: Equations,
    model: DynamicModel,
    arrays: Arrays,
    level: TestLevel,
    start: int,
    stop: int,
) -> None:
    """Form L_ij M_ij and M_ij M_ij of planes of the first axis: sums, or fields on their way to a local average.

    These take the places of |S| S_ij in the fluxes, which the test filter has seen; grid and blocks are the same.
    """
    t, tested = level.b, level.equations
    half, width = t.padded.shape[0] // t.plane.shape[1] // 2, t.block.shape[1]
    local, whole_planes = model.neighbourhood.size > 0, model.averaged[1]
    unused = arrays.fluxes[10 if model.similarity.size > 0 else 5 :]
    for x in range(start, stop):
        inverse_middle(level.plans, t, tested, level.recipe, level.lines, x)
        for first in range(0, half, width):
            last = min(half, first + width)
            if last - first < width:
                t.block[:] = 0  # columns beyond the plane must add nothing
            to_points(level.plans, t, level.recipe, tested.k_last, first, last, half, tested.kept)
            if first == 0 or not whole_planes:
                clear(t.stress[1])
                clear(t.stress[2])
            add_terms(model, level)
            for term in range(2):
                terms = t.stress[1 + term]
                if local:
                    copy(terms, b.product)
                    to_modes(plans, b, term, first, last, half, equations.kept)
                elif not whole_planes:
                    sums = level.sums[term, x, first // width]
                    sums[:] = 0
                    reduce(terms.reshape(-1, 2 * width), sums)
        if local:
            forward_middle(plans, b, equations, unused, 2, x)
        elif whole_planes:
            for term in range(2):
                sums = level.sums[term, x, 0]
                sums[:] = 0
                reduce(t.stress[1 + term].reshape(-1, 2 * width), sums)


@driver
def average_slabs(
    plans: Plans,
    b: Buffers,
    equations: Equations,
    model: DynamicModel,
    arrays: Arrays,
    means: Array,
    start: int,
    stop: int,
) -> None:
    """Average L_ij M_ij and M_ij M_ij locally; leave the averages over the volume in `means`, the fields in lines."""
    row = b.plane.shape[1]
    low = low_modes(equations.rows, row)
    first = 10 if model.similarity.size > 0 else 5
    for slab in range(start, stop):
        for term in range(2):
            execute(plans.first_forward, arrays.fluxes[first + term, 0, slab * row :], b.slab[term])
            weigh(model.neighbourhood[slab], equations.scale, b.slab[term], b.first, low)
            if slab == 0:
                means[term] = b.first[0].real
            execute(plans.first_inverse, b.first, arrays.lines[term, 0, slab * row :])


@driver
def evaluate(
    plans: Plans,
    b: Buffers,
    equations: Equations,
    model: DynamicModel,
    arrays: Arrays,
    level: TestLevel,
    means: Array,
) -> None:
    """Evaluate Germano's identity with the fluxes of the first stage of a step, up to the averages."""
    t, velocity, tested, lines = level.plans, level.velocity_b, level.equations, level.lines
    kept, points = tested.k_slab.size, lines.shape[1]
    filter_slabs(plans, b, equations, model, arrays, level, 0, kept)
    if model.similarity.size > 0:
        inverse_first(t, velocity, tested, level.velocity_recipe, level.state, lines, 0, kept)
        planes(t, velocity, tested, level.velocity_recipe, lines, level.fluxes, 0, points)
        subtract_products(model, level, 0, kept)
    inverse_first(t, level.b, tested, level.recipe, level.state, lines, 0, kept)
    compare_planes(plans, b, equations, model, arrays, level, 0, points)
    if model.neighbourhood.size > 0:
        average_slabs(plans, b, equations, model, arrays, means, 0, equations.k_slab.size)
