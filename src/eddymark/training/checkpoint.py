"""The file from which a killed training resumes: complete or absent, checked before it is used."""

from __future__ import annotations

import hashlib
import os
import sys
from pathlib import Path

import torch

from eddymark.training.module import Training

PATTERN = "step-*.ckpt"


def keep(partial: Path, step: int) -> None:
    """Put a complete checkpoint in the place of the previous one.

    Its name holds its digest, so that the file and what it is checked against appear at once.

    Arguments:
        partial: the checkpoint, in the folder where it stays.
        step: finished steps.
    """
    with partial.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        os.fsync(file.fileno())
    final = partial.with_name(f"step-{step:08d}-{digest}.ckpt")
    os.replace(partial, final)
    for path in final.parent.glob(PATTERN):
        if path != final:
            path.unlink()


def find(work: Path, training: Training) -> Path | None:
    """Return the latest checkpoint that is whole and of this training; a line in the log says which one is not.

    Arguments:
        work: folder of the checkpoints; those that cannot be used are removed.
        training: what is to be resumed.
    """
    for path in sorted(work.glob(PATTERN), reverse=True):
        reason = _defect(path, training)
        if reason is None:
            return path
        print(f"the checkpoint {path} is not used ({reason})", file=sys.stderr)
        path.unlink()
    return None


def _defect(path: Path, training: Training) -> str | None:
    """Return why a checkpoint must not be used, None if it may be."""
    with path.open("rb") as file:
        if hashlib.file_digest(file, "sha256").hexdigest() != path.stem.rpartition("-")[2]:
            return "it is damaged"
    try:
        # Nothing in the file is executed: only tensors and plain values are accepted.
        content = torch.load(path, map_location="cpu", weights_only=True)
        stored = {name: value.shape for name, value in content["state_dict"].items()}
        expected = {name: value.shape for name, value in training.state_dict().items()}
        own = content["training"]["stream_seed"] == training.stream_seed and stored == expected
    except Exception:  # whatever a file that is no checkpoint makes torch raise
        return "it is not a checkpoint"
    return None if own else "it belongs to another training"
