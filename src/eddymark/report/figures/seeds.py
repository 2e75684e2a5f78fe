"""Every seed of the models that were trained several times, or that are changes of one another."""

from __future__ import annotations

import matplotlib.axes
import numpy as np

from eddymark.report.figures.view import View, canvas, readable_decades
from eddymark.report.standings import DECORRELATION, SPECTRUM, Standing
from eddymark.report.style import Figure, to_svg
from eddymark.statistics.pooled import SURVIVING


def seeds(view: View) -> Figure:
    """Draw survival, spectrum error and decorrelation time: a dot per seed, a bar for the interval over all."""
    rows = [row for row in view.standings if row.name in view.flow.pooled]
    bases = set(view.flow.extensions.values())
    # Where one model is the measure of all others, it stands first and its interval goes through all rows.
    rows.sort(key=lambda row: row.name not in bases)
    figure = canvas(9.2, 1.1 + 0.27 * len(rows))
    panels = figure.subplots(1, 3, sharey=True)
    keys = (SURVIVING, SPECTRUM.key, DECORRELATION.key)
    titles = ("surviving fraction of the rollouts", "spectrum error (decades)", f"decorrelation time ({view.clock})")
    for axes, key, title in zip(panels, keys, titles, strict=True):
        _panel(axes, view, rows, key, base=rows[0].name if len(bases) == 1 else None)
        axes.set_xlabel(title)
    panels[0].set_xlim(-0.05, 1.05)
    panels[1].set_xscale("log")
    readable_decades(panels[1].xaxis)
    panels[0].set_ylim(len(rows) - 0.4, -0.6)
    panels[0].set_yticks(range(len(rows)), [view.label(row) for row in rows])
    for axes in panels:
        axes.tick_params(axis="y", length=0)
    several = any(row.seeds > 1 for row in rows)
    text = (
        "Dots: one training each; bars: 95 % interval over seeds and initial states; ticks: the median over seeds, of "
        "the surviving fraction the mean."
        if several
        else "Dots: the model; bars: 95 % interval over initial states."
    )
    if len(bases) == 1:
        text += f" Grey: the interval of {rows[0].name}, which the others are compared with."
    return Figure(
        "seeds",
        "Scores of every seed" if several else "Scores of the changes",
        f"{text}{view.failures_note}",
        "Survival, spectrum error and decorrelation time of every seed of each model",
        to_svg(figure, name=f"{view.flow.name}-seeds"),
    )


def _panel(axes: matplotlib.axes.Axes, view: View, rows: list[Standing], key: str, *, base: str | None) -> None:
    for place, row in enumerate(rows):
        score, style = view.flow.pooled[row.name][key], view.style(row)
        low, high = score.interval
        if row.name == base and np.isfinite(low):
            axes.axvspan(low, high, color="0.92", linewidth=0, zorder=0)
        axes.plot([low, high], [place, place], color=style.colour, linewidth=1.4, alpha=0.6)
        axes.plot([score.value], [place], "|", color=style.colour, markersize=9, markeredgewidth=1.6)
        # Seeds with equal scores would hide each other.
        apart = 0.16 * (np.arange(len(score.seeds)) - (len(score.seeds) - 1) / 2)
        axes.plot(score.seeds, place + apart, "o", color=style.colour, markersize=3.2, clip_on=False)
