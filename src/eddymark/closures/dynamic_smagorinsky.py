"""The dynamic Smagorinsky model with averages over the volume, planes, lines or neighbourhoods."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from eddymark.closures.base import EddyViscosity, strain_rate_magnitude
from eddymark.filters import gaussian
from eddymark.grid import Grid, SpectralSpace
from eddymark.solvers.resolved import ResolvedVelocity, contract, products

if TYPE_CHECKING:
    from eddymark.solvers.compiled.dynamic_steps import DynamicProcedure
    from eddymark.solvers.compiled.stepping import CompiledSteps
    from eddymark.solvers.periodic import NavierStokes

SMALLEST_DENOMINATOR = 1e-3
"""⟨M_ij M_ij⟩ counts as at least this share of its volume average, lest quiet regions divide by nothing."""


class DynamicSmagorinsky(EddyViscosity):
    """Smagorinsky's model whose constant follows from the resolved scales by Germano's identity.

        τ_ij = −2 C Δ² |S| S_ij,    C = ⟨L_ij M_ij⟩ / ⟨M_ij M_ij⟩, not below zero
        L_ij = (u_i u_j)^ − û_i û_j (traceless part),    M_ij = 2 Δ² [(|S| S_ij)^ − α² |Ŝ| Ŝ_ij]

    with the sharp test filter ^ of width α Δ (modes |k_i| ≤ k_c / α). C is computed once per time step. ⟨⟩ is an
    average over the volume, over planes or lines of homogeneous directions, or local: over a Gaussian neighbourhood
    of width 2 α Δ around each point, clipped. With a relaxation time T, C follows what is found as

        C^n = C^(n−1) + ε (C_found − C^(n−1)),    ε = Δt / (Δt + T)

    at each point. States hold velocity alone, so every output interval starts with C_found.

    Volume averages in 3-D are taken on a coarser grid, on which the test-filtered fields are still well resolved.

    Arguments:
        space: spectral space of the LES.
        filter_width: Δ, in flow units.
        test_filter_ratio: wanted α; the attribute of this name is the one of the modes which the filter keeps.
        average: `volume`, `local`, or the axes averaged over, such as `xz` (planes) or `y` (lines).
        relaxation_time: T, in flow units; 0 for C_found itself.

    Source: Germano et al. (1991), Phys. Fluids A 3, 1760; Lilly (1992), Phys. Fluids A 4, 633, Eq. 11; local averages
    as in Zang, Street & Koseff (1993), Phys. Fluids A 5, 3186, Sec. III (there with the test filter); exponential
    weights in time as Meneveau, Lund & Cabot (1996), J. Fluid Mech. 319, 353, have them along path lines.
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
        super().__init__()
        self.filter_width = filter_width
        self.relaxation_time = relaxation_time
        grid = space.grid
        cutoffs = grid.dealiased_cutoff
        kept = tuple(max(1, int(cutoff / test_filter_ratio + 1e-9)) for cutoff in cutoffs)
        # A grid has whole modes only: with k_c = 5 the test filter keeps 2, and its width is 2.5 Δ, not 2 Δ.
        ratios = [cutoff / modes for cutoff, modes in zip(cutoffs, kept, strict=True)]
        self.test_filter_ratio = math.prod(ratios) ** (1 / len(ratios))
        self.averaged_axes = averaged_axes(average, grid.dimension)
        # With 4 k + 2 points, averages of four factors are exact, and what |S| adds to their spectrum changes C by a
        # few thousandths. In 2-D ⟨L_ij M_ij⟩ is a small difference of large numbers and would change by a tenth.
        coarser = len(self.averaged_axes) == grid.dimension == 3
        test_grid = grid.coarsened([4 * modes + 2 for modes in kept]) if coarser else grid
        self._filter = _space(grid, kept, space)
        self._tested = _space(test_grid, kept, space)
        self._neighbourhood = gaussian(space, 2 * self.test_filter_ratio * filter_width)

    def compiled(self, solver: NavierStokes) -> CompiledSteps:
        """Return time steps in compiled code."""
        from eddymark.solvers.compiled.dynamic_steps import dynamic_steps

        return dynamic_steps(solver, self._procedure())

    def _procedure(self) -> DynamicProcedure:
        """Return how the compiled steps find the coefficient."""
        from eddymark.solvers.compiled.dynamic_steps import DynamicProcedure

        return DynamicProcedure(
            test_space=self._tested,
            test_filter_ratio=self.test_filter_ratio,
            averaged_axes=self.averaged_axes,
            neighbourhood=self._neighbourhood,
            smallest_share=SMALLEST_DENOMINATOR,
            relaxation_time=self.relaxation_time,
        )

    def coefficient(self, resolved: ResolvedVelocity) -> Tensor:
        """Return C = C_s², `(batch, *grid)` with length 1 along averaged axes."""
        return self.least_squares(*self.germano_tensors(resolved), resolved.space)

    def relaxed(self, found: Tensor | None, previous: Tensor | None, step: float) -> Tensor | None:
        """Return C^n, `(batch, *grid)` with length 1 along averaged axes."""
        if found is None or previous is None or self.relaxation_time == 0:
            return found
        return torch.lerp(previous, found, step / (step + self.relaxation_time))

    def germano_tensors(self, resolved: ResolvedVelocity) -> tuple[Tensor, Tensor]:
        """Return L_ij and M_ij, reduced, each `(batch, d(d+1)/2 − 1, *grid)`; the grid may be a coarser one."""
        strain_rate = resolved.strain_rate
        grid_level = strain_rate_magnitude(strain_rate).unsqueeze(1) * strain_rate
        fields = torch.cat([products(resolved.velocity), grid_level], dim=1)
        filtered = self._tested.to_physical(self._filter.to_spectral(fields))
        tested = self.test_filtered(resolved)
        pairs = strain_rate.shape[1]
        leonard = filtered[:, :pairs] - products(tested.velocity)
        test_level = strain_rate_magnitude(tested.strain_rate).unsqueeze(1) * tested.strain_rate
        model = filtered[:, pairs:] - self.test_filter_ratio**2 * test_level
        return leonard, 2 * self.filter_width**2 * model

    def test_filtered(self, resolved: ResolvedVelocity) -> ResolvedVelocity:
        """Return û on the grid on which Germano's identity is evaluated."""
        return ResolvedVelocity(self._tested, resolved.space.resample(resolved.spectrum, self._tested))

    def least_squares(self, leonard: Tensor, model: Tensor, space: SpectralSpace) -> Tensor:
        """Return C = ⟨L_ij M_ij⟩ / ⟨M_ij M_ij⟩ ≥ 0, the least-squares solution of L = C M.

        Arguments:
            leonard, model: L_ij and M_ij, reduced, `(batch, d(d+1)/2 − 1, *grid)`.
            space: spectral space of the LES.
        """
        terms = torch.stack([contract(leonard, model), contract(model, model)], dim=1)
        if self.averaged_axes:
            terms = terms.mean(dim=[axis - space.grid.dimension for axis in self.averaged_axes], keepdim=True)
        else:
            terms = space.to_physical(self._neighbourhood * space.to_spectral(terms))
        numerator, denominator = terms.unbind(1)
        mean = denominator.mean(dim=space.axes, keepdim=True).clamp_min(torch.finfo(denominator.dtype).tiny)
        return (numerator / denominator.maximum(SMALLEST_DENOMINATOR * mean)).clamp_min(0)

    def eddy_viscosity(self, resolved: ResolvedVelocity, coefficient: Tensor | None) -> Tensor:
        """Return ν_e = C Δ² |S|, `(batch, *grid)`."""
        assert coefficient is not None, "the solver computes the coefficient first"
        return strain_rate_magnitude(resolved.strain_rate) * (self.filter_width**2 * coefficient)


def averaged_axes(average: str, dimension: int) -> tuple[int, ...]:
    """Return the axes over which an average is taken; none if it is local.

    Arguments:
        average: `volume`, `local`, or letters of axes.
        dimension: d.
    """
    if average == "volume":
        return tuple(range(dimension))
    return () if average == "local" else tuple("xyz".index(axis) for axis in average)


def _space(grid: Grid, cutoff: tuple[int, ...], like: SpectralSpace) -> SpectralSpace:
    return SpectralSpace(grid, cutoff=cutoff, dtype=like.dtype, device=like.device)
