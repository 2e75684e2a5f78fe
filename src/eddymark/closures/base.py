"""What every subgrid-scale model offers to the solver."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from eddymark.solvers.resolved import ResolvedVelocity


class Closure(nn.Module):
    """Base of subgrid-scale models.

    A model may give a stress τ_ij in physical space, which the solver adds to u_i u_j (no further transform), or an
    eddy viscosity per wavenumber, which the solver integrates exactly together with the molecular one; or both.
    """

    def coefficient(self, resolved: ResolvedVelocity) -> Tensor | None:
        """Return what is computed from the flow once per time step and held during its stages (None: nothing)."""
        return None

    def stress(self, resolved: ResolvedVelocity, coefficient: Tensor | None) -> Tensor | None:
        """Return the subgrid-scale stress τ_ij, i ≤ j, `(batch, d(d+1)/2, *grid)`, or None if there is none."""
        return None

    def spectral_viscosity(self) -> Tensor | None:
        """Return the eddy viscosity ν_e(k) per mode, `(*modes)`, or None if there is none."""
        return None


class NoClosure(Closure):
    """No model: the equations truncated to the resolved modes, τ_ij = 0."""


def eddy_viscosity_stress(eddy_viscosity: Tensor, strain_rate: Tensor) -> Tensor:
    """Return τ_ij = −2 ν_e S_ij.

    Arguments:
        eddy_viscosity: ν_e, `(batch, *grid)`.
        strain_rate: S_ij, i ≤ j, `(batch, d(d+1)/2, *grid)`.
    """
    return -2 * eddy_viscosity.unsqueeze(1) * strain_rate


def safe_square_root(value: Tensor) -> Tensor:
    """Return √value with a zero instead of an infinite derivative where value = 0."""
    positive = value > 0
    return torch.where(positive, torch.where(positive, value, torch.ones_like(value)).sqrt(), 0.0)
