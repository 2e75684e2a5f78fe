"""The sigma model."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from eddymark.closures.base import EddyViscosity, safe_square_root
from eddymark.closures.gradient import gram_entries
from eddymark.solvers.resolved import ResolvedVelocity

if TYPE_CHECKING:
    from eddymark.solvers.compiled.stepping import CompiledSteps
    from eddymark.solvers.periodic import NavierStokes


class Sigma(EddyViscosity):
    """An eddy viscosity from the singular values σ₁ ≥ σ₂ ≥ σ₃ ≥ 0 of the velocity gradient.

        ν_e = (C_σ Δ)² σ₃ (σ₁ − σ₂) (σ₂ − σ₃) / σ₁²

    It vanishes in every flow of two dimensions or two components, so in shear and in solid rotation, and in
    axisymmetric or isotropic expansion; hence three dimensions only.

    Arguments:
        filter_width: Δ, in flow units.
        sigma_constant: C_σ; 1.35 as in the source.

    Source: Nicoud, Baya Toda, Cabrit, Bose & Lee (2011), Phys. Fluids 23, 085106, Eq. 3; singular values from
    invariants as in its appendix, except σ₃.
    """

    def __init__(self, *, filter_width: float, sigma_constant: float = 1.35) -> None:
        super().__init__()
        self.filter_width = filter_width
        self.sigma_constant = sigma_constant

    def compiled(self, solver: NavierStokes) -> CompiledSteps:
        """Return time steps in compiled code."""
        from eddymark.solvers.compiled.subgrid import large_eddy_steps

        return large_eddy_steps(solver, kernel="sigma", constant=(self.sigma_constant * self.filter_width) ** 2)

    def eddy_viscosity(self, resolved: ResolvedVelocity, coefficient: Tensor | None) -> Tensor:
        """Return ν_e, `(batch, *grid)`."""
        return (self.sigma_constant * self.filter_width) ** 2 * sigma_rate(resolved.gradient)


def sigma_rate(gradient: list[list[Tensor]]) -> Tensor:
    """Return the model's rate ν_e / (C_σ Δ)², `(batch, *grid)`.

    Arguments:
        gradient: ∂_j u_i, row i, column j, each `(batch, *grid)`.
    """
    first, second, third = singular_values(gradient)
    vanishing = first <= torch.finfo(first.dtype).tiny ** 0.25
    rate = third * (first - second) * (second - third) / torch.where(vanishing, 1.0, first) ** 2
    return torch.where(vanishing, 0.0, rate).clamp_min(0)


def singular_values(gradient: list[list[Tensor]]) -> tuple[Tensor, Tensor, Tensor]:
    """Return σ₁ ≥ σ₂ ≥ σ₃ ≥ 0 of a matrix of fields, each `(batch, *grid)`.

    σ₁² and σ₂² are the larger eigenvalues of g gᵀ by the trigonometric formula; σ₃ = |det g| / (σ₁ σ₂), because the
    formula would leave an error of the square root of the precision, which is all there is in two-dimensional flow.
    """
    xx, xy, xz, yy, yz, zz = gram_entries(gradient)
    mean = (xx + yy + zz) / 3
    a, b, c = xx - mean, yy - mean, zz - mean
    # Half the squared norm and half the determinant of the deviatoric part; its eigenvalues are 2 √q cos(…).
    q = (a * a + b * b + c * c + 2 * (xy * xy + xz * xz + yz * yz)) / 6
    half_determinant = (a * (b * c - yz * yz) - xy * (xy * c - yz * xz) + xz * (xy * yz - b * xz)) / 2
    tiny = torch.finfo(q.dtype).tiny ** 0.5
    isotropic = q <= tiny
    root = safe_square_root(torch.where(isotropic, 0.0, q))
    cosine = half_determinant / torch.where(isotropic, 1.0, root * root * root)
    limit = 1 - torch.finfo(q.dtype).eps  # arccos has no derivative at ±1
    angle = torch.arccos(torch.where(isotropic, 0.0, cosine).clamp(-limit, limit)) / 3
    largest = mean + 2 * root * torch.cos(angle)
    # cos(angle − 2π/3), the sine of an angle in [−π/6, π/6].
    middle = mean + 2 * root * torch.sin(angle - math.pi / 6)
    first, second = safe_square_root(largest), safe_square_root(middle)
    determinant = _determinant(gradient).abs()
    product = first * second
    degenerate = product <= tiny
    third = torch.where(degenerate, 0.0, determinant / torch.where(degenerate, 1.0, product))
    return first, second, torch.minimum(third, second)


def _determinant(g: list[list[Tensor]]) -> Tensor:
    return (
        g[0][0] * (g[1][1] * g[2][2] - g[1][2] * g[2][1])
        - g[0][1] * (g[1][0] * g[2][2] - g[1][2] * g[2][0])
        + g[0][2] * (g[1][0] * g[2][1] - g[1][1] * g[2][0])
    )
