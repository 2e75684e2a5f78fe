"""Vorticity of rollouts as small pictures' worth of numbers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from eddymark.grid import Grid, SpectralSpace
from eddymark.storage import open_trajectories

Array = NDArray[np.float64]
COLOUR_MAP = "RdBu_r"
COLOURS = 64
FADED = 3.0
"""Pictures whose rms falls by more than this factor are drawn in units of the rms at their time."""


def output_times(path: Path) -> Array:
    """Return the output times of a store of trajectories, turnover times, shape (time,)."""
    return np.asarray(open_trajectories(path)["turnovers"].values, dtype=float)


def vorticity_slices(
    path: Path, *, sides: tuple[float, ...], outputs: NDArray[np.int64], pixels: int, trajectory: int = 0
) -> Array:
    """Return vorticity of one trajectory on the plane of the first two axes, shape (output, x, y).

    In 2-D the whole field, in 3-D ω_z on the plane z = 0. The field is interpolated between grid points by
    its own Fourier series, so that coarse grids look as smooth as what they resolve. NaN after a failure.

    Arguments:
        path: a store of trajectories.
        sides: sides of the box, flow units.
        outputs: indices of the outputs, ascending.
        pixels: points along the longer side of the picture.
        trajectory: which trajectory.
    """
    data = open_trajectories(path)["velocity"].isel(trajectory=trajectory, time=outputs)
    velocity = torch.from_numpy(np.asarray(data.values, dtype=np.float64))
    space = SpectralSpace(Grid(tuple(velocity.shape[2:]), sides), dealiased=False)
    vorticity = space.to_physical(space.vorticity(space.to_spectral(velocity)))[:, -1]
    plane = vorticity[..., 0] if len(sides) == 3 else vorticity
    longest = max(sides[:2])
    return _interpolated(plane.numpy(), tuple(round(pixels * side / longest) for side in sides[:2]))


def _interpolated(field: Array, points: tuple[int, ...]) -> Array:
    """Evaluate the Fourier series of periodic fields (output, x, y) at other points, without Nyquist modes.

    With fewer points than the field has, the modes which they cannot hold are dropped too.
    """
    spectrum = np.fft.fftshift(np.fft.fft2(field, norm="forward"), axes=(-2, -1))
    target = np.zeros((*field.shape[:-2], *points), dtype=complex)
    kept = [(min(n, m) - 1) // 2 for n, m in zip(field.shape[-2:], points, strict=True)]

    def centre(shape: tuple[int, ...]) -> tuple[slice, slice]:
        x, y = (slice(n // 2 - k, n // 2 + k + 1) for n, k in zip(shape, kept, strict=True))
        return x, y

    target[:, *centre(points)] = spectrum[:, *centre(field.shape[-2:])]
    return np.asarray(np.fft.ifft2(np.fft.ifftshift(target, axes=(-2, -1)), norm="forward").real)


def colour_limit(field: Array) -> float:
    """Return the magnitude at which the colour scale ends: exceeded by one point in two hundred."""
    return float(np.nanquantile(np.abs(field), 0.995))


def amplitudes(reference: Array) -> Array:
    """Return by what pictures of each time are divided, `(output,)`: one, or the rms of a reference that fades.

    Arguments:
        reference: pictures of the DNS, `(output, x, y)`, at all times.
    """
    rms = np.sqrt(np.square(reference).mean(axis=(1, 2)))
    return rms if rms.max() > FADED * rms.min() else np.ones_like(rms)


def rgb(field: Array, limit: float) -> NDArray[np.uint8]:
    """Return colours of fields (…, x, y) as pictures (…, row, column, 3), y upwards; NaN is grey."""
    import matplotlib as mpl

    colours: Any = mpl.colormaps[COLOUR_MAP].resampled(COLOURS).with_extremes(bad="0.85")
    values = np.ma.masked_invalid((field / limit + 1) / 2)
    picture = np.asarray(colours(values, bytes=True))[..., :3]
    return np.flip(np.swapaxes(picture, -3, -2), axis=-3)
