"""What the operators of the Fourier family have in common: lift, the layers between, projection."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from eddymark.operators.axes import Axis
from eddymark.operators.pointwise import GELU_MEAN_SQUARE, START, channels_first, grid_first, pointwise
from eddymark.operators.spectral_convolution import modes_per_axis, require_resolved


class LiftedOperator(nn.Module):
    """Lift to `width` channels at each point, `transform`, and projection through one hidden layer at each point.

    Arguments:
        in_channels, width: channels of the input and inside.
        dimension: number of grid axes, 2 or 3.
        modes: highest kept Fourier mode per sign, one for all axes or one per axis.
        counts: further arguments by name, which must be at least 1.
        axes: the box; None: uniform periodic axes.

    Raises:
        ValueError: if an argument is out of range.
    """

    def __init__(
        self,
        in_channels: int,
        width: int,
        *,
        dimension: int,
        modes: int | Sequence[int],
        counts: dict[str, int],
        axes: Sequence[Axis] | None,
    ) -> None:
        super().__init__()
        self.modes = modes_per_axis(modes, dimension)
        for name, count in {"width": width, **counts}.items():
            if count < 1:
                raise ValueError(f"{name} must be at least 1; got {count}")
        if axes is not None and len(axes) != dimension:
            raise ValueError(f"axes must be {dimension}; got {len(axes)}")
        self.periodic = tuple(axis.periodic for axis in axes) if axes is not None else (True,) * dimension
        self.lift = pointwise(in_channels, width, variance=1 / in_channels)

    def add_projection(self, width: int, out_channels: int, projection_width: int | None) -> None:
        """Add the projection's two layers; after those of the subclass, so that parameters are in order."""
        hidden = 2 * width if projection_width is None else projection_width
        if hidden < 1:
            raise ValueError(f"projection_width must be at least 1; got {projection_width}")
        self.project_in = pointwise(width, hidden, variance=1 / width)
        self.project_out = pointwise(hidden, out_channels, variance=START**2 / (hidden * GELU_MEAN_SQUARE))

    @abstractmethod
    def transform(self, values: Tensor) -> Tensor:
        """Return what the layers between make of `(z, y, x, batch, width)`, in the same shape."""

    def forward(self, field: Tensor) -> Tensor:
        """Map `(batch, in_channels, *grid)` to `(batch, out_channels, *grid)`."""
        return channels_first(self.project_out(self._features(field)))

    def with_features(self, field: Tensor) -> tuple[Tensor, Tensor]:
        """Return the output and what the last layer makes it of (see `last_layer.LinearLastLayer`)."""
        features = self._features(field)
        return channels_first(self.project_out(features)), channels_first(features)

    def _features(self, field: Tensor) -> Tensor:
        require_resolved(self.modes, field.shape[2:])
        values = self.transform(self.lift(grid_first(field)))
        return F.gelu(self.project_in(values))
