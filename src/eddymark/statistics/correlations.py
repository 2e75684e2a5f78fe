"""Two-point correlations in space with the integral length, and the autocorrelation in time with the integral time."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial

import numpy as np
import torch
import xarray as xr
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from eddymark.grid import Grid, SpectralSpace
from eddymark.statistics.averaging import SAMPLES, chunks, window_averages
from eddymark.statistics.measure import Window

Array = NDArray[np.float64]

DIRECTIONS = ("longitudinal", "transverse")
POINTS = 1024
"""Points of a state, evenly spread, whose series in time are correlated."""
LONGEST_LAG = 64
"""Outputs."""


def offsets(grid: Grid, axes: Sequence[int]) -> Array:
    """Return the distances 0, 1, 2, … times the largest spacing along some axes, up to half their shortest side."""
    largest = max(grid.spacing[axis] for axis in axes)
    last = math.floor(min(grid.sides[axis] for axis in axes) / (2 * largest) + 1e-9)
    return np.arange(last + 1, dtype=np.float64) * largest


def two_point_covariances(
    velocity: Tensor, *, space: SpectralSpace, axes: Sequence[int], distances: ArrayLike
) -> Tensor:
    """Return ⟨u_i'(x) u_i'(x + r e_j)⟩ (no sum), for i = j and averaged over i ≠ j, averaged over the axes e_j.

    u' is the deviation from the average over the homogeneous axes. By the spectrum, Σ |û_i|² cos k_j r, which is exact
    at any distance.

    Source: Pope (2000), Turbulent Flows, Sec. 6.3, 6.5.

    Arguments:
        velocity: `(..., component, *grid)`.
        space: spectral space of the grid with all modes.
        axes: the homogeneous ones.
        distances: r, flow units.

    Returns:
        `(..., direction, distance)`.
    """
    grid = space.grid
    dimension = grid.dimension
    spectrum = space.to_spectral(velocity)
    power = (spectrum.real**2 + spectrum.imag**2) * space.multiplicity
    mean = (..., *(0 if axis in axes else slice(None) for axis in range(dimension)))
    power[mean] = 0
    r = torch.as_tensor(distances, dtype=space.dtype, device=space.device)
    found = []
    for axis in axes:
        others = [other - dimension for other in range(dimension) if other != axis]
        along = power.sum(dim=others)
        index = torch.arange(along.shape[-1], dtype=space.dtype, device=space.device)
        if axis < dimension - 1:
            index = torch.where(2 * index > grid.points[axis], index - grid.points[axis], index)
        wave = torch.cos(torch.outer(2 * torch.pi / grid.sides[axis] * index, r))
        covariances = along @ wave
        longitudinal = covariances[..., axis, :]
        transverse = (covariances.sum(dim=-2) - longitudinal) / (dimension - 1)
        found.append(torch.stack([longitudinal, transverse], dim=-2))
    return torch.stack(found).mean(dim=0)


def measure_correlations(
    velocity: Tensor, *, grid: Grid, interval: float, window: Window, homogeneous_axes: tuple[int, ...] = ()
) -> xr.Dataset:
    """Measure the two-point covariances of at most `SAMPLES` states of each part of a window.

    Arguments:
        velocity: `(trajectory, time, component, *grid)`, NaN after a failure, the initial state first.
        grid: the grid.
        interval: time between two states, turnover times.
        window: where they are averaged over time.
        homogeneous_axes: along which points are apart; empty: all.

    Returns:
        `two_point_covariance` `(trajectory, window, direction, offset)`, flow units; NaN for trajectories which are not
        finite throughout a part. The coordinate `offset` is in flow units.
    """
    axes = homogeneous_axes or tuple(range(grid.dimension))
    space = SpectralSpace(grid, dealiased=False, device=velocity.device)
    parts = window.slices(interval * np.arange(velocity.shape[1], dtype=np.float64))
    distances = offsets(grid, axes)
    one = partial(_covariances, space=space, axes=axes, distances=distances)
    averages = window_averages(velocity, parts, [one] * len(parts), most=SAMPLES)
    dims = ("trajectory", "window", "direction", "offset")
    return xr.Dataset(
        {"two_point_covariance": (dims, averages["two_point_covariance"])},
        coords={"direction": list(DIRECTIONS), "offset": distances},
    )


def _covariances(
    velocity: Tensor, *, space: SpectralSpace, axes: tuple[int, ...], distances: Array
) -> dict[str, Tensor]:
    return {"two_point_covariance": two_point_covariances(velocity, space=space, axes=axes, distances=distances)}


def measure_autocovariance(
    velocity: Tensor, *, interval: float, window: Window, lags: int, mean_axes: tuple[int, ...]
) -> xr.Dataset:
    """Measure how long the velocity at a point remembers itself, ⟨u_i'(x, t) u_i'(x, t + τ)⟩, in a steady flow.

    u' is the deviation from the mean of all trajectories, times and the axes along which that mean is constant. At most
    `POINTS` points of every state count.

    Source: Pope (2000), Turbulent Flows, Sec. 3.6 (Eulerian, at a fixed point).

    Arguments:
        velocity: `(trajectory, time, component, *grid)`, NaN after a failure, the initial state first.
        interval: time between two states, turnover times.
        window: where t and t + τ lie, of one part.
        lags: the longest lag, outputs.
        mean_axes: axes along which the mean flow is constant.

    Returns:
        `autocovariance` `(trajectory, lag)`, flow units; NaN for trajectories which are not finite throughout the
        window. The coordinate `lag` is τ in turnover times.
    """
    (part,) = window.slices(interval * np.arange(velocity.shape[1], dtype=np.float64))
    states = velocity[:, part]
    alive = torch.stack([some.isfinite().flatten(1).all(dim=1) for some in chunks(states)]).all(dim=0)
    found = np.full((len(velocity), lags + 1), np.nan)
    if alive.any():
        series = _series(states[alive], mean_axes)
        steps = series.shape[1]
        values = [(series[:, : steps - lag] * series[:, lag:]).mean(dim=(1, 3)).sum(dim=1) for lag in range(lags + 1)]
        found[alive.cpu().numpy()] = torch.stack(values, dim=-1).cpu().numpy()
    return xr.Dataset(
        {"autocovariance": (("trajectory", "lag"), found)}, coords={"lag": interval * np.arange(lags + 1)}
    )


def _series(states: Tensor, mean_axes: tuple[int, ...]) -> Tensor:
    """Return the fluctuations at evenly spread points, `(trajectory, time, component, point)`."""
    dimension = states.ndim - 3
    axes = (0, 1, *(3 + axis for axis in mean_axes))
    # Parts of the mean are weighted by their numbers of states.
    parts = [part.mean(dim=axes, keepdim=True) * part.shape[1] for part in chunks(states)]
    mean = torch.stack(parts).sum(dim=0) / states.shape[1]
    points = math.prod(states.shape[-dimension:])
    # An odd stride does not stay on few lines of a grid whose sides are powers of two.
    stride = max(1, -(-points // POINTS)) | 1 if points > POINTS else 1
    some = states.flatten(-dimension)[..., ::stride].to(torch.float64)
    return some - mean.expand(1, 1, *states.shape[2:]).flatten(-dimension)[..., ::stride]


def correlation(covariance: ArrayLike) -> Array:
    """Return covariances divided by that at zero distance or lag, `(..., offset)`: 1 there."""
    found = np.asarray(covariance, dtype=np.float64)
    first = np.broadcast_to(found[..., :1], found.shape)
    return np.divide(found, first, out=np.full(found.shape, np.nan), where=first != 0)


def integral_scale(covariance: ArrayLike, *, spacing: float) -> Array:
    """Return the integral of a correlation from zero to its last distance or lag, by the trapezoidal rule.

    The longitudinal correlation gives the integral length, the autocorrelation the integral time. Where a correlation
    has not vanished at its last point, the scale is rather too small, for DNS and models alike.

    Source: Pope (2000), Turbulent Flows, Sec. 3.6, 6.3.

    Arguments:
        covariance: `(..., offset)`.
        spacing: of the distances or lags.

    Returns:
        `(...,)` in the unit of the spacing.
    """
    return np.asarray(np.trapezoid(correlation(covariance), dx=spacing, axis=-1))


def longitudinal_length(covariances: ArrayLike, *, spacing: float) -> Array:
    """Return the longitudinal integral length of `two_point_covariance` `(..., direction, offset)`, `(...,)`."""
    return integral_scale(np.asarray(covariances, dtype=np.float64)[..., 0, :], spacing=spacing)
