"""Stores that are written output by output, so that no trajectory has to fit into memory."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
import zarr
from numpy.typing import NDArray

from eddymark.storage import chunk_shape, pack

Field = NDArray[np.float32]


class GrowingStore:
    """A labelled array in a folder, which becomes one zip file in the end, as `storage.write_trajectories` writes it.

    Each chunk is written once, when its last output has come; until then its outputs are in memory (`pending`). A
    computation that goes on from a checkpoint needs those, writes what comes later again, and ends with the same bytes.

    Arguments:
        folder: where the chunks are until then.
        template: dataset of one array `(trajectory, output, …)` with its labels; the values are not used.
    """

    def __init__(self, folder: Path, template: xr.Dataset) -> None:
        (self.name,) = map(str, template.data_vars)
        self.folder = folder
        self._template = template
        self._trajectories, self._outputs, *_ = template[self.name].shape
        self._chunks = chunk_shape(template[self.name])
        self._pending: dict[tuple[int, int], list[Field]] = {}
        self.files: list[Path] = []
        """What this process has written."""

    def start(self) -> None:
        """Make the folder anew, with the labels and nothing else."""
        shutil.rmtree(self.folder, ignore_errors=True)
        fields = self._template[self.name]
        self._template.drop_vars(self.name).to_zarr(self.folder, consolidated=False, zarr_format=2)
        zarr.open_group(self.folder, mode="r+").create_array(
            self.name,
            shape=fields.shape,
            chunks=self._chunks,
            dtype="float32",
            fill_value=np.nan,
            attributes={"_ARRAY_DIMENSIONS": [str(name) for name in fields.dims], **fields.attrs},
        )
        self.files = sorted(path for path in self.folder.rglob("*") if path.is_file())
        self._open()

    def resume(self, pending: Mapping[str, Field]) -> None:
        """Go on from the folder and from what was `pending`."""
        for path in self.folder.rglob("*.partial"):
            path.unlink()  # what zarr was writing when the process was killed
        self._pending = {_position(key): list(outputs) for key, outputs in pending.items()}
        self._open()

    def _open(self) -> None:
        array = zarr.open_group(self.folder, mode="r+")[self.name]
        assert isinstance(array, zarr.Array)
        # A chunk without a file would be one that is missing.
        self._array = array.with_config({"write_empty_chunks": True})

    @property
    def pending(self) -> dict[str, Field]:
        """Outputs that are in no chunk yet, `(output, …)`, by trajectory and chunk."""
        return {f"{trajectory}.{chunk}": np.stack(fields) for (trajectory, chunk), fields in self._pending.items()}

    def write(self, trajectory: int, output: int, field: Field) -> None:
        """Write an output of a trajectory, whose outputs come one after the other.

        Raises:
            ValueError: if an output before this one has not come.
        """
        length = self._chunks[1]
        chunk, place = divmod(output, length)
        outputs = self._pending.setdefault((trajectory, chunk), [])
        if place != len(outputs):
            raise ValueError(f"output {output} of trajectory {trajectory} comes out of turn")
        outputs.append(field)
        if place == length - 1 or output == self._outputs - 1:
            self._write_chunk(trajectory, chunk)

    def _write_chunk(self, trajectory: int, chunk: int) -> None:
        outputs = np.stack(self._pending.pop((trajectory, chunk)))
        others = (0,) * (len(self._chunks) - 2)
        path = self.folder / self.name / self._array.metadata.encode_chunk_key((trajectory, chunk, *others))
        # A kill may have left a part of it, which would be read where the last chunk is not full.
        path.unlink(missing_ok=True)
        first = chunk * self._chunks[1]
        self._array[trajectory, first : first + len(outputs)] = outputs
        self.files.append(path)

    def finish(self, path: Path, attributes: Mapping[str, Any]) -> None:
        """Pack the store, with attributes that are known only now, into a file.

        Raises:
            ValueError: if an output is missing.
        """
        expected = self._trajectories * -(-self._outputs // self._chunks[1])
        written = sum(1 for file in (self.folder / self.name).iterdir() if not file.name.startswith("."))
        if self._pending or written != expected:
            raise ValueError(f"{path}: {written} chunks, expected {expected}")
        zarr.open_group(self.folder, mode="r+").attrs.update(attributes)
        pack(self.folder, path)


def _position(key: str) -> tuple[int, int]:
    trajectory, chunk = key.split(".")
    return int(trajectory), int(chunk)
