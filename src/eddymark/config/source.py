"""The section `source` of a flow: fields that come from elsewhere instead of a simulation.

Numbers are in the source's own units; `units` says what these are in flow units.
"""

from __future__ import annotations

from typing import Literal

from eddymark.config.fields import Model, Numbers, Positive, Words

Dimension = Literal["trajectory", "time", "component", "x", "y", "z"]


class Units(Model):
    """What one unit of the source is in flow units."""

    length: Positive = 1.0
    velocity: Positive = 1.0
    time: Positive | None = None
    """null: length / velocity."""


class SourceTrajectories(Model):
    """Numbers of the source's trajectories, counted from 0 over all files; ranges are written `0-799`."""

    train: Numbers
    validation: Numbers
    test: Numbers


class Source(Model):
    """Fields that come from elsewhere instead of a simulation: Zarr, NetCDF or HDF5."""

    files: Words
    """Paths or patterns, relative to the working directory; those of one pattern in the order of their numbers."""
    join: Literal["trajectory", "time"] = "trajectory"
    """Each file holds its own trajectories, or the files of one entry hold consecutive times of the same ones."""
    velocity: Words | None = None
    """Name of the velocity, or of its components in the order x, y, z; null: the usual name of the layout."""
    dimensions: tuple[Dimension, ...] | None = None
    """What the axes of the velocity are, in the order of the file; null: they are named in the file."""
    time_step: Positive | None = None
    """Time between outputs in the source's units; null: from its time coordinate."""
    units: Units = Units()
    trajectories: SourceTrajectories | None = None
    """Which trajectories belong to which split; null: every one is cut into stretches of all three."""
