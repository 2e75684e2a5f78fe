"""Which stretch of which trajectory becomes training, validation or test data."""

from __future__ import annotations

from dataclasses import dataclass

from eddymark.external.catalogue import Catalogue
from eddymark.external.store import SourceError
from eddymark.flows.base import Flow
from eddymark.flows.schedule import SPLITS, stretches


@dataclass(frozen=True)
class Stretch:
    """One trajectory of a split.

    Arguments:
        split: train, validation or test.
        number: the trajectory of the source.
        first, last: its first and last output (inclusive), counted in `sampling.interval`.
    """

    split: str
    number: int
    first: int
    last: int


def select(flow: Flow, shard: int) -> list[Stretch]:
    """Return the stretches of one shard, split by split.

    Without `source.trajectories`, each trajectory is cut as a simulated run is: training, validation and test
    stretches one after the other, a gap between any two. With it, the stretches of a split begin at the end of the
    spin-up of its own trajectories.
    """
    source, sampling = flow.configuration.source, flow.configuration.sampling
    assert source is not None
    chosen, begin = source.trajectories, round(sampling.spin_up / sampling.interval)
    selected = []
    for split in SPLITS:
        cuts = stretches(flow)[split]
        numbers = range(flow.configuration.runs) if chosen is None else getattr(chosen, split)
        shift = 0 if chosen is None else cuts[0][0] - begin
        selected += [
            Stretch(split, number, first - shift, last - shift)
            for number in numbers[shard :: sampling.shards]
            for first, last in cuts
        ]
    return selected


def check_lengths(flow: Flow, catalogue: Catalogue) -> None:
    """Check that the trajectories of a source are long enough for what is cut from them.

    Raises:
        SourceError: for the first that is not.
    """
    for shard in range(flow.configuration.sampling.shards):
        for stretch in select(flow, shard):
            trajectory = catalogue.trajectories[stretch.number]
            if trajectory.outputs <= stretch.last:
                raise SourceError(
                    f"{trajectory.segments[0].path}, trajectory {stretch.number}",
                    f"{stretch.last + 1} outputs {flow.configuration.sampling.interval:g} turnover times apart "
                    f"({stretch.split} data: spin_up, stretches and gaps of sampling)",
                    f"{trajectory.outputs}",
                )


def check_independence(flow: Flow, catalogue: Catalogue) -> list[str]:
    """Return a warning if trajectories of different splits were cut from one run."""
    chosen = flow.configuration.source.trajectories if flow.configuration.source is not None else None
    if chosen is None:
        return []
    runs = {split: {catalogue.trajectories[n].run for n in getattr(chosen, split)} for split in SPLITS}
    shared = (runs["train"] | runs["validation"]) & runs["test"]
    if not shared:
        return []
    return [f"test trajectories share run {min(shared)} with training or validation; was there a gap between them?"]
