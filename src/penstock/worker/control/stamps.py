"""Stamps: headers that Celery's clients put on tasks to find them again, as when revoking."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["Stamps", "is_stamped", "stamps_in"]

Stamps = Mapping[str, list[Any]]  # header -> values, any of which will do


def stamps_in(headers: Any) -> dict[str, list[Any]]:
    """The stamps that a request names, as a mapping or a list of ``header=value``."""
    if isinstance(headers, list):
        pairs = [str(one).split("=", 1) for one in headers]
        headers = {pair[0]: [other[-1] for other in pairs if other[0] == pair[0]] for pair in pairs}
    if not isinstance(headers, dict):
        raise TypeError(f"stamps are named as {{'header': [values]}}, not by {headers!r}"[:200])
    return {str(name): _several(value) for name, value in headers.items()}


def is_stamped(headers: Mapping[str, Any], stamps: Stamps) -> bool:
    """Whether a task's headers carry one of them."""
    there = headers.get("stamps")
    names = headers.get("stamped_headers")
    if not isinstance(there, dict) or not isinstance(names, list):
        return False
    return any(
        value in stamps[name]
        for name in names
        if isinstance(name, str) and name in stamps
        for value in _several(there.get(name))
    )


def _several(value: Any) -> list[Any]:
    if value is None:
        return []
    return list(value) if isinstance(value, list | tuple) else [value]
