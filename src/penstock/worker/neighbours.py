"""Watching the other workers of this host, to see to their messages the moment one dies."""

from __future__ import annotations

import os
import selectors
from collections.abc import Callable, Iterable

from penstock.errors import BrokerError, ConfigError

__all__ = ["Neighbours"]


class Neighbours:
    """Process descriptors in the supervisor's selector: readable when that process is gone."""

    def __init__(self, pids: Callable[[], Iterable[int]], selector: selectors.BaseSelector) -> None:
        self._pids = pids
        self._selector = selector
        self._descriptors: dict[int, int] = {}

    def refresh(self) -> None:
        """Watch who is there now. Where the system has no such descriptors leases run out."""
        if not hasattr(os, "pidfd_open"):
            return
        try:
            pids = set(self._pids())
        except (BrokerError, ConfigError):  # away, or it refuses: those who are watched stay so
            return
        for pid in set(self._descriptors) - pids:
            self._forget(pid)
        for pid in pids - set(self._descriptors):
            self._watch(pid)

    def _watch(self, pid: int) -> None:
        try:
            descriptor = os.pidfd_open(pid)
        except OSError:  # gone already: the next tending frees what it held
            return
        self._descriptors[pid] = descriptor
        self._selector.register(descriptor, selectors.EVENT_READ)

    def died(self, ready: set[int]) -> bool:
        """True when one of them died; it is not watched any more."""
        if not self._descriptors:
            return False
        dead = [pid for pid, descriptor in self._descriptors.items() if descriptor in ready]
        for pid in dead:
            self._forget(pid)
        return bool(dead)

    def _forget(self, pid: int) -> None:
        descriptor = self._descriptors.pop(pid)
        self._selector.unregister(descriptor)
        os.close(descriptor)

    def close(self) -> None:
        """Watch nobody."""
        for pid in list(self._descriptors):
            self._forget(pid)
