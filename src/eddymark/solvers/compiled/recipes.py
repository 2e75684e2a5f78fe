"""Which fields of a 3-D state a subgrid-scale stress needs at the grid points."""

from __future__ import annotations

import numpy as np

from eddymark.grid import SpectralSpace
from eddymark.solvers.compiled.arrays import Recipe


def _recipe(
    space: SpectralSpace,
    stored: int,
    combinations: list[tuple[tuple[int, float], tuple[int, float], tuple[int, float]]],
    along_last: list[tuple[int, float]],
) -> Recipe:
    """Return a recipe from (field, weight) of the derivatives along each axis."""
    real = str(space.dtype).removeprefix("torch.")
    lines = np.array(combinations).reshape(-1, 3, 2)
    last = np.array(along_last).reshape(-1, 2)
    return Recipe(
        stored=stored,
        along_first=np.array([1, 2]),
        lines=lines[..., 0].astype(np.int64),
        weights=lines[..., 1].astype(real),
        along_last=last[:, 0].astype(np.int64),
        last_weights=last[:, 1].astype(real),
    )


def strain_recipe(space: SpectralSpace, stored: int) -> Recipe:
    """Return the recipe for some fields, the velocity first, and the reduced strain rate (`rates`)."""
    u, v, w = 0, 1, 2
    none = (0, 0.0)
    vx, wx = stored, stored + 1
    return _recipe(
        space,
        stored,
        [
            ((v, -1.0), (w, -2.0), none),
            ((u, 0.5), none, (vx, 0.5)),
            (none, (u, 0.5), (wx, 0.5)),
            ((v, 1.0), (w, -1.0), none),
            ((w, 0.5), (v, 0.5), none),
        ],
        [],
    )


def gradient_recipe(space: SpectralSpace) -> Recipe:
    """Return the recipe for velocity and velocity gradient (`rates`)."""
    u, v, w = 0, 1, 2
    none = (0, 0.0)
    vx, wx = 3, 4
    return _recipe(
        space,
        3,
        [
            (none, none, (vx, 1.0)),
            (none, none, (wx, 1.0)),
            ((u, 1.0), none, none),
            ((v, 1.0), none, none),
            ((w, 1.0), none, none),
        ],
        [(u, 1.0), (v, 1.0), (w, 1.0)],
    )
