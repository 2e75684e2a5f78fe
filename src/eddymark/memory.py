"""Memory of this process."""

from __future__ import annotations

import platform
import resource


def peak_memory_bytes() -> int:
    """Return the largest resident memory of this process so far."""
    # Linux counts in kilobytes, macOS in bytes.
    unit = 1 if platform.system() == "Darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
