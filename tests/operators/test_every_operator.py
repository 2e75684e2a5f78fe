"""What every registered operator must do, whatever it is."""

from __future__ import annotations

import copy
import json
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from eddymark.operators import OPERATORS
from tests.operators.cases import CASES, build, random_field

STORED = Path(__file__).with_name("stored_outputs.json")
"""Outputs of every operator with weights from formulas, `{operator: {dimension: values}}`."""

both = pytest.mark.parametrize("dimension", [2, 3])
every = pytest.mark.parametrize("name", OPERATORS)


def test_every_operator_has_a_case() -> None:
    assert set(CASES) == set(OPERATORS)


@both
@every
def test_maps_the_channels(name: str, dimension: int) -> None:
    field = random_field(name, dimension)
    output = build(name, dimension)(field)
    assert output.shape == (2, 2, *field.shape[2:])
    assert output.is_contiguous()
    assert bool(output.isfinite().all())
    assert 1e-6 < float(output.detach().square().mean().sqrt()) < 10


@both
@every
def test_commutes_with_translations(name: str, dimension: int) -> None:
    step = CASES[name].equivariant_shift
    if step == 0:
        pytest.skip("its mathematics has no translation invariance")
    operator, field = build(name, dimension), random_field(name, dimension)
    axes = tuple(range(2, field.dim()))
    shifts = tuple(step * count for count in range(1, len(axes) + 1))
    with torch.no_grad():
        output = operator(field)
        moved = operator(field.roll(shifts, axes))
    torch.testing.assert_close(moved / output.std(), output.roll(shifts, axes) / output.std(), rtol=0, atol=1e-11)


@both
@every
def test_samples_of_a_batch_do_not_mix(name: str, dimension: int) -> None:
    operator, field = build(name, dimension).eval(), random_field(name, dimension, batch=3)
    with torch.no_grad():
        output = operator(field)
        alone = torch.cat([operator(one[None]) for one in field])
    torch.testing.assert_close(alone, output, rtol=0, atol=1e-12)


@both
@every
def test_all_parameters_are_trained(name: str, dimension: int) -> None:
    operator, field = build(name, dimension), random_field(name, dimension)
    operator(field).square().mean().backward()
    for parameter_name, parameter in operator.named_parameters():
        assert parameter.grad is not None, parameter_name
        used = parameter.grad != 0
        if any(part in parameter_name for part in CASES[name].dead):
            assert bool(used.any()), parameter_name
        else:
            assert bool(used.all()), parameter_name


@both
@every
def test_has_no_batch_normalisation_and_learns_nothing_outside_its_parameters(name: str, dimension: int) -> None:
    operator = build(name, dimension)
    assert not any("BatchNorm" in type(module).__name__ for module in operator.modules())
    before = {key: value.clone() for key, value in operator.state_dict().items()}
    operator(random_field(name, dimension))
    assert all(torch.equal(value, before[key]) for key, value in operator.state_dict().items())


@both
@every
def test_a_copy_with_the_same_state_is_the_same_map(name: str, dimension: int) -> None:
    operator, field = build(name, dimension), random_field(name, dimension)
    other = copy.deepcopy(operator)
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.add_(1)
        other.load_state_dict(operator.state_dict())
        assert torch.equal(other(field), operator(field))


def fill_by_formula(module: nn.Module) -> None:
    """Set all parameters to values that depend on no random generator and keep the output of the order of one."""
    with torch.no_grad():
        for number, parameter in enumerate(module.parameters()):
            index = torch.arange(parameter.numel(), dtype=torch.float64).view_as(parameter)
            scale = (parameter.shape[0] / parameter.numel()) ** 0.5 if parameter.dim() else 1.0
            parameter.copy_(scale * torch.sin(1.3 * index + number))


def waves(points: tuple[int, ...]) -> Tensor:
    """Return a smooth input from formulas, `(1, 3, *points)`."""
    index = torch.meshgrid(*[torch.arange(n, dtype=torch.float64) for n in points], indexing="ij")
    channels = [sum(torch.sin((c + 1.0) * (a + 1) * x + c) for a, x in enumerate(index)) for c in range(3)]
    return torch.stack(channels)[None]  # type: ignore[arg-type]


def sampled_output(name: str, dimension: int) -> list[float]:
    """Return some values of the output of the operator of formulas."""
    operator = build(name, dimension).eval()
    fill_by_formula(operator)
    with torch.no_grad():
        output = operator(waves(CASES[name].points[dimension])).flatten()
    places = torch.linspace(0, output.numel() - 1, 8).round().long()
    return [float(f"{value:.10g}") for value in output[places].tolist()]


@both
@every
def test_output_has_not_changed(name: str, dimension: int) -> None:
    stored = json.loads(STORED.read_text(encoding="utf-8"))[name][str(dimension)]
    assert sampled_output(name, dimension) == pytest.approx(stored, rel=1e-8, abs=1e-10)


if __name__ == "__main__":
    # `python -m tests.operators.test_every_operator` adds the outputs of new operators; it keeps those that are stored.
    outputs = json.loads(STORED.read_text(encoding="utf-8")) if STORED.exists() else {}
    for missing in [name for name in OPERATORS if name not in outputs]:
        outputs[missing] = {str(dimension): sampled_output(missing, dimension) for dimension in (2, 3)}
    lines = [f"{json.dumps(name)}: {json.dumps(outputs[name])}" for name in sorted(outputs)]
    STORED.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")
