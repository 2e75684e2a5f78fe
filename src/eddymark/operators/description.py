"""What an operator is made of, what it costs and how it sees a field: measured on the module, whatever it is."""

from __future__ import annotations

import copy
import inspect
import math
import textwrap
import weakref
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode, flop_registry
from torch.utils.weak import WeakIdKeyDictionary

from eddymark.operators.build import ForeignOperator

_SHIFTS = (1, 2, 3, 4, 6, 8, 12, 16, 32)
_SAME = 1e-9
"""Relative difference below which two outputs in double precision are the same."""
_MEASURED = 1e9
"""Bytes up to which the memory of a training step is measured."""
_NOTHING = 1e-12
"""Part of the largest derivative below which one counts as zero."""


@dataclass(frozen=True)
class Memory:
    """Bytes of the arrays that exist at the peak of some work, beside weights and input.

    Arguments:
        forward: one sample, without gradients.
        training: a batch, from its first layer to the gradients of all weights.
    """

    forward: int
    training: int


@dataclass(frozen=True)
class OtherGrid:
    """What happens on a grid of other resolution.

    Arguments:
        points: the grid.
        difference: relative L2 difference, at common points, between the outputs for the same smooth field there and on
            the grid of the flow; None if the operator refuses.
        refusal: what the operator says then.
    """

    points: tuple[int, ...]
    difference: float | None
    refusal: str = ""


def summary(operator: nn.Module) -> str:
    """Return the first sentence of an operator's documentation, with the equation that stands apart below it."""
    module = operator.module if isinstance(operator, ForeignOperator) else operator
    documentation = inspect.cleandoc(type(module).__doc__ or "")
    if not documentation or documentation == inspect.cleandoc(nn.Module.__doc__ or ""):
        return f"{type(module).__name__}, without documentation"
    first, *others = documentation.split("\n\n")
    sentence = " ".join(first.split())
    if others and all(line.startswith("    ") for line in others[0].splitlines()):
        return f"{sentence}\n{textwrap.dedent(others[0])}"
    return sentence


def parameters_by_part(operator: nn.Module) -> dict[str, int]:
    """Return the number of trained real numbers of each direct part of an operator; a complex weight counts as two."""
    module = operator.module if isinstance(operator, ForeignOperator) else operator
    parts: dict[str, int] = {}
    for name, parameter in module.named_parameters():
        part = name.split(".")[0]
        parts[part] = parts.get(part, 0) + parameter.numel() * (2 if parameter.is_complex() else 1)
    return parts


def weight_bytes(operator: nn.Module) -> int:
    """Return the bytes of all parameters and buffers."""
    return sum(value.numel() * value.element_size() for value in (*operator.parameters(), *operator.buffers()))


def kept_modes(operator: nn.Module) -> tuple[int, ...] | None:
    """Return the highest Fourier mode per axis of an operator which says so, None for others."""
    modes = getattr(operator, "modes", None)
    if isinstance(modes, Sequence) and modes and all(isinstance(mode, int) for mode in modes):
        return tuple(modes)
    return None


class _LiveArrays(TorchDispatchMode):
    """Adds up the bytes of arrays as they come and go, and keeps the largest sum."""

    def __init__(self, before: Iterable[Tensor]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.peak = 0
        self._live = 0
        self._known = WeakIdKeyDictionary()
        for tensor in before:
            self._known[tensor.untyped_storage()] = None

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        for value in tree_leaves(result):
            if isinstance(value, Tensor):
                self._see(value.untyped_storage())
        return result

    def _see(self, storage: torch.UntypedStorage) -> None:
        if storage in self._known:
            return
        self._known[storage] = None
        size = storage.nbytes()
        self._live += size
        self.peak = max(self.peak, self._live)
        weakref.finalize(storage, self._forget, size)

    def _forget(self, size: int) -> None:
        self._live -= size


def measure_memory(operator: nn.Module, *, channels: int, points: tuple[int, ...], batch: int) -> Memory:
    """Return the memory of a forward pass of one sample, and of a step of training with a batch.

    It follows from the shapes of all arrays (torch's meta device), so that a description of a large operator needs no
    memory itself (attention counts with its matrix of weights then); what is small, or cannot be run without data, is
    measured.

    Arguments:
        operator: `(batch, channels, *points)` → `(batch, ..., *points)`.
        channels: of the input.
        points: of the grid.
        batch: samples of a step of training.
    """
    one, all_samples = (1, channels, *points), (batch, channels, *points)
    try:
        expected = _memory(copy.deepcopy(operator).to("meta"), one, all_samples)
    except Exception:  # a module of another package may look at its data
        expected = Memory(0, 0)
    return expected if expected.training > _MEASURED else _memory(operator, one, all_samples)


def _memory(operator: nn.Module, one: tuple[int, ...], all_samples: tuple[int, ...]) -> Memory:
    def forward() -> None:
        with torch.no_grad():
            operator(few)

    def train() -> None:
        operator(many).square().mean().backward()

    few, many = _noise(operator, one), _noise(operator, all_samples)
    before = [few, many, *operator.parameters(), *operator.buffers()]
    # What is kept for later passes is not counted.
    forward()
    memory = Memory(_peak(forward, before), _peak(train, before))
    operator.zero_grad(set_to_none=True)
    return memory


def _peak(work: Callable[[], None], before: Iterable[Tensor]) -> int:
    with _LiveArrays(before) as arrays:
        work()
    return arrays.peak


def count_flops(operator: nn.Module, *, channels: int, points: tuple[int, ...]) -> int:
    """Return the floating-point operations of one forward pass of one sample.

    Counted are matrix products and convolutions, real and complex (a complex product and sum is 8 real operations),
    attention, and fast Fourier transforms of N points with 2.5 N log₂ N for real and 5 N log₂ N for complex ones. What
    acts point by point is not.
    """
    products = ("mm", "bmm", "addmm", "baddbmm", "convolution")
    operations = {getattr(torch.ops.aten, name): _product_flops(getattr(torch.ops.aten, name)) for name in products}
    operations |= {getattr(torch.ops.aten, name): _fft_flops for name in ("_fft_r2c", "_fft_c2r", "_fft_c2c")}
    # The counter knows the attention of GPUs only.
    operations[torch.ops.aten._scaled_dot_product_flash_attention_for_cpu] = _attention_flops
    counter = FlopCounterMode(display=False, custom_mapping=operations)
    with counter, torch.no_grad():
        operator(_noise(operator, (1, channels, *points)))
    return counter.get_total_flops()


def _product_flops(operation: Any) -> Callable[..., int]:
    real = flop_registry[operation]

    def count(*values: Any, out_val: Any = None, **others: Any) -> int:
        factor = 4 if any(isinstance(value, Tensor) and value.is_complex() for value in values) else 1
        return factor * int(real(*values, out_val=out_val, **others))

    count._get_raw = True  # type: ignore[attr-defined]  # the counter then hands over tensors and not their shapes
    return count


def _attention_flops(query: Sequence[int], key: Sequence[int], value: Sequence[int], *_: Any, **__: Any) -> int:
    return 2 * math.prod(query[:-1]) * key[-2] * (query[-1] + value[-1])


def _fft_flops(values: Tensor, axes: Sequence[int], *_: Any, out_val: Tensor, **__: Any) -> int:
    both_complex = values.is_complex() and out_val.is_complex()
    full = values if not values.is_complex() or both_complex else out_val
    points = math.prod(full.shape[axis] for axis in axes)
    per_field = (5 if both_complex else 2.5) * points * math.log2(max(points, 2))
    return round(per_field * full.numel() / points)


_fft_flops._get_raw = True  # type: ignore[attr-defined]


def receptive_radius(operator: nn.Module, *, channels: int, points: tuple[int, ...]) -> tuple[int, ...]:
    """Return how many grid spacings away along each axis an output point still sees the input; at most half the box.

    Measured by derivatives of the output at several points, of which patches hold different parts.

    Arguments:
        operator: a module in double precision.
        channels: of the input.
        points: of the grid.
    """
    field = _noise(operator, (1, channels, *points)).requires_grad_()
    output = operator(field)
    direction = torch.linspace(1, 2, output.shape[1]).to(output)
    reached = torch.zeros(points, dtype=torch.bool)
    places = range(min(4, *points))
    for place in places:
        seen = output[(0, slice(None), *[place] * len(points))] @ direction
        (gradient,) = torch.autograd.grad(seen, field, retain_graph=place != places[-1])
        size = gradient[0].abs().amax(dim=0).cpu()
        reached |= (size > _NOTHING * size.max()).roll([-place] * len(points), tuple(range(len(points))))
    radii = []
    for axis, n in enumerate(points):
        along = reached.movedim(axis, 0).flatten(1).any(dim=1).nonzero()[:, 0]
        radii.append(int(torch.minimum(along, n - along).max()) if len(along) else 0)
    return tuple(radii)


def commuting_shift(operator: nn.Module, *, channels: int, points: tuple[int, ...]) -> int | None:
    """Return the smallest translation, in grid spacings along every axis, with which an operator commutes, if any does.

    Arguments:
        operator: a module in double precision.
        channels: of the input.
        points: of the grid.
    """
    field = _noise(operator, (1, channels, *points))
    axes = tuple(range(2, field.dim()))
    with torch.no_grad():
        output = operator(field)
        for shift in (shift for shift in _SHIFTS if shift <= min(points) // 2):
            moved = operator(field.roll([shift] * len(axes), axes))
            if (moved - output.roll([shift] * len(axes), axes)).norm() <= _SAME * output.norm():
                return shift
    return None


def other_grids(points: tuple[int, ...]) -> list[tuple[int, ...]]:
    """Return the grid with half the points along each axis, if there is one, and that with twice as many."""
    half = [] if any(n % 2 for n in points) else [tuple(n // 2 for n in points)]
    return [*half, tuple(2 * n for n in points)]


def try_other_grid(operator: nn.Module, *, channels: int, points: tuple[int, ...], other: tuple[int, ...]) -> OtherGrid:
    """Apply an operator to the same smooth field on its grid and on one of `other_grids`.

    The field has the modes up to an eighth of the points along each axis, at random, and rms 1.

    Arguments:
        operator: a module in double precision.
        channels: of the input.
        points: of its grid.
        other: of the other grid.
    """
    highest = [max(1, n // 8) for n in points]
    with torch.no_grad():
        here = operator(_waves(operator, channels, points, highest))
        wanted = (1, here.shape[1], *other)
        try:
            there = operator(_waves(operator, channels, other, highest))
            if tuple(there.shape) != wanted:
                raise ValueError(f"returns {tuple(there.shape)} and not {wanted}")
        except Exception as error:  # a module of another package may raise anything
            return OtherGrid(other, None, " ".join(str(error).split()) or type(error).__name__)
    coarse, fine = (there, here) if other < points else (here, there)
    difference = (fine[(..., *[slice(None, None, 2)] * len(points))] - coarse).norm() / coarse.norm()
    return OtherGrid(other, float(difference))


def _waves(operator: nn.Module, channels: int, points: Sequence[int], highest: Sequence[int]) -> Tensor:
    """Return a random field with modes up to `highest`, the same one on every grid, `(1, channels, *points)`."""
    like = _parameter(operator)
    random = torch.Generator().manual_seed(0)
    counts = [2 * m + 1 for m in highest]
    coefficients = torch.randn(channels, *counts, 2, generator=random, dtype=torch.float64)
    spectrum = torch.zeros(channels, *points, dtype=torch.complex128)
    places = [torch.arange(-m, m + 1) % n for m, n in zip(highest, points, strict=True)]
    here: tuple[slice | Tensor, ...] = (slice(None), *torch.meshgrid(*places, indexing="ij"))
    spectrum[here] = torch.view_as_complex(coefficients)
    field = torch.fft.ifftn(spectrum, dim=tuple(range(1, spectrum.dim())), norm="forward").real
    return (field / math.sqrt(math.prod(counts)))[None].to(like.device, like.dtype)


def _noise(operator: nn.Module, shape: tuple[int, ...]) -> Tensor:
    like = _parameter(operator)
    if like.is_meta:
        return torch.empty(shape, dtype=like.dtype, device="meta")
    random = torch.Generator().manual_seed(0)
    return torch.randn(shape, generator=random, dtype=torch.float64).to(like.device, like.dtype)


def _parameter(operator: nn.Module) -> Tensor:
    """Return a real parameter, for its device and precision."""
    real = (value for value in operator.parameters() if value.is_floating_point())
    return next(real, torch.empty(0))
