"""A crowd: threads and event loops at once, and each message is done exactly once."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter

from penstock.brokers.base import Broker
from penstock.message import Done, Message
from penstock.testing.conformance.stage import LONG, BrokerStage

__all__ = ["CrowdCases"]

_THREADS, _LOOPS, _TASKS_PER_LOOP = 4, 2, 3
_PUBLISHERS, _BATCHES, _BATCH = 3, 10, 5


class _Tally:
    """What was done, and by how many refused settlements; shared by the crowd."""

    def __init__(self, expected: int) -> None:
        self._lock = threading.Lock()
        self._expected = expected
        self.done: Counter[str] = Counter()
        self.lost = 0
        self.errors: list[BaseException] = []

    def note(self, ids: list[str], lost: int) -> None:
        with self._lock:
            self.done.update(ids)
            self.lost += lost

    def complete(self) -> bool:
        with self._lock:
            return bool(self.errors) or self.done.total() >= self._expected


class CrowdCases(BrokerStage):
    """Many callers of few clients."""

    def test_threads_and_loops_together_do_each_message_once(self) -> None:
        total = _PUBLISHERS * _BATCHES * _BATCH
        tally = _Tally(total)
        shared, own = self.client_in_real_time().broker, self.client_in_real_time().broker
        batches = [[self.messages(_BATCH) for _ in range(_BATCHES)] for _ in range(_PUBLISHERS)]
        self._run_all(
            tally,
            [
                *((_publish, (shared, mine)) for mine in batches),
                *((self._work, (shared, tally)) for _ in range(_THREADS)),
                *((self._work_on_a_loop, (broker, tally)) for broker in (shared, own)[:_LOOPS]),
            ],
        )
        assert not tally.errors
        assert tally.lost == 0
        sent = {message.id for mine in batches for batch in mine for message in batch}
        assert set(tally.done) == sent
        assert set(tally.done.values()) == {1}

    def _run_all(self, tally: _Tally, jobs: list[tuple[object, tuple[object, ...]]]) -> None:
        def guarded(job: object, args: tuple[object, ...]) -> None:
            try:
                job(*args)  # type: ignore[operator]
            except BaseException as error:  # noqa: BLE001 - shown by the case
                tally.errors.append(error)

        threads = [threading.Thread(target=guarded, args=job, daemon=True) for job in jobs]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
            assert not thread.is_alive(), "a caller hangs"

    def _work(self, broker: Broker, tally: _Tally) -> None:
        while not tally.complete():
            leases = broker.lease([self.queue], 3, LONG, 0.02)
            lost = broker.settle([Done(lease) for lease in leases])
            tally.note([lease.message.id for lease in leases], len(lost))

    def _work_on_a_loop(self, broker: Broker, tally: _Tally) -> None:
        async def work() -> None:
            while not tally.complete():
                leases = await broker.alease([self.queue], 3, LONG, 0.02)
                lost = await broker.asettle([Done(lease) for lease in leases])
                tally.note([lease.message.id for lease in leases], len(lost))

        async def work_together() -> None:
            await asyncio.gather(*(work() for _ in range(_TASKS_PER_LOOP)))

        asyncio.run(work_together())


def _publish(broker: Broker, batches: list[list[Message]]) -> None:
    for batch in batches:
        broker.publish(batch)
