"""Fingerprints of source files, kept for the processes that follow: every job needs those of the whole package."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path

from eddymark.fingerprint import learn, learnt
from eddymark.records import record_text, write_atomically

FILE = ".work/sources.json"
"""Where the fingerprints are, relative to the results."""


@contextlib.contextmanager
def kept_fingerprints(results: Path) -> Iterator[None]:
    """Read no source file inside this block whose content was read before with these results.

    A file is known by its bytes and its place in the package, not by its time stamp, so that nothing can be out of
    date; fingerprints that are not as they were written are made again.

    Arguments:
        results: root of the results; where nothing can be written there, nothing is kept.
    """
    path, kept = results / FILE, {}
    with contextlib.suppress(OSError, ValueError, RecursionError, TypeError, LookupError, AttributeError):
        content = path.read_text(encoding="utf-8")
        if content == record_text(json.loads(content)):
            kept = json.loads(content)["modules"]
            learn(kept)
    yield
    if learnt().keys() - kept.keys():
        with contextlib.suppress(OSError):
            write_atomically(path, record_text({"modules": learnt()}))
