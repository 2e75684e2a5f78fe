"""Scaled losses, so that the gradients of products in half precision do not vanish."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager

import torch
from pytorch_lightning.plugins.precision import MixedPrecision

LEAST_SCALE = 1.0
"""A loss which has to be made smaller than it is for finite gradients is one of a training that diverges."""


class GradientScaling(MixedPrecision):
    """Multiplies the loss by a scale and divides the gradients by it; steps whose gradients overflow are left out.

    The scale is halved after such a step and doubled after 2000 others (`torch.amp.GradScaler`). It is kept in
    checkpoints.

    Arguments:
        device: where to train.

    Source: Micikevicius et al. (2018), Mixed Precision Training, ICLR, section 3.2.
    """

    def __init__(self, device: torch.device) -> None:
        super().__init__("16-mixed", device.type, torch.amp.GradScaler(device.type))

    @property
    def can_be_reduced(self) -> bool:
        """Whether gradients that overflow may do so because of the scale."""
        return self.scaler is not None and self.scaler.get_scale() > LEAST_SCALE

    @contextmanager
    def forward_context(self) -> Generator[None, None, None]:
        """Leave the precision as it is: autocast is around the network alone (`stepping.trainable.evaluated`)."""
        yield
