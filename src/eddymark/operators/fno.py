"""Fourier neural operator in two and three dimensions."""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from eddymark.operators.pointwise import GELU_MEAN_SQUARE, START, channels_first, grid_first, pointwise
from eddymark.operators.spectral_convolution import SpectralConvolution


class FourierNeuralOperator(nn.Module):
    """Fourier neural operator: lift, L layers v ← σ(K v + W v + b), projection.

    K multiplies the modes |k_i| ≤ m_i by learned matrices (all 2^(d−1) corner blocks), W and b act at each
    point, σ is GELU and absent in the last layer; lift and projection act at each point, the projection
    through one hidden layer. Coefficients are amplitudes (`norm="forward"`), hence the same weights describe
    the same operator on every grid which resolves the modes. The map commutes with translations.

    Arguments:
        in_channels, out_channels: numbers of channels.
        dimension: number of grid axes, 2 or 3.
        width: channels inside the network.
        modes: highest kept Fourier mode m per sign, one for all axes or one per axis; an axis keeps −m … m.
        layers: number of layers L.
        projection_width: channels of the projection's hidden layer; default twice the width.

    Raises:
        ValueError: if an argument is out of range, or the input's grid does not resolve the modes (points > 2
        m).

    Source: Li et al., Fourier Neural Operator for Parametric Partial Differential Equations, ICLR 2021, eqs.
    2–5.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        dimension: int,
        width: int,
        modes: int | Sequence[int],
        layers: int = 4,
        projection_width: int | None = None,
    ) -> None:
        super().__init__()
        self.modes = (modes,) * dimension if isinstance(modes, int) else tuple(modes)
        if dimension not in (2, 3):
            raise ValueError(f"dimension must be 2 or 3; got {dimension}")
        if len(self.modes) != dimension or min(self.modes) < 1:
            raise ValueError(f"modes must be one positive number or one for each of {dimension} axes; got {modes}")
        if min(width, layers) < 1:
            raise ValueError(f"width and layers must be at least 1; got {width} and {layers}")
        hidden = 2 * width if projection_width is None else projection_width
        if hidden < 1:
            raise ValueError(f"projection_width must be at least 1; got {projection_width}")
        self.lift = pointwise(in_channels, width, variance=1 / in_channels)
        # The two branches of a layer share the variance evenly.
        variances = [0.5 / width] + [0.5 / (width * GELU_MEAN_SQUARE)] * (layers - 1)
        self.convolutions = nn.ModuleList(
            SpectralConvolution(width, width, modes=self.modes, variance=variance) for variance in variances
        )
        self.pointwise = nn.ModuleList(pointwise(width, width, variance=variance) for variance in variances)
        self.project_in = pointwise(width, hidden, variance=1 / width)
        self.project_out = pointwise(hidden, out_channels, variance=START**2 / (hidden * GELU_MEAN_SQUARE))

    def forward(self, field: Tensor) -> Tensor:
        """Map `(batch, in_channels, *grid)` to `(batch, out_channels, *grid)`."""
        points = field.shape[2:]
        if len(points) != len(self.modes) or any(n <= 2 * m for n, m in zip(points, self.modes, strict=True)):
            needed, got = " × ".join(str(2 * m + 1) for m in self.modes), " × ".join(map(str, points))
            raise ValueError(f"modes {self.modes} need a grid of at least {needed} points; got {got}")
        values = self.lift(grid_first(field))
        last = len(self.convolutions) - 1
        for index, (convolution, beside) in enumerate(zip(self.convolutions, self.pointwise, strict=True)):
            values = convolution(values, beside(values))
            if index < last:
                values = F.gelu(values)
        return channels_first(self.project_out(F.gelu(self.project_in(values))))
