"""Compiled steps in two dimensions: fluxes and stresses at the grid points, the dynamic coefficient, stages."""

from __future__ import annotations

import math
from typing import Any

from eddymark.solvers.compiled.arrays import Array, Arrays, Equations, Held, Scheme
from eddymark.solvers.compiled.compilation import compiled, driver
from eddymark.solvers.compiled.forces import forcing_rate, hold_shells, measure_energy
from eddymark.solvers.compiled.modes import times
from eddymark.solvers.compiled.plane import (
    DYNAMIC_SMAGORINSKY,
    GRADIENT,
    LEITH,
    SMAGORINSKY,
    PlaneBuffers,
    PlaneModel,
    PlanePlans,
    finish,
    has_rows,
    row_at,
    to_columns,
    to_lines,
    to_modes,
    zero,
)
from eddymark.solvers.compiled.runge_kutta import add_multiple, current_state
from eddymark.solvers.compiled.transforms import execute


@compiled
def square(w: Array) -> None:
    """Turn w into the flux w²."""
    for i in range(w.size):
        w[i] = complex(w[i].real * w[i].real - w[i].imag * w[i].imag, (w[i].real + w[i].real) * w[i].imag)


@compiled
def add_viscous(factor: Any, rate: Array, strain: Array, out: Array) -> None:
    """Add factor · |rate| · strain."""
    for i in range(out.size):
        s = factor * math.sqrt(rate[i].real * rate[i].real + rate[i].imag * rate[i].imag)
        out[i] += times(s, strain[i])


@compiled
def add_gradients(mean: Any, difference: Any, rotation: Array, strain: Array, out: Array) -> None:
    """Add a_1 (∂_1 w)² + a_2 (∂_2 w)² = (a_1 + a_2) / 2 · i ω s + (a_1 − a_2) / 4 · (s² − ω²), s = ∂w."""
    for i in range(out.size):
        vorticity, x, y = rotation[i].imag, strain[i].real, strain[i].imag
        product, cross = mean * vorticity, (difference + difference) * x
        out[i] += complex(difference * (x * x - y * y - vorticity * vorticity) - product * y, product * x + cross * y)


@driver
def lines_to_fluxes(
    plans: PlanePlans,
    b: PlaneBuffers,
    equations: Equations,
    model: PlaneModel,
    coefficient: Any,
    separate: bool,
    sizes: tuple[int, int],
) -> None:
    """From fields to fluxes, transformed along the first axis and back: in `b.columns`."""
    kind, count = model.kind, b.points.shape[1]
    factor = -coefficient - coefficient
    points = b.points.reshape(b.points.shape[0], -1)
    flux = points[0]
    for first in range(0, sizes[1], count):
        for field in range(model.fields.size):
            execute(plans.first_inverse, b.columns[field, first], points[field])
        square(flux)
        if separate:
            to_lines(plans, b, equations, sizes[0], flux, 0, first)
            zero(flux)
            add_viscous(flux.dtype.type(1).real, points[1], points[1], flux)
            to_lines(plans, b, equations, sizes[0], flux, 1, first)
            continue
        if kind == SMAGORINSKY or kind == DYNAMIC_SMAGORINSKY:  # noqa: SIM109
            add_viscous(factor, points[1], points[1], flux)
        elif kind == LEITH:
            add_viscous(factor, points[2], points[1], flux)
        elif kind == GRADIENT:
            mean, difference = coefficient * model.mean_weight, coefficient * model.difference_weight
            add_gradients(mean, difference, points[2], points[1], flux)
        to_lines(plans, b, equations, sizes[0], flux, 0, first)


@compiled
def filter_line(factor: Any, source: Array, line: Array, points: int, kept: int) -> None:
    """Copy what the test filter keeps, times a factor, of a line with all wavenumbers of the last axis."""
    for y in range(kept):
        line[y] = times(factor, source[y])
    for y in range(kept, points - kept + 1):
        line[y] = 0
    for y in range(points - kept + 1, points):
        line[y] = times(factor, source[y])


@compiled
def sum_products(ratio_squared: Any, w: Array, strain: Array, flux: Array, stress: Array) -> Any:
    """Return the sums of L_ij M_ij and M_ij M_ij, times a common factor, over some points."""
    mixed = model = 0.0
    for i in range(w.size):
        rate = ratio_squared * math.sqrt(strain[i].real * strain[i].real + strain[i].imag * strain[i].imag)
        first = flux[i].real - (w[i].real * w[i].real - w[i].imag * w[i].imag)
        second = flux[i].imag - (w[i].real + w[i].real) * w[i].imag
        a, c = stress[i].real - rate * strain[i].real, stress[i].imag - rate * strain[i].imag
        mixed += first * a + second * c
        model += a * a + c * c
    return mixed, model


@driver
def find_coefficient(
    plans: PlanePlans,
    b: PlaneBuffers,
    equations: Equations,
    model: PlaneModel,
    arrays: Arrays,
    sizes: tuple[int, int],
) -> None:
    """Set the coefficient to C Δ² by Germano's identity, from fluxes without it in `b.modes` (`germano`)."""
    state, lines = arrays.state[:, 0], b.lines.shape[0]
    # `b.columns` beyond what the test filter keeps must be zero here, and is what the next stage expects there.
    for field in range(b.columns.shape[0]):
        zero(b.columns[field].reshape(-1))
    to_columns(plans, b, equations, state, model.fields, sizes, model.rows, model.kept)
    scale = equations.scale + equations.scale
    for flux in range(2):
        for first in range(0, sizes[0], lines):
            if not has_rows(first, lines, sizes[0], model.rows):
                continue
            for j in range(lines):
                if row_at(first + j, sizes[0], model.rows) < 0:
                    zero(b.lines[j])
                else:
                    filter_line(scale, b.modes[flux, first + j], b.lines[j], sizes[1], model.kept)
            execute(plans.last_inverse, b.lines, b.columns[2 + flux, 0, first:])
    points = b.points.reshape(b.points.shape[0], -1)
    mixed = total = 0.0
    count = b.points.shape[1]
    for first in range(0, sizes[1], count):
        for field in range(4):
            execute(plans.first_inverse, b.columns[field, first], points[field])
        for line in range(min(count, sizes[1] - first)):
            w, strain = b.points[0, line, : sizes[0]], b.points[1, line, : sizes[0]]
            total_flux, stress = b.points[2, line, : sizes[0]], b.points[3, line, : sizes[0]]
            found = sum_products(model.ratio_squared, w, strain, total_flux, stress)
            mixed, total = mixed + found[0], total + found[1]
    arrays.coefficient[0] = max(0.5 * mixed / max(total, equations.smallest), 0.0)
    for field in range(b.columns.shape[0]):
        zero(b.columns[field].reshape(-1))


@driver
def advance(
    plans: PlanePlans,
    b: PlaneBuffers,
    equations: Equations,
    model: PlaneModel,
    scheme: Scheme,
    held: Held,
    arrays: Arrays,
    sizes: tuple[int, int],
    steps: int,
) -> float:
    """Advance one trajectory in place; return the energy that the held shells have received."""
    added = 0.0
    for _ in range(steps):
        if equations.damping.size:
            measure_energy(equations, arrays)
        for stage in range(scheme.weights.shape[0]):
            forcing = forcing_rate(equations, scheme, arrays, stage)
            separate = model.kind == DYNAMIC_SMAGORINSKY and stage == 0
            state = current_state(scheme, arrays, stage)[:, 0]
            to_columns(plans, b, equations, state, model.fields, sizes, equations.rows, equations.kept)
            lines_to_fluxes(plans, b, equations, model, arrays.coefficient[0], separate, sizes)
            to_modes(plans, b, 2 if separate else 1, sizes, equations.rows)
            if separate:
                find_coefficient(plans, b, equations, model, arrays, sizes)
                factor = -arrays.coefficient[0] - arrays.coefficient[0]
                add_multiple(factor, b.modes[1].reshape(-1), b.modes[0].reshape(-1))
            finish(b, equations, scheme, arrays, stage, forcing, sizes)
        if held.energies.size:
            added += hold_shells(equations, held, arrays.state)
    return added
