"""What constraints from reference data did in rollouts."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import xarray as xr
from torch import Tensor


def with_activity(statistics: xr.Dataset, activity: Tensor, names: Sequence[str]) -> xr.Dataset:
    """Return the statistics with what constraints did to each output and, on average, in each rollout.

    `constrained_shells` and `constrained_energy` are `(trajectory, time, constraint)`, zero at the initial state, on
    which nothing acts; their means over the outputs up to a failure are `mean_constrained_shells` and
    `mean_constrained_energy`, `(trajectory, constraint)`.

    Arguments:
        statistics: statistics of the rollouts.
        activity: of each output, `(trajectory, output, constraint, 2)`, NaN after a failure: the share of the shells
            open to a constraint which it rescaled, and the energy that it removed or added in that of the state.
        names: types of the constraints.
    """
    values = activity.double().cpu().numpy()
    series = np.concatenate([np.zeros_like(values[:, :1]), values], axis=1)
    present = np.isfinite(values)
    mean = np.where(present, values, 0.0).sum(axis=1) / np.maximum(present.sum(axis=1), 1)
    dims = ("trajectory", "time", "constraint")
    return statistics.assign_coords(constraint=list(names)).assign(
        constrained_shells=(dims, series[..., 0]),
        constrained_energy=(dims, series[..., 1]),
        mean_constrained_shells=(("trajectory", "constraint"), mean[..., 0]),
        mean_constrained_energy=(("trajectory", "constraint"), mean[..., 1]),
    )
