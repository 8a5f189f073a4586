"""The revoked ids that this worker was told of, besides those that its broker keeps."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from penstock.clock import Clock
from penstock.worker.control.stamps import Stamps, is_stamped

__all__ = ["Revoked"]

_MOST = 50_000
_KEPT = 3 * 3600.0  # seconds
_MOST_STAMPS = 1_000  # values of one header


class Revoked:
    """The latest of them, oldest first; touched by the worker's loop only."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._since: OrderedDict[str, float] = OrderedDict()
        self._stamps: dict[str, list[Any]] = {}

    def add(self, ids: Iterable[str]) -> None:
        """These must not begin any more."""
        now = self._clock.monotonic()
        for task_id in ids:
            self._since.pop(task_id, None)
            self._since[task_id] = now
        self._forget(now - _KEPT)

    def add_stamps(self, stamps: Stamps) -> None:
        """Tasks that carry one of these must not begin any more."""
        for name, values in stamps.items():
            known = self._stamps.setdefault(name, [])
            known += [value for value in values if value not in known]
            del known[:-_MOST_STAMPS]

    def has_stamp_of(self, headers: Mapping[str, Any]) -> bool:
        """Whether a task with these headers must not begin, for its stamps."""
        return bool(self._stamps) and is_stamped(headers, self._stamps)

    def _forget(self, before: float) -> None:
        while self._since:
            since = next(iter(self._since.values()))
            if len(self._since) <= _MOST and since > before:
                return
            self._since.popitem(last=False)

    def __contains__(self, task_id: object) -> bool:
        return task_id in self._since

    def __iter__(self) -> Iterator[str]:
        return iter(self._since)

    def __len__(self) -> int:
        return len(self._since)

    def __repr__(self) -> str:
        return f"Revoked({len(self)})"
