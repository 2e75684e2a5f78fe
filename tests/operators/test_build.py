from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from torch import Tensor, nn

from eddymark.errors import EddymarkError
from eddymark.operators import OPERATORS
from eddymark.operators.axes import Axis
from eddymark.operators.build import build_operator

SIZES: dict[str, Any] = {"in_channels": 4, "out_channels": 3, "dimension": 3}
FNO = {"width": 4, "modes": 2}
REPOSITORY = Path(__file__).parents[2]
NAMES = ", ".join(sorted(OPERATORS))


class Shrinking(nn.Module):
    """Returns a smaller grid than it is given."""

    def __init__(self, in_channels: int, out_channels: int, *, strength: float = 1.0) -> None:
        super().__init__()
        self.channels = out_channels
        self.scale = nn.Parameter(torch.tensor(strength))

    def forward(self, field: Tensor) -> Tensor:
        return self.scale * field[:, : self.channels, 1:]


def refusing(in_channels: int, **anything: Any) -> nn.Module:
    """A constructor that takes any argument and likes none."""
    raise ValueError(f"first line\n  second line about {anything}")


def test_operator_of_another_library_is_built_from_its_path() -> None:
    pytest.importorskip("neuralop")
    arguments = {"n_modes": [5, 5, 5], "hidden_channels": 4, "n_layers": 2, "positional_embedding": None}
    operator = build_operator("neuralop.models.FNO", arguments, **SIZES, points=(8, 8, 8))
    assert operator(torch.randn(2, 4, 8, 8, 8)).shape == (2, 3, 8, 8, 8)
    assert all(isinstance(value, Tensor) for value in operator.state_dict().values())


@pytest.mark.parametrize("name", ["neuralop_fno", "neuralop_tfno", "neuralop_uno"])
def test_shipped_operators_of_neuraloperator_commute_with_translations_and_train(name: str) -> None:
    pytest.importorskip("neuralop")
    described = yaml.safe_load((REPOSITORY / f"config/surrogates/{name}.yaml").read_text(encoding="utf-8"))["operator"]
    torch.manual_seed(0)
    sizes = {"in_channels": 3, "out_channels": 2, "dimension": 2, "points": (32, 32)}
    operator = build_operator(described["type"], described["arguments"], **sizes)
    field = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        output, moved = operator(field), operator(field.roll((3, 5), (2, 3)))
    torch.testing.assert_close(moved / output.std(), output.roll((3, 5), (2, 3)) / output.std(), rtol=0, atol=1e-4)
    wanted = field[:, :2].roll(1, 2)
    optimiser = torch.optim.Adam(operator.parameters(), lr=5e-3)
    losses = []
    for _ in range(20):
        optimiser.zero_grad()
        loss = (operator(field) - wanted).square().mean()
        loss.backward()
        optimiser.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.7 * losses[0]
    assert all(isinstance(value, Tensor) for value in operator.state_dict().values())


def test_arguments_of_a_class_that_hands_them_on_are_those_of_the_next_one() -> None:
    # neuralop's TFNO takes anything, which would hide mistakes and the channels that it needs.
    pytest.importorskip("neuralop")
    arguments = {"n_mode": [5, 5], "hidden_channels": 4}
    with pytest.raises(EddymarkError, match=r"n_mode: .* did you mean n_modes"):
        build_operator("neuralop.models.TFNO", arguments, in_channels=3, out_channels=2, dimension=2)


def test_trial_does_not_change_the_operator() -> None:
    torch.manual_seed(0)
    operator = build_operator("fno", FNO, **SIZES)
    torch.manual_seed(0)
    tried = build_operator("fno", FNO, **SIZES, points=(8, 8, 8))
    assert tried.training
    for (name, value), other in zip(operator.state_dict().items(), tried.state_dict().values(), strict=True):
        assert torch.equal(value, other), name
    assert all(parameter.grad is None for parameter in tried.parameters())


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("fnoo", {}, f"an operator or a dotted path ({NAMES}), found 'fnoo'; did you mean fno?"),
        ("qqqq", {}, f"type: expected an operator or a dotted path ({NAMES}), found 'qqqq'"),
        ("no_such_package.Operator", {}, "No module named 'no_such_package'"),
        ("torch.nn.Missing", {}, "type: expected a class or function of torch.nn, found 'Missing'"),
        ("torch.nn.Conv2", {}, "found 'Conv2'; did you mean torch.nn.Conv2d?"),
        (
            "fno",
            FNO | {"witdh": 3},
            "arguments.witdh: expected an argument of fno, found an unknown key; did you mean width?",
        ),
        (
            "convolutional",
            {"width": 3, "xyz": 3},
            "expected an argument of convolutional (width, layers, kernel_size), found an unknown key",
        ),
        ("fno", {"width": 4}, "operator fno: arguments.modes: expected a value (fno needs it), found nothing"),
        (
            "fno",
            FNO | {"in_channels": 3},
            "arguments.in_channels: expected no such key (it follows from the experiment), found 3",
        ),
        (
            "fno",
            {"width": 4, "modes": 5},
            "need a grid of at least 11 × 11 × 11 points), found 8 × 8 × 8",
        ),
        ("convolutional", {"width": 4, "kernel_size": 2}, "kernel_size must be odd"),
        (
            f"{__name__}.Shrinking",
            {},
            "a module that maps (1, 4, 8, 8, 8) to (1, 3, 8, 8, 8), found one that gives (1, 3, 7, 8, 8)",
        ),
        (f"{__name__}.refusing", {"extra": 1}, "first line second line about {'extra': 1}"),
        ("math.hypot", {}, "type: expected a torch.nn.Module, found 'math.hypot'"),
    ],
)
def test_mistakes_give_one_clear_line(name: str, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(EddymarkError) as caught:
        build_operator(name, arguments, **SIZES, points=(8, 8, 8))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["unet", "mgno", "scot"])
def test_operators_that_take_every_axis_as_periodic_are_refused_between_walls(name: str) -> None:
    axes = [Axis(2.0), Axis(1.0, periodic=False)]
    with pytest.raises(EddymarkError, match="an operator that knows of walls"):
        build_operator(name, {"width": 8}, in_channels=2, out_channels=2, dimension=2, axes=axes)
    build_operator("fno", {"width": 8, "modes": 2}, in_channels=2, out_channels=2, dimension=2, axes=axes)
