"""Refinement of what a network gives: its last layer is fitted to the equations, for each trajectory by itself."""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor, nn

from eddymark.closures.base import Closure
from eddymark.closures.build import build_closure
from eddymark.config.refinement import Refinement as RefinementConfiguration
from eddymark.filters import filter_width
from eddymark.flows.base import Flow
from eddymark.operators.last_layer import with_features
from eddymark.solvers.norms import sobolev_square
from eddymark.solvers.periodic import NavierStokes
from eddymark.solvers.residual import differential_residual, integral_residual
from eddymark.stepping.known_physics import KnownPhysics, next_state

_SMALLEST = torch.finfo(torch.float64).tiny


class Refinement:
    """Minimises the H^-1 norm of the residual over the last layer of a network, opened to all modes.

        N̂_k = W_k φ̂_k,    min over W_k of J = mean over times of ‖R‖²_{−1},    ‖R‖²_{−1} = Σ_k |R̂_k|² / (1 + |k/κ₀|²)

    φ are the features on which the linear last layer acts, R is the residual of the equations at the states that the
    outputs N lead to and those before them; all norms are sums over modes, exact by Parseval. W_k starts as the
    trained layer, and every mode of the LES grid gets one of its own, for each trajectory, as do all pairs of times of
    a space-time network. Of W_k only the part that acts on φ̂_k matters, and the gradient of J has no other: the change
    of W_k is g a_k φ̂_k^* / |φ̂_k|, of N̂_k it is g |φ̂_k| a_k, and a_k is what is minimised over. With g² = T² ⟨R²⟩ / ⟨φ²⟩
    at the start, a field with all |a_k| = 1 is as large as what the residual makes of a state in an output interval.

    Adam with a learning rate that falls to 0 as a cosine, from a_k = 0; of all iterates the one with the smallest J is
    taken, for each trajectory by itself: J never rises, and what solves the equations stays as it is. Nothing comes
    from reference data. All of it is in double precision, whatever the network computes in.

    Arguments:
        solver: the equations on the grid of the states, in double precision.
        closure: their subgrid-scale model.
        known_physics: that of the surrogate, with this solver; None: it has none.
        interval: T between outputs, flow units.
        outputs: outputs of a call.
        output: what the network gives.
        configuration: iterations, learning rate and form of the residual.

    Source: Cao, Brarda, Li & Xi, Spectral-Refiner, ICLR 2025 (arXiv 2405.17211), and its code. There, ∂u/∂t comes from
    a tiny step of a solver, W_k is minimised over entry by entry with a bias for each mode beside it, and the last
    iterate is taken.
    """

    def __init__(
        self,
        solver: NavierStokes,
        *,
        closure: Closure,
        known_physics: KnownPhysics | None,
        interval: float,
        outputs: int,
        output: Literal["increment", "direct"],
        configuration: RefinementConfiguration,
    ) -> None:
        self.solver = solver
        self.closure = closure
        self.known_physics = known_physics
        self.interval = interval
        self.outputs = outputs
        self.output = output
        self.configuration = configuration

    def __call__(
        self,
        operator: nn.Module,
        seen: Tensor,
        past: Tensor,
        *,
        scale: Tensor,
        autocast: torch.dtype | None,
        variances: Tensor | None = None,
    ) -> Tensor:
        """Return the refined outputs, `(batch, outputs, d, *grid)`, whether gradients are enabled or not.

        Arguments:
            operator: the network, with a linear last layer.
            seen: its input, `(batch, channel, *grid)`.
            past: the outputs so far, `(batch, history, d, *grid)`.
            scale: what the network's output is multiplied by.
            autocast: precision of products inside the network; None: that of the input.
            variances: with which the known physics restores incompressibility; see `KnownPhysics.__call__`.
        """
        with torch.inference_mode(False), torch.no_grad():
            with torch.autocast(seen.device.type, dtype=autocast, enabled=autocast is not None):
                output, features = with_features(operator, seen.clone())
            # Copies: tensors made in inference mode can have no part in gradients.
            known = past[:, -self.configuration.order :].clone().double()
            output, features = scale.clone().double() * output.double(), features.double()
            variances = None if variances is None else variances.clone().double()
            with torch.enable_grad():
                return self._minimised(known, output, features, variances).to(past.dtype)

    def states(self, last: Tensor, learned: Tensor, variances: Tensor | None = None) -> Tensor:
        """Return the states to which a network's output leads, `(batch, outputs, d, *grid)`.

        Arguments:
            last: u(t), `(batch, d, *grid)`.
            learned: N, `(batch, outputs · d, *grid)`.
            variances: as above.
        """
        physics, made = self.known_physics, [last]
        for part in learned.unflatten(1, (self.outputs, -1)).unbind(1):
            made.append(next_state(made[-1], part, physics=physics, output=self.output, variances=variances))
        return torch.stack(made[1:], dim=1)

    def misfit(self, states: Tensor) -> Tensor:
        """Return J of states one output interval apart, `(batch, time, d, *grid)` → `(batch,)`; differentiable."""
        return self._square(states, order=-1)

    def _square(self, states: Tensor, *, order: float) -> Tensor:
        """Return the mean over times of the squared Sobolev norm of the residual, `(batch,)`."""
        chosen, space = self.configuration, self.solver.space
        if chosen.form == "integral":
            # What was there before has no part in it: between two states that are given nothing can be changed.
            new = states[:, -self.outputs - 1 :]
            residual = integral_residual(
                self.solver, new, interval=self.interval, steps=chosen.steps, closure=self.closure
            )
        else:
            residual = differential_residual(
                self.solver, states, interval=self.interval, order=chosen.order, closure=self.closure
            )
        return sobolev_square(space.to_spectral(residual), order=order, space=space).mean(dim=1)

    def _sizes(self, known: Tensor, output: Tensor, features: Tensor, variances: Tensor | None) -> Tensor:
        """Return g |φ̂_k|, `(batch, 1, *modes, 1)`."""
        spectrum = self.solver.space.to_spectral(features)
        squared = (spectrum.real**2 + spectrum.imag**2).sum(dim=1, keepdim=True)
        states = torch.cat([known, self.states(known[:, -1], output, variances)], dim=1)
        wanted = self.interval**2 * self._square(states, order=0) / states.shape[2]
        gain = wanted / features.square().flatten(2).mean(dim=2).sum(dim=1).clamp_min(_SMALLEST)
        return (gain.view(-1, *[1] * (squared.dim() - 1)) * squared).sqrt().unsqueeze(-1)

    def _minimised(self, known: Tensor, output: Tensor, features: Tensor, variances: Tensor | None) -> Tensor:
        """Return the states with the smallest J of all iterates, for each trajectory.

        Arguments:
            known: the last states before the outputs, `(batch, time, d, *grid)`.
            output: what the trained network gives, `(batch, outputs · d, *grid)`.
            features: what its last layer makes that of, `(batch, feature, *grid)`.
            variances: as above.
        """
        iterations, rate = self.configuration.iterations, self.configuration.learning_rate
        with torch.no_grad():
            size = self._sizes(known, output, features, variances)
        change = size.new_zeros((*output.shape[:2], *size.shape[2:-1], 2)).requires_grad_()
        optimiser = torch.optim.Adam([change], lr=rate)
        smallest = first = known.new_full((len(known),), torch.inf)
        best = known.new_empty(())
        for iteration in range(iterations + 1):
            learned = output + self.solver.space.to_physical(torch.view_as_complex(size * change))
            states = self.states(known[:, -1], learned, variances)
            misfit = self.misfit(torch.cat([known, states], dim=1))
            found = misfit.detach()
            if iteration == 0:
                first, best = found.clamp_min(_SMALLEST), states.detach()
            better = found < smallest
            smallest = torch.where(better, found, smallest)
            best = torch.where(better.view(-1, *[1] * (best.dim() - 1)), states.detach(), best)
            if iteration == iterations:
                break
            # Relative to where it starts, so that Adam's constant means the same in every flow.
            (change.grad,) = torch.autograd.grad((misfit / first).sum(), change)
            for group in optimiser.param_groups:
                group["lr"] = rate * 0.5 * (1 + math.cos(math.pi * iteration / iterations))
            optimiser.step()
        return best


def build_refinement(flow: Flow, model: str, *, device: torch.device) -> Refinement | None:
    """Return the refinement of a surrogate of a flow; None if it has none.

    Arguments:
        flow: the flow.
        model: one of its models.
        device: where the states are.
    """
    surrogate = flow.configuration.surrogates[model]
    chosen = surrogate.refinement
    if chosen is None:
        return None
    solver = flow.solver(flow.coarse_grid, dtype=torch.float64, device=device)
    interval, parts = flow.configuration.interval, surrogate.known_physics
    return Refinement(
        solver,
        closure=build_closure(
            chosen.closure,
            space=solver.space,
            filter_width=filter_width(solver.grid),
            viscosity=flow.configuration.viscosity,
        ),
        known_physics=KnownPhysics(solver, interval, parts) if parts else None,
        interval=interval,
        outputs=surrogate.bundle,
        output=surrogate.output,
        configuration=chosen,
    )
