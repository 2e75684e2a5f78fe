"""Writes results of a flow for other programs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from eddymark.config.findings import nearest_name
from eddymark.config.schema import Experiment, Flow
from eddymark.config.steppers import stepper_names
from eddymark.errors import EddymarkError
from eddymark.external.the_well import write_well
from eddymark.storage import open_trajectories

_SPLITS = {"train": "train", "validation": "valid", "test": "test"}
"""Splits and what The Well calls them."""


def export_flow(
    experiment: Experiment, flow_name: str, folder: Path, *, stepper: str | None, results: Path
) -> list[Path]:
    """Write data or rollouts as files of The Well and return their paths.

    The data go to `data/{train,valid,test}/<flow>.hdf5`, where The Well's own reader looks for them, rollouts to
    `<flow>-<stepper>.hdf5`.

    Arguments:
        experiment: the experiment.
        flow_name: one of its flows.
        folder: where to write.
        stepper: the stepper whose rollouts to write; None for the filtered data.
        results: root of the results.

    Raises:
        EddymarkError: if there is no such flow or stepper, results are missing, or a file is there already.
    """
    if flow_name not in experiment.flows:
        raise EddymarkError(_unknown("flow", flow_name, list(experiment.flows)))
    flow = experiment.flows[flow_name]
    wanted: dict[Path, list[Path]] = {}
    if stepper is None:
        for split, word in _SPLITS.items():
            shards = [results / flow_name / "generate" / f"{shard}" for shard in range(flow.sampling.shards)]
            wanted[folder / "data" / word / f"{flow_name}.hdf5"] = [shard / f"{split}.zarr.zip" for shard in shards]
    else:
        names = [name.folder for name in stepper_names(flow)]
        if stepper not in names:
            raise EddymarkError(_unknown("stepper", stepper, names))
        rollouts = results / flow_name / "validate" / stepper / "rollouts.zarr.zip"
        wanted[folder / f"{flow_name}-{stepper}.hdf5"] = [rollouts]
    if existing := [path for path in wanted if path.exists()]:
        raise EddymarkError(f"{existing[0]} exists already; choose another folder or remove it")
    for path, files in wanted.items():
        _write(path, files, flow, flow_name)
    return list(wanted)


def _write(path: Path, files: Sequence[Path], flow: Flow, flow_name: str) -> None:
    """Write one file beside its place and move it there when it is complete."""
    parts = [open_trajectories(file) for file in files]
    parameters = {"viscosity": flow.viscosity, "linear_drag": flow.linear_drag, "turnover_time": flow.turnover_time}
    partial = path.with_suffix(".part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_well(partial, parts, name=flow_name, parameters=parameters)
        partial.replace(path)
    except OSError as error:
        raise EddymarkError(f"{path}: cannot be written ({error.strerror or error})") from error
    finally:
        partial.unlink(missing_ok=True)


def _unknown(what: str, name: str, options: list[str]) -> str:
    nearest = nearest_name(name, options)
    hint = f"; did you mean {nearest}?" if nearest else ""
    return f"no {what} {name} in the experiment ({', '.join(options)}){hint}"
