"""Steppers from an experiment."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TypeVar

import torch
from torch import nn

from eddymark.closures.base import Closure, NoClosure
from eddymark.closures.build import build_closure
from eddymark.config.schema import Experiment
from eddymark.config.schema import LargeEddySimulation as LargeEddySimulationConfiguration
from eddymark.config.steppers import StepperName, closure_models, find_stepper, learns_closure, solvers
from eddymark.errors import EddymarkError
from eddymark.execution import select_device, select_precision, split_files
from eddymark.filters import filter_width
from eddymark.flows.base import Flow
from eddymark.flows.build import build_flow
from eddymark.randomness import generator
from eddymark.solvers.time_integration import TimeIntegration
from eddymark.stepping.build_controls import build_control
from eddymark.stepping.constraints import Constraints, build_constraints
from eddymark.stepping.hybrid import Hybrid
from eddymark.stepping.known_physics import KnownPhysics
from eddymark.stepping.large_eddy_simulation import LargeEddySimulation
from eddymark.stepping.network import build_network
from eddymark.stepping.refinement import build_refinement
from eddymark.stepping.stepper import Stepper
from eddymark.stepping.surrogate import Surrogate
from eddymark.stepping.trainable import TrainableStepper
from eddymark.stepping.training_data import training_trajectories
from eddymark.storage import load_weights

AnyStepper = TypeVar("AnyStepper", bound=TrainableStepper)

_AUTOCAST = {"bfloat16": torch.bfloat16, "float16": torch.float16}

_ANY = 1.0
"""Courant number of what is not stepped."""


def read_courant_number(experiment: Experiment, flow_name: str, name: str, *, results: Path) -> float:
    """Return the Courant number of an LES: the configured one, or what its job measured.

    Arguments:
        experiment: the experiment.
        flow_name: one of its flows.
        name: the LES' name, or that of the model which it is a part of.
        results: root of the results.

    Raises:
        EddymarkError: if what was measured cannot be read.
    """
    configured = solvers(experiment.flows[flow_name])[name].simulation.courant_number
    if configured is not None:
        return configured
    path = results / flow_name / "train" / name / "timestep" / "timestep.json"
    try:
        return float(json.loads(path.read_bytes())["courant_number"])
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise EddymarkError(f"{path}: does not hold a time step ({type(error).__name__}: {error})") from error


def build_simulation(
    flow: Flow,
    configuration: LargeEddySimulationConfiguration,
    *,
    courant_number: float,
    dtype: torch.dtype,
    device: torch.device,
    points: tuple[int, ...] | None = None,
    network: nn.Module | None = None,
) -> LargeEddySimulation:
    """Return a LES of a flow on its coarse grid, or on another one if points are given.

    Arguments:
        flow: the flow.
        configuration: closure and time stepping.
        courant_number: largest Courant number.
        dtype, device: of the solver.
        points: of the grid.
        network: of a learned closure; without it, there is no model.
    """
    solver = flow.solver(flow.coarse_grid.coarsened(points or flow.coarse_grid.points), dtype=dtype, device=device)
    closure = build_closure(
        configuration.closure,
        space=solver.space,
        filter_width=filter_width(solver.grid),
        viscosity=flow.configuration.viscosity,
        operator=network,
    )
    return LargeEddySimulation(
        solver,
        closure=closure,
        integration=TimeIntegration(configuration.integrator, courant_number),
        interval=flow.configuration.interval,
    )


def dns_stepper(experiment: Experiment, flow_name: str) -> LargeEddySimulation:
    """Return the DNS of a flow: its grid, integrator and Courant number, in the precision in which others are timed."""
    configuration = experiment.flows[flow_name]
    flow = build_flow(configuration)
    dns = configuration.direct_numerical_simulation
    assert dns is not None
    solver = flow.solver(flow.fine_grid, dtype=select_precision(experiment), device=select_device(experiment))
    stepper = LargeEddySimulation(
        solver,
        closure=NoClosure(),
        integration=TimeIntegration(dns.integrator, dns.courant_number),
        interval=configuration.interval,
    )
    return stepper.eval()


def trainable_stepper(
    experiment: Experiment, flow_name: str, model: str, seed: int, *, results: Path | None
) -> TrainableStepper:
    """Return an untrained model of an experiment; its initial weights depend on nothing but the seeds and names.

    Arguments:
        experiment: the experiment.
        flow_name, model, seed: which one.
        results: root of the results, where the time step of its solver is; None: only its parts are of interest, and
            it is not going to be stepped.
    """
    device, dtype = select_device(experiment), select_precision(experiment)
    flow = build_flow(experiment.flows[flow_name])
    solver = flow.configuration.surrogates[model].solver
    courant_number = _ANY
    if solver is not None and results is not None:
        courant_number = read_courant_number(experiment, flow_name, model, results=results)
    words = generator(experiment.seed, flow_name, model, seed, "initial weights").integers(2**63)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int(words))
        return _assemble(flow, model, courant_number, dtype=dtype, device=device)


def _assemble(
    flow: Flow, model: str, courant_number: float, *, dtype: torch.dtype, device: torch.device
) -> TrainableStepper:
    surrogate = flow.configuration.surrogates[model]
    if model in closure_models(flow.configuration):
        assert surrogate.solver is not None
        network = None
        if learns_closure(surrogate):
            network = build_network(flow, model, static_fields=0, dtype=dtype, device=device)
        return build_simulation(
            flow, surrogate.solver, courant_number=courant_number, dtype=dtype, device=device, network=network
        )
    solver = flow.solver(flow.coarse_grid, dtype=dtype, device=device)
    static = flow.static_fields(solver.space)
    operator = build_network(flow, model, static_fields=len(static), dtype=dtype, device=device)
    autocast = None if surrogate.autocast is None else _AUTOCAST[surrogate.autocast]
    constraints = build_constraints(surrogate, solver, flow.configuration.forcing)
    if surrogate.kind == "hybrid":
        assert surrogate.solver is not None
        simulation = build_simulation(flow, surrogate.solver, courant_number=courant_number, dtype=dtype, device=device)
        return Hybrid(
            simulation,
            operator=operator,
            static_fields=static,
            autocast=autocast,
            exact_momentum="momentum" in surrogate.known_physics,
            constraints=constraints,
            history=surrogate.history,
        )
    interval = flow.configuration.interval
    return Surrogate(
        operator,
        known_physics=KnownPhysics(solver, interval, surrogate.known_physics) if surrogate.known_physics else None,
        static_fields=static,
        interval=interval,
        history=surrogate.history,
        outputs=surrogate.bundle,
        output=surrogate.output,
        autocast=autocast,
        constraints=constraints,
        lead_times=surrogate.objective.lead_times,
        component_variances=surrogate.error_variances == "components",
    )


def fit_constraints(constraints: Constraints, experiment: Experiment, flow_name: str, *, results: Path) -> None:
    """Fit constraints to the training data of a flow, as they are fitted in training and for controls alike.

    Arguments:
        constraints: what is fitted.
        experiment: the experiment.
        flow_name: one of its flows.
        results: root of the results, where the training data are.
    """
    constraints.fit(training_trajectories(split_files(experiment.flows[flow_name], flow_name, "train", results)))


def build_stepper(experiment: Experiment, flow_name: str, folder: str, *, results: Path) -> Stepper:
    """Return a stepper of the comparison, ready to run; trained ones with their weights.

    Arguments:
        experiment: the experiment.
        flow_name: one of its flows.
        folder: the stepper's folder name (see `eddymark.config.steppers`); not `dns`.
        results: root of the results, where weights and training data are.
    """
    name = find_stepper(experiment.flows[flow_name], folder)
    if name.kind == "control":
        flow = build_flow(experiment.flows[flow_name])
        return build_control(
            flow,
            name,
            solver=flow.solver(flow.coarse_grid, dtype=select_precision(experiment), device=select_device(experiment)),
            files=split_files(flow.configuration, flow_name, "train", results),
            random=generator(experiment.seed, flow_name, name.name),
        )
    stepper = untrained_stepper(experiment, flow_name, folder, results=results)
    return _with_weights(stepper, name, results / flow_name)


def untrained_stepper(experiment: Experiment, flow_name: str, folder: str, *, results: Path) -> TrainableStepper:
    """Return a LES, or a model with its initial weights, ready to run; with its refinement, if it has one.

    Arguments:
        experiment: the experiment.
        flow_name: one of its flows.
        folder: the stepper's folder name (see `eddymark.config.steppers`); neither `dns` nor a control.
        results: root of the results, where time steps are.
    """
    name = find_stepper(experiment.flows[flow_name], folder)
    if name.seed is not None:
        stepper = trainable_stepper(experiment, flow_name, name.name, name.seed, results=results).eval()
        if isinstance(stepper, Surrogate):
            stepper.refinement = build_refinement(
                build_flow(experiment.flows[flow_name]), name.name, device=select_device(experiment)
            )
        return stepper
    courant_number = read_courant_number(experiment, flow_name, name.name, results=results)
    return untrained_simulation(experiment, flow_name, name.name, courant_number=courant_number)


def untrained_simulation(
    experiment: Experiment, flow_name: str, name: str, *, courant_number: float = _ANY
) -> LargeEddySimulation:
    """Return an LES as it is before any training.

    Arguments:
        experiment: the experiment.
        flow_name: one of its flows.
        name: the LES' name, or that of the model which it is a part of.
        courant_number: its time step; may be left out if it is not stepped.
    """
    configuration = experiment.flows[flow_name]
    device, dtype = select_device(experiment), select_precision(experiment)
    solver = solvers(configuration)[name]
    simulation = build_simulation(
        build_flow(configuration),
        solver.simulation,
        courant_number=courant_number,
        dtype=dtype,
        device=device,
        points=solver.points,
    )
    return simulation.eval()


def load_closure(experiment: Experiment, flow_name: str, folder: str, *, results: Path) -> Closure:
    """Return the closure of an LES of the comparison, a trained one with its constants or its network."""
    name = find_stepper(experiment.flows[flow_name], folder)
    if name.seed is None:
        return untrained_simulation(experiment, flow_name, name.name).closure
    simulation = trainable_stepper(experiment, flow_name, name.name, name.seed, results=None).eval()
    assert isinstance(simulation, LargeEddySimulation)
    return _with_weights(simulation, name, results / flow_name).closure


def _with_weights(stepper: AnyStepper, name: StepperName, results: Path) -> AnyStepper:
    """Load the weights of a trained stepper from the results of its flow."""
    if name.seed is not None:
        load_weights(results / "train" / name.name / f"seed{name.seed}" / "weights.safetensors", stepper)
    return stepper
