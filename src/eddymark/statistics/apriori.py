"""A-priori tests: what a subgrid-scale model says of a filtered DNS state, against the stress that it had."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from eddymark.solvers.periodic import NavierStokes
from eddymark.solvers.resolved import ResolvedVelocity, contract

Array = NDArray[np.float64]

LARGEST_DISSIPATION = 10.0
"""Ends of the histogram of the local dissipation, in multiples of the magnitude of its true mean."""
BINS = 80


@dataclass(frozen=True)
class StressComparison:
    """Statistics of a model per state, each `(state,)`, and the distribution of its dissipation.

    Arguments:
        stress_correlation: correlation coefficient of modelled and true deviatoric stress, over points and entries.
        force_correlation: the same of their solenoidal forces −∂_j τ_ij, which is what changes the flow.
        dissipation: ⟨−τ_ij S_ij⟩, the energy that leaves the resolved scales, flow units.
        backscatter_fraction: share of points at which −τ_ij S_ij < 0.
        density: probability density of the local dissipation over |its true mean|, `(state, bin)`.
    """

    stress_correlation: Array
    force_correlation: Array
    dissipation: Array
    backscatter_fraction: Array
    density: Array


def bins() -> Array:
    """Return the edges of the histogram of the local dissipation, in multiples of the magnitude of its true mean."""
    return np.linspace(-LARGEST_DISSIPATION, LARGEST_DISSIPATION, BINS + 1)


def compare_stress(
    modelled: Tensor, truth: Tensor, resolved: ResolvedVelocity, solver: NavierStokes, *, mean_dissipation: float
) -> StressComparison:
    """Return how a modelled stress compares with the true one.

    Arguments:
        modelled, truth: stresses, reduced, `(state, d(d+1)/2 − 1, *grid)`.
        resolved: the states.
        solver: the equations on their grid.
        mean_dissipation: true mean of −τ_ij S_ij over all states, whose magnitude is the unit of the histogram.
    """
    axes = resolved.space.axes
    local = -contract(modelled, resolved.strain_rate)
    # In double precision, so that histograms do not depend on the order of sums.
    ratio = (local.double() / abs(mean_dissipation)).flatten(1).cpu().numpy()
    edges = bins()
    width = edges[1] - edges[0]
    counts = np.stack([np.histogram(one, edges)[0] for one in ratio])
    forces = [solver.space.to_physical(solver.subgrid_force(stress)) for stress in (modelled, truth)]
    first, second = (stress - stress.mean(dim=axes, keepdim=True) for stress in (modelled, truth))
    return StressComparison(
        stress_correlation=_correlation(
            contract(first, second).sum(dim=axes),
            contract(first, first).sum(dim=axes),
            contract(second, second).sum(dim=axes),
        ),
        force_correlation=_correlation(
            *((a * b).flatten(1).sum(dim=1) for a, b in ((forces[0], forces[1]), (forces[0],) * 2, (forces[1],) * 2))
        ),
        dissipation=local.mean(dim=axes).double().cpu().numpy(),
        backscatter_fraction=(local < 0).double().mean(dim=axes).cpu().numpy(),
        density=counts / (ratio.shape[1] * width),
    )


def _correlation(both: Tensor, first: Tensor, second: Tensor) -> Array:
    """Return a correlation coefficient from sums; NaN where one of the fields vanishes."""
    norm = torch.sqrt(first.double() * second.double())
    return torch.where(norm > 0, both.double() / norm, torch.nan).cpu().numpy()
