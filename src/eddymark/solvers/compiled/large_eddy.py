"""Compiled steps in three dimensions with a modelled stress; those without one are in `direct`."""

from __future__ import annotations

from typing import Any

from eddymark.solvers.compiled.arrays import (
    Array,
    Arrays,
    Buffers,
    Equations,
    Held,
    Plans,
    Recipe,
    Scheme,
    Subgrid,
    TestLevel,
)
from eddymark.solvers.compiled.compilation import compiled, driver
from eddymark.solvers.compiled.direct import forward_middle, inverse_first, inverse_middle, product, to_modes
from eddymark.solvers.compiled.forces import forcing_rate, hold_shells
from eddymark.solvers.compiled.germano import filter_slabs, find_coefficient, test_planes
from eddymark.solvers.compiled.modes import to_points
from eddymark.solvers.compiled.runge_kutta import current_state, finish
from eddymark.solvers.compiled.stresses import DYNAMIC_SMAGORINSKY, find_stress


@compiled
def add(first: Array, out: Array) -> None:
    """Add a field to another."""
    for i in range(out.size):
        out[i] += first[i]


@compiled
def copy(source: Array, target: Array) -> None:
    """Copy a field."""
    for i in range(target.size):
        target[i] = source[i]


@driver
def plane_fluxes(
    plans: Plans,
    b: Buffers,
    equations: Equations,
    recipe: Recipe,
    subgrid: Subgrid,
    coefficient: Any,
    separate: bool,
) -> None:
    """From the fields of a plane to the sum of its fluxes and stresses, or to both, spectral in the last axis."""
    half, width, kept = b.padded.shape[0] // b.plane.shape[1] // 2, b.block.shape[1], equations.kept
    for start in range(0, half, width):
        stop = min(half, start + width)
        to_points(plans, b, recipe, equations.k_last, start, stop, half, kept)
        find_stress(subgrid, coefficient, b.fields, b.stress)
        for flux in range(5):
            product(b.fields, flux, b.product)
            if not separate:
                add(b.stress[flux], b.product)
            to_modes(plans, b, flux, start, stop, half, kept)
            if separate:
                copy(b.stress[flux], b.product)
                to_modes(plans, b, 5 + flux, start, stop, half, kept)


@driver
def planes(
    plans: Plans,
    b: Buffers,
    equations: Equations,
    recipe: Recipe,
    subgrid: Subgrid,
    arrays: Arrays,
    coefficient: Any,
    separate: bool,
    start: int,
    stop: int,
) -> None:
    """From velocity to fluxes between the transforms of the first axis; slabs are the points of the first axis."""
    for x in range(start, stop):
        inverse_middle(plans, b, equations, recipe, arrays.lines, x)
        plane_fluxes(plans, b, equations, recipe, subgrid, coefficient, separate)
        forward_middle(plans, b, equations, arrays.fluxes, 10 if separate else 5, x)


@compiled
def first_factor(arrays: Arrays) -> Any:
    """Return what makes the stress of an eddy viscosity |S| S_ij."""
    return arrays.coefficient.dtype.type(-0.5)


@compiled
def is_separate(subgrid: Subgrid, stage: int) -> bool:
    """Return whether the coefficient of a step is still to be found, from fluxes without it."""
    return subgrid.kind == DYNAMIC_SMAGORINSKY and stage == 0


@driver
def advance(
    plans: Plans,
    b: Buffers,
    equations: Equations,
    recipe: Recipe,
    scheme: Scheme,
    held: Held,
    arrays: Arrays,
    subgrid: Subgrid,
    test_plans: Plans,
    test_buffers: Buffers,
    tested: Equations,
    test_recipe: Recipe,
    level: TestLevel,
    steps: int,
) -> float:
    """Advance one trajectory in place; return the energy that the held shells have received."""
    slabs = equations.k_slab.size
    added = 0.0
    for _ in range(steps):
        for stage in range(scheme.weights.shape[0]):
            forcing = forcing_rate(equations, scheme, arrays, stage)
            separate = is_separate(subgrid, stage)
            current = current_state(scheme, arrays, stage)
            inverse_first(plans, b, equations, recipe, current, arrays.lines, 0, slabs)
            coefficient = first_factor(arrays) if separate else arrays.coefficient[0]
            planes(plans, b, equations, recipe, subgrid, arrays, coefficient, separate, 0, arrays.lines.shape[1])
            if separate:
                kept, lines = tested.k_slab.size, level.lines
                filter_slabs(plans, b, equations, tested, arrays, level, 0, kept)
                inverse_first(test_plans, test_buffers, tested, test_recipe, level.state, lines, 0, kept)
                test_planes(test_plans, test_buffers, tested, test_recipe, subgrid, level, 0, lines.shape[1])
                find_coefficient(level, equations.smallest, arrays.coefficient)
            finish(plans, b, equations, scheme, arrays, stage, forcing, separate, 0, slabs)
        if held.energies.size:
            added += hold_shells(equations, held, arrays.state)
    return added
