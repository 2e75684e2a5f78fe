from __future__ import annotations

import math
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from eddymark.operators.axes import Axis
from eddymark.operators.continuous_unet import ContinuousUNet, SplineConvolution
from eddymark.operators.dilated_resnet import DilatedResidualNetwork
from eddymark.operators.periodic_convolution import PeriodicConvolution
from eddymark.operators.resampling import cubic_spline, doubled, halved, spline_matrix
from eddymark.operators.unet import UNet
from tests.operators.test_fno import band_limited

both = pytest.mark.parametrize("dimension", [2, 3])


def periodic_convolution(layer: PeriodicConvolution, field: Tensor, dilation: int = 1) -> Tensor:
    """The same with torch's circular padding, channels second."""
    convolve = F.conv2d if layer.dimension == 2 else F.conv3d
    reach = dilation * (layer.kernel_size // 2)
    padded = F.pad(field, (reach,) * (2 * layer.dimension), mode="circular")
    return convolve(padded, layer.weight, layer.bias, dilation=dilation, groups=layer.groups)


def perturb_biases(module: nn.Module) -> None:
    for name, parameter in module.named_parameters():
        if "bias" in name or "norm" in name:
            parameter.data += 0.3 * torch.randn_like(parameter)


def test_interpolation_is_torchs_away_from_the_boundary_and_periodic_at_it() -> None:
    torch.manual_seed(0)
    field = torch.randn(1, 2, 6, 4, 8, dtype=torch.float64)
    fine = doubled(field.movedim(1, -1)).movedim(-1, 1)
    padded = F.pad(field, (1,) * 6, mode="circular")
    expected = F.interpolate(padded, scale_factor=2, mode="trilinear")[..., 2:-2, 2:-2, 2:-2]
    torch.testing.assert_close(fine, expected)
    torch.testing.assert_close(halved(field.movedim(1, -1)).movedim(-1, 1), F.avg_pool3d(field, 2))


@both
def test_unet_equals_its_equation_written_out(dimension: int) -> None:
    torch.manual_seed(0)
    net = UNet(2, 3, dimension=dimension, width=4, levels=2).double()
    perturb_biases(net)
    field = torch.randn(2, 2, *(8, 6, 4)[:dimension], dtype=torch.float64)

    def block(module: Any, values: Tensor) -> Tensor:
        for layer, norm in ((module.first, module.first_norm), (module.second, module.second_norm)):
            values = F.gelu(F.group_norm(periodic_convolution(layer, values), 1, norm.weight, norm.bias))
        return values

    pool = F.avg_pool2d if dimension == 2 else F.avg_pool3d
    fine = block(net.body.down[0], field)
    coarse = block(net.body.down[1], pool(fine, 2))
    up = F.interpolate(
        F.pad(coarse, (1,) * (2 * dimension), mode="circular"),
        scale_factor=2,
        mode="bilinear" if dimension == 2 else "trilinear",
    )[(..., *(slice(2, -2),) * dimension)]
    values = block(net.body.up[0], torch.cat([fine, up], dim=1))
    expected = torch.einsum("oi,bi...->bo...", net.project.weight, values)
    expected = expected + net.project.bias.view(-1, *(1,) * dimension)
    torch.testing.assert_close(net(field), expected)


@both
def test_spline_convolution_is_the_sum_over_its_kernel_in_physical_units(dimension: int) -> None:
    torch.manual_seed(0)
    nodes, points = (4.0, 6.0, 2.0)[:dimension], (8, 6, 6)[:dimension]
    layer = SplineConvolution(2, 3, nodes=nodes).double()
    values = torch.randn(1, *points, 2, dtype=torch.float64)
    kernels = []
    for count, n in zip(nodes, points, strict=True):
        places = torch.arange(n).double() / n * count  # in widths of the spline
        offset = places[:, None] - places[None]
        images = torch.arange(-6, 7).double() * count
        # K_m(x, y) = B(x + m − y) with all periodic images of y, times the quadrature weight h/δ
        kernels.append(
            torch.stack([cubic_spline(offset[..., None] + m + images).sum(-1) * count / n for m in (-1.0, 0.0, 1.0)])
        )
    letters = "xyz"[:dimension]
    terms = ",".join(f"{m}{x}{y}" for m, x, y in zip("mnk", letters, "pqr", strict=False))
    expected = torch.einsum(
        f"oi{'mnk'[:dimension]},{terms},b{'pqr'[:dimension]}i->b{letters}o",
        layer.convolution.weight,
        *kernels,
        values,
    )
    torch.testing.assert_close(layer(values), expected + values @ layer.beside.weight.T)


def test_splines_keep_constants_and_converge_to_the_integral_with_fourth_order() -> None:
    for points in (4, 8, 16):
        assert torch.allclose(
            spline_matrix(points, 2 * points, 4.0, torch.float64, torch.device("cpu")).sum(1), torch.ones(1).double()
        )
    places = [torch.arange(n).double() / n * 2 * math.pi for n in (8, 16)]
    # The transform of a B-spline of width δ = 2π/8 at wavenumber 2 is sinc(k δ / 2)^4.
    half = 2 * math.pi / 8
    exact = (math.sin(half) / half) ** 4 * torch.cos(2 * places[0])
    errors = []
    for n, x in zip((8, 16), places, strict=True):
        matrix = spline_matrix(n, 8, 8.0, torch.float64, torch.device("cpu"))
        errors.append(float((matrix @ torch.cos(2 * x) - exact).abs().max()))
    assert errors[1] < errors[0] / 12


def continuous(**arguments: Any) -> ContinuousUNet:
    torch.manual_seed(0)
    axes = arguments.pop("axes", (Axis(2 * math.pi),) * 2)
    sizes: dict[str, Any] = {"dimension": len(axes), "axes": axes, "width": 4, "points": 8, "levels": 2}
    return ContinuousUNet(3, 2, **(sizes | arguments)).double().requires_grad_(False)


def test_continuous_unet_is_the_same_operator_on_every_grid_and_the_plain_one_is_not() -> None:
    def errors(net: nn.Module) -> list[float]:
        outputs = [net(band_limited((n, n), 2))[..., :: n // 16, :: n // 16] for n in (16, 32, 64, 128)]
        return [float((output - outputs[-1]).norm() / outputs[-1].norm()) for output in outputs[:-1]]

    converging = errors(continuous())
    assert converging[0] < 0.05
    assert converging[1] < converging[0] / 4
    assert converging[2] < converging[1] / 4
    torch.manual_seed(0)
    assert errors(UNet(3, 2, dimension=2, width=4, levels=2).double().requires_grad_(False))[0] > 0.3


def test_continuous_unet_is_the_same_operator_on_finer_grids_in_three_dimensions() -> None:
    net = continuous(axes=(Axis(4.0), Axis(2.0), Axis(2.0)), points=4)
    coarse, fine = (net(band_limited((2 * n, n, n), 1)) for n in (8, 16))
    assert float((fine[..., ::2, ::2, ::2] - coarse).norm() / fine[..., ::2, ::2, ::2].norm()) < 0.05


@pytest.mark.parametrize("dilations", [None, (3, 1)])
def test_dilated_network_equals_its_equation(dilations: tuple[int, ...] | None) -> None:
    torch.manual_seed(0)
    given = {} if dilations is None else {"dilations": dilations}
    net = DilatedResidualNetwork(3, 3, dimension=2, width=5, blocks=2, **given).double()
    perturb_biases(net)
    field = torch.randn(2, 3, 16, 12, dtype=torch.float64)
    values = periodic_convolution(net.encode, field)
    for block in net.blocks:
        branch = values
        for layer, dilation in zip(block, dilations or (1, 2, 4, 8, 4, 2, 1), strict=True):
            branch = F.relu(periodic_convolution(layer, branch, dilation))
        values = values + branch
    torch.testing.assert_close(net(field), periodic_convolution(net.decode, values))


def test_dilated_network_has_the_published_layers() -> None:
    published = DilatedResidualNetwork(3, 3, dimension=3, width=48)
    count = 4 * 7 * (48 * 48 * 27 + 48) + (3 * 48 * 27 + 48) + (48 * 3 * 27 + 3)
    assert sum(parameter.numel() for parameter in published.parameters()) == count


@both
@pytest.mark.parametrize("name", ["unet", "continuous_unet", "dilated_resnet"])
def test_output_is_small_at_the_start(name: str, dimension: int) -> None:
    torch.manual_seed(0)
    axes = (Axis(1.0),) * dimension
    net = {
        "unet": lambda: UNet(3, 16, dimension=dimension, width=8),
        "continuous_unet": lambda: ContinuousUNet(3, 16, dimension=dimension, axes=axes, width=8, points=8),
        "dilated_resnet": lambda: DilatedResidualNetwork(3, 16, dimension=dimension, width=16),
    }[name]()
    with torch.no_grad():
        assert 0.04 < float(net(torch.randn(2, 3, *(8,) * dimension)).square().mean().sqrt()) < 0.2
