"""Compiled steps in three dimensions with a modelled stress; without one: `direct`, with a dynamic one: `dynamic`."""

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
)
from eddymark.solvers.compiled.compilation import compiled, driver
from eddymark.solvers.compiled.direct import forward_middle, inverse_first, inverse_middle, product, to_modes
from eddymark.solvers.compiled.forces import forcing_rate, hold_shells
from eddymark.solvers.compiled.modes import to_points
from eddymark.solvers.compiled.runge_kutta import current_state, finish
from eddymark.solvers.compiled.stresses import find_stress


@compiled
def add(first: Array, out: Array) -> None:
    """Add a field to another."""
    for i in range(out.size):
        out[i] += first[i]


@driver
def plane_fluxes(
    plans: Plans,
    b: Buffers,
    equations: Equations,
    recipe: Recipe,
    subgrid: Subgrid,
    coefficient: Any,
) -> None:
    """From the fields of a plane to the sum of its fluxes and stresses, spectral in the last axis."""
    half, width, kept = b.padded.shape[0] // b.plane.shape[1] // 2, b.block.shape[1], equations.kept
    for start in range(0, half, width):
        stop = min(half, start + width)
        to_points(plans, b, recipe, equations.k_last, start, stop, half, kept)
        find_stress(subgrid, coefficient, b.fields, b.stress)
        for flux in range(5):
            product(b.fields, flux, b.product)
            add(b.stress[flux], b.product)
            to_modes(plans, b, flux, start, stop, half, kept)


@driver
def planes(
    plans: Plans,
    b: Buffers,
    equations: Equations,
    recipe: Recipe,
    subgrid: Subgrid,
    arrays: Arrays,
    start: int,
    stop: int,
) -> None:
    """From velocity to fluxes between the transforms of the first axis; slabs are the points of the first axis."""
    for x in range(start, stop):
        inverse_middle(plans, b, equations, recipe, arrays.lines, x)
        plane_fluxes(plans, b, equations, recipe, subgrid, arrays.coefficient[0])
        forward_middle(plans, b, equations, arrays.fluxes, 5, x)


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
    steps: int,
) -> float:
    """Advance one trajectory in place; return the energy that the held shells have received."""
    slabs = equations.k_slab.size
    added = 0.0
    for _ in range(steps):
        for stage in range(scheme.weights.shape[0]):
            forcing = forcing_rate(equations, scheme, arrays, stage)
            current = current_state(scheme, arrays, stage)
            inverse_first(plans, b, equations, recipe, current, arrays.lines, 0, slabs)
            planes(plans, b, equations, recipe, subgrid, arrays, 0, arrays.lines.shape[1])
            finish(plans, b, equations, scheme, arrays, stage, forcing, 0, slabs)
        if held.energies.size:
            added += hold_shells(equations, held, arrays.state)
    return added
