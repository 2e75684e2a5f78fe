"""What training minimises: the loss of unrolled steps, of data and equations, or of steps over all lead times."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from eddymark.config.training import CurriculumStage, Objective
from eddymark.grid import SpectralSpace
from eddymark.stepping.stepper import next_outputs
from eddymark.stepping.surrogate import Surrogate
from eddymark.stepping.trainable import TrainableStepper
from eddymark.training.equations import Equations
from eddymark.training.losses import output_loss
from eddymark.training.regularisation import dissipativity_penalty


def stage_loss(
    stepper: TrainableStepper,
    window: Tensor,
    *,
    stage: CurriculumStage,
    objective: Objective,
    space: SpectralSpace | None,
    equations: Equations | None = None,
) -> Tensor:
    """Return the loss of a batch of windows in a stage of the curriculum: over unrolled outputs, or all to all.

    Arguments:
        stepper: what is trained.
        window: `(batch, history + stage.outputs, component, *grid)`.
        stage: how windows are used.
        objective: distances and weights.
        space: spectral space of the grid; needed by distances of spectra.
        equations: what the objective asks of the outputs beside their distances, if it does.
    """
    if stage.all_to_all is None:
        return unrolled_loss(stepper, window, objective=objective, space=space, equations=equations)
    assert isinstance(stepper, Surrogate)
    return all_to_all_loss(stepper, window, objective=objective, space=space)


def unrolled_loss(
    stepper: TrainableStepper,
    window: Tensor,
    *,
    objective: Objective,
    space: SpectralSpace | None,
    equations: Equations | None = None,
) -> Tensor:
    """Return the loss of a batch of windows over all outputs that follow the history.

        mean over windows and outputs of the distances of u and v (`losses.output_loss`)
        + weighted mean over windows of the relative residual of the last of the history and all u (`Equations`)
        + dissipativity

    u is the stepper's output, fed back as its next input, and v the DNS; gradients flow through all steps. Without a
    weight on a distance, nothing of v after the history is used. With
    `teacher_forcing` α, what is fed back is α v + (1 − α) u. With `pushforward`, the calls before the last one have no
    gradient and only two count: the first, from DNS, and the last, from what the others have made of it. With
    `checkpointing`, a call is computed again for its gradient instead of keeping what it computed.

    Arguments:
        stepper: what is trained.
        window: `(batch, history + steps, component, *grid)`; steps are a multiple of the outputs of a call.
        objective: distances, weights and how to unroll.
        space: spectral space of the grid; needed by distances of spectra.
        equations: whose residual counts, if any does.

    Source: teacher forcing: Hess, Monfared, Brenner & Durstewitz (2023), Generalized Teacher Forcing for Learning
    Chaotic Dynamics, ICML, eq. 7; pushforward: Brandstetter, Worrall & Welling (2022), Message Passing Neural PDE
    Solvers, ICLR, section 3.1 (loss of one step and stability loss; the mean of both here).
    """
    history, outputs = stepper.history, stepper.outputs
    past = window[:, :history]
    bundles = window[:, history:].split(outputs, dim=1)
    losses = []
    states = [past[:, -1]]
    for index, targets in enumerate(bundles):
        # In between there is nothing to learn from.
        pushed = objective.pushforward and 0 < index < len(bundles) - 1
        with torch.set_grad_enabled(torch.is_grad_enabled() and not pushed):
            if objective.checkpointing and torch.is_grad_enabled():
                made: list[Tensor] = checkpoint(next_outputs, stepper, past, use_reentrant=False)
            else:
                made = next_outputs(stepper, past)
        if equations is not None:
            states += made
        if objective.compares and not pushed:
            pairs = zip(made, targets.unbind(1), strict=True)
            losses += [output_loss(output, target, objective=objective, space=space) for output, target in pairs]
        for output, target in zip(made, targets.unbind(1), strict=True):
            fed = output.detach() if objective.pushforward else output
            if objective.teacher_forcing > 0:
                fed = torch.lerp(fed, target, objective.teacher_forcing)
            past = fed.unsqueeze(1) if history == 1 else torch.cat([past[:, 1:], fed.unsqueeze(1)], dim=1)
    loss = torch.stack(losses).mean() if losses else window.new_zeros(())
    if equations is not None:
        loss = loss + equations.loss(torch.stack(states, dim=1))
    return _with_penalty(loss, stepper, window[:, :history], objective)


def all_to_all_loss(stepper: Surrogate, window: Tensor, *, objective: Objective, space: SpectralSpace | None) -> Tensor:
    """Return the loss of a batch of windows over all pairs of a state and a later one.

        mean over windows and pairs i < j of the distances of S_{j−i}(v_i) and v_j + dissipativity

    S_n is the stepper over n output intervals and v the DNS: nothing is fed back, and a window of n intervals gives
    n (n + 1) / 2 pairs.

    Arguments:
        stepper: what is trained, with lead times up to the length of the windows.
        window: `(batch, history + intervals, component, *grid)`.
        objective: distances and weights.
        space: spectral space of the grid; needed by distances of spectra.

    Source: Herde et al. (2024), Poseidon: Efficient Foundation Models for PDEs, NeurIPS 37 (all2all training).
    """
    history = stepper.history
    intervals = window.shape[1] - history
    losses = []
    for lead_time in range(1, intervals + 1):
        starts = range(intervals - lead_time + 1)
        past = torch.cat([window[:, start : start + history] for start in starts])
        target = torch.cat([window[:, start + history - 1 + lead_time] for start in starts])
        if objective.checkpointing and torch.is_grad_enabled():
            made: Tensor = checkpoint(stepper, past, lead_time, use_reentrant=False)
        else:
            made = stepper(past, lead_time)
        losses.append(len(starts) * output_loss(made, target, objective=objective, space=space))
    loss = torch.stack(losses).sum() / (intervals * (intervals + 1) // 2)
    return _with_penalty(loss, stepper, window[:, :history], objective)


def _with_penalty(loss: Tensor, stepper: TrainableStepper, past: Tensor, objective: Objective) -> Tensor:
    if objective.dissipativity is not None:
        penalty = dissipativity_penalty(stepper, past, objective.dissipativity)
        loss = loss + objective.dissipativity.weight * penalty
    return loss
