"""The pipeline of DVC: `dvc.yaml` written from the configuration, and what keeps it from being silently wrong.

DVC decides by hashes of files and parameters, the workflow by signatures. They agree because the only parameter of
a stage is the signature that its job should have, which the first stage writes to `results/plan.yaml`.
"""

from __future__ import annotations

import shlex
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from eddymark.errors import EddymarkError
from eddymark.plan import Job
from eddymark.records import RECORD, mark_stale, write_atomically

PIPELINE = Path("dvc.yaml")
LOCK = Path("dvc.lock")
RESULTS = Path("results")
"""Where the results of the pipeline are; DVC needs one place."""

PLAN = "plan.yaml"
INSTALLATION = "pip install -c constraints.txt 'dvc>=3.67,<4'"

_HEADER = """\
# Written by `eddymark dvc write` from the configuration: change that, not this file. docs/reruns.md explains it.
"""
_OPTIONS = "--cores all --quiet progress host reason"
"""The same for everybody: DVC takes another command for a change."""
_APART = {"timestep": "measured", "train": "trained"}
"""What is added to the name of a stage whose jobs each need a job of their own of another stage."""
_SCORES = ("spectrum_error", "decorrelation_time", "seconds_per_turnover_time")
"""Columns of the report's headline tables that have a plot."""


def write_plan(jobs: Mapping[str, Job], results: Path) -> None:
    """Write the signature which every job should have, unless the file says so already."""
    text = yaml.safe_dump({folder: job.signature for folder, job in jobs.items()}, sort_keys=False)
    path = results / PLAN
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        write_atomically(path, text)


def pipeline(jobs: Mapping[str, Job], sources: Sequence[str], configfiles: Sequence[Path]) -> dict[str, Any]:
    """Return the content of `dvc.yaml`.

    Arguments:
        jobs: all jobs by folder, upstream jobs first.
        sources: the YAML files that describe the experiment, relative to the working directory.
        configfiles: those of them that are merged over the default experiment, in order.
    """
    files = [file.as_posix() for file in configfiles]
    command = ["eddymark", "dvc", *(word for file in files for word in ("--configfile", file))]
    snakemake = ["snakemake", *(["--configfile", *files] if files else [])]
    plan = {
        "cmd": shlex.join([*command, "plan"]),
        "always_changed": True,
        "outs": [{f"{RESULTS}/{PLAN}": {"cache": False, "persist": True}}],
    }
    check = {
        "cmd": shlex.join([*command, "check"]),
        "always_changed": True,
        "deps": [f"{RESULTS}/report"],
    }
    stages = {name: _stage(group, jobs, shlex.join(snakemake)) for name, group in _groups(jobs).items()}
    flows = dict.fromkeys(job.flow for job in jobs.values() if job.flow)
    return {
        "stages": {"plan": plan, **stages, "check": check},
        "params": list(sources),
        "metrics": [f"{RESULTS}/report/metrics.json"],
        "plots": [plot for flow in flows for plot in _plots(flow, jobs)],
    }


def check_pipeline(content: Mapping[str, Any]) -> None:
    """Refuse a `dvc.yaml` of another configuration.

    Raises:
        EddymarkError: if `dvc.yaml` does not have this content.
    """
    if not _is_current(content):
        command = content["stages"]["plan"]["cmd"].removesuffix("plan") + "write"
        raise EddymarkError(f"{PIPELINE} is not that of the configuration; update it, then repeat: {command}")


def write_pipeline(content: Mapping[str, Any]) -> bool:
    """Write `dvc.yaml` unless it has this content; return whether it was written."""
    if _is_current(content):
        return False
    text = yaml.safe_dump(dict(content), sort_keys=False, default_flow_style=None, width=120)
    write_atomically(PIPELINE, _HEADER + text)
    return True


def check_results(jobs: Mapping[str, Job]) -> None:
    """Refuse results that are not those of the experiment.

    Raises:
        EddymarkError: if a job would have to run.
    """
    stale = mark_stale(jobs, RESULTS)
    if stale:
        names = [name for name, folder in stage_names(jobs).items() if folder in stale]
        raise EddymarkError(
            "what DVC took for the results of this configuration was made by another one; make it again with: "
            f"dvc repro --force --single-item {' '.join(names)}"
        )


def record(jobs: Mapping[str, Job]) -> list[str]:
    """Tell DVC about results that Snakemake made, so that it does not make them again; return their stages.

    A plain `dvc commit --force` records whatever is there as made by the present configuration; this records only
    jobs that are up to date.

    Raises:
        EddymarkError: if the command dvc is missing or fails.
    """
    stale = mark_stale(jobs, RESULTS)
    finished = {name: jobs[folder] for name, folder in stage_names(jobs).items() if folder not in stale}
    recorded = _recorded_signatures()
    new = [name for name, job in finished.items() if recorded.get(name) != job.signature]
    if new:
        command = shutil.which("dvc")
        if command is None:
            raise EddymarkError(f"the command dvc is missing; install it with: {INSTALLATION}")
        result = subprocess.run([command, "commit", "--force", *finished], capture_output=True, text=True, check=False)
        if result.returncode:
            raise EddymarkError(f"dvc commit failed: {result.stderr.strip()}")
    return new


def stage_names(jobs: Mapping[str, Job]) -> dict[str, str]:
    """Return the folder of every job by the name of its stage in DVC."""
    names = {}
    for name, group in _groups(jobs).items():
        for job in group:
            names[f"{name}@{_item(job)}" if job.name else name] = job.folder
    return names


def _is_current(content: Mapping[str, Any]) -> bool:
    """Return whether `dvc.yaml` has this content, whatever its comments and layout."""
    try:
        return bool(yaml.safe_load(PIPELINE.read_text(encoding="utf-8")) == content)
    except (OSError, UnicodeDecodeError, yaml.YAMLError):
        return False


def _recorded_signatures() -> dict[str, str]:
    """Return the signature in `dvc.lock` by stage, empty if there is no readable lock."""
    try:
        stages = yaml.safe_load(LOCK.read_text(encoding="utf-8"))["stages"]
        parameters = {name: stage.get("params", {}).get(f"{RESULTS}/{PLAN}", {}) for name, stage in stages.items()}
        return {name: signature for name, found in parameters.items() for signature in found.values()}
    except (OSError, UnicodeDecodeError, yaml.YAMLError, LookupError, TypeError, AttributeError):
        return {}


def _groups(jobs: Mapping[str, Job]) -> dict[str, list[Job]]:
    """Return the jobs that differ in one item only, by stage and flow; those with further dependencies are apart."""
    groups: dict[str, list[Job]] = {}
    for job in jobs.values():
        stage = "_".join([job.stage, *(_APART[needed] for needed in _own(job, jobs))])
        groups.setdefault(f"{stage}-{job.flow}" if job.flow else stage, []).append(job)
    return groups


def _item(job: Job) -> str:
    return job.name if job.seed is None else f"{job.name}-seed{job.seed}"


def _own(job: Job, jobs: Mapping[str, Job]) -> dict[str, str]:
    """Return the folders of those upstream jobs of a named job which others of its stage do not need, by stage."""
    return {jobs[folder].stage: folder for folder in job.upstream if job.name and jobs[folder].stage in _APART}


def _stage(group: Sequence[Job], jobs: Mapping[str, Job], snakemake: str) -> dict[str, Any]:
    """Return one stage, or a template of stages with its items if the jobs have names."""
    first = group[0]
    own = _own(first, jobs)
    folder = "${item.job}" if first.name else first.folder
    shared = [f"{RESULTS}/{upstream}" for upstream in first.upstream if upstream not in own.values()]
    dependencies = shared + [f"{RESULTS}/${{item.{needed}}}" for needed in own]
    definition = {
        "cmd": f"{snakemake} {_OPTIONS} --allowed-rules {first.driver} -- {RESULTS}/{folder}/{RECORD}",
        **({"deps": dependencies} if dependencies else {}),
        "params": [{f"{RESULTS}/{PLAN}": [folder]}],
        "outs": [f"{RESULTS}/{folder}"],
    }
    if not first.name:
        return definition
    items = {_item(job): {"job": job.folder} | _own(job, jobs) for job in group}
    return {"foreach": items, "do": definition}


def _plots(flow: str, jobs: Mapping[str, Job]) -> Iterator[dict[str, Any]]:
    """Yield the plots of a flow: scores of all steppers, and how trainings went."""
    table = f"{RESULTS}/report/tables/{flow}-headline.csv"
    for score in _SCORES:
        axes = {"template": "bar_horizontal", "x": {table: score}, "y": {table: "stepper"}}
        yield {f"{flow} {score}": axes}
    for job in jobs.values():
        if job.flow == flow and job.stage == "train":
            history = f"{RESULTS}/{job.folder}/history.csv"
            axes = {"x": {history: "step"}, "y": {history: "validation_error"}}
            yield {f"{flow} training of {_item(job)}": axes}
