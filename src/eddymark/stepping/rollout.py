"""One rollout for every stepper."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor

from eddymark.stepping.stepper import Stepper

BLOW_UP = 100.0
"""A state with this many times its initial kinetic energy is taken for lost."""


@dataclass(frozen=True)
class Failure:
    """A trajectory which could not be continued.

    Arguments:
        trajectory: index in the batch.
        step: first output which is missing.
        cause: in words.
    """

    trajectory: int
    step: int
    cause: str


@dataclass
class Rollout:
    """Trajectories that a stepper made.

    Arguments:
        velocity: `(batch, steps + 1, component, *grid)`, initial state first, NaN after a failure.
        failures: what went wrong; empty if nothing did.
    """

    velocity: Tensor
    failures: list[Failure] = field(default_factory=list)


def rollout(
    stepper: Stepper,
    initial: Tensor,
    steps: int,
    *,
    progress: Callable[[int], object] | None = None,
) -> Rollout:
    """Advance a batch of states over many output intervals; what blows up is recorded and left out from then on.

    Arguments:
        stepper: what advances the states.
        initial: velocity `(batch, history, component, *grid)`, oldest first.
        steps: number of outputs.
        progress: called with the number of finished steps.

    Returns:
        The trajectories, on the device of `initial`.
    """
    past = initial
    batch = initial.shape[0]
    first = initial[:, -1]
    velocity = first.new_full((batch, steps + 1, *first.shape[1:]), torch.nan)
    velocity[:, 0] = first
    limit = BLOW_UP * first.flatten(1).square().mean(dim=1)
    alive = list(range(batch))
    failures: list[Failure] = []
    with torch.inference_mode():
        for step in range(1, steps + 1):
            output = stepper(past)
            mean_square = output.flatten(1).square().mean(dim=1)
            finite = torch.isfinite(mean_square)
            sane = finite & (mean_square <= limit[alive])
            if not bool(sane.all()):
                for position in torch.nonzero(~sane).flatten().tolist():
                    cause = "energy grew a hundredfold" if bool(finite[position]) else "not finite"
                    failures.append(Failure(trajectory=alive[position], step=step, cause=cause))
                alive = [index for index, good in zip(alive, sane.tolist(), strict=True) if good]
                output, past = output[sane], past[sane]
            if not alive:
                break
            velocity[alive, step] = output
            past = torch.cat([past[:, 1:], output.unsqueeze(1)], dim=1)
            if progress is not None:
                progress(step)
    return Rollout(velocity=velocity, failures=failures)
