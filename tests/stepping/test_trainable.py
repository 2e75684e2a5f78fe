from __future__ import annotations

import torch
from torch import nn

from eddymark.stepping.controls import Persistence
from eddymark.stepping.trainable import parameter_count


def test_parameters_are_counted_as_real_numbers() -> None:
    module = nn.Module()
    module.real = nn.Parameter(torch.zeros(2, 3))
    module.complex = nn.Parameter(torch.zeros(5, dtype=torch.complex64))
    module.register_buffer("scale", torch.zeros(7))
    assert parameter_count(module) == 6 + 2 * 5
    assert parameter_count(Persistence(0.1)) == 0
