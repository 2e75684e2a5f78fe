"""What compiled functions are given: plans, work space, equations, state.

The modes of a 3-D state are stored as (slab: second axis, row: first axis, last axis), those of a 2-D state as one slab
(row: first axis, last axis); rows are padded with zeros to whole cache lines, and a slab is one axis of modes.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from numpy.typing import NDArray

Array = NDArray[Any]


class Plans(NamedTuple):
    """Addresses of FFTW plans in 3-D: first axis, middle axis with transposition, last axis."""

    first_inverse: int
    first_forward: int
    middle_inverse: int
    middle_forward: int
    last_inverse: int
    last_forward: int


class Recipe(NamedTuple):
    """Which fields go from modes to grid points in 3-D: stored ones, then combinations with derivatives.

    A combination is formed between the transforms of the first and the second axis from the lines a, b, c as
    p ∂_2 a + q ∂_3 b + r c. Derivatives along the last axis of what has been transformed along the others come last,
    for they cost the last transform only.

    Arguments:
        stored: number of fields taken as they are.
        along_first: stored fields whose derivative along the first axis is transformed as another line.
        lines: a, b, c of each combination, `(combinations, 3)`.
        weights: p, q, r, `(combinations, 3)`.
        along_last: fields whose derivative along the last axis is wanted.
        last_weights: factors of these derivatives.
    """

    stored: int
    along_first: Array
    lines: Array
    weights: Array
    along_last: Array
    last_weights: Array


class Buffers(NamedTuple):
    """Work space of one thread in 3-D; rows of zeros beyond the kept modes are set once and never written.

    Arguments:
        first: one slab before the inverse transform of the first axis, `(points_1 · row,)`.
        slab: the fluxes of one slab after their last transform, `(fluxes, points_1 · row)`.
        padded: one plane before the middle inverse transform, `(points_m · row,)`.
        returned: one plane after the middle forward transform, `(points_m · row,)`.
        plane: fields of a plane between their transforms, transposed, `(fields, row, column)`.
        fluxes: the fluxes of a plane between their transforms, transposed, `(fluxes, row, column)`.
        block: some columns before the last inverse transform, `(points_l, width)`.
        fields: the same at the grid points, as real numbers in pairs, `(fields, 2 · points_l · width)`.
        stress: stress and intermediate results at the grid points, `(rows, 2 · points_l · width)`.
        product: one flux at the grid points, `(2 · points_l · width,)`.
        transformed: the same after the last forward transform, `(points_l, width)`.
        rate: nonlinear terms of some modes, `(3, modes)`.
    """

    first: Array
    slab: Array
    padded: Array
    returned: Array
    plane: Array
    fluxes: Array
    block: Array
    fields: Array
    stress: Array
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
        convecting: factor of the convecting velocity per mode, `(slabs, modes)`, or empty for one.
        damping: rate per mode in units of the square root of a measured energy, `(slabs, modes)`, or empty.
        damping_weights: weight of |û|² in that energy, `(slabs, modes)`, or empty.
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
    convecting: Array
    damping: Array
    damping_weights: Array


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
        ahead: state of the next stage, same shape (classical method), or one slab of it if nothing needs it afterwards.
        register: running sum or low-storage register, same shape.
        lines: fields after the inverse transform of the first axis, `(lines, points_1, slabs · row)`.
        fluxes: fluxes before the forward transform of the first axis, `(fluxes, points_1, slabs · row)`.
        coefficient: what a model computes once per step, `(1,)`.
    """

    state: Array
    ahead: Array
    register: Array
    lines: Array
    fluxes: Array
    coefficient: Array


class Subgrid(NamedTuple):
    """A subgrid-scale stress in 3-D.

    Arguments:
        kind: which one, a number in `stresses`.
        tiny: smallest positive number of the precision, in that precision.
        series: two polynomials, the highest coefficient first (sigma model), or empty.
        weights: (Δ_i / Δ)² along the axes (gradient models); of Vreman's, the products of those of axes 1 and 2, 1 and
            3, 2 and 3.
    """

    kind: int
    tiny: Any
    series: Array
    weights: Array
