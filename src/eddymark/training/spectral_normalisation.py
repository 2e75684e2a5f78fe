"""A bound on the linear maps of a network while it is trained."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

_ITERATIONS = 15
"""Power iterations at the start; one more for each step of training keeps up with the weights."""

REAL = 1
"""Where a weight of real matrices would have its parts: it has none."""

_LINEAR = (
    nn.Linear,
    nn.Conv1d,
    nn.Conv2d,
    nn.Conv3d,
    nn.ConvTranspose1d,
    nn.ConvTranspose2d,
    nn.ConvTranspose3d,
)


class BoundedNorm(nn.Module):
    """Bounds the largest singular value of each matrix of a weight: W / max(1, σ(W) / bound).

    σ = Re u* W v from one power iteration for each step of training; u and v change at no other time, so that unrolled
    and recomputed calls of one step have one weight.

    Arguments:
        weight: the weight at the start.
        bound: largest singular value.
        parts: where the weight has its real and imaginary parts: −1 of `(matrix, in, out, 2)` or 0 of `(2, matrix, in,
            out)`; `REAL`: it has none, `(matrix, in, out)`; None: it is one real matrix, from the first axis to all
            others or back.
    """

    left: Tensor
    right: Tensor

    def __init__(self, weight: Tensor, *, bound: float, parts: int | None) -> None:
        super().__init__()
        self.bound = bound
        self.parts = parts
        matrices = self._matrices(weight.detach())
        # No random numbers; orthogonal to the largest singular vectors only by chance.
        right = torch.ones_like(matrices[:, 0])
        self.register_buffer("right", torch.view_as_real(right) if right.is_complex() else right)
        left = torch.ones_like(matrices[:, :, 0])
        self.register_buffer("left", torch.view_as_real(left) if left.is_complex() else left)
        for _ in range(_ITERATIONS):
            self.iterate(weight)

    def _matrices(self, weight: Tensor) -> Tensor:
        """Return the matrices of a weight, `(matrix, row, column)`."""
        if self.parts is None:
            return weight.flatten(1)[None]
        if self.parts == REAL:
            return weight
        return torch.view_as_complex(weight.movedim(self.parts, -1).contiguous())

    def _vector(self, stored: Tensor) -> Tensor:
        return stored if self.parts in (None, REAL) else torch.view_as_complex(stored)

    @torch.no_grad()
    def iterate(self, weight: Tensor) -> None:
        """Do one power iteration on the weight without bound."""
        matrices = self._matrices(weight.detach())
        right, left = self._vector(self.right), self._vector(self.left)
        left.copy_(nn.functional.normalize(_product(matrices, right), dim=-1))
        right.copy_(nn.functional.normalize(_product(matrices.mH, left), dim=-1))

    def forward(self, weight: Tensor) -> Tensor:
        """Return the weight with the bound."""
        matrices = self._matrices(weight)
        image = _product(matrices, self._vector(self.right).clone())
        norm = (self._vector(self.left).clone().conj() * image).sum(dim=-1).real
        factor = self.bound / norm.clamp_min(self.bound)
        if self.parts is None:
            return weight * factor
        factors = factor[:, None, None]
        return weight * (factors if self.parts == REAL else factors.unsqueeze(self.parts))


def _product(matrices: Tensor, vectors: Tensor) -> Tensor:
    return torch.matmul(matrices, vectors[..., None])[..., 0]


def bound_linear_maps(module: nn.Module, *, bound: float) -> None:
    """Bound the singular values of all trained linear maps in a module: dense layers, convolutions, Fourier layers.

    Of a convolution that is the matrix from all points of its kernel to the outputs. In-place: weights become
    parametrised, which `release_linear_maps` ends.

    Arguments:
        module: the network.
        bound: largest singular value.

    Source: Miyato et al. (2018), Spectral Normalization for Generative Adversarial Networks, ICLR; as a bound instead
    of an equality: Gouk, Frank, Pfahringer & Cree (2021), Machine Learning 110, 393; in neural operators: McCabe,
    Harrington, Subramanian & Brown (2023), Towards Stability of Autoregressive Neural Operators, TMLR.
    """
    for layer in list(module.modules()):
        for owner, name, parts in _weights(layer):
            if not owner.get_parameter(name).requires_grad:
                continue
            bounded = BoundedNorm(owner.get_parameter(name), bound=bound, parts=parts)
            parametrize.register_parametrization(owner, name, bounded)


def _weights(layer: nn.Module) -> list[tuple[nn.Module, str, int | None]]:
    """Return the linear maps of a layer: whose parameters they are, their names, and where parts of numbers are.

    Layers of eddymark with parameters of their own have a dictionary `linear_maps` with the latter two.
    """
    maps: dict[str, int | None] = {"weight": None} if isinstance(layer, _LINEAR) else getattr(layer, "linear_maps", {})
    found: list[tuple[nn.Module, str, int | None]] = []
    for name, parts in maps.items():
        weights = getattr(layer, name)
        if isinstance(weights, nn.ParameterList):
            found += [(weights, str(number), parts) for number in range(len(weights))]
        else:
            found.append((layer, name, parts))
    return found


def iterate(module: nn.Module) -> None:
    """Let all bounds in a module follow its weights by one power iteration."""
    for owner, name in _bounded(module):
        bounded = owner.get_submodule(f"parametrizations.{name}.0")
        assert isinstance(bounded, BoundedNorm)
        bounded.iterate(owner.get_parameter(f"parametrizations.{name}.original"))


def release_linear_maps(module: nn.Module) -> None:
    """Make plain weights of bounded ones, as they are."""
    for owner, name in _bounded(module):
        parametrize.remove_parametrizations(owner, name, leave_parametrized=True)


def _bounded(module: nn.Module) -> list[tuple[nn.Module, str]]:
    """Return what has bounded weights, and their names."""
    owners = [owner for owner in module.modules() if parametrize.is_parametrized(owner)]
    return [(owner, name) for owner in owners for name in cast(nn.ModuleDict, owner.parametrizations)]
