"""Turbulent channel flow: it starts by itself, goes on where it was killed, and is measured as it should be."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from eddymark.checkpoints import SECONDS
from eddymark.errors import EddymarkError
from eddymark.solvers.channel.flow import ChannelFlow
from eddymark.solvers.channel.grid import ChannelGrid
from eddymark.solvers.channel.initial_state import friction_velocity, turbulent_start
from eddymark.solvers.channel.time_integration import ChannelIntegration
from verification import channel
from verification.channel import Case, comparison, describe, moments, profiles, read_reference, simulate

TINY = Case(points=(8, 16, 8), spin_up=0.02, end=0.06, interval=0.01)


def test_the_initial_state_has_its_flux_its_wall_shear_and_eddies_of_its_own() -> None:
    grid = ChannelGrid((12, 48, 12), (3.0, 2.0, 1.5))
    flow = ChannelFlow(grid, viscosity=1 / 178.12)
    spectrum = turbulent_start(flow, bulk_velocity=15.6, seed=3, batch=2, perturbation=0.1)
    assert flow.bulk_velocity(spectrum)[:, 0].tolist() == pytest.approx([15.6] * 2, rel=1e-10)
    friction = friction_velocity(bulk_velocity=15.6, half_height=1.0, viscosity=1 / 178.12)
    assert friction == pytest.approx(1.0, rel=0.03)
    assert flow.wall_shear(spectrum).mean(dim=1).tolist() == pytest.approx([friction**2] * 2, rel=0.1)
    fluctuation = spectrum.clone()
    fluctuation[:, 1, 0, :, 0] = 0
    assert (2 * flow.kinetic_energy(fluctuation)).sqrt().tolist() == pytest.approx([1.56] * 2, rel=1e-10)
    assert (fluctuation[0] - fluctuation[1]).abs().max() > 0.1 * fluctuation.abs().max()
    again = turbulent_start(flow, bulk_velocity=15.6, seed=3, perturbation=0.1)
    assert torch.allclose(again[0], spectrum[0], atol=1e-13)
    other = turbulent_start(flow, bulk_velocity=15.6, seed=4, perturbation=0.1)
    assert (other[0] - spectrum[0]).abs().max() > 0.1 * fluctuation.abs().max()


@pytest.mark.parametrize("arguments", [{"bulk_velocity": 0.0}, {"bulk_velocity": 1.0, "perturbation": -0.1}])
def test_an_initial_state_that_cannot_be_is_refused(arguments) -> None:
    flow = ChannelFlow(ChannelGrid((8, 16, 8), (3.0, 2.0, 1.5)), viscosity=0.01)
    with pytest.raises(ValueError, match="expected a positive bulk velocity and a perturbation of at least 0, found"):
        turbulent_start(flow, seed=0, **arguments)


@pytest.mark.parametrize(("reynolds_number", "turbulent"), [(178.12, True), (5.0, False)])
def test_turbulence_develops_by_itself_where_it_can_and_dies_where_it_cannot(
    reynolds_number: float, turbulent: bool
) -> None:
    """A coarse DNS of a small box: after 1.2 h/u_τ the Reynolds stress carries the flow, or has gone."""
    case = Case(points=(16, 32, 16), sides=(3.0, 2.0, 1.5), reynolds_number=reynolds_number, precision="float32")
    flow = case.flow()
    integration, spectrum = ChannelIntegration(), case.start(flow)
    stresses = []
    with torch.no_grad():
        for interval in range(12):
            steps = integration.steps(flow.courant_rate(flow.to_physical(spectrum)), 0.1)
            spectrum = integration.advance(flow, spectrum, 0.1, steps=steps)
            if interval >= 8:
                stresses.append(moments(flow, spectrum))
    found = profiles(case, torch.stack(stresses).mean(dim=0))
    if turbulent:
        assert 0.4 < float(found.stress.max()) < 1.5
        assert float(found.rms[0].max()) > 1.5
    else:
        assert float(found.stress.max()) < 0.1


def test_a_killed_simulation_goes_on_to_the_same_numbers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(SECONDS, "0")
    whole, averages = simulate(TINY, tmp_path / "whole")
    assert [row["time"] for row in whole] == pytest.approx([0.01, 0.02, 0.03, 0.04, 0.05, 0.06])
    assert max(row["courant_number"] for row in whole) < 1.4
    calls = 0

    def kill(flow: ChannelFlow, spectrum: torch.Tensor) -> torch.Tensor:
        nonlocal calls
        calls += 1
        if calls == 3:
            raise KeyboardInterrupt
        return moments(flow, spectrum)

    monkeypatch.setattr(channel, "moments", kill)
    with pytest.raises(KeyboardInterrupt):
        simulate(TINY, tmp_path / "killed")
    monkeypatch.setattr(channel, "moments", moments)
    rows, again = simulate(TINY, tmp_path / "killed")
    assert rows == whole
    assert torch.equal(again, averages)
    # What is finished is not computed again, and may be continued.
    monkeypatch.setattr(Case, "start", None)
    assert simulate(TINY, tmp_path / "killed")[0] == whole
    longer, _ = simulate(replace(TINY, end=0.07), tmp_path / "killed")
    assert longer[:-1] == whole


def test_time_that_is_up_stops_it_in_between(tmp_path: Path) -> None:
    rows, _ = simulate(TINY, tmp_path, minutes=0.0)
    assert len(rows) == 1
    lines = describe(TINY, rows, torch.zeros((7, 16)), None)
    assert lines[0].startswith("channel-178-8x16x8-float64: time 0.01 of 0.06 h/u_τ, ")
    assert lines[1] == "averages begin after 0.02 h/u_τ"


def known_moments(case: Case) -> tuple[torch.Tensor, np.ndarray]:
    """Moments of U = 9 s (1 + b), s = 1 − (1 − y)⁶, u = 2 s^½, v = w = s^½ and −uv balanced to (1 − y) s."""
    y = ChannelGrid(case.points, case.sides).coordinates()[1]
    shape = 1 - (y - 1) ** 6
    zero = 0 * y
    mean = 9 * shape
    return torch.as_tensor(np.stack([mean, zero, zero, 4 * shape + mean**2, shape, shape, -(1 - y) * shape])), y


def test_profiles_are_folded_and_in_wall_units() -> None:
    case = Case(points=(54, 97, 48))
    found = profiles(case, known_moments(case)[0])
    assert found.plus[-1] == pytest.approx(178.12)
    assert (found.bulk, found.centre) == pytest.approx((9 * 6 / 7, 9))
    np.testing.assert_allclose(found.rms, np.sqrt(1 - (found.y - 1) ** 6) * np.array([[2], [1], [1]]), rtol=1e-9)
    np.testing.assert_allclose(found.stress, (1 - found.y) * (1 - (1 - found.y) ** 6), atol=1e-12)
    slope = 54 * (1 - found.y) ** 5 / 178.12
    np.testing.assert_allclose(found.imbalance, slope - (1 - found.y) ** 7, atol=1e-10)


def test_comparison_reads_published_profiles_and_keeps_to_where_the_box_is_valid(tmp_path: Path) -> None:
    case = Case(points=(54, 97, 48))
    averages, y = known_moments(case)
    found = profiles(case, averages)
    plus = 178.12 * y[:49]
    table = np.stack([y[:49], plus, 2 * found.mean], axis=1)
    np.savetxt(tmp_path / "chan180.means", np.hstack([table, table]), header="y y+ Umean")
    stress = np.stack([y[:49], plus, *(4 * found.rms**2), -3 * found.stress], axis=1)
    np.savetxt(tmp_path / "chan180.reystress", stress, header="y y+ uu vv ww uv")
    rows = {name: (value, wanted) for name, value, wanted in comparison(case, found, read_reference(tmp_path))}
    valid = found.y <= 0.3 * 0.34 * np.pi
    for target in (5, 10, 15, 20, 30, 50):
        value, wanted = rows[f"U+ at y+ = {target}"]
        assert wanted == pytest.approx(2 * value)
    assert rows["u_rms+, largest"] == pytest.approx((found.rms[0, valid].max(), 2 * found.rms[0, valid].max()))
    assert rows["-uv+, largest"] == pytest.approx((found.stress[valid].max(), 3 * found.stress[valid].max()))
    law = 2.5 * np.log(found.plus) + 5.5
    logarithmic = valid & (found.plus >= 30)
    assert rows["U+ / (2.5 ln y+ + 5.5) from y+ = 30"][0] == pytest.approx((found.mean / law)[logarithmic].mean())
    # Dean: C_f = 2 / U_b+².
    expected = 2 / (54 / 7) ** 2 / (0.073 * (2 * 54 / 7 * 178.12) ** -0.25)
    assert rows["C_f / (0.073 Re_m^-1/4)"][0] == pytest.approx(expected)
    lines = describe(
        case, [{"time": 40.0, "steps": 9, "courant_number": 1, "bulk_velocity": 15, "wall_shear": 1}], averages, None
    )
    assert any("compared up to y+ = 5" in line for line in lines)
    assert lines[-1].startswith("C_f / (0.073 Re_m^-1/4): ")


def test_references_that_are_no_tables_are_one_clear_line(tmp_path: Path) -> None:
    with pytest.raises(EddymarkError, match=r"chan180.means: expected a table of the published profiles, found: "):
        read_reference(tmp_path)
    np.savetxt(tmp_path / "chan180.means", np.ones((3, 2)))
    with pytest.raises(EddymarkError, match=r"chan180.means: expected at least 3 columns, found 2"):
        read_reference(tmp_path)
