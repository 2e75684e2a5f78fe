"""Probability densities of vorticity and of velocity increments, and their distance."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor


@dataclass(frozen=True)
class Bins:
    """Equal bins of a normalised quantity, symmetric about zero; what lies outside is counted in the end
    bins.

    Arguments:
        limit: end of the last bin.
        count: number of bins.
    """

    limit: float
    count: int

    @property
    def width(self) -> float:
        """Width of one bin."""
        return 2 * self.limit / self.count

    @property
    def centres(self) -> NDArray[np.float64]:
        """Bin centres, `(bin,)`."""
        return np.asarray(-self.limit + self.width * (np.arange(self.count) + 0.5), dtype=np.float64)


VORTICITY_BINS = Bins(limit=8.0, count=64)
INCREMENT_BINS = Bins(limit=6.0, count=48)


def histogram(values: Tensor, *, scale: float, bins: Bins) -> Tensor:
    """Return the share of values in each bin.

    Arguments:
        values: finite numbers, `(..., sample)`.
        scale: what the values are divided by first.
        bins: the bins of the normalised values.

    Returns:
        shares which sum to 1, `(..., bin)`.
    """
    position = (values / scale + bins.limit) / bins.width
    index = position.clamp(0, bins.count - 1).to(torch.int64)
    counts = values.new_zeros((*values.shape[:-1], bins.count))
    counts.scatter_add_(-1, index, torch.ones_like(values))
    return counts / values.shape[-1]


def longitudinal_increments(velocity: Tensor, *, dimension: int) -> Tensor:
    """Return the longitudinal velocity increments over one grid spacing, u_i(x + h e_i) − u_i(x).

    Arguments:
        velocity: `(..., component, *grid)`.
        dimension: number of axes.

    Returns:
        same shape as `velocity`; entry i of the component axis belongs to axis i.
    """
    components = velocity.unbind(-dimension - 1)
    increments = [u.roll(-1, dims=axis - dimension) - u for axis, u in enumerate(components)]
    return torch.stack(increments, dim=-dimension - 1)


def total_variation_distance(first: ArrayLike, second: ArrayLike, *, bin_width: float) -> NDArray[np.float64]:
    """Return the total variation distance of two densities, ½ Σ |p − q| Δ: 0 if equal, 1 if disjoint.

    Arguments:
        first, second: probability densities p and q, `(..., bin)`.
        bin_width: Δ.

    Returns:
        `(...,)`.
    """
    difference = np.abs(np.asarray(first, dtype=np.float64) - np.asarray(second, dtype=np.float64))
    return np.asarray(0.5 * bin_width * difference.sum(axis=-1))
