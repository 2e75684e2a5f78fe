"""The dynamic mixed model: scale similarity and a dynamic eddy viscosity."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from eddymark.closures.dynamic_smagorinsky import DynamicSmagorinsky
from eddymark.filters import gaussian
from eddymark.grid import SpectralSpace
from eddymark.solvers.resolved import ResolvedVelocity, products

if TYPE_CHECKING:
    from eddymark.solvers.compiled.stepping import CompiledSteps
    from eddymark.solvers.periodic import NavierStokes


class DynamicMixed(DynamicSmagorinsky):
    """Bardina's scale similarity plus Smagorinsky's model, whose constant follows from Germano's identity.

        τ_ij = B_ij(u; Δ) − 2 C Δ² |S| S_ij,    B_ij(u; Δ) = (u_i u_j)~ − ũ_i ũ_j
        C = ⟨(L_ij − H_ij) M_ij⟩ / ⟨M_ij M_ij⟩, not below zero,    H_ij = B_ij(û; α Δ) − B_ij(u; Δ)^

    with the test filter ^, L and M of `DynamicSmagorinsky`, and the averages and relaxation which it offers. H is the
    consistent form: the stress at the test level is modelled from the test-filtered velocity alone, with the width of
    that level. ~ is a Gaussian filter: with a second sharp one of the same cut-off B would vanish from the equations.

    Against `DynamicSmagorinsky`, 3 more transforms to the grid and 5 more from it (2 and 2 in 2-D) are needed.

    Arguments: as for `DynamicSmagorinsky`.

    Source: Bardina, Ferziger & Reynolds (1980), AIAA Paper 80-1357; Zang, Street & Koseff (1993), Phys. Fluids A 5,
    3186; Vreman, Geurts & Kuerten (1994), Phys. Fluids 6, 4057 (consistent form).
    """

    def __init__(
        self,
        *,
        space: SpectralSpace,
        filter_width: float,
        test_filter_ratio: float = 2.0,
        average: str = "volume",
        relaxation_time: float = 0.0,
    ) -> None:
        super().__init__(
            space=space,
            filter_width=filter_width,
            test_filter_ratio=test_filter_ratio,
            average=average,
            relaxation_time=relaxation_time,
        )
        self._similarity = gaussian(space, filter_width)
        self._tested_similarity = gaussian(self._tested, self.test_filter_ratio * filter_width)

    def compiled(self, solver: NavierStokes) -> CompiledSteps:
        """Return time steps in compiled code."""
        from eddymark.solvers.compiled.dynamic_steps import dynamic_steps

        mixed = replace(self._procedure(), similarity=self._similarity, tested_similarity=self._tested_similarity)
        return dynamic_steps(solver, mixed)

    def germano_tensors(self, resolved: ResolvedVelocity) -> tuple[Tensor, Tensor]:
        """Return L_ij − H_ij and M_ij, reduced, each `(batch, d(d+1)/2 − 1, *grid)`."""
        leonard, model = super().germano_tensors(resolved)
        test = self._tested
        tested = self.test_filtered(resolved)
        smooth = test.to_physical(self._tested_similarity * tested.spectrum)
        smooth_products = self._tested_similarity * test.to_spectral(products(tested.velocity))
        grid_level = self._filter.to_spectral(
            torch.cat([products(resolved.velocity), products(self._smooth_velocity(resolved))], dim=1)
        )
        pairs = model.shape[1]
        transfer = resolved.space.resample(self._similarity, test)
        grid_similarity = transfer * grid_level[:, :pairs] - grid_level[:, pairs:]
        return leonard - test.to_physical(smooth_products - grid_similarity) + products(smooth), model

    def flux(self, resolved: ResolvedVelocity, coefficient: Tensor | None) -> Tensor:
        """Return the spectrum of u_i u_j + τ_ij, reduced, `(batch, d(d+1)/2 − 1, *modes)`."""
        viscosity = self.eddy_viscosity(resolved, coefficient).unsqueeze(1)
        rest = products(self._smooth_velocity(resolved)).addcmul_(viscosity, resolved.strain_rate, value=2)
        both = resolved.space.to_spectral(torch.cat([products(resolved.velocity), rest], dim=1))
        pairs = rest.shape[1]
        return (1 + self._similarity) * both[:, :pairs] - both[:, pairs:]

    def _smooth_velocity(self, resolved: ResolvedVelocity) -> Tensor:
        return resolved.space.to_physical(self._similarity * resolved.spectrum)
