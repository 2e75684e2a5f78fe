"""One rollout for every stepper."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from eddymark.checkpoints import Checkpoints
from eddymark.mapped import mapped_tensor
from eddymark.stepping.constraints import Constraints
from eddymark.stepping.stepper import Stepper, TimeDependent, next_outputs

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
        velocity: what is kept of each output, `(batch, steps + 1, component, *grid)`, initial state first, NaN after a
            failure.
        failures: what went wrong; empty if nothing did.
        activity: what constraints from reference data did to each output, `(batch, steps, constraint, 2)` (see
            `statistics.constraint_activity`), NaN after a failure; None for a stepper without such.
    """

    velocity: Tensor
    failures: list[Failure] = field(default_factory=list)
    activity: Tensor | None = None


def rollout(
    stepper: Stepper,
    initial: Tensor,
    steps: int,
    *,
    keep: Callable[[Tensor], Tensor] | None = None,
    progress: Callable[[int], object] | None = None,
    checkpoints: Checkpoints | None = None,
    file: Path | None = None,
) -> Rollout:
    """Advance a batch of states over many output intervals; what blows up is recorded and left out from then on.

    A stepper that gives several outputs at a time is called when they are used up. Each of them is looked at by itself.

    A rollout that goes on from a checkpoint ends with the same bytes as an undisturbed one: between calls there is
    nothing but the past outputs and, if a stepper draws random numbers, its `random` generator.

    Arguments:
        stepper: what advances the states.
        initial: velocity `(batch, history, component, *grid)`, oldest first.
        steps: number of outputs.
        keep: what is kept of each output, by default all of it; the stepper goes on from the whole.
        progress: called with the number of finished steps.
        checkpoints: where to go on from, and to store outputs.
        file: where the trajectories are, instead of in memory, if `initial` is on the CPU.

    Returns:
        The trajectories, on the device of `initial`.
    """
    past = initial
    batch = initial.shape[0]
    first = initial[:, -1]
    kept = first if keep is None else keep(first)
    shape = (batch, steps + 1, *kept.shape[1:])
    in_file = file is not None and kept.device.type == "cpu"
    velocity = mapped_tensor(file, shape, kept.dtype) if file is not None and in_file else kept.new_empty(shape)
    velocity[:, 0] = kept
    limit = BLOW_UP * first.flatten(1).square().mean(dim=1)
    alive = list(range(batch))
    failures: list[Failure] = []
    random: np.random.Generator | None = getattr(stepper, "random", None)
    constraints: Constraints | None = getattr(stepper, "constraints", None)
    activity = None
    if constraints is not None:
        activity = first.new_full((batch, steps, len(constraints.names), 2), torch.nan)
    done = 0
    if checkpoints is not None and (found := checkpoints.load()) is not None:
        done, alive = found.done, found.facts["alive"]
        past = found.state["past"].to(initial.device)
        for step, states in enumerate(found.parts["velocity"], 1):
            velocity[:, step] = states.to(velocity)
        if activity is not None:
            for step, values in enumerate(found.parts["activity"]):
                activity[:, step] = values.to(activity)
        failures = [Failure(**failure) for failure in found.facts["failures"]]
        if random is not None:
            random.bit_generator.state = found.facts["random"]
    ahead: list[Tensor] = []
    acted: list[Tensor] = []
    with torch.inference_mode():
        for step in range(done + 1, steps + 1):
            if isinstance(stepper, TimeDependent):
                stepper.asked_output = step
            if not ahead:
                ahead, acted = _made(stepper, past, constraints)
            output = ahead.pop(0)
            mean_square = output.flatten(1).square().mean(dim=1)
            finite = torch.isfinite(mean_square)
            sane = finite & (mean_square <= limit[alive])
            if not bool(sane.all()):
                for position in torch.nonzero(~sane).flatten().tolist():
                    cause = "energy grew a hundredfold" if bool(finite[position]) else "not finite"
                    failures.append(Failure(trajectory=alive[position], step=step, cause=cause))
                alive = [index for index, good in zip(alive, sane.tolist(), strict=True) if good]
                output, past, ahead = output[sane], past[sane], [later[sane] for later in ahead]
                acted = [one[sane] for one in acted]
            if not alive:
                velocity[:, step:] = torch.nan
                break
            if len(alive) < batch:
                velocity[:, step] = torch.nan
            velocity[alive, step] = output if keep is None else keep(output)
            if activity is not None:
                activity[alive, step - 1] = acted.pop(0)
            # In one piece of memory, as it comes out of a checkpoint: sums over another layout round differently.
            past = torch.cat([past[:, 1:], output.unsqueeze(1)], dim=1).contiguous()
            if progress is not None:
                progress(step)
            if checkpoints is not None and step < steps and not ahead and checkpoints.due():
                checkpoints.save(
                    step,
                    state={"past": past},
                    parts=_parts(velocity[:, 1 : step + 1], activity),
                    facts={
                        "alive": alive,
                        "failures": [asdict(failure) for failure in failures],
                        "random": None if random is None else random.bit_generator.state,
                    },
                )
    return Rollout(velocity=velocity, failures=failures, activity=activity)


def _made(stepper: Stepper, past: Tensor, constraints: Constraints | None) -> tuple[list[Tensor], list[Tensor]]:
    """Return what one call of a stepper gives, and what its constraints did to each output."""
    if constraints is None:
        return next_outputs(stepper, past), []
    acted: list[Tensor] = []
    constraints.activity = acted
    try:
        return next_outputs(stepper, past), acted
    finally:
        constraints.activity = None


def _parts(velocity: Tensor, activity: Tensor | None) -> dict[str, Sequence[Tensor]]:
    """Return what a checkpoint holds of the outputs made so far."""
    parts: dict[str, Sequence[Tensor]] = {"velocity": velocity.unbind(dim=1)}
    return parts if activity is None else parts | {"activity": activity[:, : velocity.shape[1]].unbind(dim=1)}
