"""Constraints on the outputs of a model which come from reference data: energies of shells.

A score that such a constraint alone can earn says nothing about a model. So it is fitted to training data only, its
activity is recorded in every rollout, and each model with one is compared with noise that goes through the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn

from eddymark.config.constraints import DEFAULT_FACTOR, Constraint
from eddymark.config.schema import Forcing, Surrogate
from eddymark.grid import SpectralSpace
from eddymark.solvers.periodic import NavierStokes
from eddymark.stepping.training_data import average

_STATES_AT_ONCE = 16
"""States of the training data whose transforms are in memory together."""


class Constraints(nn.Module):
    """Rescales shells of each output; phases, directions and divergence of every mode stay as they are.

        û_κ ← (E′_κ / E_κ)^½ û_κ,    shell_energy_cap: E′_κ = min(E_κ, f Ē_κ),    shell_energy: E′_κ = Ē_κ

    E_κ is the energy of shell κ of the state, Ē_κ its mean over the training data. Several are taken in turn. A state
    on which none acts stays what it is bit by bit, at the same cost: both transforms are always made. The mean flow
    (shell 0) and shells which the forcing holds are left alone, and so is a shell with no more than rounding errors
    to rescale. Modes outside the space are lost where one acts.

    Arguments:
        space: spectral space of the states.
        constraints: what acts, in this order.
        held: shells which the forcing holds.
    """

    acts_on: Tensor
    """Shells open to each constraint, `(constraint, shell)`."""
    reference: Tensor
    """Ē, `(shell,)`, shell 0 first; one until it is fitted or loaded."""

    def __init__(self, space: SpectralSpace, constraints: Sequence[Constraint], *, held: Iterable[int] = ()) -> None:
        super().__init__()
        self.space = space
        self.constraints = tuple(constraints)
        self.activity: list[Tensor] | None = None
        """If a list, what is done to each further output is added to it, `(batch, constraint, 2)` (see `_activity`)."""
        modes = space.shell_sum(space.multiplicity)
        free = modes > 0
        free[[0, *(shell for shell in held if shell < len(free))]] = False
        numbers = torch.arange(len(free), device=space.device)
        chosen = [
            free if one.shells is None else free & torch.isin(numbers, numbers.new_tensor(one.shells))
            for one in self.constraints
        ]
        self.register_buffer("acts_on", torch.stack(chosen), persistent=False)
        self.register_buffer("reference", torch.ones_like(modes))

    @property
    def names(self) -> list[str]:
        """Types of the constraints, in the order in which they act."""
        return [constraint.type for constraint in self.constraints]

    @property
    def allowed(self) -> Tensor:
        """Highest energy that a constraint leaves to each shell, `(shell,)`; 0 where none acts."""
        limits = [acts_on * self._target(index) for index, acts_on in enumerate(self.acts_on)]
        return torch.stack(limits).amax(dim=0)

    def fit(self, trajectories: Iterable[Tensor]) -> None:
        """Set Ē to the mean over trajectories of the training data, each `(time, component, *grid)`."""
        self.reference.copy_(average(map(self._spectra, trajectories), at_each_output=False)[0])

    def _spectra(self, states: Tensor) -> Tensor:
        """Return the energies of shells of some states, `(time, shell)`, in double precision."""
        space = self.space
        parts = (part.to(device=space.device, dtype=space.dtype) for part in states.split(_STATES_AT_ONCE))
        return torch.cat([space.energy_spectrum(space.to_spectral(part)).double() for part in parts])

    def forward(self, velocity: Tensor) -> Tensor:
        """Return states with the constraints, `(batch, d, *grid)`; in training mode only those meant for it act."""
        chosen = [index for index, one in enumerate(self.constraints) if one.training or not self.training]
        if not chosen:
            return velocity
        spectrum = self.space.to_spectral(velocity)
        energy = self.space.energy_spectrum(spectrum)
        factor, energies = torch.ones_like(energy), [energy]
        for index in chosen:
            own = self._factor(index, energies[-1])
            energies.append(own.square() * energies[-1])
            factor = factor * own
        if self.activity is not None:
            self.activity.append(self._activity(chosen, energies))
        rescaled = self.space.to_physical(factor[:, self.space.shells].unsqueeze(1) * spectrum)
        acted = (factor != 1).any(dim=1).reshape(-1, *(1,) * (velocity.dim() - 1))
        return torch.where(acted, rescaled, velocity)

    def _activity(self, chosen: Sequence[int], energies: Sequence[Tensor]) -> Tensor:
        """Return the share of the shells open to each constraint which it rescales, and Σ |E′ − E| / Σ E.

        The latter is the energy that it removes or adds as a fraction of all that the state had; all together
        `(batch, constraint, 2)`.

        Arguments:
            chosen: those that acted.
            energies: of the shells before the first of them and after each, `(batch, shell)`.
        """
        total = energies[0].sum(dim=1).clamp_min(torch.finfo(energies[0].dtype).tiny)
        activity = total.new_zeros((len(total), len(self.constraints), 2))
        for index, before, after in zip(chosen, energies, energies[1:], strict=False):
            activity[:, index, 0] = (after != before).sum(dim=1) / self.acts_on[index].sum().clamp_min(1)
            activity[:, index, 1] = (after - before).abs().sum(dim=1) / total
        return activity.detach()

    def _factor(self, index: int, energy: Tensor) -> Tensor:
        """Return what a constraint multiplies amplitudes by, `(batch, shell)`; exactly 1 where it does not act."""
        precision, target = torch.finfo(energy.dtype), self._target(index)
        least = target if self.constraints[index].type == "shell_energy_cap" else precision.eps**2 * target
        active = self.acts_on[index] & (energy > least)
        # Twice, as the gradient of what is not chosen would be infinite where there is no energy.
        ratio = torch.where(active, energy / target.clamp_min(precision.tiny), 1)
        return torch.where(active, ratio.rsqrt(), 1)

    def _target(self, index: int) -> Tensor:
        """Return the energies to which a constraint limits shells, or sets them, `(shell,)`."""
        constraint = self.constraints[index]
        if constraint.type == "shell_energy_cap":
            return (constraint.factor or DEFAULT_FACTOR) * self.reference
        return self.reference


def build_constraints(surrogate: Surrogate, solver: NavierStokes, forcing: Forcing) -> Constraints | None:
    """Return the constraints of a model which come from reference data, not yet fitted to them; None without any.

    Arguments:
        surrogate: the model's section.
        solver: the flow's equations on the grid of the states.
        forcing: the flow's force; shells that it holds in the model are left to it.
    """
    if not surrogate.constraints:
        return None
    space, hybrid = solver.space, surrogate.kind == "hybrid"
    if not hybrid and not surrogate.known_physics:
        # Nothing else takes the modes beyond the 2/3 rule out of its states.
        space = SpectralSpace(solver.grid, dealiased=False, dtype=space.dtype, device=space.device)
    held = forcing.energies if hybrid or "forcing" in surrogate.known_physics else None
    return Constraints(space, surrogate.constraints, held=held or ())
