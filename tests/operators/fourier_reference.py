"""The parts of Fourier layers written with full transforms of `(batch, channel, *grid)`, one mode at a time."""

from __future__ import annotations

from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.fno import kept_modes
from eddymark.operators.factorised_convolution import FactorisedConvolution
from eddymark.operators.lifted import LiftedOperator
from eddymark.operators.pointwise import channels_first, grid_first
from eddymark.operators.spectral_convolution import SpectralConvolution
from eddymark.operators.strided_unet import UNetBranch


def pointwise(layer: nn.Module, values: Tensor) -> Tensor:
    """Return W v + b."""
    linear = cast(nn.Linear, layer)
    return torch.einsum("oi,bi...->bo...", linear.weight, values) + linear.bias.view(-1, *[1] * (values.dim() - 2))


def spectral(convolution: SpectralConvolution, values: Tensor) -> Tensor:
    """Return the spectral convolution K v."""
    axes = tuple(range(2, values.dim()))
    spectrum = torch.fft.rfftn(values, dim=axes, norm="forward")
    product = torch.zeros_like(spectrum)
    weight = torch.view_as_complex(convolution.weight)
    for number, k in enumerate(kept_modes(convolution.modes)):
        at = (slice(None), slice(None), *k)
        product[at] = torch.einsum("bi,io->bo", spectrum[at], weight[number])
    return torch.fft.irfftn(product, s=values.shape[2:], dim=axes, norm="forward")


def factorised(convolution: FactorisedConvolution, values: Tensor) -> Tensor:
    """Return the sum of the convolutions along each axis."""
    total = torch.zeros_like(values)
    for number, (weight, modes) in enumerate(zip(convolution.weights, convolution.modes, strict=True)):
        spectrum = torch.fft.rfft(values, dim=2 + number, norm="forward").movedim(2 + number, -1)
        product = torch.zeros_like(spectrum)
        for k in range(modes + 1):
            product[..., k] = torch.einsum("bi...,io->bo...", spectrum[..., k], torch.complex(*weight[:, k]))
        total += torch.fft.irfft(product, n=values.shape[2 + number], norm="forward").movedim(-1, 2 + number)
    return total


def unet(net: nn.Module, values: Tensor) -> Tensor:
    """Return U v."""
    return channels_first(cast(UNetBranch, net)(grid_first(values)))


def projected(operator: LiftedOperator, values: Tensor) -> Tensor:
    """Return the projection."""
    return pointwise(operator.project_out, F.gelu(pointwise(operator.project_in, values)))


def with_biases(operator: nn.Module) -> nn.Module:
    """Return the operator with random biases, so that none can be forgotten."""
    torch.manual_seed(2)
    for name, parameter in operator.named_parameters():
        if name.endswith("bias"):
            nn.init.normal_(parameter)
    return operator


def assert_same_map(operator: nn.Module, field: Tensor, expected: Tensor) -> None:
    """Compare an operator with its equation written out: outputs, and gradients with regard to input and parameters."""
    output = operator(field)
    torch.testing.assert_close(output, expected, rtol=0, atol=1e-12)
    inputs = [field, *operator.parameters()]
    gradients = [torch.autograd.grad(y.square().mean(), inputs, retain_graph=True) for y in (output, expected)]
    for gradient, other in zip(*gradients, strict=True):
        torch.testing.assert_close(gradient, other, rtol=0, atol=1e-12)
