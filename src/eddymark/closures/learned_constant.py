"""A closure whose constant is learned."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from eddymark.closures.base import Closure
from eddymark.solvers.resolved import ResolvedVelocity


class LearnedConstant(Closure):
    """Another closure, one constant of which is a parameter.

    It offers no compiled steps: those of the other one would keep the constant with which they were made.

    Arguments:
        closure: the other one.
        name: attribute in which it has its constant, the first value of the parameter.
        dtype, device: of the parameter.
    """

    def __init__(self, closure: Closure, name: str, *, dtype: torch.dtype, device: torch.device | str = "cpu") -> None:
        super().__init__()
        value = torch.tensor(float(getattr(closure, name)), dtype=dtype, device=device)
        setattr(closure, name, nn.Parameter(value))
        self.closure = closure
        self.name = name

    @property
    def value(self) -> nn.Parameter:
        """The constant, a scalar."""
        return self.closure.get_parameter(self.name)

    def coefficient(self, resolved: ResolvedVelocity) -> Tensor | None:
        """Return what the closure computes once per time step."""
        return self.closure.coefficient(resolved)

    def relaxed(self, found: Tensor | None, previous: Tensor | None, step: float) -> Tensor | None:
        """Return the coefficient that a time step uses."""
        return self.closure.relaxed(found, previous, step)

    def flux(self, resolved: ResolvedVelocity, coefficient: Tensor | None) -> Tensor:
        """Return the spectrum of u_i u_j + τ_ij, reduced, `(batch, d(d+1)/2 − 1, *modes)`."""
        return self.closure.flux(resolved, coefficient)

    def spectral_viscosity(self) -> Tensor | None:
        """Return the eddy viscosity ν_e(k) per mode, `(*modes)`, or None if there is none."""
        return self.closure.spectral_viscosity()
