"""Random streams that depend only on what they are for, never on the order or the place in which jobs run."""

from __future__ import annotations

import hashlib

import numpy as np


def generator(seed: int, *key: str | int) -> np.random.Generator:
    """Return the random stream of one purpose.

    The stream is that of `numpy.random.SeedSequence(seed, spawn_key=hash(key))`: equal for equal keys on every
    machine, independent for different keys. A resumed or reordered run therefore draws the same numbers.

    Arguments:
        seed: the experiment's seed.
        key: what the numbers are for, e.g. `("kolmogorov", "run", 3, "initial state")`.
    """
    digest = hashlib.sha256(repr(key).encode()).digest()
    words = tuple(int.from_bytes(digest[start : start + 4], "little") for start in range(0, 16, 4))
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(seed, spawn_key=words)))
