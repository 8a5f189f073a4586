"""The stage on which the cases of result stores play: a clock, and clients in one colour."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Iterator
from typing import Any

import pytest

from penstock.clock import Clock, ManualClock
from penstock.message import Record, new_id
from penstock.results.base import ResultStore
from penstock.testing.conformance.stage import Colour
from penstock.testing.conformance.timed import Timed

__all__ = ["StoreClient", "StoreStage"]


class StoreClient:
    """One client of the store, blocking or awaiting."""

    def __init__(self, store: ResultStore, colour: Colour) -> None:
        self.store = store
        self.colour = colour

    def put(self, *records: Record) -> list[Record]:
        if self.colour == "blocking":
            return self.store.put(records)
        return asyncio.run(self.store.aput(records))

    def get(self, *ids: str) -> list[Record | None]:
        if self.colour == "blocking":
            return self.store.get(ids)
        return asyncio.run(self.store.aget(ids))

    def wait(self, *ids: str, timeout: float | None) -> list[Record | None]:
        if self.colour == "blocking":
            return self.store.wait(ids, timeout)
        return asyncio.run(self.store.await_(ids, timeout))

    def forget(self, *ids: str) -> None:
        if self.colour == "blocking":
            self.store.forget(ids)
        else:
            asyncio.run(self.store.aforget(ids))


class StoreStage(Timed):
    """A fresh stage for each case."""

    def make_store(self, clock: Clock) -> ResultStore:
        """A new client of the store under test; several calls give clients of one store."""
        raise NotImplementedError("a conformance test class overrides make_store(clock)")

    @pytest.fixture(params=["blocking", "awaiting"], autouse=True)
    def _stage(self, request: pytest.FixtureRequest) -> Iterator[None]:
        self.colour: Colour = request.param
        self.clock = ManualClock(wall=time.time())
        self._opened: list[ResultStore] = []
        self._keys = itertools.count(1)
        self.one = self.client()
        self.two = self.client()
        yield
        for store in self._opened:
            store.close()

    def client(self, clock: Clock | None = None) -> StoreClient:
        """One more client, closed at the end of the case."""
        store = self.make_store(clock or self.clock)
        self._opened.append(store)
        return StoreClient(store, self.colour)

    def record(self, id: str, state: str = "SUCCESS", **fields: Any) -> Record:
        """A record; final unless its state is that of a task under way."""
        final = state not in {"PENDING", "RECEIVED", "STARTED", "RETRY", "PROGRESS"}
        given: dict[str, Any] = {"document": b"{}", "final": final} | fields
        return Record(id=id, state=state, **given)

    def keys(self, count: int) -> list[str]:
        """Keys of publications, older ones first."""
        return sorted(new_id() for _ in range(count))
