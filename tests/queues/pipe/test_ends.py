"""The two ends: what each may do, and what becomes of the one when the other is closed."""

import pytest

import pipe_calls
from penstock.errors import ConfigError, PeerDied


def test_both_ends_of_a_duplex_pipe_send_and_receive(pair):
    left, right = pair
    left.send("there")
    right.send("back")
    assert (right.recv(), left.recv()) == ("there", "back")
    assert [(end.readable, end.writable, end.closed) for end in pair] == [(True, True, False)] * 2


def test_without_duplex_the_first_receives_and_the_second_sends(one_way):
    reader, writer = one_way
    writer.send(1)
    assert reader.recv() == 1
    assert (reader.readable, reader.writable) == (True, False)
    assert (writer.readable, writer.writable) == (False, True)
    for call in (reader.send, reader.send_bytes, reader.send_many):
        with pytest.raises(OSError, match="connection is read-only"):
            call(b"")
    for call in (writer.recv, writer.recv_bytes, writer.poll, writer.recv_many):
        with pytest.raises(OSError, match="connection is write-only"):
            call()
    with pytest.raises(OSError, match="connection is write-only"):
        writer.recv_bytes_into(bytearray(1))


def test_a_closed_end_refuses_everything(pair):
    left, _ = pair
    left.close()
    left.close()
    assert left.closed
    calls = [
        *(left.recv, left.recv_bytes, left.poll, left.fileno, left.recv_many),
        *(lambda: left.send(1), lambda: left.send_bytes(b""), lambda: left.send_many([1])),
        lambda: left.recv_bytes_into(bytearray(1)),
    ]
    for call in calls:
        with pytest.raises(OSError, match="handle is closed"):
            call()


def test_a_with_block_closes(pair):
    left, right = pair
    with left as entered:
        assert entered is left
    assert left.closed
    with pytest.raises(PeerDied):
        right.recv()


def test_an_end_that_is_forgotten_is_closed(module):
    left, right = module.Pipe()
    del left
    with right, pytest.raises(EOFError):
        right.recv()


def test_what_was_sent_before_the_close_is_received_first(pair):
    left, right = pair
    left.send(1)
    left.send_bytes(b"x" * 5000)
    left.close()
    assert right.recv() == 1
    assert right.recv_bytes() == b"x" * 5000
    for call in (right.recv, right.recv_bytes, right.recv_many):
        with pytest.raises(PeerDied, match="closed") as raised:
            call()
        assert isinstance(raised.value, EOFError)
    with pytest.raises(PeerDied):
        right.recv_bytes_into(bytearray(1))


def test_nobody_is_left_to_send_to(pair, one_way):
    left, right = pair
    right.close()
    for call in (left.send, left.send_bytes):
        for size in (1, 5000, 500_000, 1):
            with pytest.raises(BrokenPipeError):
                call(b"x" * size)
    with pytest.raises(BrokenPipeError):
        left.send_many([1, 2])
    reader, writer = one_way
    writer.send("unread")
    reader.close()
    with pytest.raises(BrokenPipeError):
        writer.send(1)


def test_the_answer_of_one_who_left_can_be_received(pair):
    left, right = pair
    right.send("answer")
    right.close()
    with pytest.raises(BrokenPipeError):
        left.send("question")
    assert left.recv() == "answer"


def test_an_end_says_what_it_is(pair, one_way):
    left, right = pair
    left.send(1)
    right.recv()
    assert "readable writable" in repr(left)
    assert "1 sent" in repr(left)
    assert "1 received" in repr(right)
    assert "writable" not in repr(one_way[0])
    left.close()
    assert repr(left) == "<Connection closed>"


def test_statistics_count(pair, core):
    left, right = pair
    left.send_many(range(5))
    left.send_bytes(b"")
    right.recv_many(2)
    facts = left.statistics()
    assert (facts["core"], facts["sent"], facts["received"]) == (core, 6, 0)
    assert right.statistics()["received"] == 2
    left.close()
    assert left.statistics()["sent"] == 6


@pytest.mark.parametrize("max_bytes", [0, -1, 1.5, "1", None, (1 << 30) + 1])
def test_a_bad_max_bytes_is_refused(module, max_bytes):
    with pytest.raises(ConfigError, match="max_bytes"):
        module.Pipe(max_bytes=max_bytes)


@pytest.mark.parametrize("max_bytes", [1, 4096, 5000, 1 << 20])
def test_any_size_of_ring_does(make_pipe, max_bytes):
    left, right = make_pipe(max_bytes=max_bytes)
    left.send(b"x" * 1000)
    assert right.recv() == b"x" * 1000


def test_too_few_descriptors_leave_none_behind(module):
    import resource

    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    taken = len(pipe_calls.descriptors())
    try:
        for more in range(8):
            resource.setrlimit(resource.RLIMIT_NOFILE, (taken + more, limits[1]))
            try:
                ends = module.Pipe()
            except OSError:
                continue
            for end in ends:
                end.close()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)


def test_ends_cannot_be_copied_by_their_class(module):
    with pytest.raises((TypeError, ValueError)):
        module.Connection()
    with pytest.raises((TypeError, ValueError)):
        module.Connection((-1, -1, -1, 0))
