"""The commands that the workflow's rules call: one runs one job."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from eddymark.cli.options import Configuration, FlowName, Resolved, Results, load, same_options

if TYPE_CHECKING:
    from eddymark.config import Experiment

app = typer.Typer()


@app.command()
def generate(
    flow: FlowName,
    shard: Annotated[int, typer.Argument(help="Number of the shard, from 0.")],
    configfile: Configuration = None,
    experiment: Resolved = None,
    results: Results = Path("results"),
) -> None:
    """Simulate one shard of a flow's runs, or import it from the flow's source, and filter it to the LES grid."""
    with job(f"{flow}/generate/{shard}", configfile, experiment, results) as (loaded, output, work):
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
    with job(f"{flow}/train/{name}/timestep", configfile, experiment, results) as (loaded, output, work):
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
    with job(f"{flow}/train/{model}/seed{seed}", configfile, experiment, results) as (loaded, output, work):
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
    with job(f"{flow}/validate/{stepper}", configfile, experiment, results) as (loaded, output, work):
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
    with job(f"{flow}/validate/apriori", configfile, experiment, results) as (loaded, output, work):
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
    with job(f"{flow}/validate/cost", configfile, experiment, results) as (loaded, output, work):
        from eddymark.stages import cost as stage

        stage.run(loaded, flow, results=results, output=output, work=work)


@app.command()
def report(configfile: Configuration = None, experiment: Resolved = None, results: Results = Path("results")) -> None:
    """Write the report from all scores."""
    with job("report", configfile, experiment, results) as (loaded, output, work):
        from eddymark.stages import report as stage

        stage.run(loaded, results=results, output=output, work=work)


@contextlib.contextmanager
def job(
    folder: str, configfile: list[Path] | None, resolved: Path | None, results: Path
) -> Iterator[tuple[Experiment, Path, Path]]:
    """Run a job: the experiment, the folder for its outputs and the folder that survives a kill."""
    experiment = load(resolved, configfile)
    from eddymark.jobs import running

    options = same_options(configfile, resolved, results)
    with running(experiment, folder, results, options) as (output, work):
        yield experiment, output, work
