"""Peaks of memory are those of the process itself."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from eddymark.memory import memory_growth, peak_memory_bytes

MEGABYTE = 2**20


@pytest.mark.skipif(sys.platform != "linux", reason="other systems count a new process from zero")
def test_the_peak_of_a_process_is_not_that_of_the_one_that_started_it() -> None:
    large = np.ones(600 * MEGABYTE, dtype=np.uint8)
    code = "from eddymark.memory import peak_memory_bytes; print(peak_memory_bytes())"
    found = int(subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout)
    assert peak_memory_bytes() > large.nbytes
    assert found < 300 * MEGABYTE


PIECES = """
import numpy as np
from eddymark.jobs import _prepare_process
from eddymark.memory import _status_bytes, give_back_unused_memory

_prepare_process(1, "generate")
small = []
large = [np.ones(2**21, dtype=np.uint8) for _ in range(100)]
for index in range(100):
    small.append(np.ones(2**16, dtype=np.uint8))  # after all, so that the heap cannot shrink from its end
del large
before = _status_bytes("VmRSS")
give_back_unused_memory()
print(before, _status_bytes("VmRSS"), sum(map(len, small)))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="others give memory back as they like")
def test_what_is_free_between_arrays_in_use_is_given_back() -> None:
    found = subprocess.run([sys.executable, "-c", PIECES], check=True, capture_output=True, text=True).stdout
    before, after, in_use = map(int, found.split())
    assert in_use == 100 * 2**16
    assert before - after > 150 * MEGABYTE


def test_growth_is_counted_from_now_and_the_peak_from_the_start() -> None:
    def work() -> int:
        return int(np.ones(100 * MEGABYTE, dtype=np.uint8).sum())

    np.ones(300 * MEGABYTE, dtype=np.uint8).sum()
    before = peak_memory_bytes()
    result, growth = memory_growth(work)
    assert result == 100 * MEGABYTE
    assert 90 * MEGABYTE < growth < 200 * MEGABYTE
    # The kernel counts each thread by itself and adds up now and then.
    assert peak_memory_bytes() > 0.99 * before
