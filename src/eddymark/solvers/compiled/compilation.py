"""How functions are compiled, and where the code is kept for later processes."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any, TypeVar, cast

import numba
from numba import njit, types

_CONFIG: Any = numba.config

Function = TypeVar("Function", bound=Callable[..., Any])


@cache
def code_folder() -> Path | None:
    """Return the folder of the compiled code of these sources; None if no place for it can be written.

    Its name holds a digest of all sources in this package: numba itself would only notice a change of the file that a
    function is in, not of those that it calls. It is beside the sources like other compiled code, or where they cannot
    be written in the user's cache.
    """
    here = Path(__file__).parent
    digest = hashlib.sha256(numba.__version__.encode())
    for source in sorted(here.glob("*.py")):
        digest.update(source.name.encode() + source.read_bytes())
    name = f"numba-{digest.hexdigest()[:16]}"
    user = Path(os.environ.get("XDG_CACHE_HOME") or Path("~/.cache").expanduser(), "eddymark")
    for parent in (here / "__pycache__", user):
        folder = parent / name
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=folder):
                return folder
        except (OSError, RuntimeError):
            continue
    print("no folder for compiled code can be written: this process compiles its own", file=sys.stderr)
    return None


def compiled(function: Function) -> Function:
    """Compile a function with loops over modes or points when it is first called; it runs without Python's lock."""
    return cast(Function, _dispatcher(function, optimisation=3))


def driver(function: Function) -> Function:
    """Compile a function that calls compiled ones, whose code is not optimised once more: that would take minutes."""
    return cast(Function, _dispatcher(function, optimisation=1))


def _dispatcher(function: Any, *, optimisation: int) -> Any:
    folder = code_folder()
    before, _CONFIG.CACHE_DIR = _CONFIG.CACHE_DIR, str(folder or "")
    try:
        # Fused multiply-add is the only liberty: with it results are as accurate and do not depend on anything else.
        decorate = njit(cache=folder is not None, nogil=True, error_model="numpy", fastmath={"contract"})
        dispatcher: Any = decorate(function)
    finally:
        _CONFIG.CACHE_DIR = before
    if folder is not None and Path(function.__code__.co_filename).parent == Path(__file__).parent:
        # The folder is of these sources; when they were written, which each checkout changes, does not matter.
        dispatcher._cache._cache_file._source_stamp = folder.name
    compile_function = dispatcher._compiler.compile

    def compile_alike(*arguments: Any) -> Any:
        before = _CONFIG.OPT, _CONFIG.LOOP_VECTORIZE
        _CONFIG.OPT, _CONFIG.LOOP_VECTORIZE = type(before[0])(optimisation), int(optimisation == 3)
        try:
            return compile_function(*arguments)
        finally:
            _CONFIG.OPT, _CONFIG.LOOP_VECTORIZE = before

    find_template = dispatcher.get_call_template

    def find_template_alike(arguments: tuple[Any, ...], named: dict[str, Any]) -> Any:
        # Otherwise each number that is written in a call would be a type, for which all were compiled once more.
        return find_template(tuple(map(types.unliteral, arguments)), named)

    dispatcher._compiler.compile = compile_alike
    dispatcher.get_call_template = find_template_alike
    return dispatcher


@contextlib.contextmanager
def compiling() -> Iterator[None]:
    """Keep other processes from compiling the same at the same time: they wait and then load the code."""
    folder = code_folder()
    if folder is None:
        yield
        return
    with (folder / "lock").open("a") as file:
        with contextlib.suppress(OSError):  # a file system without locks: then each compiles for itself
            fcntl.flock(file, fcntl.LOCK_EX)
        yield
