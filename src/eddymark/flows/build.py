"""Flows by name."""

from __future__ import annotations

import importlib

from eddymark.config.schema import Flow as FlowConfiguration
from eddymark.flows import FLOWS
from eddymark.flows.base import Flow


def build_flow(configuration: FlowConfiguration) -> Flow:
    """Return the flow of a configuration's type."""
    module, _, name = FLOWS[configuration.type].rpartition(".")
    flow: Flow = getattr(importlib.import_module(module), name)(configuration)
    return flow
