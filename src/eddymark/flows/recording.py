"""What is kept of DNS runs: written to stores output by output, cut into trajectories as it comes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from eddymark.flows.base import Flow
from eddymark.flows.schedule import SPLITS, Batch, stretches
from eddymark.grid import Grid
from eddymark.growing_store import GrowingStore
from eddymark.storage import at_outputs, stress_dataset, trajectory_dataset

FILTERED, STRESS, UNFILTERED = "filtered", "stress", "unfiltered"
"""Kinds of fields."""


@dataclass(frozen=True)
class _Kept:
    """A store, the split of its trajectories, and which of their outputs it has."""

    store: GrowingStore
    kind: str
    split: str
    outputs: Sequence[int]


class Recording:
    """Stores of filtered fields, true stresses and unfiltered states of a shard's runs.

    Arguments:
        folder: where the stores are until they are packed.
        flow: the flow.
        work: the runs in the order of their integration.
        unfiltered_grid: the smallest grid that holds the modes of which unfiltered states are kept.
    """

    def __init__(self, folder: Path, flow: Flow, work: Sequence[Batch], unfiltered_grid: Grid) -> None:
        self.runs: dict[str, list[int]] = {split: [] for split in SPLITS}
        """Per split, the run each trajectory was cut from."""
        self._first: dict[tuple[str, int], int] = {}
        for batch in work:
            for split, cuts in batch.stretches.items():
                for run in batch.runs:
                    self._first[split, run] = len(self.runs[split])
                    self.runs[split] += [run] * len(cuts)
        self._folder = folder
        self._flow = flow
        self._kept: dict[str, _Kept] = {}
        for split, ((first, last), *_) in stretches(flow).items():
            self._add(split, FILTERED, split, range(last - first + 1), flow.coarse_grid)
        for split, outputs in work[0].state_outputs.items():
            self._add(f"unfiltered_{split}", UNFILTERED, split, outputs, unfiltered_grid)
        self._add("stress", STRESS, "test", work[0].stress_outputs, flow.coarse_grid)

    def _add(self, name: str, kind: str, split: str, outputs: Sequence[int], grid: Grid) -> None:
        configuration, runs, d = self._flow.configuration, self.runs[split], grid.dimension
        entries = d * (d + 1) // 2 - 1 if kind == STRESS else d
        # What a template's array holds is not used: one number stands for all.
        values = np.broadcast_to(np.float32(0), (len(runs), len(outputs), entries, *grid.points))
        if kind == STRESS:
            template = stress_dataset(values, outputs=outputs)
        else:
            template = trajectory_dataset(
                values,
                grid=grid,
                interval=configuration.interval,
                turnover_time=configuration.turnover_time,
                attributes={},
                runs=runs,
            )
        if kind == UNFILTERED:
            template = at_outputs(template, outputs)
        self._kept[name] = _Kept(GrowingStore(self._folder / f"{name}.zarr", template), kind, split, outputs)

    def start(self) -> None:
        """Begin with empty stores."""
        for kept in self._kept.values():
            kept.store.start()

    def resume(self, state: Mapping[str, Tensor]) -> None:
        """Go on from the stores and from what was `pending`."""
        for name, kept in self._kept.items():
            prefix = f"{name}/"
            own = {key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)}
            kept.store.resume({key: value.numpy() for key, value in own.items()})

    @property
    def pending(self) -> dict[str, Tensor]:
        """What is in memory yet, at most a chunk of each trajectory under way."""
        return {
            f"{name}/{key}": torch.from_numpy(fields)
            for name, kept in self._kept.items()
            for key, fields in kept.store.pending.items()
        }

    @property
    def files(self) -> list[Path]:
        """What this process has written."""
        return [file for kept in self._kept.values() for file in kept.store.files]

    def keep(self, kind: str, batch: Batch, run: int, output: int, field: Tensor) -> None:
        """Keep a field of a run's output in all trajectories that it belongs to.

        Without a gap, the end of one trajectory is the beginning of the next.

        Arguments:
            kind: which field.
            batch: the batch of the run.
            run: number of the run.
            output: the output, counted from the start of the run.
            field: `(1, component or entry, *grid)`.
        """
        values = field[0].float().cpu().numpy()
        for kept in self._kept.values():
            if kept.kind != kind:
                continue
            for number, (begin, _) in enumerate(batch.stretches[kept.split], self._first[kept.split, run]):
                if output - begin in kept.outputs:
                    kept.store.write(number, kept.outputs.index(output - begin), values)

    def pack(self, output: Path, attributes: Mapping[str, Mapping[str, Any]]) -> None:
        """Write each store to `<name>.zarr.zip`.

        Arguments:
            output: folder for the files.
            attributes: of each store, by name.
        """
        for name, kept in self._kept.items():
            kept.store.finish(output / f"{name}.zarr.zip", attributes.get(name, {}))
