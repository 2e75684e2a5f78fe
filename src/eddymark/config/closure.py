"""Which subgrid-scale model, with which constants: an LES has one, and so have equations to be learned from."""

from __future__ import annotations

from eddymark.config.fields import Model


class Closure(Model):
    """A subgrid-scale model and its constants."""

    type: str = "none"
    arguments: dict[str, float | int | str | bool] = {}  # noqa: RUF012 (pydantic copies it)
