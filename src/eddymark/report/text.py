"""Numbers, intervals and lists as readable text."""

from __future__ import annotations

import math
from collections.abc import Sequence

from eddymark.report.standings import Estimate

DASH = "–"
KINDS = {
    "floor": "DNS",
    "les": "LES",
    "surrogate": "surrogate",
    "hybrid": "hybrid",
    "control": "control",
}
PROPER_NAMES = {"kolmogorov": "Kolmogorov", "mcwilliams": "McWilliams"}
"""Words in names of flows that are spelt with capital letters."""


def number(value: float, digits: int = 3) -> str:
    """Return a value with so many significant digits, without an exponent where it is readable."""
    if not math.isfinite(value):
        return DASH
    if value == 0:
        return "0"
    exponent = math.floor(math.log10(abs(value)))
    if exponent < -4 or exponent > 5:
        mantissa, power = f"{value:.{max(digits - 1, 0)}e}".split("e")
        return f"{mantissa}·10^{int(power)}".replace("-", "−")
    return f"{value:.{max(digits - 1 - exponent, 0)}f}".replace("-", "−")


def interval(estimate: Estimate) -> str:
    """Return `0.045 [0.040, 0.051]`: as many decimals as the interval is worth, at least two digits."""
    if not math.isfinite(estimate.value):
        return DASH
    if not (math.isfinite(estimate.low) and math.isfinite(estimate.high)):
        return number(estimate.value)
    half = (estimate.high - estimate.low) / 2
    scales = [math.floor(math.log10(half))] if half > 0 else []
    scales += [math.floor(math.log10(abs(estimate.value))) - (1 if scales else 2)] if estimate.value else []
    decimals = min(max(-min(scales, default=0), 0), 6)
    parts = (f"{part:.{decimals}f}" for part in (estimate.value, estimate.low, estimate.high))
    return "{} [{}, {}]".format(*parts).replace("-", "−")


def multiple(estimate: Estimate) -> str:
    """Return `3.2 × (0.045 [0.040, 0.051])`: multiples of the sampling floor and the value itself."""
    if not math.isfinite(estimate.multiple):
        return interval(estimate)
    return f"{number(estimate.multiple, 2)} × ({interval(estimate)})"


def duration(seconds: float) -> str:
    """Return a duration in the unit that suits it."""
    if not math.isfinite(seconds):
        return DASH
    if seconds < 120:
        return f"{number(seconds)} s"
    return f"{number(seconds / 60)} min" if seconds < 7200 else f"{number(seconds / 3600)} h"


def size(quantity: float) -> str:
    """Return a number of bytes in MB or GB."""
    if not math.isfinite(quantity):
        return DASH
    return f"{number(quantity / 1e6)} MB" if quantity < 1e9 else f"{number(quantity / 1e9)} GB"


def count(value: float) -> str:
    """Return a whole number with thin spaces between groups of three digits."""
    return f"{int(value):,}".replace(",", "\u202f") if math.isfinite(value) else DASH


def enumeration(items: Sequence[str], *, most: int | None = None) -> str:
    """Return `a`, `a and b` or `a, b and c`; of more than `most` items, `a, b and 5 others`."""
    if most is not None and len(items) > most + 1:
        items = [*items[:most], f"{len(items) - most} others"]
    if len(items) < 2:
        return "".join(items)
    return f"{', '.join(items[:-1])} and {items[-1]}"


def sentence(text: str) -> str:
    """Return the text with a capital letter and a full stop."""
    return f"{text[0].upper()}{text[1:]}."


def flow_title(name: str) -> str:
    """Return a flow's name as a heading."""
    first, *others = [PROPER_NAMES.get(word, word) for word in name.split("_")]
    return " ".join([first[:1].upper() + first[1:], *others])
