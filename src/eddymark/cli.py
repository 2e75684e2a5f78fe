"""The command line: what the workflow's rules call, and what a user needs beside them."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from eddymark.errors import EddymarkError

if TYPE_CHECKING:
    from eddymark.config import Experiment

# Nothing else is imported at the top: `--help` and `check` have to be quick.

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


dvc = typer.Typer(help="Keep DVC's pipeline in step with the configuration.", no_args_is_help=True)
app.add_typer(dvc, name="dvc")


@dvc.callback()
def pipeline(context: typer.Context, configfile: Configuration = None) -> None:
    """Plan the jobs and describe them to DVC."""
    from eddymark.config import load_experiment
    from eddymark.config.loading import source_files
    from eddymark.pipeline import pipeline
    from eddymark.plan import plan

    files = configuration_files(configfile or [])
    jobs = plan(load_experiment(files))
    context.obj = jobs, pipeline(jobs, source_files(files), configfile or [])


@dvc.command("write")
def write_pipeline(context: typer.Context) -> None:
    """Write dvc.yaml for the configuration."""
    from eddymark.pipeline import RESULTS, write_pipeline, write_plan

    jobs, content = context.obj
    changed = write_pipeline(content)
    write_plan(jobs, RESULTS)
    print(f"dvc.yaml: {len(jobs)} jobs, {'written' if changed else 'up to date'}")


@dvc.command("plan")
def plan_pipeline(context: typer.Context) -> None:
    """Write the signature of every job to results/plan.yaml; refuse a dvc.yaml of other jobs (first stage)."""
    from eddymark.pipeline import RESULTS, check_pipeline, write_plan

    jobs, content = context.obj
    check_pipeline(content)
    write_plan(jobs, RESULTS)


@dvc.command("check")
def check_results(context: typer.Context) -> None:
    """Refuse results of another configuration or of other sources (last stage)."""
    from eddymark.pipeline import check_results

    check_results(context.obj[0])


@dvc.command("record")
def record_results(context: typer.Context) -> None:
    """Tell DVC about results that Snakemake made."""
    from eddymark.pipeline import record

    plan_pipeline(context)
    names = record(context.obj[0])
    print(f"recorded: {', '.join(names) or 'nothing new'}")


@app.command()
def status(configfile: Configuration = None, experiment: Resolved = None, results: Results = Path("results")) -> None:
    """Show which jobs are done, running, interrupted, failed, stale or waiting."""
    loaded = _load(experiment, configfile)
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
    loaded = _load(experiment, configfile)
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
    loaded = _load(experiment, configfile)
    from eddymark.plan import find_job, plan
    from eddymark.verification import show

    planned = plan(loaded)
    chosen = [find_job(planned, folder).folder for folder in jobs or planned]
    options = _options(configfile, experiment, results)
    if not show(planned, results, chosen, options, discard=discard):
        sys.exit(1)


@app.command()
def generate(
    flow: FlowName,
    shard: Annotated[int, typer.Argument(help="Number of the shard, from 0.")],
    configfile: Configuration = None,
    experiment: Resolved = None,
    results: Results = Path("results"),
) -> None:
    """Simulate one shard of a flow's runs, or import it from the flow's source, and filter it to the LES grid."""
    with _job(f"{flow}/generate/{shard}", configfile, experiment, results) as (loaded, output, work):
        if loaded.flows[flow].source is None:
            from eddymark.stages.generate import run
        else:
            from eddymark.stages.importing import run

        run(loaded, flow, shard, results=results, output=output, work=work)


@app.command()
def timestep(
    flow: FlowName,
    name: Annotated[str, typer.Argument(help="Name of an LES, or of a surrogate with an LES in it.")],
    configfile: Configuration = None,
    experiment: Resolved = None,
    results: Results = Path("results"),
) -> None:
    """Measure the largest time step with which an LES is accurate and stable."""
    with _job(f"{flow}/train/{name}/timestep", configfile, experiment, results) as (loaded, output, work):
        from eddymark.stages import timestep as stage

        stage.run(loaded, flow, name, results=results, output=output, work=work)


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
def apriori(
    flow: FlowName,
    configfile: Configuration = None,
    experiment: Resolved = None,
    results: Results = Path("results"),
) -> None:
    """Compare the stress and dissipation of every LES closure with those of the DNS."""
    with _job(f"{flow}/validate/apriori", configfile, experiment, results) as (loaded, output, work):
        from eddymark.stages import apriori as stage

        stage.run(loaded, flow, results=results, output=output, work=work)


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
    loaded = _load(experiment, configfile)
    from eddymark.external.export import export_flow

    for path in export_flow(loaded, flow, folder, stepper=stepper, results=results):
        print(path)


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


def _options(configfile: list[Path] | None, resolved: Path | None, results: Path) -> list[str]:
    """Return the options with which another command finds the same experiment and results."""
    options = [word for file in configfile or [] for word in ("--configfile", str(file))]
    options += [] if resolved is None else ["--experiment", str(resolved)]
    return options + ([] if results == Path("results") else ["--results", str(results)])


@contextlib.contextmanager
def _job(
    folder: str, configfile: list[Path] | None, resolved: Path | None, results: Path
) -> Iterator[tuple[Experiment, Path, Path]]:
    """Run a job: the experiment, the folder for its outputs and the folder that survives a kill."""
    experiment = _load(resolved, configfile)
    from eddymark.jobs import running

    options = _options(configfile, resolved, results)
    with running(experiment, folder, results, options) as (output, work):
        yield experiment, output, work


if __name__ == "__main__":
    main()
