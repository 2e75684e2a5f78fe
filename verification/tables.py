"""Prints the tables of docs/long_rollouts.md from finished runs: `python -m verification.tables RESULTS …`.

For each flow: what each change of a model did if some models are changes of others, else how all steppers compare.
"""

from __future__ import annotations

import argparse
import csv
import sys
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path

from eddymark.report.ablation import SURVIVAL, verdict
from eddymark.report.standings import DECORRELATION, SPECTRUM, Estimate
from eddymark.report.text import flow_title, interval
from verification.page import markdown_table

COMPARED = (
    "stepper",
    "Spectrum error",
    "Derivative skewness error",
    "Palinstrophy production error",
    "Decorrelation",
    "Survived",
    "Cost, batch",
    "Parameters",
)
"""Columns of the comparison; some are of one kind of flow only."""
CHANGED = (
    "model",
    "change",
    "of",
    "survived (median failure)",
    "spectrum error, ratio",
    "decorrelation time, ratio",
    "verdict",
)


def tables(results: Path) -> Iterator[str]:
    """Yield a heading and a table for each flow of a run.

    Arguments:
        results: root of its results.
    """
    folder = results / "report" / "tables"
    for file in sorted(folder.glob("*-comparison.csv")):
        flow = file.name.removesuffix("-comparison.csv")
        changes = folder / f"{flow}-changes.csv"
        table = _changes(changes, flow) if changes.exists() else _comparison(file, folder / f"{flow}-failures.csv")
        yield f"## {flow_title(flow)}\n\n{table}"


def _comparison(file: Path, failures: Path) -> str:
    rows = _records(file)
    columns = [next((name for name in rows[0] if name.startswith(column)), None) for column in COMPARED]
    present = [column for column in columns if column is not None]
    causes = _causes(failures)
    cells = [[*(row[column] for column in present), causes.get(row["stepper"], "")] for row in rows]
    return markdown_table((*present, "Failed by"), cells)


def _causes(failures: Path) -> dict[str, str]:
    """Return how many rollouts of each stepper failed by what, the most frequent cause first."""
    counted: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for row in _records(failures):
        counted[row["stepper"]][row["cause"].replace(" × DNS mean", "")] += 1
    return {
        stepper: ", ".join(f"{count} {cause}" for cause, count in causes.most_common())
        for stepper, causes in counted.items()
    }


def _changes(file: Path, flow: str) -> str:
    compared = _records(file.with_name(f"{flow}-comparison.csv"))
    column = next(name for name in compared[0] if name.startswith("Survived"))
    survived = {row["stepper"]: row[column] for row in compared}
    changes: dict[str, dict[str, dict[str, str]]] = {}
    for row in _records(file):
        changes.setdefault(row["model"], {})[row["statistic"]] = row
    return markdown_table(CHANGED, [_row(model, effects, survived) for model, effects in changes.items()])


def _records(file: Path) -> list[dict[str, str]]:
    with file.open(encoding="utf-8", newline="") as lines:
        return list(csv.DictReader(lines))


def _row(model: str, effects: Mapping[str, Mapping[str, str]], survived: Mapping[str, str]) -> list[str]:
    def effect(statistic: str) -> str:
        row = effects.get(statistic, {})
        value, low, high = (float(row.get(key) or "nan") for key in ("value", "low", "high"))
        return interval(Estimate(value, low, high))

    first = effects[SURVIVAL.key]
    return [
        f"`{model}`",
        first["change"],
        f"`{first['against']}`",
        f"{survived[model]} against {survived[first['against']]}",
        effect(SPECTRUM.key),
        effect(DECORRELATION.key),
        verdict({key: row["outcome"] for key, row in effects.items()}),
    ]


def main() -> None:
    """Print the tables of all runs that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("results", nargs="+", type=Path, help="root of the results of a finished run")
    for results in parser.parse_args().results:
        found = list(tables(results))
        if not found:
            sys.exit(f"{results}: expected the results of a finished run, found none")
        print("\n\n".join(found), end="\n\n")


if __name__ == "__main__":
    main()
