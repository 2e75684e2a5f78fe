"""DNS runs with their fields in memory, for tests."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from eddymark.checkpoints import Checkpoints
from eddymark.flows import sampling
from eddymark.flows.base import Flow, Scales
from eddymark.flows.schedule import SPLITS
from eddymark.storage import read_stresses, read_trajectories


@dataclass(frozen=True)
class Sampled:
    """What `sample_runs` leaves behind, read again.

    Arguments:
        files: name and bytes of all stores.
    """

    velocity: dict[str, NDArray[np.float32]]
    runs: dict[str, list[int]]
    budget: pd.DataFrame
    scales: Scales
    final_scales: Scales | None
    stress: NDArray[np.float32]
    stress_outputs: list[int]
    unfiltered: dict[str, NDArray[np.float32]]
    files: dict[str, bytes]


def sample_runs(
    flow: Flow,
    name: str,
    *,
    seed: int,
    runs: Sequence[int],
    device: torch.device,
    checkpoints: Checkpoints | None = None,
) -> Sampled:
    with TemporaryDirectory() as temporary:
        folder = Path(temporary) if checkpoints is None else checkpoints.folder
        output = Path(temporary) / "output"
        output.mkdir()
        made = sampling.sample_runs(
            flow, name, seed=seed, runs=runs, device=device, folder=folder, checkpoints=checkpoints
        )
        made.recording.pack(output, {})
        fields = {path.name.removesuffix(".zarr.zip"): path for path in sorted(output.iterdir())}
        stress = read_stresses([fields["stress"]])
        velocity = {name: read_trajectories(path) for name, path in fields.items() if name != "stress"}
        for split in SPLITS:
            assert velocity[split]["run"].to_numpy().tolist() == made.recording.runs[split]
        return Sampled(
            velocity={split: velocity[split]["velocity"].to_numpy() for split in SPLITS},
            runs=made.recording.runs,
            budget=made.budget,
            scales=made.scales,
            final_scales=made.final_scales,
            stress=stress["stress"].to_numpy(),
            stress_outputs=stress["output"].to_numpy().tolist(),
            unfiltered={
                split: velocity[f"unfiltered_{split}"]["velocity"].to_numpy() for split in ("validation", "test")
            },
            files={name: path.read_bytes() for name, path in fields.items()},
        )
