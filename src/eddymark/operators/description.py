"""What an operator is made of and how it sees a field, measured on the module, whatever it is."""

from __future__ import annotations

import inspect
import math
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from eddymark.operators.build import ForeignOperator
from eddymark.operators.cost import noise, real_parameter

_SHIFTS = (1, 2, 3, 4, 6, 8, 12, 16, 32)
_SAME = 1e-9
"""Relative difference below which two outputs in double precision are the same."""
_NOTHING = 1e-12
"""Part of the largest derivative below which one counts as zero."""


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
    """Return the number of learned real numbers of each direct part of an operator; a complex weight counts as two."""
    module = operator.module if isinstance(operator, ForeignOperator) else operator
    parts: dict[str, int] = {}
    for name, parameter in module.named_parameters():
        part = name.split(".")[0]
        parts[part] = parts.get(part, 0) + parameter.numel() * (2 if parameter.is_complex() else 1)
    return parts


def kept_modes(operator: nn.Module) -> tuple[int, ...] | None:
    """Return the highest Fourier mode per axis of an operator which says so, None for others."""
    modes = getattr(operator, "modes", None)
    if isinstance(modes, Sequence) and modes and all(isinstance(mode, int) for mode in modes):
        return tuple(modes)
    return None


def receptive_radius(operator: nn.Module, *, channels: int, points: tuple[int, ...]) -> tuple[int, ...]:
    """Return how many grid spacings away along each axis an output point still sees the input; at most half the box.

    Measured by derivatives of the output at several points, of which patches hold different parts.

    Arguments:
        operator: a module in double precision.
        channels: of the input.
        points: of the grid.
    """
    field = noise(operator, (1, channels, *points)).requires_grad_()
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
    field = noise(operator, (1, channels, *points))
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
    like = real_parameter(operator)
    random = torch.Generator().manual_seed(0)
    counts = [2 * m + 1 for m in highest]
    coefficients = torch.randn(channels, *counts, 2, generator=random, dtype=torch.float64)
    spectrum = torch.zeros(channels, *points, dtype=torch.complex128)
    places = [torch.arange(-m, m + 1) % n for m, n in zip(highest, points, strict=True)]
    here: tuple[slice | Tensor, ...] = (slice(None), *torch.meshgrid(*places, indexing="ij"))
    spectrum[here] = torch.view_as_complex(coefficients)
    field = torch.fft.ifftn(spectrum, dim=tuple(range(1, spectrum.dim())), norm="forward").real
    return (field / math.sqrt(math.prod(counts)))[None].to(like.device, like.dtype)
