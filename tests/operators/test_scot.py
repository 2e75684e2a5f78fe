from __future__ import annotations

import itertools
import math
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
import torch.nn.functional as F
from torch import Tensor

from eddymark.errors import EddymarkError
from eddymark.operators.build import OperatorError, build_operator
from eddymark.operators.cells import cut, joined
from eddymark.operators.scot import Coarsening, Refinement, ScalableOperatorTransformer, load_published
from eddymark.operators.shifted_windows import WindowAttention, WindowLayer

SIZES: dict[str, Any] = {
    "dimension": 2,
    "width": 12,
    "levels": 2,
    "layers": 2,
    "heads": 3,
    "patch_size": 4,
    "window_size": 4,
    "skip_blocks": 2,
}


def published_shapes(
    *, channels: int, width: int, depths: list[int], heads: list[int], skips: list[int], patch: int = 4
) -> dict[str, tuple[int, ...]]:
    """Names and shapes of the published code's parameters, written down from its modules (scOT/model.py, Swin V2)."""
    shapes: dict[str, tuple[int, ...]] = {}

    def linear(name: str, inputs: int, outputs: int, *, bias: bool = True) -> None:
        shapes[f"{name}.weight"] = (outputs, inputs)
        if bias:
            shapes[f"{name}.bias"] = (outputs,)

    def norm(name: str, size: int) -> None:
        linear(f"{name}.weight", 1, size)
        linear(f"{name}.bias", 1, size)

    def layers(name: str, depth: int, size: int, count: int) -> None:
        for block in range(depth):
            here = f"{name}.blocks.{block}"
            shapes[f"{here}.attention.self.logit_scale"] = (count, 1, 1)
            linear(f"{here}.attention.self.continuous_position_bias_mlp.0", 2, 512)
            linear(f"{here}.attention.self.continuous_position_bias_mlp.2", 512, count, bias=False)
            linear(f"{here}.attention.self.query", size, size)
            linear(f"{here}.attention.self.key", size, size, bias=False)
            linear(f"{here}.attention.self.value", size, size)
            linear(f"{here}.attention.output.dense", size, size)
            norm(f"{here}.layernorm_before", size)
            linear(f"{here}.intermediate.dense", size, 4 * size)
            linear(f"{here}.output.dense", 4 * size, size)
            norm(f"{here}.layernorm_after", size)

    shapes["embeddings.patch_embeddings.projection.weight"] = (width, channels, patch, patch)
    shapes["embeddings.patch_embeddings.projection.bias"] = (width,)
    norm("embeddings.norm", width)
    last = len(depths) - 1
    for level in range(last + 1):
        size = width * 2**level
        layers(f"encoder.layers.{level}", depths[level], size, heads[level])
        if level < last:
            linear(f"encoder.layers.{level}.downsample.reduction", 4 * size, 2 * size, bias=False)
            norm(f"encoder.layers.{level}.downsample.norm", 2 * size)
        # The published decoder counts from the coarsest level.
        layers(f"decoder.layers.{last - level}", depths[level], size, heads[level])
        if level > 0:
            linear(f"decoder.layers.{last - level}.upsample.upsample", size, 2 * size, bias=False)
            linear(f"decoder.layers.{last - level}.upsample.mixup", size // 2, size // 2, bias=False)
            norm(f"decoder.layers.{last - level}.upsample.norm", size // 2)
        for block in range(skips[level]):
            here = f"residual_blocks.{level}.{block}"
            shapes[f"{here}.weight"] = (size,)
            shapes[f"{here}.dwconv.weight"], shapes[f"{here}.dwconv.bias"] = (size, 1, 7, 7), (size,)
            norm(f"{here}.norm", size)
            linear(f"{here}.pwconv1", size, 4 * size)
            linear(f"{here}.pwconv2", 4 * size, size)
    shapes["patch_recovery.projection.weight"] = (width, channels, patch, patch)
    shapes["patch_recovery.projection.bias"] = (channels,)
    shapes["patch_recovery.mixup.weight"] = (channels, channels, 5, 5)
    return shapes


def published_state() -> dict[str, Tensor]:
    """A small model in the published format, with constants that some versions store."""
    torch.manual_seed(0)
    shapes = published_shapes(channels=4, width=12, depths=[2, 2], heads=[3, 6], skips=[2, 0])
    state = {name: torch.randn(shape) for name, shape in shapes.items()}
    state["encoder.layers.0.blocks.0.attention.self.relative_position_index"] = torch.zeros(16, 16, dtype=torch.long)
    return state


@pytest.mark.parametrize(
    ("width", "layers", "published"), [(48, 4, 21), (96, 8, 158), (192, 8, 629)], ids=["T", "B", "L"]
)
def test_has_the_published_parameters(width: int, layers: int, published: int) -> None:
    with torch.device("meta"):
        net = ScalableOperatorTransformer(4, 4, dimension=2, width=width, layers=layers)
    count = sum(parameter.numel() for parameter in net.parameters())
    assert round(count / 1e6) == published
    shapes = published_shapes(channels=4, width=width, depths=[layers] * 4, heads=[3, 6, 12, 24], skips=[2, 2, 2, 0])
    assert count == sum(math.prod(shape) for shape in shapes.values())


@pytest.mark.parametrize("suffix", [".safetensors", ".bin"])
def test_published_files_are_read_with_all_parameters_in_place(tmp_path: Path, suffix: str) -> None:
    state, path = published_state(), tmp_path / f"model{suffix}"
    if suffix == ".bin":
        torch.save(state, path)
    else:
        safetensors.torch.save_file(state, path)
    net = load_published(str(path), window_size=4)
    left = [value for name, value in state.items() if not name.endswith("index")]
    for parameter in net.parameters():
        # All values are random: equal tensors are the same parameter.
        matches = [value for value in left if value.shape == parameter.shape and torch.equal(value, parameter)]
        assert len(matches) == 1
    assert len(left) == len(list(net.parameters()))
    block = net.encoder[1].blocks[1]
    assert torch.equal(block.attention.key.weight, state["encoder.layers.1.blocks.1.attention.self.key.weight"])
    assert torch.equal(block.output_norm.shift.weight, state["encoder.layers.1.blocks.1.layernorm_after.bias.weight"])
    assert torch.equal(net.decoder[0].blocks[0].narrow.weight, state["decoder.layers.0.blocks.0.output.dense.weight"])
    assert torch.equal(net.across[0][1].scale, state["residual_blocks.0.1.weight"])
    assert net(torch.randn(1, 4, 32, 32), torch.tensor([0.5])).shape == (1, 4, 32, 32)


def test_training_can_start_from_a_published_file_with_other_channels(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    safetensors.torch.save_file(published_state(), path)
    arguments = SIZES | {"published_weights": str(path)}
    arguments.pop("dimension")
    sizes: dict[str, Any] = {"in_channels": 2, "out_channels": 2, "dimension": 2, "points": (32, 32)}
    net: Any = build_operator("scot", arguments, **sizes)
    assert torch.equal(net.coarsen[0].reduce.weight, published_state()["encoder.layers.0.downsample.reduction.weight"])
    assert net.embed.weight.shape == (12, 2, 4, 4)
    with pytest.raises(
        OperatorError, match=r"encoder.0.blocks.0.attention.logit_scale: expected \(1, 1, 1\)"
    ) as caught:
        build_operator("scot", arguments | {"heads": 1}, **sizes)
    assert "\n" not in str(caught.value)
    with pytest.raises(OperatorError, match=r"position_in\.weight: expected \(512, 3\), found \(512, 2\)"):
        build_operator("scot", arguments, in_channels=2, out_channels=2, dimension=3)


def test_other_files_are_refused_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "text.bin").write_text("no weights")
    torch.save({"a": Path("a")}, tmp_path / "object.bin")
    torch.save([torch.zeros(1)], tmp_path / "list.bin")
    safetensors.torch.save_file({"layer.weight": torch.zeros(1)}, tmp_path / "other.safetensors")
    incomplete = published_state()
    del incomplete["patch_recovery.mixup.weight"]
    safetensors.torch.save_file(incomplete, tmp_path / "incomplete.safetensors")
    unconditional = {name: value for name, value in published_state().items() if "norm" not in name}
    safetensors.torch.save_file(unconditional, tmp_path / "unconditional.safetensors")
    for name, message in {
        "missing.safetensors": "cannot be read as weights",
        "text.bin": "cannot be read as weights (UnpicklingError: it is no file of tensors alone)",
        "object.bin": "it is no file of tensors alone",
        "list.bin": "expected named tensors",
        "other.safetensors": "found layer.weight",
        "incomplete.safetensors": "mix.weight: expected (4, 4, 5, 5), found nothing",
        "unconditional.safetensors": "expected the parameters of a Poseidon model with lead times",
    }.items():
        with pytest.raises(EddymarkError) as caught:
            load_published(str(tmp_path / name))
        assert message in str(caught.value)
        assert name in str(caught.value)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("points", "sizes"), [((4, 6), (2, 3)), ((4, 2, 6), (2, 2, 3))])
@pytest.mark.parametrize("shifted", [False, True])
def test_attention_equals_swin_v2_pair_by_pair_in_windows_across_the_boundary(
    points: tuple[int, ...], sizes: tuple[int, ...], shifted: bool
) -> None:
    torch.manual_seed(0)
    net = WindowAttention(4, dimension=len(points), heads=2).double().requires_grad_(False)
    net.logit_scale[1] = 9.0  # above the limit of log 100
    values = torch.randn(1, *points, 4, dtype=torch.float64)
    shifts = [size // 2 if shifted and n > size else 0 for n, size in zip(points, sizes, strict=True)]

    def window(place: tuple[int, ...]) -> tuple[int, ...]:
        return tuple((x - s) % n // w for x, s, n, w in zip(place, shifts, points, sizes, strict=True))

    def within(place: tuple[int, ...]) -> tuple[int, ...]:
        return tuple((x - s) % n % w for x, s, n, w in zip(place, shifts, points, sizes, strict=True))

    places = list(itertools.product(*[range(n) for n in points]))
    expected = torch.zeros_like(values)
    for here in places:
        others = [other for other in places if window(other) == window(here)]
        row = []
        for head in range(2):
            own, scores = slice(2 * head, 2 * head + 2), []
            query = net.query(values[(0, *here)])[own]
            for other in others:
                key = net.key(values[(0, *other)])[own]
                scale = min(math.exp(float(net.logit_scale[head])), 100.0)
                distance = [8 * (a - b) / (w - 1) for a, b, w in zip(within(here), within(other), sizes, strict=True)]
                scaled = [math.copysign(math.log2(abs(x) + 1) / math.log2(8), x) for x in distance]
                bias = net.position_out(F.relu(net.position_in(torch.tensor(scaled).double())))[head]
                scores.append(scale * F.cosine_similarity(query, key, dim=0) + 16 * torch.sigmoid(bias))
            contents = torch.stack([net.value(values[(0, *other)])[own] for other in others])
            row.append(torch.softmax(torch.stack(scores), 0) @ contents)
        expected[(0, *here)] = net.project(torch.cat(row))
    torch.testing.assert_close(net(values, sizes, shifted), expected)


def test_layer_and_ways_between_levels_equal_the_published_equations() -> None:
    torch.manual_seed(0)
    layer = WindowLayer(4, dimension=2, heads=2, shifted=False, size=0.5).double()
    values, time = torch.randn(2, 4, 6, 4).double(), torch.tensor([[0.3], [0.7]]).double()

    def norm(module: Any, x: Tensor) -> Tensor:
        x = (x - x.mean(-1, keepdim=True)) / (x.var(-1, correction=0, keepdim=True) + 1e-5).sqrt()
        scale = time * module.scale.weight[:, 0] + module.scale.bias
        return x * scale[:, None, None] + (time * module.shift.weight[:, 0] + module.shift.bias)[:, None, None]

    x = values + norm(layer.attention_norm, layer.attention(values, (2, 3), False))
    x = x + norm(layer.output_norm, layer.narrow(F.gelu(layer.widen(x))))
    torch.testing.assert_close(layer(values, time, (2, 3)), x)

    down = Coarsening(4, dimension=2).double()
    joined_channels = torch.cat([values[:, a::2, b::2] for b, a in itertools.product((0, 1), repeat=2)], -1)
    torch.testing.assert_close(down(values, time), norm(down.norm, down.reduce(joined_channels)))
    up = Refinement(4, dimension=2).double()
    parts = up.expand(values).view(2, 4, 6, 2, 2, 2)
    finer = parts.permute(0, 1, 3, 2, 4, 5).reshape(2, 8, 12, 2)
    torch.testing.assert_close(up(values, time), up.mix(norm(up.norm, finer)))


def test_lead_time_matters_and_is_one_unless_given() -> None:
    torch.manual_seed(0)
    net = ScalableOperatorTransformer(2, 2, **SIZES)
    field = torch.randn(2, 2, 32, 32)
    with torch.no_grad():
        one = net(field)
        assert torch.equal(net(field, torch.ones(2)), one)
        mixed = net(field, torch.tensor([1.0, 0.2]))
    torch.testing.assert_close(mixed[0], one[0])
    assert not torch.allclose(mixed[1], one[1])


def test_cutting_and_joining_are_inverse() -> None:
    values = torch.randn(2, 4, 6, 8, 3)
    patches = cut(values, (2, 3, 4))
    assert patches.shape == (2 * 8, 24, 3)
    assert torch.equal(patches[1], values[0, :2, :3, 4:].reshape(24, 3))
    assert torch.equal(joined(patches, (4, 6, 8), (2, 3, 4)), values)


@pytest.mark.parametrize("dimension", [2, 3])
def test_output_is_small_at_the_start(dimension: int) -> None:
    torch.manual_seed(0)
    net = ScalableOperatorTransformer(3, 16, **SIZES | {"dimension": dimension, "patch_size": 2, "kernel_size": 3})
    with torch.no_grad():
        assert 0.04 < float(net(torch.randn(2, 3, *(16,) * dimension)).square().mean().sqrt()) < 0.2
