"""Which of the processes of a training this one is: they share the work, and the first of them writes the results."""

from __future__ import annotations

import os
from dataclasses import dataclass

from eddymark.config.training import Parallel
from eddymark.errors import EddymarkError


@dataclass(frozen=True)
class Rank:
    """Place of this process among those of one training.

    Arguments:
        index: number among all processes; number 0 writes.
        local: number among those on the same node, which is also the number of its GPU there.
        count: number of all processes.
    """

    index: int = 0
    local: int = 0
    count: int = 1


def this_rank(parallel: Parallel) -> Rank:
    """Return the place of this process, which whoever started it left in the environment.

    On one node, Lightning starts the others from the first one (`LOCAL_RANK`). On several nodes Slurm starts all of
    them (`srun`).

    Arguments:
        parallel: on how many devices and nodes the model is trained.

    Raises:
        EddymarkError: if the training needs several nodes and Slurm has not started one process for each device.
    """
    count = parallel.devices * parallel.nodes
    if parallel.nodes == 1:
        index = int(os.environ.get("LOCAL_RANK", 0)) if count > 1 else 0
        return Rank(index, index, count)
    # The variable of the step, not of the job: a batch script has the job's, but is a single process.
    started = int(os.environ.get("SLURM_STEP_NUM_TASKS", 1))
    if started != count:
        raise EddymarkError(
            f"training on {parallel.nodes} nodes with {parallel.devices} devices each needs {count} processes "
            f"started by Slurm, not {started}: run it with --profile profiles/slurm"
        )
    return Rank(int(os.environ["SLURM_PROCID"]), int(os.environ["SLURM_LOCALID"]), count)
