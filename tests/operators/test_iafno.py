from __future__ import annotations

import itertools
import math
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from eddymark.operators.iafno import ImplicitAdaptiveFourierNeuralOperator, SpectralPerceptron, soft_shrink
from eddymark.operators.patches import from_patches, to_patches
from eddymark.operators.spectral_convolution import SpectralConvolution, to_grid, to_spectrum

CASES = [
    pytest.param((12, 16), (2, 3), id="2-D"),
    pytest.param((10, 12, 14), (2, 1, 3), id="3-D"),
]


def network(modes: tuple[int, ...], **arguments: Any) -> ImplicitAdaptiveFourierNeuralOperator:
    torch.manual_seed(0)
    sizes = {"width": 6, "layers": 3, "blocks": 2} | arguments
    net = ImplicitAdaptiveFourierNeuralOperator(3, 2, dimension=len(modes), modes=modes, **sizes).double()
    torch.nn.init.uniform_(net.mix.thresholds, 0.1, 0.9)
    return net


def shrunk(value: Tensor, threshold: Tensor | float) -> Tensor:
    return torch.polar(torch.clamp(value.abs() - threshold, min=0), value.angle())


def mixed(net: ImplicitAdaptiveFourierNeuralOperator, normal: Tensor) -> Tensor:
    """The spectral part of a block, one mode at a time; channels last."""
    grid = normal.shape[1:-1]
    spectrum = torch.fft.fftn(normal, dim=tuple(range(1, 1 + len(grid))), norm="forward")
    result = torch.zeros_like(spectrum)
    scale = math.sqrt(math.prod(2 * m + 1 for m in net.modes))
    first, second = (torch.view_as_complex(w) for w in (net.mix.weight_in, net.mix.weight_out))
    for k in itertools.product(*[range(-m, m + 1) for m in net.modes]):
        if k[-1] < 0:
            continue
        blocks = (spectrum[(slice(None), *k)] * scale).unflatten(-1, (len(first), -1))
        hidden = shrunk(torch.einsum("bni,nio->bno", blocks, first), net.mix.thresholds[:, 0])
        value = shrunk(torch.einsum("bni,nio->bno", hidden, second).flatten(1), net.mix.threshold) / scale
        # Each mode brings its mirror image; those with k_z = 0 do so for each other.
        share = 1.0 if k[-1] > 0 else 0.5
        result[(slice(None), *k)] += share * value
        result[(slice(None), *[-number for number in k])] += share * value.conj()
    field = torch.fft.ifftn(result, dim=tuple(range(1, 1 + len(grid))), norm="forward")
    assert float(field.imag.abs().max()) < 1e-14
    return field.real


def reference(net: ImplicitAdaptiveFourierNeuralOperator, field: Tensor) -> Tensor:
    patches = field
    for axis in range(2, field.dim()):
        patches = patches.unfold(axis, net.patch_size, net.patch_size)
    dimension = field.dim() - 2
    values = net.lift(patches.movedim(1, dimension + 1).flatten(dimension + 1))
    for _ in range(net.layers):
        normal = F.layer_norm(values, values.shape[-1:], net.norm_in.weight, net.norm_in.bias)
        inner = values + normal + mixed(net, normal)
        again = F.layer_norm(inner, values.shape[-1:], net.norm_out.weight, net.norm_out.bias)
        values = values + (inner + net.hidden_out(F.gelu(net.hidden_in(again)))) / net.layers
    output = torch.zeros(len(field), 2, *field.shape[2:], dtype=field.dtype)
    inside = [*itertools.product(range(net.patch_size), repeat=dimension)]
    for number, value in enumerate(net.project(values).unbind(-1)):
        channel, place = divmod(number, len(inside))
        output[(slice(None), channel, *[slice(i, None, net.patch_size) for i in inside[place]])] = value
    return output


@pytest.mark.parametrize(("points", "modes"), CASES)
def test_equals_full_transforms_mode_by_mode(points: tuple[int, ...], modes: tuple[int, ...]) -> None:
    net = network(modes, threshold=0.2).requires_grad_(False)
    field = torch.randn(2, 3, *points, dtype=torch.float64)
    expected = reference(net, field)
    assert expected.std() > 0.01
    torch.testing.assert_close(net(field), expected, rtol=0, atol=1e-13)


def test_without_thresholds_it_is_one_matrix_for_all_modes() -> None:
    torch.manual_seed(0)
    mix = SpectralPerceptron(width=3, hidden=5, blocks=1, threshold=0.0).double()
    torch.nn.init.zeros_(mix.thresholds)
    convolution = SpectralConvolution(3, 3, modes=(2, 3), variance=1.0).double()
    product = torch.view_as_complex(mix.weight_in)[0] @ torch.view_as_complex(mix.weight_out)[0]
    with torch.no_grad():
        convolution.weight.copy_(torch.view_as_real(product))
    values = torch.randn(10, 8, 2, 3, dtype=torch.float64)
    result = to_grid(mix(to_spectrum(values, (2, 3))), (2, 3), values.shape[:-2])
    torch.testing.assert_close(result, convolution(values), rtol=0, atol=1e-13)


def test_a_high_threshold_leaves_a_map_within_patches() -> None:
    net = network((2, 2), threshold=1e6).requires_grad_(False)
    field = torch.randn(1, 3, 12, 16, dtype=torch.float64)
    touched = field.clone()
    touched[..., 4, 7] += 1
    changed = (net(touched) - net(field)).abs().amax(dim=(0, 1)) > 1e-12
    expected = torch.zeros(12, 16, dtype=torch.bool)
    expected[4:6, 6:8] = True
    assert torch.equal(changed, expected)


def test_shrinkage_keeps_phases_and_has_a_gradient_at_zero() -> None:
    values = torch.tensor([3 + 4j, -0.3j, 0, 1e-300], dtype=torch.complex128, requires_grad=True)
    result = soft_shrink(values, 1.0)
    torch.testing.assert_close(result, torch.tensor([2.4 + 3.2j, 0, 0, 0], dtype=torch.complex128))
    soft_shrink(values, 0.0).abs().square().sum().backward()
    assert values.grad is not None
    assert bool(torch.isfinite(torch.view_as_real(values.grad)).all())


@pytest.mark.parametrize("size", [1, 2, 3])
@pytest.mark.parametrize("points", [(6, 12), (6, 12, 18)])
def test_patches_hold_their_points_and_lead_back(points: tuple[int, ...], size: int) -> None:
    field = torch.arange(math.prod(points)).double().view(1, 1, *points)
    patches = to_patches(field, size)
    assert patches.shape == (1, size ** len(points), *[n // size for n in points])
    first = field[(0, 0, *[slice(0, size)] * len(points))].flatten()
    assert torch.equal(patches[(0, slice(None), *[0] * len(points))], first)
    assert torch.equal(from_patches(patches, size), field)


def test_has_the_parameters_of_the_published_code_but_positions_and_biases_of_modes() -> None:
    # The channel at Re_τ 590: 5 fields of 3 components on 64 × 66 × 32 points, patches of 2³, width 200.
    positions = 32 * 33 * 16 * 200
    lift, head = 15 * 8 * 200 + 200, 200 * 3 * 8
    matrices, biases = 2 * (200 * 600 + 600 * 200), 2 * (600 + 200)
    perceptron, norms, unused_norm = 200 * 800 + 800 + 800 * 200 + 200, 2 * 400, 400
    published = positions + lift + head + matrices + biases + perceptron + norms + unused_norm
    net = ImplicitAdaptiveFourierNeuralOperator(15, 3, dimension=3, width=200, modes=(15, 16, 7))
    ours = sum(parameter.numel() for parameter in net.parameters())
    assert ours == published - positions - biases - unused_norm + 600 + 24
