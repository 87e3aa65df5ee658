"""Snakemake's resources, read for a request. Pure functions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Resources = Mapping[str, Any]

UNKNOWN = "<TBD>"  # Snakemake's value for a resource that only the job itself can work out


def positive(resources: Resources, name: str, default: int | None = None) -> int | None:
    """Return resource `name` as a positive integer, or `default` if it is not set.

    Raises
    ------
    ValueError
        If the value is no integer of at least 1.
    """
    value = resources.get(name)
    if value is None or value == UNKNOWN:
        return default
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ValueError(f"resource {name}={value!r}: expected a positive integer")
    return value
