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
_LEAST = 4000
_MARGIN = 1.25


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
    return max(_LEAST, math.ceil(_MARGIN * generate_memory(flow, threads=threads) / 2**20))
