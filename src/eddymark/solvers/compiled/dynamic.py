"""Compiled steps in three dimensions with dynamic models: dynamic Smagorinsky and dynamic mixed.

In the first stage of a step |S| S_ij is transformed beside the fluxes, for Germano's identity. A coefficient that is
the same everywhere multiplies what has come of it; one that varies multiplies |S| S_ij at the grid points, where it was
kept, and the stress is transformed once more.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from eddymark.solvers.compiled import rates
from eddymark.solvers.compiled.arrays import Array, Arrays, Buffers, Equations, Held, Plans, Recipe, Scheme
from eddymark.solvers.compiled.averages import copy, divide, expand, find_ratios, relax, relaxation_weight
from eddymark.solvers.compiled.compilation import compiled, driver
from eddymark.solvers.compiled.direct import forward_middle, inverse_first, inverse_middle, multiply, product, to_modes
from eddymark.solvers.compiled.forces import forcing_rate, hold_shells
from eddymark.solvers.compiled.germano import DynamicModel, TestLevel, evaluate
from eddymark.solvers.compiled.large_eddy import add
from eddymark.solvers.compiled.modes import low_modes, to_points
from eddymark.solvers.compiled.runge_kutta import current_state, finish_slab
from eddymark.solvers.compiled.stresses import multiply_strain
from eddymark.solvers.compiled.transfer import add_gathered, add_multiple, add_similarity, smooth
from eddymark.solvers.compiled.transforms import execute


class Varying(NamedTuple):
    """A coefficient that varies, and the stress without it; empty if it is the same everywhere.

    Arguments:
        b: the part of a thread's work space which two fields need.
        recipe: these two.
        means: averages of L_ij M_ij and M_ij M_ij over the volume, `(2,)`.
        stress: |S| S_ij in blocks, `(5, points_1, blocks, 2 · points_3 · width)`.
        coefficient: C Δ² in blocks, `(points_1, blocks, 2 · points_3 · width)`.
    """

    b: Buffers
    recipe: Recipe
    means: Array
    stress: Array
    coefficient: Array


@compiled
def eddy_factor(model: DynamicModel, arrays: Arrays) -> Any:
    """Return what C Δ² |S| S_ij, or |S| S_ij, is multiplied with where it is added to the fluxes.

    Those of the mixed model which the similarity filter leaves alone are subtracted in the end.
    """
    twice = arrays.coefficient[0] + arrays.coefficient[0]
    return twice if model.similarity.size > 0 else -twice


@driver
def smooth_slabs(model: DynamicModel, state: Array, smoothed: Array, start: int, stop: int) -> None:
    """Set the state of a stage and its smoothed form (mixed model)."""
    for slab in range(start, stop):
        for c in range(3):
            copy(state[c, slab], smoothed[c, slab])
            smooth(model.similarity[slab], state[c, slab], smoothed[3 + c, slab])


@driver
def dynamic_planes(
    plans: Plans,
    b: Buffers,
    equations: Equations,
    recipe: Recipe,
    model: DynamicModel,
    arrays: Arrays,
    varying: Varying,
    factor: Any,
    first_stage: bool,
    start: int,
    stop: int,
) -> None:
    """From velocity to fluxes between the transforms of the first axis; slabs are the points of the first axis.

    The stress is added to the fluxes, or comes after them in the first stage, without its coefficient.
    """
    half, width, kept = b.padded.shape[0] // b.plane.shape[1] // 2, b.block.shape[1], equations.kept
    similar = model.similarity.size > 0
    count = 10 if similar else 5
    strain, rate = b.fields[6 if similar else 3 :], b.stress[0]
    for x in range(start, stop):
        inverse_middle(plans, b, equations, recipe, arrays.lines, x)
        for first in range(0, half, width):
            last, block = min(half, first + width), first // width
            to_points(plans, b, recipe, equations.k_last, first, last, half, kept)
            rates.strain_rate(strain[0], strain[1], strain[2], strain[3], strain[4], rate)
            if model.varies and not first_stage:
                multiply(rate, varying.coefficient[x, block], rate)
            for flux in range(5):
                multiply_strain(factor, rate, strain[flux], b.stress[1])
                product(b.fields, flux, b.product)
                if similar:
                    to_modes(plans, b, flux, first, last, half, kept)
                    product(b.fields[3:], flux, b.product)
                if not first_stage:
                    add(b.stress[1], b.product)
                to_modes(plans, b, count - 5 + flux, first, last, half, kept)
                if first_stage:
                    copy(b.stress[1], b.product)
                    to_modes(plans, b, count + flux, first, last, half, kept)
                    if model.varies:
                        copy(b.stress[1], varying.stress[flux, x, block])
        forward_middle(plans, b, equations, arrays.fluxes, count + 5 if first_stage else count, x)


@driver
def stress_planes(
    plans: Plans,
    b: Buffers,
    equations: Equations,
    model: DynamicModel,
    arrays: Arrays,
    level: TestLevel,
    varying: Varying,
    weight: Any,
    factor: Any,
    start: int,
    stop: int,
) -> None:
    """Find a varying coefficient at the points of some planes, and add the stress with it to the fluxes."""
    half, width, kept = b.padded.shape[0] // b.plane.shape[1] // 2, b.block.shape[1], equations.kept
    local = model.neighbourhood.size > 0
    offset = 5 if model.similarity.size > 0 else 0
    low = low_modes(equations.k_slab.size, b.plane.shape[1])
    least = b.product.dtype.type(max(model.share * varying.means[1], equations.smallest))
    blocks = level.sums.shape[2]
    for x in range(start, stop):
        if local:
            inverse_middle(plans, varying.b, equations, varying.recipe, arrays.lines, x)
        for first in range(0, half, width):
            last, block = min(half, first + width), first // width
            if local:
                to_points(plans, varying.b, varying.recipe, equations.k_last, first, last, half, kept)
                divide(varying.b.fields[0], varying.b.fields[1], least, b.product)
            else:
                sums = level.sums[0, 0 if model.averaged[0] else x, block % blocks]
                expand(sums, b.product.reshape(-1, 2 * width))
            coefficient = varying.coefficient[x, block]
            relax(weight, b.product, coefficient)
            for flux in range(5):
                multiply_strain(factor, coefficient, varying.stress[flux, x, block], b.product)
                to_modes(plans, b, flux, first, last, half, kept)
        for flux in range(5):
            execute(plans.middle_forward, b.fluxes[flux], b.returned)
            add_gathered(b.returned, arrays.fluxes[offset + flux, x], low)


@driver
def find_coefficient(
    equations: Equations, scheme: Scheme, model: DynamicModel, level: TestLevel, cells: int, coefficient: Array
) -> Any:
    """Turn the sums of the test level into coefficients, if they are averages, and return the weight of the new ones.

    One that is the same everywhere is set to C Δ²; otherwise it becomes a factor of one.
    """
    weight = relaxation_weight(scheme, model.relaxation_time, coefficient[0])
    if model.neighbourhood.size == 0:
        sums = level.sums
        both = sums.reshape(2, sums.shape[1], -1)
        find_ratios(both, model.averaged[0], cells, model.share, equations.smallest)
    if model.varies:
        coefficient[0] = 1
    else:
        relax(weight, level.sums[0, 0, 0, 0].astype(coefficient.dtype), coefficient)
    return weight


@driver
def finish(
    plans: Plans,
    b: Buffers,
    equations: Equations,
    scheme: Scheme,
    model: DynamicModel,
    arrays: Arrays,
    stage: int,
    forcing: Any,
    start: int,
    stop: int,
) -> None:
    """Last transform of the fluxes and the Runge–Kutta stage; slabs are the modes of the second axis."""
    row = b.plane.shape[1]
    separate, similar = stage == 0 and not model.varies, model.similarity.size > 0
    count = 10 if similar else 5
    factor = eddy_factor(model, arrays)
    for slab in range(start, stop):
        for flux in range(count + 5 if separate else count):
            execute(plans.first_forward, arrays.fluxes[flux, 0, slab * row :], b.slab[flux])
        for flux in range(5):
            if separate:
                add_multiple(factor, b.slab[count + flux], b.slab[count - 5 + flux])
            if similar:
                add_similarity(model.similarity[slab], b.slab[5 + flux], b.slab[flux], low_modes(equations.rows, row))
        finish_slab(b.slab, b.rate, equations, scheme, arrays, stage, forcing, slab)


@driver
def advance(
    plans: Plans,
    b: Buffers,
    equations: Equations,
    recipe: Recipe,
    scheme: Scheme,
    held: Held,
    arrays: Arrays,
    smoothed: Array,
    model: DynamicModel,
    level: TestLevel,
    varying: Varying,
    cells: int,
    steps: int,
) -> float:
    """Advance one trajectory in place; return the energy that the held shells have received."""
    slabs, points = equations.k_slab.size, arrays.lines.shape[1]
    similar = model.similarity.size > 0
    one = arrays.coefficient.dtype.type(1)
    added = 0.0
    for _ in range(steps):
        for stage in range(scheme.weights.shape[0]):
            forcing = forcing_rate(equations, scheme, arrays, stage)
            current = current_state(scheme, arrays, stage)
            if similar:
                smooth_slabs(model, current, smoothed, 0, slabs)
                current = smoothed
            inverse_first(plans, b, equations, recipe, current, arrays.lines, 0, slabs)
            factor = one if stage == 0 else eddy_factor(model, arrays)
            dynamic_planes(plans, b, equations, recipe, model, arrays, varying, factor, stage == 0, 0, points)
            if stage == 0:
                evaluate(plans, b, equations, model, arrays, level, varying.means)
                weight = find_coefficient(equations, scheme, model, level, cells, arrays.coefficient)
                if model.varies:
                    factor = eddy_factor(model, arrays)
                    stress_planes(plans, b, equations, model, arrays, level, varying, weight, factor, 0, points)
            finish(plans, b, equations, scheme, model, arrays, stage, forcing, 0, slabs)
        if held.energies.size:
            added += hold_shells(equations, held, arrays.state)
    return added
