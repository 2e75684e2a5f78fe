"""The a-priori test: what each closure says of filtered DNS states, beside their true subgrid-scale stress."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.lines import Line2D

from eddymark.report.collect import AprioriResults
from eddymark.report.figures.view import LINES, View, canvas, handle, legend
from eddymark.report.standings import Estimate
from eddymark.report.style import Figure, to_svg
from eddymark.report.text import enumeration, interval, number

COLUMNS = (
    ("stress_correlation", "correlation of the stress"),
    ("force_correlation", "correlation of its force"),
    ("dissipation_ratio", "dissipation / |true one|"),
    ("backscatter_fraction", "points with backscatter"),
)
"""Statistics of the table and their headings."""


def apriori_rows(results: AprioriResults) -> list[tuple[str, str, list[str]]]:
    """Return name, kind and the cells of each row of the table, the truth first; the first seed of trained closures."""
    table = results.statistics
    rows = []
    for name in dict.fromkeys(table["stepper"]):
        own = _first_seed(table[table["stepper"] == name])
        numbers = {
            str(row["statistic"]): Estimate(row["value"], row["low"], row["high"]) for row in own.to_dict("records")
        }
        rows.append((str(name), str(own["kind"].iloc[0]), [interval(numbers[key]) for key, _ in COLUMNS]))
    return rows


def dissipation_densities(view: View, results: AprioriResults) -> Figure:
    """Draw the densities of the local subgrid-scale dissipation, true and modelled."""
    table = results.dissipation
    names = list(dict.fromkeys(table["stepper"]))
    drawn = names[: LINES + 1]
    figure = canvas(9.2, 4.0)
    axes = figure.subplots()
    handles: list[Line2D] = []
    for name in reversed(drawn):
        own = _first_seed(table[table["stepper"] == name])
        style = view.styles.style_for(name, str(own["kind"].iloc[0]))
        density = own["density"].to_numpy(dtype=float)
        axes.plot(own["dissipation"], np.where(density > 0, density, np.nan), **style.line)
        handles.insert(0, handle(style, "DNS" if name == "dns" else name))
    axes.axvline(0, color="0.6", linewidth=0.6)
    axes.set_yscale("log")
    axes.set_xlabel("local subgrid-scale dissipation / |true mean| (1)")
    axes.set_ylabel("probability density (1)")
    legend(figure, handles, columns=4)
    return Figure(
        "subgrid-dissipation",
        "Subgrid-scale dissipation",
        _caption(results),
        "Probability densities of the local subgrid-scale dissipation, true and of each closure",
        to_svg(figure, name=f"{view.flow.name}-subgrid-dissipation"),
    )


def _first_seed(table: pd.DataFrame) -> pd.DataFrame:
    seeds = table["seed"].fillna(-1)
    return table[seeds == seeds.iloc[0]]


def _caption(results: AprioriResults) -> str:
    values = results.statistics.groupby(["stepper", "statistic"], sort=False)["value"].first().unstack()
    backscatter = float(values["backscatter_fraction"].to_dict()["dns"])
    models = values.drop(index="dns")
    text = (
        "Negative values return energy to the resolved scales (backscatter), which happens in the DNS at "
        f"{number(100 * backscatter, 2)} % of the points. An eddy viscosity cannot do so, apart from what the grid "
        "does not resolve of its stress."
    )
    if float(values["dissipation_ratio"].to_dict()["dns"]) < 0:
        text += (
            " The true mean is negative here: on average the resolved scales receive energy, and a closure with a "
            "positive mean drains what the DNS supplies."
        )
    if models.empty:
        return text
    closest = models["force_correlation"].sort_values(ascending=False, kind="stable")
    ranked = [f"{name} {number(float(value), 2)}" for name, value in closest.head(3).items() if np.isfinite(value)]
    if ranked:
        text += f" Highest correlation of the force: {enumeration(ranked)}."
    if len(models) > LINES:
        text += f" Of {len(models)} closures, the first {LINES} are drawn; all are in the table."
    return text + " A high correlation does not make a good LES, nor a low one a bad one: compare with the table above."
