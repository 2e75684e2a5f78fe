"""Which files a source consists of, in which order."""

from __future__ import annotations

import glob
import re
from pathlib import Path

from eddymark.config.source import Source


def source_files(source: Source) -> list[list[Path]]:
    """Return the files and stores that each entry of `files` stands for, in the order of the numbers in their names.

    A pattern that matches nothing gives an empty list.
    """
    return [_matches(pattern) for pattern in source.files]


def _matches(pattern: str) -> list[Path]:
    if Path(pattern).exists():
        return [Path(pattern)]
    return [Path(path) for path in sorted(glob.glob(pattern, recursive=True), key=_numerically)]


def _numerically(name: str) -> list[tuple[int, str]]:
    """Return a key that puts `u9` before `u10`."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", name)]
