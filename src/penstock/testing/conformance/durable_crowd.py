"""A crowd: threads and event loops at once, and each item is done exactly once."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter

from penstock.durable.queue import DurableQueue
from penstock.testing.conformance.durable_stage import DurableStage

__all__ = ["DurableCrowdCases"]

_THREADS, _TASKS, _ITEMS = 4, 3, 150
_PATIENCE = 60.0


class DurableCrowdCases(DurableStage):
    """Many callers of one queue object, and of another."""

    def test_threads_and_tasks_do_each_item_once(self) -> None:
        one, two = self.user_in_real_time().queue, self.user_in_real_time().queue
        done: list[int] = []
        errors: list[BaseException] = []

        def guarded(queue: DurableQueue) -> None:
            try:
                if self.colour == "blocking":
                    _work(queue, done)
                else:
                    asyncio.run(_work_together(queue, done))
            except BaseException as error:  # noqa: BLE001 - shown by the case
                errors.append(error)

        threads = [
            threading.Thread(target=guarded, args=(queue,), daemon=True)
            for queue in (one, two)
            for _ in range(_THREADS if self.colour == "blocking" else 1)
        ]
        one.put_many(range(_ITEMS // 2))
        for thread in threads:
            thread.start()
        for number in range(_ITEMS // 2, _ITEMS):
            two.put(number)
        one.put_many([None] * _THREADS * 2)  # each stops one of them
        for thread in threads:
            thread.join(_PATIENCE)
            assert not thread.is_alive(), "somebody hangs"
        assert errors == []
        assert Counter(done) == Counter(range(_ITEMS))


def _work(queue: DurableQueue, done: list[int]) -> None:
    while True:
        item = queue.get(timeout=_PATIENCE)
        queue.task_done(item)
        if item is None:
            return
        done.append(item)


async def _work_together(queue: DurableQueue, done: list[int]) -> None:
    async def work() -> None:
        while True:
            async with queue.atake(timeout=_PATIENCE) as item:
                if item is None:
                    return
                done.append(item)

    await asyncio.gather(*(work() for _ in range(_TASKS)))
