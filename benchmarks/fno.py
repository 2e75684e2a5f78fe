"""Our FNO beside that of the neuraloperator package with the same modes, and the default models' training steps."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor, nn

from eddymark.operators.fno import FourierNeuralOperator

REPEATS = 7


def forward(operator: nn.Module, field: Tensor) -> Callable[[], object]:
    """Return a run without gradients."""

    def work() -> None:
        with torch.inference_mode():
            operator(field)

    return work


def training_step(operator: nn.Module, field: Tensor, *, unroll: int = 1) -> Callable[[], object]:
    """Return an AdamW step on the operator applied `unroll` times."""
    fused = not any(p.is_complex() for p in operator.parameters())
    optimiser = torch.optim.AdamW(operator.parameters(), lr=1e-4, fused=fused)

    def work() -> None:
        optimiser.zero_grad()
        state, loss = field, torch.zeros(())
        for _ in range(unroll):
            state = state + 0.1 * operator(state)
            loss = loss + (state - field).square().mean()
        loss.backward()
        optimiser.step()

    return work


def alternating_milliseconds(*works: Callable[[], object]) -> list[float]:
    """Return the median time of each, run in turn so that a busy machine slows all of them alike."""
    times: list[list[float]] = [[] for _ in works]
    for repeat in range(REPEATS + 1):
        for work, mine in zip(works, times, strict=True):
            start = time.perf_counter()
            work()
            if repeat:
                mine.append(1000 * (time.perf_counter() - start))
    return [statistics.median(mine) for mine in times]


def count(operator: nn.Module) -> float:
    """Return millions of real parameters."""
    return sum(p.numel() * (2 if p.is_complex() else 1) for p in operator.parameters()) / 1e6


def beside_neuraloperator(dimension: int, points: int, width: int, modes: int, batch: int) -> None:
    """Print times of both implementations and their ratios."""
    from neuralop.models import FNO

    mine = FourierNeuralOperator(3, 3, dimension=dimension, width=width, modes=modes, layers=4)
    theirs = FNO(
        n_modes=(2 * modes + 1,) * dimension,
        in_channels=3,
        out_channels=3,
        hidden_channels=width,
        n_layers=4,
        positional_embedding=None,
    )
    field = torch.randn(batch, 3, *(points,) * dimension)
    for name, kind in (("forward", forward), ("training step", training_step)):
        own, other = alternating_milliseconds(kind(mine, field), kind(theirs, field))
        print(
            f"{points}^{dimension} width {width} modes {modes} batch {batch}  {name:13}  "
            f"eddymark {own:7.1f} ms ({count(mine):.1f} M)  "
            f"neuraloperator {other:7.1f} ms ({count(theirs):.1f} M)  ratio {own / other:.2f}",
            flush=True,
        )


def default_models() -> None:
    """Print training steps at the sizes of the default experiment."""
    for dimension, points, modes in ((3, 16, 5), (2, 32, 10)):
        for batch in (4, 8):
            operator = FourierNeuralOperator(3, 3, dimension=dimension, width=24, modes=modes, layers=4)
            field = torch.randn(batch, 3, *(points,) * dimension)
            once, four, alone = alternating_milliseconds(
                training_step(operator, field),
                training_step(operator, field, unroll=4),
                forward(operator, field),
            )
            print(
                f"{points}^{dimension} width 24 modes {modes} batch {batch}  training step {once:6.1f} ms, "
                f"4 unrolled {four:6.1f} ms, forward {alone:5.1f} ms",
                flush=True,
            )


def main() -> None:
    """Print both tables, measured with one thread."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        for batch in (1, 4):
            beside_neuraloperator(3, 32, 20, 8, batch)
        beside_neuraloperator(3, 16, 24, 5, 4)
        beside_neuraloperator(2, 32, 24, 10, 4)
        default_models()
    finally:
        torch.set_num_threads(threads)


if __name__ == "__main__":
    main()
