"""What steppers know of the training data without having been trained."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import torch
from torch import Tensor

from eddymark.storage import open_trajectories


def training_trajectories(files: Sequence[Path], first: int = 0) -> Iterator[Tensor]:
    """Yield the trajectories of some files one by one from output `first` on, `(time, component, *grid)`."""
    for file in files:
        for trajectory in open_trajectories(file)["velocity"]:
            yield torch.as_tensor(trajectory[first:].to_numpy())


def average(values: Iterable[Tensor], *, at_each_output: bool) -> Tensor:
    """Return the mean over trajectories of `(time, ...)`: `(time, ...)`, or over all outputs, too: `(1, ...)`."""
    total, count = torch.zeros(()), 0
    for one in values:
        total, count = total + (one if at_each_output else one.mean(dim=0, keepdim=True)), count + 1
    return total / count
