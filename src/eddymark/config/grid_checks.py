"""Checks of the alternative LES grids of a flow."""

from __future__ import annotations

from collections.abc import Iterator

from eddymark.config.findings import Problem, show
from eddymark.config.flow_types import FLOW_TYPES
from eddymark.config.schema import Flow
from eddymark.config.steppers import FINEST_GRID, longest_history, needs_unfiltered_states

Points = tuple[int, ...]


def check_alternative_grids(flow: Flow) -> Iterator[Problem]:
    """Yield what is wrong with the alternative grids of a flow whose own grids are right."""
    main, dimension = flow.large_eddy_grid.points, len(flow.sides)
    if len(main) != dimension:
        return
    taken = {main: "large_eddy_grid"}
    for index, points in enumerate(flow.alternative_grids):
        path = ("alternative_grids", index)
        if len(points) != dimension:
            yield Problem(path, f"{dimension} numbers, one for each side", show(points))
        elif any(n % 2 for n in points):
            yield Problem(path, "even numbers of points", show(points))
        elif flow.type in FLOW_TYPES and FLOW_TYPES[flow.type].isotropic and len(set(points)) > 1:
            shape = "cube" if dimension == 3 else "square"
            yield Problem(path, f"equal numbers of points ({flow.type} is a {shape})", show(points))
        elif points in taken:
            yield Problem(path, f"each grid once, apart from {taken[points]}", show(points))
        else:
            taken[points] = "the others"
            yield from _check_states(path, points, flow)
            yield from _check_forcing(path, points, flow)


def _check_states(path: tuple[str | int, ...], points: Points, flow: Flow) -> Iterator[Problem]:
    """Check that there are initial states, and scores, on a grid."""
    main, fine = flow.large_eddy_grid, flow.direct_numerical_simulation
    pairs = list(zip(points, main.points, strict=True))
    if not (all(n <= m for n, m in pairs) or all(n >= m for n, m in pairs)):
        yield Problem(path, f"a grid that is coarser, or finer, than large_eddy_grid {show(main.points)}", show(points))
    elif fine is not None and any(n >= m for n, m in zip(points, fine.points, strict=False)):
        yield Problem(path, f"fewer points than the DNS on each axis {show(fine.points)}", show(points))
    elif any(n > FINEST_GRID * m for n, m in pairs):
        expected = (
            f"at most {FINEST_GRID} times the points of large_eddy_grid {show(main.points)} (of DNS states, no more "
        )
        yield Problem(path, expected + "is kept)", show(points))
    elif main.filter.type != "sharp" and main.filter.width is None:
        expected = f"no alternative grids, or large_eddy_grid.filter.width: the {main.filter.type} filter of all grids"
        yield Problem(path, expected, show(points))
    elif needs_unfiltered_states(flow, points) and flow.source is not None:
        expected = f"a grid coarser than large_eddy_grid {show(main.points)} and a sharp filter (of a source, only "
        yield Problem(path, expected + "the states on that grid are kept)", show(points))
    elif needs_unfiltered_states(flow, points) and longest_history(flow) > 1:
        expected = "a coarser grid and a sharp filter where a surrogate sees more than 1 past output (all steppers "
        expected += "start later then, where no state is kept for a finer grid)"
        yield Problem(path, expected, show(points))


def _check_forcing(path: tuple[str | int, ...], points: Points, flow: Flow) -> Iterator[Problem]:
    """Check that a grid resolves the scales which the flow forces."""
    forcing = flow.forcing
    if forcing.type == "sinusoidal" and forcing.wavenumber is not None:
        highest, forced = (points[1] - 1) // 3, forcing.wavenumber
    else:
        highest = int(
            min((n - 1) // 3 * max(flow.sides) / side for n, side in zip(points, flow.sides, strict=True)) + 1e-9
        )
        forced = max([*(forcing.energies or ()), *(forcing.shells or ())], default=0)
    if forced > highest:
        yield Problem(path, f"a grid that resolves the forced wavenumber {forced}", f"{show(points)}, up to {highest}")
