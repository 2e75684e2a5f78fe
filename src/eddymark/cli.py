"""The command line: what the workflow's rules call, and what a user needs beside them."""

from __future__ import annotations

import contextlib
import ctypes
import datetime
import fcntl
import os
import shutil
import signal
import sys
import threading
import time
import traceback
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from eddymark.errors import EddymarkError

if TYPE_CHECKING:
    from eddymark.config import Experiment

# Nothing else is imported at the top: `--help` and `check` have to be quick.

STOP_WITH_PARENT = "EDDYMARK_STOP_WITH_PARENT"
"""Environment variable that makes a job end when the process that started it is gone."""

_TERMINATED = 128 + signal.SIGTERM
_LARGEST_INT = 2**31 - 1
_MALLOPT_TRIM_THRESHOLD, _MALLOPT_MMAP_THRESHOLD = -1, -3

app = typer.Typer(
    help="Does this neural operator beat classical large-eddy simulation?",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

Configuration = Annotated[
    list[Path] | None,
    typer.Option("--configfile", help="YAML file merged over config/config.yaml; may be repeated."),
]
Resolved = Annotated[
    Path | None, typer.Option("--experiment", help="Resolved experiment (JSON) instead of YAML files.")
]
Results = Annotated[Path, typer.Option(help="Root of the results.")]
FlowName = Annotated[str, typer.Argument(help="Name of the flow in the experiment.")]


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit: 0 done, 1 failed, 2 wrong usage or configuration, 143 terminated."""
    from eddymark.config import ConfigurationError

    # As under `python -m` and Snakemake: operators may be in a package in the working directory.
    if not {"", str(Path.cwd())} & set(sys.path):
        sys.path.insert(0, str(Path.cwd()))
    try:
        app(arguments)
    except ConfigurationError as error:
        for finding in error.findings:
            print(finding, file=sys.stderr)
        sys.exit(2)
    except EddymarkError as error:
        print(f"eddymark: {error}", file=sys.stderr)
        sys.exit(1)


@app.command()
def check(configfile: Configuration = None) -> None:
    """Check the configuration and say what it would run."""
    from eddymark.config import load_experiment
    from eddymark.plan import plan
    from eddymark.trial import try_foreign_operators

    experiment = load_experiment(configuration_files(configfile or []), try_foreign_operators)

    jobs = plan(experiment)
    for name, flow in experiment.flows.items():
        runs, splits = flow.sampling.runs, flow.sampling.splits
        counts = ", ".join(
            f"{runs * getattr(splits, split).stretches} {split}" for split in ("train", "validation", "test")
        )
        count = sum(job.flow == name for job in jobs.values())
        print(f"{name}: {count} jobs, trajectories: {counts}")
    print(f"ok: experiment {experiment.name}, {len(experiment.flows)} flows, {len(jobs)} jobs")


@app.command("plan")
def show_plan(
    configfile: Configuration = None, experiment: Resolved = None, results: Results = Path("results")
) -> None:
    """List all jobs and say which have to run."""
    loaded = _load(experiment, configfile)
    from rich.console import Console
    from rich.table import Table

    from eddymark.plan import plan
    from eddymark.records import mark_stale

    jobs = plan(loaded)
    stale = mark_stale(jobs, results)
    table = Table("job", "signature", "state", box=None)
    for folder, job in jobs.items():
        table.add_row(folder, job.signature[:12], "to run" if folder in stale else "up to date")
    console = Console(soft_wrap=not sys.stdout.isatty())
    console.print(table)
    console.print(f"{len(stale)} of {len(jobs)} jobs to run")


@app.command()
def generate(
    flow: FlowName,
    shard: Annotated[int, typer.Argument(help="Number of the shard, from 0.")],
    configfile: Configuration = None,
    experiment: Resolved = None,
    results: Results = Path("results"),
) -> None:
    """Simulate one shard of a flow's runs and filter it to the LES grid."""
    with _job(f"{flow}/generate/{shard}", configfile, experiment, results) as (loaded, output, work):
        from eddymark.stages import generate as stage

        stage.run(loaded, flow, shard, results=results, output=output, work=work)


@app.command()
def train(
    flow: FlowName,
    model: Annotated[str, typer.Argument(help="Name of the surrogate.")],
    seed: Annotated[int, typer.Argument(help="Training seed.")],
    configfile: Configuration = None,
    experiment: Resolved = None,
    results: Results = Path("results"),
) -> None:
    """Train one surrogate with one seed; a killed training resumes."""
    with _job(f"{flow}/train/{model}/seed{seed}", configfile, experiment, results) as (loaded, output, work):
        from eddymark.stages import train as stage

        stage.run(loaded, flow, model, seed, results=results, output=output, work=work)


@app.command()
def validate(
    flow: FlowName,
    stepper: Annotated[str, typer.Argument(help="dns, an LES, SURROGATE-seedN or a control.")],
    configfile: Configuration = None,
    experiment: Resolved = None,
    results: Results = Path("results"),
) -> None:
    """Roll one stepper out from the test states and score it."""
    with _job(f"{flow}/validate/{stepper}", configfile, experiment, results) as (loaded, output, work):
        from eddymark.stages import validate as stage

        stage.run(loaded, flow, stepper, results=results, output=output, work=work)


@app.command()
def cost(
    flow: FlowName,
    configfile: Configuration = None,
    experiment: Resolved = None,
    results: Results = Path("results"),
) -> None:
    """Time all steppers of a flow, one after the other in one process."""
    with _job(f"{flow}/validate/cost", configfile, experiment, results) as (loaded, output, work):
        from eddymark.stages import cost as stage

        stage.run(loaded, flow, results=results, output=output, work=work)


@app.command()
def report(configfile: Configuration = None, experiment: Resolved = None, results: Results = Path("results")) -> None:
    """Write the report from all scores."""
    with _job("report", configfile, experiment, results) as (loaded, output, work):
        from eddymark.stages import report as stage

        stage.run(loaded, results=results, output=output, work=work)


def configuration_files(given: Sequence[Path]) -> list[Path]:
    """Return the YAML files of an experiment in the order of merging, the default experiment first."""
    default = Path("config", "config.yaml")
    if given and (not default.exists() or given[0].resolve() == default.resolve()):
        return list(given)
    return [default, *given]


def _load(resolved: Path | None, configfile: list[Path] | None) -> Experiment:
    from eddymark.config import Experiment, load_experiment

    if resolved is None:
        return load_experiment(configuration_files(configfile or []))
    try:
        return Experiment.model_validate_json(resolved.read_bytes())
    except (OSError, ValueError) as error:
        raise EddymarkError(f"{resolved}: not a resolved experiment ({type(error).__name__})") from None


@contextlib.contextmanager
def _job(
    folder: str, configfile: list[Path] | None, resolved: Path | None, results: Path
) -> Iterator[tuple[Experiment, Path, Path]]:
    """Prepare a job's private folders, and publish its outputs when the stage has written them all.

    Yields the experiment, the folder for its outputs and the folder that survives a kill.

    Raises:
        EddymarkError: if there is no such job, its inputs are missing, it is running already, or it fails.
    """
    experiment = _load(resolved, configfile)
    from eddymark.memory import peak_memory_bytes
    from eddymark.plan import plan
    from eddymark.records import provenance, publish, upstream_digests

    jobs = plan(experiment)
    if folder not in jobs:
        siblings = [name for name in jobs if name.split("/")[:2] == folder.split("/")[:2]]
        options = ", ".join(siblings) or ", ".join(experiment.flows)
        raise EddymarkError(f"no job {folder} in experiment {experiment.name}; there are: {options}")
    job = jobs[folder]
    work = results / ".work" / f"{folder.replace('/', '-')}-{job.signature[:16]}"
    work.mkdir(parents=True, exist_ok=True)
    output = work / "output"
    _prepare_process(experiment.threads, job.stage)
    with _locked(work, folder), _failures(work, folder):
        upstream = upstream_digests(job, jobs, results)
        shutil.rmtree(output, ignore_errors=True)
        output.mkdir()
        started, clock = _now(), time.monotonic()
        private = work / "checkpoints"
        private.mkdir(exist_ok=True)
        yield experiment, output, private
        record = {
            "signature": job.signature,
            "job": folder,
            "upstream": upstream,
            "started": started,
            "finished": _now(),
            "seconds": round(time.monotonic() - clock, 2),
            "peak_memory_bytes": peak_memory_bytes(),
            **provenance(),
        }
        publish(output, results / folder, job.outputs, record)
        shutil.rmtree(work)


@contextlib.contextmanager
def _locked(work: Path, folder: str) -> Iterator[None]:
    """Hold the job's lock; the system releases it when the process ends, however it ends."""
    with (work / "lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise EddymarkError(f"{folder} is running in another process") from None
        yield


@contextlib.contextmanager
def _failures(work: Path, folder: str) -> Iterator[None]:
    """Turn a bug into one line, and a traceback in the log (a file if standard error is a terminal)."""
    try:
        yield
    except EddymarkError:
        raise
    except Exception as error:
        where = "the traceback is above"
        if sys.stderr.isatty():
            (work / "traceback.log").write_text(traceback.format_exc())
            where = f"the traceback is in {work / 'traceback.log'}"
        else:
            traceback.print_exc()
        raise EddymarkError(f"{folder} failed: {type(error).__name__}: {error} ({where})") from None


def _prepare_process(threads: int, stage: str) -> None:
    """Set threads and memory allocation before any library starts, and how the process ends."""
    for library in ("OMP", "MKL", "OPENBLAS", "NUMEXPR"):
        os.environ[f"{library}_NUM_THREADS"] = str(threads)
    with contextlib.suppress(AttributeError, OSError):
        # glibc gives large arrays back to the system at once and faults in every page of the next one, which
        # is slower than most of what is done with them.
        c_library = ctypes.CDLL(None)
        c_library.mallopt(_MALLOPT_MMAP_THRESHOLD, _LARGEST_INT)
        c_library.mallopt(_MALLOPT_TRIM_THRESHOLD, _LARGEST_INT)
    signal.signal(signal.SIGTERM, partial(_terminate, stage))
    if os.environ.get(STOP_WITH_PARENT):
        threading.Thread(target=_watch_parent, args=(os.getppid(),), daemon=True).start()


def _terminate(stage: str, _signal: int, _frame: FrameType | None) -> NoReturn:
    again = "resumes the training after its last complete epoch"
    if stage != "train":
        again = "starts this job again and keeps the finished ones"
    unlock = "if snakemake itself was killed, run it with --unlock first"
    print(f"eddymark: terminated; running it again {again} ({unlock})", file=sys.stderr)
    sys.exit(_TERMINATED)


def _watch_parent(parent: int) -> None:
    """Terminate this process when its parent has gone, so that a killed workflow leaves no jobs behind."""
    while os.getppid() == parent:
        time.sleep(2)
    os.kill(os.getpid(), signal.SIGTERM)


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")


if __name__ == "__main__":
    main()
