"""A neural operator as subgrid-scale model."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from eddymark.closures.base import Closure
from eddymark.grid import SpectralSpace
from eddymark.solvers.resolved import ResolvedVelocity, contract, products, symmetric_pairs

_STATES_AT_ONCE = 16
"""States of the training data whose transforms are in memory together."""


class LearnedClosure(Closure):
    """The stress is what a neural operator N makes of the resolved velocity gradient, or of the velocity itself.

        τ_ij = (Δ s_g)² N_ij(∂_l u_k / s_g)    or    τ_ij = (Δ s_g)² N_ij((u_k − ⟨u_k⟩) / s_u)

    ⟨⟩ is the average over the volume, s_g and s_u are the rms of what N sees in the training data; N gives the reduced
    entries. The force −∂_j τ_ij leaves the total momentum as it is whatever N does, a uniform velocity changes nothing,
    and the model commutes with every translation with which N commutes.

    N can hand energy back to the resolved scales (backscatter, τ_ij S_ij > 0) without bound. A limiter replaces τ by
    the nearest stress, in the norm ⟨τ_ij τ_ij⟩, that does not:

        volume:     τ'_ij = τ_ij − max(0, ⟨τ_kl S_kl⟩) / ⟨S_kl S_kl⟩ S_ij,    ⟨τ'_ij S_ij⟩ = min(0, ⟨τ_ij S_ij⟩)
        pointwise:  τ'_ij = τ_ij − max(0, τ_kl S_kl) / (S_kl S_kl) S_ij,      τ'_ij S_ij = min(0, τ_ij S_ij)

    ⟨τ_ij S_ij⟩ over the grid points is exactly the rate at which the stress changes the energy of the resolved modes:
    but for errors of the time step, nothing except the flow's force can then add energy to an LES. In two dimensions
    the true stress returns energy on average, which both limiters deny to the model.

    Arguments:
        space: spectral space of the LES.
        filter_width: Δ, in flow units.
        operator: N, `(batch, channels, *grid)` → `(batch, d(d+1)/2 − 1, *grid)`, with the channels of `channels`.
        input: what N sees: `gradient`, ∂_l u_k with l fastest, or `velocity`.
        limiter: `none`, `volume` or `pointwise`.

    Source: trained through the solver as in Sirignano, MacArt & Freund (2020), J. Comput. Phys. 423, 109811, and List,
    Chen & Thuerey (2022), J. Fluid Mech. 949, A25; pointwise as the clipping of Maulik, San, Rasheed & Vedula (2019),
    J. Fluid Mech. 858, 122, which drops the whole stress.
    """

    stress_scale: Tensor
    input_scale: Tensor

    def __init__(
        self,
        *,
        space: SpectralSpace,
        filter_width: float,
        operator: nn.Module,
        input: str = "gradient",
        limiter: str = "none",
    ) -> None:
        super().__init__()
        self.space = space
        self.filter_width = filter_width
        self.operator = operator
        self.input = input
        self.limiter = limiter
        for name in ("stress_scale", "input_scale"):
            self.register_buffer(name, torch.ones((), dtype=space.dtype, device=space.device))

    @staticmethod
    def channels(dimension: int, *, input: object = "gradient", **_: object) -> tuple[int, int]:
        """Return how many channels the operator of a closure with these arguments sees, and how many it gives."""
        return dimension**2 if input == "gradient" else dimension, len(symmetric_pairs(dimension)) - 1

    def fit_scales(self, velocity: Tensor) -> None:
        """Set (Δ s_g)² and the scale of what N sees from states of the training data, `(n, d, *grid)`."""
        space, dimension = self.space, self.space.grid.dimension
        sums = torch.zeros(2, dtype=torch.float64, device=space.device)
        # Twice the energy, of fluctuations and of k² times it: the mean squares of u − ⟨u⟩ and of its gradient.
        fluctuates = (space.wavenumber_squared > 0).to(space.dtype)
        weights = torch.stack([fluctuates, space.wavenumber_squared])
        for part in velocity.split(_STATES_AT_ONCE):
            energy = space.mode_energy(space.to_spectral(part)).sum(dim=0)
            sums += 2 * (weights * energy).flatten(1).sum(dim=1).double()
        velocity_square, gradient_square = sums / (len(velocity) * dimension)
        gradient_square = gradient_square / dimension
        self.stress_scale.copy_(self.filter_width**2 * gradient_square)
        self.input_scale.copy_((gradient_square if self.input == "gradient" else velocity_square).sqrt())

    def stress(self, resolved: ResolvedVelocity) -> Tensor:
        """Return τ_ij after the limiter, reduced, `(batch, d(d+1)/2 − 1, *grid)`."""
        stress = self.stress_scale * self.operator(self._seen(resolved) / self.input_scale)
        if self.limiter == "none":
            return stress
        strain_rate = resolved.strain_rate
        transfer, square = contract(stress, strain_rate), contract(strain_rate, strain_rate)
        if self.limiter == "volume":
            transfer, square = (field.mean(dim=self.space.axes, keepdim=True) for field in (transfer, square))
        # Without strain no energy is transferred, and there is nothing to take away.
        share = transfer.clamp_min(0) / torch.where(square > 0, square, 1)
        return stress - share.unsqueeze(1) * strain_rate

    def _seen(self, resolved: ResolvedVelocity) -> Tensor:
        """Return what N sees before it is scaled, `(batch, channels, *grid)`."""
        if self.input == "gradient":
            return torch.stack([entry for row in resolved.gradient for entry in row], dim=1)
        return resolved.velocity - resolved.velocity.mean(dim=self.space.axes, keepdim=True)

    def flux(self, resolved: ResolvedVelocity, coefficient: Tensor | None) -> Tensor:
        """Return the spectrum of u_i u_j + τ_ij, reduced, `(batch, d(d+1)/2 − 1, *modes)`."""
        return resolved.space.to_spectral(products(resolved.velocity) + self.stress(resolved))
