"""Frames on a stream: whole again however they were cut."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.worker.protocol import (
    Exited,
    FrameReader,
    FromExecutor,
    FromZygote,
    Leaving,
    Nonsense,
    Spawned,
    frame,
    unpack_hand,
)


@given(cuts=st.lists(st.integers(1, 40), min_size=1), count=st.integers(0, 20))
def test_values_survive_any_cutting(cuts, count):
    values = [Spawned(n, n * 1000) if n % 2 else Exited(n, n, -9) for n in range(count)]
    stream = b"".join(frame(value) for value in values)
    reader, received, index = FrameReader(FromZygote), [], 0
    while stream:
        size = cuts[index % len(cuts)]
        received += reader.feed(stream[:size])
        stream, index = stream[size:], index + 1
    assert received == values


@pytest.mark.parametrize(
    "data", [b"\xff" * 40, b"\0\0\0\1\xff", frame(Leaving())[:-1] + b"x", frame(Spawned(1, 2))]
)
def test_what_is_no_frame_is_refused(data):
    with pytest.raises(Nonsense):
        FrameReader(FromExecutor).feed(data)


@pytest.mark.parametrize("text", [b"\xa1\xff", b"\x92\xa3Bad\xc1", b"\x91" * 3000])
def test_bytes_that_are_no_value_are_nonsense(text):
    """Text that is no UTF-8 once ended the supervisor."""
    with pytest.raises(Nonsense):
        FrameReader(FromExecutor).feed(len(text).to_bytes(4) + text)
    with pytest.raises(Nonsense):
        unpack_hand(text)
