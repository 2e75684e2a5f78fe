"""Between stored modes and grid points in two dimensions, in complex variables.

With w = u + i v and ∂ = ∂_1 + i ∂_2, the flux of momentum is w², the strain rate ∂w, i times the vorticity the
conjugate derivative of w, and i times the gradient of the vorticity the Laplacian of w; real and imaginary parts are
the reduced entries (a_11 − a_22, 2 a_12) of a tensor. So one complex transform takes the velocity to the grid points
and one brings the fluxes back. Transforms along the last axis go from lines to columns and back, those along the first
axis, between which the fluxes are formed, lie in one piece: FFTW is fastest so.

Indices that fall are unsigned: one that might be negative would keep the compiler from vectorising a loop.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from eddymark.solvers.compiled.arrays import Array, Arrays, Equations, Scheme
from eddymark.solvers.compiled.compilation import compiled, driver
from eddymark.solvers.compiled.modes import times
from eddymark.solvers.compiled.runge_kutta import finish_modes
from eddymark.solvers.compiled.transforms import execute

NO_STRESS, SMAGORINSKY, LEITH, GRADIENT = range(4)
VELOCITY, STRAIN, ROTATION, LAPLACIAN = range(4)


class PlanePlans(NamedTuple):
    """Addresses of FFTW plans: some lines along the last axis to columns and back, some lines along the first axis."""

    last_inverse: int
    last_forward: int
    first_inverse: int
    first_forward: int


class PlaneBuffers(NamedTuple):
    """Work space of one thread.

    Arguments:
        lines: some rows of modes before the transform along the last axis, `(lines, points_2)`.
        columns: fields, then fluxes, between their transforms, `(fields, points_2, points_1)`; zero beyond the kept
            modes.
        points: some lines along the first axis at the grid points, `(fields, lines, points_1)`; the velocity becomes
            the flux.
        returned: some lines of a flux after their transform along the first axis, `(lines, points_1)`.
        modes: fluxes after their transforms, `(fluxes, points_1, points_2)`.
        slab: the reduced fluxes in some of the kept modes, `(2, modes)`.
        rate: nonlinear terms of these modes, `(2, modes)`.
    """

    lines: Array
    columns: Array
    points: Array
    returned: Array
    modes: Array
    slab: Array
    rate: Array


class PlaneModel(NamedTuple):
    """A subgrid-scale stress in two dimensions.

    Arguments:
        kind: which one.
        fields: which fields go to the grid points.
        mean_weight: (a_1 + a_2) / 2, a_i = (Δ_i / Δ)² (gradient model).
        difference_weight: (a_1 − a_2) / 4.
    """

    kind: int
    fields: Array
    mean_weight: Any
    difference_weight: Any


@compiled
def fill_line(u: Array, v: Array, mirrored_u: Array, mirrored_v: Array, line: Array, points: int, kept: int) -> None:
    """Set a line to w in the modes of all wavenumbers of the last axis, those below zero from the mirrored rows."""
    for y in range(kept):
        line[y] = complex(u[y].real - v[y].imag, u[y].imag + v[y].real)
    for y in range(np.uintp(kept), np.uintp(points - kept + 1)):
        line[y] = 0
    for y in range(1, kept):
        a, b = mirrored_u[y], mirrored_v[y]
        line[np.uintp(points - y)] = complex(a.real + b.imag, b.real - a.imag)


@compiled
def multiply_line(field: int, kx: Any, ky: Array, line: Array, points: int, kept: int) -> None:
    """Turn w into one of its derivatives."""
    sign = -ky.dtype.type(1) if field == STRAIN else ky.dtype.type(1)
    for y in range(kept):
        a, s = line[y], sign * ky[y]
        if field == LAPLACIAN:
            line[y] = times(kx * kx + s * s, a)
        else:
            line[y] = complex(s * a.real - kx * a.imag, s * a.imag + kx * a.real)
    for y in range(1, kept):
        a, s = line[np.uintp(points - y)], -sign * ky[y]
        if field == LAPLACIAN:
            line[np.uintp(points - y)] = times(kx * kx + s * s, a)
        else:
            line[np.uintp(points - y)] = complex(s * a.real - kx * a.imag, s * a.imag + kx * a.real)


@compiled
def scale_line(factor: Array, line: Array, points: int, kept: int) -> None:
    """Multiply a line by a real factor that depends on |k|."""
    for y in range(kept):
        line[y] = times(factor[y], line[y])
    for y in range(1, kept):
        line[np.uintp(points - y)] = times(factor[y], line[np.uintp(points - y)])


@compiled
def zero(line: Array) -> None:
    """Set a line to zero."""
    for y in range(line.size):
        line[y] = 0


@compiled
def row_at(position: int, points: int, rows: int) -> int:
    """Return which kept row lies at a position along the first axis, or −1."""
    if position <= rows // 2:
        return position
    return position - points + rows if points - rows // 2 <= position < points else -1


@compiled
def has_rows(first: int, count: int, points: int, rows: int) -> bool:
    """Return whether a kept row is among some positions."""
    return first <= rows // 2 or first + count > points - rows // 2


@driver
def to_columns(
    plans: PlanePlans,
    b: PlaneBuffers,
    equations: Equations,
    state: Array,
    fields: Array,
    sizes: tuple[int, int],
    rows: int,
    kept: int,
) -> None:
    """Transform w or its derivatives along the last axis: modes with at most some wavenumbers to `b.columns`."""
    width = state.shape[1] // equations.rows
    count = b.lines.shape[0]
    for field in range(fields.size):
        for first in range(0, sizes[0], count):
            if not has_rows(first, count, sizes[0], rows):
                continue
            for j in range(count):
                line, row = b.lines[j], row_at(first + j, sizes[0], rows)
                if row < 0:
                    zero(line)
                    continue
                stored = row if row <= rows // 2 else row + equations.rows - rows
                here, there = stored * width, (equations.rows - stored) % equations.rows * width
                u, v = state[0, here : here + kept], state[1, here : here + kept]
                fill_line(u, v, state[0, there : there + kept], state[1, there : there + kept], line, sizes[1], kept)
                if fields[field] != VELOCITY:
                    kx, ky = equations.k_row[here], equations.k_last[:kept]
                    multiply_line(fields[field], kx, ky, line, sizes[1], kept)
                if equations.convecting.size and fields[field] == VELOCITY:
                    scale_line(equations.convecting[0, here : here + kept], line, sizes[1], kept)
            execute(plans.last_inverse, b.lines, b.columns[field, 0, first:])


@compiled
def copy_kept(source: Array, target: Array, points: int, rows: int) -> None:
    """Copy the kept rows of some lines along the first axis."""
    for line in range(source.shape[0]):
        a, b = source[line], target[line]
        for x in range(rows // 2 + 1):
            b[x] = a[x]
        for x in range(np.uintp(points - rows // 2), np.uintp(points)):
            b[x] = a[x]


@driver
def to_lines(
    plans: PlanePlans, b: PlaneBuffers, equations: Equations, points: int, source: Array, flux: int, first: int
) -> None:
    """Transform some lines of a flux along the first axis: to `b.columns`, where those of a field were."""
    execute(plans.first_forward, source, b.returned)
    copy_kept(b.returned, b.columns[flux, first : first + b.returned.shape[0]], points, equations.rows)


@driver
def to_modes(plans: PlanePlans, b: PlaneBuffers, count: int, sizes: tuple[int, int], rows: int) -> None:
    """Transform fluxes along the last axis: `b.columns` to `b.modes`."""
    lines = b.lines.shape[0]
    for flux in range(count):
        for first in range(0, sizes[0], lines):
            if has_rows(first, lines, sizes[0], rows):
                execute(plans.last_forward, b.columns[flux, 0, first:], b.modes[flux, first])


@compiled
def split_line(line: Array, mirrored: Array, points: int, xx: Array, xy: Array) -> None:
    """Set the spectra of the real part and of half the imaginary part, times two, of a complex field."""
    half = xx.dtype.type(0.5).real
    a, b = line[0], mirrored[0]
    xx[0] = complex(a.real + b.real, a.imag - b.imag)
    xy[0] = complex(half * (a.imag + b.imag), half * (b.real - a.real))
    for y in range(1, xx.size):
        a, b = line[y], mirrored[np.uintp(points - y)]
        xx[y] = complex(a.real + b.real, a.imag - b.imag)
        xy[y] = complex(half * (a.imag + b.imag), half * (b.real - a.real))


@compiled
def split(b: PlaneBuffers, equations: Equations, sizes: tuple[int, int], first: int, stop: int) -> None:
    """From the modes of the complex flux to those of the two reduced ones in some rows: `b.modes` to `b.slab`."""
    width = equations.k_row.size // equations.rows
    for row in range(first, stop):
        position = row if row <= equations.rows // 2 else row + sizes[0] - equations.rows
        mirrored = (sizes[0] - position) % sizes[0]
        begin = (row - first) * width
        end = begin + equations.kept
        line, there = b.modes[0, position], b.modes[0, mirrored]
        split_line(line, there, sizes[1], b.slab[0, begin:end], b.slab[1, begin:end])


@driver
def finish(
    b: PlaneBuffers,
    equations: Equations,
    scheme: Scheme,
    arrays: Arrays,
    stage: int,
    forcing: Any,
    sizes: tuple[int, int],
) -> None:
    """Nonlinear terms and Runge–Kutta stage, some rows at a time, which stay in the cache: `b.modes` to the state."""
    width = equations.k_row.size // equations.rows
    count = b.rate.shape[1] // width
    for first in range(0, equations.rows, count):
        stop = min(equations.rows, first + count)
        split(b, equations, sizes, first, stop)
        start, end = first * width, stop * width
        finish_modes(b.slab, b.rate, equations, scheme, arrays, stage, forcing, 0, start, end, -start)
