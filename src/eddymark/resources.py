"""What jobs need of a machine, from the configuration alone."""

from __future__ import annotations

import math

from eddymark.config.schema import Flow

PROCESS = 460_000_000
"""Bytes of a process with the libraries of a DNS, before it has a field."""
_FIELDS = 32
"""Real numbers per grid point which are there at the peak, beside states and work space of the steps: wavenumbers,
products of velocities on their way to the subgrid-scale stress, and what the allocator keeps of earlier ones."""
_CHUNK_BYTES = 2**24
"""Outputs of a run that wait for their chunk to be full (`storage.CHUNK_BYTES`)."""
_WINDOW_CACHE = 2**30
"""Trajectories that a training keeps (`training.windows.CACHE_BYTES`)."""
_LEAST = 4000
MARGIN = 1.25
"""What is asked for over what is predicted: allocators keep more than arrays need."""


def generate_memory(flow: Flow, *, threads: int) -> int:
    """Return the peak resident memory of a job that simulates the data of a flow, bytes; measured by `make bench`.

    Of n points, (4/27) n complex modes of each component are kept in 3-D, (2/9) n in 2-D. Runs that go together have
    four states each: that at the beginning of an output interval, the present one, and a copy of both while steps are
    taken. A thread that advances them has two more and, in 3-D, 5 fields between the transforms of two axes.

    Arguments:
        flow: the flow.
        threads: threads of the job.
    """
    simulation = flow.direct_numerical_simulation
    if simulation is None:
        return PROCESS
    dimension = len(simulation.points)
    state = dimension * 2 * (4 / 27 if dimension == 3 else 2 / 9)
    lines = 5 * 2 * (2 / 9) if dimension == 3 else 2
    together = 1 if flow.is_transient else -(-flow.runs // flow.sampling.shards)
    numbers = _FIELDS + 4 * state * together + (2 * state + lines) * min(threads, together)
    number = {"float32": 4, "float64": 8}[simulation.precision]
    output = 4 * dimension * math.prod(flow.large_eddy_grid.points)
    fields = math.prod(simulation.points) * number * numbers
    return round(PROCESS + fields + together * max(_CHUNK_BYTES, output))


def generate_mem_mb(flow: Flow, *, threads: int) -> int:
    """Return what such a job asks a cluster for, megabytes: a quarter more than it needs, and not less than others."""
    return max(_LEAST, math.ceil(MARGIN * generate_memory(flow, threads=threads) / 2**20))


TRAINING_PROCESS = 1_400_000_000
"""Bytes of the process of a training with a small model: libraries, compiled solvers, what is set up on first use."""
_COPIES = 5
"""Copies of all weights that a training holds: themselves, their average, AdamW's two moments, the best average."""


def training_memory(*, weights: int, work: int) -> int:
    """Return the peak memory of a training on its device beside data and process, bytes.

    Arguments:
        weights: bytes of the weights.
        work: bytes of what comes and goes: the arrays of a step with its gradients, or of a validation.
    """
    # A better average is there before the earlier one goes, and so are the gradients of the last step.
    return _COPIES * weights + max(work, 2 * weights)


def training_host_memory(flow: Flow) -> int:
    """Return what a training needs beside the memory of its device: the process, and the trajectories that it keeps."""
    numbers = len(flow.sides) * math.prod(flow.large_eddy_grid.points)
    outputs = flow.trajectories("train") * (1 + flow.sampling.splits.train.length / flow.sampling.interval)
    return TRAINING_PROCESS + round(min(_WINDOW_CACHE, 4 * numbers * outputs))
