"""What the machine refuses (space, permission, memory), each in one line that says what to do."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from eddymark.errors import EddymarkError

_NO_SPACE = ("no space left on device", "os error 28", "errno = 28", "quota exceeded")
_NO_MEMORY = ("out of memory", "can't allocate memory", "cannot allocate memory", "unable to allocate")
_NEARLY_NOTHING = 2**16
"""Some libraries say only that writing failed; with less than this free, in bytes, the reason is clear."""


def explain(error: BaseException, results: Path) -> str | None:
    """Return one line for a failure of the machine, None for a failure of anything else.

    Arguments:
        error: what was raised.
        results: root of the results, on whose file system jobs write.
    """
    chain = list(_chain(error))
    numbers = {one.errno for one in chain if isinstance(one, OSError)}
    texts = [str(one).lower() for one in chain]
    if (
        numbers & {errno.ENOSPC, errno.EDQUOT}
        or any(sign in text for sign in _NO_SPACE for text in texts)
        or (isinstance(error, OSError | RuntimeError) and free_space(results) < _NEARLY_NOTHING)
    ):
        return f"no space left on {results}; free some and run again"
    for one in chain:
        if isinstance(one, OSError) and one.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            return f"{_not_writable(Path(one.filename or results), one)}"
    if any(isinstance(one, MemoryError) for one in chain) or any(s in text for s in _NO_MEMORY for text in texts):
        return (
            f"not enough memory ({' '.join(str(error).split())[:200]}); "
            "run fewer jobs at once (--cores), or lower points, width or batch_size"
        )
    return None


def free_space(folder: Path) -> int:
    """Return the free bytes of the file system on which a folder is, or would be."""
    for existing in (folder, *folder.absolute().parents):
        with contextlib.suppress(OSError):
            return shutil.disk_usage(existing).free
    return 0


def require_writable(results: Path) -> None:
    """Make the folder of the results if it is missing.

    Raises:
        EddymarkError: if nothing can be written there.
    """
    try:
        (results / ".work").mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=results / ".work") as file:
            file.write(b"\0")
    except (FileExistsError, NotADirectoryError):
        raise EddymarkError(f"{results} is not a folder; choose another one with --config results=FOLDER") from None
    except OSError as error:
        raise EddymarkError(explain(error, results) or _not_writable(results, error)) from None


def _not_writable(path: Path, error: OSError) -> str:
    reason = (error.strerror or "cannot be written").lower()
    return f"{path}: {reason}; make it writable or choose another folder with --config results=FOLDER"


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def killed_hint(text: str) -> str | None:
    """Return one line about jobs that the system killed, None if the log of a workflow tells of none.

    Arguments:
        text: the log of Snakemake.
    """
    signs = ("Signals.SIGKILL", "exit status 137", "exit code 137", "exit status -9", "exit code -9")
    if not any(sign in text for sign in signs):
        return None
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return (
        "a job was killed by the system (SIGKILL), most likely because memory ran out: run again with fewer --cores; "
        f"this machine has {memory / 1e9:.0f} GB"
    )
