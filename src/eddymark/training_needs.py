"""What a training needs of a machine, from the shapes of its arrays."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from eddymark.config.model_checks import STABILITY_LIMITS
from eddymark.config.schema import Experiment
from eddymark.config.schema import Surrogate as SurrogateConfiguration
from eddymark.config.training import CurriculumStage, Objective
from eddymark.execution import select_precision
from eddymark.flows.base import Flow
from eddymark.flows.build import build_flow
from eddymark.grid import SpectralSpace
from eddymark.operators.cost import count_flops, live_bytes, weight_bytes
from eddymark.randomness import generator
from eddymark.resources import training_memory
from eddymark.stepping.build import trainable_stepper
from eddymark.stepping.network import network_of, untrained_network
from eddymark.stepping.rollout import rollout
from eddymark.stepping.surrogate import Surrogate
from eddymark.stepping.trainable import parameter_count
from eddymark.training.equations import Equations, build_equations
from eddymark.training.loop import VALIDATION_ROLLOUTS
from eddymark.training.objective import stage_loss

_PHYSICS = 24
"""States of the size of an output which known physics and losses keep for the gradient of each output."""
_TENDENCY = 18
"""States of the size of an output which one evaluation of the equations keeps for its gradient at most: with WALE; 4
without a closure, 7 with Smagorinsky's, 14 with the dynamic one."""


@dataclass(frozen=True)
class Needs:
    """What follows from the shapes of a model's arrays.

    Arguments:
        parameters: trained real numbers.
        operations: floating-point operations of the network for one sample and call; None without a network.
        memory: peak of the training on its device beside data and process, bytes.
    """

    parameters: int
    operations: int | None
    memory: int


def with_time_step(experiment: Experiment, flow_name: str, model: str) -> Experiment:
    """Return an experiment in which the solver of a model has a time step: before it is measured, the stable one."""
    flow = experiment.flows[flow_name]
    surrogate = flow.surrogates[model]
    solver = surrogate.solver
    if solver is None or solver.courant_number is not None:
        return experiment
    fixed = solver.model_copy(update={"courant_number": STABILITY_LIMITS[solver.integrator]})
    surrogates = flow.surrogates | {model: surrogate.model_copy(update={"solver": fixed})}
    flows = experiment.flows | {flow_name: flow.model_copy(update={"surrogates": surrogates})}
    return experiment.model_copy(update={"flows": flows})


def predict(experiment: Experiment, flow_name: str, model: str) -> Needs:
    """Return what a training needs, from the shapes of all its arrays (torch's meta device), which takes no memory.

    What takes steps of a solver, whose number depends on the state, or cannot be run without numbers, is run with one
    sample instead.

    Arguments:
        experiment: an experiment in which the model's solver has a time step.
        flow_name, model: which training.
    """
    surrogate = experiment.flows[flow_name].surrogates[model]
    flow = build_flow(experiment.flows[flow_name])
    batch, validation = windows_per_device(surrogate), validation_windows(flow, surrogate)
    if surrogate.kind == "surrogate":
        try:
            return _predict_from_shapes(experiment, flow, model, batch=batch, validation=validation)
        except Exception:  # a module of another package may look at its data
            pass
    on_processor = experiment.model_copy(update={"device": "cpu"})
    stepper = trainable_stepper(on_processor, flow_name, model, surrogate.seeds[0], results=Path())
    weights = sum(value.numel() * value.element_size() for value in stepper.parameters())
    dtype = select_precision(experiment)
    space = SpectralSpace(flow.coarse_grid, dtype=dtype)
    stage = largest_stage(surrogate.objective)
    window = synthetic_windows(flow, space, 1, stepper.history + stage.outputs)
    objective = surrogate.objective
    if stepper.constraints is not None:
        stepper.constraints.fit(window)
    equations = trial_equations(flow, objective, window)

    def train() -> None:
        stage_loss(stepper, window, stage=stage, objective=objective, space=space, equations=equations).backward()

    def validate() -> None:
        rollout(stepper, window[:, : stepper.history], 1)

    held = [window, *stepper.parameters(), *stepper.buffers()]
    # What is kept for later steps is not counted.
    train()
    stepper.zero_grad(set_to_none=True)
    one = live_bytes(train, held)
    work = max(weights + batch * (one - weights), weights + validation * live_bytes(validate, held))
    operations = None
    if (found := network_of(stepper, flow.coarse_grid.dimension)) is not None:
        network, channels = found
        operations = count_flops(network, channels=channels, points=flow.coarse_grid.points)
    return Needs(parameter_count(stepper), operations, training_memory(weights=weights, work=work))


def _predict_from_shapes(experiment: Experiment, flow: Flow, model: str, *, batch: int, validation: int) -> Needs:
    surrogate = flow.configuration.surrogates[model]
    points, dimension, dtype = flow.coarse_grid.points, flow.coarse_grid.dimension, select_precision(experiment)
    static = len(flow.static_fields(SpectralSpace(flow.coarse_grid)))
    with torch.device("meta"):
        operator = untrained_network(flow, model, static_fields=static)
    operator = _in_precision(operator, dtype)
    stepper = Surrogate(
        operator,
        known_physics=None,
        static_fields=torch.empty((static, *points), dtype=dtype, device="meta"),
        interval=flow.configuration.interval,
        history=surrogate.history,
        outputs=surrogate.bundle,
        output=surrogate.output,
        lead_times=surrogate.objective.lead_times,
    )
    stage = largest_stage(surrogate.objective)
    # Distances of spectra and equations look at numbers; what they need is in `_PHYSICS` and `_TENDENCY`.
    plain = {"error_weight": 1.0, "shell_energy_weight": 0.0, "sobolev_weight": 0.0, "band_weight": 0.0}
    objective = surrogate.objective.model_copy(update=plain | {"equations": None})

    def states(samples: int, times: int) -> Tensor:
        return torch.empty((samples, times, dimension, *points), dtype=dtype, device="meta")

    window = states(batch, stepper.history + stage.outputs)
    past = states(validation, stepper.history)

    def train() -> None:
        stage_loss(stepper, window, stage=stage, objective=objective, space=None).backward()

    def validate() -> None:
        with torch.no_grad():
            stepper(past)

    held = [window, past, *stepper.parameters(), *stepper.buffers()]
    weights = weight_bytes(operator)
    kept = _PHYSICS * _calls(stage) + _TENDENCY * _tendencies(surrogate.objective, stage)
    step = live_bytes(train, held) + kept * window[:, 0].nbytes
    operations = count_flops(operator, channels=stepper.history * dimension + static, points=points)
    work = max(step, weights + live_bytes(validate, held))
    return Needs(parameter_count(stepper), operations, training_memory(weights=weights, work=work))


def _in_precision(operator: nn.Module, dtype: torch.dtype) -> nn.Module:
    return operator.double() if dtype == torch.float64 else operator


def largest_stage(objective: Objective) -> CurriculumStage:
    """Return the stage of the curriculum that makes the most outputs in a step."""
    return max(objective.curriculum, key=_calls)


def _calls(stage: CurriculumStage) -> int:
    """Return how many outputs a step makes of a window."""
    longest = stage.all_to_all
    return stage.unroll if longest is None else longest * (longest + 1) // 2


def _tendencies(objective: Objective, stage: CurriculumStage) -> int:
    """Return how often the residual of a window evaluates the equations."""
    equations = objective.equations
    if equations is None:
        return 0
    return stage.unroll + 1 if equations.form == "differential" else 4 * equations.steps * stage.unroll


def trial_equations(flow: Flow, objective: Objective, windows: Tensor) -> Equations | None:
    """Return the equations that an objective asks for, if it does, for windows `(n, time, d, *grid)`."""
    chosen = objective.equations
    if chosen is None:
        return None
    return build_equations(flow, chosen, dtype=windows.dtype, device=windows.device, known=windows[0])


def shortest_rollout(objective: Objective) -> int:
    """Return how many outputs a rollout must have for a validation."""
    equations = objective.equations
    return equations.order if equations is not None and equations.form == "differential" else 1


def windows_per_device(surrogate: SurrogateConfiguration) -> int:
    """Return the windows of a step on each of the devices."""
    return surrogate.schedule.batch_size // (surrogate.parallel.devices * surrogate.parallel.nodes)


def validation_outputs(flow: Flow, surrogate: SurrogateConfiguration) -> int:
    """Return how many outputs a validation rollout has."""
    return max(1, round(surrogate.schedule.validation_length / flow.configuration.sampling.interval))


def validation_windows(flow: Flow, surrogate: SurrogateConfiguration) -> int:
    """Return how many rollouts a validation makes at once (`training.loop.Data`)."""
    sampling = flow.configuration.sampling
    outputs = 1 + round(sampling.splits.validation.length / sampling.interval)
    length = surrogate.history + validation_outputs(flow, surrogate)
    each = max(1, outputs // length)
    return min(VALIDATION_ROLLOUTS, each * flow.configuration.trajectories("validation"))


def synthetic_windows(flow: Flow, space: SpectralSpace, samples: int, times: int) -> Tensor:
    """Return solenoidal states which change from one to another in each window, `(samples, times, d, *grid)`.

    They are initial states of the flow on its LES grid or, with a source, noise of a velocity that crosses the box in
    2π turnover times.
    """
    configuration = flow.configuration
    random = generator(0, "trial")

    def state() -> Tensor:
        if configuration.initial_state is not None:
            return space.to_physical(flow.initial_spectrum(space, random))
        noise = torch.as_tensor(random.standard_normal((space.grid.dimension, *space.grid.points))).to(space.dtype)
        field = space.to_physical(space.project(space.to_spectral(noise.to(space.device))))
        speed = max(configuration.sides) / (2 * torch.pi * configuration.turnover_time)
        return field * (speed / field.square().mean().sqrt())

    shares = torch.linspace(0, 0.5, times, dtype=space.dtype, device=space.device)
    windows = []
    for _ in range(samples):
        first, second = state(), state()
        windows.append(torch.stack([torch.lerp(first, second, share) for share in shares]))
    return torch.stack(windows)
