"""The short form of the comparison with other solvers: their coefficients, which are kept, instead of their code."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from verification.peers import RECORD, SHAPES, advanced, compared_field, compared_modes, equations

PEERS = json.loads(RECORD.read_text(encoding="utf-8"))


@pytest.mark.parametrize("dimensions", sorted(SHAPES))
def test_coefficients_after_ten_steps_are_those_of_fluidsim(dimensions: str) -> None:
    field = compared_field(dimensions, advanced(dimensions))
    spectrum = equations(dimensions)[0].space.to_spectral(torch.as_tensor(field))
    found = np.stack([spectrum[(slice(None), *mode)].numpy() for mode in compared_modes(dimensions)])
    kept = np.array(PEERS[dimensions]["coefficients"]) @ [1, 1j]
    initial = compared_field(dimensions, equations(dimensions)[1])
    assert abs(found - kept).max() <= 1e-12 * abs(initial).max()
    # The comparison is worth something: the modes reach up to the cut-off and the flow has moved on.
    assert max(max(mode) for mode in compared_modes(dimensions)) > equations(dimensions)[0].grid.resolved_shells
    assert abs(field - initial).max() > 0.1 * abs(initial).max()


@pytest.mark.parametrize("dimensions", sorted(SHAPES))
def test_the_difference_from_exponax_fell_with_the_fourth_power_of_the_step(dimensions: str) -> None:
    differences = PEERS[dimensions]["exponax"]
    orders = np.log2(np.divide(differences[:-1], differences[1:]))
    assert orders.min() > 3.75
    assert differences[-1] < 1e-8
