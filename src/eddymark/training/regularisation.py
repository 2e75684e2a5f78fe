"""What training asks of a stepper where there are no data."""

from __future__ import annotations

import torch
from torch import Tensor

from eddymark.config.training import Dissipativity
from eddymark.stepping.stepper import next_outputs
from eddymark.stepping.trainable import TrainableStepper


def dissipativity_penalty(stepper: TrainableStepper, past: Tensor, dissipativity: Dissipativity) -> Tensor:
    """Return by how much states far outside the attractor fail to return.

        mean over the batch of max(0, ‖S(λ u)‖ / ‖λ u‖ − ρ^½)

    S is one call of the stepper, of a bundle its last output, λ is drawn uniformly for each state, and ρ is the share
    of its energy which a state may keep at most. Zero where the stepper is dissipative enough.

    Arguments:
        stepper: what is trained.
        past: states of the flow u, `(batch, history, component, *grid)`; all frames of a history get the same λ.
        dissipativity: range of λ, and ρ.

    Source: Li et al. (2022), Learning dissipative dynamics in chaotic systems, NeurIPS 35, eq. 4; there, the stepper is
    fitted to a multiple of random states, here only the decrease of the energy is asked for.
    """
    low, high = dissipativity.scales
    drawn = torch.rand(len(past), dtype=past.dtype, device=past.device)
    outside = (low + (high - low) * drawn).reshape(-1, *(1,) * (past.dim() - 1)) * past
    made = next_outputs(stepper, outside)[-1]
    before, after = (torch.linalg.vector_norm(state.flatten(1), dim=1) for state in (outside[:, -1], made))
    return (after / before - dissipativity.remaining_energy**0.5).relu().mean()
