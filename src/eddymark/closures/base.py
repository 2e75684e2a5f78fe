"""What every subgrid-scale model offers to the solver."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from eddymark.solvers.resolved import ResolvedVelocity, contract, products

if TYPE_CHECKING:
    from eddymark.solvers.compiled.stepping import CompiledSteps
    from eddymark.solvers.periodic import NavierStokes


class Closure(nn.Module):
    """Base of subgrid-scale models.

    A model gives the spectrum of the resolved and the subgrid-scale flux together, so that each decides how few
    transforms that takes; or an eddy viscosity per wavenumber which does not depend on the flow and is integrated
    exactly together with the molecular one; or both. Symmetric tensors are stored reduced
    (`eddymark.solvers.resolved`). A model has no memory beyond the steps of one output interval, so that a stepper is a
    function from states to states.
    """

    def coefficient(self, resolved: ResolvedVelocity) -> Tensor | None:
        """Return what is computed from the flow once per time step and held during its stages (None: nothing)."""
        return None

    def relaxed(self, found: Tensor | None, previous: Tensor | None, step: float) -> Tensor | None:
        """Return the coefficient that a time step uses.

        Arguments:
            found: `coefficient` of the flow at the start of the step.
            previous: what the step before it used; None in the first step of an output interval.
            step: Δt.
        """
        return found

    def flux(self, resolved: ResolvedVelocity, coefficient: Tensor | None) -> Tensor:
        """Return the spectrum of u_i u_j + τ_ij, reduced, `(batch, d(d+1)/2 − 1, *modes)`."""
        return resolved.space.to_spectral(products(resolved.velocity))

    def spectral_viscosity(self) -> Tensor | None:
        """Return the eddy viscosity ν_e(k) per mode, `(*modes)`, or None if there is none."""
        return None

    def fit_scales(self, velocity: Tensor) -> None:
        """Fit the constants of normalisation, if there are any, to states of the training data `(n, d, *grid)`."""

    def compiled(self, solver: NavierStokes) -> CompiledSteps | None:
        """Return time steps in compiled code, without gradients on the CPU; None if there are none of this model."""
        return None


class NoClosure(Closure):
    """No model: the equations truncated to the resolved modes, τ_ij = 0."""

    def compiled(self, solver: NavierStokes) -> CompiledSteps:
        """Return time steps in compiled code."""
        from eddymark.solvers.compiled.stepping import direct_steps

        return direct_steps(solver)


class EddyViscosity(Closure):
    """Base of models with τ_ij = −2 ν_e S_ij in physical space."""

    @abstractmethod
    def eddy_viscosity(self, resolved: ResolvedVelocity, coefficient: Tensor | None) -> Tensor:
        """Return ν_e, `(batch, *grid)`."""

    def flux(self, resolved: ResolvedVelocity, coefficient: Tensor | None) -> Tensor:
        """Return the spectrum of u_i u_j + τ_ij, reduced, `(batch, d(d+1)/2 − 1, *modes)`."""
        viscosity = self.eddy_viscosity(resolved, coefficient).unsqueeze(1)
        flux = products(resolved.velocity).addcmul_(viscosity, resolved.strain_rate, value=-2)
        return resolved.space.to_spectral(flux)


def modelled_stress(closure: Closure, resolved: ResolvedVelocity) -> Tensor:
    """Return τ_ij of any model as the resolved modes see it, reduced, `(batch, d(d+1)/2 − 1, *grid)`.

    An eddy viscosity per wavenumber counts as the stress whose spectrum is −2 ν_e(k) Ŝ_ij: its force is the same.
    """
    space = resolved.space
    stress = closure.flux(resolved, closure.coefficient(resolved)) - Closure.flux(closure, resolved, None)
    viscosity = closure.spectral_viscosity()
    if viscosity is not None:
        stress = stress - 2 * viscosity * resolved.strain_rate_spectrum
    return space.to_physical(stress)


def strain_rate_magnitude(strain_rate: Tensor) -> Tensor:
    """Return |S| = (2 S_ij S_ij)^½, `(batch, *grid)`, of a reduced strain rate; its derivative is zero where S is."""
    return safe_square_root(contract(strain_rate, strain_rate).mul_(2))


def safe_square_root(value: Tensor) -> Tensor:
    """Return √value, 0 for values below zero, with a zero instead of an infinite derivative there and at 0."""
    if not value.requires_grad:
        return value.clamp_min(0).sqrt_()
    positive = value > 0
    return torch.where(positive, torch.where(positive, value, torch.ones_like(value)).sqrt(), 0.0)
