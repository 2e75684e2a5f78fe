"""Every registered operator at a size at which it can be tested in seconds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from eddymark.operators.axes import Axis
from eddymark.operators.build import build_operator


@dataclass(frozen=True)
class Case:
    """How one operator is tested.

    Arguments:
        arguments: of its constructor, in 2-D and 3-D alike.
        points: grid by dimension.
        equivariant_shift: it commutes with translations by multiples of this many grid spacings along every axis; 0:
            with none.
        dead: parts of names of parameters of which some entries have no effect on the output, with the reason in a
            comment beside the case.
    """

    arguments: dict[str, Any]
    points: dict[int, tuple[int, ...]] = field(default_factory=lambda: {2: (16, 12), 3: (8, 10, 12)})
    equivariant_shift: int = 1
    dead: tuple[str, ...] = ()


CASES: dict[str, Case] = {
    # The mean of a real field is real: the imaginary part of its weight has no effect.
    "fno": Case({"width": 5, "modes": 3, "layers": 3}, dead=("convolutions",)),
    "ifactformer_o": Case({"width": 6, "heads": 2, "modes": 2, "layers": 3}),
    "ifactformer_m": Case({"width": 6, "heads": 2, "modes": 2, "layers": 3}),
    "tno": Case(
        {"width": 8, "heads": 2, "layers": 2, "modes": 1}, points={2: (16, 12), 3: (8, 6, 10)}, equivariant_shift=2
    ),
    "iafno": Case(
        {"width": 8, "blocks": 2, "modes": 2, "layers": 3},
        points={2: (16, 12), 3: (10, 12, 14)},
        equivariant_shift=2,
    ),
    # Its layers act on the phases of waves.
    "transform_once": Case({"width": 4, "modes": 2, "layers": 2}, equivariant_shift=0),
    "ffno": Case({"width": 5, "modes": 3, "layers": 3}, dead=("convolutions",)),
    "sfno": Case(
        {"width": 5, "modes": 3, "layers": 3, "time_modes": 1, "latent_frames": 4}, dead=("convolutions", "last")
    ),
    "ifno": Case({"width": 5, "modes": 3, "layers": 3}, dead=("convolution",)),
    "ufno": Case({"width": 5, "modes": 3, "layers": 3}, equivariant_shift=4, dead=("convolutions",)),
    "iufno": Case({"width": 5, "modes": 3, "layers": 3}, equivariant_shift=4, dead=("convolution",)),
    "fifno": Case({"width": 5, "modes": 3, "layers": 3}, dead=("convolution",)),
    "convolutional": Case({"width": 6, "layers": 3}),
    "unet": Case({"width": 4, "levels": 2}, equivariant_shift=2),
    "continuous_unet": Case({"width": 4, "points": 4, "levels": 2}, {2: (16, 12), 3: (8, 4, 4)}, equivariant_shift=2),
    "mgno": Case({"width": 4, "layers": 2, "levels": 3, "post_smoothing_steps": 1}, equivariant_shift=4),
    "sinenet": Case({"width": 4, "waves": 2, "levels": 2}, equivariant_shift=2),
    "lsm": Case(
        {"width": 4, "levels": 2, "patch_size": 2, "tokens": 2, "basis": 3, "heads": 2},
        {2: (16, 12), 3: (8, 4, 12)},
        equivariant_shift=4,
    ),
    # In so small a window there are few distances, at which many ReLUs of the network of distances are zero.
    "scot": Case(
        {
            "width": 4,
            "levels": 2,
            "layers": 2,
            "heads": 1,
            "patch_size": 2,
            "window_size": 2,
            "skip_blocks": 1,
            "kernel_size": 3,
        },
        {2: (16, 24), 3: (8, 8, 16)},
        equivariant_shift=8,
        dead=("position",),
    ),
    # A ReLU of so narrow a network may be zero everywhere, and with it what leads to its channel.
    "dilated_resnet": Case({"width": 8, "blocks": 2}, dead=("blocks",)),
}


def build(name: str, dimension: int, *, axes: Sequence[Axis] | None = None) -> nn.Module:
    """Return the operator of a case in double precision, 3 channels in and 2 out, output of the order of one."""
    torch.manual_seed(0)
    case = CASES[name]
    operator = build_operator(name, case.arguments, in_channels=3, out_channels=2, dimension=dimension, axes=axes)
    return operator.double()


def random_field(name: str, dimension: int, *, batch: int = 2) -> torch.Tensor:
    """Return an input of a case."""
    torch.manual_seed(1)
    return torch.randn(batch, 3, *CASES[name].points[dimension], dtype=torch.float64)
