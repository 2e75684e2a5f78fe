"""Synchronised panels of moving vorticity: one strip of frames per stepper, moved by a short script."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass

import numpy as np
from PIL import Image

from eddymark.report.fields import amplitudes, colour_limit, output_times, rgb, vorticity_slices
from eddymark.report.figures.view import View
from eddymark.report.text import KINDS

FRAMES = 80
PIXELS = 96
QUALITY = 70


@dataclass(frozen=True)
class Panel:
    """The frames of one stepper, one below the other, as a WebP data address."""

    name: str
    kind: str
    colour: str
    source: str


@dataclass(frozen=True)
class Animation:
    """Panels with the same frames."""

    panels: tuple[Panel, ...]
    times: tuple[float, ...]
    """Turnover times of the frames."""
    aspect: float
    """Width of a frame in units of its height."""
    dns_end: float


def animation(view: View) -> Animation:
    """Render the first outputs of the first test trajectory; frames without data are grey."""
    steppers = [view.flow.dns, *view.main]
    stores = [stepper.folder / "rollouts.zarr.zip" for stepper in steppers]
    times = max((output_times(store) for store in stores), key=len)[:FRAMES]
    sides = view.flow.flow.sides
    strips = []
    for store in stores:
        length = min(len(times), len(output_times(store)))
        fields = vorticity_slices(store, sides=sides, outputs=np.arange(length), pixels=PIXELS)
        missing = np.full((len(times) - length, *fields.shape[1:]), np.nan)
        strips.append(np.concatenate([fields, missing]))
    if view.transient:
        unit = amplitudes(strips[0])[:, None, None]
        strips = [strip / unit for strip in strips]
    limit = colour_limit(strips[0])
    panels = tuple(
        Panel(
            "DNS" if stepper.kind == "floor" else stepper.name,
            "" if stepper.kind == "floor" else KINDS[stepper.kind],
            view.style(stepper).colour,
            _webp(rgb(strip, limit)),
        )
        for stepper, strip in zip(steppers, strips, strict=True)
    )
    dns_end = float(output_times(stores[0])[-1])
    return Animation(panels, tuple(float(time) for time in times), sides[0] / sides[1], dns_end)


def _webp(frames: np.ndarray) -> str:
    """Return pictures (frame, row, column, 3), one below the other, as a data address."""
    buffer = io.BytesIO()
    Image.fromarray(frames.reshape(-1, *frames.shape[2:])).save(buffer, "WEBP", quality=QUALITY, method=4)
    return f"data:image/webp;base64,{base64.b64encode(buffer.getvalue()).decode('ascii')}"
