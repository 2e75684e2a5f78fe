"""The gradient (Clark, tensor-diffusivity) model."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor

from eddymark.closures.base import Closure
from eddymark.filters import relative_widths
from eddymark.grid import SpectralSpace
from eddymark.solvers.resolved import (
    ResolvedVelocity,
    contract,
    products,
    reduce_symmetric,
    sum_of_products,
    symmetric_pairs,
)

if TYPE_CHECKING:
    from eddymark.solvers.compiled.stepping import CompiledSteps
    from eddymark.solvers.periodic import NavierStokes


class Gradient(Closure):
    """First term of the Taylor expansion of the subgrid-scale stress of a smooth filter.

        τ_ij = Σ_k (Δ_k² / 12) ∂_k u_i ∂_k u_j

    with the width Δ_k of what the grid resolves along each axis.
    It correlates better with the true stress than any eddy viscosity, but returns energy from small to large scales so
    freely that simulations with it alone tend to blow up. For a sharp filter the expansion does not exist, and the
    model is an analogy. In two dimensions τ_ij S_ij = 0 everywhere if the Δ_k are equal.

    Arguments:
        space: spectral space of the LES, whose grid gives the ratios of the Δ_k.
        filter_width: geometric mean of the widths Δ_k of a Gaussian (or, to this order, box) filter, in flow units.

    Source: Leonard (1974), Adv. Geophys. 18A, 237; Clark, Ferziger & Reynolds (1979), J. Fluid Mech. 91, 1.
    """

    def __init__(self, *, space: SpectralSpace, filter_width: float) -> None:
        super().__init__()
        self.filter_width = filter_width
        self.relative_widths = relative_widths(space.grid)

    def compiled(self, solver: NavierStokes) -> CompiledSteps:
        """Return time steps in compiled code."""
        from eddymark.solvers.compiled.subgrid import large_eddy_steps

        return large_eddy_steps(
            solver, kernel="gradient", constant=self.filter_width**2 / 12, relative_widths=self.relative_widths
        )

    def stress(self, resolved: ResolvedVelocity) -> Tensor:
        """Return τ_ij, reduced, `(batch, d(d+1)/2 − 1, *grid)`."""
        scaled = [[width * g for width, g in zip(self.relative_widths, row, strict=True)] for row in resolved.gradient]
        return self.filter_width**2 / 12 * gradient_products(scaled)

    def flux(self, resolved: ResolvedVelocity, coefficient: Tensor | None) -> Tensor:
        """Return the spectrum of u_i u_j + τ_ij, reduced, `(batch, d(d+1)/2 − 1, *modes)`."""
        return resolved.space.to_spectral(self.stress(resolved).add_(products(resolved.velocity)))


class ClippedGradient(Gradient):
    """The gradient model without backscatter: τ_ij − δ_ij τ_kk / d = 0 wherever −τ_ij S_ij < 0.

    Three dimensions only, because in two −τ_ij S_ij vanishes identically if the Δ_k are equal.

    Arguments: as for `Gradient`.

    Source: clipped as in Lu & Porté-Agel (2010), Phys. Fluids 22, 015109 (there a modulated form).
    """

    def compiled(self, solver: NavierStokes) -> CompiledSteps:
        """Return time steps in compiled code."""
        from eddymark.solvers.compiled.subgrid import large_eddy_steps

        return large_eddy_steps(
            solver, kernel="clipped_gradient", constant=self.filter_width**2 / 12, relative_widths=self.relative_widths
        )

    def stress(self, resolved: ResolvedVelocity) -> Tensor:
        """Return τ_ij, reduced, `(batch, d(d+1)/2 − 1, *grid)`."""
        stress = super().stress(resolved)
        return stress * (contract(stress, resolved.strain_rate) < 0).unsqueeze(1)


def gradient_products(gradient: list[list[Tensor]]) -> Tensor:
    """Return ∂_k u_i ∂_k u_j, reduced, `(batch, d(d+1)/2 − 1, *grid)`."""
    return reduce_symmetric(gram_entries(gradient))


def gram_entries(rows: list[list[Tensor]]) -> list[Tensor]:
    """Return the scalar products a_i · a_j, i ≤ j, of the rows of a matrix of fields, each `(batch, *grid)`."""
    return [sum_of_products(rows[i], rows[j]) for i, j in symmetric_pairs(len(rows))]
