"""Each kind of queue against a model of it: threads, tasks, cancellation, shutdown, maxsize."""

import asyncio

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from penstock.errors import Empty, Full, ShutDown
from queue_model import DONE, SHUT_DOWN, Model, Wait
from thread_queues import Call, until, waiters

PREDICATES = st.sampled_from([lambda item: item % 2 == 0, lambda item: item % 3 == 0])


class Machine(RuleBasedStateMachine):
    """Rules that change the queue leave tasks that were called unrun; ``run`` lets them run."""

    Queue = None  # set by the test

    @initialize(maxsize=st.integers(0, 4))
    def start(self, maxsize):
        self.queue = self.Queue(maxsize)
        self.model = Model(self.Queue.__name__, maxsize)
        self.loop = asyncio.new_event_loop()
        self.waits = {}  # Wait: task or Call
        self.next = 0

    def item(self):
        """Each one is another, and later ones are not always greater."""
        self.next += 1
        return self.next * 7919 % 10007

    def number_waiting(self):
        model = self.model
        lines = (model.getters, model.putters, model.joiners, model.called, model.rooms)
        return sum(map(len, lines))

    def has(self, **facts):
        waits = [*self.model.getters, *self.model.called, *self.model.putters]
        return any(
            all(bool(getattr(wait, name)) == value for name, value in facts.items())
            for wait in waits
        )

    def settled(self):
        """Threads that were let go are gone, and a task with a predicate has looked."""
        if self.has(match=True) or any(wait.match for wait in self.model.due):
            self.run()
        for wait, call in self.waits.items():
            if wait.thread and wait.outcome is not None:
                call.join(20)
        until(lambda: waiters(self.queue) == self.number_waiting())

    def wait_in_line(self, wait, line, started):
        line.append(wait)
        self.waits[wait] = started
        if not wait.thread:
            self.loop.run_until_complete(asyncio.sleep(0))
        self.model.settle()
        self.settled()

    # --- what does not wait

    @rule()
    def put(self):
        item = self.item()
        if self.model.closed:
            with pytest.raises(ShutDown):
                self.queue.put_nowait(item)
        elif self.model.full:
            with pytest.raises(Full):
                self.queue.put_nowait(item)
        else:
            self.queue.put_nowait(item)
            self.model.put(item)
            self.settled()

    @rule()
    def get(self):
        if self.model.size:
            assert self.queue.get_nowait() == self.model.take()
            self.settled()
        else:
            with pytest.raises(ShutDown if self.model.closed else Empty):
                self.queue.get_nowait()

    @rule(match=PREDICATES)
    def get_matching(self, match):
        expected = self.model.take_matching(match)
        if expected is not None:
            assert self.queue.get(match=match, block=False) == expected
            self.settled()
        else:
            with pytest.raises(ShutDown if self.model.closed else Empty):
                self.queue.get(match=match, block=False)

    @precondition(lambda self: not self.model.closed and not self.has(thread=True))
    @precondition(lambda self: not self.has(match=True))
    @rule(count=st.integers(1, 4))
    def put_many(self, count):
        items = [self.item() for _ in range(count)]
        put = 0
        while put < count and not self.model.full:
            self.model.put(items[put])
            put += 1
        try:
            assert self.queue.put_many(items, block=False) == put
        except Full:
            assert put == 0
        self.settled()

    @precondition(lambda self: not self.has(match=True))
    @rule(limit=st.integers(1, 4))
    def get_many(self, limit):
        if self.model.size:
            if self.model.kind == "PriorityQueue" and self.has(thread=True):
                limit = 1  # threads that wait for room put by themselves, later
            expected = [self.model.take()]
            more = min(limit - 1, self.model.size)
            expected += [self.model.take() for _ in range(more)]
            assert self.queue.get_many(limit, block=False) == expected
            self.settled()

    @rule(count=st.integers(1, 3))
    def task_done(self, count):
        if count > self.model.unfinished:
            with pytest.raises(ValueError, match="too many"):
                self.queue.task_done(count)
        else:
            self.queue.task_done(count)
            self.model.done(count)
            self.settled()

    @rule(maxsize=st.integers(0, 6))
    def change_maxsize(self, maxsize):
        if self.has(match=True):  # one new item at a time, so that order leaves no choice
            maxsize = max(1, min(maxsize, self.model.maxsize + 1))
        self.queue.maxsize = self.model.maxsize = maxsize
        self.model.settle()
        self.settled()

    @precondition(lambda self: self.next > 12)
    @rule(immediate=st.booleans())
    def shutdown(self, immediate):
        self.queue.shutdown(immediate)
        self.model.shutdown(immediate)
        self.run()

    # --- what waits

    @precondition(lambda self: not self.model.closed and self.model.size <= 0)
    @rule()
    def get_in_thread(self):
        self.run()
        if self.model.size <= 0 and not self.model.closed:
            self.wait_in_line(Wait(thread=True), self.model.getters, Call(self.queue.get))

    @precondition(lambda self: not self.model.closed and self.model.full)
    @rule()
    def put_in_thread(self):
        item = self.item()
        wait = Wait(thread=True, item=item)
        self.wait_in_line(wait, self.model.putters, Call(self.queue.put, item))

    @precondition(lambda self: not self.model.closed and self.model.size <= 0)
    @rule()
    def get_in_task(self):
        self.run()
        if self.model.size <= 0 and not self.model.closed:
            task = self.loop.create_task(self.queue.aget())
            self.wait_in_line(Wait(thread=False), self.model.getters, task)

    @precondition(lambda self: not self.model.closed)
    @rule(match=PREDICATES)
    def get_matching_in_task(self, match):
        self.run()
        if self.model.size <= 0 or self.model.best_match(match) is None:
            task = self.loop.create_task(self.queue.aget(match=match))
            wait = Wait(thread=False, match=match)
            self.wait_in_line(wait, self.model.getters, task)

    @precondition(lambda self: not self.model.closed and self.model.full)
    @rule()
    def put_in_task(self):
        self.run()
        if self.model.full:
            item = self.item()
            task = self.loop.create_task(self.queue.aput(item))
            wait = Wait(thread=False, item=item)
            self.wait_in_line(wait, self.model.putters, task)

    @precondition(lambda self: self.model.unfinished)
    @rule(thread=st.booleans())
    def join(self, thread):
        self.run()
        call = Call(self.queue.join) if thread else self.loop.create_task(self.queue.ajoin())
        self.wait_in_line(Wait(thread=thread), self.model.joiners, call)

    @precondition(lambda self: any(not wait.thread for wait in self.waits))
    @rule(data=st.data())
    def cancel(self, data):
        tasks = [wait for wait in self.waits if not wait.thread]
        wait = data.draw(st.sampled_from(tasks))
        if wait.outcome is None:
            task = self.waits.pop(wait)
            task.cancel()
            self.model.cancel(wait)
            self.run()
            assert task.cancelled()

    @rule()
    def run(self):
        """The tasks that were called."""
        self.model.run()
        until(self.tasks_are_done)
        for wait, call in list(self.waits.items()):
            if wait.outcome is not None:
                assert self.outcome(call) == wait.outcome
                del self.waits[wait]

    def tasks_are_done(self):
        self.loop.run_until_complete(asyncio.sleep(0))
        return waiters(self.queue) == self.number_waiting() and all(
            not isinstance(call, asyncio.Task) or call.done()
            for wait, call in self.waits.items()
            if wait.outcome is not None
        )

    def outcome(self, call):
        try:
            result = call.result()
        except ShutDown:
            return SHUT_DOWN
        return DONE if result is None else result

    @invariant()
    def sizes_are_exact(self):
        queue, model = self.queue, self.model
        assert queue.qsize() == model.size
        assert queue.empty() == (model.size == 0)
        assert queue.full() == model.full
        assert queue.unfinished_tasks == model.unfinished
        assert queue.is_shutdown == model.closed

    def teardown(self):
        if hasattr(self, "queue"):
            self.shutdown(immediate=True)
            self.queue.unfinished_tasks and self.queue.task_done(self.queue.unfinished_tasks)
            self.model.done(self.model.unfinished)
            self.run()
            assert not self.waits
            self.loop.close()


def test_like_the_model(kind):
    class Chosen(Machine):
        Queue = kind

    run_state_machine_as_test(
        Chosen,
        settings=settings(
            max_examples=60,
            stateful_step_count=40,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
