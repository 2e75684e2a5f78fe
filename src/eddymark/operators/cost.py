"""Memory and floating-point operations of an operator, measured on the module, whatever it is."""

from __future__ import annotations

import copy
import math
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

_MEASURED = 1e9
"""Bytes up to which the memory of a training step is measured."""


@dataclass(frozen=True)
class Memory:
    """Bytes of the arrays that exist at the peak of some work, beside weights and input.

    Arguments:
        forward: one sample, without gradients.
        training: a batch, from its first layer to the gradients of all weights.
    """

    forward: int
    training: int


def weight_bytes(operator: nn.Module) -> int:
    """Return the bytes of all parameters and buffers."""
    return sum(value.numel() * value.element_size() for value in (*operator.parameters(), *operator.buffers()))


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

    few, many = noise(operator, one), noise(operator, all_samples)
    before = [few, many, *operator.parameters(), *operator.buffers()]
    # What is kept for later passes is not counted.
    forward()
    memory = Memory(live_bytes(forward, before), live_bytes(train, before))
    operator.zero_grad(set_to_none=True)
    return memory


def live_bytes(work: Callable[[], object], before: Iterable[Tensor]) -> int:
    """Return the bytes of the arrays that exist at the peak of some work, beside those that were there before."""
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
        operator(noise(operator, (1, channels, *points)))
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


def noise(operator: nn.Module, shape: tuple[int, ...]) -> Tensor:
    """Return an input of normal random numbers on an operator's device and in its precision."""
    like = real_parameter(operator)
    if like.is_meta:
        return torch.empty(shape, dtype=like.dtype, device="meta")
    random = torch.Generator().manual_seed(0)
    return torch.randn(shape, generator=random, dtype=torch.float64).to(like.device, like.dtype)


def real_parameter(operator: nn.Module) -> Tensor:
    """Return a real parameter, for its device and precision."""
    real = (value for value in operator.parameters() if value.is_floating_point())
    return next(real, torch.empty(0))
