"""Errors against the DNS trajectory that starts from the same state."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from eddymark.grid import SpectralSpace


def relative_l2_error(prediction: Tensor, truth: Tensor) -> Tensor:
    """Return the relative L2 error of each trajectory at each time: ‖u − v‖₂ / ‖v‖₂.

    The norms run over all components and points of one state; nothing is summed over trajectories or times.

    Arguments:
        prediction: velocity u, `(trajectory, time, component, *grid)`.
        truth: velocity v of the DNS at the same times, same shape.

    Returns:
        `(trajectory, time)`; NaN where the prediction is not finite.
    """
    if prediction.shape != truth.shape:
        raise ValueError(f"prediction and truth differ in shape: {tuple(prediction.shape)}, {tuple(truth.shape)}")
    difference: Tensor = torch.linalg.vector_norm((prediction - truth).flatten(2), dim=-1)
    norm: Tensor = torch.linalg.vector_norm(truth.flatten(2), dim=-1)
    return difference / norm


def vorticity_correlation(
    prediction: Tensor, truth: Tensor, *, space: SpectralSpace, averaged_axes: tuple[int, ...] = ()
) -> Tensor:
    """Return the Pearson correlation of the vorticity fields, ⟨ω ω'⟩ / √(⟨ω²⟩⟨ω'²⟩), over space and
    components.

    Vorticity has no mean on a periodic box, but a mean profile in a shear flow: all states share it, so that states
    which have nothing else in common would count as correlated. A state without vorticity has correlation 0.

    Arguments:
        prediction: velocity, `(trajectory, time, component, *grid)`.
        truth: velocity of the DNS at the same times, same shape.
        space: spectral space of the grid.
        averaged_axes: axes of the grid, 0 the first; the average over them is taken off each state.

    Returns:
        `(trajectory, time)`; NaN where the prediction is not finite.
    """
    first, second = (
        space.to_physical(space.vorticity(space.to_spectral(velocity))) for velocity in (prediction, truth)
    )
    if averaged_axes:
        axes = [axis - space.grid.dimension for axis in averaged_axes]
        first, second = (field - field.mean(dim=axes, keepdim=True) for field in (first, second))
    first, second = first.flatten(2), second.flatten(2)
    covariance = (first * second).mean(dim=-1)
    spread = (first.square().mean(dim=-1) * second.square().mean(dim=-1)).sqrt()
    return torch.where(spread == 0, torch.zeros_like(covariance), covariance / spread)


def decorrelation_time(lead_time: ArrayLike, correlation: ArrayLike, *, threshold: float) -> NDArray[np.float64]:
    """Return the time at which the correlation first falls below a threshold, by linear interpolation.

    The correlation is 1 at time 0. A state that has failed (NaN) is uncorrelated.

    Arguments:
        lead_time: times since the start, > 0, increasing, `(time,)`.
        correlation: `(..., time)`.
        threshold: between 0 and 1.

    Returns:
        `(...,)`, in the unit of `lead_time`; NaN where the correlation stays at or above the threshold to the
        end of
        the data: the decorrelation time is then only known to be longer than the data.
    """
    times = np.concatenate([[0.0], np.asarray(lead_time, dtype=np.float64)])
    values = np.nan_to_num(np.asarray(correlation, dtype=np.float64), nan=0.0)
    values = np.concatenate([np.ones((*values.shape[:-1], 1)), values], axis=-1)
    below = values < threshold
    after = np.maximum(below.argmax(axis=-1), 1)
    high = np.take_along_axis(values, (after - 1)[..., None], axis=-1)[..., 0]
    low = np.take_along_axis(values, after[..., None], axis=-1)[..., 0]
    crosses = below.any(axis=-1)
    fraction = np.divide(high - threshold, high - low, out=np.zeros_like(high), where=crosses)
    crossing = times[after - 1] + fraction * (times[after] - times[after - 1])
    return np.where(crosses, crossing, np.nan)
