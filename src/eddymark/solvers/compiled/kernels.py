"""Compiled right-hand side and Runge–Kutta stages of one trajectory, blocked so that transforms work in the cache.

The modes of a 3-D state are stored as (slab: second axis, row: first axis, last axis), those of a 2-D state
as one slab (row: first axis, last axis); rows are padded with zeros to whole cache lines, and a slab is one axis of
modes. 3-D functions take a range of slabs, so that threads can share the work; what is computed for a slab does not
depend on how many there are. Loops are short and have few operands: only then does the compiler vectorise them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar, cast

from numba import njit
from numpy.typing import NDArray

from eddymark.solvers.compiled.transforms import execute

Array = NDArray[Any]
CHUNK = 256  # modes whose nonlinear terms are kept in the first-level cache

Function = TypeVar("Function", bound=Callable[..., Any])


def compiled(function: Function) -> Function:
    """Compile a function when it is first called, without the interpreter's lock; keep the code for later processes."""
    # Fused multiply-add is the only liberty: with it results are as accurate and do not depend on anything else.
    return cast(Function, njit(cache=True, nogil=True, error_model="numpy", fastmath={"contract"})(function))


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
        first: one slab before the inverse transform of the first axis, `(points_1 · row,)`; 3-D only.
        slab: the fluxes of one slab after their last transform, `(fluxes, points_1 · row)`.
        padded: one plane before the middle inverse transform, `(points_m · row,)`.
        returned: one plane after the middle forward transform, `(points_m · row,)`; 3-D only.
        plane: the velocity of a plane between its transforms, transposed, `(d, row, column)`.
        fluxes: the fluxes of a plane between their transforms, transposed, `(fluxes, row, column)`.
        block: some columns before the last inverse transform, `(points_l, width)`.
        velocity: the same at the grid points, as real numbers in pairs, `(d, 2 · points_l · width)`.
        product: one flux at the grid points, `(2 · points_l · width,)`.
        transformed: the same after the last forward transform, `(points_l, width)`.
        rate: nonlinear terms of some modes, and the pressure, `(d + 1, modes)`.
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
        rows: number of kept modes of the axis of the rows.
        kept: number of kept modes of the last axis.
        k_slab: wavenumbers of the slabs, `(slabs,)`.
        k_row: wavenumber of the axis of the rows per mode of a slab, `(modes,)`.
        k_last: wavenumber of the last axis per mode of a slab, `(modes,)`.
        inverse_square: 1/k², `(slabs, modes)`.
        scale: factor that normalises the forward transforms.
        smallest: smallest positive number of the precision.
        steady: spectrum of a steady force, `(d, slabs, modes)`, or empty.
        forced: one in the modes that are forced at constant power, else zero, `(slabs, modes)`, or empty.
        power: that power.
    """

    rows: int
    kept: int
    k_slab: Array
    k_row: Array
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
        weights: coefficients of each stage, `(4)` for the classical and `(3, 3)` for Williamson's method.
        factors: integrating factors, `(1 or 3, slabs, modes)`.
    """

    weights: Array
    factors: Array


class Held(NamedTuple):
    """Shells whose energy is held; empty if there are none.

    Arguments:
        energies: energy of each shell.
        starts: where each shell's modes begin in `modes`, and where the last one's end.
        modes: indices of the modes, slabs flattened.
        weights: energy of a mode per |û|², ½ times its multiplicity.
    """

    energies: Array
    starts: Array
    modes: Array
    weights: Array


class Arrays(NamedTuple):
    """One trajectory.

    Arguments:
        state: û, `(d, slabs, modes)`, overwritten.
        ahead: state of the next stage, same shape (classical method).
        register: running sum or low-storage register, same shape.
        lines: velocity after the inverse transform of the first axis, `(3, points_1, slabs · row)`.
        fluxes: fluxes before the forward transform of the first axis, `(5, points_1, slabs · row)`.
    """

    state: Array
    ahead: Array
    register: Array
    lines: Array
    fluxes: Array


@compiled
def times(factor: Any, value: Any) -> Any:
    """Product of a real and a complex number."""
    return complex(factor * value.real, factor * value.imag)


@compiled
def rotated(factor: Any, value: Any) -> Any:
    """−i times a real and a complex number."""
    return complex(factor * value.imag, -factor * value.real)


@compiled
def pack(plane: Array, block: Array, start: int, stop: int, half: int, kept: int) -> None:
    """Put the points j and j + half of the middle axis into one complex column: two real transforms in one."""
    points = block.shape[0]
    first, second, low = plane[0, start:stop], plane[0, start + half : stop + half], block[0]
    for j in range(stop - start):
        low[j] = complex(first[j].real, second[j].real)
    for z in range(1, kept):
        first, second = plane[z, start:stop], plane[z, start + half : stop + half]
        low, high = block[z], block[points - z]
        for j in range(stop - start):
            a, b = first[j], second[j]
            low[j] = complex(a.real - b.imag, a.imag + b.real)
            high[j] = complex(a.real + b.imag, b.real - a.imag)


@compiled
def unpack(block: Array, plane: Array, start: int, stop: int, half: int, kept: int) -> None:
    """Undo `pack` after the forward transform, up to a factor of two that the scale takes care of."""
    points = block.shape[0]
    for z in range(kept):
        first, second = plane[z, start:stop], plane[z, start + half : stop + half]
        low, high = block[z], block[(points - z) % points]
        for j in range(stop - start):
            a, b = low[j], high[j]
            first[j] = complex(a.real + b.real, a.imag - b.imag)
            second[j] = complex(a.imag + b.imag, b.real - a.real)


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
def spread(source: Array, target: Array, low: int) -> None:
    """Copy modes into a padded array whose rows of high wavenumbers stay zero; `low` of them come before the gap."""
    gap = target.shape[0] - source.shape[0]
    for i in range(low):
        target[i] = source[i]
    for i in range(low, source.shape[0]):
        target[i + gap] = source[i]


@compiled
def gather(source: Array, target: Array, low: int) -> None:
    """Copy the kept modes of a transformed array; `low` of them come before the gap."""
    gap = source.shape[0] - target.shape[0]
    for i in range(low):
        target[i] = source[i]
    for i in range(low, target.shape[0]):
        target[i] = source[i + gap]


@compiled
def low_modes(rows: int, width: int) -> int:
    """Return how many entries the modes 0 … m of an axis with modes 0 … m, −m … −1 take."""
    return (rows // 2 + 1) * width


@compiled
def inverse_first(
    plans: Plans, b: Buffers, equations: Equations, state: Array, lines: Array, start: int, stop: int
) -> None:
    """Transform the first axis of a 3-D state: slabs of the second axis to planes of the first one."""
    row = b.plane.shape[1]
    low = low_modes(equations.rows, row)
    for slab in range(start, stop):
        for c in range(3):
            spread(state[c, slab], b.first, low)
            execute(plans.first_inverse, b.first, lines[c, 0, slab * row :])


@compiled
def planes_3d(
    plans: Plans, b: Buffers, equations: Equations, lines: Array, fluxes: Array, start: int, stop: int
) -> None:
    """From velocity to fluxes between the transforms of the first axis; slabs are the points of the first axis."""
    row = b.plane.shape[1]
    low = low_modes(equations.k_slab.size, row)
    half = b.padded.shape[0] // row // 2
    for x in range(start, stop):
        for c in range(3):
            spread(lines[c, x], b.padded, low)
            execute(plans.middle_inverse, b.padded, b.plane[c])
        plane_fluxes(plans, b, half, equations.kept)
        for flux in range(5):
            execute(plans.middle_forward, b.fluxes[flux], b.returned)
            gather(b.returned, fluxes[flux, x], low)


@compiled
def add_two(a: Array, b: Array, ka: Array, kb: Any, out: Array) -> None:
    """k_a a + k_b b."""
    for i in range(out.shape[0]):
        out[i] = times(ka[i], a[i]) + times(kb, b[i])


@compiled
def add_three(a: Array, b: Array, c: Array, ka: Array, kb: Any, kc: Array, out: Array) -> None:
    """k_a a + k_b b + k_c c."""
    for i in range(out.shape[0]):
        out[i] = times(ka[i], a[i]) + times(kb, b[i]) + times(kc[i], c[i])


@compiled
def find_pressure(
    x: Array, y: Array, z: Array, ka: Array, kb: Any, kc: Array, inverse_square: Array, pressure: Array
) -> None:
    """k·r / k²."""
    for i in range(ka.size):
        pressure[i] = times(inverse_square[i], times(ka[i], x[i]) + times(kb, y[i]) + times(kc[i], z[i]))


@compiled
def subtract_gradient(pressure: Array, k: Array, scale: Any, rate: Array) -> None:
    """−i (r − k p)."""
    for i in range(k.size):
        rate[i] = rotated(scale, rate[i] - times(k[i], pressure[i]))


@compiled
def subtract_gradient_along_slabs(pressure: Array, k: Any, scale: Any, rate: Array) -> None:
    """−i (r − k p) for a number k."""
    for i in range(pressure.size):
        rate[i] = rotated(scale, rate[i] - times(k, pressure[i]))


@compiled
def rate_2d(xx: Array, xy: Array, kx: Array, ky: Array, inverse_square: Array, scale: Any, out: Array) -> None:
    """−i (k_y r_x − k_x r_y) / k² with r_i = k_j F_ij: times (k_y, −k_x) the projected divergence of the fluxes."""
    for i in range(kx.size):
        both = times(kx[i] * ky[i], xx[i]) + times(ky[i] * ky[i] - kx[i] * kx[i], xy[i])
        out[i] = rotated(scale * inverse_square[i], both)


@compiled
def perpendicular(source: Array, kx: Array, ky: Array, x: Array, y: Array) -> None:
    """(k_y, −k_x) times modes."""
    for i in range(kx.size):
        x[i] = times(ky[i], source[i])
        y[i] = times(-kx[i], source[i])


@compiled
def add_forced(source: Array, mask: Array, factor: Any, out: Array) -> None:
    """Add a multiple of the forced modes."""
    for i in range(mask.size):
        out[i] += times(factor * mask[i], source[i])


@compiled
def runge_kutta_4(stage: int, weights: Array, e: Array, n: Array, u: Array, ahead: Array, total: Array) -> None:
    """One stage of the classical method for some modes of one component: the next stage's state, the running sum."""
    near, share = weights[stage, 0], weights[stage, 1]
    if stage == 0:
        for i in range(e.size):
            ahead[i] = times(e[i], u[i] + times(near, n[i]))
            total[i] = times(e[i] * e[i], u[i] + times(share, n[i]))
    elif stage == 1:
        for i in range(e.size):
            ahead[i] = times(e[i], u[i]) + times(near, n[i])
            total[i] += times(share * e[i], n[i])
    elif stage == 2:
        for i in range(e.size):
            ahead[i] = times(e[i], times(e[i], u[i]) + times(near, n[i]))
            total[i] += times(share * e[i], n[i])
    else:
        for i in range(e.size):
            u[i] = total[i] + times(share, n[i])


@compiled
def runge_kutta_3(stage: int, weights: Array, e: Array, n: Array, u: Array, register: Array) -> None:
    """One stage of Williamson's method for some modes of one component."""
    a, b, step = weights[stage, 0], weights[stage, 1], weights[stage, 2]
    if stage == 0:  # whatever the register held before
        for i in range(e.size):
            register[i] = 0
    for i in range(e.size):
        sum_of_rates = times(a, register[i]) + times(step, n[i])
        u[i] = times(e[i], u[i] + times(b, sum_of_rates))
        register[i] = times(e[i], sum_of_rates)


@compiled
def current_state(scheme: Scheme, arrays: Arrays, stage: int) -> Array:
    """Return the state of a stage: the low-storage method works on the state itself."""
    return arrays.ahead if scheme.weights.shape[0] == 4 and stage > 0 else arrays.state


@compiled
def finish_modes(
    b: Buffers,
    equations: Equations,
    scheme: Scheme,
    arrays: Arrays,
    stage: int,
    forcing: Any,
    slab: int,
    start: int,
    stop: int,
    gap: int,
) -> None:
    """Nonlinear terms and Runge–Kutta stage of some modes of a slab, whose fluxes are `gap` entries further on."""
    dimension = arrays.state.shape[0]
    count = stop - start
    x, y, z = b.rate[0, :count], b.rate[1, :count], b.rate[2, :count]
    xx, xy = b.slab[0, start + gap : stop + gap], b.slab[1, start + gap : stop + gap]
    ka, kc = equations.k_row[start:stop], equations.k_last[start:stop]
    inverse_square = equations.inverse_square[slab, start:stop]
    scale = equations.scale
    if dimension == 3:
        kb = equations.k_slab[slab]
        pressure = b.rate[3, :count]
        xz, yy = b.slab[2, start + gap : stop + gap], b.slab[3, start + gap : stop + gap]
        yz = b.slab[4, start + gap : stop + gap]
        add_three(xx, xy, xz, ka, kb, kc, x)
        add_three(xy, yy, yz, ka, kb, kc, y)
        add_two(xz, yz, ka, kb, z)
        find_pressure(x, y, z, ka, kb, kc, inverse_square, pressure)
        subtract_gradient(pressure, ka, scale, x)
        subtract_gradient_along_slabs(pressure, kb, scale, y)
        subtract_gradient(pressure, kc, scale, z)
    else:
        rate_2d(xx, xy, ka, kc, inverse_square, scale, z)
        perpendicular(z, ka, kc, x, y)
    current = current_state(scheme, arrays, stage)
    for c in range(dimension):
        n, u, register = b.rate[c, :count], arrays.state[c, slab, start:stop], arrays.register[c, slab, start:stop]
        if equations.steady.size:
            force = equations.steady[c, slab, start:stop]
            for i in range(count):
                n[i] += force[i]
        if equations.forced.size:
            add_forced(current[c, slab, start:stop], equations.forced[slab, start:stop], forcing, n)
        if scheme.weights.shape[0] == 4:
            e, ahead = scheme.factors[0, slab, start:stop], arrays.ahead[c, slab, start:stop]
            runge_kutta_4(stage, scheme.weights, e, n, u, ahead, register)
        else:
            runge_kutta_3(stage, scheme.weights, scheme.factors[stage, slab, start:stop], n, u, register)


@compiled
def finish_slab(
    b: Buffers, equations: Equations, scheme: Scheme, arrays: Arrays, stage: int, forcing: Any, slab: int
) -> None:
    """Nonlinear terms and Runge–Kutta stage of a slab, in pieces that stay in the cache."""
    modes = equations.k_row.size
    low = low_modes(equations.rows, b.plane.shape[1])
    gap = b.slab.shape[1] - modes
    for start in range(0, low, CHUNK):
        finish_modes(b, equations, scheme, arrays, stage, forcing, slab, start, min(low, start + CHUNK), 0)
    for start in range(low, modes, CHUNK):
        finish_modes(b, equations, scheme, arrays, stage, forcing, slab, start, min(modes, start + CHUNK), gap)


@compiled
def finish_3d(
    plans: Plans,
    b: Buffers,
    equations: Equations,
    scheme: Scheme,
    arrays: Arrays,
    stage: int,
    forcing: Any,
    start: int,
    stop: int,
) -> None:
    """Last transform of the fluxes and the Runge–Kutta stage; slabs are the modes of the second axis."""
    row = b.plane.shape[1]
    for slab in range(start, stop):
        for flux in range(5):
            execute(plans.first_forward, arrays.fluxes[flux, 0, slab * row :], b.slab[flux])
        finish_slab(b, equations, scheme, arrays, stage, forcing, slab)


@compiled
def stage_2d(
    plans: Plans, b: Buffers, equations: Equations, scheme: Scheme, arrays: Arrays, stage: int, forcing: Any
) -> None:
    """A whole Runge–Kutta stage in 2-D."""
    row = b.plane.shape[1]
    current = current_state(scheme, arrays, stage)
    for c in range(2):
        spread(current[c, 0], b.padded, low_modes(equations.rows, row))
        execute(plans.middle_inverse, b.padded, b.plane[c])
    plane_fluxes(plans, b, b.padded.shape[0] // row // 2, equations.kept)
    for flux in range(2):
        execute(plans.middle_forward, b.fluxes[flux], b.slab[flux])
    finish_slab(b, equations, scheme, arrays, stage, forcing, 0)


@compiled
def forcing_rate(equations: Equations, scheme: Scheme, arrays: Arrays, stage: int) -> Any:
    """Return P / (2 E_f) of the stage that comes, E_f being the energy of the modes forced at constant power."""
    energy = 0.0
    if equations.forced.size:
        row = equations.k_last.size // equations.rows
        current = current_state(scheme, arrays, stage)
        for slab in range(equations.k_slab.size):
            for i in range(equations.k_last.size):
                if equations.forced[slab, i] > 0:
                    weight = 0.5 if i % row == 0 else 1.0
                    for c in range(current.shape[0]):
                        energy += weight * (current[c, slab, i].real ** 2 + current[c, slab, i].imag ** 2)
    return scheme.weights.dtype.type(equations.power / (2 * max(energy, equations.smallest)))


@compiled
def project(equations: Equations, state: Array) -> None:
    """Remove the gradient part of a state."""
    dimension = state.shape[0]
    first, last = state[0], state[dimension - 1]
    for slab in range(equations.k_slab.size):
        kb = equations.k_slab[slab] if dimension == 3 else equations.scale * 0
        for i in range(equations.k_row.size):
            ka, kc, factor = equations.k_row[i], equations.k_last[i], equations.inverse_square[slab, i]
            pressure = times(ka, first[slab, i]) + times(kc, last[slab, i])
            if dimension == 3:
                pressure += times(kb, state[1, slab, i])
                state[1, slab, i] -= times(kb * factor, pressure)
            first[slab, i] -= times(ka * factor, pressure)
            last[slab, i] -= times(kc * factor, pressure)


@compiled
def symmetrise(equations: Equations, state: Array) -> None:
    """Restore û(−k) = û(k)* where both are stored: modes whose last wavenumber is zero."""
    slabs, rows = equations.k_slab.size, equations.rows
    row = equations.k_last.size // rows
    for c in range(state.shape[0]):
        for slab in range(slabs):
            for i in range(rows):
                mirrored_slab, mirrored = (slabs - slab) % slabs, (rows - i) % rows
                if mirrored_slab * rows + mirrored >= slab * rows + i:
                    here, there = state[c, slab, i * row], state[c, mirrored_slab, mirrored * row]
                    re, im = (here.real + there.real) / 2, (here.imag - there.imag) / 2
                    state[c, mirrored_slab, mirrored * row] = complex(re, -im)
                    state[c, slab, i * row] = complex(re, im)


@compiled
def hold_shells(equations: Equations, held: Held, state: Array) -> float:
    """Restore the energies of the held shells; return the energy that this adds."""
    project(equations, state)
    symmetrise(equations, state)
    added = 0.0
    modes = equations.k_row.size
    for shell in range(held.energies.size):
        present = 0.0
        for entry in range(held.starts[shell], held.starts[shell + 1]):
            slab, i = held.modes[entry] // modes, held.modes[entry] % modes
            for c in range(state.shape[0]):
                present += held.weights[entry] * (state[c, slab, i].real ** 2 + state[c, slab, i].imag ** 2)
        square = held.energies[shell] / max(present, equations.smallest)
        added += present * (square - 1)
        factor = equations.k_row.dtype.type(square**0.5)
        for entry in range(held.starts[shell], held.starts[shell + 1]):
            slab, i = held.modes[entry] // modes, held.modes[entry] % modes
            for c in range(state.shape[0]):
                state[c, slab, i] = times(factor, state[c, slab, i])
    return added


@compiled
def advance(
    plans: Plans, b: Buffers, equations: Equations, scheme: Scheme, held: Held, arrays: Arrays, steps: int
) -> float:
    """Advance one trajectory in place; return the energy that the held shells have received."""
    slabs = equations.k_slab.size
    added = 0.0
    for _ in range(steps):
        for stage in range(scheme.weights.shape[0]):
            forcing = forcing_rate(equations, scheme, arrays, stage)
            if arrays.state.shape[0] == 2:
                stage_2d(plans, b, equations, scheme, arrays, stage, forcing)
            else:
                current = current_state(scheme, arrays, stage)
                inverse_first(plans, b, equations, current, arrays.lines, 0, slabs)
                planes_3d(plans, b, equations, arrays.lines, arrays.fluxes, 0, arrays.lines.shape[1])
                finish_3d(plans, b, equations, scheme, arrays, stage, forcing, 0, slabs)
        if held.energies.size:
            added += hold_shells(equations, held, arrays.state)
    return added
