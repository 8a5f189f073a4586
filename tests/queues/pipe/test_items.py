"""What is sent arrives: equal, of the same type, and not the same object."""

import array
import collections
import datetime as dt
import decimal
import functools
import pickle
import socket
from typing import NamedTuple

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import pipe_calls
from penstock.errors import PeerDied


def through(pair, item):
    left, right = pair
    sending = pipe_calls.Call(left.send, item)
    received = right.recv()
    sending.result()
    return received


BUILT_IN = [
    *(None, True, False, 0, -1, 2**63 - 1, -(2**63), 2**63, 2**200, 1.5, float("inf")),
    *(b"", b"x", bytes(range(256)) * 3, bytearray(), bytearray(b"abc")),
    *("", "abc", "äöü", "\u20ac", "\U0001f600", "\ud800", "nul\0l"),
    *((), (1, (2, 3)), [], [1, [2]], {}, {"a": {1: 2}}, {1, 2}, frozenset({3}), 1 + 2j, range(5)),
]


@pytest.mark.parametrize("item", BUILT_IN, ids=repr)
def test_built_in_values(pair, item):
    received = through(pair, item)
    assert received == item
    assert type(received) is type(item)


@pytest.mark.parametrize("size", [1000, 1024, 1025, 70_000, 300_000, 3_000_000])
@pytest.mark.parametrize("kind", ["bytes", "bytearray", "ascii", "text", "list"])
def test_values_of_all_sizes(pair, kind, size):
    data = b"\x01\xff\0" * (size // 3)
    item = {
        "bytes": data,
        "bytearray": bytearray(data),
        "ascii": "x" * size,
        "text": "\u20ac" * size,
        "list": [data, size, data],
    }[kind]
    received = through(pair, item)
    assert received == item
    assert type(received) is type(item)


class Text(str):
    __slots__ = ()


class Number(int):
    pass


class Point(NamedTuple):
    x: int
    y: int


@pytest.mark.parametrize(
    "item",
    [
        *(Text("a"), Number(3), Point(1, 2), decimal.Decimal("1.5"), dt.date(2020, 1, 2)),
        *(array.array("d", [1.5] * 100), collections.OrderedDict(a=1), ValueError("x", 3)),
    ],
    ids=repr,
)
def test_subclasses_and_classes_keep_their_type(pair, item):
    received = through(pair, item)
    assert type(received) is type(item)
    assert repr(received) == repr(item)


values = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=False),
    st.text(),
    st.binary(),
    st.lists(st.integers()),
    st.dictionaries(st.text(), st.text()),
)


@given(items=st.lists(values, max_size=8))
@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_any_values_in_order(pair, items):
    left, right = pair
    sending = pipe_calls.Call(lambda: [left.send(item) for item in items])
    assert [right.recv() for _ in items] == items
    sending.result()


def test_identity_within_a_message_is_kept_and_nothing_is_remembered_between_messages(pair):
    shared = [1]
    first, second = through(pair, (shared, shared))
    assert first is second
    assert through(pair, shared) is not first


class Blob:
    """Gives its buffer out of band, as arrays of other libraries do."""

    def __init__(self, buffer):
        self.buffer = buffer

    def __reduce_ex__(self, protocol):
        return Blob, (pickle.PickleBuffer(self.buffer),)


@pytest.mark.parametrize("sizes", [[5], [100_000], [5000, 0, 70_000, 4096], [1_000_000, 2_000_000]])
def test_buffers_out_of_band(pair, sizes):
    blobs = [Blob(bytearray([i + 1]) * size) for i, size in enumerate(sizes)]
    received = through(pair, blobs)
    assert [bytes(blob.buffer) for blob in received] == [bytes(blob.buffer) for blob in blobs]
    assert not any(memoryview(blob.buffer).readonly for blob in received)


def test_read_only_buffers_stay_read_only(pair):
    received = through(pair, [Blob(b"x" * 10_000), Blob(b"y")])
    assert [bytes(blob.buffer[:1]) for blob in received] == [b"x", b"y"]
    assert all(memoryview(blob.buffer).readonly for blob in received)


def test_the_reducers_of_multiprocessing_are_used(pair, helpers):
    ours, theirs = socket.socketpair()
    with ours, theirs, through(pair, theirs) as received:
        ours.send(b"hello")
        assert received.recv(5) == b"hello"
    received = through(pair, functools.partial(int, "11", base=2))
    assert received() == 3


def test_an_item_that_cannot_be_pickled_raises_here_and_sends_nothing(pair):
    left, right = pair
    with pytest.raises((AttributeError, pickle.PicklingError, TypeError)):
        left.send([1, lambda: None])
    assert not right.poll()
    left.send("next")
    assert right.recv() == "next"


def fail(*_):
    raise ZeroDivisionError


class Bad:
    def __reduce__(self):
        return fail, ()


def test_an_item_that_cannot_be_unpickled_is_consumed(pair):
    left, right = pair
    left.send(Bad())
    left.send("next")
    with pytest.raises(ZeroDivisionError):
        right.recv()
    assert right.recv() == "next"


class Sends:
    """Uses the pipe while it is being pickled, and while it is being unpickled."""

    ends = None

    def __reduce__(self):
        self.ends[0].send("from the pickling")
        return Sends.receive, ()

    @staticmethod
    def receive():
        return Sends.ends[1].recv()


def test_pickling_may_use_the_same_pipe(pair):
    left, right = Sends.ends = pair
    left.send(Sends())
    assert right.recv() == "from the pickling"
    left.send("for the unpickling")
    assert right.recv() == "for the unpickling"
    Sends.ends = None


class Closes(Sends):
    def __reduce__(self):
        self.ends[0].close()
        return int, ()


def test_pickling_may_close_the_pipe(pair):
    left, right = Closes.ends = pair
    with pytest.raises(OSError, match="closed"):
        left.send(Closes())
    with pytest.raises(PeerDied):
        right.recv()
    Closes.ends = None
