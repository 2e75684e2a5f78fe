from __future__ import annotations

import numpy as np
import pytest
import torch

from eddymark.grid import Grid, SpectralSpace
from eddymark.statistics.measure import Scales, Window, measure
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


def test_cutoff_and_highest_shell_are_those_of_the_dealiased_modes() -> None:
    grid = Grid(points=(16, 16, 16), sides=(6.0, 6.0, 6.0))
    velocity = torch.zeros(1, 2, 3, 16, 16, 16)
    found = measure(velocity, grid=grid, interval=1.0, window=Window(start=0), scales=Scales((1.0,), (1.0,)))
    assert found.attrs["cutoff"] == 5
    assert found.attrs["highest_shell"] == round(5 * np.sqrt(3))
    assert found["shell"].values.max() == round(8 * np.sqrt(3))
    assert SpectralSpace(grid).modes == (11, 11, 6)
