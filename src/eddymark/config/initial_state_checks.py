"""Checks of the state from which simulated runs start."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

from eddymark import initial_spectra
from eddymark.config.findings import Problem, show
from eddymark.config.flow_types import FLOW_TYPES
from eddymark.config.schema import Flow, InitialState

_KEYS = {
    "gaussian": ("energy", "peak_wavenumber"),
    "mcwilliams": ("energy", "peak_wavenumber"),
    "comte_bellot_corrsin": ("length_unit", "velocity_unit"),
}
"""What describes each spectrum."""

_SMALLEST_SHARE = 0.9
"""A DNS whose grid holds less than this share of the initial energy starts from another spectrum than it says."""
_THINNEST = 1.5
"""Smallest momentum thickness times the highest wavenumber: the modes of tanh(y / 2δ) fall off as exp(−π k δ), to 1 %
there."""
_SIDE_PER_THICKNESS = 48
"""Smallest cross-stream side over momentum thickness: layers about 12 δ wide meet when the side has become 24 δ."""
_FAR = 30
"""Shells up to this multiple of the resolved ones count as all; what lies beyond them is lost in rounding."""


def check_initial_state(flow: Flow, resolved: float) -> Iterator[Problem]:
    """Yield what is wrong with the spectrum of the initial state.

    Arguments:
        flow: the flow.
        resolved: highest shell that the DNS resolves.
    """
    state = flow.initial_state
    if state is None:
        return
    possible = FLOW_TYPES[flow.type].spectra if flow.type in FLOW_TYPES else tuple(_KEYS)
    if state.spectrum not in possible:
        expected = f"{' or '.join(possible)} for {flow.type}"
        yield Problem(("initial_state", "spectrum"), expected, show(state.spectrum))
        return
    needed = _KEYS[state.spectrum]
    complete = True
    for key in ("energy", "peak_wavenumber", "length_unit", "velocity_unit"):
        value = getattr(state, key)
        if key in needed and value is None:
            complete = False
            yield Problem(("initial_state", key), f"a value (spectrum {state.spectrum} needs it)", "nothing")
        if key not in needed and value is not None:
            yield Problem(("initial_state", key), f"no such key with spectrum {state.spectrum}", show(value))
    if complete:
        yield from _check_modes(state, resolved, 2 * math.pi / max(flow.sides))
    yield from _check_mean_flow(flow, state)


def _check_mean_flow(flow: Flow, state: InitialState) -> Iterator[Problem]:
    """Check that there is a mean flow where one belongs, thick enough for the grid and thin enough for the box."""
    path, wanted = ("initial_state", "mean_flow"), flow.type in FLOW_TYPES and FLOW_TYPES[flow.type].mean_flow
    if state.mean_flow is None:
        if wanted:
            yield Problem(path, f"a value ({flow.type} needs it)", "nothing")
        return
    if not wanted:
        yield Problem(path, f"no such key with {flow.type}", "a mean flow")
        return
    simulation = flow.direct_numerical_simulation
    if simulation is None or len(flow.sides) < 2:
        return
    side, highest = flow.sides[1], 2 * math.pi * ((simulation.points[1] - 1) // 3) / flow.sides[1]
    thinnest, thickest = _THINNEST / highest, side / _SIDE_PER_THICKNESS
    if not thinnest <= state.mean_flow.momentum_thickness <= thickest:
        expected = (
            f"between {thinnest:.3g} (thinner layers have more modes along y than the DNS) and {thickest:.3g} (thicker "
            "ones soon meet their mirror images)"
        )
        yield Problem((*path, "momentum_thickness"), expected, show(state.mean_flow.momentum_thickness))


def _check_modes(state: InitialState, resolved: float, lowest: float) -> Iterator[Problem]:
    """Check that the grid of the DNS has the modes that the spectrum needs."""
    if state.peak_wavenumber is not None and state.peak_wavenumber > resolved:
        expected = f"a wavenumber that the DNS resolves, at most {resolved:g}"
        yield Problem(("initial_state", "peak_wavenumber"), expected, show(state.peak_wavenumber))
        return
    energy = _shape(state, lowest)
    held = sum(energy(shell) for shell in range(1, int(resolved) + 1))
    whole = held + sum(energy(shell) for shell in range(int(resolved) + 1, _FAR * int(resolved) + 1))
    share = held / whole if whole else 0.0
    if share < _SMALLEST_SHARE:
        # What moves the spectrum along the shells, and what it was moved to.
        key = "peak_wavenumber" if state.peak_wavenumber is not None else "length_unit"
        expected = (
            f"a {state.spectrum} spectrum with {_SMALLEST_SHARE:.0%} of its energy in the shells that the DNS resolves "
            f"(up to {resolved:g}; choose more points)"
        )
        yield Problem(("initial_state", key), expected, f"{show(getattr(state, key))}, with {share:.0%}")


def _shape(state: InitialState, lowest: float) -> Callable[[int], float]:
    """Return the energy of a shell, in any unit.

    Arguments:
        state: the initial state.
        lowest: lowest wavenumber of the box, flow units.
    """
    if state.spectrum == "comte_bellot_corrsin":
        length = state.length_unit or 1.0
        return lambda shell: initial_spectra.comte_bellot_corrsin(shell * lowest / length, station=1)
    peak = state.peak_wavenumber or 1.0
    if state.spectrum == "mcwilliams":
        return lambda shell: initial_spectra.mcwilliams(shell, peak=peak)
    return lambda shell: initial_spectra.gaussian(shell, peak=peak)
