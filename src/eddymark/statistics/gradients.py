"""The velocity gradient: moments of its entries, and the joint density of its invariants Q and R."""

from __future__ import annotations

from functools import partial

import numpy as np
import torch
import xarray as xr
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from eddymark.grid import Grid, SpectralSpace
from eddymark.statistics.averaging import SAMPLES, window_averages
from eddymark.statistics.distributions import Bins
from eddymark.statistics.measure import Window

Array = NDArray[np.float64]

MOMENTS = (2, 3, 4)
DIRECTIONS = ("longitudinal", "transverse")
INVARIANT_BINS = Bins(limit=2.0, count=32)
"""Bins of sign(Q) |Q|^½ and sign(R) |R|^⅓ over the scale of the gradient: both roots have the unit of a gradient, so
that the tails need no other bins than the bulk."""


def velocity_gradient(velocity: Tensor, *, space: SpectralSpace) -> Tensor:
    """Return A_ij = ∂u_i/∂x_j at the grid points.

    Arguments:
        velocity: `(..., component, *grid)`.
        space: spectral space of the grid.

    Returns:
        `(..., i, j, point)`.
    """
    dimension = space.grid.dimension
    spectrum = space.to_spectral(velocity).unsqueeze(-dimension - 1)
    return space.to_physical(spectrum * space.derivatives).flatten(-dimension)


def gradient_moments(gradient: Tensor) -> Tensor:
    """Return ⟨(∂_j u_i)^p⟩, averaged over the longitudinal (i = j) and over the transverse entries (i ≠ j).

    Arguments:
        gradient: A_ij, `(..., i, j, point)`.

    Returns:
        `(..., direction, moment)` for the powers `MOMENTS`.
    """
    square = gradient * gradient
    pairs = ((gradient, gradient), (square, gradient), (square, square))
    moments = torch.stack([torch.linalg.vecdot(*pair) for pair in pairs], dim=-1) / gradient.shape[-1]
    diagonal = torch.eye(gradient.shape[-2], dtype=torch.bool, device=gradient.device)
    return torch.stack([moments[..., mask, :].mean(dim=-2) for mask in (diagonal, ~diagonal)], dim=-2)


def invariants(gradient: Tensor) -> tuple[Tensor, Tensor]:
    """Return Q = −½ A_ij A_ji and R = −det A of a gradient in 3-D.

    Q is positive where rotation outweighs strain, R where straining is along one compressed and two stretched axes, or
    a vortex is compressed. Without divergence R = −⅓ A_ij A_jk A_ki.

    Source: Chong, Perry & Cantwell (1990), Phys. Fluids A 2, 765; Cantwell (1993), Phys. Fluids A 5, 2008.

    Arguments:
        gradient: A_ij, `(..., 3, 3, point)`.

    Returns:
        each `(..., point)`.
    """
    rows = [row.unbind(-2) for row in gradient.unbind(-3)]
    second = sum(rows[i][j] * rows[j][i] for i in range(3) for j in range(3))
    cofactors = [
        rows[1][(j + 1) % 3] * rows[2][(j + 2) % 3] - rows[1][(j + 2) % 3] * rows[2][(j + 1) % 3] for j in range(3)
    ]
    determinant = sum(rows[0][j] * cofactors[j] for j in range(3))
    return -0.5 * torch.as_tensor(second), -torch.as_tensor(determinant)


def invariant_density(gradient: Tensor, *, scale: float) -> Tensor:
    """Return the joint density of sign(Q) |Q|^½ / s and sign(R) |R|^⅓ / s; what lies outside is in the end bins.

    Arguments:
        gradient: A_ij, finite, `(..., 3, 3, point)`.
        scale: s, the unit of gradients.

    Returns:
        `(..., q bin, r bin)` in `INVARIANT_BINS`.
    """
    q, r = invariants(gradient / scale)
    count, width = INVARIANT_BINS.count, INVARIANT_BINS.width
    indices = [
        ((root + INVARIANT_BINS.limit) / width).clamp(0, count - 1).to(torch.int64)
        for root in (q.sign() * q.abs().sqrt(), r.sign() * r.abs().pow(1 / 3))
    ]
    shares = q.new_zeros((*q.shape[:-1], count * count))
    shares.scatter_add_(-1, indices[0] * count + indices[1], torch.ones_like(q))
    return shares.unflatten(-1, (count, count)) / (q.shape[-1] * width**2)


def gradient_scale(moments: ArrayLike, *, dimension: int) -> Array:
    """Return the rms strain rate ⟨S_ij S_ij⟩^½ of a homogeneous solenoidal flow, (½⟨A_ij A_ij⟩)^½.

    Arguments:
        moments: of `gradient_moments`, `(..., direction, moment)`.
        dimension: number of axes.

    Returns:
        `(...,)`.
    """
    squares = np.asarray(moments, dtype=np.float64)[..., MOMENTS.index(2)]
    return np.asarray(np.sqrt(0.5 * dimension * (squares[..., 0] + (dimension - 1) * squares[..., 1])))


def measure_gradients(
    velocity: Tensor, *, grid: Grid, interval: float, window: Window, reference: xr.Dataset | None = None
) -> xr.Dataset:
    """Measure moments of the velocity gradient, and in 3-D the joint density of its invariants.

    At most `SAMPLES` states of each part of a window count.

    Arguments:
        velocity: `(trajectory, time, component, *grid)`, NaN after a failure, the initial state first.
        grid: the grid.
        interval: time between two states, turnover times.
        window: where they are averaged over time.
        reference: what this gave for the DNS, whose rms strain rate normalises the invariants; None: this is the DNS.

    Returns:
        `gradient_moment` `(trajectory, window, direction, moment)`, flow units, and in 3-D `invariant_density`
        `(trajectory, window, q_root, r_root)`; NaN for trajectories which are not finite throughout a part.
    """
    space = SpectralSpace(grid, dealiased=False, device=velocity.device)
    parts = window.slices(interval * np.arange(velocity.shape[1], dtype=np.float64))
    moments = window_averages(velocity, parts, [partial(_moments, space=space)] * len(parts), most=SAMPLES)
    dims = ("trajectory", "window", "direction", "moment")
    result = xr.Dataset(
        {"gradient_moment": (dims, moments["gradient_moment"])},
        coords={"direction": list(DIRECTIONS), "moment": list(MOMENTS)},
    )
    if grid.dimension == 2:
        return result
    mean = (result if reference is None else reference)["gradient_moment"].mean("trajectory")
    scales = gradient_scale(mean, dimension=grid.dimension)
    densities = window_averages(
        velocity, parts, [partial(_density, space=space, scale=float(scale)) for scale in scales], most=SAMPLES
    )
    return result.assign(
        invariant_density=(("trajectory", "window", "q_root", "r_root"), densities["invariant_density"])
    ).assign_coords(q_root=INVARIANT_BINS.centres, r_root=INVARIANT_BINS.centres)


def _moments(velocity: Tensor, *, space: SpectralSpace) -> dict[str, Tensor]:
    return {"gradient_moment": gradient_moments(velocity_gradient(velocity, space=space))}


def _density(velocity: Tensor, *, space: SpectralSpace, scale: float) -> dict[str, Tensor]:
    return {"invariant_density": invariant_density(velocity_gradient(velocity, space=space), scale=scale)}


def gradient_skewness(moments: ArrayLike) -> Array:
    """Return ⟨(∂_j u_i)³⟩ / ⟨(∂_j u_i)²⟩^{3/2}, `(..., direction)`, of moments `(..., direction, moment)`."""
    found = np.asarray(moments, dtype=np.float64)
    return _quotient(found[..., MOMENTS.index(3)], found[..., MOMENTS.index(2)] ** 1.5)


def gradient_flatness(moments: ArrayLike) -> Array:
    """Return ⟨(∂_j u_i)⁴⟩ / ⟨(∂_j u_i)²⟩², `(..., direction)`: 3 for a Gaussian field, more in bursts.

    Source: Batchelor & Townsend (1949), Proc. R. Soc. A 199, 238.

    Arguments:
        moments: of `gradient_moments`, `(..., direction, moment)`.
    """
    found = np.asarray(moments, dtype=np.float64)
    return _quotient(found[..., MOMENTS.index(4)], found[..., MOMENTS.index(2)] ** 2)


def gradient_flatness_error(moments: ArrayLike, reference: ArrayLike) -> Array:
    """Return the rms difference of the flatness over both directions.

    Arguments:
        moments: of `gradient_moments`, `(..., direction, moment)`.
        reference: those of the DNS.

    Returns:
        `(...,)`.
    """
    difference = gradient_flatness(moments) - gradient_flatness(reference)
    return np.asarray(np.sqrt((difference**2).mean(axis=-1)))


def invariant_distance(first: ArrayLike, second: ArrayLike) -> Array:
    """Return the total variation distance of two joint densities of the invariants, ½ Σ |p − q| Δ².

    Arguments:
        first, second: `(..., q bin, r bin)`.

    Returns:
        `(...,)`.
    """
    difference = np.abs(np.asarray(first, dtype=np.float64) - np.asarray(second, dtype=np.float64))
    return np.asarray(0.5 * INVARIANT_BINS.width**2 * difference.sum(axis=(-2, -1)))


def _quotient(numerator: Array, denominator: Array) -> Array:
    result = np.full(numerator.shape, np.nan)
    return np.divide(numerator, denominator, out=result, where=denominator != 0)
