from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from eddymark.grid import Grid, SpectralSpace
from eddymark.statistics import averaging
from eddymark.statistics.increments import (
    DIRECTIONS,
    ORDERS,
    Separation,
    density_separations,
    increment_densities_distance,
    increment_flatness,
    increment_skewness,
    increment_skewness_error,
    measure_increments,
    rms_increments,
    separations,
    structure_function_error,
    structure_functions,
)
from eddymark.statistics.measure import Window

Fields = Callable[..., Tensor]
TURN = 2 * np.pi
WHOLE = Window(-np.inf)
EVEN_MOMENTS = {2: 1 / 2, 4: 3 / 8, 6: 5 / 16}
"""Means of powers of a cosine."""


def lengths(found: list[Separation]) -> list[float]:
    return [one.length for one in found]


def functions_of(velocity: Tensor, grid: Grid, axes: tuple[int, ...] = ()) -> np.ndarray:
    found = separations(grid, axes or range(grid.dimension))
    return structure_functions(velocity, grid=grid, found=found).numpy()


def test_separations_are_multiples_of_the_largest_spacing_on_whose_points_they_end() -> None:
    even = Grid(points=(32, 32), sides=(TURN, TURN))
    found = separations(even, (0, 1))
    np.testing.assert_allclose(np.array(lengths(found)) / even.spacing[0], [1, 2, 3, 4, 6, 8, 12, 16])
    assert found[3].steps == ((0, 4), (1, 4))
    assert [one.steps[0][1] for one in density_separations(found)] == [1, 6, 16]
    # Half of the shortest side is the farthest that two points are apart; z has spacings of its own.
    layer = Grid(points=(24, 24, 14), sides=(2 * TURN, 2 * TURN, TURN))
    found = separations(layer, (0, 2))
    np.testing.assert_allclose(np.array(lengths(found)) / layer.spacing[0], [1, 2, 3, 4, 6])
    assert [one.steps for one in found[-2:]] == [((0, 4),), ((0, 6), (2, 7))]
    fine = Grid(points=(8, 16), sides=(TURN, TURN))
    assert [one.steps for one in separations(fine, (0, 1))[:2]] == [((0, 1), (1, 2)), ((0, 2), (1, 4))]


@pytest.mark.parametrize(("component", "direction"), [(0, "longitudinal"), (1, "transverse")])
def test_structure_functions_of_one_wave_are_exact(component: int, direction: str) -> None:
    # δu = 2 sin(kr/2) cos(kx + kr/2) for a wave along x; along y it does not change.
    grid, k = Grid(points=(16, 16), sides=(TURN, TURN)), 2
    x = torch.as_tensor(grid.coordinates()[0])[:, None].expand(16, 16)
    velocity = torch.zeros((2, 16, 16), dtype=torch.float64)
    velocity[component] = torch.sin(k * x)
    found = functions_of(velocity, grid)
    amplitude = 2 * np.sin(k * np.array(lengths(separations(grid, (0, 1)))) / 2)
    expected = np.zeros_like(found)
    for order, moment in EVEN_MOMENTS.items():
        expected[DIRECTIONS.index(direction), ORDERS.index(order)] = moment * amplitude**order / 2
    np.testing.assert_allclose(found, expected, atol=1e-14)


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 2**31), st.sampled_from([((12, 16), (1.0, 2.0)), ((12, 8, 16), (3.0, 2.0, 4.0))]))
def test_the_second_order_is_that_of_the_spectrum(seed: int, box: tuple[tuple[int, ...], tuple[float, ...]]) -> None:
    # ⟨|u(x + r) − u(x)|²⟩ = Σ_k 2 |û|² (1 − cos k·r), by axes of which r is a whole number of points.
    grid = Grid(*box)
    space = SpectralSpace(grid, dealiased=False)
    source = torch.Generator().manual_seed(seed)
    velocity = torch.randn((grid.dimension, *grid.points), generator=source, dtype=torch.float64)
    power = space.to_spectral(velocity).abs().square() * space.multiplicity
    # The Nyquist mode, whose odd derivative is zero, is part of the field.
    waves = torch.as_tensor(space._wavenumbers)
    found = functions_of(velocity, grid)[:, ORDERS.index(2)]
    for index, separation in enumerate(separations(grid, range(grid.dimension))):
        expected = np.zeros(2)
        for axis, _ in separation.steps:
            weight = 2 * (1 - torch.cos(waves[axis] * separation.length))
            change = (power * weight).flatten(1).sum(1).numpy()
            expected += [change[axis], (change.sum() - change[axis]) / (grid.dimension - 1)]
        np.testing.assert_allclose(found[:, index], expected / len(separation.steps), rtol=1e-10)


def test_phases_that_belong_together_make_the_skewness_that_they_should() -> None:
    # δu of a sin x + b sin 2x is A cos(x + r/2) + B cos(2x + r), with ⟨δu³⟩ = ¾ A² B.
    a, b = 1.0, -0.3
    grid = Grid(points=(24, 24, 24), sides=(TURN,) * 3)
    axes = torch.meshgrid(*map(torch.as_tensor, grid.coordinates()), indexing="ij")
    velocity = torch.stack([a * torch.sin(x) + b * torch.sin(2 * x) for x in axes])
    r = np.array(lengths(separations(grid, (0, 1, 2))))
    first, second = 2 * a * np.sin(r / 2), 2 * b * np.sin(r)
    found = functions_of(velocity, grid)
    np.testing.assert_allclose(found[0, ORDERS.index(3)], 0.75 * first**2 * second, atol=1e-13)
    inner = r < 3
    expected = 0.75 * first**2 * second / ((first**2 + second**2) / 2) ** 1.5
    np.testing.assert_allclose(increment_skewness(found)[inner], expected[inner], atol=1e-12)
    assert increment_skewness(found)[0] < -0.1
    np.testing.assert_allclose(found[1], 0, atol=1e-13)


def test_gaussian_increments_have_gaussian_moments_and_densities(square: Grid, random_phases: Fields) -> None:
    velocity = random_phases(square, trajectories=40, times=60, seed=1, slope=-2)
    found = measure_increments(velocity, grid=square, interval=1.0, window=WHOLE)
    functions = found["structure_function"].mean(["trajectory", "window"]).to_numpy()
    np.testing.assert_allclose(increment_flatness(functions), 3, rtol=0.04)
    second, sixth = (functions[:, ORDERS.index(order)] for order in (2, 6))
    np.testing.assert_allclose(sixth / second**3, 15, rtol=0.12)
    np.testing.assert_allclose(increment_skewness(functions), 0, atol=0.03)
    fifth = functions[:, ORDERS.index(5)]
    np.testing.assert_allclose(fifth / second**2.5, 0, atol=0.4)
    bins = found["increment_bin"].to_numpy()
    expected = np.exp(-(bins**2) / 2) / np.sqrt(TURN)
    density = found["increment_densities"].mean(["trajectory", "window"]).to_numpy()
    assert density.shape == (2, 3, len(bins))
    np.testing.assert_allclose(density, np.broadcast_to(expected, density.shape), atol=0.01)


def test_a_mean_flow_across_the_layer_is_no_increment(random_phases: Fields) -> None:
    grid = Grid(points=(12, 12, 8), sides=(TURN, TURN, TURN))
    velocity = random_phases(grid, trajectories=1, times=2, seed=2)
    sheared = velocity.clone()
    sheared[..., 0, :, :, :] += torch.tanh(torch.as_tensor(grid.coordinates()[1]) - 3)[:, None]
    measured = [
        measure_increments(one, grid=grid, interval=1.0, window=WHOLE, homogeneous_axes=(0, 2))["structure_function"]
        for one in (velocity, sheared)
    ]
    np.testing.assert_allclose(measured[0], measured[1], atol=1e-12)
    everywhere = measure_increments(sheared, grid=grid, interval=1.0, window=WHOLE)["structure_function"]
    assert (everywhere.sel(order=2) > measured[0].sel(order=2).to_numpy()[..., -1:]).any()


def test_densities_are_normalised_by_the_increments_of_the_reference(square: Grid, random_phases: Fields) -> None:
    velocity = random_phases(square, trajectories=3, times=8, seed=3)
    dns = measure_increments(velocity, grid=square, interval=1.0, window=WHOLE)
    bins = dns["increment_bin"]

    def rms(found: object) -> np.ndarray:
        density = found["increment_densities"].mean("trajectory")  # type: ignore[index]
        return np.asarray(np.sqrt((density * bins**2).sum("increment_bin") * 0.25))

    np.testing.assert_allclose(rms(dns), 1, rtol=0.02)
    stronger = measure_increments(1.5 * velocity, grid=square, interval=1.0, window=WHOLE, reference=dns)
    np.testing.assert_allclose(rms(stronger), 1.5, rtol=0.02)
    np.testing.assert_allclose(rms_increments(stronger), 1.5 * rms_increments(dns))


def test_each_part_of_a_window_is_measured_by_itself_and_failures_count_in_those_before(
    square: Grid, random_phases: Fields
) -> None:
    velocity = random_phases(square, trajectories=2, times=7, seed=4)
    velocity = velocity * (0.5 ** torch.arange(7, dtype=torch.float64)).view(1, 7, 1, 1, 1)
    window = Window(start=1.0, parts=3)
    whole = measure_increments(velocity, grid=square, interval=1.0, window=window)
    for number, part in enumerate((slice(1, 3), slice(3, 5), slice(5, 7))):
        alone = measure_increments(velocity[:, part], grid=square, interval=1.0, window=WHOLE)
        for name in alone:
            np.testing.assert_allclose(whole[name][:, number], alone[name][:, 0], rtol=1e-12)
    velocity[1, 4:] = torch.nan
    found = measure_increments(velocity, grid=square, interval=1.0, window=window, reference=whole)
    for name in found:
        assert found[name].dims == whole[name].dims
        np.testing.assert_array_equal(found[name][0], whole[name][0])
        np.testing.assert_array_equal(found[name][1, 0], whole[name][1, 0])
        assert np.isnan(found[name][1, 1:]).all()
    velocity[:, 1:] = torch.nan
    lost = measure_increments(velocity, grid=square, interval=1.0, window=window, reference=whole)
    assert {name: lost[name].shape for name in lost} == {name: whole[name].shape for name in whole}
    assert np.isnan(lost["structure_function"]).all()


def test_of_long_rollouts_states_at_equal_distances_count(square: Grid, random_phases: Fields) -> None:
    assert averaging.SAMPLES == 64
    velocity = random_phases(square, trajectories=2, times=130, seed=5)
    found = measure_increments(velocity, grid=square, interval=1.0, window=WHOLE)
    every_third = measure_increments(velocity[:, ::3], grid=square, interval=1.0, window=WHOLE)
    for name in found:
        np.testing.assert_array_equal(found[name], every_third[name])
    # A trajectory which fails between two of these states has failed all the same.
    velocity[1, -1] = torch.nan
    assert np.isnan(
        measure_increments(velocity, grid=square, interval=1.0, window=WHOLE)["structure_function"][1]
    ).all()


def test_distances_are_zero_for_equal_statistics_and_known_for_scaled_ones(square: Grid, random_phases: Fields) -> None:
    velocity = random_phases(square, trajectories=1, times=4, seed=6)
    found = measure_increments(velocity, grid=square, interval=1.0, window=WHOLE).isel(trajectory=0)
    functions = found["structure_function"].to_numpy()
    powers = 1.3 ** np.array(ORDERS)[:, None]
    np.testing.assert_allclose(structure_function_error(powers * functions, functions), 2 * np.log10(1.3))
    np.testing.assert_allclose(increment_skewness_error(powers * functions, functions), 0, atol=1e-12)
    flipped = np.array([1, -1, 1, -1, 1])[:, None] * functions
    expected = 2 * np.sqrt((increment_skewness(functions) ** 2).mean(axis=-1))
    np.testing.assert_allclose(increment_skewness_error(flipped, functions), expected)
    assert structure_function_error(flipped, functions) == 0
    densities = found["increment_densities"].to_numpy()
    assert increment_densities_distance(densities, densities) == 0
    # Apart from each other by more than they are wide.
    assert increment_densities_distance(np.roll(densities, 24, axis=-1), densities) == pytest.approx(1, abs=0.1)
    assert np.isnan(structure_function_error(np.nan * functions, functions)).all()
