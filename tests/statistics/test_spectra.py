from __future__ import annotations

import numpy as np
import pytest
import torch

from eddymark.grid import Grid, SpectralSpace
from eddymark.statistics.measure import Scales, Window, measure
from eddymark.statistics.scores import score_table
from eddymark.statistics.spectra import resolved_shells, spectrum_error, upper_shells


def test_spectrum_of_two_modes_is_exact_and_sums_to_the_energy(square: Grid) -> None:
    x, y = torch.meshgrid(*map(torch.as_tensor, square.coordinates()), indexing="ij")
    # Energies 1/4 and 9/4 in the shells 2 and √(3² + 4²) = 5, and some beyond the dealiased modes.
    wave = 3 * x + 4 * y
    u = torch.sin(2 * y) - 3 * 0.8 * torch.cos(wave)
    v = 3 * 0.6 * torch.cos(wave) + 0.1 * torch.cos(7 * x)
    velocity = torch.stack([u, v])[None, None].expand(1, 2, 2, 16, 16)
    found = measure(velocity, grid=square, interval=1.0, window=Window(start=1.0), scales=Scales((1.0,), (1.0,)))
    spectrum = found["energy_spectrum"].sel(trajectory=0).isel(window=0)
    assert float(spectrum.sel(shell=2)) == pytest.approx(0.25)
    assert float(spectrum.sel(shell=5)) == pytest.approx(9 / 4)
    assert float(spectrum.sel(shell=7)) == pytest.approx(0.01 / 4)
    assert float(spectrum.sum()) == pytest.approx(float(found["kinetic_energy"][0, 1]), rel=1e-12)


def test_spectrum_error_is_the_rms_distance_in_decades() -> None:
    reference = np.array([1.0, 2.0, 3.0, 4.0])
    everything = slice(None)
    assert spectrum_error(10 * reference, reference, shells=everything) == pytest.approx(1.0)
    assert spectrum_error(reference / 10, reference, shells=everything) == pytest.approx(1.0)
    one_shell = reference * [1, 1, 100, 1]
    assert spectrum_error(one_shell, reference, shells=everything) == pytest.approx(2 / np.sqrt(4))
    assert spectrum_error(one_shell, reference, shells=slice(0, 2)) == 0


def test_spectrum_error_of_an_empty_shell_is_that_of_float32_rounding() -> None:
    assert spectrum_error([0.0], [1.0], shells=slice(None)) == pytest.approx(14)


def test_shell_selections_are_the_resolved_ones_and_their_upper_half() -> None:
    shell = np.arange(1, 14)
    assert shell[resolved_shells(shell, cutoff=5)].tolist() == [1, 2, 3, 4, 5]
    assert shell[upper_shells(shell, cutoff=5)].tolist() == [3, 4, 5]
    assert shell[upper_shells(shell, cutoff=10)].tolist() == [6, 7, 8, 9, 10]


def test_cutoff_and_shells_are_those_of_the_dealiased_modes() -> None:
    grid = Grid(points=(16, 16, 16), sides=(6.0, 6.0, 6.0))
    velocity = torch.zeros(1, 2, 3, 16, 16, 16)
    found = measure(velocity, grid=grid, interval=1.0, window=Window(start=0), scales=Scales((1.0,), (1.0,)))
    assert found.attrs["cutoff"] == 5
    assert found["modes"].sum() == 11 * 11 * 6 - 1
    assert (found["shell"].values[found["modes"].values > 0]).tolist() == list(range(1, round(5 * np.sqrt(3)) + 1))
    assert found["shell"].values.max() == round(8 * np.sqrt(3))
    assert SpectralSpace(grid).modes == (11, 11, 6)


def test_shells_without_modes_in_a_box_with_unequal_sides_do_not_spoil_the_spectrum_error() -> None:
    grid = Grid(points=(32, 8), sides=(6.0, 24.0))
    random = torch.Generator().manual_seed(0)
    space = SpectralSpace(grid)
    noise = torch.randn((4, 3, 2, 32, 8), generator=random, dtype=torch.float64)
    velocity = space.to_physical(space.project(space.to_spectral(noise)))
    found = measure(velocity, grid=grid, interval=1.0, window=Window(start=0), scales=Scales((1.0,), (1.0,)))
    assert found.attrs["cutoff"] == 2
    held = found["modes"].values > 0
    # One wave along x is 4 shells away, and 2 along y are the last ones: 3, 6 and 7 are among those without a mode.
    assert not held[[2, 5, 6]].any()
    assert held[[0, 1, 3]].all()
    found = found.assign_coords(run=("trajectory", np.arange(4)))
    found = found.assign(failure_time=("trajectory", np.full(4, np.nan)))
    found = found.assign_attrs(flow="f", stepper="s", kind="les", seed="")
    table = score_table(found, found, seed=0, samples=10).set_index(["statistic", "window"])
    assert table.loc[("spectrum_error_all", "all shells"), "value"] == 0
    assert table.loc[("spectrum_error_all", "all shells"), "floor"] > 0
