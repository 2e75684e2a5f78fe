"""Compiled steps in two dimensions with dynamic models; the order of things is that of `dynamic` in three."""

from __future__ import annotations

import math
from typing import Any

from eddymark.solvers.compiled.arrays import Array, Arrays, Equations, Held, Scheme
from eddymark.solvers.compiled.averages import copy, expand, find_ratios, relax, relaxation_weight
from eddymark.solvers.compiled.compilation import compiled, driver
from eddymark.solvers.compiled.forces import forcing_rate, hold_shells
from eddymark.solvers.compiled.modes import times
from eddymark.solvers.compiled.plane import PlaneBuffers, PlanePlans, finish, to_columns, to_lines, to_modes, zero
from eddymark.solvers.compiled.plane_germano import PlaneDynamic, PlaneLevel, evaluate, join_similarity
from eddymark.solvers.compiled.plane_stresses import add_viscous, square
from eddymark.solvers.compiled.runge_kutta import current_state
from eddymark.solvers.compiled.transfer import add_multiple
from eddymark.solvers.compiled.transforms import execute


@compiled
def add_varying(factor: Any, coefficient: Array, strain: Array, out: Array) -> None:
    """Add factor · C |s| s."""
    for i in range(out.size):
        s = math.sqrt(strain[i].real * strain[i].real + strain[i].imag * strain[i].imag)
        out[i] += times(factor * coefficient[i] * s, strain[i])


@compiled
def multiply(coefficient: Array, stress: Array, out: Array) -> None:
    """A real field times a complex one."""
    for i in range(out.size):
        out[i] = times(coefficient[i], stress[i])


@compiled
def divide(terms: Array, least: Any, out: Array) -> None:
    """C Δ² = ½ ⟨L_ij M_ij⟩ / ⟨M_ij M_ij⟩, not below zero, of real and imaginary parts (`averages.divide`)."""
    half, zero = out.dtype.type(0.5), out.dtype.type(0)
    for i in range(out.size):
        out[i] = max(half * terms[i].real / max(terms[i].imag, least), zero)


@compiled
def eddy_factor(model: PlaneDynamic, arrays: Arrays) -> Any:
    """Return what C Δ² |S| S_ij, or |S| S_ij, is multiplied with where it is added to the fluxes (`dynamic`)."""
    twice = arrays.coefficient[0] + arrays.coefficient[0]
    return twice if model.similarity.size > 0 else -twice


@driver
def dynamic_fluxes(
    plans: PlanePlans,
    b: PlaneBuffers,
    equations: Equations,
    model: PlaneDynamic,
    level: PlaneLevel,
    factor: Any,
    first_stage: bool,
    sizes: tuple[int, int],
) -> None:
    """From fields to fluxes, transformed along the first axis and back: in `b.columns`.

    The stress is added to the fluxes, or comes after them in the first stage, without its coefficient.
    """
    count = b.points.shape[1]
    points = b.points.reshape(b.points.shape[0], -1)
    similar = model.similarity.size > 0
    fluxes = 2 if similar else 1
    # Fields become fluxes in place; the smooth velocity is behind the strain rate.
    flux, spare = points[2 if similar else 0], points[0]
    for first in range(0, sizes[1], count):
        for field in range(fluxes + 1):
            execute(plans.first_inverse, b.columns[field, first], points[field])
        square(flux)
        if similar:
            square(spare)
            to_lines(plans, b, equations, sizes[0], spare, 0, first)
        if not first_stage:
            if model.varies:
                coefficient = level.coefficient[first : first + count].reshape(-1)
                add_varying(factor, coefficient, points[1], flux)
            else:
                add_viscous(factor, points[1], points[1], flux)
        to_lines(plans, b, equations, sizes[0], flux, fluxes - 1, first)
        if first_stage:
            zero(spare)
            add_viscous(factor, points[1], points[1], spare)
            if model.varies:
                copy(spare, level.stress[first : first + count].reshape(-1))
            to_lines(plans, b, equations, sizes[0], spare, fluxes, first)


@driver
def add_stress(
    plans: PlanePlans,
    b: PlaneBuffers,
    equations: Equations,
    scheme: Scheme,
    model: PlaneDynamic,
    arrays: Arrays,
    level: PlaneLevel,
    cells: int,
    sizes: tuple[int, int],
) -> None:
    """Find the coefficient of a step from the averages and add the stress to the fluxes in `b.modes`."""
    weight = relaxation_weight(scheme, model.relaxation_time, arrays.coefficient[0])
    local, count = model.neighbourhood.size > 0, b.points.shape[1]
    flux, found = b.points[0].reshape(-1), level.found.reshape(-1)
    if not local:
        find_ratios(level.sums, False, cells, model.share, equations.smallest)
    if model.varies:
        least = found.dtype.type(max(model.share * level.means[1], equations.smallest))
        for first in range(0, sizes[1], count):
            if local:
                execute(plans.first_inverse, b.columns[0, first], flux)
                divide(flux, least, found)
            else:
                for line in range(min(count, sizes[1] - first)):
                    y = (first + line) % level.sums.shape[1]
                    expand(level.sums[0, y : y + 1], level.found[line : line + 1, : sizes[0]])
            coefficient = level.coefficient[first : first + count].reshape(-1)
            relax(weight, found, coefficient)
            multiply(coefficient, level.stress[first : first + count].reshape(-1), flux)
            to_lines(plans, b, equations, sizes[0], flux, 0, first)
        to_modes(plans, level.stress_b, 1, sizes, equations.rows)
        arrays.coefficient[0] = 1
    else:
        relax(weight, level.sums[0, 0].astype(found.dtype), arrays.coefficient)
    total = 1 if model.similarity.size > 0 else 0
    add_multiple(eddy_factor(model, arrays), level.stress_b.modes[0].reshape(-1), b.modes[total].reshape(-1))


@driver
def advance(
    plans: PlanePlans,
    b: PlaneBuffers,
    equations: Equations,
    scheme: Scheme,
    held: Held,
    arrays: Arrays,
    model: PlaneDynamic,
    level: PlaneLevel,
    cells: int,
    sizes: tuple[int, int],
    steps: int,
) -> float:
    """Advance one trajectory in place; return the energy that the held shells have received."""
    rows, kept = equations.rows, equations.kept
    similar = model.similarity.size > 0
    fluxes = 2 if similar else 1
    one = arrays.coefficient.dtype.type(1)
    added = 0.0
    for _ in range(steps):
        for stage in range(scheme.weights.shape[0]):
            forcing = forcing_rate(equations, scheme, arrays, stage)
            state = current_state(scheme, arrays, stage)[:, 0]
            to_columns(plans, b, equations, state, model.fields, sizes, rows, kept)
            if similar:
                to_columns(plans, level.smooth_b, level.smooth, state, model.velocity, sizes, rows, kept)
            factor = one if stage == 0 else eddy_factor(model, arrays)
            dynamic_fluxes(plans, b, equations, model, level, factor, stage == 0, sizes)
            to_modes(plans, b, fluxes + 1 if stage == 0 else fluxes, sizes, rows)
            if stage == 0:
                evaluate(plans, b, equations, model, arrays, level, sizes)
                add_stress(plans, b, equations, scheme, model, arrays, level, cells, sizes)
            if similar:
                join_similarity(b, equations, model, sizes)
            finish(b, equations, scheme, arrays, stage, forcing, sizes)
        if held.energies.size:
            added += hold_shells(equations, held, arrays.state)
    return added
