"""Side-by-side vorticity of DNS and every model at several times."""

from __future__ import annotations

import matplotlib as mpl
import numpy as np
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize

from eddymark.report.fields import COLOUR_MAP, COLOURS, amplitudes, colour_limit, output_times, rgb, vorticity_slices
from eddymark.report.figures.view import View, canvas
from eddymark.report.style import Figure, to_svg
from eddymark.report.text import KINDS

TIMES = (0.0, 1.0, 5.0, 20.0, 40.0)
STAGES = 5
"""Rows of a transient flow, evenly spread over its evolution."""
PIXELS = 96


def vorticity_snapshots(view: View) -> Figure:
    """Draw vorticity at several times (rows) for DNS and the main models (columns)."""
    steppers = [view.flow.dns, *view.main]
    stores = [stepper.folder / "rollouts.zarr.zip" for stepper in steppers]
    wanted = _times(view.flow.flow.validation.rollout_length)
    if view.transient:
        recorded = output_times(stores[0])
        wanted = [float(recorded[output]) for output in np.linspace(0, len(recorded) - 1, STAGES).round().astype(int)]
    sides = view.flow.flow.sides
    columns = []
    for store in stores:
        times = output_times(store)
        step = times[1] - times[0]
        existing = [time for time in wanted if time <= times[-1] + 0.5 * step]
        outputs = np.array([int(np.abs(times - time).argmin()) for time in existing])
        columns.append(vorticity_slices(store, sides=sides, outputs=outputs, pixels=PIXELS))
    unit = amplitudes(columns[0]) if view.transient else np.ones(len(wanted))
    columns = [fields / unit[: len(fields), None, None] for fields in columns]
    limit, fades = colour_limit(columns[0]), bool(np.ptp(unit))
    height = sides[1] / sides[0]
    figure = canvas(1.0 + 1.02 * len(columns), 0.7 + (1.02 * height + 0.04) * len(wanted))
    panels = figure.subplots(len(wanted), len(columns), squeeze=False)
    for column, (stepper, fields) in enumerate(zip(steppers, columns, strict=True)):
        for row, axes in enumerate(panels[:, column]):
            axes.set_xticks([])
            axes.set_yticks([])
            for spine in axes.spines.values():
                spine.set_visible(False)
            empty = "no DNS" if stepper.kind == "floor" else "failed"
            if row < len(fields) and np.isfinite(fields[row]).all():
                axes.imshow(rgb(fields[row], limit), interpolation="none")
            else:
                axes.set_facecolor("0.93")
                axes.set_box_aspect(height)
                axes.text(
                    0.5,
                    0.5,
                    empty,
                    ha="center",
                    va="center",
                    color="0.4",
                    transform=axes.transAxes,
                    fontsize=8,
                )
            if column == 0:
                axes.set_ylabel(f"t = {wanted[row]:.3g}")
        title = "DNS" if stepper.kind == "floor" else f"{_wrapped(stepper.name)}\n({KINDS[stepper.kind]})"
        panels[0, column].set_title(title, fontsize=7)
    scale = ScalarMappable(Normalize(-limit, limit), mpl.colormaps[COLOUR_MAP].resampled(COLOURS))
    what = "ω_z" if view.flow.dimensions == 3 else "ω"
    bar = figure.colorbar(scale, ax=panels, location="right", shrink=0.5, aspect=25, pad=0.01)
    scaled = "/ DNS rms at the same time (1)" if fades else "(1 / flow time unit)"
    bar.set_label(f"vorticity {what} {scaled}", fontsize=8)
    bar.outline.set_visible(False)
    place = " on the plane z = 0" if view.flow.dimensions == 3 else ""
    last = float(output_times(stores[0])[-1])
    later = f"DNS data end at {last:.3g}; later rows cannot agree point by point and"
    if view.transient:
        later = "Rows after the decorrelation time cannot agree point by point and"
    relative = ", divided by the rms of the DNS picture at the same time, which decays" if fades else ""
    caption = (
        f"Vorticity {what}{place} of the first test trajectory{relative}, times t since the start in {view.clock}, one "
        f"colour scale for all. All start from the same state. {later} are to be compared in the size and strength of "
        "their structures: blotches mean missing small scales, grain means energy piled up at the grid "
        f"scale.{view.seeds_note}"
    )
    return Figure(
        "snapshots",
        "Vorticity side by side",
        caption,
        "Vorticity fields of DNS and each model, one row per time",
        to_svg(figure, name=f"{view.flow.name}-snapshots"),
    )


def _times(length: float) -> list[float]:
    """Return the standard times within the rollout, and its end if they stop well before it."""
    times = [time for time in TIMES if time <= length]
    return times if times[-1] >= 0.75 * length else [*times, length]


def _wrapped(name: str) -> str:
    """Break a long name at underscores so that it fits above a narrow column."""
    lines: list[str] = []
    for word in name.split("_"):
        if lines and len(lines[-1]) + len(word) < 13:
            lines[-1] += f"_{word}"
        else:
            lines.append(word)
    return "_\n".join(lines)
