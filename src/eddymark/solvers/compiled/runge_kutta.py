"""Nonlinear terms, Runge–Kutta stages and forces, mode by mode.

What is computed for a slab does not depend on how many a thread is given.
"""

from __future__ import annotations

from typing import Any

from eddymark.solvers.compiled.arrays import Array, Arrays, Buffers, Equations, Plans, Scheme
from eddymark.solvers.compiled.compilation import compiled, driver
from eddymark.solvers.compiled.modes import low_modes, rotated, times
from eddymark.solvers.compiled.transforms import execute


@compiled
def rate_3d(
    xx: Array,
    xy: Array,
    xz: Array,
    yy: Array,
    yz: Array,
    ka: Array,
    kb: Any,
    kc: Array,
    inverse_square: Array,
    scale: Any,
    x: Array,
    y: Array,
    z: Array,
) -> None:
    """−i (r − k k·r / k²) with r_i = k_j F_ij: the projected divergence of the reduced fluxes."""
    for i in range(ka.size):
        rx = times(ka[i], xx[i]) + times(kb, xy[i]) + times(kc[i], xz[i])
        ry = times(ka[i], xy[i]) + times(kb, yy[i]) + times(kc[i], yz[i])
        rz = times(ka[i], xz[i]) + times(kb, yz[i])
        pressure = times(inverse_square[i], times(ka[i], rx) + times(kb, ry) + times(kc[i], rz))
        x[i] = rotated(scale, rx - times(ka[i], pressure))
        y[i] = rotated(scale, ry - times(kb, pressure))
        z[i] = rotated(scale, rz - times(kc[i], pressure))


@compiled
def rate_2d(xx: Array, xy: Array, kx: Array, ky: Array, inverse_square: Array, scale: Any, x: Array, y: Array) -> None:
    """(k_y, −k_x) times −i (k_y r_x − k_x r_y) / k² with r_i = k_j F_ij: the projected divergence of the fluxes."""
    for i in range(kx.size):
        both = times(kx[i] * ky[i], xx[i]) + times(ky[i] * ky[i] - kx[i] * kx[i], xy[i])
        along = rotated(scale * inverse_square[i], both)
        x[i] = times(ky[i], along)
        y[i] = times(-kx[i], along)


@compiled
def add_forced(source: Array, mask: Array, factor: Any, out: Array) -> None:
    """Add a multiple of the forced modes."""
    for i in range(mask.size):
        out[i] += times(factor * mask[i], source[i])


@compiled
def add_steady(force: Array, out: Array) -> None:
    """Add a force."""
    for i in range(out.size):
        out[i] += force[i]


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


@driver
def finish_modes(
    fluxes: Array,
    rates: Array,
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
    x, y = rates[0, :count], rates[1, :count]
    xx, xy = fluxes[0, start + gap : stop + gap], fluxes[1, start + gap : stop + gap]
    ka, kc = equations.k_row[start:stop], equations.k_last[start:stop]
    inverse_square = equations.inverse_square[slab, start:stop]
    scale = equations.scale
    if dimension == 3:
        xz, yy = fluxes[2, start + gap : stop + gap], fluxes[3, start + gap : stop + gap]
        yz, z = fluxes[4, start + gap : stop + gap], rates[2, :count]
        rate_3d(xx, xy, xz, yy, yz, ka, equations.k_slab[slab], kc, inverse_square, scale, x, y, z)
    else:
        rate_2d(xx, xy, ka, kc, inverse_square, scale, x, y)
    current = current_state(scheme, arrays, stage)
    for c in range(dimension):
        n, u, register = rates[c, :count], arrays.state[c, slab, start:stop], arrays.register[c, slab, start:stop]
        if equations.steady.size:
            add_steady(equations.steady[c, slab, start:stop], n)
        if equations.forced.size:
            add_forced(current[c, slab, start:stop], equations.forced[slab, start:stop], forcing, n)
        if equations.damping.size:
            damping = equations.damping[slab, start:stop]
            add_forced(current[c, slab, start:stop], damping, -arrays.coefficient[0], n)
        if scheme.weights.shape[0] == 4:
            e, ahead = scheme.factors[0, slab, start:stop], arrays.ahead[c, slab % arrays.ahead.shape[1], start:stop]
            runge_kutta_4(stage, scheme.weights, e, n, u, ahead, register)
        else:
            runge_kutta_3(stage, scheme.weights, scheme.factors[stage, slab, start:stop], n, u, register)


@driver
def finish_slab(
    fluxes: Array,
    rates: Array,
    equations: Equations,
    scheme: Scheme,
    arrays: Arrays,
    stage: int,
    forcing: Any,
    slab: int,
) -> None:
    """Nonlinear terms and Runge–Kutta stage of a slab, in pieces that stay in the cache.

    Arguments:
        fluxes: reduced fluxes of the slab, with a gap of high wavenumbers if there are more than modes.
        rates: room for the nonlinear terms of some modes.
    """
    modes, chunk = equations.k_row.size, rates.shape[1]
    low = low_modes(equations.rows, modes // equations.rows)
    start = 0
    while start < modes:
        stop = min(start + chunk, low if start < low else modes)
        gap = 0 if start < low else fluxes.shape[1] - modes
        finish_modes(fluxes, rates, equations, scheme, arrays, stage, forcing, slab, start, stop, gap)
        start = stop


@driver
def finish(
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
        finish_slab(b.slab, b.rate, equations, scheme, arrays, stage, forcing, slab)
