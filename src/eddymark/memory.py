"""Memory of this process."""

from __future__ import annotations

import ctypes
import gc
import platform
import resource
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

Result = TypeVar("Result")

_STATUS = Path("/proc/self/status")
_RESET = Path("/proc/self/clear_refs")
_CONTROL_GROUP = (
    (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory.current")),
    (Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"), Path("/sys/fs/cgroup/memory/memory.usage_in_bytes")),
)
"""Limit and use of version 2 and 1, as a container sees its own."""
_EARLIER_PEAKS: list[int] = []
"""What the peaks were when the kernel was told to count anew."""


def peak_memory_bytes() -> int:
    """Return the largest resident memory of this process so far."""
    try:
        return max([_status_bytes("VmHWM"), *_EARLIER_PEAKS])
    except (OSError, KeyError):
        # On Linux this begins with the peak of the process that started this one. macOS counts in bytes.
        unit = 1 if platform.system() == "Darwin" else 1024
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def available_memory_bytes() -> int | None:
    """Return the memory that processes can still get, within the limit of this one's control group; None if unknown."""
    try:
        system = _status_bytes("MemAvailable", Path("/proc/meminfo"))
    except (OSError, KeyError):
        return None
    for limit, used in _CONTROL_GROUP:
        try:
            return min(system, int(limit.read_text()) - int(used.read_text()))
        except (OSError, ValueError):  # no such file, or "max"
            continue
    return system


def give_back_unused_memory() -> None:
    """Return what is free inside the heap to the system, on Linux.

    Jobs keep large arrays that were freed for the next ones (`jobs`). Where small arrays that live longer come between
    them, less and less of that fits, and the heap grows although what is in use does not.
    """
    if platform.system() == "Linux" and platform.libc_ver()[0] == "glibc":
        ctypes.CDLL(None).malloc_trim(0)


def memory_growth(work: Callable[[], Result]) -> tuple[Result, int]:
    """Return what a piece of work returns and by how many bytes the resident memory grew at its peak.

    Unused memory is given back to the system first and, on Linux, the peak is counted anew from there. Elsewhere only
    growth beyond the largest memory so far is seen.
    """
    gc.collect()
    give_back_unused_memory()
    peak = peak_memory_bytes()
    try:
        _RESET.write_text("5")
    except OSError:
        result = work()
        return result, peak_memory_bytes() - peak
    _EARLIER_PEAKS[:] = [peak]
    before = _status_bytes("VmRSS")
    result = work()
    return result, max(0, _status_bytes("VmHWM") - before)


def _status_bytes(field: str, account: Path = _STATUS) -> int:
    """Return a field of an account of the kernel, by default that of this process, which is in kilobytes."""
    for line in account.read_text().splitlines():
        name, _, value = line.partition(":")
        if name == field:
            return int(value.split()[0]) * 1024
    raise KeyError(field)
