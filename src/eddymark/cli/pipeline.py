"""`eddymark dvc`: DVC's view of the workflow."""

from __future__ import annotations

import typer

from eddymark.cli.options import Configuration, configuration_files

app = typer.Typer(help="Keep DVC's pipeline in step with the configuration.", no_args_is_help=True)


@app.callback()
def pipeline(context: typer.Context, configfile: Configuration = None) -> None:
    """Plan the jobs and describe them to DVC."""
    from eddymark.config import load_experiment
    from eddymark.config.loading import source_files
    from eddymark.pipeline import pipeline
    from eddymark.plan import plan

    files = configuration_files(configfile or [])
    jobs = plan(load_experiment(files))
    context.obj = jobs, pipeline(jobs, source_files(files), configfile or [])


@app.command("write")
def write_pipeline(context: typer.Context) -> None:
    """Write dvc.yaml for the configuration."""
    from eddymark.pipeline import RESULTS, write_pipeline, write_plan

    jobs, content = context.obj
    changed = write_pipeline(content)
    write_plan(jobs, RESULTS)
    print(f"dvc.yaml: {len(jobs)} jobs, {'written' if changed else 'up to date'}")


@app.command("plan")
def plan_pipeline(context: typer.Context) -> None:
    """Write the signature of every job to results/plan.yaml; refuse a dvc.yaml of other jobs (first stage)."""
    from eddymark.pipeline import RESULTS, check_pipeline, write_plan

    jobs, content = context.obj
    check_pipeline(content)
    write_plan(jobs, RESULTS)


@app.command("check")
def check_results(context: typer.Context) -> None:
    """Refuse results of another configuration or of other sources (last stage)."""
    from eddymark.pipeline import check_results

    check_results(context.obj[0])


@app.command("record")
def record_results(context: typer.Context) -> None:
    """Tell DVC about results that Snakemake made."""
    from eddymark.pipeline import record

    plan_pipeline(context)
    names = record(context.obj[0])
    print(f"recorded: {', '.join(names) or 'nothing new'}")
