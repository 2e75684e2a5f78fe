"""Compiled steps in three dimensions without a modelled stress, blocked so that transforms work in the cache.

Functions take a range of slabs, so that threads can share the work.
"""

from __future__ import annotations

from typing import Any

from eddymark.solvers.compiled.arrays import Array, Arrays, Buffers, Equations, Held, Plans, Recipe, Scheme
from eddymark.solvers.compiled.compilation import compiled, driver
from eddymark.solvers.compiled.forces import forcing_rate, hold_shells, measure_energy
from eddymark.solvers.compiled.modes import (
    combine_lines,
    gather,
    low_modes,
    spread,
    spread_derivative,
    spread_multiple,
    to_points,
    unpack,
)
from eddymark.solvers.compiled.runge_kutta import current_state, finish
from eddymark.solvers.compiled.transforms import execute


@compiled
def multiply(first: Array, second: Array, result: Array) -> None:
    """Product of two fields."""
    for i in range(result.size):
        result[i] = first[i] * second[i]


@compiled
def subtract_squares(first: Array, second: Array, result: Array) -> None:
    """a² − b² of two fields."""
    for i in range(result.size):
        result[i] = first[i] * first[i] - second[i] * second[i]


@driver
def product(fields: Array, flux: int, out: Array) -> None:
    """One entry of u_i u_j, reduced (`eddymark.solvers.resolved`)."""
    u, v, w = fields[0], fields[1], fields[2]
    if flux == 0:
        subtract_squares(u, w, out)
    elif flux == 1:
        multiply(u, v, out)
    elif flux == 2:
        multiply(u, w, out)
    elif flux == 3:
        subtract_squares(v, w, out)
    else:
        multiply(v, w, out)


@compiled
def products(u: Array, v: Array, w: Array, xx: Array, xy: Array, xz: Array, yy: Array, yz: Array) -> None:
    """All entries of u_i u_j, reduced."""
    for i in range(u.size):
        square = w[i] * w[i]
        xx[i] = u[i] * u[i] - square
        xy[i] = u[i] * v[i]
        xz[i] = u[i] * w[i]
        yy[i] = v[i] * v[i] - square
        yz[i] = v[i] * w[i]


@driver
def to_modes(plans: Plans, b: Buffers, flux: int, start: int, stop: int, half: int, kept: int) -> None:
    """Transform one flux at the grid points along the last axis: `b.product` to `b.fluxes`."""
    execute(plans.last_forward, b.product, b.transformed)
    unpack(b.transformed, b.fluxes[flux], start, stop, half, kept)


@driver
def plane_fluxes(plans: Plans, b: Buffers, equations: Equations, recipe: Recipe) -> None:
    """From the velocity of a plane to its fluxes, both spectral in the last axis: `b.plane` to `b.fluxes`."""
    half, width, kept = b.padded.shape[0] // b.plane.shape[1] // 2, b.block.shape[1], equations.kept
    for start in range(0, half, width):
        stop = min(half, start + width)
        to_points(plans, b, recipe, equations.k_last, start, stop, half, kept)
        p = b.stress
        products(b.fields[0], b.fields[1], b.fields[2], p[0], p[1], p[2], p[3], p[4])
        for flux in range(b.fluxes.shape[0]):
            execute(plans.last_forward, p[flux], b.transformed)
            unpack(b.transformed, b.fluxes[flux], start, stop, half, kept)


@driver
def inverse_first(
    plans: Plans,
    b: Buffers,
    equations: Equations,
    recipe: Recipe,
    state: Array,
    lines: Array,
    start: int,
    stop: int,
) -> None:
    """Transform the first axis of a state: slabs of the second axis to planes of the first one."""
    row = b.plane.shape[1]
    low = low_modes(equations.rows, row)
    for slab in range(start, stop):
        kept = slab % state.shape[1]
        for c in range(recipe.stored):
            if equations.convecting.size:
                spread_multiple(equations.convecting[slab], state[c, kept], b.first, low)
            else:
                spread(state[c, kept], b.first, low)
            execute(plans.first_inverse, b.first, lines[c, 0, slab * row :])
        for number in range(recipe.along_first.size):
            spread_derivative(equations.k_row, state[recipe.along_first[number], kept], b.first, low)
            execute(plans.first_inverse, b.first, lines[recipe.stored + number, 0, slab * row :])


@driver
def inverse_middle(plans: Plans, b: Buffers, equations: Equations, recipe: Recipe, lines: Array, x: int) -> None:
    """Transform the middle axis of plane x, whose combinations are formed on the way: lines to `b.plane`."""
    low = low_modes(equations.k_slab.size, b.plane.shape[1])
    for c in range(recipe.stored):
        spread(lines[c, x], b.padded, low)
        execute(plans.middle_inverse, b.padded, b.plane[c])
    for number in range(recipe.lines.shape[0]):
        combine_lines(recipe, number, lines[:, x], equations.k_slab, equations.k_last, b.padded)
        execute(plans.middle_inverse, b.padded, b.plane[recipe.stored + number])


@driver
def forward_middle(plans: Plans, b: Buffers, equations: Equations, fluxes: Array, count: int, x: int) -> None:
    """Transform the middle axis of the fluxes of plane x: `b.fluxes` to lines."""
    low = low_modes(equations.k_slab.size, b.plane.shape[1])
    for flux in range(count):
        execute(plans.middle_forward, b.fluxes[flux], b.returned)
        gather(b.returned, fluxes[flux, x], low)


@driver
def planes(
    plans: Plans,
    b: Buffers,
    equations: Equations,
    recipe: Recipe,
    lines: Array,
    fluxes: Array,
    start: int,
    stop: int,
) -> None:
    """From velocity to fluxes between the transforms of the first axis; slabs are the points of the first axis."""
    for x in range(start, stop):
        inverse_middle(plans, b, equations, recipe, lines, x)
        plane_fluxes(plans, b, equations, recipe)
        forward_middle(plans, b, equations, fluxes, fluxes.shape[0], x)


@driver
def finish_and_begin(
    plans: Plans,
    b: Buffers,
    equations: Equations,
    recipe: Recipe,
    scheme: Scheme,
    arrays: Arrays,
    stage: int,
    forcing: Any,
    start: int,
    stop: int,
) -> None:
    """Finish a stage and begin the next one of the same step, each slab while it is in the cache."""
    following = current_state(scheme, arrays, stage + 1)
    for slab in range(start, stop):
        finish(plans, b, equations, scheme, arrays, stage, forcing, slab, slab + 1)
        if stage + 1 < scheme.weights.shape[0]:
            inverse_first(plans, b, equations, recipe, following, arrays.lines, slab, slab + 1)


@driver
def advance(
    plans: Plans,
    b: Buffers,
    equations: Equations,
    recipe: Recipe,
    scheme: Scheme,
    held: Held,
    arrays: Arrays,
    steps: int,
) -> float:
    """Advance one trajectory in place; return the energy that the held shells have received."""
    slabs = equations.k_slab.size
    added = 0.0
    for _ in range(steps):
        if equations.damping.size:
            measure_energy(equations, arrays)
        inverse_first(plans, b, equations, recipe, arrays.state, arrays.lines, 0, slabs)
        for stage in range(scheme.weights.shape[0]):
            forcing = forcing_rate(equations, scheme, arrays, stage)
            planes(plans, b, equations, recipe, arrays.lines, arrays.fluxes, 0, arrays.lines.shape[1])
            finish_and_begin(plans, b, equations, recipe, scheme, arrays, stage, forcing, 0, slabs)
        if held.energies.size:
            added += hold_shells(equations, held, arrays.state)
    return added
