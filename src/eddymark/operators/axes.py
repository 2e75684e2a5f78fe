"""What an operator may know about the axes of its grid."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Axis:
    """One axis of the flow's box.

    Arguments:
        side: length of the box, flow units.
        periodic: whether the flow is periodic along it; otherwise there is a wall at both ends.
        coordinates: places of the grid points, increasing; None: uniform spacing from 0, without the end point of a
            periodic axis and with that of any other.

    Raises:
        ValueError: if a value is out of range.
    """

    side: float
    periodic: bool = True
    coordinates: tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        if not 0 < self.side < math.inf:
            raise ValueError(f"side must be positive; got {self.side}")
        if self.coordinates is not None and list(self.coordinates) != sorted(set(self.coordinates)):
            raise ValueError("coordinates must increase")

    def places(self, points: int) -> Tensor:
        """Return the coordinates of the grid points, flow units, `(points,)` in double precision.

        Raises:
            ValueError: if the axis has coordinates of another number of points.
        """
        if self.coordinates is None:
            return torch.arange(points).double() * (self.side / (points if self.periodic else points - 1))
        if len(self.coordinates) != points:
            raise ValueError(f"the axis has {len(self.coordinates)} points; got {points}")
        return torch.tensor(self.coordinates, dtype=torch.float64)

    def weights(self, points: int) -> Tensor:
        """Return the weights of the trapezoidal rule, ∫ f dx ≈ Σ wᵢ f(xᵢ), `(points,)` in double precision.

        On a uniform periodic axis all are the spacing, and the rule is exact for all resolved modes.
        """
        places = self.places(points)
        if self.periodic:
            gaps = torch.cat([places, places[:1] + self.side]).diff()
            return (gaps + gaps.roll(1)) / 2
        gaps = torch.nn.functional.pad(places.diff(), (1, 1))
        return (gaps[:-1] + gaps[1:]) / 2
