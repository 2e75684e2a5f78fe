from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from eddymark.operators.convolutional import ConvolutionalNetwork


@pytest.mark.parametrize("points", [(8, 6), (6, 4, 8)])
def test_commutes_with_translations_across_the_boundary(points: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    net = ConvolutionalNetwork(3, 2, dimension=len(points), width=6).double()
    field = torch.randn(2, 3, *points, dtype=torch.float64)
    axes = tuple(range(2, field.dim()))
    shifts = tuple(range(1, len(axes) + 1))
    output = net(field)
    torch.testing.assert_close(net(field.roll(shifts, axes)) / output.std(), output.roll(shifts, axes) / output.std())


def test_kernel_reaches_the_stated_neighbours_only() -> None:
    torch.manual_seed(0)
    net = ConvolutionalNetwork(1, 1, dimension=2, width=4, layers=2, kernel_size=5).double()
    field = torch.zeros(1, 1, 16, 16, dtype=torch.float64)
    touched = field.clone()
    touched[0, 0, 0, 0] = 1
    changed = (net(touched) - net(field))[0, 0].abs() > 1e-12
    reach = [0, 1, 2, 3, 4, 12, 13, 14, 15]
    expected = torch.zeros(16, 16, dtype=torch.bool)
    expected[torch.tensor(reach)[:, None], torch.tensor(reach)] = True
    assert torch.equal(changed, expected)


def test_equals_padded_convolutions_written_out() -> None:
    torch.manual_seed(0)
    net = ConvolutionalNetwork(2, 2, dimension=3, width=4, layers=3)
    field = values = torch.randn(2, 2, 4, 6, 8)
    for index, layer in enumerate(net.convolutions):
        padded = F.pad(F.gelu(values) if index else values, (1, 1) * 3, mode="circular")
        values = F.conv3d(padded, layer.weight, layer.bias)
    torch.testing.assert_close(net(field), values)


def test_output_is_small_at_the_start() -> None:
    torch.manual_seed(0)
    net = ConvolutionalNetwork(3, 3, dimension=2, width=16, layers=4)
    with torch.no_grad():
        rms = float(net(torch.randn(4, 3, 16, 16)).square().mean().sqrt())
    assert 0.001 < rms < 0.05


def test_every_parameter_gets_a_gradient() -> None:
    net = ConvolutionalNetwork(3, 2, dimension=2, width=6)
    net(torch.randn(2, 3, 8, 8)).square().mean().backward()
    assert all(p.grad is not None and bool((p.grad != 0).all()) for p in net.parameters())
