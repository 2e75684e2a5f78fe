"""Cross-stream profiles of mixing layers and what is integrated from them.

Fields are averaged over planes y = const of one state. A box holds two layers, the second one the mirror image of the
first; it is reflected onto the first one and counts as a layer of its own.
"""

from __future__ import annotations

import numpy as np
import torch
import xarray as xr
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from eddymark.grid import Grid
from eddymark.statistics.measure import Window

Array = NDArray[np.float64]

STRESSES = ("uu", "vv", "ww", "uv")
"""Components ⟨u_i' u_j'⟩ which do not vanish by symmetry."""

_MIRRORED = (1.0, 1.0, 1.0, -1.0)
"""Signs of `STRESSES` under y → −y."""


def cross_stream_distance(grid: Grid) -> Array:
    """Return the distances y − L_y/4 from the centre of a layer at which folded profiles are given, `(distance,)`."""
    return np.asarray(grid.coordinates()[1][: grid.points[1] // 2 + 1] - grid.sides[1] / 4)


def mean_velocity(velocity: Tensor) -> Tensor:
    """Return the streamwise velocity averaged over planes, ū(y) = ⟨u⟩_{x,z}, by layer.

    Arguments:
        velocity: `(..., 3, x, y, z)`.

    Returns:
        `(..., layer, distance)`, the two layers as functions of `cross_stream_distance`.
    """
    return _fold(velocity[..., 0, :, :, :].mean(dim=(-3, -1)), sign=1.0)


def reynolds_stress(velocity: Tensor) -> Tensor:
    """Return the Reynolds stresses ⟨u_i' u_j'⟩_{x,z} of `STRESSES`, by layer, with u' = u − ⟨u⟩_{x,z}.

    Arguments:
        velocity: `(..., 3, x, y, z)`.

    Returns:
        `(..., layer, stress, distance)`.
    """
    fluctuation = velocity - velocity.mean(dim=(-3, -1), keepdim=True)
    u, v, w = fluctuation.unbind(-4)
    products = [(first * second).mean(dim=(-3, -1)) for first, second in ((u, u), (v, v), (w, w), (u, v))]
    folded = [_fold(product, sign=sign) for product, sign in zip(products, _MIRRORED, strict=True)]
    return torch.stack(folded, dim=-2)


def _fold(profile: Tensor, *, sign: float) -> Tensor:
    """Return the halves of periodic profiles `(..., y)` as two layers `(..., layer, distance)`.

    Arguments:
        profile: values at all points.
        sign: of the quantity under y → −y.
    """
    count = profile.shape[-1] // 2 + 1
    mirrored = sign * profile.flip(-1).roll(1, -1)
    return torch.stack([profile[..., :count], mirrored[..., :count]], dim=-2)


def momentum_thickness(mean: Tensor, *, velocity_difference: float, spacing: float) -> Tensor:
    """Return δ = ∫ (¼ − (ū / ΔU)²) dy of a layer, by the trapezoidal rule from stream to stream.

    Arguments:
        mean: ū, `(..., distance)`.
        velocity_difference: ΔU.
        spacing: distance of the points, flow units.

    Returns:
        `(...,)`, flow units.

    Source: Rogers & Moser (1994), Phys. Fluids 6, 903, Eq. 1.
    """
    deficit = 0.25 - (mean / velocity_difference) ** 2
    return torch.trapezoid(deficit, dx=spacing, dim=-1)


def measure_layers(
    velocity: Tensor, *, grid: Grid, interval: float, window: Window, velocity_difference: float
) -> xr.Dataset:
    """Measure growth and profiles of mixing layers, averaged over the two layers of each box.

    Arguments:
        velocity: `(trajectory, time, 3, x, y, z)`, NaN after a failure, the initial state first.
        grid: the grid.
        interval: time between two states, turnover times.
        window: where profiles are averaged over time.
        velocity_difference: ΔU.

    Returns:
        `momentum_thickness` `(trajectory, time)` in flow units; and, averaged over each part of the window,
        `mean_momentum_thickness` `(trajectory, window)`, `mean_velocity` ū / ΔU `(trajectory, window, distance)` and
        `reynolds_stress` ⟨u_i' u_j'⟩ / ΔU² `(trajectory, window, stress, distance)`; NaN where a state is. The
        coordinate `distance` is y − L_y/4 in flow units.
    """
    time = interval * np.arange(velocity.shape[1], dtype=np.float64)
    states = velocity.unbind(1)
    layers = torch.stack([mean_velocity(state.to(torch.float64)) for state in states], dim=1)
    thickness = momentum_thickness(layers, velocity_difference=velocity_difference, spacing=grid.spacing[1]).mean(dim=2)
    stresses = [reynolds_stress(state.to(torch.float64)).mean(dim=1) for state in states]
    stress = torch.stack(stresses, dim=1) / velocity_difference**2
    mean = layers.mean(dim=2) / velocity_difference

    def averaged(values: Tensor) -> Array:
        return torch.stack([values[:, part].mean(dim=1) for part in window.slices(time)], dim=1).cpu().numpy()

    return xr.Dataset(
        {
            "momentum_thickness": (("trajectory", "time"), thickness.cpu().numpy()),
            "mean_momentum_thickness": (("trajectory", "window"), averaged(thickness)),
            "mean_velocity": (("trajectory", "window", "distance"), averaged(mean)),
            "reynolds_stress": (("trajectory", "window", "stress", "distance"), averaged(stress)),
        },
        coords={"time": time, "distance": cross_stream_distance(grid), "stress": list(STRESSES)},
    )


def mean_velocity_error(profile: ArrayLike, reference: ArrayLike) -> Array:
    """Return the rms distance of two mean profiles, ⟨(ū − ū_ref)²⟩^½, in their unit.

    Arguments:
        profile: ū, `(..., distance)`.
        reference: ū of the DNS, `(..., distance)`.

    Returns:
        `(...,)`.
    """
    difference = np.asarray(profile, dtype=np.float64) - np.asarray(reference, dtype=np.float64)
    return np.asarray(np.sqrt((difference**2).mean(axis=-1)))


def reynolds_stress_error(profile: ArrayLike, reference: ArrayLike) -> Array:
    """Return the relative L2 distance of two sets of stress profiles, ‖R − R_ref‖ / ‖R_ref‖, over stresses and y.

    The shear stress counts twice, as in the tensor.

    Arguments:
        profile: ⟨u_i' u_j'⟩, `(..., stress, distance)`.
        reference: those of the DNS, `(..., stress, distance)`.

    Returns:
        `(...,)`.
    """
    weights = np.array([1.0, 1.0, 1.0, 2.0])[:, np.newaxis]
    expected = np.asarray(reference, dtype=np.float64)
    squared = weights * (np.asarray(profile, dtype=np.float64) - expected) ** 2
    return np.asarray(np.sqrt(squared.sum(axis=(-2, -1)) / (weights * expected**2).sum(axis=(-2, -1))))
