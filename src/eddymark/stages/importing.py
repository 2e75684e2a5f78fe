"""Stage 1 of a flow with a source: its fields, checked, filtered to the LES grid and cut into the three splits."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch

from eddymark import __version__
from eddymark.config.schema import Experiment
from eddymark.execution import select_device
from eddymark.external.importing import Import
from eddymark.flows.base import flow_attributes
from eddymark.flows.build import build_flow
from eddymark.flows.schedule import SPLITS
from eddymark.growing_store import GrowingStore
from eddymark.progress import Progress
from eddymark.storage import trajectory_dataset


def run(experiment: Experiment, flow_name: str, shard: int, *, results: Path, output: Path, work: Path) -> None:
    """Write `{train,validation,test}.zarr.zip` and `budget.csv` of one shard.

    Fields are read trajectory by trajectory and a few outputs at a time, and written to `work` as they come.
    `budget.csv` has what can be said about a state: nothing about how the data were made.

    Raises:
        SourceError: if the source does not fit the flow.
    """
    torch.set_num_threads(experiment.threads)
    flow = build_flow(experiment.flows[flow_name])
    imported = Import(flow, shard, device=select_device(experiment))
    catalogue = imported.catalogue
    total, done = sum(1 + stretch.last - stretch.first for stretch in imported.stretches), 0
    stores: dict[str, GrowingStore] = {}
    with imported.reader() as reader, Progress(f"import of {flow_name}, shard {shard}", total) as progress:
        for split in SPLITS:
            own = [stretch for stretch in imported.stretches if stretch.split == split]
            shape = (len(own), 1 + own[0].last - own[0].first, flow.coarse_grid.dimension, *flow.coarse_grid.points)
            template = trajectory_dataset(
                np.broadcast_to(np.float32(0), shape),
                grid=flow.coarse_grid,
                interval=flow.configuration.interval,
                turnover_time=flow.configuration.turnover_time,
                attributes={},
                runs=[imported.run_of(stretch) for stretch in own],
            )
            stores[split] = GrowingStore(work / f"{split}.zarr", template)
            stores[split].start()
            for number, stretch in enumerate(own):
                begin = 0
                for states in imported.states(stretch, reader):
                    for place, state in enumerate(states, begin):
                        stores[split].write(number, place, state)
                    begin += len(states)
                    done += len(states)
                    progress.update(done, f"trajectory {stretch.number}")
    for split, store in stores.items():
        store.finish(output / f"{split}.zarr.zip", _attributes(experiment, flow_name, split, imported))
    imported.summary.budget().to_csv(output / "budget.csv", index=False, float_format="%.7g")
    kinds = ", ".join(catalogue.layouts)
    print(f"{flow_name}: {catalogue.files} files ({kinds}), grid {list(catalogue.points)}", file=sys.stderr)
    if not flow.configuration.is_transient:
        measured, nominal = imported.summary.mean_scales()["turnover_time"], flow.configuration.turnover_time
        print(f"{flow_name}: turnover time measured {measured:.4g}, configured {nominal:g}", file=sys.stderr)
    for doubt in imported.doubts():
        print(f"WARNING: {flow_name}: {doubt}", file=sys.stderr)


def _attributes(experiment: Experiment, flow_name: str, split: str, imported: Import) -> dict[str, Any]:
    flow = experiment.flows[flow_name]
    return {
        "title": f"imported fields of {flow_name}",
        "flow": flow_name,
        "split": split,
        "source_layout": ", ".join(imported.catalogue.layouts),
        "source_points": list(imported.catalogue.points),
        "source_files": imported.catalogue.files,
        "source_doubts": json.dumps(imported.doubts()),
        "source_divergence": float(imported.summary.budget()["divergence"].max()),
        **flow_attributes(flow),
        # Averages over time say little of a flow that changes all the time.
        **({} if flow.is_transient else imported.summary.mean_scales()),
        "seed": experiment.seed,
        "code_version": __version__,
    }
