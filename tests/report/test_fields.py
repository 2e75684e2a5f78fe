from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from eddymark.grid import Grid
from eddymark.report.fields import amplitudes, colour_limit, rgb, vorticity_slices
from eddymark.storage import trajectory_dataset, write_trajectories


def store(path: Path, velocity: np.ndarray, grid: Grid) -> Path:
    dataset = trajectory_dataset(
        velocity[None].astype(np.float32), grid=grid, interval=0.1, turnover_time=1.0, attributes={}
    )
    write_trajectories(path, dataset)
    return path


@pytest.mark.parametrize("pixels", [12, 16, 48])
def test_vorticity_of_a_vortex_array_is_exact_at_any_number_of_pixels(tmp_path: Path, pixels: int) -> None:
    grid = Grid((16, 16), (2 * np.pi, 2 * np.pi))
    x, y = np.meshgrid(*grid.coordinates(), indexing="ij")
    velocity = np.stack([np.cos(x) * np.sin(2 * y), -0.5 * np.sin(x) * np.cos(2 * y)])
    path = store(tmp_path / "a.zarr.zip", np.stack([velocity, 2 * velocity]), grid)
    field = vorticity_slices(path, sides=grid.sides, outputs=np.array([0, 1]), pixels=pixels)
    fine = 2 * np.pi * np.arange(pixels) / pixels
    exact = -2.5 * np.cos(fine)[:, None] * np.cos(2 * fine)[None, :]
    np.testing.assert_allclose(field, [exact, 2 * exact], atol=2e-6)


def test_in_3d_the_slice_is_vertical_vorticity_on_the_plane_of_origin(tmp_path: Path) -> None:
    grid = Grid((8, 8, 8), (2 * np.pi,) * 3)
    x, y, z = np.meshgrid(*grid.coordinates(), indexing="ij")
    velocity = np.stack([np.sin(y) * np.cos(z), np.cos(x), np.sin(x)])
    path = store(tmp_path / "a.zarr.zip", velocity[None], grid)
    field = vorticity_slices(path, sides=grid.sides, outputs=np.array([0]), pixels=8)
    np.testing.assert_allclose(field[0], (-np.sin(x) - np.cos(y))[..., 0], atol=2e-6)


def test_slices_of_a_box_with_unequal_sides_have_its_shape(tmp_path: Path) -> None:
    grid = Grid((8, 16, 6), (4 * np.pi, 6 * np.pi, 2 * np.pi))
    x, y, z = np.meshgrid(*grid.coordinates(), indexing="ij")
    velocity = np.stack([np.sin(y / 3) * np.cos(z), np.cos(x / 2), np.sin(x)])
    path = store(tmp_path / "a.zarr.zip", velocity[None], grid)
    field = vorticity_slices(path, sides=grid.sides, outputs=np.array([0]), pixels=24)
    along, across = 4 * np.pi * np.arange(16)[:, None] / 16, 6 * np.pi * np.arange(24)[None, :] / 24
    np.testing.assert_allclose(field[0], -np.sin(along / 2) / 2 - np.cos(across / 3) / 3, atol=2e-6)


def test_failed_states_are_grey_and_axes_point_right_and_up() -> None:
    field = np.zeros((1, 4, 4))
    field[0, 3, 0] = 1.0  # large x, small y: bottom right
    field[0, 0, 3] = np.nan  # small x, large y: top left
    picture = rgb(field, 1.0)[0]
    red, green, blue = (int(part) for part in picture[3, 3])
    assert red > 80 > max(green, blue)
    assert len(set(picture[0, 0].tolist())) == 1
    assert picture[0, 0, 0] == 216


def test_only_pictures_that_fade_are_drawn_in_units_of_their_rms() -> None:
    picture = np.array([[1.0, -1.0], [3.0, -3.0]])
    rms = np.sqrt(5.0)
    np.testing.assert_allclose(amplitudes(np.stack([picture, 0.1 * picture])), [rms, 0.1 * rms])
    np.testing.assert_array_equal(amplitudes(np.stack([picture, 0.5 * picture])), [1, 1])


def test_the_colour_scale_ignores_rare_extremes() -> None:
    field = np.ones(10000)
    field[0] = 1e6
    assert colour_limit(field) == 1.0
