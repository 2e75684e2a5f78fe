from __future__ import annotations

import numpy as np
import pytest

from eddymark.statistics.survival import RecordedFailure, running_mean, survival

TIME = 0.5 * np.arange(7)


def judge(energy: list[list[float]], enstrophy: list[list[float]] | None = None, **changes: object) -> tuple:
    kinetic_energy = np.array(energy, dtype=float)
    arguments = {
        "time": TIME,
        "kinetic_energy": 3.0 * kinetic_energy,
        "mean_flow_energy": np.zeros_like(kinetic_energy),
        "enstrophy": 5.0 * (np.ones_like(kinetic_energy) if enstrophy is None else np.array(enstrophy)),
        "mean_kinetic_energy": 3.0,
        "mean_enstrophy": 5.0,
        "energy_range": (0.5, 2.0),
        "enstrophy_range": (0.4, 2.5),
        "average": 0.0,
    }
    return survival(**(arguments | changes))


def test_a_rollout_near_the_dns_mean_survives() -> None:
    times, causes = judge([[1.0, 1.9, 0.6, 1.0, 1.0, 1.0, 1.0]])
    assert np.isnan(times).all()
    assert causes == [""]


@pytest.mark.parametrize(
    ("energy", "enstrophy", "time", "words"),
    [
        ([1, 1, 2.1, 1, 1, 1, 1], [1] * 7, 1.0, "kinetic energy above 2"),
        ([1, 1, 1, 0.4, 3, 1, 1], [1] * 7, 1.5, "kinetic energy below 0.5"),
        ([1, 1, 1, 1, 3, 1, 1], [1, 2.6, 1, 1, 1, 1, 1], 0.5, "enstrophy above 2.5"),
        ([1, 1, 1, 1, 1, 1, 1], [1, 1, 1, 1, 1, 1, 0.3], 3.0, "enstrophy below 0.4"),
    ],
)
def test_the_first_departure_gives_time_and_cause(
    energy: list[float], enstrophy: list[float], time: float, words: str
) -> None:
    times, causes = judge([energy], [enstrophy])
    assert times[0] == time
    assert causes[0].startswith(words)


def test_a_running_mean_forgives_a_short_excursion_but_not_a_lasting_one() -> None:
    short = [1, 1, 1, 3, 1, 1, 1]
    lasting = [1, 1, 1, 3, 3, 3, 3]
    times, _ = judge([short, lasting], average=1.5)
    assert np.isnan(times[0])
    # Means over three states: 1.67, then 2.33.
    assert times[1] == 2.0


def test_the_running_mean_takes_the_time_before_the_start_for_the_dns_mean() -> None:
    mean = running_mean(np.array([[4.0, 1.0, 1.0, 7.0]]), samples=3)
    np.testing.assert_allclose(mean, [[2.0, 2.0, 2.0, 3.0]])


def test_a_transient_flow_is_judged_by_the_dns_at_the_same_time() -> None:
    """Energy of the DNS 2⁻ⁿ: what decays with it lives, what stays where it was fails, as does what runs ahead."""
    decay = 0.5 ** np.arange(7)
    times, causes = judge(
        [(1.5 * decay).tolist(), [1.0] * 7, (decay**2).tolist()],
        mean_kinetic_energy=3.0 * decay,
        mean_enstrophy=5.0 * np.ones(7),
    )
    np.testing.assert_array_equal(times, [np.nan, 1.0, 1.0])
    assert causes == ["", "kinetic energy above 2 × DNS mean", "kinetic energy below 0.5 × DNS mean"]


def test_the_initial_state_is_not_tested() -> None:
    times, _ = judge([[9.0, 1, 1, 1, 1, 1, 1]])
    assert np.isnan(times[0])


def test_a_recorded_failure_counts_unless_the_rollout_had_failed_before() -> None:
    nan = np.nan
    lost = [1, 1, nan, nan, nan, nan, nan]
    times, causes = judge(
        [lost, [1, 3, nan, nan, nan, nan, nan], [1] * 7],
        recorded=[RecordedFailure(0, 1.0, "not finite"), RecordedFailure(1, 1.0, "not finite")],
    )
    np.testing.assert_array_equal(times, [1.0, 0.5, nan])
    assert causes == ["not finite", "kinetic energy above 2 × DNS mean", ""]


def test_a_failure_by_a_mean_flow_that_the_equations_do_not_make_says_so() -> None:
    """Energy 2.4 × that of the DNS: gained by the mean flow; there from the start; half gained, which is not enough."""
    energy = [[1.0, 1, 1, 2.4, 2.4, 2.4, 2.4]] * 3
    gained = [[0.0, 0, 0, 1.4, 1.4, 1.4, 1.4], [1.4] * 7, [0.0, 0, 0, 0.3, 0.3, 0.3, 0.3]]
    times, causes = judge(energy, mean_flow_energy=3.0 * np.array(gained))
    np.testing.assert_array_equal(times, [1.5, 1.5, 1.5])
    words = "kinetic energy above 2 × DNS mean"
    assert causes == [f"{words} by the mean flow", words, words]


def test_the_mean_flow_is_averaged_over_the_same_time_as_the_energy() -> None:
    """Running means over three states: 2.23 of the energy, of which the mean flow has gained 0.2, not 0.6."""
    energy = [[1.0, 1, 1, 1, 1.9, 2.2, 2.6]]
    _, causes = judge(energy, mean_flow_energy=3.0 * np.array([[0.0, 0, 0, 0, 0, 0, 0.6]]), average=1.5)
    assert causes == ["kinetic energy above 2 × DNS mean"]
    _, causes = judge(energy, mean_flow_energy=3.0 * np.array([[0.0, 0, 0, 0, 0, 0.1, 0.7]]), average=1.5)
    assert causes == ["kinetic energy above 2 × DNS mean by the mean flow"]
