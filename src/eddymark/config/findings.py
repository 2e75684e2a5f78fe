"""What is wrong with a configuration, one line per finding."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from eddymark.errors import EddymarkError


@dataclass(frozen=True)
class Problem:
    """A finding whose file is not known yet.

    Arguments:
        path: keys from the section that was checked to the value.
        expected: what should stand there, in words.
        found: what stands there, in words.
        nearest: the valid name most like the one found.
    """

    path: tuple[str | int, ...]
    expected: str
    found: str
    nearest: str | None = None


@dataclass(frozen=True)
class Finding:
    """One thing to correct: the file and the dotted key where it stands, and what should stand there."""

    file: str
    key: str
    expected: str
    found: str
    nearest: str | None = None

    def __str__(self) -> str:
        hint = f"; did you mean {self.nearest}?" if self.nearest else ""
        line = f"{self.file}: {self.key}: expected {self.expected}, found {self.found}{hint}"
        return " ".join(line.split())


class ConfigurationError(EddymarkError):
    """The configuration cannot be used; `findings` holds everything that is wrong with it."""

    def __init__(self, findings: Sequence[Finding]) -> None:
        self.findings = tuple(findings)
        super().__init__("\n".join(str(finding) for finding in self.findings))


def show(value: Any) -> str:
    """Return a value as it should appear in a finding: short and on one line."""
    if value is None:
        return "nothing"
    text = str(list(value)) if isinstance(value, tuple) else repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def nearest_name(name: object, options: Iterable[str]) -> str | None:
    """Return the option most like a name, if any is."""
    matches = difflib.get_close_matches(str(name), list(options), n=1, cutoff=0.5)
    return matches[0] if matches else None


def unknown_name(path: tuple[str | int, ...], name: object, what: str, options: Iterable[str]) -> Problem:
    """Return the problem of a name that is not one of the registered ones."""
    options = sorted(options)
    return Problem(path, f"{what} ({', '.join(options)})", show(name), nearest_name(name, options))
