"""Between stored modes and the columns that FFTW transforms.

Loops are short and have few operands: only then does the compiler vectorise them.
"""

from __future__ import annotations

from typing import Any

from eddymark.solvers.compiled.arrays import Array, Buffers, Plans, Recipe
from eddymark.solvers.compiled.compilation import compiled, driver
from eddymark.solvers.compiled.transforms import execute


@compiled
def times(factor: Any, value: Any) -> Any:
    """Product of a real and a complex number."""
    return complex(factor * value.real, factor * value.imag)


@compiled
def rotated(factor: Any, value: Any) -> Any:
    """−i times a real and a complex number."""
    return complex(factor * value.imag, -factor * value.real)


@compiled
def low_modes(rows: int, width: int) -> int:
    """Return how many entries the modes 0 … m of an axis with modes 0 … m, −m … −1 take."""
    return (rows // 2 + 1) * width


@compiled
def spread(source: Array, target: Array, low: int) -> None:
    """Copy modes into a padded array whose rows of high wavenumbers stay zero; `low` of them come before the gap."""
    gap = target.shape[0] - source.shape[0]
    for i in range(low):
        target[i] = source[i]
    for i in range(low, source.shape[0]):
        target[i + gap] = source[i]


@compiled
def spread_multiple(factor: Array, source: Array, target: Array, low: int) -> None:
    """Copy modes times a real factor each into a padded array."""
    gap = target.shape[0] - source.shape[0]
    for i in range(low):
        target[i] = times(factor[i], source[i])
    for i in range(low, source.shape[0]):
        target[i + gap] = times(factor[i], source[i])


@compiled
def spread_derivative(k: Array, source: Array, target: Array, low: int) -> None:
    """Copy i k times modes into a padded array."""
    gap = target.shape[0] - source.shape[0]
    for i in range(low):
        target[i] = rotated(-k[i], source[i])
    for i in range(low, source.shape[0]):
        target[i + gap] = rotated(-k[i], source[i])


@compiled
def gather(source: Array, target: Array, low: int) -> None:
    """Copy the kept modes of a transformed array; `low` of them come before the gap."""
    gap = source.shape[0] - target.shape[0]
    for i in range(low):
        target[i] = source[i]
    for i in range(low, target.shape[0]):
        target[i] = source[i + gap]


@compiled
def combine_row(a: Array, b: Array, c: Array, p: Any, kb: Array, q: Any, r: Any, out: Array) -> None:
    """i (p a + q k_b b) + r c."""
    for i in range(out.shape[0]):
        s = q * kb[i]
        out[i] = complex(
            r * c[i].real - p * a[i].imag - s * b[i].imag,
            r * c[i].imag + p * a[i].real + s * b[i].real,
        )


@driver
def combine_lines(recipe: Recipe, number: int, lines: Array, k_slab: Array, k_last: Array, padded: Array) -> None:
    """Form a combination of the lines of a plane, `(lines, slabs · row)`, in a padded array."""
    first, second, third = recipe.lines[number]
    p, q, r = recipe.weights[number]
    slabs = k_slab.size
    row = lines.shape[1] // slabs
    gap = padded.shape[0] - slabs * row
    for slab in range(slabs):
        start = slab * row
        to = start if slab <= slabs // 2 else start + gap
        a, b, c = (
            lines[first, start : start + row],
            lines[second, start : start + row],
            lines[third, start : start + row],
        )
        combine_row(a, b, c, p * k_slab[slab], k_last[:row], q, r, padded[to : to + row])


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
def pack_derivative(
    plane: Array, k: Array, factor: Any, block: Array, start: int, stop: int, half: int, kept: int
) -> None:
    """Do the same to a multiple of the derivative along the last axis."""
    points = block.shape[0]
    low = block[0]
    for j in range(stop - start):
        low[j] = 0
    for z in range(1, kept):
        first, second = plane[z, start:stop], plane[z, start + half : stop + half]
        low, high = block[z], block[points - z]
        s = factor * k[z]
        for j in range(stop - start):
            a, b = first[j], second[j]
            low[j] = complex(s * (-a.imag - b.real), s * (a.real - b.imag))
            high[j] = complex(s * (b.real - a.imag), s * (-b.imag - a.real))


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


@driver
def to_points(
    plans: Plans, b: Buffers, recipe: Recipe, k_last: Array, start: int, stop: int, half: int, kept: int
) -> None:
    """Transform some columns of a plane, and their derivatives, along the last axis: `b.plane` to `b.fields`."""
    planes = b.plane.shape[0]
    for field in range(planes):
        pack(b.plane[field], b.block, start, stop, half, kept)
        execute(plans.last_inverse, b.block, b.fields[field])
    for number in range(recipe.along_last.size):
        plane, factor = b.plane[recipe.along_last[number]], recipe.last_weights[number]
        pack_derivative(plane, k_last, factor, b.block, start, stop, half, kept)
        execute(plans.last_inverse, b.block, b.fields[planes + number])
