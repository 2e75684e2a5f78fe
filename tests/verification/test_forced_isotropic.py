"""The short form of the forced DNS, and its structure functions against increments on the grid."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch

from eddymark.grid import Grid, SpectralSpace
from verification.forced_isotropic import (
    Resolution,
    one_dimensional_spectra,
    simulate,
    statistics,
    structure_functions,
)

GRID = Grid((24,) * 3, (2 * math.pi,) * 3)
SPACE = SpectralSpace(GRID)


def random_field(members: int, width: float) -> torch.Tensor:
    random = torch.Generator().manual_seed(0)
    noise = torch.randn((members, 3, *GRID.points), generator=random, dtype=torch.float64)
    spectrum = SPACE.project(SPACE.to_spectral(noise)) * torch.exp(-SPACE.wavenumber_squared / width)
    return spectrum * (SPACE.wavenumber_squared > 0)


def test_structure_functions_are_those_of_increments_on_the_grid() -> None:
    spectrum = random_field(2, 10.0)
    velocity = SPACE.to_physical(spectrum)
    longitudinal, transverse = (part.numpy() for part in one_dimensional_spectra(SPACE, spectrum))
    shift = 3
    along, across = [], []
    for axis in range(3):
        for component in range(3):
            u = velocity[:, component]
            square = float((u.roll(-shift, 1 + axis) - u).square().mean())
            (along if component == axis else across).append(square)
    distance = np.array([shift * GRID.spacing[0]])
    first, second, _ = structure_functions(longitudinal, transverse, distance)
    assert first[0] == pytest.approx(np.mean(along), rel=1e-12)
    assert second[0] == pytest.approx(np.mean(across), rel=1e-12)


def test_isotropic_fields_obey_the_isotropic_relation_and_others_do_not() -> None:
    distance = np.linspace(0.2, 1.2, 6)
    spectrum = random_field(40, 20.0)
    _, found, expected = structure_functions(
        *(part.numpy() for part in one_dimensional_spectra(SPACE, spectrum)), distance
    )
    assert np.abs(found / expected - 1).max() < 0.03
    compressible = spectrum.roll(1, 1)  # components exchanged: no longer solenoidal
    _, found, expected = structure_functions(
        *(part.numpy() for part in one_dimensional_spectra(SPACE, compressible)), distance
    )
    assert np.abs(found / expected - 1).max() > 0.1


def test_a_small_forced_flow_has_the_skewness_of_turbulence(tmp_path: Path) -> None:
    """The range of the large runs is that of R_λ above about 50; at 20 the skewness is weaker."""
    resolution = Resolution(points=24, viscosity=0.08, start=4.5, end=9.0)
    rows, _ = simulate(resolution, tmp_path)
    found = statistics(resolution, [row for row in rows if row["time"] >= resolution.start])
    assert 15 < found.taylor_reynolds_number < 30
    assert -0.6 < found.skewness < -0.25
    assert found.resolution > 1
    # Without the few modes of the forced shells the flow is closer to isotropic.
    assert found.free_anisotropy < found.anisotropy
