"""Values that are impossible or implausible together, found before the first job starts."""

from __future__ import annotations

from collections.abc import Iterator

from eddymark.config.documents import NAME
from eddymark.config.findings import Problem, show
from eddymark.config.flow_types import FLOW_TYPES, FlowType
from eddymark.config.grid_checks import check_alternative_grids
from eddymark.config.initial_state_checks import check_initial_state
from eddymark.config.model_checks import check_large_eddy_simulation, check_surrogate, check_time_step
from eddymark.config.names import check_folder_name, check_stepper_names, registered_flows
from eddymark.config.sampling_checks import check_sampling, check_validation
from eddymark.config.schema import DirectNumericalSimulation, Experiment, Flow
from eddymark.config.source_checks import check_source

_FORCING_KEYS: dict[str, tuple[str, ...]] = {
    "none": (),
    "held_shells": ("energies",),
    "constant_power": ("power", "shells"),
    "sinusoidal": ("wavenumber", "amplitude"),
}


def check_experiment(experiment: Experiment) -> Iterator[Problem]:
    """Yield what is wrong with the experiment apart from its flows."""
    taken: dict[str, str] = {}
    for name in experiment.flows:
        yield from check_folder_name(("flows", name, NAME), name, reserved=("report", "plan.yaml"))
        other = taken.setdefault(name.lower(), name)
        if other != name:
            yield Problem(("flows", name, NAME), "a name of its own", f"one that clashes with flows.{other}")
    for name, flow in experiment.flows.items():
        for model, surrogate in flow.surrogates.items():
            if surrogate.parallel.strategy == "fsdp" and experiment.device == "cpu":
                path = ("flows", name, "surrogates", model, "parallel", "strategy")
                yield Problem(path, "ddp or auto with device cpu (fsdp needs GPUs)", "'fsdp'")


def check_flow(name: str, flow: Flow) -> Iterator[Problem]:
    """Yield what is wrong with one flow; paths start at the flow's section."""
    yield from registered_flows(flow)
    yield from check_source(flow)
    yield from _check_grids(flow)
    yield from check_alternative_grids(flow)
    yield from _check_forcing(flow)
    yield from check_sampling(flow)
    yield from check_validation(flow)
    yield from check_stepper_names(flow)
    for key, simulation in flow.large_eddy_simulations.items():
        yield from check_large_eddy_simulation(("large_eddy_simulations", key), simulation, len(flow.sides))
    for key, surrogate in flow.surrogates.items():
        yield from check_surrogate(("surrogates", key), surrogate, flow)


def _check_grids(flow: Flow) -> Iterator[Problem]:
    fine, coarse = flow.direct_numerical_simulation, flow.large_eddy_grid
    dimension = len(flow.sides)
    kind = FLOW_TYPES.get(flow.type, FlowType(dimension, ()))
    if dimension != kind.dimension:
        yield Problem(("sides",), f"{kind.dimension} sides ({flow.type} is {kind.dimension}-D)", f"{dimension}")
    grids = {("large_eddy_grid", "points"): coarse.points}
    if fine is not None:
        grids = {("direct_numerical_simulation", "points"): fine.points} | grids
    for path, points in grids.items():
        if len(points) != dimension:
            yield Problem(path, f"{dimension} numbers, one for each side", show(points))
        if any(n % 2 for n in points):
            yield Problem(path, "even numbers of points", show(points))
    if kind.isotropic:
        shape = f"{flow.type} is a {'cube' if kind.dimension == 3 else 'square'}"
        if len(set(flow.sides)) > 1:
            yield Problem(("sides",), f"equal sides ({shape})", show(flow.sides))
        for path, points in grids.items():
            if len(set(points)) > 1:
                yield Problem(path, f"equal numbers of points ({shape})", show(points))
    if len(coarse.points) == dimension:
        yield from _check_filter(flow)
    if fine is not None:
        yield from _check_simulation(flow, fine)


def _check_simulation(flow: Flow, fine: DirectNumericalSimulation) -> Iterator[Problem]:
    coarse = flow.large_eddy_grid.points
    if len(coarse) == len(fine.points) and any(n >= m for n, m in zip(coarse, fine.points, strict=True)):
        expected = f"fewer points than the DNS on each axis {show(fine.points)}"
        yield Problem(("large_eddy_grid", "points"), expected, show(coarse))
    yield from check_time_step(("direct_numerical_simulation",), fine.integrator, fine.courant_number)
    if len(fine.points) == len(coarse) == len(flow.sides):
        yield from check_initial_state(flow, min(_resolved_shells(flow, fine.points)))


def _check_filter(flow: Flow) -> Iterator[Problem]:
    width, kind = flow.large_eddy_grid.filter.width, flow.large_eddy_grid.filter.type
    held = {"held_shells": "energies refer", "constant_power": "power refers"}.get(flow.forcing.type)
    if kind != "sharp" and held is not None:
        expected = (
            f"sharp with forcing {flow.forcing.type} (its {held} to the unfiltered flow; with another filter, "
            "LES and surrogates would be forced wrongly)"
        )
        yield Problem(("large_eddy_grid", "filter", "type"), expected, show(kind))
    if width is None:
        return
    path = ("large_eddy_grid", "filter", "width")
    if kind == "sharp":
        yield Problem(path, "no width (the sharp filter cuts where the LES grid does)", show(width))
        return
    simulation, widest = flow.direct_numerical_simulation, min(flow.sides) / 2
    if simulation is None:  # a source, whose grid is looked at when its files are
        if width > widest:
            yield Problem(path, f"at most half a side {widest:.3g}", show(width))
    elif len(simulation.points) == len(flow.sides):
        narrowest = max(side / n for side, n in zip(flow.sides, simulation.points, strict=True))
        if not narrowest <= width <= widest:
            yield Problem(path, f"between the DNS spacing {narrowest:.3g} and half a side {widest:.3g}", show(width))


def _resolved_shells(flow: Flow, points: tuple[int, ...]) -> list[float]:
    """Return the highest resolved wavenumber of each axis in units of the lowest of all."""
    return [(n - 1) // 3 * max(flow.sides) / side for n, side in zip(points, flow.sides, strict=True)]


def _check_forcing(flow: Flow) -> Iterator[Problem]:
    forcing = flow.forcing
    possible = FLOW_TYPES[flow.type].forcings if flow.type in FLOW_TYPES else tuple(_FORCING_KEYS)
    if forcing.type not in possible:
        yield Problem(("forcing", "type"), f"{' or '.join(possible)} for {flow.type}", show(forcing.type))
        return
    needed = _FORCING_KEYS[forcing.type]
    for key in ("energies", "power", "shells", "wavenumber", "amplitude"):
        value = getattr(forcing, key)
        if key in needed and (value is None or value in ({}, ())):
            yield Problem(("forcing", key), f"a value (forcing {forcing.type} needs it)", "nothing")
        if key not in needed and value is not None:
            yield Problem(("forcing", key), f"no such key with forcing {forcing.type}", show(value))
    points = flow.large_eddy_grid.points
    if len(points) != len(flow.sides):
        return
    highest = min(_resolved_shells(flow, points))
    for key in ("energies", "shells") if forcing.type != "sinusoidal" else ():
        for shell in getattr(forcing, key) or ():
            if shell > highest:
                path = ("forcing", key, shell) if key == "energies" else ("forcing", key)
                yield Problem(path, f"shells that the LES grid resolves, at most {highest:g}", show(shell))
    if forcing.type == "sinusoidal" and forcing.wavenumber is not None:
        highest = (points[1] - 1) // 3
        if forcing.wavenumber > highest:
            expected = f"a number of waves along y that the LES grid resolves, at most {highest}"
            yield Problem(("forcing", "wavenumber"), expected, show(forcing.wavenumber))
