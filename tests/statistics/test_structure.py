from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from eddymark.grid import Grid, SpectralSpace
from eddymark.statistics.structure import (
    derivative_skewness,
    longitudinal_derivative_moments,
    palinstrophy_moments,
    palinstrophy_production,
    vorticity_flatness,
    vorticity_moments,
)

Fields = Callable[..., Tensor]


def averages(moments: dict[str, Tensor]) -> dict[str, np.ndarray]:
    return {name: values.mean().numpy() for name, values in moments.items()}


def test_derivative_skewness_of_two_coherent_modes_is_known(cube: Grid) -> None:
    # ∂_i u_i = a cos x_i + b cos 2x_i has the moments (a² + b²) / 2 and 3 a² b / 4.
    a, b = 1.0, -0.5
    space = SpectralSpace(cube, dealiased=False)
    axes = torch.meshgrid(*map(torch.as_tensor, cube.coordinates()), indexing="ij")
    velocity = torch.stack([a * torch.sin(x) + b / 2 * torch.sin(2 * x) for x in axes])
    moments = averages(longitudinal_derivative_moments(space.to_spectral(velocity), space=space))
    assert moments["derivative_square"] == pytest.approx((a**2 + b**2) / 2)
    assert moments["derivative_cube"] == pytest.approx(0.75 * a**2 * b)
    expected = 0.75 * a**2 * b / ((a**2 + b**2) / 2) ** 1.5
    assert derivative_skewness(**moments) == pytest.approx(expected)


def test_derivative_moments_are_averaged_over_the_axes_before_the_ratio(cube: Grid) -> None:
    space = SpectralSpace(cube, dealiased=False)
    x = torch.as_tensor(cube.coordinates()[0])[:, None, None].expand(12, 12, 12)
    velocity = torch.stack([torch.sin(x), torch.zeros_like(x), torch.zeros_like(x)])
    moments = longitudinal_derivative_moments(space.to_spectral(velocity), space=space)
    assert moments["derivative_square"].item() == pytest.approx(0.5 / 3)


def test_random_phases_have_no_skewness_no_production_and_gaussian_flatness(
    cube: Grid, square: Grid, random_phases: Fields
) -> None:
    space = SpectralSpace(cube, dealiased=False)
    spectrum = space.to_spectral(random_phases(cube, trajectories=1, times=300, seed=3))
    assert abs(derivative_skewness(**averages(longitudinal_derivative_moments(spectrum, space=space)))) < 0.01
    assert vorticity_flatness(**averages(vorticity_moments(spectrum, space=space))) == pytest.approx(3, abs=0.05)
    space = SpectralSpace(square, dealiased=False)
    spectrum = space.to_spectral(random_phases(square, trajectories=1, times=2000, seed=4))
    moments = averages(palinstrophy_moments(spectrum, space=space))
    square_moment = averages(vorticity_moments(spectrum, space=space))["vorticity_square"]
    assert abs(palinstrophy_production(**moments, vorticity_square=square_moment)) < 0.003


def test_palinstrophy_moments_agree_with_the_formula_on_a_constructed_field(square: Grid) -> None:
    space = SpectralSpace(square, dealiased=False)
    x, y = np.meshgrid(*square.coordinates(), indexing="ij")
    s, c = np.sin, np.cos
    # ψ = cos x + 2 cos(x + 2y) − cos(2x + 2y): a triad, so that mean triple products are not zero.
    waves = [(1.0, 1, 0), (2.0, 1, 2), (-1.0, 2, 2)]

    def derivative(of_x: int, of_y: int) -> np.ndarray:
        total = np.zeros_like(x)
        for amplitude, k, m in waves:
            function = [c, lambda z: -s(z), lambda z: -c(z), s][(of_x + of_y) % 4]
            total += amplitude * k**of_x * m**of_y * function(k * x + m * y)
        return total

    velocity = np.stack([derivative(0, 1), -derivative(1, 0)])
    gradient = [-derivative(3, 0) - derivative(1, 2), -derivative(2, 1) - derivative(0, 3)]
    strain = {(0, 0): derivative(1, 1), (1, 1): -derivative(1, 1)}
    strain[0, 1] = strain[1, 0] = 0.5 * (derivative(0, 2) - derivative(2, 0))
    production = -sum(gradient[i] * strain[i, j] * gradient[j] for i in (0, 1) for j in (0, 1)).mean()
    found = palinstrophy_moments(space.to_spectral(torch.as_tensor(velocity)), space=space)
    assert abs(production) > 1
    assert found["vorticity_gradient_production"].item() == pytest.approx(production)
    assert found["vorticity_gradient_square"].item() == pytest.approx((gradient[0] ** 2 + gradient[1] ** 2).mean())


def test_palinstrophy_production_is_the_rate_at_which_advection_makes_palinstrophy(
    square: Grid, random_phases: Fields
) -> None:
    # d/dt ½⟨|∇ω|²⟩ = −⟨∇ω · ∇(u · ∇ω)⟩ = ⟨∇²ω (u · ∇ω)⟩.
    space = SpectralSpace(square, dealiased=False)
    velocity = random_phases(square, trajectories=1, times=5, seed=5)
    spectrum = space.to_spectral(velocity)
    vorticity = space.vorticity(spectrum).squeeze(-3)
    advection = sum(velocity[:, :, i] * space.to_physical(space.derivative(vorticity, i)) for i in (0, 1))
    laplacian = space.to_physical(-space.wavenumber_squared * vorticity)
    found = palinstrophy_moments(spectrum, space=space)["vorticity_gradient_production"]
    torch.testing.assert_close(found, (laplacian * advection).mean((-2, -1)))
    assert found.abs().min() > 0


def test_normalised_production_does_not_depend_on_the_units(square: Grid, random_phases: Fields) -> None:
    values = []
    for scale in (1.0, 10.0):
        space = SpectralSpace(square, dealiased=False)
        spectrum = space.to_spectral(scale * random_phases(square, trajectories=1, times=1, seed=6))
        moments = averages(palinstrophy_moments(spectrum, space=space))
        moments["vorticity_square"] = averages(vorticity_moments(spectrum, space=space))["vorticity_square"]
        values.append(float(palinstrophy_production(**moments)))
    assert values[0] == pytest.approx(values[1])
    assert abs(values[0]) > 1e-4


def test_flatness_of_one_wave_is_three_halves(square: Grid) -> None:
    space = SpectralSpace(square, dealiased=False)
    x = torch.as_tensor(square.coordinates()[0])[:, None].expand(16, 16)
    spectrum = space.to_spectral(torch.stack([torch.zeros_like(x), torch.sin(x)]))
    assert vorticity_flatness(**averages(vorticity_moments(spectrum, space=space))) == pytest.approx(1.5)


def test_ratios_of_a_state_at_rest_are_not_a_number() -> None:
    zero = np.zeros(1)
    assert np.isnan(derivative_skewness(derivative_square=zero, derivative_cube=zero)).all()


def test_palinstrophy_is_refused_in_three_dimensions(cube: Grid) -> None:
    space = SpectralSpace(cube, dealiased=False)
    with pytest.raises(ValueError, match="2-D"):
        palinstrophy_moments(torch.zeros((3, *space.modes), dtype=torch.complex128), space=space)
