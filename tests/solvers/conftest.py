"""Both ways to advance a state."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch


@pytest.fixture(params=["torch", "compiled"])
def path(request: pytest.FixtureRequest) -> Iterator[None]:
    """Run a test with gradients enabled, on the torch path, and without, on the compiled one."""
    with torch.set_grad_enabled(request.param == "torch"):
        yield
