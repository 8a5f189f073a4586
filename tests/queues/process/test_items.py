"""What can be put, and what comes out."""

import array
import collections
import pickle

import pytest

from penstock.errors import Empty


class Buffer:
    """An object with a buffer, as arrays of other libraries have it."""

    def __init__(self, data):
        self.data = data

    def __reduce_ex__(self, protocol):
        return Buffer, (pickle.PickleBuffer(self.data),)


class Bad:
    def __reduce__(self):
        raise RuntimeError("not me")


def fail():
    raise RuntimeError("not here")


class Sour:
    def __reduce__(self):
        return fail, ()


@pytest.mark.parametrize(
    "item",
    [
        None,
        True,
        False,
        0,
        -1,
        2**63,
        10**40,
        1.5,
        float("inf"),
        "",
        "text",
        "h\xe4",
        "\u6c34",
        "\U0001f6b0",
        b"",
        b"bytes",
        bytearray(b"bytearray"),
        (1, "a", None),
        [1, [2, [3]]],
        {"key": {"nested": (1, 2)}},
        {1, 2},
        collections.OrderedDict(a=1),
        array.array("d", [1.0, 2.0]),
        ValueError("an error"),
        "x" * 10_000,
        b"x" * 30_000,
        bytearray(b"x" * 100_000),
        ["x" * 100] * 2_000,
    ],
    ids=lambda item: repr(item)[:30],
)
def test_what_went_in_comes_out(queue, item):
    queue.put(item)
    found = queue.get()
    assert type(found) is type(item)
    assert repr(found) == repr(item)


def test_in_the_order_in_which_they_were_put(queue):
    for round_ in range(20):  # several times round the ring
        items = [round_, "x" * 37 * round_, b"y" * 101 * round_, None]
        for item in items:
            queue.put(item)
        assert [queue.get() for _ in items] == items


def test_a_copy(queue):
    item = [1]
    queue.put(item)
    item.append(2)
    assert queue.get() == [1]


def test_one_object_twice_is_one_object(queue):
    shared = []
    queue.put([shared, shared])
    first, second = queue.get()
    assert first is second


@pytest.mark.parametrize("size", [10, 5_000, 100_000])
def test_buffers_beside_the_pickle(make, size):
    queue = make(max_bytes=1 << 16)
    queue.put([Buffer(bytearray(b"a" * size)), Buffer(b"b" * size), "c"])
    first, second, rest = queue.get()
    assert bytes(first.data) == b"a" * size
    assert bytes(second.data) == b"b" * size
    assert rest == "c"
    memoryview(first.data)[0] = 0  # what could be written before can be written again
    assert memoryview(second.data).readonly


@pytest.mark.parametrize("item", [lambda: None, Bad(), open(__file__)])  # noqa: SIM115
def test_what_cannot_be_pickled_raises_in_the_caller(queue, item):
    queue.put("before")
    with pytest.raises((pickle.PicklingError, AttributeError, RuntimeError, TypeError)):
        queue.put(item)
    with pytest.raises((pickle.PicklingError, AttributeError, RuntimeError, TypeError)):
        queue.put_many(["ahead", item, "behind"])
    assert queue.qsize() == queue.unfinished() == 1
    assert queue.get() == "before"


def test_what_cannot_be_unpickled_raises_in_the_consumer(queue):
    queue.put(Sour())
    queue.put("behind")
    with pytest.raises(RuntimeError, match="not here"):
        queue.get()
    assert queue.get() == "behind"
    with pytest.raises(Empty):
        queue.get_nowait()


def test_one_that_cannot_be_unpickled_does_not_take_the_others_with_it(queue):
    queue.put_many([1, Sour(), 2])
    with pytest.raises(RuntimeError, match="not here") as caught:
        queue.get_many(3)
    assert caught.value.items == [1, 2]


def test_pickling_may_use_the_queue(queue):
    class Greedy:
        def __reduce__(self):
            queue.put("from within")
            return str, ("outer",)

    queue.put(Greedy())
    assert queue.get_many(2) == ["from within", "outer"]
