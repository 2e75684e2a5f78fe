"""Compiled steps in two dimensions: fluxes and stresses at the grid points, stages; dynamic models: `plane_dynamic`."""

from __future__ import annotations

import math
from typing import Any

from eddymark.solvers.compiled.arrays import Array, Arrays, Equations, Held, Scheme
from eddymark.solvers.compiled.compilation import compiled, driver
from eddymark.solvers.compiled.forces import forcing_rate, hold_shells, measure_energy
from eddymark.solvers.compiled.modes import times
from eddymark.solvers.compiled.plane import (
    GRADIENT,
    LEITH,
    SMAGORINSKY,
    PlaneBuffers,
    PlaneModel,
    PlanePlans,
    finish,
    to_columns,
    to_lines,
    to_modes,
)
from eddymark.solvers.compiled.runge_kutta import current_state
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
        if kind == SMAGORINSKY:
            add_viscous(factor, points[1], points[1], flux)
        elif kind == LEITH:
            add_viscous(factor, points[2], points[1], flux)
        elif kind == GRADIENT:
            mean, difference = coefficient * model.mean_weight, coefficient * model.difference_weight
            add_gradients(mean, difference, points[2], points[1], flux)
        to_lines(plans, b, equations, sizes[0], flux, 0, first)


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
            state = current_state(scheme, arrays, stage)[:, 0]
            to_columns(plans, b, equations, state, model.fields, sizes, equations.rows, equations.kept)
            lines_to_fluxes(plans, b, equations, model, arrays.coefficient[0], sizes)
            to_modes(plans, b, 1, sizes, equations.rows)
            finish(b, equations, scheme, arrays, stage, forcing, sizes)
        if held.energies.size:
            added += hold_shells(equations, held, arrays.state)
    return added
