"""Filters and restriction to the coarse grid."""

from __future__ import annotations

import math

import pytest
import torch

from eddymark.config.schema import Filter
from eddymark.filters import GridFilter
from eddymark.grid import Grid, SpectralSpace
from tests.test_grid import random_field

BOX = 2 * math.pi


@pytest.mark.parametrize("dimension", [2, 3])
def test_sharp_filter_keeps_resolved_modes_and_drops_the_rest(dimension: int) -> None:
    fine = SpectralSpace(Grid((32,) * dimension, (BOX,) * dimension))
    coarse = Grid((16,) * dimension, (BOX,) * dimension)
    x = torch.as_tensor(fine.grid.coordinates()[0]).reshape(-1, *(1,) * (dimension - 1)).expand(fine.grid.points)
    restrict = GridFilter(fine, coarse, Filter(type="sharp"))
    kept, dropped = torch.cos(5 * x + 0.3), torch.cos(6 * x)
    result = restrict(fine.to_spectral(kept + dropped))
    coarse_x = torch.as_tensor(coarse.coordinates()[0]).reshape(-1, *(1,) * (dimension - 1))
    assert torch.allclose(result, torch.cos(5 * coarse_x + 0.3).expand(coarse.points), atol=1e-13)


@pytest.mark.parametrize(
    ("kind", "transfer"),
    [
        ("gaussian", math.exp(-(0.9**2) * 9 / 24)),
        ("box", math.sin(3 * 0.9 / 2) / (3 * 0.9 / 2)),
        ("sharp", 1.0),
    ],
)
def test_transfer_functions(kind: str, transfer: float) -> None:
    fine = SpectralSpace(Grid((32, 32), (BOX, BOX)))
    y = torch.as_tensor(fine.grid.coordinates()[1]).expand(32, 32)
    restrict = GridFilter(fine, Grid((16, 16), (BOX, BOX)), Filter(type=kind, width=0.9))
    assert restrict(fine.to_spectral(torch.sin(3 * y))).abs().max() == pytest.approx(
        transfer * float(torch.sin(3 * y[:, ::2]).abs().max()), rel=1e-12
    )


@pytest.mark.parametrize("kind", ["sharp", "gaussian", "box"])
def test_filters_keep_the_mean_and_commute_with_derivatives(kind: str) -> None:
    grid = Grid((24, 16, 12), (1.0, 2.0, 3.0))
    fine = SpectralSpace(grid)
    restrict = GridFilter(fine, grid.coarsened((12, 8, 8)), Filter(type=kind))
    spectrum = fine.to_spectral(random_field(grid))
    assert torch.allclose(
        restrict(spectrum).flatten(2).mean(dim=2), random_field(grid).flatten(2).mean(dim=2), atol=1e-14
    )
    divergence_after = restrict.coarse.divergence(restrict.coarse.to_spectral(restrict(spectrum)))
    assert torch.allclose(
        restrict.coarse.to_physical(divergence_after), restrict(fine.divergence(spectrum)), atol=1e-12
    )


def test_filtered_solenoidal_field_stays_solenoidal() -> None:
    grid = Grid((32, 32), (BOX, BOX))
    fine = SpectralSpace(grid)
    restrict = GridFilter(fine, grid.coarsened((16, 16)), Filter(type="gaussian"))
    filtered = restrict.coarse.to_spectral(restrict(fine.project(fine.to_spectral(random_field(grid)))))
    assert restrict.coarse.divergence(filtered).abs().max() < 1e-14


def test_a_finer_target_or_another_box_is_refused() -> None:
    fine = SpectralSpace(Grid((16, 16), (BOX, BOX)))
    for target in (Grid((32, 16), (BOX, BOX)), Grid((8, 8), (BOX, 1.0))):
        with pytest.raises(ValueError, match="cannot restrict"):
            GridFilter(fine, target, Filter())
