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
