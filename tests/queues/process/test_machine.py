"""Random calls, by threads and tasks, through two holds on one queue, against a model."""

import asyncio
import os
from collections import deque

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from penstock.errors import Empty, Full, ShutDown
from process_queues import Child, until, waiting
from thread_queues import Call

MAXSIZE = 3
ITEMS = st.one_of(st.integers(), st.binary(max_size=20), st.just(b"x" * 3000), st.none())
HOLDS = st.sampled_from([0, 1])


class Machine(RuleBasedStateMachine):
    """Tasks that wait are kept in `getters` and `putters`, threads that wait in `calls`."""

    kind = None

    def __init__(self):
        super().__init__()
        name = f"machine-{os.getpid()}-{os.urandom(4).hex()}"
        self.holds = [self.kind(MAXSIZE, name, max_bytes=16_384) for _ in range(2)]
        self.loop = asyncio.new_event_loop()
        self.items = deque()
        self.getters, self.putters, self.calls = [], [], []
        self.unfinished = 0
        self.shut = False

    def teardown(self):
        if not self.shut:
            self.shut_down(0, immediate=True)
        for hold in self.holds:
            hold.close()
        self.loop.close()

    def run(self, task):
        return self.loop.run_until_complete(asyncio.wait_for(task, 20))

    def start(self, coroutine):
        async def begin():
            task = asyncio.ensure_future(coroutine)
            for _ in range(3):
                await asyncio.sleep(0)
            return task

        return self.loop.run_until_complete(begin())

    def settle(self):
        """What can go on does."""
        while True:
            if self.items and self.getters:
                assert self.run(self.getters.pop(0)) == self.items.popleft()
            elif self.items and self.calls:
                self.settle_calls()
            elif self.putters and len(self.items) < MAXSIZE:
                task, item = self.putters.pop(0)
                self.run(task)
                self.came(item)
            else:
                return

    def settle_calls(self):
        count = min(len(self.items), len(self.calls))
        done = until(lambda: len(d := [c for c in self.calls if not c.is_alive()]) == count and d)
        expected = [self.items.popleft() for _ in range(count)]
        for call in done:
            expected.remove(call.result())
            self.calls.remove(call)

    def came(self, item):
        self.items.append(item)
        self.unfinished += 1

    def room(self):
        return MAXSIZE - len(self.items)

    # --- puts ------------------------------------------------------------------------------------

    @rule(item=ITEMS, hold=HOLDS)
    def put(self, item, hold):
        if self.shut:
            with pytest.raises(ShutDown):
                self.holds[hold].put(item)
        elif self.room():
            self.holds[hold].put(item, timeout=20)
            self.came(item)
        else:
            with pytest.raises(Full):
                self.holds[hold].put_nowait(item)
        self.settle()

    @rule(items=st.lists(ITEMS, min_size=1, max_size=5), hold=HOLDS)
    def put_many(self, items, hold):
        error = ShutDown if self.shut else Full if not self.room() else None
        if error:
            with pytest.raises(error):
                self.holds[hold].put_many(items, block=False)
            return
        if self.calls:
            items = items[: self.room()]  # lest it depend on how fast they take some
        count = self.holds[hold].put_many(items, block=False)
        assert count == min(len(items), self.room())
        for item in items[:count]:
            self.came(item)
        self.settle()

    @rule(item=ITEMS, hold=HOLDS)
    def put_in_a_child(self, item, hold):
        if not self.shut and self.room():
            assert Child(self.holds[hold].put, item).code() == 0
            self.came(item)
            self.settle()

    @precondition(lambda self: not self.shut and not self.calls)
    @rule(item=ITEMS)
    def start_put(self, item):
        self.putters.append((self.start(self.holds[0].aput(item)), item))
        self.settle()

    # --- gets ------------------------------------------------------------------------------------

    @precondition(lambda self: not self.getters and not self.calls)
    @rule(hold=HOLDS)
    def get(self, hold):
        if self.items:
            assert self.holds[hold].get(timeout=20) == self.items.popleft()
        else:
            with pytest.raises(ShutDown if self.shut else Empty):
                self.holds[hold].get_nowait()
        self.settle()

    @precondition(lambda self: self.items)
    @rule(limit=st.integers(1, 5), hold=HOLDS)
    def get_many(self, limit, hold):
        expected = [self.items.popleft() for _ in range(min(limit, len(self.items)))]
        assert self.holds[hold].get_many(limit) == expected
        self.settle()

    @precondition(lambda self: not self.shut and not self.calls)
    @rule()
    def start_get(self):
        self.getters.append(self.start(self.holds[0].aget()))
        self.settle()

    @precondition(lambda self: not self.shut and not self.getters and len(self.calls) < 3)
    @rule(hold=HOLDS)
    def start_get_in_a_thread(self, hold):
        self.calls.append(Call(self.holds[hold].get))
        if not self.items:
            waiting(self.holds[0], get=len(self.calls))
        self.settle()

    # --- cancellation ----------------------------------------------------------------------------

    def cancelled(self, task):
        """Whether it was; else it is done."""
        task.cancel()
        try:
            self.run(task)
        except asyncio.CancelledError:
            return True
        return False

    @precondition(lambda self: self.getters)
    @rule(data=st.data())
    def cancel_get(self, data):
        task = self.getters.pop(data.draw(st.integers(0, len(self.getters) - 1)))
        assert self.cancelled(task)

    @precondition(lambda self: self.putters)
    @rule(data=st.data())
    def cancel_put(self, data):
        task, _ = self.putters.pop(data.draw(st.integers(0, len(self.putters) - 1)))
        assert self.cancelled(task)
        self.settle()

    @precondition(lambda self: self.getters and not self.shut)
    @rule(item=ITEMS, turns=st.integers(0, 3))
    def cancel_get_while_an_item_comes(self, item, turns):
        """Either may be first; afterwards one getter is gone, and one more has an item."""
        self.holds[1].put(item)
        self.came(item)
        for _ in range(turns):
            self.loop.run_until_complete(asyncio.sleep(0))
        task = self.getters.pop(0)
        if self.cancelled(task):
            if not self.getters:
                assert self.holds[1].get(timeout=20) == self.items.popleft()
        else:
            assert task.result() == self.items.popleft()
            if self.getters:
                self.holds[1].put(None)
                self.items.append(None)
                self.holds[1].task_done()
        self.settle()

    # --- the rest --------------------------------------------------------------------------------

    @rule(count=st.integers(0, 3), hold=HOLDS)
    def task_done(self, count, hold):
        if count > self.unfinished:
            with pytest.raises(ValueError, match="too many"):
                self.holds[hold].task_done(count)
        else:
            self.holds[hold].task_done(count)
            self.unfinished -= count
        assert self.holds[hold].join(0) is (self.unfinished == 0)

    @precondition(lambda self: not self.shut)
    @rule(hold=HOLDS, immediate=st.booleans())
    def shut_down(self, hold, immediate):
        self.shut = True
        self.holds[hold].shutdown(immediate)
        if immediate:
            self.unfinished = max(0, self.unfinished - len(self.items))
            self.items.clear()
        for task in [*self.getters, *(task for task, _ in self.putters)]:
            with pytest.raises(ShutDown):
                self.run(task)
        for call in self.calls:
            with pytest.raises(ShutDown):
                call.result()
        self.getters, self.putters, self.calls = [], [], []

    @invariant()
    def counts_are_exact(self):
        for hold in self.holds:
            assert hold.qsize() == len(self.items)
            assert hold.empty() is (not self.items)
            assert hold.full() is (len(self.items) == MAXSIZE)
            assert hold.unfinished() == self.unfinished
            assert hold.is_shutdown is self.shut


def test_against_a_model(kind):
    Machine.kind = kind
    checks = [HealthCheck.too_slow, HealthCheck.filter_too_much]
    run_state_machine_as_test(
        Machine,
        settings=settings(
            max_examples=int(os.environ.get("EXAMPLES", "20")),
            stateful_step_count=30,
            deadline=None,
            suppress_health_check=checks,
        ),
    )
