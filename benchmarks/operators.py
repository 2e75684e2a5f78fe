"""What every operator of config/surrogates costs at its CPU size: parameters, a training step and a forward pass.

One thread; times are of the processor, so that other work on the machine counts little.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import torch
import yaml

from eddymark.operators import OPERATORS
from eddymark.operators.build import build_operator
from fno import count, forward, training_step

SURROGATES = Path(__file__).parents[1] / "config" / "surrogates"
GRIDS = (((16, 16, 16), 4), ((32, 32), 16))
"""Points and samples of a batch."""
REPEATS = 7


def milliseconds(work: Callable[[], object]) -> float:
    """Return the least processor time of some runs after a first one."""
    work()
    times = []
    for _ in range(REPEATS):
        start = time.process_time()
        work()
        times.append(time.process_time() - start)
    return 1000 * min(times)


def row(name: str, type: str, arguments: dict[str, object]) -> str:
    """Return the line of the table of one surrogate."""
    cells = [f"{name:16}"]
    for points, batch in GRIDS:
        dimension = len(points)
        torch.manual_seed(0)
        operator = build_operator(type, arguments, in_channels=dimension, out_channels=dimension, dimension=dimension)
        field = torch.randn(batch, dimension, *points)
        parameters = 1000 * count(operator)
        alone, step = milliseconds(forward(operator, field)), milliseconds(training_step(operator, field))
        cells.append(f"{parameters:7.0f} {step:9.1f} {alone:8.1f}")
    return " | ".join(cells)


def main() -> None:
    """Print the table, measured with one thread."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    heads = [f"{'×'.join(map(str, points))}, batch {batch}" for points, batch in GRIDS]
    print(f"{'':16} | " + " | ".join(f"{head:26}" for head in heads))
    print(f"{'surrogate':16} | " + " | ".join(["10³ par.   step ms  forward"] * len(GRIDS)))
    try:
        for path in sorted(SURROGATES.glob("*.yaml")):
            operator = yaml.safe_load(path.read_text(encoding="utf-8")).get("operator")
            if operator is not None and operator["type"] in OPERATORS:
                print(row(path.stem, operator["type"], operator["arguments"]), flush=True)
    finally:
        torch.set_num_threads(threads)


if __name__ == "__main__":
    main()
