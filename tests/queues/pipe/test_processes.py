"""Ends in other processes: how they get there, and what is seen when they are killed."""

import multiprocessing
import multiprocessing.connection
import os
import signal
import time

import pytest

import pipe_calls
import pipe_children
from penstock.errors import PeerDied

AT_ONCE = 1.0  # seconds; the futex gives up after 0.05


def start(method, target, *args):
    process = multiprocessing.get_context(method).Process(target=target, args=args, daemon=True)
    process.start()
    return process


def end_of(process):
    process.join(20)
    assert process.exitcode == 0
    process.close()


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
@pytest.mark.parametrize("duplex", [True, False])
def test_ends_are_arguments_of_processes(make_pipe, helpers, method, duplex):
    if duplex:
        mine, theirs = make_pipe()
        child = start(method, pipe_children.echo, theirs)
        theirs.close()
        sends = receives = mine
    else:
        (their_reader, sends), (receives, their_writer) = make_pipe(False), make_pipe(False)
        child = start(method, pipe_children.echo_one_way, their_reader, their_writer)
        their_reader.close()
        their_writer.close()
    for item in (1, "two", b"x" * 600_000, {"four": 4}):
        sends.send(item)
        assert receives.recv() == item
    sends.send(None)
    end_of(child)
    with pytest.raises(PeerDied):
        receives.recv()
    with pytest.raises(BrokenPipeError):
        sends.send(1)


@pytest.mark.parametrize("carrier", ["ours", "theirs"])
def test_ends_are_sent_through_connections(make_pipe, helpers, carrier):
    here, there = make_pipe() if carrier == "ours" else multiprocessing.Pipe()
    mine, theirs = make_pipe()
    child = start("fork", pipe_children.pass_on, there)
    there.close()
    here.send(theirs)
    mine.send("hello")
    assert mine.recv() == "hello"
    theirs.close()
    mine.send(None)
    end_of(child)
    here.close()
    with pytest.raises(PeerDied):
        mine.recv()


def test_an_end_keeps_its_messages_on_its_way(make_pipe, helpers):
    carrier = make_pipe()
    mine, theirs = make_pipe()
    mine.send("before")
    carrier[0].send(theirs)
    theirs.close()
    mine.send("meanwhile")
    with carrier[1].recv() as arrived:
        assert (arrived.recv(), arrived.recv()) == ("before", "meanwhile")
        arrived.send("back")
        assert mine.recv() == "back"
        assert (arrived.readable, arrived.writable) == (True, True)


def test_the_other_core_is_refused(make_pipe, module, helpers):
    mine, theirs = make_pipe()
    rebuild, (kind, _, passed, shape) = theirs.__reduce__()
    before = len(pipe_calls.descriptors())
    with pytest.raises(ValueError, match="PENSTOCK_CORE"):
        rebuild(kind, "another core", passed, shape)
    pipe_calls.until(lambda: len(pipe_calls.descriptors()) <= before)
    mine.send(1)
    assert theirs.recv() == 1


def test_a_child_that_closes_the_parents_end_disturbs_nobody(pair):
    left, right = pair

    def child():
        left.close()
        right.close()

    assert pipe_calls.joined(pipe_calls.fork(child)) == 0
    left.send(1)
    assert right.recv() == 1
    assert not right.poll()
    right.send(2)
    assert left.recv() == 2


def test_processes_may_take_turns_at_one_end(pair):
    left, right = pair
    left.send_many(["for the child", "for the parent"])

    def child():
        assert right.recv() == "for the child"
        right.send("from the child")

    assert pipe_calls.joined(pipe_calls.fork(child)) == 0
    assert right.recv() == "for the parent"
    right.send("from the parent")
    assert left.recv_many(2) == ["from the child", "from the parent"]


def test_processes_may_share_one_end(pair, core):
    if core == "python":
        pytest.skip("the twin mixes data up, as multiprocessing does")
    left, right = pair
    count, processes = 2000, 4

    def send(name):
        for i in range(count):
            left.send((name, i, "x" * (i % 700)))

    children = [pipe_calls.fork(send, name) for name in range(processes)]
    received = [right.recv() for _ in range(count * processes)]
    assert [pipe_calls.joined(child) for child in children] == [0] * processes
    for name in range(processes):
        assert [i for who, i, _ in received if who == name] == list(range(count))
    assert all(data == "x" * (i % 700) for _, i, data in received)


@pytest.fixture
def child_with(pair):
    """`child_with(function)`: a forked child at the other end; `.pid`, and our end."""
    left, right = pair
    children = []

    def begin(function):
        def run():
            left.close()
            function(right)

        children.append(pipe_calls.fork(run))
        right.close()
        return left, children[-1]

    yield begin
    for child in children:
        os.kill(child, signal.SIGKILL)
        pipe_calls.joined(child)


def killed(pid):
    os.kill(pid, signal.SIGKILL)
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    return time.monotonic()


@pytest.mark.parametrize("doing", [pipe_children.sleep_with, pipe_children.wait_for_ever])
def test_the_other_end_was_killed(child_with, doing):
    end, child = child_with(doing)
    assert end.recv() == "ready"
    when = killed(child)
    with pytest.raises(BrokenPipeError):  # the first ones may find that it was alive a moment ago
        all(end.send(1) is None for _ in range(10_000))
    with pytest.raises(PeerDied):
        end.recv()
    assert time.monotonic() - when < AT_ONCE


@pytest.mark.parametrize("after", [0.0, 0.1], ids=["soon", "when it sleeps at the socket"])
@pytest.mark.parametrize("how", ["recv", "recv_bytes", "recv_many", "poll"])
def test_the_other_end_is_killed_while_we_wait(child_with, how, after):
    end, child = child_with(pipe_children.sleep_with)
    assert end.recv() == "ready"
    call = pipe_calls.Call(getattr(end, how), *[None] * (how == "poll"))
    pipe_calls.until(lambda: pipe_calls.asleep(call.native_id))
    if after:
        facts = end.statistics()
        pipe_calls.until(lambda: facts["core"] == "python" or end.statistics()["slept_at_socket"])
    when = killed(child)
    if how == "poll":
        assert call.result() is True
    else:
        with pytest.raises(PeerDied):
            call.result()
    assert time.monotonic() - when < AT_ONCE


def test_the_receiver_is_killed_while_we_wait_for_room(child_with):
    end, child = child_with(pipe_children.sleep_with)
    assert end.recv() == "ready"
    call = pipe_calls.Call(end.send_bytes, b"x" * 5_000_000)
    pipe_calls.until(lambda: pipe_calls.asleep(call.native_id))
    when = killed(child)
    with pytest.raises(BrokenPipeError):
        call.result()
    assert time.monotonic() - when < AT_ONCE


def test_the_sender_is_killed_in_the_middle_of_a_message(child_with):
    end, child = child_with(pipe_children.beginning_of_a_message)
    assert end.recv() == "whole"
    os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT)
    with pytest.raises(PeerDied):
        end.recv()


def test_a_sender_is_killed_at_any_moment(module):
    """What arrives is whole, whatever it was doing."""
    for i in range(15):
        left, right = module.Pipe()

        def run(left=left, right=right):
            right.close()
            pipe_children.large_messages(left)

        child = pipe_calls.fork(run)
        left.close()
        for _ in range(i):
            assert len(right.recv_bytes()) == 1_000_000
        os.kill(child, signal.SIGKILL)
        with right, pytest.raises(PeerDied):
            assert all(data == b"x" * 1_000_000 for data in iter(right.recv_bytes, None))
        pipe_calls.joined(child)


def test_who_takes_over_from_a_dead_sender(pair, core):
    """This process holds the same end: the pipe goes on."""
    if core == "python":
        pytest.skip("the twin's stream is broken when one of several senders dies in a message")
    left, right = pair

    def run():
        pipe_children.beginning_of_a_message(left)

    assert pipe_calls.joined(pipe_calls.fork(run)) == -signal.SIGKILL
    call = pipe_calls.Call(right.recv_many, 2)
    left.send("next")
    received = call.result()
    received += right.recv_many(1) if len(received) == 1 else []
    assert received == ["whole", "next"]


def test_wait_sees_a_killed_process(child_with):
    end, child = child_with(pipe_children.sleep_with)
    assert end.recv() == "ready"
    call = pipe_calls.Call(multiprocessing.connection.wait, [end])
    pipe_calls.until(lambda: pipe_calls.asleep(call.native_id))
    when = killed(child)
    assert call.result() == [end]
    assert time.monotonic() - when < AT_ONCE


def test_a_stopped_process_is_waited_for(child_with):
    end, child = child_with(lambda end: pipe_children.count_to(end, 100_000))
    assert end.recv_many(10)
    os.kill(child, signal.SIGSTOP)
    os.waitid(os.P_PID, child, os.WSTOPPED | os.WNOWAIT)
    while end.poll(0.01):
        end.recv()
    os.kill(child, signal.SIGCONT)
    while end.recv() != 99_999:
        pass
