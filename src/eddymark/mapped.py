"""Tensors in files: the system moves what is not in use out of memory."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor


def mapped_tensor(path: Path, shape: Sequence[int], dtype: torch.dtype) -> Tensor:
    """Return a tensor of zeros in a file, which is made anew.

    Its memory counts as the system's file cache: pages go to the disk when others need the room.

    Arguments:
        path: the file; of use to nobody when the tensor is gone.
        shape, dtype: of the tensor.

    Raises:
        OSError: if there is no room on the disk; later it would kill the process.
    """
    size = math.prod(shape)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    with path.open("wb") as file:
        if hasattr(os, "posix_fallocate"):  # not on macOS
            os.posix_fallocate(file.fileno(), 0, size * dtype.itemsize)
        else:
            file.truncate(size * dtype.itemsize)
    return torch.from_file(str(path), shared=True, size=size, dtype=dtype).reshape(*shape)
