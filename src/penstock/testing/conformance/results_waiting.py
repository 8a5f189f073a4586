"""Waiting for results: woken at once, by whoever stores them, and never busy."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Sequence
from functools import partial

from penstock.clock import SYSTEM_CLOCK
from penstock.message import Record, new_id
from penstock.testing.conformance.store_stage import StoreStage

__all__ = ["WaitingForResultsCases"]

_PATIENCE = 30.0  # seconds: reached only by a store that misses its wake-up
_SOON = 10.0


class WaitingForResultsCases(StoreStage):
    """wait: in real time."""

    def _on_a_thread(
        self, call: Callable[[], list[Record | None]]
    ) -> Callable[[], list[Record | None]]:
        """Begin a call on a thread of its own; gives what asks for its outcome."""
        outcome: list[list[Record | None]] = []
        begun = threading.Event()

        def run() -> None:
            begun.set()
            outcome.append(call())

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        begun.wait()

        def result() -> list[Record | None]:
            thread.join(_SOON)
            assert outcome, "the waiting call was not woken"
            return outcome[0]

        return result

    def _states(self, records: Sequence[Record | None]) -> list[str | None]:
        return [record.state if record else None for record in records]

    def test_what_is_final_is_not_waited_for(self) -> None:
        client = self.client(SYSTEM_CLOCK)
        record = self.record(new_id())
        client.put(record)
        started = time.monotonic()
        assert self._states(client.wait(record.id, timeout=_PATIENCE)) == ["SUCCESS"]
        assert time.monotonic() - started < _SOON

    def test_it_waits_as_long_as_it_was_told(self) -> None:
        client = self.client(SYSTEM_CLOCK)
        started = time.monotonic()
        assert client.wait(new_id(), timeout=0.05) == [None]
        assert 0.045 <= time.monotonic() - started < _SOON

    def test_without_time_it_only_looks(self) -> None:
        client = self.client(SYSTEM_CLOCK)
        record = self.record(new_id(), "STARTED")
        client.put(record)
        assert self._states(client.wait(record.id, timeout=0.0)) == ["STARTED"]

    def test_what_is_not_final_is_waited_for(self) -> None:
        client = self.client(SYSTEM_CLOCK)
        record = self.record(new_id(), "STARTED")
        client.put(record)
        assert self._states(client.wait(record.id, timeout=0.05)) == ["STARTED"]

    def test_waiting_is_not_busy(self) -> None:
        client = self.client(SYSTEM_CLOCK)
        client.wait(new_id(), timeout=0.01)  # what is opened on first use is not waiting
        started, worked = time.monotonic(), time.thread_time()
        client.wait(new_id(), timeout=0.2)
        assert time.thread_time() - worked < (time.monotonic() - started) / 4

    def test_a_record_by_another_client_wakes_it(self) -> None:
        waiter, writer = self.client(SYSTEM_CLOCK), self.client(SYSTEM_CLOCK)
        for _ in range(3):
            task_id = new_id()
            waiting = self._on_a_thread(partial(waiter.wait, task_id, timeout=_PATIENCE))
            writer.put(self.record(task_id, "STARTED"))
            writer.put(self.record(task_id, "SUCCESS"))
            assert self._states(waiting()) == ["SUCCESS"]

    def test_without_a_timeout_it_waits_for_ever(self) -> None:
        waiter, writer = self.client(SYSTEM_CLOCK), self.client(SYSTEM_CLOCK)
        task_id = new_id()
        waiting = self._on_a_thread(lambda: waiter.wait(task_id, timeout=None))
        writer.put(self.record(task_id))
        assert self._states(waiting()) == ["SUCCESS"]

    def test_several_are_waited_for_until_the_last(self) -> None:
        waiter, writer = self.client(SYSTEM_CLOCK), self.client(SYSTEM_CLOCK)
        names = [new_id() for _ in range(5)]
        waiting = self._on_a_thread(lambda: waiter.wait(*names, timeout=_PATIENCE))
        *others, last = names[2:] + names[:2]
        writer.put(*map(self.record, others))
        writer.put(self.record(last, "STARTED"))
        assert self._states(waiter.wait(*names, timeout=0.05)).count("SUCCESS") == 4
        writer.put(self.record(last))
        assert self._states(waiting()) == ["SUCCESS"] * 5

    def test_one_that_is_missing_is_waited_for(self) -> None:
        client = self.client(SYSTEM_CLOCK)
        names = [new_id() for _ in range(3)]
        client.put(self.record(names[0]), self.record(names[2]))
        started = time.monotonic()
        assert self._states(client.wait(*names, timeout=0.05)) == ["SUCCESS", None, "SUCCESS"]
        assert time.monotonic() - started >= 0.045

    def test_many_wait_for_one_and_for_others(self) -> None:
        waiter, writer = self.client(SYSTEM_CLOCK), self.client(SYSTEM_CLOCK)
        names = [new_id() for _ in range(4)]
        waiting = [
            self._on_a_thread(partial(waiter.wait, name, timeout=_PATIENCE))
            for name in (*names, *names)
        ]
        for name in names:
            writer.put(self.record(name))
        assert [self._states(one()) for one in waiting] == [["SUCCESS"]] * 8

    def test_many_wait_on_one_loop(self) -> None:
        waiter, writer = self.client(SYSTEM_CLOCK), self.client(SYSTEM_CLOCK)
        names = [new_id() for _ in range(20)]

        async def wait_for_all() -> list[list[Record | None]]:
            waits = [waiter.store.await_([name], _PATIENCE) for name in names]
            gathered = asyncio.gather(*waits)
            await asyncio.sleep(0)
            await writer.store.aput([self.record(name) for name in names])
            return await gathered

        found = asyncio.run(wait_for_all())
        assert [self._states(one) for one in found] == [["SUCCESS"]] * 20

    def test_a_cancelled_wait_harms_nobody(self) -> None:
        client = self.client(SYSTEM_CLOCK)
        task_id = new_id()

        async def cancel_one_of_two() -> list[Record | None]:
            first, second = (
                asyncio.create_task(client.store.await_([task_id], _PATIENCE)) for _ in "12"
            )
            await asyncio.sleep(0)
            first.cancel()
            await client.store.aput([self.record(task_id)])
            await asyncio.wait([first])
            return await second

        assert self._states(asyncio.run(cancel_one_of_two())) == ["SUCCESS"]
