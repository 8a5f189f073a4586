"""send_bytes, recv_bytes and recv_bytes_into, as the standard library documents them."""

import array
import contextlib
import multiprocessing
import pickle

import pytest

import pipe_calls


def passing(end, data):
    """Send it from a thread: it may be more than the pipe holds."""
    return pipe_calls.Call(end.send_bytes, data)


def test_bytes_arrive_as_they_are(pair):
    left, right = pair
    for data in (b"", b"x", bytes(range(256)), b"y" * 100_000):
        sending = passing(left, data)
        assert right.recv_bytes() == data
        sending.result()


@pytest.mark.parametrize("make", [bytearray, memoryview, lambda data: array.array("B", data)])
def test_any_buffer_is_sent(pair, make):
    left, right = pair
    left.send_bytes(make(b"hello"))
    received = right.recv_bytes()
    assert received == b"hello"
    assert type(received) is bytes


def test_offset_and_size_count_bytes(pair):
    left, right = pair
    left.send_bytes(b"abcdefghi", 3)
    left.send_bytes(b"abcdefghi", 3, 2)
    left.send_bytes(b"abcdefghi", offset=9)
    left.send_bytes(b"abcdefghi", 0, size=0)
    left.send_bytes(array.array("i", [1, 2, 3]), 4, 4)
    assert [right.recv_bytes() for _ in range(4)] == [b"defghi", b"de", b"", b""]
    assert right.recv_bytes() == array.array("i", [2]).tobytes()


@pytest.mark.parametrize(
    ("offset", "size", "text"),
    [
        (-1, None, "offset is negative"),
        (10, None, "buffer length < offset"),
        (0, -1, "size is negative"),
        (4, 6, r"buffer length < offset \+ size"),
    ],
)
def test_bad_offsets_and_sizes(pair, offset, size, text):
    left, right = pair
    with pytest.raises(ValueError, match=text):
        left.send_bytes(b"abcdefghi", offset, size)
    assert not right.poll()


def test_what_is_no_buffer_is_refused(pair):
    left, right = pair
    with pytest.raises(TypeError):
        left.send_bytes("text")
    with pytest.raises((TypeError, BufferError)):
        left.send_bytes(memoryview(b"abcdef")[::2])
    with pytest.raises(TypeError):
        left.send_bytes()
    with pytest.raises(TypeError):
        left.send_bytes(b"", 0, None, 1)
    with pytest.raises(TypeError):
        left.send_bytes(b"", no_such_argument=1)
    assert not right.poll()


@pytest.mark.parametrize("size", [10, 5000, 500_000])
def test_maxlength_is_not_exceeded(pair, size):
    left, right = pair
    sending = passing(left, b"x" * size)
    assert len(right.recv_bytes(size)) == size
    sending.result()
    sending = passing(left, b"x" * (size + 1))
    with pytest.raises(OSError, match="bad message length"):
        right.recv_bytes(size)
    right.close()
    with contextlib.suppress(BrokenPipeError):  # a small one was sent before
        sending.result()


def test_a_message_that_is_too_long_ends_the_reading(pair, one_way):
    left, right = pair
    left.send_bytes(b"xx")
    with pytest.raises(OSError, match="bad message length"):
        right.recv_bytes(maxlength=1)
    assert (right.readable, right.writable, right.closed) == (False, True, False)
    with pytest.raises(OSError, match="write-only"):
        right.recv_bytes()
    right.send("still")
    assert left.recv() == "still"
    reader, writer = one_way
    writer.send_bytes(b"xx")
    with pytest.raises(OSError, match="bad message length"):
        reader.recv_bytes(1)
    assert reader.closed


def test_a_negative_maxlength_is_refused(pair):
    left, right = pair
    left.send_bytes(b"x")
    with pytest.raises(ValueError, match="negative maxlength"):
        right.recv_bytes(-1)
    assert right.recv_bytes(None) == b"x"


@pytest.mark.parametrize("size", [9, 3000, 400_000])
def test_into_a_buffer(pair, size):
    left, right = pair
    data = bytes(i % 251 for i in range(size))
    buffer = bytearray(size + 10)
    sending = passing(left, data)
    assert right.recv_bytes_into(buffer) == size
    assert buffer == data + bytes(10)
    sending.result()
    sending = passing(left, data)
    assert right.recv_bytes_into(buffer, 10) == size
    assert buffer[10:] == data
    sending.result()


def test_into_a_buffer_of_wider_items(pair):
    left, right = pair
    buffer = array.array("i", [0] * 4)
    left.send_bytes(array.array("i", [7, 8]))
    assert right.recv_bytes_into(buffer, 2 * buffer.itemsize) == 2 * buffer.itemsize
    assert buffer.tolist() == [0, 0, 7, 8]


@pytest.mark.parametrize("size", [5, 5000, 500_000])
def test_a_buffer_too_short_gives_the_message_in_the_error(pair, size):
    left, right = pair
    sending = passing(left, b"x" * size)
    with pytest.raises(multiprocessing.BufferTooShort) as raised:
        right.recv_bytes_into(bytearray(size - 1))
    assert raised.value.args == (b"x" * size,)
    sending.result()
    left.send_bytes(b"next")
    assert right.recv_bytes() == b"next"


def test_bad_offsets_into_a_buffer(pair):
    left, right = pair
    left.send_bytes(b"x")
    with pytest.raises(ValueError, match="negative offset"):
        right.recv_bytes_into(bytearray(3), -1)
    with pytest.raises(ValueError, match="offset too large"):
        right.recv_bytes_into(bytearray(3), 4)
    with pytest.raises((TypeError, BufferError)):
        right.recv_bytes_into(b"constant")
    assert right.recv_bytes_into(bytearray(3), 2) == 1


@pytest.mark.parametrize("item", [1, None, "text", b"bytes", [1, {"a": 2}], 1.5, "x" * 100_000])
def test_items_and_bytes_are_pickles_of_each_other(pair, item):
    left, right = pair
    left.send(item)
    assert pickle.loads(right.recv_bytes()) == item
    left.send(item)
    buffer = bytearray(200_000)
    assert pickle.loads(buffer[: right.recv_bytes_into(buffer)]) == item
    left.send_bytes(pickle.dumps(item))
    assert right.recv() == item


def test_buffers_out_of_band_are_in_the_pickle(pair):
    left, right = pair
    left.send(pickle.PickleBuffer(b"x" * 100_000))
    assert pickle.loads(right.recv_bytes()) == b"x" * 100_000


def test_bytes_that_are_no_pickle(pair):
    left, right = pair
    left.send_bytes(b"\x80no pickle")
    left.send(1)
    with pytest.raises((pickle.UnpicklingError, ValueError, EOFError)):
        right.recv()
    assert right.recv() == 1
