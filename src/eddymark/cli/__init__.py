"""The command line: what the workflow's rules call, and what a user needs beside them."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

import typer

from eddymark.cli import jobs, pipeline
from eddymark.cli.options import Configuration, FlowName, Resolved, Results, configuration_files, load, same_options
from eddymark.errors import EddymarkError

# Nothing else is imported at the top: `--help` and `check` have to be quick.

app = typer.Typer(
    help="Does this neural operator beat classical large-eddy simulation?",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.add_typer(jobs.app)
app.add_typer(pipeline.app, name="dvc")


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit: 0 done, 1 failed, 2 wrong usage or configuration, 143 terminated."""
    # As under `python -m` and Snakemake: operators may be in a package in the working directory.
    if not {"", str(Path.cwd())} & set(sys.path):
        sys.path.insert(0, str(Path.cwd()))
    try:
        app(arguments)
    except EddymarkError as error:
        # Imported late: it brings the whole schema, which `--help` does not need.
        from eddymark.config import ConfigurationError

        if isinstance(error, ConfigurationError):
            for finding in error.findings:
                print(finding, file=sys.stderr)
            sys.exit(2)
        print("eddymark:", " ".join(str(error).split()), file=sys.stderr)
        sys.exit(1)


@app.command()
def check(
    configfile: Configuration = None,
    trial: Annotated[
        bool, typer.Option("--trial", help="Take one step of every training; show its time and memory.")
    ] = False,
    memory: Annotated[
        float | None, typer.Option(min=0, help="With --trial: GB that a job may need, by default what is free here.")
    ] = None,
) -> None:
    """Check the configuration and say what it would run."""
    from eddymark.config import load_experiment
    from eddymark.plan import plan
    from eddymark.trial import try_out

    files = configuration_files(configfile or [])
    experiment = load_experiment(files, try_out)

    jobs = plan(experiment)
    for name, flow in experiment.flows.items():
        splits: tuple[Literal["train", "validation", "test"], ...] = ("train", "validation", "test")
        counts = ", ".join(f"{flow.trajectories(split)} {split}" for split in splits)
        count = sum(job.flow == name for job in jobs.values())
        print(f"{name}: {count} jobs, trajectories: {counts}")
    if trial:
        _try_trainings(files, memory)
    print(f"ok: experiment {experiment.name}, {len(experiment.flows)} flows, {len(jobs)} jobs")


def _try_trainings(files: Sequence[Path], memory: float | None) -> None:
    """Print a table of what the trainings of an experiment need; exit if one of them cannot be."""
    from eddymark.config import ConfigurationError, load_experiment
    from eddymark.trial_training import HEADINGS, WIDTHS, try_trainings

    def show(cells: Sequence[str]) -> None:
        print("  ".join(cell.ljust(width) for cell, width in zip(cells, WIDTHS, strict=True)).rstrip(), flush=True)

    show(HEADINGS)
    limit = None if memory is None else round(memory * 1e9)
    try:
        load_experiment(files, lambda experiment: try_trainings(experiment, limit, show))
    except ConfigurationError as error:
        for finding in error.findings:
            print(finding, file=sys.stderr)
        sys.exit(1)


@app.command("plan")
def show_plan(
    configfile: Configuration = None, experiment: Resolved = None, results: Results = Path("results")
) -> None:
    """List all jobs and say which have to run."""
    loaded = load(experiment, configfile)
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
def status(configfile: Configuration = None, experiment: Resolved = None, results: Results = Path("results")) -> None:
    """Show which jobs are done, running, interrupted, failed, stale or waiting."""
    loaded = load(experiment, configfile)
    from eddymark.plan import plan
    from eddymark.status import show, statuses

    show(statuses(plan(loaded), results))


@app.command()
def describe(
    surrogate: Annotated[str, typer.Argument(help="A surrogate of the experiment, or a file in config/surrogates.")],
    flow: Annotated[str | None, typer.Option(help="Only for this flow; by default for all that have it.")] = None,
    configfile: Configuration = None,
    experiment: Resolved = None,
) -> None:
    """Say what a surrogate is made of, what it costs and how it sees a field."""
    loaded = load(experiment, configfile)
    from eddymark.describe import complete, describe, show_description

    files = configuration_files(configfile or []) if experiment is None else []
    completed, flows = complete(loaded, files, surrogate, flow)
    for one in flows:
        show_description(f"{surrogate} for {one}", describe(completed, one, surrogate))


@app.command()
def verify(
    jobs: Annotated[
        list[str] | None, typer.Argument(metavar="[JOB]...", help="Jobs to verify, by default all.")
    ] = None,
    discard: Annotated[bool, typer.Option("--discard", help="Remove the records of damaged jobs.")] = False,
    configfile: Configuration = None,
    experiment: Resolved = None,
    results: Results = Path("results"),
) -> None:
    """Read all artifacts again; name each damaged file and the command that remakes it."""
    loaded = load(experiment, configfile)
    from eddymark.plan import find_job, plan
    from eddymark.verification import show

    planned = plan(loaded)
    chosen = [find_job(planned, folder).folder for folder in jobs or planned]
    options = same_options(configfile, experiment, results)
    if not show(planned, results, chosen, options, discard=discard):
        sys.exit(1)


@app.command()
def export(
    flow: FlowName,
    folder: Annotated[Path, typer.Argument(help="Where to write.")],
    stepper: Annotated[
        str | None, typer.Option(help="Its rollouts instead of the data: dns, an LES, SURROGATE-seedN or a control.")
    ] = None,
    configfile: Configuration = None,
    experiment: Resolved = None,
    results: Results = Path("results"),
) -> None:
    """Write a flow's filtered data, or rollouts, in the HDF5 format of The Well."""
    loaded = load(experiment, configfile)
    from eddymark.external.export import export_flow

    for path in export_flow(loaded, flow, folder, stepper=stepper, results=results):
        print(path)
