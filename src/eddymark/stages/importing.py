"""Stage 1 of a flow with a source: its fields, checked, filtered to the LES grid and cut into the three splits."""

from __future__ import annotations

import json
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import torch

from eddymark import __version__
from eddymark.config.schema import Experiment
from eddymark.external.importing import Import
from eddymark.flows.base import flow_attributes
from eddymark.flows.build import build_flow
from eddymark.flows.schedule import SPLITS
from eddymark.progress import Progress
from eddymark.stepping.build import select_device
from eddymark.storage import TrajectoryFile


def run(experiment: Experiment, flow_name: str, shard: int, *, results: Path, output: Path, work: Path) -> None:
    """Write `{train,validation,test}.zarr.zip` and `budget.csv` of one shard.

    Fields are read trajectory by trajectory and a few outputs at a time. `budget.csv` has what can be said about a
    state: nothing about how the data were made.

    Raises:
        SourceError: if the source does not fit the flow.
    """
    torch.set_num_threads(experiment.threads)
    flow = build_flow(experiment.flows[flow_name])
    imported = Import(flow, shard, device=select_device(experiment))
    catalogue = imported.catalogue
    total, done = sum(1 + stretch.last - stretch.first for stretch in imported.stretches), 0
    with ExitStack() as stack, Progress(f"import of {flow_name}, shard {shard}", total) as progress:
        files, reader = {}, stack.enter_context(imported.reader())
        for split in SPLITS:
            own = [stretch for stretch in imported.stretches if stretch.split == split]
            file = TrajectoryFile(
                output / f"{split}.zarr.zip",
                grid=flow.coarse_grid,
                outputs=1 + own[0].last - own[0].first,
                interval=flow.configuration.interval,
                turnover_time=flow.configuration.turnover_time,
                runs=[imported.run_of(stretch) for stretch in own],
            )
            files[split] = stack.enter_context(file)
            for number, stretch in enumerate(own):
                begin = 0
                for states in imported.states(stretch, reader):
                    file.write(number, begin, states)
                    begin += len(states)
                    done += len(states)
                    progress.update(done, f"trajectory {stretch.number}")
        for split, file in files.items():
            file.attributes = _attributes(experiment, flow_name, split, imported)
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
