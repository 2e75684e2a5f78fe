"""Controls from an experiment; whatever they imitate comes from training data."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from eddymark.config.steppers import StepperName, longest_history
from eddymark.flows.base import Flow
from eddymark.grid import SpectralSpace
from eddymark.solvers.periodic import NavierStokes
from eddymark.stepping.constraints import Constraints, build_constraints
from eddymark.stepping.controls import ConstrainedNoise, MatchedNoise, Persistence
from eddymark.stepping.known_physics import KnownPhysics
from eddymark.stepping.stepper import Stepper
from eddymark.stepping.training_data import average, training_trajectories

EXCESS = 4.0
"""Mean energy of the noise of a control, in the shell where it has least of what its constraints allow."""


def build_control(
    flow: Flow, name: StepperName, *, solver: NavierStokes, files: Sequence[Path], random: np.random.Generator
) -> Stepper:
    """Return a control of a flow.

    Arguments:
        flow: the flow.
        name: which one.
        solver: the flow's equations on the coarse grid.
        files: training data.
        random: stream of the noise.
    """
    configuration = flow.configuration
    interval = configuration.interval
    if name.name == "persistence":
        return Persistence(interval)
    if name.model is not None:
        return _through_constraints(flow, name.model, solver=solver, files=files, random=random)
    # What is imitated changes with time in a transient flow, counted from the state at which all rollouts start.
    first = longest_history(configuration) - 1 if configuration.is_transient else 0
    space = solver.space
    states = (one.to(device=space.device, dtype=space.dtype) for one in training_trajectories(files, first))
    transient = configuration.is_transient
    if name.name == "matched_noise":
        spectra = average((space.energy_spectrum(space.to_spectral(one)) for one in states), at_each_output=transient)
        return MatchedNoise(spectra=spectra, space=space, interval=interval, random=random)
    physics = KnownPhysics(solver, interval)
    learned = (one[1:] - space.to_physical(physics.free(one[:-1])) for one in states)
    squares = average((one.square().flatten(1).mean(dim=1) for one in learned), at_each_output=transient)
    return ConstrainedNoise(physics, amplitudes=squares.sqrt().tolist(), interval=interval, random=random)


def _through_constraints(
    flow: Flow, model: str, *, solver: NavierStokes, files: Sequence[Path], random: np.random.Generator
) -> ConstrainedNoise:
    """Return noise in the place of a model's network, pushed through the model's constraints.

    It has more energy than the constraints let through in every shell on which they act, as the output of a network
    that diverges has: weaker noise would tell too little of what the constraints alone achieve. The mean flow, which
    they leave alone, is exact.
    """
    surrogate = flow.configuration.surrogates[model]
    constraints = build_constraints(surrogate, solver, flow.configuration.forcing)
    assert constraints is not None
    constraints.fit(training_trajectories(files))
    interval = flow.configuration.interval
    return ConstrainedNoise(
        KnownPhysics(solver, interval, {*surrogate.known_physics, "momentum"}),
        amplitudes=[_amplitude(constraints, solver.space)],
        interval=interval,
        random=random,
        constraints=constraints.eval(),
    )


def _amplitude(constraints: Constraints, space: SpectralSpace) -> float:
    """Return the rms of noise that is white in a space and has `EXCESS` of what constraints allow where least."""
    modes = space.shell_sum(space.multiplicity)
    energy = 0.5 * space.grid.dimension * modes / modes.sum()
    # Of a network without known physics, constraints reach beyond the space.
    allowed = constraints.allowed[: len(energy)]
    return math.sqrt(EXCESS * float(torch.where(modes > 0, allowed / energy, 0).max()))
