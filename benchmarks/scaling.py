"""What a DNS, its filtered data and a training step cost on this machine, and what follows for a large plan.

One thread; times are of the processor, so that other work on the machine does not count. `docs/scaling.md` shows what
this printed.
"""

from __future__ import annotations

import math
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

from eddymark.config import load_experiment, schema
from eddymark.filters import GridFilter
from eddymark.flows.base import Flow
from eddymark.flows.build import build_flow
from eddymark.memory import memory_growth
from eddymark.operators.fno import FourierNeuralOperator
from eddymark.randomness import generator
from eddymark.solvers.periodic import NavierStokes
from eddymark.solvers.time_integration import TimeIntegration
from eddymark.storage import trajectory_dataset, write_trajectories

GRIDS = (64, 128, 256)
COARSENING = 4
"""DNS points per LES point and axis, as in the default forced isotropic turbulence."""
OUTPUTS = 18
"""Outputs of one trajectory: 3.4 turnover times, as the test stretches of the default experiment."""
BYTES_PER_NUMBER = 4

PLAN_POINTS = 1024
PLAN_TRAJECTORIES = 1000
PLAN_RUNS = 50


@dataclass(frozen=True)
class Measured:
    """What was measured on one grid.

    Arguments:
        points: DNS points per axis.
        step_seconds: processor time of one step of the DNS.
        steps: steps per turnover time.
        peak_bytes: growth of the memory at its peak during a step.
        trajectory_bytes: file of one filtered trajectory.
        training_seconds: processor time of one training step of the default FNO on the LES grid.
    """

    points: int
    step_seconds: float
    steps: float
    peak_bytes: int
    trajectory_bytes: int
    training_seconds: float


def processor_seconds(work: Callable[[], object], repeats: int) -> float:
    """Return the least processor time of several runs."""
    times = []
    for _ in range(repeats):
        start = time.process_time()
        work()
        times.append(time.process_time() - start)
    return min(times)


def configuration(points: int) -> schema.Flow:
    """Return the default forced isotropic turbulence on another grid."""
    flow = load_experiment([Path(__file__).parents[1] / "config" / "config.yaml"]).flows["forced_isotropic"]
    fine = flow.direct_numerical_simulation.model_copy(update={"points": (points,) * 3})
    coarse = flow.large_eddy_grid.model_copy(update={"points": (points // COARSENING,) * 3})
    return flow.model_copy(update={"direct_numerical_simulation": fine, "large_eddy_grid": coarse})


def measure(points: int) -> Measured:
    """Return the costs on one grid."""
    described = configuration(points)
    flow = build_flow(described)
    settings = described.direct_numerical_simulation
    integration = TimeIntegration(settings.integrator, settings.courant_number)

    def begin() -> tuple[NavierStokes, torch.Tensor, int]:
        solver = flow.solver(flow.fine_grid, dtype=torch.float32)
        state = flow.initial_spectrum(solver.space, generator(0, "scaling", points))[None]
        steps = integration.steps(solver.courant_rate(solver.space.to_physical(state)), described.turnover_time)
        return solver, integration.advance(solver, state, described.turnover_time / steps, steps=1), steps

    with torch.no_grad():
        (solver, state, steps), peak = memory_growth(begin)
        seconds = processor_seconds(
            lambda: integration.advance(solver, state, described.turnover_time / steps, steps=1),
            repeats=3 if points < max(GRIDS) else 1,
        )
        restriction = GridFilter(solver.space, flow.coarse_grid, described.large_eddy_grid.filter)
        filtered = restriction(state)
    return Measured(points, seconds, steps, peak, file_bytes(flow, filtered), training_seconds(points))


def file_bytes(flow: Flow, filtered: torch.Tensor) -> int:
    """Return the size of one stored trajectory whose outputs are shifted copies of a state, `(1, 3, *grid)`."""
    outputs = torch.stack([filtered[0].roll(shift, -1) for shift in range(OUTPUTS)])
    dataset = trajectory_dataset(
        outputs[None].numpy(), grid=flow.coarse_grid, interval=1.0, turnover_time=1.0, attributes={}
    )
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "trajectory.zarr.zip"
        write_trajectories(path, dataset)
        return path.stat().st_size


def training_seconds(points: int) -> float:
    """Return the processor time of one AdamW step, batch 4, one output ahead, of the default FNO on the LES grid."""
    operator = FourierNeuralOperator(3, 3, dimension=3, width=24, modes=5, layers=4)
    field = torch.randn(4, 3, *(points // COARSENING,) * 3)
    optimiser = torch.optim.AdamW(operator.parameters(), fused=True)

    def step() -> None:
        optimiser.zero_grad()
        (operator(field) - field).square().mean().backward()
        optimiser.step()

    step()
    return processor_seconds(step, 3)


def bytes_text(value: float) -> str:
    """Return a number of bytes with its unit."""
    for unit in ("B", "kB", "MB", "GB"):
        if value < 1000:
            return f"{value:.3g} {unit}"
        value /= 1000
    return f"{value:.3g} TB"


def plan(largest: Measured) -> None:
    """Print what an ensemble of large DNS needs, each line with its formula."""
    described = configuration(PLAN_POINTS)
    sampling = described.sampling
    n, m = PLAN_POINTS, largest.points
    ratio = n / m
    stretches = math.ceil(PLAN_TRAJECTORIES / PLAN_RUNS)
    length = (OUTPUTS - 1) * sampling.interval
    turnovers = sampling.spin_up + stretches * (length + sampling.gap)
    seconds = largest.step_seconds * ratio**3 * math.log(n) / math.log(m)
    steps = largest.steps * ratio
    hours = seconds * steps * turnovers / 3600
    state = 3 * n**3 * BYTES_PER_NUMBER
    trajectory = largest.trajectory_bytes * ratio**3
    rows = [
        ("runs (one shard and job each)", "chosen", f"{PLAN_RUNS}"),
        ("trajectories per run", f"{PLAN_TRAJECTORIES} / {PLAN_RUNS}", f"{stretches}"),
        (
            "turnover times per run",
            f"spin-up {sampling.spin_up:g} + {stretches} × (length {length:.1f} + gap {sampling.gap:g})",
            f"{turnovers:.0f}",
        ),
        ("steps per turnover time", f"{largest.steps:.0f} × {ratio:g}", f"{steps:.0f}"),
        ("core-seconds per step", f"{largest.step_seconds:.3g} × {ratio:g}³ × ln {n} / ln {m}", f"{seconds:.0f}"),
        ("core-hours per run", "steps × seconds × turnover times / 3600", f"{hours:,.0f}"),
        ("core-hours in all", f"{PLAN_RUNS} × that", f"{PLAN_RUNS * hours:,.0f}"),
        (
            "memory of the solver",
            f"{bytes_text(largest.peak_bytes)} × {ratio:g}³",
            bytes_text(largest.peak_bytes * ratio**3),
        ),
        ("one velocity field of the DNS", f"3 × {n}³ × {BYTES_PER_NUMBER} B", bytes_text(state)),
        (
            "all outputs of the DNS, if kept",
            f"{PLAN_TRAJECTORIES} × {OUTPUTS} × that",
            bytes_text(PLAN_TRAJECTORIES * OUTPUTS * state),
        ),
        (
            f"one trajectory on {n // COARSENING}³",
            f"{bytes_text(largest.trajectory_bytes)} × {ratio:g}³",
            bytes_text(trajectory),
        ),
        ("all trajectories", f"{PLAN_TRAJECTORIES} × that", bytes_text(PLAN_TRAJECTORIES * trajectory)),
        (
            "core-hours of one training",
            f"2400 steps × {largest.training_seconds:.3g} s × {ratio:g}³ × 2.5 unrolled / 3600",
            f"{2400 * largest.training_seconds * ratio**3 * 2.5 / 3600:,.0f}",
        ),
    ]
    print(f"\n{PLAN_TRAJECTORIES} trajectories of {n}³ DNS, from what {m}³ costs here:\n")
    print("| what | how | result |\n|---|---|---|")
    for row in rows:
        print(f"| {' | '.join(row)} |")


def main() -> None:
    """Print the table of all grids and the plan."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    print("| DNS | s per step | steps per turnover time | peak memory | LES | one trajectory | s per training step |")
    print("|---|---|---|---|---|---|---|")
    measured = []
    try:
        for points in GRIDS:
            row = measure(points)
            measured.append(row)
            print(
                f"| {points}³ | {row.step_seconds:.3g} | {row.steps:.0f} | {bytes_text(row.peak_bytes)} | "
                f"{points // COARSENING}³ | {bytes_text(row.trajectory_bytes)} | {row.training_seconds:.2g} |",
                flush=True,
            )
    finally:
        torch.set_num_threads(threads)
    plan(measured[-1])


if __name__ == "__main__":
    main()
