"""Vreman's model."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from eddymark.closures.base import EddyViscosity, safe_square_root
from eddymark.filters import relative_widths
from eddymark.grid import SpectralSpace
from eddymark.solvers.resolved import ResolvedVelocity, sum_of_products

if TYPE_CHECKING:
    from eddymark.solvers.compiled.stepping import CompiledSteps
    from eddymark.solvers.periodic import NavierStokes


class Vreman(EddyViscosity):
    """An eddy viscosity that vanishes wherever the true subgrid-scale dissipation does so for kinematic reasons.

        ν_e = c (B / g_ij g_ij)^½,    B = β_11 β_22 − β_12² + β_11 β_33 − β_13² + β_22 β_33 − β_23²,
        g_ij = ∂_j u_i,    β_ij = Σ_k Δ_k² g_ik g_jk

    with the width Δ_k of what the grid resolves along each axis.
    B is zero where the gradient has one non-zero singular value only, as in pure shear; not in solid rotation. Its
    invariants are those of three-dimensional turbulence, so the model is offered in 3-D only.

    Arguments:
        space: spectral space of the LES, whose grid gives the ratios of the Δ_k.
        filter_width: geometric mean of the Δ_k, in flow units.
        vreman_constant: c ≈ 2.5 C_s²; 0.07 corresponds to C_s = 0.17.

    Source: Vreman (2004), Phys. Fluids 16, 3670, Eqs. 5–8.
    """

    def __init__(self, *, space: SpectralSpace, filter_width: float, vreman_constant: float = 0.07) -> None:
        super().__init__()
        self.filter_width = filter_width
        self.relative_widths = relative_widths(space.grid)
        self.vreman_constant = vreman_constant

    def compiled(self, solver: NavierStokes) -> CompiledSteps:
        """Return time steps in compiled code."""
        from eddymark.solvers.compiled.subgrid import large_eddy_steps

        return large_eddy_steps(
            solver,
            kernel="vreman",
            constant=self.vreman_constant * self.filter_width**2,
            relative_widths=self.relative_widths,
        )

    def eddy_viscosity(self, resolved: ResolvedVelocity, coefficient: Tensor | None) -> Tensor:
        """Return ν_e, `(batch, *grid)`."""
        return self.vreman_constant * self.filter_width**2 * vreman_rate(resolved.gradient, self.relative_widths)


def vreman_rate(gradient: list[list[Tensor]], relative_widths: tuple[float, ...]) -> Tensor:
    """Return the model's rate ν_e / (c Δ²), `(batch, *grid)`.

    B / Δ⁴ is the sum of the squared 2 × 2 minors of Δ_j g_ij / Δ; as such it is never below zero in rounding.

    Arguments:
        gradient: ∂_j u_i, row i, column j, each `(batch, *grid)`.
        relative_widths: Δ_j / Δ.
    """
    choices = ((0, 1), (0, 2), (1, 2))
    scaled = [[width * entry for width, entry in zip(relative_widths, row, strict=True)] for row in gradient]
    minors = [
        (scaled[i][k] * scaled[j][m]).addcmul_(scaled[i][m], scaled[j][k], value=-1)
        for i, j in choices
        for k, m in choices
    ]
    entries = [entry for row in gradient for entry in row]
    norm = sum_of_products(entries, entries)
    vanishing = norm <= torch.finfo(norm.dtype).tiny
    ratio = sum_of_products(minors, minors) / torch.where(vanishing, 1.0, norm)
    return safe_square_root(torch.where(vanishing, 0.0, ratio))
