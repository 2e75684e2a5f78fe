"""Failures that a user can understand and act on; everything else that is raised is a bug."""

from __future__ import annotations


class EddymarkError(Exception):
    """An expected failure. Its text is the one line that the user sees."""
