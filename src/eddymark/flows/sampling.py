"""Runs the DNS of a flow and samples filtered fields from it."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import astuple, dataclass

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from eddymark.checkpoints import Checkpoints
from eddymark.config.schema import Stretch
from eddymark.errors import EddymarkError
from eddymark.filters import GridFilter
from eddymark.flows.base import Flow, Scales, turbulence_scales
from eddymark.flows.subgrid import subgrid_stress
from eddymark.flows.unfiltered import kept_outputs, kept_space
from eddymark.grid import Grid
from eddymark.progress import Progress
from eddymark.randomness import generator
from eddymark.solvers.periodic import NavierStokes
from eddymark.solvers.time_integration import INTEGRATORS, EnergyLedger, TimeIntegration

SPLITS = ("train", "validation", "test")
BUDGET = ("run", "time", "kinetic_energy", "dissipation", "injection", "drag", "courant_number")
"""What is known of a run at an output, before the residual is."""
STRESS_OUTPUTS = 4
"""Outputs of each test trajectory, evenly spread, in which the true subgrid-scale stress is kept."""


@dataclass(frozen=True)
class SampledRuns:
    """What a batch of DNS runs leaves behind.

    Arguments:
        velocity: per split, filtered trajectories `(trajectory, time, component, *coarse grid)`.
        runs: per split, the run each trajectory was cut from.
        budget: energy budget per run and output.
        scales: scales of the statistically steady state, averaged over runs and outputs after the spin-up.
        stress: true subgrid-scale stress in some outputs of the test trajectories, reduced, `(trajectory, output,
            d(d+1)/2 − 1, *coarse grid)`.
        stress_outputs: which outputs of each test trajectory these are.
        unfiltered: DNS states, before they are filtered, of some outputs of the validation and test trajectories,
            `(trajectory, output, component, *unfiltered grid)`.
        unfiltered_outputs: which outputs of each trajectory these are.
        unfiltered_grid: the smallest grid that holds their modes.
    """

    velocity: dict[str, NDArray[np.float32]]
    runs: dict[str, list[int]]
    budget: pd.DataFrame
    scales: Scales
    stress: NDArray[np.float32]
    stress_outputs: list[int]
    unfiltered: dict[str, NDArray[np.float32]]
    unfiltered_outputs: dict[str, list[int]]
    unfiltered_grid: Grid


def schedule(flow: Flow) -> dict[str, list[tuple[int, int]]]:
    """Return for each split the first and last output (inclusive) of its stretches, counted from the start of a run."""
    sampling = flow.configuration.sampling
    gap = round(sampling.gap / sampling.interval)
    position = round(sampling.spin_up / sampling.interval)
    stretches: dict[str, list[tuple[int, int]]] = {}
    for split in SPLITS:
        section: Stretch = getattr(sampling.splits, split)
        stretches[split] = []
        for _ in range(section.stretches):
            last = position + round(section.length / sampling.interval)
            stretches[split].append((position, last))
            position = last + gap
    return stretches


def sample_runs(
    flow: Flow,
    flow_name: str,
    *,
    seed: int,
    runs: Sequence[int],
    device: torch.device,
    checkpoints: Checkpoints | None = None,
) -> SampledRuns:
    """Integrate a batch of independent runs, filter every output that belongs to a split, and keep the energy budget.

    What goes on from a checkpoint ends with the same bytes as an undisturbed computation: the methods are one-step
    ones and choose their step at each output from the state alone, so that the state is all there is to store.

    Arguments:
        flow: the flow.
        flow_name: its name, part of the key of the random streams.
        seed: the experiment's seed.
        runs: numbers of the runs; run r has the same initial state whatever the batch.
        device: where to compute.
        checkpoints: where to go on from, and to store the state and what has been sampled.

    Raises:
        EddymarkError: if the time step turns out unstable or a state is not finite.
    """
    configuration = flow.configuration
    numerics = configuration.direct_numerical_simulation
    assert numerics is not None
    dtype = {"float32": torch.float32, "float64": torch.float64}[numerics.precision]
    solver = flow.solver(flow.fine_grid, dtype=dtype, device=device)
    space = solver.space
    restrict = GridFilter(space, flow.coarse_grid, configuration.large_eddy_grid.filter)
    integration = TimeIntegration(numerics.integrator, numerics.courant_number)
    limit = INTEGRATORS[numerics.integrator].stability_limit

    stretches = schedule(flow)
    wanted = sorted({output for parts in stretches.values() for a, b in parts for output in range(a, b + 1)})
    first, last = wanted[0], wanted[-1]
    stress_outputs = spread_outputs(stretches["test"])
    stressed = sorted({begin + output for begin, _ in stretches["test"] for output in stress_outputs})
    compact = kept_space(space, flow.coarse_grid)
    unfiltered_outputs = kept_outputs(stretches, stress_outputs)
    kept = sorted(
        {begin + one for split, chosen in unfiltered_outputs.items() for begin, _ in stretches[split] for one in chosen}
    )
    interval = configuration.interval
    fields: list[Tensor] = []
    stresses: list[Tensor] = []
    unfiltered: list[Tensor] = []
    scales: list[Tensor] = []
    budget: list[Tensor] = []
    start = 0
    if checkpoints is not None and (found := checkpoints.load()) is not None:
        start = found.done
        spectrum = torch.view_as_complex(found.state["spectrum"].to(device))
        fields, stresses, unfiltered, scales, budget = (
            found.parts.get(name, []) for name in ("fields", "stresses", "unfiltered", "scales", "budget")
        )
        turnovers = start * interval / configuration.turnover_time
        print(f"DNS of {flow_name} goes on after {turnovers:.1f} turnover times", file=sys.stderr)
    else:
        spectrum = torch.stack(
            [flow.initial_spectrum(space, generator(seed, flow_name, "run", run, "initial state")) for run in runs]
        )
        spectrum = solver.forcing.constrain(spectrum)
    with torch.inference_mode(), Progress(f"DNS of {flow_name}, runs {list(runs)}", last) as progress:
        for output in range(start, last + 1):
            rate = solver.courant_rate(space.to_physical(spectrum))
            if not bool(torch.isfinite(rate).all()):
                raise EddymarkError(f"DNS of {flow_name} is not finite at output {output}; lower courant_number")
            steps = integration.steps(rate, interval)
            if len(fields) < len(wanted) and output == wanted[len(fields)]:
                fields.append(restrict(spectrum).float().cpu())
            if len(stresses) < len(stressed) and output == stressed[len(stresses)]:
                stresses.append(subgrid_stress(restrict, spectrum).float().cpu())
            if len(unfiltered) < len(kept) and output == kept[len(unfiltered)]:
                unfiltered.append(compact.to_physical(space.resample(spectrum, compact)).float().cpu())
            now = turbulence_scales(space, spectrum, viscosity=configuration.viscosity)
            if output >= first:
                scales.append(torch.tensor(astuple(now), dtype=torch.float64))
            budget.append(_budget(solver, spectrum, runs, output * interval, float(rate.max()) * interval / steps))
            if output == last:
                break
            while True:
                ledger = EnergyLedger()
                ahead = integration.advance(solver, spectrum, interval, steps=steps, ledger=ledger)
                reached = float(solver.courant_rate(space.to_physical(ahead)).max()) * interval / steps
                if reached <= limit:
                    break
                # The flow has become faster on the way: take the interval again with the step that its end allows.
                steps = _finer(steps, reached, limit, where=f"DNS of {flow_name}, output {output + 1}")
            # In one piece of memory, as it comes out of a checkpoint: sums over another layout round differently.
            spectrum = ahead.contiguous()
            budget[-1][:, BUDGET.index("injection")] += torch.as_tensor(ledger.injected).double().cpu() / interval
            turnovers = (output + 1) * interval / configuration.turnover_time
            progress.update(
                output + 1,
                f"t = {turnovers:.1f} turnover times, energy {now.energy:.3f}, Courant {reached:.2f}",
            )
            if checkpoints is not None and checkpoints.due():
                state = {"spectrum": torch.view_as_real(spectrum)}
                parts = {"fields": fields, "stresses": stresses, "unfiltered": unfiltered}
                parts |= {"scales": scales, "budget": budget}
                checkpoints.save(output + 1, state=state, parts=parts)
    # (run, output, component, *grid), outputs numbered as in `wanted`
    velocity = torch.stack(fields, dim=1).numpy()
    cut = {
        split: [run[wanted.index(a) : wanted.index(b) + 1] for run in velocity for a, b in parts]
        for split, parts in stretches.items()
    }
    stress = _cut(stresses, stressed, [begin for begin, _ in stretches["test"]], stress_outputs)
    states = {
        split: _cut(unfiltered, kept, [begin for begin, _ in stretches[split]], chosen)
        for split, chosen in unfiltered_outputs.items()
    }
    rows = pd.DataFrame(torch.cat(budget).numpy(), columns=list(BUDGET)).astype({"run": int})
    return SampledRuns(
        velocity={split: np.stack(trajectories) for split, trajectories in cut.items()},
        runs={split: [run for run in runs for _ in parts] for split, parts in stretches.items()},
        budget=_close(rows, configuration.turnover_time),
        scales=Scales(*torch.stack(scales).mean(dim=0).tolist()),
        stress=stress,
        stress_outputs=stress_outputs,
        unfiltered=states,
        unfiltered_outputs=unfiltered_outputs,
        unfiltered_grid=compact.grid,
    )


def _cut(fields: list[Tensor], outputs: list[int], begins: list[int], chosen: list[int]) -> NDArray[np.float32]:
    """Return what was kept of some outputs by trajectory, `(trajectory, output, …)`.

    Without a gap, the end of one stretch is the beginning of the next.

    Arguments:
        fields: `(run, …)` of each output.
        outputs: the outputs, counted from the start of a run.
        begins: where the stretches begin.
        chosen: outputs counted from there.
    """
    numbers = [[outputs.index(begin + output) for output in chosen] for begin in begins]
    cut: NDArray[np.float32] = torch.stack(fields, dim=1)[:, torch.tensor(numbers)].flatten(0, 1).numpy()
    return cut


def spread_outputs(stretches: list[tuple[int, int]]) -> list[int]:
    """Return up to `STRESS_OUTPUTS` outputs, evenly spread over stretches of equal length, counted from their start."""
    last = stretches[0][1] - stretches[0][0]
    return sorted({round(last * index / (STRESS_OUTPUTS - 1)) for index in range(STRESS_OUTPUTS)})


def _finer(steps: int, reached: float, limit: float, *, where: str) -> int:
    """Return a number of steps which would have kept the Courant number within its limit."""
    if not np.isfinite(reached) or reached > 10 * limit:
        raise EddymarkError(f"{where}: unstable time step, Courant number {reached:.3g}; lower courant_number")
    return int(np.ceil(1.1 * steps * reached / limit))


def _budget(solver: NavierStokes, spectrum: Tensor, runs: Sequence[int], time: float, courant: float) -> Tensor:
    """Energy and the rates at which it changes at this moment, `(run, len(BUDGET))`.

    The energy that a held-shell constraint adds during the interval which starts here is added by the caller.
    """
    space = solver.space
    axes = tuple(range(1, solver.grid.dimension + 1))
    density = space.mode_energy(spectrum)
    energy = density.sum(dim=axes)
    dissipation = 2 * solver.viscosity * (space.wavenumber_squared * density).sum(dim=axes)
    injection = torch.zeros_like(energy)
    for force in (solver.forcing.steady, solver.forcing.tendency(spectrum)):
        if force is not None:
            work = (spectrum.conj() * force).real.sum(dim=1) * space.multiplicity
            injection = injection + work.sum(dim=axes)
    measured = torch.stack([energy, dissipation, injection, 2 * solver.linear_drag * energy], dim=1).double().cpu()
    numbers = torch.tensor([[run, time] for run in runs], dtype=torch.float64)
    return torch.cat([numbers, measured, torch.full((len(runs), 1), courant, dtype=torch.float64)], dim=1)


def _close(budget: pd.DataFrame, turnover_time: float) -> pd.DataFrame:
    """Add what the budget leaves unexplained: injection − dissipation − drag − dE/dt, by central differences."""
    parts = []
    for _, run in budget.groupby("run", sort=False):
        run = run.sort_values("time")
        change = np.gradient(run["kinetic_energy"], run["time"])
        residual = run["injection"] - run["dissipation"] - run["drag"] - change
        parts.append(run.assign(residual=residual, time=run["time"] / turnover_time))
    columns = [
        "run",
        "time",
        "kinetic_energy",
        "dissipation",
        "injection",
        "drag",
        "residual",
        "courant_number",
    ]
    return pd.concat(parts)[columns].sort_values(["run", "time"], ignore_index=True)
