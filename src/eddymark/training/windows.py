"""Windows of consecutive outputs from the trajectories of one split, and the batches of an epoch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from eddymark.config.training import Augmentation, CurriculumStage, Objective
from eddymark.errors import EddymarkError
from eddymark.flows.base import Flow
from eddymark.grid import SpectralSpace
from eddymark.randomness import generator
from eddymark.stepping.controls import solenoidal_noise
from eddymark.storage import open_trajectories

CACHE_BYTES = 2**30
"""Trajectories are kept in memory up to this size; the windows of all others are read from their files."""


class Windows:
    """Reads windows of consecutive outputs; nothing is read before it is asked for.

    Arguments:
        paths: files of one split.
        dtype: precision of what is returned.
        cache_bytes: memory for whole trajectories.
    """

    def __init__(self, paths: Sequence[Path], *, dtype: torch.dtype, cache_bytes: int = CACHE_BYTES) -> None:
        # Opened one by one: joining files would read them.
        self._velocity = [
            trajectory
            for path in paths
            for trajectory in open_trajectories(path)["velocity"].transpose("trajectory", ...)
        ]
        self.dtype = dtype
        self.trajectories = len(self._velocity)
        self.times: int = min(trajectory.sizes["time"] for trajectory in self._velocity)
        size = self._velocity[0].size * torch.empty(0, dtype=dtype).element_size()
        self._kept = min(self.trajectories, cache_bytes // size)
        self._cache: dict[int, Tensor] = {}

    def count(self, length: int) -> int:
        """Return the number of windows of `length` outputs, overlapping ones included."""
        return self.trajectories * max(0, self.times - length + 1)

    def read(self, index: int, length: int) -> Tensor:
        """Return window `index` (0 … count − 1, trajectory by trajectory), `(length, component, *grid)`."""
        trajectory, start = divmod(index, self.times - length + 1)
        if trajectory >= self._kept:
            return self._load(trajectory, slice(start, start + length))
        if trajectory not in self._cache:
            self._cache[trajectory] = self._load(trajectory, slice(None))
        return self._cache[trajectory][start : start + length]

    def spread(self, length: int, *, most: int, stride: int = 1) -> Tensor:
        """Return at most `most` windows which start every `stride` outputs, evenly over all trajectories.

        Returns:
            `(window, length, component, *grid)`.
        """
        starts = range(0, self.times - length + 1, stride)
        indices = [
            trajectory * (self.times - length + 1) + start
            for trajectory in range(self.trajectories)
            for start in starts
        ]
        chosen = np.linspace(0, len(indices) - 1, min(most, len(indices))).round().astype(int)
        return torch.stack([self.read(indices[position], length) for position in chosen])

    def _load(self, trajectory: int, times: slice) -> Tensor:
        values = self._velocity[trajectory][times].values
        return torch.as_tensor(np.ascontiguousarray(values)).to(self.dtype)


def stage_at(objective: Objective, step: int, steps: int) -> CurriculumStage:
    """Return the stage of the curriculum to which a step (counted from 0) of `steps` belongs."""
    return max(
        (stage for stage in objective.curriculum if stage.start * steps <= step),
        key=lambda stage: stage.start,
    )


def unroll_at(objective: Objective, step: int, steps: int) -> int:
    """Return how many output intervals the curriculum unrolls in a step (counted from 0) of `steps`."""
    return stage_at(objective, step, steps).unroll


@dataclass(frozen=True)
class Draw:
    """The windows of one batch.

    Arguments:
        epoch: epoch of the batch.
        outputs: number of outputs to predict.
        windows: indices among the windows of `history + outputs` outputs.
        positions: index of each window in the epoch, which keys its augmentation.
    """

    epoch: int
    outputs: int
    windows: tuple[int, ...]
    positions: tuple[int, ...]

    def part(self, index: int, count: int) -> Draw:
        """Return what process `index` of `count` trains on: every `count`-th window, transformed as in the whole."""
        return Draw(self.epoch, self.outputs, self.windows[index::count], self.positions[index::count])


class TrainingBatches(Dataset[Tensor]):
    """Batches `(batch, history + outputs, component, *grid)` of augmented training windows.

    Which windows an epoch holds and how each is transformed depends on (seed, names, epoch, position) only.

    Arguments:
        windows: training windows.
        history: number of past outputs that the stepper needs.
        objective: its curriculum gives the length of the windows.
        steps, steps_per_epoch, batch_size: size of the training.
        augmentation, flow: random transformations.
        seed, names: key of the random streams.

    Raises:
        EddymarkError: if the trajectories are shorter than the longest window.
    """

    def __init__(
        self,
        windows: Windows,
        *,
        history: int,
        objective: Objective,
        steps: int,
        steps_per_epoch: int,
        batch_size: int,
        augmentation: Augmentation,
        flow: Flow,
        seed: int,
        names: Sequence[str | int],
    ) -> None:
        longest = history + max(stage.outputs for stage in objective.curriculum)
        if windows.count(longest) == 0:
            raise EddymarkError(
                f"training trajectories have {windows.times} outputs; history and unrolled steps need {longest}"
            )
        self.windows = windows
        self.history = history
        self.objective = objective
        self.steps = steps
        self.steps_per_epoch = steps_per_epoch
        self.batch_size = batch_size
        self.augmentation = augmentation
        self.flow = flow
        self.space = SpectralSpace(flow.coarse_grid, dtype=windows.dtype)
        self.seed = seed
        self.names = tuple(names)

    def epoch(self, epoch: int) -> list[Draw]:
        """Return the batches of an epoch; every window is drawn once before one is drawn again."""
        first = epoch * self.steps_per_epoch
        orders: dict[int, NDArray[np.int64]] = {}
        draws = []
        for step in range(min(self.steps_per_epoch, self.steps - first)):
            outputs = stage_at(self.objective, first + step, self.steps).outputs
            if outputs not in orders:
                orders[outputs] = self._order(epoch, outputs)
            positions = np.arange(step * self.batch_size, (step + 1) * self.batch_size)
            draws.append(Draw(epoch, outputs, tuple(orders[outputs][positions].tolist()), tuple(positions.tolist())))
        return draws

    def _order(self, epoch: int, outputs: int) -> NDArray[np.int64]:
        count = self.windows.count(self.history + outputs)
        needed = self.steps_per_epoch * self.batch_size
        random = generator(self.seed, *self.names, "order", epoch, outputs)
        return np.concatenate([random.permutation(count) for _ in range(-(-needed // count))])

    def __getitem__(self, draw: Draw) -> Tensor:
        length = self.history + draw.outputs
        windows = []
        for index, position in zip(draw.windows, draw.positions, strict=True):
            window = self.windows.read(index, length)
            random = generator(self.seed, *self.names, "augmentation", draw.epoch, position)
            window = self.flow.transform(
                window, random, shifts=self.augmentation.shifts, symmetries=self.augmentation.symmetries
            )
            windows.append(self._perturb(window, random) if self.augmentation.input_noise else window)
        return torch.stack(windows)

    def _perturb(self, window: Tensor, random: np.random.Generator) -> Tensor:
        """Add noise to the input states alone: the targets stay, so that the stepper learns to lead back to them."""
        inputs, targets = window[: self.history], window[self.history :]
        amplitude = self.augmentation.input_noise * window.square().mean().sqrt()
        return torch.cat([inputs + amplitude * solenoidal_noise(self.space, inputs, random), targets])
