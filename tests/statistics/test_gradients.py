from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from eddymark.grid import Grid, SpectralSpace
from eddymark.statistics.gradients import (
    INVARIANT_BINS,
    gradient_flatness,
    gradient_flatness_error,
    gradient_moments,
    gradient_scale,
    gradient_skewness,
    invariant_density,
    invariant_distance,
    invariants,
    measure_gradients,
    velocity_gradient,
)
from eddymark.statistics.measure import Scales, Window, measure

Fields = Callable[..., Tensor]
WHOLE = Window(-np.inf)


def matrix(*rows: tuple[float, float, float]) -> Tensor:
    return torch.tensor(rows, dtype=torch.float64)[..., None]


@pytest.mark.parametrize(
    ("gradient", "second", "third"),
    [
        (matrix((0, -1, 0), (1, 0, 0), (0, 0, 0)), 1, 0),  # rotation
        (matrix((1, 0, 0), (0, -1, 0), (0, 0, 0)), -1, 0),  # plane strain
        (matrix((1, 0, 0), (0, 1, 0), (0, 0, -2)), -3, 2),  # two stretched axes: 27/4 R² + Q³ = 0
        (matrix((-1, 0, 0), (0, -1, 0), (0, 0, 2)), -3, -2),  # one stretched axis
        (matrix((0, 3, 0), (0, 0, 0), (0, 0, 0)), 0, 0),  # shear: as much rotation as strain
        (matrix((-0.5, -2, 0), (2, -0.5, 0), (0, 0, 1)), 3.25, -4.25),  # a stretched vortex
    ],
)
def test_invariants_of_plain_gradients(gradient: Tensor, second: float, third: float) -> None:
    q, r = invariants(gradient)
    assert q.item() == pytest.approx(second)
    assert r.item() == pytest.approx(third)


def test_invariants_do_not_change_with_the_axes() -> None:
    source = torch.Generator().manual_seed(0)
    gradient = torch.randn((3, 3), generator=source, dtype=torch.float64)
    gradient -= torch.eye(3, dtype=torch.float64) * gradient.trace() / 3
    rotation = torch.linalg.qr(torch.randn((3, 3), generator=source, dtype=torch.float64))[0]
    rotation *= torch.linalg.det(rotation).sign()
    turned = rotation @ gradient @ rotation.T
    for one, other in zip(invariants(gradient[..., None]), invariants(turned[..., None]), strict=True):
        torch.testing.assert_close(one, other)
    cube = gradient @ gradient @ gradient
    assert invariants(gradient[..., None])[1].item() == pytest.approx(-cube.trace().item() / 3)


def test_the_gradient_is_that_of_the_field() -> None:
    grid = Grid((8, 10, 12), (2.0, 3.0, 4.0))
    x, y, z = torch.meshgrid(*map(torch.as_tensor, grid.coordinates()), indexing="ij")
    k, m, n = np.pi, 2 * np.pi / 3, np.pi / 2
    velocity = torch.stack([torch.sin(m * y), torch.sin(2 * n * z), torch.cos(k * x)])
    found = velocity_gradient(velocity, space=SpectralSpace(grid, dealiased=False)).unflatten(-1, grid.points)
    expected = torch.zeros_like(found)
    expected[0, 1], expected[1, 2] = m * torch.cos(m * y), 2 * n * torch.cos(2 * n * z)
    expected[2, 0] = -k * torch.sin(k * x)
    torch.testing.assert_close(found, expected, atol=1e-12, rtol=1e-12)
    second, third = invariants(found.flatten(-3))
    torch.testing.assert_close(second, torch.zeros_like(second), atol=1e-12, rtol=0)
    torch.testing.assert_close(third, -(expected[0, 1] * expected[1, 2] * expected[2, 0]).flatten(), atol=1e-12, rtol=0)


def test_moments_of_one_wave_are_known(square: Grid) -> None:
    # v = sin 3x: one transverse derivative of two, 3 cos 3x.
    x = torch.as_tensor(square.coordinates()[0])[:, None].expand(16, 16)
    velocity = torch.stack([torch.zeros_like(x), torch.sin(3 * x)])
    found = gradient_moments(velocity_gradient(velocity, space=SpectralSpace(square, dealiased=False)))
    expected = np.array([[0, 0, 0], [9 / 2 / 2, 0, 81 * 3 / 8 / 2]])
    np.testing.assert_allclose(found, expected, atol=1e-12)
    np.testing.assert_allclose(gradient_flatness(found)[1], 3)
    assert np.isnan(gradient_flatness(found)[0])
    # ⟨S_ij S_ij⟩ = ½ (∂_x v)².
    assert gradient_scale(found, dimension=2) == pytest.approx(np.sqrt(9 / 2 / 2))


def test_a_gaussian_field_has_gaussian_gradients_and_no_mean_invariants(cube: Grid, random_phases: Fields) -> None:
    velocity = random_phases(cube, trajectories=2, times=40, seed=1, slope=-2)
    found = measure_gradients(velocity, grid=cube, interval=1.0, window=WHOLE)
    moments = found["gradient_moment"].mean(["trajectory", "window"]).to_numpy()
    np.testing.assert_allclose(gradient_flatness(moments), 3, atol=0.1)
    np.testing.assert_allclose(gradient_skewness(moments), 0, atol=0.03)
    # A homogeneous solenoidal flow has ⟨Q⟩ = ⟨R⟩ = 0 (Betchov, 1956), each state of a periodic box exactly.
    gradient = velocity_gradient(velocity[0, :2], space=SpectralSpace(cube, dealiased=False))
    scale = gradient_scale(gradient_moments(gradient).mean(0), dimension=3)
    for values, power in zip(invariants(gradient), (2, 3), strict=True):
        np.testing.assert_allclose(values.mean(-1) / scale**power, 0, atol=1e-13)
        assert float(values.std()) > 0.1 * scale**power


def test_isotropic_gaussian_gradients_have_known_moments_and_a_symmetric_density() -> None:
    source = torch.Generator().manual_seed(7)
    first, second = torch.randn((2, 3, 3, 100_000), generator=source, dtype=torch.float64)
    trace = first.diagonal().sum(-1) / 3
    strain = (first + first.transpose(0, 1)) / 2 - trace * torch.eye(3, dtype=torch.float64)[..., None]
    # ⟨S_ij S_ij⟩ = 5 and ⟨Ω_ij Ω_ij⟩ = 3 before the division; equal in a homogeneous flow.
    gradient = strain / 5**0.5 + (second - second.transpose(0, 1)) / (2 * 3**0.5)
    moments = gradient_moments(gradient)
    assert gradient_scale(moments, dimension=3) == pytest.approx(1, rel=0.01)
    np.testing.assert_allclose(gradient_flatness(moments), 3, rtol=0.03)
    # ⟨(∂_2 u_1)²⟩ = 2 ⟨(∂_1 u_1)²⟩ (Taylor, 1935).
    assert float(moments[1, 0] / moments[0, 0]) == pytest.approx(2, rel=0.02)
    # Squares of five and of three independent Gaussians: ⟨Q²⟩ = ¼ (2/5 + 2/3).
    q, r = invariants(gradient)
    assert float(q.mean()) == pytest.approx(0, abs=0.01)
    assert float(q.square().mean()) == pytest.approx(4 / 15, rel=0.03)
    assert float(r.mean()) == pytest.approx(0, abs=0.01)
    # A gradient and its negative are equally likely: R, a cube, is symmetric about zero, Q is not.
    share = invariant_density(gradient, scale=1.0).numpy() * INVARIANT_BINS.width**2
    assert share.sum() == pytest.approx(1)
    np.testing.assert_allclose(share, share[:, ::-1], atol=2e-3)
    half = INVARIANT_BINS.count // 2
    assert share[half:].sum() == pytest.approx(float((q > 0).double().mean()), abs=1e-3)
    assert abs(share[half:].sum() - 0.5) > 0.01


def test_the_density_counts_each_state_in_its_bin_and_the_rest_in_the_end_bins() -> None:
    states = torch.stack(
        [
            matrix((0, -1, 0), (1, 0, 0), (0, 0, 0)),
            matrix((1, 0, 0), (0, 1, 0), (0, 0, -2)),
            1e3 * matrix((-1, 0, 0), (0, -1, 0), (0, 0, 2)),
        ],
        dim=-1,
    ).squeeze(-2)
    density = invariant_density(states, scale=2.0).numpy() * INVARIANT_BINS.width**2
    assert density.sum() == pytest.approx(1)
    found = {(int(i), int(j)) for i, j in np.argwhere(density > 0)}
    edges = np.linspace(-2, 2, INVARIANT_BINS.count + 1)

    def place(root: float) -> int:
        return int(np.searchsorted(edges, root, side="right")) - 1

    expected = {(place(0.5), place(0.0)), (place(-np.sqrt(3) / 2), place(2 ** (1 / 3) / 2)), (0, 0)}
    assert found == expected


def test_a_field_is_told_from_its_negative(cube: Grid, random_phases: Fields) -> None:
    velocity = random_phases(cube, trajectories=2, times=3, seed=2)
    measured = (measure_gradients(sign * velocity, grid=cube, interval=1.0, window=WHOLE) for sign in (1, -1))
    found = [one["invariant_density"] for one in measured]
    np.testing.assert_allclose(found[0].to_numpy()[..., ::-1], found[1], atol=1e-12)
    assert (invariant_distance(found[0], found[1]) > 0.02).all()
    np.testing.assert_array_equal(invariant_distance(found[0], found[0]), 0)


def test_longitudinal_moments_are_those_of_the_skewness(cube: Grid, random_phases: Fields) -> None:
    velocity = random_phases(cube, trajectories=2, times=3, seed=3)
    ours = measure_gradients(velocity, grid=cube, interval=1.0, window=WHOLE)["gradient_moment"]
    scales = Scales((1.0,), (1.0,))
    theirs = measure(velocity, grid=cube, interval=1.0, window=WHOLE, scales=scales)
    for moment, name in ((2, "derivative_square"), (3, "derivative_cube")):
        np.testing.assert_allclose(ours.sel(direction="longitudinal", moment=moment), theirs[name], rtol=1e-10)


def test_windows_failures_and_references(cube: Grid, random_phases: Fields) -> None:
    velocity = random_phases(cube, trajectories=2, times=5, seed=4)
    velocity = velocity * (0.5 ** torch.arange(5, dtype=torch.float64)).view(1, 5, 1, 1, 1, 1)
    window = Window(1.0, parts=2)
    whole = measure_gradients(velocity, grid=cube, interval=1.0, window=window)
    alone = measure_gradients(velocity[:, 3:], grid=cube, interval=1.0, window=WHOLE)
    velocity[0, 3:] = torch.nan
    found = measure_gradients(velocity, grid=cube, interval=1.0, window=window, reference=whole)
    for name in whole:
        np.testing.assert_allclose(whole[name][:, 1], alone[name][:, 0], rtol=1e-10)
        np.testing.assert_array_equal(found[name][:, 0], whole[name][:, 0])
        np.testing.assert_array_equal(found[name][1], whole[name][1])
        assert np.isnan(found[name][0, 1]).all()
    # Stronger gradients, counted in the unit of the reference, are farther out.
    outer = abs(found["q_root"]) > 1
    stronger = measure_gradients(2 * velocity, grid=cube, interval=1.0, window=window, reference=whole)
    shares = [float(one["invariant_density"][1, 0].where(outer, 0).sum()) for one in (found, stronger)]
    assert shares[1] > 2 * shares[0]


def test_two_dimensions_have_moments_only(square: Grid) -> None:
    # Taylor–Green: products of two cosines or sines, of flatness (3/2)².
    x, y = torch.meshgrid(*map(torch.as_tensor, square.coordinates()), indexing="ij")
    velocity = torch.stack([torch.cos(x) * torch.sin(y), -torch.sin(x) * torch.cos(y)])
    found = measure_gradients(velocity.expand(2, 3, 2, 16, 16), grid=square, interval=1.0, window=WHOLE)
    assert set(found.data_vars) == {"gradient_moment"}
    moments = found["gradient_moment"][0, 0].to_numpy()
    np.testing.assert_allclose(moments, [[1 / 4, 0, 9 / 64]] * 2, atol=1e-14)
    np.testing.assert_allclose(gradient_flatness(moments), 9 / 4)
    assert gradient_flatness_error(moments, moments) == 0
    assert gradient_flatness_error(moments * [1, 1, 2], moments) == pytest.approx(9 / 4)
