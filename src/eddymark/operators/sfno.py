"""Spatiotemporal Fourier neural operator in two and three dimensions."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from eddymark.operators.axes import Axis
from eddymark.operators.pointwise import GELU_MEAN_SQUARE, START, pointwise
from eddymark.operators.spectral_convolution import PADDING, SpectralConvolution, modes_per_axis, require_resolved


@dataclass(frozen=True)
class TimeWindow(Axis):
    """A stretch of time of unit length; n frames are at 1/n, 2/n, … 1, at the ends of its n equal parts.

    So the last input frame is at the end of the past, the last output frame at the end of what is asked for, and a
    window may have one frame only.
    """

    side: float = 1.0
    periodic: bool = False

    def places(self, points: int) -> Tensor:
        """Return the times of the frames, `(points,)` in double precision."""
        return torch.arange(1, points + 1, dtype=torch.float64) * (self.side / points)

    def weights(self, points: int) -> Tensor:
        """Return the weights of the rule ∫ f dt ≈ Σ wᵢ f(tᵢ), `(points,)` in double precision."""
        return torch.full((points,), self.side / points, dtype=torch.float64)


class SpatiotemporalFourierNeuralOperator(nn.Module):
    """SFNO: past frames are one field of space and time, and so are the frames to come.

        v₁ = σ(K₁ P u + W₁ P u(t₀) + b₁),  v ← σ(K v + W v + b) (L − 1 times),  output = Q v

    P lifts each frame to `width` channels at each point. K and Q multiply the modes |k_i| ≤ m_i, 0 ≤ |ω| ≤ m_t of space
    and time by learned matrices, W and b act at each point, σ is GELU, u(t₀) is the last frame. K₁ takes the input
    frames to `latent_frames` frames and Q these to the output frames: transforms in time are integrals over a window of
    length 1, beyond which the field is zero, so that the weights know nothing of the numbers of frames. The last layer
    Q is linear and acts on each mode by itself. The map commutes with translations along periodic axes; neither space
    nor time has coordinates among the inputs.

    What the operator gives is for a surrogate's `output: increment`: each frame is the increment of the one before it,
    the first that of u(t₀). With `add_last_state`, each is the increment of u(t₀) and the operator adds that, which is
    for `output: direct`.

    Arguments:
        in_channels: input frames times components, oldest frame first, then fields without a time.
        out_channels: output frames times components.
        dimension: number of grid axes, 2 or 3.
        input_times, output_times: numbers of frames (a surrogate's `history` and `bundle`).
        width: channels inside the network (published: 10 and 20).
        modes: highest kept Fourier mode m per sign, one for all axes or one per axis.
        time_modes: highest kept mode m_t in time (published: 4).
        latent_frames: frames inside the network (published: 10); more than 2 m_t.
        layers: number of layers L before Q (published: 4).
        add_last_state: whether the last frame is added to each output.
        axes: the box; None: uniform periodic axes.
        padding: zeros which follow the window in time, as a fraction of it, and the field on an axis with walls.

    Raises:
        ValueError: if an argument is out of range, or the input's grid does not resolve the modes (points > 2 m).

    Source: Cao, Brarda, Li & Xi, Spectral-Refiner, ICLR 2025 (arXiv 2405.17211), and its code. There,
    coordinates with both end points of the periodic box are further inputs and Q has a bias for each mode, neither of
    which commutes with translations; P has a normalisation in place of the surrogate's scales, a perceptron follows
    each K, and windows in time are periodic but for that of Q.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        dimension: int,
        input_times: int = 1,
        output_times: int = 1,
        width: int,
        modes: int | Sequence[int],
        time_modes: int = 4,
        latent_frames: int = 10,
        layers: int = 4,
        add_last_state: bool = False,
        axes: Sequence[Axis] | None = None,
        padding: float = PADDING,
    ) -> None:
        super().__init__()
        self.modes = modes_per_axis(modes, dimension)
        counts = {"width": width, "time_modes": time_modes, "latent_frames": latent_frames, "layers": layers}
        counts |= {"input_times": input_times, "output_times": output_times}
        for name, count in counts.items():
            if count < 1:
                raise ValueError(f"{name} must be at least 1; got {count}")
        if latent_frames <= 2 * time_modes:
            raise ValueError(f"latent_frames must be above 2 time_modes ({2 * time_modes}); got {latent_frames}")
        if axes is not None and len(axes) != dimension:
            raise ValueError(f"axes must be {dimension}; got {len(axes)}")
        if out_channels % output_times or in_channels < input_times * (out_channels // output_times):
            raise ValueError(
                f"{in_channels} channels in and {out_channels} out are not {input_times} and {output_times} frames"
            )
        self.input_times, self.output_times = input_times, output_times
        self.latent_frames = latent_frames
        self.add_last_state = add_last_state
        self.components = out_channels // output_times
        seen = in_channels - (input_times - 1) * self.components
        box = [*(axes or [Axis(2 * math.pi)] * dimension), TimeWindow()]

        def convolution(out: int, variance: float) -> SpectralConvolution:
            every = (*self.modes, time_modes)
            return SpectralConvolution(width, out, modes=every, variance=variance, axes=box, padding=padding)

        self.lift = pointwise(seen, width, variance=1 / seen)
        # The two branches of a layer share the variance evenly.
        variances = [0.5 / width] + [0.5 / (width * GELU_MEAN_SQUARE)] * (layers - 1)
        self.convolutions = nn.ModuleList(convolution(width, variance) for variance in variances)
        self.pointwise = nn.ModuleList(pointwise(width, width, variance=variance) for variance in variances)
        self.last = convolution(self.components, START**2 / (width * GELU_MEAN_SQUARE))

    def forward(self, field: Tensor) -> Tensor:
        """Map `(batch, in_channels, *grid)` to `(batch, out_channels, *grid)`."""
        return self._output(field, self._features(field))

    def with_features(self, field: Tensor) -> tuple[Tensor, Tensor]:
        """Return the output and what the last layer makes it of (see `last_layer.LinearLastLayer`)."""
        features = self._features(field)
        return self._output(field, features), _channels_first(features)

    def _features(self, field: Tensor) -> Tensor:
        """Return the frames inside the network, `(t, z, y, x, batch, width)`."""
        values = self.lift(self._frames(field))
        points = (self.latent_frames, *values.shape[1:-2])
        for index, (convolution, beside) in enumerate(zip(self.convolutions, self.pointwise, strict=True)):
            last = beside(values[-1:]).expand(*points, -1, -1) if index == 0 else beside(values)
            values = F.gelu(convolution(values, last, points=points))
        return values

    def _output(self, field: Tensor, features: Tensor) -> Tensor:
        """Return what the last layer makes of the frames inside, `(batch, out_channels, *grid)`."""
        output = _channels_first(self.last(features, points=(self.output_times, *features.shape[1:-2])))
        if not self.add_last_state:
            return output
        end = self.input_times * self.components
        return output + field[:, end - self.components : end].repeat(1, self.output_times, *[1] * (field.dim() - 2))

    def _frames(self, field: Tensor) -> Tensor:
        """Return the input frames, each with the fields without a time, `(t, z, y, x, batch, channel)`."""
        require_resolved(self.modes, field.shape[2:])
        states, static = field.tensor_split([self.input_times * self.components], dim=1)
        frames = states.unflatten(1, (self.input_times, self.components))
        others = static.unsqueeze(1).expand(-1, self.input_times, *static.shape[1:])
        joined = torch.cat([frames, others], dim=2)
        return joined.permute(1, *reversed(range(3, joined.dim())), 0, 2).contiguous()


def _channels_first(frames: Tensor) -> Tensor:
    """Return `(t, z, y, x, batch, channel)` as `(batch, t · channel, x, y, z)`, contiguous."""
    space = reversed(range(1, frames.dim() - 2))
    return frames.permute(-2, 0, -1, *space).flatten(1, 2).contiguous()
