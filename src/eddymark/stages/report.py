"""The last stage: one page, its figures, its tables and the headline scores from all results."""

from __future__ import annotations

import json
from pathlib import Path

from eddymark.config.schema import Experiment
from eddymark.report.collect import collect
from eddymark.report.page import build


def run(experiment: Experiment, *, results: Path, output: Path, work: Path) -> None:
    """Write `index.html`, `figures/*.svg`, `tables/*.csv` and `metrics.json`.

    Equal results make equal bytes: the page states no time of its own.

    Arguments:
        experiment: the experiment.
        results: root of the results tree.
        output: folder to write into.
        work: not needed, the page is drawn in one go.

    Raises:
        EddymarkError: an artifact of the experiment is missing or damaged.
    """
    report = build(collect(experiment, results=results))
    for folder in ("figures", "tables"):
        (output / folder).mkdir(parents=True, exist_ok=True)
    for name, drawing in report.figures.items():
        (output / "figures" / name).write_text(drawing, encoding="utf-8")
    for name, table in report.tables.items():
        table.to_csv(output / "tables" / name, index=False)
    (output / "metrics.json").write_text(json.dumps(report.metrics, indent=1) + "\n", encoding="utf-8")
    (output / "index.html").write_text(report.html, encoding="utf-8")
