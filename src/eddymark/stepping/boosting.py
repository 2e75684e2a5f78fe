"""What a model that boosts another one takes over from it before its training."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor

from eddymark.errors import EddymarkError
from eddymark.operators.boosted import BoostedOperator
from eddymark.stepping.hybrid import Hybrid
from eddymark.stepping.stepper import next_outputs
from eddymark.stepping.surrogate import Surrogate
from eddymark.stepping.trainable import TrainableStepper, root_mean_square

_BATCH = 16


def take_over_boosted(stepper: TrainableStepper, weights: Path) -> None:
    """Give a model the weights and the scales of the one that it boosts; constraints stay its own.

    Arguments:
        stepper: a surrogate or a hybrid whose network is a `BoostedOperator`.
        weights: what the training of the other one has stored.

    Raises:
        EddymarkError: if the file cannot be read or does not fit.
    """
    try:
        kept = ("operator.second.", "operator.residual_scale", "constraints.")
        state = {name: value for name, value in stepper.state_dict().items() if name.startswith(kept)}
        for name, value in load_file(weights).items():
            if name.startswith("operator."):
                state[f"operator.first.{name.removeprefix('operator.')}"] = value
            elif not name.startswith("constraints."):
                state[name] = value
        stepper.load_state_dict(state)
    except Exception as error:
        raise EddymarkError(f"{weights}: does not hold the weights of what is boosted ({error})") from error


@torch.no_grad()
def fit_residual_scale(stepper: TrainableStepper, windows: Tensor) -> None:
    """Set the scale of the second network to the rms of the errors which the first one alone makes in a step.

    Arguments:
        stepper: as of `take_over_boosted`, with the weights of what it boosts.
        windows: training windows, `(n, history + 1, component, *grid)`.
    """
    assert isinstance(stepper, Surrogate | Hybrid)
    assert isinstance(stepper.operator, BoostedOperator)
    scale = stepper.operator.residual_scale
    scale.zero_()
    made = torch.cat([next_outputs(stepper, part[:, :-1])[0] for part in windows.split(_BATCH)])
    scale.copy_(root_mean_square(windows[:, -1] - made) / stepper.output_scale)
