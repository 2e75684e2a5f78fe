"""Forces that look at the whole state, and the energy that a model looks at."""

from __future__ import annotations

from typing import Any

from eddymark.solvers.compiled.arrays import Array, Arrays, Equations, Held, Scheme
from eddymark.solvers.compiled.compilation import compiled, driver
from eddymark.solvers.compiled.modes import times
from eddymark.solvers.compiled.runge_kutta import current_state


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


@driver
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
def measure_energy(equations: Equations, arrays: Arrays) -> None:
    """Set the coefficient to the square root of the weighted energy that the damping goes by."""
    energy = 0.0
    for slab in range(equations.k_slab.size):
        for i in range(equations.k_last.size):
            weight = equations.damping_weights[slab, i]
            if weight > 0:
                for c in range(arrays.state.shape[0]):
                    energy += weight * (arrays.state[c, slab, i].real ** 2 + arrays.state[c, slab, i].imag ** 2)
    arrays.coefficient[0] = max(energy, equations.smallest) ** 0.5
