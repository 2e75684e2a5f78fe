"""Checkpoints of long computations: where a killed DNS or rollout goes on, with the same bytes at the end."""

from __future__ import annotations

import hashlib
import json
import math
import os
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from eddymark.errors import EddymarkError
from eddymark.records import write_atomically

SECONDS = "EDDYMARK_CHECKPOINT_SECONDS"
"""Environment variable with the shortest time between two checkpoints; 0: one whenever there can be one."""

MANIFEST = "checkpoint.json"
_DEFAULT_SECONDS = 60.0
_SHARE = 0.01
"""Checkpoints take at most this share of the time."""


@dataclass(frozen=True)
class Checkpoint:
    """What a computation goes on from.

    Arguments:
        done: finished units of work.
        state: tensors that the next unit starts from.
        parts: what has been made so far, one tensor per entry, read as it is asked for.
        facts: anything else, as JSON has it.
    """

    done: int
    state: dict[str, Tensor]
    parts: dict[str, Iterable[Tensor]]
    facts: dict[str, Any]


class Checkpoints:
    """The checkpoint of one computation in a folder that survives a kill.

    Each file is written beside its place, flushed to the disk and renamed. The manifest, which comes last, names the
    files of the checkpoint with their digests, so that a kill at any moment leaves the previous checkpoint or the new
    one. What was stored once (`parts`) is not written again, and what a computation has written to files of its own
    (`written`) is not copied.

    Arguments:
        folder: where the files are.
        key: what is computed; a checkpoint with another key, or of another version of torch, is not used.

    Raises:
        EddymarkError: if the environment variable `SECONDS` is not a time.
    """

    def __init__(self, folder: Path, key: Mapping[str, Any]) -> None:
        self.folder = folder
        self._key = json.loads(json.dumps({**key, "torch": torch.__version__}))
        self._interval = _interval()
        self._files: dict[str, str] = {}
        self._stored: dict[str, int] = {}
        self._duration = 0.0
        self._started = self._last = time.monotonic()
        self.seconds_before = 0.0
        """Time that earlier processes spent on what the loaded checkpoint holds."""

    def load(self) -> Checkpoint | None:
        """Return the stored checkpoint; None if there is none or, with a line in the log, if it cannot be used."""
        try:
            return self._read()
        except FileNotFoundError:
            pass
        except (OSError, ValueError, KeyError, TypeError, AttributeError, SafetensorError) as error:
            reason = str(error) if isinstance(error, _UnusableError) else "it is damaged"
            print(f"the checkpoint in {self.folder} is not used ({reason}): starting again", file=sys.stderr)
        self._files, self._stored = {}, {}
        self._remove_others()
        return None

    def due(self) -> bool:
        """Return whether it is time for a checkpoint."""
        rest = max(self._interval, self._duration / _SHARE) if self._interval else 0.0
        return time.monotonic() - self._last >= rest

    def save(
        self,
        done: int,
        *,
        state: Mapping[str, Tensor],
        parts: Mapping[str, Sequence[Tensor]],
        facts: Mapping[str, Any] | None = None,
        written: Sequence[Path] = (),
    ) -> None:
        """Store a checkpoint in the place of the previous one; if there is no room, say so and keep the previous one.

        Arguments:
            done: finished units of work.
            state: tensors that the next unit starts from.
            parts: everything made so far, in lists that only ever grow; the entries of a list have equal shapes.
            facts: anything else that JSON can hold.
            written: other complete files in the folder, at any depth, that the computation goes on from; all that this
                process has written.
        """
        began = time.monotonic()
        fresh = {name: list(entries[self._stored.get(name, 0) :]) for name, entries in parts.items()}
        tensors = {
            f"part-{done:08d}.safetensors": {name: torch.stack(new) for name, new in fresh.items() if new},
            f"state-{done:08d}.safetensors": dict(state),
        }
        try:
            files = {name: digest for name, digest in self._files.items() if not name.startswith("state-")}
            files |= {name: self._write(name, content) for name, content in tensors.items() if content}
            for path in written:
                if (name := path.relative_to(self.folder).as_posix()) not in files:
                    files[name] = _durable_digest(path)
            content = {
                "key": self._key,
                "done": done,
                "seconds": self.seconds_before + began - self._started,
                "files": files,
                "facts": dict(facts or {}),
            }
            write_atomically(self.folder / MANIFEST, json.dumps({"digest": _text_digest(content), "content": content}))
        except (OSError, SafetensorError) as error:
            print(f"no checkpoint after {done}: {error}", file=sys.stderr)
        else:
            self._files = files
            self._stored = {name: len(entries) for name, entries in parts.items()}
        self._remove_others()
        self._last = time.monotonic()
        self._duration = self._last - began

    def _read(self) -> Checkpoint:
        stored = json.loads((self.folder / MANIFEST).read_text(encoding="utf-8"))
        content = stored["content"]
        if stored["digest"] != _text_digest(content):
            raise _UnusableError("it is damaged")
        if content["key"] != self._key:
            raise _UnusableError("it belongs to another computation")
        for name, digest in content["files"].items():
            if not (self.folder / name).is_file() or _digest(self.folder / name) != digest:
                raise _UnusableError(f"{name} is damaged")
        state: dict[str, Tensor] = {}
        counts: Counter[str] = Counter()
        for name in sorted(content["files"]):
            if name.startswith("state-"):
                # A copy is aligned in memory like any other tensor; a transform of the file's own bytes could round
                # differently.
                state = {key: value.clone() for key, value in load_file(self.folder / name).items()}
            elif name.startswith("part-"):
                with safe_open(self.folder / name, framework="pt") as file:
                    keys = list(file.keys())
                    counts.update({key: file.get_slice(key).get_shape()[0] for key in keys})
        self._files = content["files"]
        self._stored = dict(counts)
        parts: dict[str, Iterable[Tensor]] = {key: self._parts(key) for key in counts}
        self.seconds_before = content["seconds"]
        self._remove_others()
        return Checkpoint(content["done"], state, parts, content["facts"])

    def _parts(self, key: str) -> Iterator[Tensor]:
        """Yield the stored entries of a list, a file at a time."""
        for name in sorted(name for name in self._files if name.startswith("part-")):
            with safe_open(self.folder / name, framework="pt") as file:
                if key in set(file.keys()):
                    yield from file.get_tensor(key)

    def _write(self, name: str, tensors: Mapping[str, Tensor]) -> str:
        """Write tensors to a file and return its digest."""
        self.folder.mkdir(parents=True, exist_ok=True)
        temporary = self.folder / f".{name}"
        save_file({key: value.detach().cpu().contiguous() for key, value in tensors.items()}, temporary)
        digest = _durable_digest(temporary)
        os.replace(temporary, self.folder / name)
        return digest

    def _remove_others(self) -> None:
        """Remove files that no longer belong to the checkpoint, or never did because of a kill."""
        kept = {MANIFEST, *self._files} if self._files else set()
        for pattern in ("*.safetensors", ".*.safetensors", f"{MANIFEST}*", f".{MANIFEST}*"):
            for path in self.folder.glob(pattern):
                if path.name not in kept:
                    path.unlink(missing_ok=True)


class _UnusableError(ValueError):
    """A checkpoint that was read but must not be used."""


def _interval() -> float:
    text = os.environ.get(SECONDS, "")
    try:
        seconds = float(text or _DEFAULT_SECONDS)
    except ValueError:
        seconds = math.nan
    if not (math.isfinite(seconds) and seconds >= 0):
        raise EddymarkError(f"{SECONDS}: expected a number of seconds, found {text!r}")
    return seconds


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _durable_digest(path: Path) -> str:
    """Return the digest of a file and make sure that the file is on the disk."""
    digest = _digest(path)
    with path.open("rb") as file:
        os.fsync(file.fileno())
    return digest


def _text_digest(content: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
