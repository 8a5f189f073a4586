"""Any sequence of sends, receives and closes against two lists."""

import contextlib
import os
from unittest import mock

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

import pipe_calls
from penstock.errors import PeerDied

SIDES = st.sampled_from([0, 1])
ITEMS = st.one_of(
    st.integers(),
    st.text(max_size=20),
    st.binary(max_size=20),
    st.lists(st.none() | st.floats(allow_nan=False), max_size=3),
    st.builds(bytearray, st.sampled_from([1024, 1025, 9000])),
    st.sampled_from([1500, 3000]).map(lambda size: "y" * size),
)
ROOM = 60_000  # bytes that both cores hold without a reader, whatever they are


class TwoEnds(RuleBasedStateMachine):
    core = ""

    def __init__(self):
        super().__init__()
        with mock.patch.dict(os.environ, PENSTOCK_CORE=self.core):
            self.ends = pipe_calls.load(self.core).Pipe()
        self.open = [True, True]
        self.sent = [[], []]  # to each end, and not received: (by send_bytes, item)
        self.dropped = False

    def room(self, side):
        return sum(200 + len(str(item)) for _, item in self.sent[1 - side]) < ROOM

    def attempt(self, side, call):
        """True when it was done; else the error was the right one."""
        if not self.open[side]:
            with pytest.raises(OSError, match="closed"):
                call()
        elif not self.open[1 - side]:
            with pytest.raises(BrokenPipeError):
                call()
        else:
            call()
            return True
        return False

    @rule(side=SIDES, item=ITEMS)
    def send(self, side, item):
        if self.room(side) and self.attempt(side, lambda: self.ends[side].send(item)):
            self.sent[1 - side].append((False, item))

    @rule(side=SIDES, data=st.binary(max_size=2000))
    def send_bytes(self, side, data):
        if self.room(side) and self.attempt(side, lambda: self.ends[side].send_bytes(data)):
            self.sent[1 - side].append((True, data))

    @rule(side=SIDES, items=st.lists(ITEMS, max_size=5))
    def send_many(self, side, items):
        if not items or not self.room(side):
            return
        if self.attempt(side, lambda: self.ends[side].send_many(items)):
            self.sent[1 - side] += [(False, item) for item in items]

    @rule(side=SIDES, limit=st.integers(1, 8))
    def receive(self, side, limit):
        if not self.open[side]:
            with pytest.raises(OSError, match="closed"):
                self.ends[side].recv()
        elif self.sent[side]:
            self.receive_some(side, limit)
        elif not self.open[1 - side]:
            with pytest.raises(PeerDied):
                self.ends[side].recv()
        else:
            assert self.ends[side].recv_many(timeout=0) == []

    def receive_some(self, side, limit):
        raw, item = self.sent[side][0]
        if raw:
            assert self.ends[side].recv_bytes() == item
            del self.sent[side][0]
            return
        until = next((i for i, (raw, _) in enumerate(self.sent[side]) if raw), len(self.sent[side]))
        count = min(until, limit)
        wanted = [item for _, item in self.sent[side][:count]]
        received = self.ends[side].recv_many(count) if limit > 1 else [self.ends[side].recv()]
        assert received == wanted
        assert [type(item) for item in received] == [type(item) for item in wanted]
        del self.sent[side][:count]

    @precondition(lambda self: all(self.open))
    @rule(side=SIDES, often=st.integers(0, 5))
    def close(self, side, often):
        if often == 0:
            self.ends[side].close()
            self.open[side] = False

    @rule(side=SIDES)
    def select(self, side):
        if self.open[side]:
            self.ends[side].fileno()

    @invariant()
    def poll_knows(self):
        for side in (0, 1):
            if self.open[side]:
                there = bool(self.sent[side]) or not self.open[1 - side]
                assert self.ends[side].poll() is there

    def teardown(self):
        for end in self.ends:
            with contextlib.suppress(OSError):
                end.close()


def test_any_sequence(core, module):
    kind = type("TwoEnds", (TwoEnds,), {"core": core})
    run_state_machine_as_test(
        kind, settings=settings(max_examples=60, stateful_step_count=30, deadline=None)
    )
