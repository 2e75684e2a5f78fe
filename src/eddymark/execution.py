"""What every job of an experiment shares: the device, the precision, and where the data are."""

from __future__ import annotations

from pathlib import Path

import torch

from eddymark.config.schema import Experiment, Flow
from eddymark.errors import EddymarkError


def select_device(experiment: Experiment) -> torch.device:
    """Return the device of an experiment; `auto` is CUDA where there is one.

    Raises:
        EddymarkError: if there is no such device.
    """
    if experiment.device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if experiment.device == "cuda" and not torch.cuda.is_available():
        reason = "no NVIDIA driver or device" if torch.backends.cuda.is_built() else "a build for CPUs"
        raise EddymarkError(
            f"device: cuda, but torch {torch.__version__} finds none ({reason}); set device: auto or cpu, or install "
            "a CUDA build of torch"
        )
    return torch.device(experiment.device)


def select_precision(experiment: Experiment) -> torch.dtype:
    """Return the precision of training, rollouts and timing."""
    return {"float32": torch.float32, "float64": torch.float64}[experiment.precision]


def split_files(flow: Flow, flow_name: str, split: str, results: Path) -> list[Path]:
    """Return the files of one split, one per shard."""
    shards = range(flow.sampling.shards)
    return [results / flow_name / "generate" / str(shard) / f"{split}.zarr.zip" for shard in shards]
