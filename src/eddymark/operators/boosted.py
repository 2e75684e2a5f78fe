"""A trained operator and a second one that is fitted to what the first leaves."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class BoostedOperator(nn.Module):
    """Sum of an operator G that stays as it is and one that is trained on the residual of G.

        v ↦ G(v) + r H([v, G(v)])

    H also sees what G makes of v, which its residual depends on. r is a constant: the root mean square of the residual
    in the units of the output, so that H has to give numbers of the order of one.

    Arguments:
        first: G, `(batch, in, *grid)` → `(batch, out, *grid)`; its parameters are not trained from here on.
        second: H, `(batch, in + out, *grid)` → `(batch, out, *grid)`.

    Source: Qin et al. (2024), Toward a Better Understanding of Fourier Neural Operators from a Spectral Perspective,
    arXiv:2404.07200 (SpecBoost, later SpecB-FNO); there, both are FNOs and make a whole prediction in one step.
    """

    residual_scale: Tensor

    def __init__(self, first: nn.Module, second: nn.Module) -> None:
        super().__init__()
        self.first = first.requires_grad_(False).eval()
        self.second = second
        self.register_buffer("residual_scale", torch.ones(()))

    def train(self, mode: bool = True) -> BoostedOperator:
        """Set the mode of H alone: G is evaluated as it will be in rollouts, without any dropout."""
        super().train(mode)
        self.first.eval()
        return self

    def forward(self, field: Tensor) -> Tensor:
        """Map `(batch, in, *grid)` to `(batch, out, *grid)`."""
        given = self.first(field)
        return given + self.residual_scale * self.second(torch.cat([field, given], dim=1))
