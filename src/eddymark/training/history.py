"""What a training says of itself after each epoch."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Progress:
    """One row of the history, added after each epoch.

    Arguments:
        epoch: finished epochs.
        step: finished steps.
        unroll: number of unrolled outputs in the last step.
        learning_rate: in the last step.
        training_loss: mean over the epoch.
        validation_error: mean relative L2 error of the validation rollouts of the averaged weights.
        seconds: time spent in training and validation so far, earlier runs of a resumed training included.
        spectrum_error: distance in decades of the mean energy spectrum of the selection rollouts, and of the validation
            data; None unless weights are selected by it.
        residual: mean relative residual of the objective's equations in the validation rollouts; None without such.
        residual_floor: that of the validation data, the filtered DNS.
        closure_constant: of the closure in the equations if it is learned, else None.
    """

    epoch: int
    step: int
    unroll: int
    learning_rate: float
    training_loss: float
    validation_error: float
    seconds: float
    spectrum_error: float | None = None
    residual: float | None = None
    residual_floor: float | None = None
    closure_constant: float | None = None
