"""Stops a computation right after one of its checkpoints, as a kill would."""

from __future__ import annotations

from typing import Any

import pytest

from eddymark.checkpoints import SECONDS, Checkpoints


class StoppedError(Exception):
    """What the kill is for the test."""


def stop_after_checkpoint(number: int, patch: pytest.MonkeyPatch) -> None:
    """Store a checkpoint after every output, and raise `StoppedError` after the given one."""
    original = Checkpoints.save
    saved = 0

    def save(self: Checkpoints, *arguments: Any, **keywords: Any) -> None:
        nonlocal saved
        original(self, *arguments, **keywords)
        saved += 1
        if saved == number:
            raise StoppedError

    patch.setenv(SECONDS, "0")
    patch.setattr(Checkpoints, "save", save)
