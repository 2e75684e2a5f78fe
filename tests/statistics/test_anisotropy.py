from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eddymark.statistics.anisotropy import anisotropy, anisotropy_error, lumley_invariants


def column(*stresses: float) -> np.ndarray:
    return np.array(stresses)[:, None]


@pytest.mark.parametrize(
    ("stresses", "xi", "eta"),
    [
        (column(2, 2, 2, 0), 0, 0),  # isotropic
        (column(1, 0, 0, 0), 1 / 3, 1 / 3),  # one component
        (column(1, 1, 0, 0), -1 / 6, 1 / 6),  # two equal components
        (column(2, 1, 1, 0), 1 / 12, 1 / 12),  # axisymmetric, one larger
        (column(1, 1, 2, 0), 1 / 12, 1 / 12),  # the same along z
        (column(0.5, 0.5, 0, 0.5), 1 / 3, 1 / 3),  # one component at 45 degrees
    ],
)
def test_the_corners_and_edges_of_the_triangle(stresses: np.ndarray, xi: float, eta: float) -> None:
    found = lumley_invariants(stresses)
    np.testing.assert_allclose(found, [[xi], [eta]], atol=1e-5)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.floats(-1, 1), min_size=4, max_size=4), st.floats(0.01, 1))
def test_whatever_is_possible_lies_in_the_triangle(entries: list[float], third: float) -> None:
    # R = L Lᵀ of a velocity with v'w' = u'w' = 0.
    a, b, c, _ = entries
    xi, eta = lumley_invariants(column(a * a + b * b + 1e-3, c * c + 1e-3, third, b * c))
    assert abs(xi[0]) <= eta[0] + 1e-5
    assert eta[0] <= np.sqrt(1 / 27 + 2 * xi[0] ** 3) + 1e-5


def test_the_tensor_has_no_trace_and_no_unit_and_is_nothing_without_fluctuations() -> None:
    stresses = np.abs(np.random.default_rng(0).standard_normal((3, 4, 5)))
    found = anisotropy(stresses)
    np.testing.assert_allclose(found[:, :3].sum(axis=1), 0, atol=1e-14)
    np.testing.assert_allclose(anisotropy(7 * stresses), found)
    assert np.isnan(anisotropy(np.zeros((4, 2)))).all()


def test_the_error_weights_points_with_their_energy_and_counts_shear_twice() -> None:
    reference = np.tile(column(1.0, 1.0, 1.0, 0.0), (1, 3)) * [1.0, 1.0, 2.0]
    changed = reference.copy()
    changed[3, 2] = 0.6
    # b_12 differs by 0.1 at a point which holds half of the energy, and so does b_21.
    assert anisotropy_error(changed, reference) == pytest.approx(np.sqrt(2 * 0.1**2 / 2))
    assert anisotropy_error(3 * reference, reference) == pytest.approx(0, abs=1e-12)
