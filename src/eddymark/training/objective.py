"""What training minimises."""

from __future__ import annotations

import torch
from torch import Tensor

from eddymark.grid import SpectralSpace
from eddymark.stepping.trainable import TrainableStepper


def unrolled_loss(
    stepper: TrainableStepper, window: Tensor, *, shell_energy_weight: float, space: SpectralSpace | None
) -> Tensor:
    """Return the loss of a batch of windows over all steps that follow the history.

        mean over windows and steps of  ‖u − v‖ / ‖v‖ + w · mean over resolved shells of (ln E_u(κ) − ln
        E_v(κ))²

    u is the stepper's output, fed back as its next input, and v the DNS; gradients flow through all steps.

    Arguments:
        stepper: what is trained.
        window: `(batch, history + steps, component, *grid)`.
        shell_energy_weight: w.
        space: spectral space of the grid; needed if w > 0.
    """
    history = stepper.history
    past = window[:, :history]
    losses = []
    for target in window[:, history:].unbind(1):
        output = stepper(past)
        error = torch.linalg.vector_norm((output - target).flatten(1), dim=1)
        loss = (error / torch.linalg.vector_norm(target.flatten(1), dim=1)).mean()
        if shell_energy_weight > 0 and space is not None:
            loss = loss + shell_energy_weight * shell_energy_error(output, target, space=space)
        losses.append(loss)
        past = output.unsqueeze(1) if history == 1 else torch.cat([past[:, 1:], output.unsqueeze(1)], dim=1)
    return torch.stack(losses).mean()


def shell_energy_error(output: Tensor, target: Tensor, *, space: SpectralSpace) -> Tensor:
    """Return the mean squared difference of the natural logarithms of the energies of shells 1 … k_c.

    Arguments:
        output, target: velocity, `(batch, component, *grid)`.
        space: spectral space of the grid.
    """
    shells = slice(1, space.grid.resolved_shells + 1)
    tiny = torch.finfo(output.dtype).tiny
    logarithms = [
        space.energy_spectrum(space.to_spectral(velocity))[:, shells].clamp_min(tiny).log()
        for velocity in (output, target)
    ]
    return (logarithms[0] - logarithms[1]).square().mean()
