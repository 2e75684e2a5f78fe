"""Compiled right-hand side and Runge–Kutta stages of one trajectory, blocked so that transforms work in the cache.

Complex arrays appear as real ones with a last axis of length 2, because multiplying by real factors is then a single
operation. Rows are padded to whole cache lines, states are not. Every function takes a range of slabs, so that threads
can share the work; what is computed for a slab does not depend on how many there are.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from numba import njit
from numpy.typing import NDArray

from eddymark.solvers.compiled.transforms import execute

Array = NDArray[Any]
compiled = njit(cache=True, nogil=True, error_model="numpy", fastmath={"contract"})


class Plans(NamedTuple):
    """Addresses of FFTW plans: first axis (3-D only), middle axis with transposition, last axis."""

    first_inverse: int
    first_forward: int
    middle_inverse: int
    middle_forward: int
    last_inverse: int
    last_forward: int


class Buffers(NamedTuple):
    """Work space of one thread; rows of zeros beyond the kept modes are set once and never written.

    Arguments:
        first: one slab of the first axis, `(points_1, row, 2)`; 3-D only.
        slab: transformed fluxes of one slab, `(fluxes, points_1, row, 2)`; in 2-D of the plane.
        padded: one plane before the middle inverse transform, `(points_m, row, 2)`.
        returned: one plane after the middle forward transform, `(points_m, row, 2)`; 3-D only.
        plane: the same after it, transposed, `(d, row, points_m + padding, 2)`.
        fluxes: fluxes of a plane, transposed, `(fluxes, row, points_m + padding, 2)`.
        block: columns before the last inverse transform, `(points_l, width, 2)`.
        velocity: the same at the grid points, two points in one complex number, `(d, points_l, width, 2)`.
        product: one flux at the grid points, `(points_l, width, 2)`.
        transformed: the same after the last forward transform, `(points_l, width, 2)`.
        rate: nonlinear terms of one row of modes, `(d + 1, row, 2)`.
    """

    first: Array
    slab: Array
    padded: Array
    returned: Array
    plane: Array
    fluxes: Array
    block: Array
    velocity: Array
    product: Array
    transformed: Array
    rate: Array


class Equations(NamedTuple):
    """What the right-hand side needs besides the state.

    Arguments:
        k_first, k_middle, k_last: wavenumbers of the kept modes per axis (`k_first` empty in 2-D).
        inverse_square: 1/k², `(*modes)`.
        scale: factor that normalises the forward transforms.
        smallest: smallest positive number of the precision.
        steady: spectrum of a steady force, `(d, *modes, 2)`, or empty.
        forced: one in the modes that are forced at constant power, else zero, `(*modes)`, or empty.
        power: that power.
    """

    k_first: Array
    k_middle: Array
    k_last: Array
    inverse_square: Array
    scale: Any
    smallest: float
    steady: Array
    forced: Array
    power: float


class Scheme(NamedTuple):
    """Runge–Kutta method.

    Arguments:
        weights: coefficients of each stage, `(4, 2)` for the classical and `(3, 3)` for Williamson's method.
        factors: integrating factors, `(1 or 3, *modes)`.
    """

    weights: Array
    factors: Array


class Held(NamedTuple):
    """Shells whose energy is held; empty if there are none.

    Arguments:
        energies: energy of each shell.
        starts: where each shell's modes begin in `modes`, and where the last one's end.
        modes: indices of the modes, flattened.
        weights: energy of a mode per |û|², ½ times its multiplicity.
    """

    energies: Array
    starts: Array
    modes: Array
    weights: Array


class Arrays(NamedTuple):
    """One trajectory: modes are `(modes_1, modes_m, modes_l, 2)` with a first axis of length one in 2-D.

    Arguments:
        state: û, `(d, *modes)`, overwritten.
        ahead: state of the next stage, same shape (classical method).
        register: running sum or low-storage register, same shape.
        lines: velocity between the transforms of the first axis and the others, `(3, points_1, modes_m, row, 2)`.
        fluxes: the same for the fluxes, `(5, points_1, modes_m, row, 2)`.
    """

    state: Array
    ahead: Array
    register: Array
    lines: Array
    fluxes: Array


@compiled
def pack(plane: Array, block: Array, start: int, stop: int, half: int, kept: int) -> None:
    """Put the points j and j + half of the middle axis into one complex column: two real transforms in one."""
    points = block.shape[0]
    for z in range(kept):
        row, low = plane[z], block[z]
        if z == 0:
            for j in range(start, stop):
                low[j - start, 0] = row[j, 0]
                low[j - start, 1] = row[j + half, 0]
            continue
        high = block[points - z]
        for j in range(start, stop):
            a, b = row[j, 0], row[j, 1]
            c, d = row[j + half, 0], row[j + half, 1]
            low[j - start, 0] = a - d
            low[j - start, 1] = b + c
            high[j - start, 0] = a + d
            high[j - start, 1] = c - b


@compiled
def unpack(block: Array, plane: Array, start: int, stop: int, half: int, kept: int) -> None:
    """Undo `pack` after the forward transform, up to a factor of two that the scale takes care of."""
    points = block.shape[0]
    for z in range(kept):
        row, low, high = plane[z], block[z], block[(points - z) % points]
        for j in range(start, stop):
            a, b = low[j - start, 0], low[j - start, 1]
            c, d = high[j - start, 0], high[j - start, 1]
            row[j, 0] = a + c
            row[j, 1] = b - d
            row[j + half, 0] = b + d
            row[j + half, 1] = c - a


@compiled
def multiply(a: Array, b: Array, out: Array) -> None:
    """Product of two fields."""
    first, second, result = a.reshape(-1), b.reshape(-1), out.reshape(-1)
    for i in range(result.size):
        result[i] = first[i] * second[i]


@compiled
def subtract_squares(a: Array, b: Array, out: Array) -> None:
    """a² − b² of two fields."""
    first, second, result = a.reshape(-1), b.reshape(-1), out.reshape(-1)
    for i in range(result.size):
        result[i] = first[i] * first[i] - second[i] * second[i]


@compiled
def plane_fluxes(plans: Plans, b: Buffers, half: int, kept: int) -> None:
    """From the velocity of a plane to its fluxes, both spectral in the last axis: `b.plane` to `b.fluxes`."""
    dimension = b.plane.shape[0]
    width = b.block.shape[1]
    for start in range(0, half, width):
        stop = min(half, start + width)
        for c in range(dimension):
            pack(b.plane[c], b.block, start, stop, half, kept)
            execute(plans.last_inverse, b.block, b.velocity[c])
        u, v, last = b.velocity[0], b.velocity[1], b.velocity[dimension - 1]
        for flux in range(b.fluxes.shape[0]):
            if flux == 0:
                subtract_squares(u, last, b.product)
            elif flux == 1:
                multiply(u, v, b.product)
            elif flux == 2:
                multiply(u, last, b.product)
            elif flux == 3:
                subtract_squares(v, last, b.product)
            else:
                multiply(v, last, b.product)
            execute(plans.last_forward, b.product, b.transformed)
            unpack(b.transformed, b.fluxes[flux], start, stop, half, kept)


@compiled
def spread(source: Array, target: Array) -> None:
    """Copy rows of modes into a padded array whose rows of high wavenumbers stay zero."""
    modes, kept = source.shape[0], source.shape[1]
    shift = target.shape[0] - modes
    for row in range(modes):
        values, out = source[row], target[row if row <= modes // 2 else row + shift]
        for z in range(kept):
            out[z, 0] = values[z, 0]
            out[z, 1] = values[z, 1]


@compiled
def gather(source: Array, target: Array) -> None:
    """Copy the kept rows of a transformed array."""
    modes, width = target.shape[0], target.shape[1]
    shift = source.shape[0] - modes
    for row in range(modes):
        values, out = source[row if row <= modes // 2 else row + shift], target[row]
        for z in range(width):
            out[z, 0] = values[z, 0]
            out[z, 1] = values[z, 1]


@compiled
def inverse_first(plans: Plans, b: Buffers, state: Array, lines: Array, start: int, stop: int) -> None:
    """Transform the first axis of a 3-D state: `(3, modes_1, modes_2, modes_3, 2)` to `(3, points_1, modes_2, row, 2)`.

    Slabs are the modes of the middle axis.
    """
    for c in range(3):
        for y in range(start, stop):
            spread(state[c, :, y], b.first)
            execute(plans.first_inverse, b.first, lines[c, 0, y])


@compiled
def planes_3d(plans: Plans, b: Buffers, lines: Array, fluxes: Array, kept: int, start: int, stop: int) -> None:
    """From lines of velocity to lines of fluxes: both `(…, points_1, modes_2, row, 2)`; slabs are points_1."""
    points = b.padded.shape[0]
    for x in range(start, stop):
        for c in range(3):
            spread(lines[c, x], b.padded)
            execute(plans.middle_inverse, b.padded, b.plane[c])
        plane_fluxes(plans, b, points // 2, kept)
        for flux in range(5):
            execute(plans.middle_forward, b.fluxes[flux], b.returned)
            gather(b.returned, fluxes[flux, x])


@compiled
def row_rate_3d(g: Array, row: int, kx: Any, ky: Any, k_last: Array, inverse_square: Array, scale: Any, rate: Array) -> None:
    """Projected divergence of the fluxes in one row of modes."""
    xx, xy, xz, yy, yz = g[0, row], g[1, row], g[2, row], g[3, row], g[4, row]
    pressure = rate[3]
    count = k_last.size
    for z in range(count):
        kz = k_last[z]
        factor = inverse_square[z]
        for part in range(2):
            rx = kx * xx[z, part] + ky * xy[z, part] + kz * xz[z, part]
            ry = kx * xy[z, part] + ky * yy[z, part] + kz * yz[z, part]
            rz = kx * xz[z, part] + ky * yz[z, part]
            pressure[z, part] = (kx * rx + ky * ry + kz * rz) * factor
    a, b, c = rate[0], rate[1], rate[2]
    for z in range(count):
        kz = k_last[z]
        re = kx * xx[z, 0] + ky * xy[z, 0] + kz * xz[z, 0] - kx * pressure[z, 0]
        im = kx * xx[z, 1] + ky * xy[z, 1] + kz * xz[z, 1] - kx * pressure[z, 1]
        a[z, 0] = scale * im
        a[z, 1] = -scale * re
    for z in range(count):
        kz = k_last[z]
        re = kx * xy[z, 0] + ky * yy[z, 0] + kz * yz[z, 0] - ky * pressure[z, 0]
        im = kx * xy[z, 1] + ky * yy[z, 1] + kz * yz[z, 1] - ky * pressure[z, 1]
        b[z, 0] = scale * im
        b[z, 1] = -scale * re
    for z in range(count):
        kz = k_last[z]
        re = kx * xz[z, 0] + ky * yz[z, 0] - kz * pressure[z, 0]
        im = kx * xz[z, 1] + ky * yz[z, 1] - kz * pressure[z, 1]
        c[z, 0] = scale * im
        c[z, 1] = -scale * re


@compiled
def row_rate_2d(g: Array, row: int, kx: Any, k_last: Array, inverse_square: Array, scale: Any, rate: Array) -> None:
    """Projected divergence of the fluxes in one row of modes."""
    xx, xy = g[0, row], g[1, row]
    a, b = rate[0], rate[1]
    for z in range(k_last.size):
        ky = k_last[z]
        # The projection (δ_ij − k_i k_j / k²) leaves the part along (k_y, −k_x).
        factor = scale * inverse_square[z]
        re = (kx * xx[z, 0] + ky * xy[z, 0]) * ky - kx * xy[z, 0] * kx
        im = (kx * xx[z, 1] + ky * xy[z, 1]) * ky - kx * xy[z, 1] * kx
        a[z, 0] = factor * im * ky
        a[z, 1] = -factor * re * ky
        b[z, 0] = -factor * im * kx
        b[z, 1] = factor * re * kx


@compiled
def runge_kutta_4(stage: int, weights: Array, factor: Array, rate: Array, state: Array, ahead: Array, total: Array) -> None:
    """One stage of the classical method in one row of one component: the next stage's state and the running sum."""
    near, part_of_sum = weights[stage, 0], weights[stage, 1]
    for z in range(factor.size):
        e = factor[z]
        for part in range(2):
            n, u = rate[z, part], state[z, part]
            if stage == 0:
                ahead[z, part] = e * (u + near * n)
                total[z, part] = e * e * (u + part_of_sum * n)
            elif stage == 1:
                ahead[z, part] = e * u + near * n
                total[z, part] += part_of_sum * e * n
            elif stage == 2:
                ahead[z, part] = e * (e * u + near * n)
                total[z, part] += part_of_sum * e * n
            else:
                state[z, part] = total[z, part] + part_of_sum * n


@compiled
def runge_kutta_3(stage: int, weights: Array, factor: Array, rate: Array, state: Array, register: Array) -> None:
    """One stage of Williamson's method in one row of one component."""
    a, b, step = weights[stage, 0], weights[stage, 1], weights[stage, 2]
    for z in range(factor.size):
        e = factor[z]
        for part in range(2):
            q = step * rate[z, part]
            if stage > 0:
                q += a * register[z, part]
            state[z, part] = e * (state[z, part] + b * q)
            register[z, part] = e * q


@compiled
def current_state(scheme: Scheme, arrays: Arrays, stage: int) -> Array:
    """Return the state of a stage: the low-storage method works on the state itself."""
    return arrays.ahead if scheme.weights.shape[0] == 4 and stage > 0 else arrays.state


@compiled
def finish_row(
    b: Buffers,
    equations: Equations,
    scheme: Scheme,
    arrays: Arrays,
    stage: int,
    forcing_rate: Any,
    x: int,
    y: int,
    row: int,
) -> None:
    """Nonlinear terms and Runge–Kutta stage in the row (x, y) of modes; the fluxes are in row `row` of the slab."""
    rate = b.rate
    ky = equations.k_middle[y]
    inverse_square = equations.inverse_square[x, y]
    dimension = arrays.state.shape[0]
    count = equations.k_last.size
    if dimension == 3:
        kx = equations.k_first[x]
        row_rate_3d(b.slab, row, kx, ky, equations.k_last, inverse_square, equations.scale, rate)
    else:
        row_rate_2d(b.slab, row, ky, equations.k_last, inverse_square, equations.scale, rate)
    four = scheme.weights.shape[0] == 4
    current = current_state(scheme, arrays, stage)
    for c in range(dimension):
        n = rate[c]
        if equations.steady.size:
            force = equations.steady[c, x, y]
            for z in range(count):
                n[z, 0] += force[z, 0]
                n[z, 1] += force[z, 1]
        if equations.forced.size:
            mask, u = equations.forced[x, y], current[c, x, y]
            for z in range(count):
                n[z, 0] += forcing_rate * mask[z] * u[z, 0]
                n[z, 1] += forcing_rate * mask[z] * u[z, 1]
        if four:
            runge_kutta_4(
                stage,
                scheme.weights,
                scheme.factors[0, x, y],
                n,
                arrays.state[c, x, y],
                arrays.ahead[c, x, y],
                arrays.register[c, x, y],
            )
        else:
            factor = scheme.factors[stage, x, y]
            runge_kutta_3(stage, scheme.weights, factor, n, arrays.state[c, x, y], arrays.register[c, x, y])


@compiled
def finish_3d(
    plans: Plans,
    b: Buffers,
    equations: Equations,
    scheme: Scheme,
    arrays: Arrays,
    stage: int,
    forcing_rate: Any,
    start: int,
    stop: int,
) -> None:
    """Last transform of the fluxes and the Runge–Kutta stage; slabs are the modes of the middle axis."""
    modes = arrays.state.shape[1]
    shift = b.first.shape[0] - modes
    for y in range(start, stop):
        for flux in range(5):
            execute(plans.first_forward, arrays.fluxes[flux, 0, y], b.slab[flux])
        for x in range(modes):
            row = x if x <= modes // 2 else x + shift
            finish_row(b, equations, scheme, arrays, stage, forcing_rate, x, y, row)


@compiled
def stage_2d(
    plans: Plans, b: Buffers, equations: Equations, scheme: Scheme, arrays: Arrays, stage: int, forcing_rate: Any
) -> None:
    """A whole Runge–Kutta stage in 2-D."""
    points = b.padded.shape[0]
    modes = arrays.state.shape[2]
    current = current_state(scheme, arrays, stage)
    for c in range(2):
        spread(current[c, 0], b.padded)
        execute(plans.middle_inverse, b.padded, b.plane[c])
    plane_fluxes(plans, b, points // 2, equations.k_last.size)
    for flux in range(2):
        execute(plans.middle_forward, b.fluxes[flux], b.slab[flux])
    for y in range(modes):
        row = y if y <= modes // 2 else y + points - modes
        finish_row(b, equations, scheme, arrays, stage, forcing_rate, 0, y, row)


@compiled
def forcing_rate(equations: Equations, scheme: Scheme, arrays: Arrays, stage: int) -> Any:
    """Return P / (2 E_f) of the stage that comes, E_f being the energy of the modes forced at constant power."""
    current = current_state(scheme, arrays, stage)
    _, rows, lines, count, _ = current.shape
    energy = 0.0
    if equations.forced.size == 0:
        return scheme.weights.dtype.type(energy)
    for x in range(rows):
        for y in range(lines):
            for z in range(count):
                if equations.forced[x, y, z] > 0:
                    weight = 0.5 if z == 0 else 1.0
                    for c in range(current.shape[0]):
                        energy += weight * (current[c, x, y, z, 0] ** 2 + current[c, x, y, z, 1] ** 2)
    return scheme.weights.dtype.type(equations.power / (2 * max(energy, equations.smallest)))


@compiled
def project(equations: Equations, state: Array) -> None:
    """Remove the gradient part of a state."""
    dimension, rows, lines, count, _ = state.shape
    for x in range(rows):
        for y in range(lines):
            ky = equations.k_middle[y]
            factor = equations.inverse_square[x, y]
            if dimension == 3:
                kx = equations.k_first[x]
                u, v, w = state[0, x, y], state[1, x, y], state[2, x, y]
                for z in range(count):
                    kz = equations.k_last[z]
                    for part in range(2):
                        pressure = (kx * u[z, part] + ky * v[z, part] + kz * w[z, part]) * factor[z]
                        u[z, part] -= kx * pressure
                        v[z, part] -= ky * pressure
                        w[z, part] -= kz * pressure
            else:
                u, v = state[0, x, y], state[1, x, y]
                for z in range(count):
                    kz = equations.k_last[z]
                    for part in range(2):
                        pressure = (ky * u[z, part] + kz * v[z, part]) * factor[z]
                        u[z, part] -= ky * pressure
                        v[z, part] -= kz * pressure


@compiled
def symmetrise(state: Array) -> None:
    """Restore û(−k) = û(k)* where both are stored: modes whose last wavenumber is zero."""
    dimension, rows, lines, _, _ = state.shape
    for c in range(dimension):
        for x in range(rows):
            for y in range(lines):
                mx, my = (rows - x) % rows, (lines - y) % lines
                if (mx, my) >= (x, y):
                    here, there = state[c, x, y, 0], state[c, mx, my, 0]
                    re, im = (here[0] + there[0]) / 2, (here[1] - there[1]) / 2
                    here[0], here[1] = re, im
                    there[0] = re
                    there[1] = -im if (mx, my) != (x, y) else im


@compiled
def hold_shells(equations: Equations, held: Held, state: Array) -> float:
    """Restore the energies of the held shells; return the energy that this adds."""
    project(equations, state)
    symmetrise(state)
    added = 0.0
    flat = state.reshape(state.shape[0], -1, 2)
    for shell in range(held.energies.size):
        first, last = held.starts[shell], held.starts[shell + 1]
        present = 0.0
        for entry in range(first, last):
            mode = held.modes[entry]
            for c in range(flat.shape[0]):
                present += held.weights[entry] * (flat[c, mode, 0] ** 2 + flat[c, mode, 1] ** 2)
        square = held.energies[shell] / max(present, equations.smallest)
        added += present * (square - 1)
        factor = state.dtype.type(square**0.5)
        for entry in range(first, last):
            mode = held.modes[entry]
            for c in range(flat.shape[0]):
                flat[c, mode, 0] *= factor
                flat[c, mode, 1] *= factor
    return added


@compiled
def advance(
    plans: Plans, b: Buffers, equations: Equations, scheme: Scheme, held: Held, arrays: Arrays, steps: int
) -> float:
    """Advance one trajectory in place; return the energy that the held shells have received."""
    dimension = arrays.state.shape[0]
    count = equations.k_last.size
    stages = scheme.weights.shape[0]
    added = 0.0
    for _ in range(steps):
        for stage in range(stages):
            rate = forcing_rate(equations, scheme, arrays, stage)
            if dimension == 2:
                stage_2d(plans, b, equations, scheme, arrays, stage, rate)
            else:
                current = current_state(scheme, arrays, stage)
                inverse_first(plans, b, current, arrays.lines, 0, current.shape[2])
                planes_3d(plans, b, arrays.lines, arrays.fluxes, count, 0, b.first.shape[0])
                finish_3d(plans, b, equations, scheme, arrays, stage, rate, 0, current.shape[2])
        if held.energies.size:
            added += hold_shells(equations, held, arrays.state)
    return added
