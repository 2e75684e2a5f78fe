"""Our FNO beside that of the neuraloperator package as the same function, and the default models' training steps."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from eddymark.memory import memory_growth
from eddymark.operators.fno import FourierNeuralOperator

if TYPE_CHECKING:
    from neuralop.models import FNO

SECONDS = 4.0
"""How long each pair of works is repeated in turn."""


class _EveryOther:
    """GELU on every other call: neuraloperator 2.0 calls it twice in a row in blocks without their channel MLP."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, values: Tensor) -> Tensor:
        self.calls += 1
        return F.gelu(values) if self.calls % 2 else values


def same_in_neuraloperator(mine: FourierNeuralOperator, in_channels: int, out_channels: int) -> FNO:
    """Return neuraloperator's FNO with the modes, widths and weights of ours.

    All that its default has beyond the published FNO is off: coordinates, the channel MLP of each block with its
    skip connection, and the hidden layer of the lifting.
    """
    from neuralop.models import FNO

    width = cast(nn.Linear, mine.lift).out_features
    theirs = FNO(
        n_modes=tuple(2 * m + 1 for m in mine.modes),
        in_channels=in_channels,
        out_channels=out_channels,
        hidden_channels=width,
        n_layers=len(mine.convolutions),
        lifting_channel_ratio=0,
        projection_channel_ratio=cast(nn.Linear, mine.project_in).out_features / width,
        positional_embedding=None,
        use_channel_mlp=False,
    )
    theirs.fno_blocks.non_linearity = _EveryOther()
    pairs = [
        (mine.lift, theirs.lifting.fcs[0]),
        (mine.project_in, theirs.projection.fcs[0]),
        (mine.project_out, theirs.projection.fcs[1]),
    ]
    with torch.no_grad():
        for own, other in pairs:
            other.weight.copy_(own.weight[..., None])
            other.bias.copy_(own.bias)
        for beside, skip in zip(mine.pointwise, theirs.fno_blocks.fno_skips, strict=True):
            skip.conv.weight.copy_(beside.weight[..., None])
        for beside, convolution, other in zip(mine.pointwise, mine.convolutions, theirs.fno_blocks.convs, strict=True):
            # Their bias belongs to the convolution. Their modes are in ascending order −m … m.
            other.bias.copy_(beside.bias.view_as(other.bias))
            weight = torch.view_as_complex(convolution.weight)
            for number, k in enumerate(kept_modes(mine.modes)):
                at = (*(index + m for index, m in zip(k[:-1], mine.modes[:-1], strict=True)), k[-1])
                other.weight.tensor[(slice(None), slice(None), *at)] = weight[number]
    return theirs


def kept_modes(modes: tuple[int, ...]) -> list[tuple[int, ...]]:
    """Return the wave vectors in the order of our weights: last axis slowest, first axis fastest."""
    axes = [[*range(m + 1), *range(-m, 0)] for m in modes[:-1]] + [[*range(modes[-1] + 1)]]
    return [tuple(reversed(k)) for k in itertools.product(*reversed(axes))]


def forward(operator: nn.Module, field: Tensor) -> Callable[[], object]:
    """Return a run without gradients."""

    def work() -> None:
        with torch.inference_mode():
            operator(field)

    return work


def gradients(operator: nn.Module, field: Tensor) -> Callable[[], object]:
    """Return a training step without the optimiser, which has no fused form for neuraloperator's complex weights."""

    def work() -> None:
        operator.zero_grad()
        operator(field).square().mean().backward()

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
    """Return the shortest time of each, run in turn so that a busy machine slows all of them alike."""
    times: list[list[float]] = [[] for _ in works]
    for work in works:
        work()
    start = time.perf_counter()
    while len(times[0]) < 3 or time.perf_counter() - start < SECONDS:
        for work, mine in zip(works, times, strict=True):
            begin = time.perf_counter()
            work()
            mine.append(1000 * (time.perf_counter() - begin))
    return [min(mine) for mine in times]


def megabytes(work: Callable[[], object]) -> float:
    """Return by how much the memory of the process grows while it works, after a first time."""
    work()
    return memory_growth(work)[1] / 1e6


def count(operator: nn.Module) -> float:
    """Return millions of real parameters."""
    return sum(p.numel() * (2 if p.is_complex() else 1) for p in operator.parameters()) / 1e6


def beside_neuraloperator(dimension: int, points: int, width: int, modes: int, batch: int) -> None:
    """Print times and memory of both implementations and their ratios."""
    mine = FourierNeuralOperator(3, 3, dimension=dimension, width=width, modes=modes, layers=4)
    theirs = same_in_neuraloperator(mine, 3, 3)
    field = torch.randn(batch, 3, *(points,) * dimension)
    with torch.no_grad():
        difference = float((mine(field) - theirs(field)).norm() / theirs(field).norm())
    print(
        f"{points}^{dimension} width {width} modes {modes} batch {batch}: "
        f"{count(mine):.2f} M and {count(theirs):.2f} M parameters, outputs differ by {difference:.0e}"
    )
    for name, kind in (("forward", forward), ("gradients", gradients), ("training step", training_step)):
        works = kind(mine, field), kind(theirs, field)
        own, other = alternating_milliseconds(*works)
        own_memory, other_memory = map(megabytes, works)
        print(
            f"  {name:13}  eddymark {own:7.1f} ms {own_memory:6.0f} MB  "
            f"neuraloperator {other:7.1f} ms {other_memory:6.0f} MB  "
            f"{other / own:.2f} x as fast, {own_memory / max(other_memory, 0.1):.2f} of the memory",
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
            beside_neuraloperator(3, 32, 32, 8, batch)
            beside_neuraloperator(3, 16, 24, 5, batch)
            beside_neuraloperator(2, 64, 32, 16, batch)
            beside_neuraloperator(2, 32, 24, 10, batch)
        default_models()
    finally:
        torch.set_num_threads(threads)


if __name__ == "__main__":
    main()
