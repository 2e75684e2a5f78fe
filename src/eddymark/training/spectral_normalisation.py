"""A bound on the linear maps of a network while it is trained."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from eddymark.operators.spectral_convolution import SpectralConvolution

_ITERATIONS = 15
"""Power iterations at the start; one more for each step of training keeps up with the weights."""

_LINEAR = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)


class BoundedNorm(nn.Module):
    """Bounds the largest singular value of each matrix of a weight: W / max(1, σ(W) / bound).

    σ = Re u* W v from one power iteration for each step of training; u and v change at no other time, so that unrolled
    and recomputed calls of one step have one weight.

    Arguments:
        weight: the weight at the start.
        bound: largest singular value.
        complex_pairs: whether the weight is `(matrix, in, out, 2)` with real and imaginary parts last, as that of
            `SpectralConvolution`; otherwise its first axis are the outputs, and all others are inputs.
    """

    left: Tensor
    right: Tensor

    def __init__(self, weight: Tensor, *, bound: float, complex_pairs: bool) -> None:
        super().__init__()
        self.bound = bound
        self.complex_pairs = complex_pairs
        matrices = self._matrices(weight.detach())
        # No random numbers; orthogonal to the largest singular vectors only by chance.
        right = torch.ones_like(matrices[:, 0])
        self.register_buffer("right", torch.view_as_real(right) if complex_pairs else right)
        left = torch.ones_like(matrices[:, :, 0])
        self.register_buffer("left", torch.view_as_real(left) if complex_pairs else left)
        for _ in range(_ITERATIONS):
            self.iterate(weight)

    def _matrices(self, weight: Tensor) -> Tensor:
        """Return the matrices of a weight, `(matrix, row, column)`."""
        return torch.view_as_complex(weight.contiguous()) if self.complex_pairs else weight.flatten(1)[None]

    def _vector(self, stored: Tensor) -> Tensor:
        return torch.view_as_complex(stored) if self.complex_pairs else stored

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
        factor = (self.bound / norm.clamp_min(self.bound)).reshape(-1, *(1,) * (weight.dim() - 1))
        return weight * (factor if self.complex_pairs else factor[0])


def _product(matrices: Tensor, vectors: Tensor) -> Tensor:
    return torch.matmul(matrices, vectors[..., None])[..., 0]


def bound_linear_maps(module: nn.Module, *, bound: float) -> None:
    """Bound the singular values of all linear maps in a module: dense layers, convolutions, Fourier layers.

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
        spectral = isinstance(layer, SpectralConvolution)
        if spectral or isinstance(layer, _LINEAR):
            bounded = BoundedNorm(layer.get_parameter("weight"), bound=bound, complex_pairs=spectral)
            parametrize.register_parametrization(layer, "weight", bounded)


def iterate(module: nn.Module) -> None:
    """Let all bounds in a module follow its weights by one power iteration."""
    for layer in module.modules():
        if parametrize.is_parametrized(layer, "weight"):
            bounded = layer.get_submodule("parametrizations.weight.0")
            assert isinstance(bounded, BoundedNorm)
            bounded.iterate(layer.get_parameter("parametrizations.weight.original"))


def release_linear_maps(module: nn.Module) -> None:
    """Make plain weights of bounded ones, as they are."""
    for layer in list(module.modules()):
        if parametrize.is_parametrized(layer, "weight"):
            parametrize.remove_parametrizations(layer, "weight", leave_parametrized=True)
