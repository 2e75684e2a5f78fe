"""FFTW as pyFFTW installs it: plans with any strides, and how compiled code executes them."""

from __future__ import annotations

import ctypes
import threading
from functools import cache
from typing import Any

import llvmlite.binding
import numpy as np
import pyfftw.pyfftw
from numba import types
from numba.extending import overload
from numpy.typing import NDArray

_LIBRARY = ctypes.CDLL(pyfftw.pyfftw.__file__)  # looking up a symbol here finds it in the FFTW that pyFFTW brings
_PREFIXES = {"complex64": "fftwf", "complex128": "fftw"}
_ALIGNMENT = 64
_ESTIMATE = 1 << 6
_PLANNING = threading.Lock()

for _prefix in _PREFIXES.values():
    _execute = ctypes.cast(getattr(_LIBRARY, f"{_prefix}_execute_dft"), ctypes.c_void_p).value
    llvmlite.binding.add_symbol(f"{_prefix}_execute_dft", _execute)


class _Loop(ctypes.Structure):
    _fields_ = (("count", ctypes.c_ssize_t), ("source", ctypes.c_ssize_t), ("target", ctypes.c_ssize_t))


@cache
def plan(
    dtype: str,
    points: int,
    strides: tuple[int, int],
    columns: int,
    distances: tuple[int, int],
    *,
    inverse: bool,
) -> int:
    """Return the address of an FFTW plan for complex transforms of many columns between two aligned arrays.

    The plan is FFTW's estimate: measured plans are no faster for these small sets of columns in the cache, and they
    change from process to process, and with them the last digits of every result.

    Arguments:
        dtype: `"complex64"` or `"complex128"`.
        points: length of the transform.
        strides: complex numbers between the points of source and target.
        columns: number of transforms.
        distances: complex numbers between the columns of source and target.
        inverse: the sign of the exponent is positive.
    """
    prefix = _PREFIXES[dtype]
    make = getattr(_LIBRARY, f"{prefix}_plan_guru64_dft")
    make.restype = ctypes.c_void_p
    extent = [1 + (points - 1) * s + (columns - 1) * d for s, d in zip(strides, distances, strict=True)]
    source, target = (aligned((size,), dtype) for size in extent)
    with _PLANNING:
        address = make(
            ctypes.c_int(1),
            ctypes.byref(_Loop(points, *strides)),
            ctypes.c_int(1),
            ctypes.byref(_Loop(columns, *distances)),
            ctypes.c_void_p(source.ctypes.data),
            ctypes.c_void_p(target.ctypes.data),
            ctypes.c_int(1 if inverse else -1),
            ctypes.c_uint(_ESTIMATE),
        )
    if not address:
        raise RuntimeError(f"FFTW has no plan for {points} points")
    return int(address)


def aligned(shape: tuple[int, ...], dtype: str) -> NDArray[Any]:
    """Return an array of zeros whose data begin where vector instructions want them."""
    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    raw = np.zeros(size + _ALIGNMENT, dtype=np.uint8)
    start = -raw.ctypes.data % _ALIGNMENT
    return raw[start : start + size].view(dtype).reshape(shape)


def aligned_count(count: int, dtype: str) -> int:
    """Return the number of elements, not fewer than `count`, which fills whole cache lines."""
    line = _ALIGNMENT // np.dtype(dtype).itemsize
    return -(-count // line) * line


def execute(plan: int, source: NDArray[Any], target: NDArray[Any]) -> None:
    """Execute a plan from compiled code; both arrays begin at a multiple of 64 bytes."""
    raise NotImplementedError("for compiled code")


@overload(execute, strict=False)
def _compile_execute(plan: Any, source: Any, target: Any) -> Any:
    signature = types.void(types.intp, types.uintp, types.uintp)
    complex_dtype = source.dtype if source.dtype in types.complex_domain else target.dtype
    call: Any = types.ExternalFunction(f"{_PREFIXES[str(complex_dtype)]}_execute_dft", signature)

    def implementation(plan: int, source: NDArray[Any], target: NDArray[Any]) -> None:
        call(plan, source.ctypes.data, target.ctypes.data)

    return implementation
