"""What goes into a native ring comes out the same: value, type, and nothing half done."""

import os
import pickle
import socket
import threading
from decimal import Decimal
from multiprocessing import Pipe

import pytest
from hypothesis import given, settings, strategies

from penstock.errors import Empty, Full

PLAIN = [
    *(0, -1, 2**63 - 1, -(2**63), 2**63, 2**200, 0.0, -1.5, float("inf"), True, False, None),
    *("", "ascii", "é\xff", "漢字", "\U0001f600", "\ud800", b"", b"x" * 9, bytearray(b"y" * 17)),
    *((), (1, "a"), [1, [2]], {"a": {"b": 1}}, {1, 2}, Decimal("1.50"), ValueError("no"), range(3)),
]


class Own:
    """A class of one's own, with a buffer that goes out of band."""

    def __init__(self, data):
        self.data = data

    def __reduce_ex__(self, protocol):
        return Own, (pickle.PickleBuffer(self.data),)


@pytest.mark.parametrize("item", PLAIN, ids=repr)
def test_value_and_type_survive(make_ring, item):
    ring = make_ring()
    ring.put(item)
    got = ring.get()
    assert type(got) is type(item)
    assert repr(got) == repr(item)


@pytest.mark.parametrize("size", [1, 4_095, 4_096, 20_000, 70_000, 200_000, 400_000])
@pytest.mark.parametrize("kind", [bytes, bytearray, Own, lambda data: data.hex()])
def test_every_size_in_the_ring_beside_it_and_in_a_file(make_ring, files, size, kind):
    ring = make_ring(max_bytes=1 << 18)
    item = kind(bytes(range(256)) * (size // 256 + 1))
    for _ in range(3):  # around the end of the ring as well
        ring.put(item)
        got = ring.get()
        assert type(got) is type(item)
        assert bytes(got.data) == item.data if isinstance(item, Own) else got == item
    assert not files.kept


def test_a_buffer_out_of_band_comes_back_writable(make_ring):
    ring = make_ring()
    ring.put(Own(bytearray(10_000)))
    got = ring.get()
    got.data[0] = 7
    assert got.data[0] == 7


SCALARS = (
    strategies.none() | strategies.integers() | strategies.text() | strategies.binary(max_size=300)
)
NESTED = strategies.recursive(
    SCALARS, lambda inner: strategies.lists(inner) | strategies.dictionaries(SCALARS, inner)
)


@settings(max_examples=50, deadline=None)
@given(data=strategies.lists(NESTED, max_size=20))
def test_any_batch_comes_back(native, data):
    with ring_of(native) as ring:
        assert ring.put_many(data) == len(data)
        got = ring.get_many(len(data)) if data else []
        assert got == data


def ring_of(native):
    fd = os.memfd_create("ring")
    ring = native.Ring(fd, maxsize=0, max_bytes=1 << 20, spill=None, create=True)
    os.close(fd)
    return ring


@pytest.mark.parametrize("item", [lambda: None, threading.Lock(), [1, (x for x in "ab")]])
def test_what_cannot_be_pickled_raises_here_and_changes_nothing(make_ring, item):
    ring = make_ring()
    with pytest.raises((TypeError, AttributeError, pickle.PicklingError)):
        ring.put(item)
    with pytest.raises((TypeError, AttributeError, pickle.PicklingError)):
        ring.put_many([1, 2, item])
    assert ring.qsize() == ring.unfinished() == 0


def test_reducers_of_multiprocessing_are_honoured(make_ring):
    ring = make_ring()
    here, there = Pipe()
    one, two = socket.socketpair()
    with here, there, one, two:
        ring.put(here)
        ring.put(one)
        with ring.get() as connection, ring.get() as plug:
            connection.send("through a connection that went through the ring")
            assert there.recv().startswith("through")
            plug.send(b"and a socket")
            assert two.recv(100) == b"and a socket"


def test_pickling_an_item_may_use_the_same_ring(make_ring):
    ring = make_ring()

    class Nested:
        def __reduce__(self):
            ring.put("inner")
            return str, ("outer",)

    ring.put(Nested())
    assert [ring.get(), ring.get()] == ["inner", "outer"]


def test_what_cannot_be_unpickled_does_not_take_the_rest_of_its_batch(make_ring):
    ring = make_ring()
    ring.put_many([1, Broken(), 3])
    with pytest.raises(ValueError, match="cannot be made again") as caught:
        ring.get_many(3)
    assert caught.value.items == [1, 3]
    assert ring.qsize() == 0


class Broken:
    def __reduce__(self):
        return _refuse, ()


def _refuse():
    raise ValueError("it cannot be made again")


def test_a_file_is_dropped_when_its_item_was_not_put(make_ring, files):
    ring = make_ring(maxsize=1, max_bytes=4096)
    ring.put(1)
    with pytest.raises(Full):
        ring.put(b"z" * 5000, block=False)
    assert not files.kept


@pytest.mark.parametrize("before", [0, 1, 7, 200, 255, 256, 400, 500, 511])
def test_two_files_wait_in_one_ring_and_no_more_wherever_it_stands(make_ring, files, before):
    ring = make_ring(max_bytes=4096)
    for _ in range(before):
        ring.put(None)  # one unit of 8 bytes, of 512
        ring.get()
    large = [bytes([i]) * 9000 for i in range(6)]
    assert ring.put_many(large, block=False) == 2  # each takes half the ring
    assert len(files.kept) == 2
    assert ring.get_many(6) == large[:2]
    assert ring.statistics()["spilled"] == 2
    with pytest.raises(Empty):
        ring.get(block=False)


def test_too_large_without_a_place_for_files_is_a_clear_error(make_ring):
    ring = make_ring(max_bytes=4096, spill=None)
    with pytest.raises(ValueError, match="larger than half of this queue's 4096"):
        ring.put(b"z" * 5000)
