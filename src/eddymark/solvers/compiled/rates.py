"""Eddy viscosities in three dimensions at the grid points over their constant factor (`eddymark.closures`).

Reduced strain rates are (S_11 − S_33, S_12, S_13, S_22 − S_33, S_23). Velocity gradients are (∂_1 v, ∂_1 w, ∂_2 u,
∂_2 v, ∂_2 w, ∂_3 u, ∂_3 v, ∂_3 w), with ∂_1 u = −∂_2 v − ∂_3 w.
"""

from __future__ import annotations

import math
from typing import Any

from eddymark.solvers.compiled.arrays import Array
from eddymark.solvers.compiled.compilation import compiled, driver


@compiled
def rows(fields: Array) -> Any:
    """Return the eight entries of a 3-D gradient."""
    return fields[0], fields[1], fields[2], fields[3], fields[4], fields[5], fields[6], fields[7]


@compiled
def strain_rate(xx: Array, xy: Array, xz: Array, yy: Array, yz: Array, out: Array) -> None:
    """|S|."""
    four, third = out.dtype.type(4), out.dtype.type(1 / 3)
    for i in range(out.size):
        shear = xy[i] * xy[i] + xz[i] * xz[i] + yz[i] * yz[i]
        diagonal = xx[i] * (xx[i] - yy[i]) + yy[i] * yy[i]
        out[i] = math.sqrt(four * (shear + third * diagonal))


@compiled
def wale(gradient: Array, tiny: Any, out: Array) -> None:
    """WALE; see `eddymark.closures.wale.wale_rate`."""
    vx, wx, uy, vy, wy, uz, vz, wz = rows(gradient)
    real = out.dtype.type
    zero, half, one, two, sixth, part = real(0), real(0.5), real(1), real(2), real(1 / 6), real(1 / 24)
    for i in range(out.size):
        ux = -vy[i] - wz[i]
        xy, xz, yz = half * (uy[i] + vx[i]), half * (uz[i] + wx[i]), half * (vz[i] + wy[i])
        a, b, c = wy[i] - vz[i], uz[i] - wx[i], vx[i] - uy[i]
        square = ux * ux + vy[i] * vy[i] + wz[i] * wz[i] + two * (xy * xy + xz * xz + yz * yz)
        rotation = a * a + b * b + c * c
        p, q, r = ux * a + xy * b + xz * c, xy * a + vy[i] * b + yz * c, xz * a + yz * b + wz[i] * c
        invariant = half * (p * p + q * q + r * r) + sixth * square * square
        invariant = max(invariant + rotation * (part * rotation - sixth * square), zero)
        root = math.sqrt(invariant)
        below = square * square * math.sqrt(square) + invariant * math.sqrt(root)
        out[i] = invariant * root / (below if below > tiny else one)


@compiled
def vreman(gradient: Array, weights: Array, tiny: Any, out: Array) -> None:
    """Vreman; see `eddymark.closures.vreman.vreman_rate`."""
    vx, wx, uy, vy, wy, uz, vz, wz = rows(gradient)
    real = out.dtype.type
    one, p, q, r = real(1), weights[0], weights[1], weights[2]
    for i in range(out.size):
        ux = -vy[i] - wz[i]
        a, b, c = ux * vy[i] - uy[i] * vx[i], ux * vz[i] - uz[i] * vx[i], uy[i] * vz[i] - uz[i] * vy[i]
        total = p * a * a + q * b * b + r * c * c
        a, b, c = ux * wy[i] - uy[i] * wx[i], ux * wz[i] - uz[i] * wx[i], uy[i] * wz[i] - uz[i] * wy[i]
        total += p * a * a + q * b * b + r * c * c
        a, b, c = vx[i] * wy[i] - vy[i] * wx[i], vx[i] * wz[i] - vz[i] * wx[i], vy[i] * wz[i] - vz[i] * wy[i]
        total += p * a * a + q * b * b + r * c * c
        norm = ux * ux + uy[i] * uy[i] + uz[i] * uz[i] + vx[i] * vx[i] + vy[i] * vy[i] + vz[i] * vz[i]
        norm += wx[i] * wx[i] + wy[i] * wy[i] + wz[i] * wz[i]
        out[i] = math.sqrt(total / (norm if norm > tiny else one))


@compiled
def gram(a: Array, b: Array, c: Array, p: Array, q: Array, r: Array, out: Array) -> None:
    """a p + b q + c r."""
    for i in range(out.size):
        out[i] = a[i] * p[i] + b[i] * q[i] + c[i] * r[i]


@compiled
def sigma_invariants(xx: Array, xy: Array, xz: Array, yy: Array, yz: Array, zz: Array, tiny: Any) -> None:
    """Mean, q^½ and the cosine of three times an angle of the eigenvalues of g gᵀ, left in xx, xy and xz."""
    real = xx.dtype.type
    zero, one, two, third, sixth, half = real(0), real(1), real(2), real(1 / 3), real(1 / 6), real(0.5)
    least = math.sqrt(tiny)
    for i in range(xx.size):
        d, e, f = xy[i], xz[i], yz[i]
        mean = third * (xx[i] + yy[i] + zz[i])
        a, b, c = xx[i] - mean, yy[i] - mean, zz[i] - mean
        q = sixth * (a * a + b * b + c * c + two * (d * d + e * e + f * f))
        determinant = half * (a * (b * c - f * f) - d * (d * c - f * e) + e * (d * f - b * e))
        q = q if q > least else zero
        root = math.sqrt(q)
        cube = q * root
        xx[i], xy[i] = mean, root
        xz[i] = max(-one, min(one, determinant / (cube if q > zero else one)))


@compiled
def horner(series: Array, y: Array, out: Array) -> None:
    """A polynomial, its highest coefficient first."""
    for i in range(out.size):
        out[i] = series[0]
    for k in range(1, series.size):
        c = series[k]
        for i in range(out.size):
            out[i] = out[i] * y[i] + c


@compiled
def sigma_angles(cosine: Array, y: Array) -> None:
    """Set y to 2 h − 1, h being the cosine of half the angle whose cosine is given."""
    real = y.dtype.type
    one, half, two = real(1), real(0.5), real(2)
    for i in range(y.size):
        y[i] = two * math.sqrt(half * (one + cosine[i])) - one


@compiled
def sigma_rate(
    mean: Array,
    root: Array,
    cosine: Array,
    first: Array,
    second: Array,
    determinant: Array,
    tiny: Any,
    out: Array,
) -> None:
    """The model's rate from polynomials: cos φ/3 and sin φ/3 over sin φ/2; see `eddymark.closures.sigma`."""
    real = out.dtype.type
    zero, half, one, two, side = real(0), real(0.5), real(1), real(2), real(math.sqrt(0.75))
    least = math.sqrt(tiny)
    smallest = math.sqrt(least)
    for i in range(out.size):
        sine = second[i] * math.sqrt(half * (one - cosine[i]))
        twice = two * root[i]
        a = math.sqrt(max(mean[i] + twice * first[i], zero))
        b = math.sqrt(max(mean[i] + twice * (side * sine - half * first[i]), zero))
        product = a * b
        c = abs(determinant[i]) / (product if product > least else one)
        c = min(c if product > least else zero, b)
        rate = c * (a - b) * (b - c) / (a * a if a > smallest else one)
        out[i] = max(rate if a > smallest else zero, zero)


@compiled
def find_determinant(gradient: Array, out: Array) -> None:
    """Determinant of the gradient."""
    vx, wx, uy, vy, wy, uz, vz, wz = rows(gradient)
    for i in range(out.size):
        value = (-vy[i] - wz[i]) * (vy[i] * wz[i] - vz[i] * wy[i]) - uy[i] * (vx[i] * wz[i] - vz[i] * wx[i])
        out[i] = value + uz[i] * (vx[i] * wy[i] - vy[i] * wx[i])


@compiled
def minus_sum(a: Array, b: Array, out: Array) -> None:
    """−a − b."""
    for i in range(out.size):
        out[i] = -a[i] - b[i]


@driver
def sigma(gradient: Array, series: Array, tiny: Any, work: Array, out: Array) -> None:
    """The sigma model's rate; `work` has eight rows."""
    vx, wx, uy, vy, wy, uz, vz, wz = rows(gradient)
    ux, determinant = work[6], work[7]
    xx, xy, xz, yy, yz, zz = work[0], work[1], work[2], work[3], work[4], work[5]
    minus_sum(vy, wz, ux)
    gram(ux, uy, uz, ux, uy, uz, xx)
    gram(ux, uy, uz, vx, vy, vz, xy)
    gram(ux, uy, uz, wx, wy, wz, xz)
    gram(vx, vy, vz, vx, vy, vz, yy)
    gram(vx, vy, vz, wx, wy, wz, yz)
    gram(wx, wy, wz, wx, wy, wz, zz)
    sigma_invariants(xx, xy, xz, yy, yz, zz, tiny)
    sigma_angles(xz, yy)
    horner(series[0], yy, yz)
    horner(series[1], yy, zz)
    find_determinant(gradient, determinant)
    sigma_rate(xx, xy, xz, yz, zz, determinant, tiny, out)
