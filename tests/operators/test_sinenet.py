from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F

from eddymark.operators.resampling import doubled
from eddymark.operators.sinenet import SineNet


def test_has_the_published_number_of_parameters() -> None:
    # sinenet8-dual in the authors' registry: four frames of a scalar and two velocity components, one frame out.
    net = SineNet(12, 3, dimension=2, width=64)
    assert sum(parameter.numel() for parameter in net.parameters()) == 35_490_219


@pytest.mark.parametrize(("waves", "growth"), [(6, 1.5), (4, 1.611), (2, 1.8075)])
def test_the_stated_growths_keep_the_number_of_parameters(waves: int, growth: float) -> None:
    with torch.device("meta"):
        net = SineNet(12, 3, dimension=2, width=64, waves=waves, growth=growth)
    assert sum(parameter.numel() for parameter in net.parameters()) == pytest.approx(35_490_219, rel=0.01)


@pytest.mark.parametrize("dimension", [2, 3])
def test_a_wave_equals_its_equations(dimension: int) -> None:
    torch.manual_seed(0)
    net = SineNet(2, 2, dimension=dimension, width=4, waves=1, levels=3, growth=1.5).double()
    wave: Any = net.waves[0]
    v = torch.randn(1, *(8, 4, 12)[:dimension], 4, dtype=torch.float64)
    pool = F.avg_pool2d if dimension == 2 else F.avg_pool3d

    def half(values: torch.Tensor) -> torch.Tensor:
        return pool(values.movedim(-1, 1), 2).movedim(1, -1)

    d1 = wave.down[0](half(v)) + wave.down_beside[0](half(v))
    d2 = wave.down[1](torch.cat([half(d1), half(half(v))], -1)) + wave.down_beside[1](half(d1))
    e1 = wave.up[1](torch.cat([d1, doubled(d2)], -1)) + wave.up_beside[1](doubled(d2))
    e0 = wave.up[0](torch.cat([v, doubled(e1)], -1)) + wave.up_beside[0](doubled(e1))
    torch.testing.assert_close(wave(v), e0)


def test_waves_come_one_after_the_other_with_the_field_beside_each() -> None:
    torch.manual_seed(0)
    net = SineNet(2, 3, dimension=2, width=4, waves=3, levels=2).double()
    field = torch.randn(1, 2, 8, 6, dtype=torch.float64)
    values = net.encode(field.movedim(1, -1))
    for wave in net.waves:
        values = values + wave(values)
    torch.testing.assert_close(net(field), net.decode(values).movedim(-1, 1))


def test_interpolation_does_not_overshoot_at_a_jump() -> None:
    values = torch.tensor([0.0, 0.0, 1.0, 1.0])[None, :, None, None].expand(1, 4, 4, 1)
    assert float(doubled(values).min()) >= 0
    assert float(doubled(values).max()) <= 1


@pytest.mark.parametrize("dimension", [2, 3])
def test_output_is_small_at_the_start(dimension: int) -> None:
    torch.manual_seed(0)
    net = SineNet(3, 16, dimension=dimension, width=8, waves=4, levels=3)
    with torch.no_grad():
        assert 0.04 < float(net(torch.randn(2, 3, *(8,) * dimension)).square().mean().sqrt()) < 0.2
