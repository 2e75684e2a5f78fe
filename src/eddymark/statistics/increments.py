"""Velocity increments over several separations: structure functions to order 6 and probability densities.

Increments are taken along the homogeneous axes: all of them, or in a layer those of the planes in which it is averaged,
along which the mean flow does not change and drops out.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
import xarray as xr
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from eddymark.grid import Grid
from eddymark.statistics.averaging import SAMPLES, window_averages
from eddymark.statistics.distributions import INCREMENT_BINS, histogram, total_variation_distance
from eddymark.statistics.measure import Window

Array = NDArray[np.float64]

ORDERS = (2, 3, 4, 5, 6)
DIRECTIONS = ("longitudinal", "transverse")


@dataclass(frozen=True)
class Separation:
    """A distance at which increments are taken.

    Arguments:
        length: r, flow units.
        steps: axis and number of grid points which it is along each axis on whose points it ends.
    """

    length: float
    steps: tuple[tuple[int, int], ...]


def separations(grid: Grid, axes: Sequence[int]) -> list[Separation]:
    """Return the distances 1, 2, 3, 4, 6, 8, 12, … times the largest spacing, up to half the shortest side.

    Spacings may differ between the axes; a distance is taken along those on whose points it ends, the one with the
    largest spacing always.

    Arguments:
        grid: the grid.
        axes: along which increments are taken.
    """
    largest = max(grid.spacing[axis] for axis in axes)
    most = math.floor(min(grid.sides[axis] for axis in axes) / (2 * largest) + 1e-9)
    multiples = sorted({multiple for power in range(16) for multiple in (2**power, 3 * 2**power)})
    found = []
    for length in (multiple * largest for multiple in multiples if multiple <= most):
        counts = {axis: length / grid.spacing[axis] for axis in axes}
        steps = tuple((axis, round(n)) for axis, n in counts.items() if abs(n - round(n)) < 1e-6)
        found.append(Separation(length, steps))
    return found


def density_separations(found: Sequence[Separation]) -> list[Separation]:
    """Return the separations at which densities are taken: the smallest, the middle and the largest one."""
    return [found[index] for index in sorted({0, len(found) // 2, len(found) - 1})]


def velocity_increments(velocity: Tensor, *, axis: int, step: int, dimension: int) -> tuple[Tensor, Tensor]:
    """Return the longitudinal and the transverse increments along an axis, u(x + r e_axis) − u(x).

    Arguments:
        velocity: `(..., component, *grid)`.
        axis: of the separation, from 0.
        step: r in grid points.
        dimension: number of axes.

    Returns:
        longitudinal ones `(..., sample)`, transverse ones of all other components `(..., sample)`.
    """
    increments = velocity.roll(-step, dims=axis - dimension) - velocity
    component = -dimension - 1
    longitudinal = increments.select(component, axis)
    others = [index for index in range(dimension) if index != axis]
    # Neighbouring components are a view, which costs no copy.
    apart = others[-1] - others[0] + 1 != len(others)
    transverse = (
        increments.index_select(component, torch.tensor(others, device=velocity.device))
        if apart
        else increments.narrow(component, others[0], len(others))
    )
    return longitudinal.flatten(-dimension), transverse.flatten(component)


def moments(values: Tensor) -> Tensor:
    """Return the means of the powers `ORDERS` of values `(..., sample)`, `(..., order)`."""
    square = values * values
    cube = square * values
    pairs = ((values, values), (square, values), (square, square), (square, cube), (cube, cube))
    return torch.stack([torch.linalg.vecdot(*pair) for pair in pairs], dim=-1) / values.shape[-1]


def structure_functions(velocity: Tensor, *, grid: Grid, found: Sequence[Separation]) -> Tensor:
    """Return the structure functions S_p(r) = ⟨(δu)^p⟩, averaged over axes, transverse ones also over components.

    Source: Pope (2000), Turbulent Flows, Sec. 6.2 (order 2), 6.7.2 (higher orders).

    Arguments:
        velocity: `(..., component, *grid)`.
        grid: the grid.
        found: the separations r.

    Returns:
        `(..., direction, order, separation)`, flow units.
    """

    def at(separation: Separation) -> Tensor:
        along = [
            torch.stack(
                [moments(one) for one in velocity_increments(velocity, axis=axis, step=n, dimension=grid.dimension)],
                dim=-2,
            )
            for axis, n in separation.steps
        ]
        return torch.stack(along).mean(dim=0)

    return torch.stack([at(separation) for separation in found], dim=-1)


def densities(velocity: Tensor, *, grid: Grid, found: Sequence[Separation], scales: Array) -> Tensor:
    """Return the densities of increments divided by the scales, averaged over axes.

    Arguments:
        velocity: finite, `(..., component, *grid)`.
        grid: the grid.
        found: the separations.
        scales: `(direction, separation)`, flow units.

    Returns:
        `(..., direction, separation, bin)` in `distributions.INCREMENT_BINS`.
    """

    def at(separation: Separation, index: int) -> Tensor:
        along = []
        for axis, n in separation.steps:
            pair = velocity_increments(velocity, axis=axis, step=n, dimension=grid.dimension)
            shares = [
                histogram(values, scale=float(scale), bins=INCREMENT_BINS)
                for values, scale in zip(pair, scales[:, index], strict=True)
            ]
            along.append(torch.stack(shares, dim=-2))
        return torch.stack(along).mean(dim=0) / INCREMENT_BINS.width

    return torch.stack([at(separation, index) for index, separation in enumerate(found)], dim=-2)


def measure_increments(
    velocity: Tensor,
    *,
    grid: Grid,
    interval: float,
    window: Window,
    reference: xr.Dataset | None = None,
    homogeneous_axes: tuple[int, ...] = (),
) -> xr.Dataset:
    """Measure structure functions and densities of increments of at most `SAMPLES` states of each part of a window.

    Arguments:
        velocity: `(trajectory, time, component, *grid)`, NaN after a failure, the initial state first.
        grid: the grid.
        interval: time between two states, turnover times.
        window: where they are averaged over time.
        reference: what this gave for the DNS, whose rms increments normalise the densities; None: this is the DNS.
        homogeneous_axes: along which increments are taken; empty: all.

    Returns:
        `structure_function` `(trajectory, window, direction, order, separation)`, flow units, and
        `increment_densities` `(trajectory, window, direction, density_separation, increment_bin)`; NaN for trajectories
        which are not finite throughout a part. The coordinates `separation` and `density_separation` are in flow units.
    """
    found = separations(grid, homogeneous_axes or range(grid.dimension))
    chosen = density_separations(found)
    time = interval * np.arange(velocity.shape[1], dtype=np.float64)
    parts = window.slices(time)

    def averages(statistics: list[partial[dict[str, Tensor]]]) -> dict[str, Array]:
        return window_averages(velocity, parts, statistics, most=SAMPLES)

    functions = averages([partial(_functions, grid=grid, found=found)] * len(parts))["structure_function"]
    lengths = [one.length for one in found]
    result = xr.Dataset(
        {"structure_function": (("trajectory", "window", "direction", "order", "separation"), functions)},
        coords={"direction": list(DIRECTIONS), "order": list(ORDERS), "separation": lengths},
    )
    scales = rms_increments(result if reference is None else reference)[..., [found.index(one) for one in chosen]]
    shares = averages([partial(_densities, grid=grid, found=chosen, scales=scale) for scale in scales])
    dims = ("trajectory", "window", "direction", "density_separation", "increment_bin")
    return result.assign(increment_densities=(dims, shares["increment_densities"])).assign_coords(
        density_separation=[one.length for one in chosen], increment_bin=INCREMENT_BINS.centres
    )


def rms_increments(statistics: xr.Dataset) -> Array:
    """Return the rms increments, S_2^½ averaged over trajectories, `(window, direction, separation)`."""
    return np.asarray(statistics["structure_function"].sel(order=2).mean("trajectory").to_numpy() ** 0.5)


def _functions(velocity: Tensor, *, grid: Grid, found: Sequence[Separation]) -> dict[str, Tensor]:
    return {"structure_function": structure_functions(velocity, grid=grid, found=found)}


def _densities(velocity: Tensor, *, grid: Grid, found: Sequence[Separation], scales: Array) -> dict[str, Tensor]:
    return {"increment_densities": densities(velocity, grid=grid, found=found, scales=scales)}


SMALLEST_RATIO = 1e-14
"""Structure functions below this multiple of the reference count as this (see `spectra.SMALLEST_RATIO`)."""


def structure_function_error(functions: ArrayLike, reference: ArrayLike) -> Array:
    """Return the rms distance of the even structure functions in decades, √⟨log₁₀²(S_p / S_p,ref)^{2/p}⟩.

    The mean is over the orders 2, 4, 6, both directions and all separations. The exponent makes a change of the
    velocity by a constant factor count alike in all orders.

    Arguments:
        functions: S_p, `(..., direction, order, separation)`.
        reference: those of the DNS, same shape.

    Returns:
        `(...,)`, decades; NaN where S_p is.
    """
    even = [index for index, order in enumerate(ORDERS) if order % 2 == 0]
    ours, theirs = (np.asarray(one, dtype=np.float64)[..., even, :] for one in (functions, reference))
    exponents = np.array([2 / ORDERS[index] for index in even])[:, np.newaxis]
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.maximum(ours / theirs, SMALLEST_RATIO)
    return np.asarray(np.sqrt(((exponents * np.log10(ratio)) ** 2).mean(axis=(-3, -2, -1))))


def increment_skewness(functions: ArrayLike) -> Array:
    """Return the skewness of longitudinal increments, S_3 / S_2^{3/2}, `(..., separation)`.

    Negative where energy goes to smaller scales: Kolmogorov's four-fifths law, S_3 = −⅘ ε r.

    Arguments:
        functions: S_p, `(..., direction, order, separation)`.
    """
    longitudinal = np.asarray(functions, dtype=np.float64)[..., 0, :, :]
    return _quotient(longitudinal[..., ORDERS.index(3), :], longitudinal[..., ORDERS.index(2), :] ** 1.5)


def increment_flatness(functions: ArrayLike) -> Array:
    """Return the flatness of increments, S_4 / S_2², `(..., direction, separation)`: 3 for Gaussian increments.

    Arguments:
        functions: S_p, `(..., direction, order, separation)`.
    """
    found = np.asarray(functions, dtype=np.float64)
    return _quotient(found[..., ORDERS.index(4), :], found[..., ORDERS.index(2), :] ** 2)


def increment_skewness_error(functions: ArrayLike, reference: ArrayLike) -> Array:
    """Return the rms difference of the skewness of longitudinal increments over all separations.

    Arguments:
        functions: S_p, `(..., direction, order, separation)`.
        reference: those of the DNS, same shape.

    Returns:
        `(...,)`.
    """
    difference = increment_skewness(functions) - increment_skewness(reference)
    return np.asarray(np.sqrt((difference**2).mean(axis=-1)))


def increment_densities_distance(first: ArrayLike, second: ArrayLike) -> Array:
    """Return the total variation distance of densities of increments, averaged over directions and separations.

    Arguments:
        first, second: `(..., direction, separation, bin)`.

    Returns:
        `(...,)`.
    """
    distance = total_variation_distance(first, second, bin_width=INCREMENT_BINS.width)
    return np.asarray(distance.mean(axis=(-2, -1)))


def _quotient(numerator: Array, denominator: Array) -> Array:
    result = np.full(numerator.shape, np.nan)
    return np.divide(numerator, denominator, out=result, where=denominator != 0)
