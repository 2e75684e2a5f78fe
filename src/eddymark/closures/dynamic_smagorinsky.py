"""The dynamic Smagorinsky model, averaged over the volume."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from eddymark.closures.base import Closure, eddy_viscosity_stress
from eddymark.closures.smagorinsky import strain_rate_magnitude
from eddymark.grid import SpectralSpace
from eddymark.solvers.resolved import ResolvedVelocity, complete_traceless, contract, symmetric_pairs


class DynamicSmagorinsky(Closure):
    """Smagorinsky's model whose constant follows from the resolved scales by Germano's identity.

        τ_ij = −2 C Δ² |S| S_ij,    C = ⟨L_ij M_ij⟩ / ⟨M_ij M_ij⟩, not below zero
        L_ij = (u_i u_j)^ − û_i û_j (traceless part),    M_ij = 2 Δ² [(|S| S_ij)^ − α² |Ŝ| Ŝ_ij]

    with the sharp test filter ^ of width α Δ (modes |k_i| ≤ k_c / α) and averages ⟨⟩ over the volume. C is computed
    once per time step.

    Arguments:
        space: spectral space of the LES.
        filter_width: Δ, in flow units.
        test_filter_ratio: wanted α; the attribute of this name is the one of the modes which the filter keeps.

    Source: Germano et al. (1991), Phys. Fluids A 3, 1760; Lilly (1992), Phys. Fluids A 4, 633, Eq. 11.
    """

    def __init__(self, *, space: SpectralSpace, filter_width: float, test_filter_ratio: float = 2.0) -> None:
        super().__init__()
        self.filter_width = filter_width
        cutoffs = space.grid.dealiased_cutoff
        kept = [max(1, int(cutoff / test_filter_ratio + 1e-9)) for cutoff in cutoffs]
        # A grid has whole modes only: with k_c = 5 the test filter keeps 2, and its width is 2.5 Δ, not 2 Δ.
        ratios = [cutoff / modes for cutoff, modes in zip(cutoffs, kept, strict=True)]
        self.test_filter_ratio = math.prod(ratios) ** (1 / len(ratios))
        limits = [2 * math.pi / side * (modes + 0.5) for modes, side in zip(kept, space.grid.sides, strict=True)]
        inside = [k.abs() < limit for k, limit in zip(space.wavenumbers, limits, strict=True)]
        self._test_filter = torch.stack(inside).all(dim=0).to(space.dtype)

    def coefficient(self, resolved: ResolvedVelocity) -> Tensor:
        """Return C = C_s² of each trajectory, `(batch,)`."""
        leonard, model = self.germano_tensors(resolved)
        return germano_coefficient(leonard, model, resolved.space.grid.dimension)

    def germano_tensors(self, resolved: ResolvedVelocity) -> tuple[Tensor, Tensor]:
        """Return L_ij (up to its isotropic part) and M_ij, i ≤ j, each `(batch, d(d+1)/2, *grid)`."""
        space = resolved.space
        dimension = space.grid.dimension
        mask = self._test_filter
        pairs = symmetric_pairs(dimension)
        velocity = resolved.velocity
        strain_rate = resolved.strain_rate

        def test_filter(field: Tensor) -> Tensor:
            return space.to_physical(mask * space.to_spectral(field))

        # The isotropic part of L drops out of the contraction with the traceless M.
        last = velocity[:, -1] ** 2
        products = torch.stack(
            [velocity[:, i] * velocity[:, j] - (last if i == j else 0) for i, j in pairs[:-1]], dim=1
        )
        magnitude = strain_rate_magnitude(strain_rate, dimension)
        grid_stress = magnitude.unsqueeze(1) * strain_rate[:, :-1]
        filtered = test_filter(torch.cat([products, grid_stress], dim=1))
        tested = space.to_physical(mask * torch.cat([resolved.spectrum, resolved.strain_rate_spectrum], dim=1))
        tested_velocity, tested_strain = tested[:, :dimension], tested[:, dimension:]
        tested_last = tested_velocity[:, -1] ** 2
        tested_products = torch.stack(
            [tested_velocity[:, i] * tested_velocity[:, j] - (tested_last if i == j else 0) for i, j in pairs[:-1]],
            dim=1,
        )
        leonard = filtered[:, : len(pairs) - 1] - tested_products
        leonard = torch.cat([leonard, torch.zeros_like(leonard[:, :1])], dim=1)
        tested_strain = complete_traceless(tested_strain, dimension)
        tested_magnitude = strain_rate_magnitude(tested_strain, dimension)
        model = complete_traceless(filtered[:, len(pairs) - 1 :], dimension)
        model = model - self.test_filter_ratio**2 * tested_magnitude.unsqueeze(1) * tested_strain
        model = 2 * self.filter_width**2 * model
        return leonard, model

    def stress(self, resolved: ResolvedVelocity, coefficient: Tensor | None) -> Tensor:
        """Return τ_ij, i ≤ j, `(batch, d(d+1)/2, *grid)`."""
        assert coefficient is not None, "the solver computes the coefficient first"
        strain_rate = resolved.strain_rate
        magnitude = strain_rate_magnitude(strain_rate, resolved.space.grid.dimension)
        shape = (-1,) + (1,) * resolved.space.grid.dimension
        return eddy_viscosity_stress(coefficient.reshape(shape) * self.filter_width**2 * magnitude, strain_rate)


def germano_coefficient(leonard: Tensor, model: Tensor, dimension: int) -> Tensor:
    """Return C = ⟨L_ij M_ij⟩ / ⟨M_ij M_ij⟩ of each trajectory, `(batch,)`: the least-squares solution of L = C M, ≥ 0.

    Arguments:
        leonard: L_ij, i ≤ j, `(batch, d(d+1)/2, *grid)`.
        model: M_ij, same shape.
        dimension: d.
    """
    axes = tuple(range(1, dimension + 1))
    numerator = contract(leonard, model, dimension).mean(dim=axes)
    denominator = contract(model, model, dimension).mean(dim=axes)
    return (numerator / denominator.clamp_min(torch.finfo(denominator.dtype).tiny)).clamp_min(0)
