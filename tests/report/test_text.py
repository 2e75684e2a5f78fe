from __future__ import annotations

import math

import pytest

from eddymark.report.standings import Estimate
from eddymark.report.text import count, duration, enumeration, flow_title, interval, multiple, number, size


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.04512, "0.0451"), (12.345, "12.3"), (1234.5, "1234"), (-0.25, "−0.250"), (0, "0"), (math.nan, "–")],
)
def test_numbers_have_three_significant_digits(value: float, text: str) -> None:
    assert number(value) == text


def test_flows_are_spelt_as_their_authors_are() -> None:
    names = ("mcwilliams", "kolmogorov_fine", "decaying_isotropic", "my_mcwilliams", "DNS_512")
    titles = ["McWilliams", "Kolmogorov fine", "Decaying isotropic", "My McWilliams", "DNS 512"]
    assert [flow_title(name) for name in names] == titles


def test_tiny_and_huge_numbers_get_a_power_of_ten() -> None:
    assert number(1.234e-7) == "1.23·10^−7"
    assert number(1.234e9) == "1.23·10^9"


@pytest.mark.parametrize(
    ("estimate", "text"),
    [
        (Estimate(0.0451, 0.0402, 0.0507), "0.045 [0.040, 0.051]"),
        (Estimate(0.0451, 0.0449, 0.0453), "0.0451 [0.0449, 0.0453]"),
        (Estimate(0.0451, -0.9, 1.1), "0.045 [−0.900, 1.100]"),
        (Estimate(4.6, 4.2, 5.1), "4.6 [4.2, 5.1]"),
        (Estimate(0.0451), "0.0451"),
        (Estimate(math.nan, 1, 2), "–"),
    ],
)
def test_intervals_show_as_many_decimals_as_they_are_worth(estimate: Estimate, text: str) -> None:
    assert interval(estimate) == text


def test_scores_with_a_floor_are_multiples_of_it() -> None:
    assert multiple(Estimate(0.045, 0.040, 0.051, 0.014)) == "3.2 × (0.045 [0.040, 0.051])"
    assert multiple(Estimate(0.045, 0.040, 0.051)) == "0.045 [0.040, 0.051]"


def test_units_suit_the_quantity() -> None:
    assert [duration(value) for value in (12.0, 300.0, 9000.0)] == ["12.0 s", "5.00 min", "2.50 h"]
    assert [size(value) for value in (3.1e8, 2.5e9)] == ["310 MB", "2.50 GB"]
    assert count(1234567) == "1\u202f234\u202f567"
    assert enumeration(["a", "b", "c"]) == "a, b and c"
    assert enumeration(["a", "b", "c"], most=2) == "a, b and c"
    assert enumeration(["a", "b", "c", "d"], most=2) == "a, b and 2 others"
