"""The page itself: one file that needs nothing else, assembled from verdicts, tables and figures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources

import pandas as pd
import yaml
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from eddymark.config import Experiment, complete_mapping
from eddymark.report import figures, text
from eddymark.report.ablation import Change, changes
from eddymark.report.animation import Animation, animation
from eddymark.report.collect import FlowResults, Record, Results
from eddymark.report.constraints import MARK
from eddymark.report.figures import apriori
from eddymark.report.figures.view import View
from eddymark.report.quality import Quality, quality
from eddymark.report.standings import Score, Standing, displayed, fake_catcher, standings
from eddymark.report.style import Figure, Styles, plotting
from eddymark.report.tables import (
    Column,
    changes_frame,
    columns,
    comparison_frame,
    failures,
    headline,
    headline_frame,
    jobs,
    stages,
    survived,
)
from eddymark.report.verdict import Verdict, verdict


@dataclass(frozen=True)
class Section:
    """Everything the page shows about one flow."""

    flow: FlowResults
    standings: list[Standing]
    rows: list[Standing]
    """The standings in the order of the table."""
    verdict: Verdict
    columns: list[Column]
    changes: list[Change]
    catcher: Score
    figures: list[Figure]
    animation: Animation
    apriori: Figure | None
    apriori_rows: list[tuple[str, str, list[str]]]
    preparation: list[Figure]
    quality: Quality
    failures: pd.DataFrame


@dataclass(frozen=True)
class Report:
    """The page and the files beside it."""

    html: str
    figures: dict[str, str]
    """SVG by file name."""
    tables: dict[str, pd.DataFrame]
    """Tables by file name."""
    metrics: dict[str, dict[str, dict[str, float]]]
    """Headline scores by flow, stepper and name."""


def build(results: Results) -> Report:
    """Compute verdicts, draw figures and fill the page."""
    pairs = [(stepper.name, stepper.kind) for flow in results.flows for stepper in flow.steppers]
    styles = Styles(pairs)
    with plotting():
        sections = [_section(flow, styles, results.records) for flow in results.flows]
    job_table = jobs(results.records, threads=results.experiment.threads)
    tables: dict[str, pd.DataFrame] = {"jobs.csv": job_table, "stages.csv": stages(job_table)}
    drawings = {}
    metrics = {}
    for section in sections:
        name = section.flow.name
        metrics[name] = headline(section.standings, dimensions=section.flow.dimensions)
        tables[f"{name}-headline.csv"] = headline_frame(metrics[name])
        tables[f"{name}-comparison.csv"] = comparison_frame(section.flow, section.standings)
        tables[f"{name}-failures.csv"] = section.failures
        if section.changes:
            tables[f"{name}-changes.csv"] = changes_frame(section.changes)
        tables[f"{name}-data-quality.csv"] = pd.DataFrame(section.quality.facts, columns=["quantity", "value"])
        tables[f"{name}-scores.csv"] = pd.concat([one.scores for one in section.flow.steppers], ignore_index=True)
        if section.flow.apriori is not None:
            tables[f"{name}-apriori.csv"] = section.flow.apriori.statistics
        apriori_figures = [] if section.apriori is None else [section.apriori]
        for figure in (*section.figures, *apriori_figures, *section.preparation):
            drawings[f"{name}-{figure.name}.svg"] = figure.svg
    return Report(_html(results, sections, job_table), drawings, tables, metrics)


def _section(flow: FlowResults, styles: Styles, records: Sequence[Record]) -> Section:
    rows = standings(flow)
    view = View(flow, rows, styles)
    generation = [
        record.content.get("seconds", float("nan"))
        for record in records
        if record.stage == "generate" and record.job.startswith(f"{flow.name}/")
    ]
    # What it took to make the data of a source is not known; reading them is no part of the price.
    data_seconds = float(sum(generation)) if flow.flow.source is None else float("nan")
    return Section(
        flow=flow,
        standings=rows,
        rows=displayed(rows),
        verdict=verdict(
            rows,
            dimensions=flow.dimensions,
            no_model=flow.no_model,
            data_seconds=data_seconds,
            longest_lead=flow.longest_lead,
            clock=flow.flow.clock,
        ),
        changes=changes(flow, rows),
        catcher=fake_catcher(flow.dimensions),
        columns=columns(rows, dimensions=flow.dimensions, longest_lead=flow.longest_lead, clock=flow.flow.clock),
        figures=[draw(view) for draw in figures.results_of(flow)],
        animation=animation(view),
        apriori=apriori.dissipation_densities(view, flow.apriori) if flow.apriori else None,
        apriori_rows=apriori.apriori_rows(flow.apriori) if flow.apriori else [],
        preparation=[draw(view) for draw in figures.preparation_of(flow)],
        quality=quality(flow),
        failures=failures(flow),
    )


def _html(results: Results, sections: list[Section], job_table: pd.DataFrame) -> str:
    environment = Environment(
        loader=PackageLoader("eddymark.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["number"] = text.number
    environment.filters["interval"] = text.interval
    environment.filters["survived"] = lambda row: survived(row).text
    environment.filters["duration"] = text.duration
    environment.filters["size"] = text.size
    environment.filters["flow_title"] = text.flow_title
    environment.filters["breakable"] = _breakable
    environment.globals["kinds"] = text.KINDS
    environment.globals["apriori_columns"] = apriori.COLUMNS
    environment.globals["constraint_mark"] = MARK
    environment.globals["svg"] = _inline
    machines = list(dict.fromkeys(job_table["machine"]))
    versions = list(dict.fromkeys(job_table["versions"]))
    revisions = list(dict.fromkeys(job_table["revision"]))
    return environment.get_template("page.html").render(
        experiment=results.experiment,
        sections=sections,
        configuration=configuration(results.experiment),
        jobs=job_table.to_dict("records"),
        stages=stages(job_table).to_dict("records"),
        environments=[("Machine", machines), ("Versions", versions), ("Source revision", revisions)],
        style=Markup(_template("style.css")),
        script=Markup(_template("script.js")),
    )


def configuration(experiment: Experiment) -> str:
    """Return the text of a `config.yaml` which gives the same experiment, whatever other files hold."""
    return yaml.safe_dump(complete_mapping(experiment), sort_keys=False, allow_unicode=True)


def _inline(figure: Figure) -> Markup:
    """Return a figure's SVG as an image of the page with its alternative text."""
    label = Markup.escape(figure.alternative)
    return Markup(figure.svg.replace("<svg ", f'<svg role="img" aria-label="{label}" ', 1))


def _breakable(name: str) -> Markup:
    """Return a name which may be broken after an underscore."""
    return Markup("_<wbr>").join(name.split("_"))


def _template(name: str) -> str:
    return (resources.files("eddymark.report") / "templates" / name).read_text(encoding="utf-8")
