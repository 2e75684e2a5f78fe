"""What the sections of a configuration are made of: kinds of values, and how text stands for them."""

from __future__ import annotations

import math
import re
from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

# The upper limits are beyond every experiment and keep what is computed from these numbers finite.
Positive = Annotated[float, Field(gt=0, le=1e12)]
NonNegative = Annotated[float, Field(ge=0, le=1e12)]
PositiveInteger = Annotated[int, Field(ge=1, le=10**9)]


def _length(value: Any) -> Any:
    """Read a box side such as `6.28`, `pi`, `2pi` or `4 pi` as a number."""
    if isinstance(value, str):
        match = re.fullmatch(r"\s*(-?)\s*(\d+\.?\d*|\.\d+|)\s*pi\s*", value)
        if match:
            return float(f"{match[1]}{match[2] or 1}") * math.pi
    return value


def _several(value: Any) -> Any:
    """Read one word where a list of words may stand as a list of one."""
    return (value,) if isinstance(value, str) else value


def _numbers(value: Any) -> Any:
    """Read ranges such as `0-799` in a list of numbers."""
    numbers: list[Any] = []
    for item in value if isinstance(value, list | tuple) else (value,):
        match = re.fullmatch(r"\s*(\d{1,6})\s*-\s*(\d{1,6})\s*", item) if isinstance(item, str) else None
        numbers += range(int(match[1]), int(match[2]) + 1) if match else [item]
    return tuple(numbers)


def _parts(value: Any) -> Any:
    """Read true and false where a list of parts of the known physics may stand, and one word as a list of one."""
    if isinstance(value, bool):
        return KNOWN_PARTS if value else ()
    return _several(value)


Length = Annotated[float, BeforeValidator(_length), Field(gt=0, le=1e12)]
Words = Annotated[tuple[str, ...], BeforeValidator(_several)]
KnownPart = Literal["viscosity", "forcing", "incompressibility", "momentum"]
KNOWN_PARTS: tuple[KnownPart, ...] = get_args(KnownPart)
KnownPhysics = Annotated[tuple[KnownPart, ...], BeforeValidator(_parts)]
Numbers = Annotated[tuple[Annotated[int, Field(ge=0)], ...], BeforeValidator(_numbers)]


class Model(BaseModel):
    """Base of every section: unknown keys are refused, values cannot change after loading."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)
