"""Cost of a time step with each closure over that without a model, and the transforms which it needs."""

from __future__ import annotations

import math
import time

import torch

from eddymark.closures import CLOSURES
from eddymark.closures.base import Closure
from eddymark.closures.build import build_closure
from eddymark.config.names import CLOSURE_DIMENSIONS
from eddymark.config.schema import Closure as Configuration
from eddymark.config.steppers import LEARNED_CLOSURE
from eddymark.filters import filter_width
from eddymark.grid import Grid, SpectralSpace
from eddymark.solvers.periodic import NavierStokes
from eddymark.solvers.time_integration import TimeIntegration, compiled_steps

GRIDS = [((64, 64, 64), 1), ((16, 16, 16), 8), ((32, 32), 8)]
ARGUMENTS: dict[str, dict[str, float | int | str | bool]] = {"approximate_deconvolution": {"relaxation_rate": 1.0}}
VARIANTS: list[tuple[str, dict[str, float | int | str | bool]]] = [
    ("dynamic_smagorinsky", {"relaxation_time": 0.1}),
    ("dynamic_smagorinsky", {"average": "xz"}),
    ("dynamic_smagorinsky", {"average": "y"}),
    ("dynamic_smagorinsky", {"average": "local"}),
    ("dynamic_smagorinsky", {"average": "local", "relaxation_time": 0.1}),
    ("dynamic_mixed", {"average": "xz"}),
    ("dynamic_mixed", {"average": "local"}),
]
STEPS = 4
"""Time steps per output interval."""
REPEATS = {64: 5}
"""Output intervals of each closure that are timed; 30 on small grids."""


def closures(space: SpectralSpace) -> dict[str, Closure]:
    """Return all closures that a space can have."""
    dimension = space.grid.dimension
    # The cost of a learned one is that of its network.
    cases = [(name, ARGUMENTS.get(name, {})) for name in CLOSURES if name != LEARNED_CLOSURE] + VARIANTS
    return {
        _label(name, arguments): build_closure(
            Configuration(type=name, arguments=arguments),
            space=space,
            filter_width=filter_width(space.grid),
            viscosity=0.01,
        )
        for name, arguments in cases
        if CLOSURE_DIMENSIONS.get(name, dimension) == dimension
        and not (dimension == 2 and arguments.get("average") == "xz")
    }


def _label(name: str, arguments: dict[str, float | int | str | bool]) -> str:
    """Return what the table calls a variant."""
    words = [name.replace("dynamic_", "dyn. ")] if arguments else [name]
    if "average" in arguments:
        words.append(str(arguments["average"]))
    return " ".join([*words, "relaxed"] if "relaxation_time" in arguments else words)


def transforms(solver: NavierStokes, spectrum: torch.Tensor, closure: Closure, integration: TimeIntegration) -> float:
    """Return how many fields of the size of the grid one step transforms on the torch path."""
    original = SpectralSpace.to_spectral, SpectralSpace.to_physical
    counted = [0.0]

    def to_spectral(self: SpectralSpace, field: torch.Tensor) -> torch.Tensor:
        counted[0] += field.numel()
        return original[0](self, field)

    def to_physical(self: SpectralSpace, values: torch.Tensor) -> torch.Tensor:
        result = original[1](self, values)
        counted[0] += result.numel()
        return result

    SpectralSpace.to_spectral, SpectralSpace.to_physical = to_spectral, to_physical  # type: ignore[method-assign]
    try:
        with torch.inference_mode(False), torch.enable_grad():
            integration.advance(solver, spectrum.clone(), 1e-4, steps=1, closure=closure)
    finally:
        SpectralSpace.to_spectral, SpectralSpace.to_physical = original  # type: ignore[method-assign]
    return counted[0] / (len(spectrum) * math.prod(solver.grid.points))


def main() -> None:
    """Print times, ratios and transforms of a Runge–Kutta step on each grid, one thread, float32."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    integration = TimeIntegration("runge_kutta_4", 1.0)
    print(
        f"RK4 steps with each closure, {STEPS} at a time, run in turn; transforms: fields of the size of the grid per"
    )
    print(
        "step on the torch path (compiled steps transform derivatives along two axes only); code: what takes the steps"
    )
    print(f"{'grid':>14} {'batch':>5} {'closure':>28} {'ms/step':>9} {'ratio':>6} {'transforms':>10} {'ratio':>6} code")
    try:
        for points, batch in GRIDS:
            with torch.inference_mode():
                _table(points, batch, integration)
    finally:
        torch.set_num_threads(threads)


def _table(points: tuple[int, ...], batch: int, integration: TimeIntegration) -> None:
    solver = NavierStokes(Grid(points, (2 * math.pi,) * len(points)), viscosity=0.01, dtype=torch.float32)
    noise = torch.randn((batch, len(points), *points))
    spectrum = solver.space.project(solver.space.to_spectral(noise))
    models = closures(solver.space)
    seconds: dict[str, list[float]] = {name: [] for name in models}
    for repeat in range(REPEATS.get(points[0], 30) + 1):
        for name, closure in models.items():
            start = time.process_time()
            integration.advance(solver, spectrum, 1e-4 * STEPS, steps=STEPS, closure=closure)
            if repeat:
                seconds[name].append((time.process_time() - start) / STEPS)
    counted = {name: transforms(solver, spectrum, closure, integration) for name, closure in models.items()}
    for name, closure in models.items():
        ratio = min(seconds[name]) / min(seconds["none"])
        code = "torch" if compiled_steps(solver, closure) is None else "compiled"
        print(
            f"{'x'.join(map(str, points)):>14} {batch:>5} {name:>28} {1000 * min(seconds[name]):9.2f} {ratio:6.2f} "
            f"{counted[name]:10.1f} {counted[name] / counted['none']:6.2f} {code}",
            flush=True,
        )


if __name__ == "__main__":
    main()
