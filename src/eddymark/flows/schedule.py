"""Which outputs of which runs become training, validation and test data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from eddymark.config.schema import Stretch
from eddymark.flows.base import Flow
from eddymark.flows.unfiltered import kept_outputs

SPLITS = ("train", "validation", "test")
STRESS_OUTPUTS = 4
"""Outputs of each test trajectory, evenly spread, in which the true subgrid-scale stress is kept."""


def stretches(flow: Flow) -> dict[str, list[tuple[int, int]]]:
    """Return for each split the first and last output (inclusive) of its stretches, counted from the start of a run.

    In a transient flow, all splits begin at the end of the spin-up: they are cut from runs of their own.
    """
    sampling = flow.configuration.sampling
    gap = round((sampling.gap or 0) / sampling.interval)
    position = round(sampling.spin_up / sampling.interval)
    cut: dict[str, list[tuple[int, int]]] = {}
    for split in SPLITS:
        section: Stretch = getattr(sampling.splits, split)
        cut[split] = []
        for _ in range(section.stretches or 1):
            last = position + round(section.length / sampling.interval)
            cut[split].append((position, last))
            if not flow.configuration.is_transient:
                position = last + gap
    return cut


@dataclass(frozen=True)
class Batch:
    """Runs that are integrated together.

    Arguments:
        runs: their numbers.
        stretches: first and last output (inclusive) of what is kept for each split.
        stress_outputs: outputs of each test trajectory in which the true stress is kept, counted from its first one.
        state_outputs: outputs of each trajectory of a split in which the state itself is kept, likewise.
    """

    runs: tuple[int, ...]
    stretches: dict[str, list[tuple[int, int]]]
    stress_outputs: list[int]
    state_outputs: dict[str, list[int]]

    @property
    def outputs(self) -> int:
        """Number of outputs of each run, the initial state included."""
        return self.kept[-1] + 1

    @cached_property
    def kept(self) -> list[int]:
        """Outputs that belong to a split, ascending."""
        return sorted({output for cuts in self.stretches.values() for a, b in cuts for output in range(a, b + 1)})

    @cached_property
    def stressed(self) -> list[int]:
        """Outputs in which the true stress is kept, ascending."""
        return self._absolute("test", self.stress_outputs)

    @cached_property
    def unfiltered(self) -> list[int]:
        """Outputs in which the state itself is kept, ascending."""
        return sorted({one for split, chosen in self.state_outputs.items() for one in self._absolute(split, chosen)})

    def _absolute(self, split: str, chosen: list[int]) -> list[int]:
        """Return outputs of the trajectories of a split, counted from the start of the run, ascending."""
        return sorted({begin + output for begin, _ in self.stretches[split] for output in chosen})


def batches(flow: Flow, runs: Sequence[int]) -> list[Batch]:
    """Return the runs of a shard in the order of their integration.

    Runs of a steady flow go together, as they all are equally long. Each run of a transient flow belongs to one split
    and is integrated by itself: its bytes then hang neither on the other runs nor on the number of shards.
    """
    cuts = stretches(flow)
    stress_outputs = spread_outputs(cuts["test"])
    state_outputs = kept_outputs(cuts, stress_outputs)
    if not flow.configuration.is_transient:
        return [Batch(tuple(runs), cuts, stress_outputs, state_outputs)]
    own = [flow.configuration.split_of(run) for run in runs]
    return [
        Batch((run,), {split: cuts[split] if split == mine else [] for split in SPLITS}, stress_outputs, state_outputs)
        for run, mine in zip(runs, own, strict=True)
    ]


def spread_outputs(cuts: list[tuple[int, int]]) -> list[int]:
    """Return up to `STRESS_OUTPUTS` outputs, evenly spread over stretches of equal length, counted from their start."""
    last = cuts[0][1] - cuts[0][0]
    return sorted({round(last * index / (STRESS_OUTPUTS - 1)) for index in range(STRESS_OUTPUTS)})
