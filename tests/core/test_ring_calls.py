"""The native ring's calls: blocking, counting, shutting down, waiting, giving way to signals."""

import os
import signal
import threading
from functools import partial

import pytest

from penstock.errors import Empty, Full, ShutDown


def in_thread(call, *arguments, **options):
    """Starts it; `join()` gives what it returned or raised."""
    ended = []

    def body():
        try:
            ended.append(call(*arguments, **options))
        except Exception as error:  # noqa: BLE001 - the test looks at it
            ended.append(error)

    thread = threading.Thread(target=body)
    thread.start()

    def join():
        thread.join(20)
        assert ended, "it still waits"
        return ended[0]

    return join


def test_order_and_exact_counts(make_ring):
    ring = make_ring(maxsize=5)
    assert ring.put_many(range(9), block=False) == 5
    assert (ring.qsize(), ring.unfinished()) == (5, 5)
    with pytest.raises(Full):
        ring.put(9, block=False)
    with pytest.raises(Full):
        ring.put(9, timeout=0.001)
    assert ring.get_many(3) == [0, 1, 2]
    assert (ring.qsize(), ring.unfinished()) == (2, 5)
    ring.task_done()
    ring.task_done(count=2)
    assert [ring.get(), ring.get(timeout=1)] == [3, 4]
    assert ring.unfinished() == 2
    for nothing in ({"block": False}, {"timeout": 0}, {"timeout": 0.001}):
        with pytest.raises(Empty):
            ring.get(**nothing)
        with pytest.raises(Empty):
            ring.get_many(2, **nothing)
    with pytest.raises(ValueError, match="too many times"):
        ring.task_done(3)


@pytest.mark.parametrize("timeout", [-1, -0.001, float("nan")])
def test_negative_timeouts_are_refused_where_they_would_be_waited_for(make_ring, timeout):
    ring = make_ring()
    for call in (ring.get, partial(ring.put, 1), ring.join, partial(ring.wait, "items")):
        with pytest.raises(ValueError, match="non-negative"):
            call(timeout=timeout)
    with pytest.raises(Empty):
        ring.get(False, timeout)


def test_a_get_waits_for_a_put_and_a_put_for_room(make_ring, until):
    ring = make_ring(maxsize=1)
    got = in_thread(ring.get)
    until(lambda: ring.statistics()["waiting_get"] == 1)
    ring.put("first")
    assert got() == "first"
    ring.put("second")
    put = in_thread(ring.put_many, ["third", "fourth"])
    until(lambda: ring.statistics()["waiting_put"] == 1)
    assert [ring.get(), ring.get(), ring.get()] == ["second", "third", "fourth"]
    assert put() == 2
    assert ring.statistics()["waiting_put"] == 0


def test_a_batch_waits_until_all_is_in_or_its_time_is_up(make_ring):
    ring = make_ring(maxsize=3)
    assert ring.put_many(range(5), timeout=0.01) == 3
    with pytest.raises(Full):
        ring.put_many([5], timeout=0.01)


def test_join_waits_until_all_is_done(make_ring):
    ring = make_ring()
    ring.put_many([1, 2])
    assert ring.join(timeout=0.001) is False
    joined = in_thread(ring.join)
    ring.get_many(2)
    ring.task_done(2)
    assert joined() is True


def test_shutdown_lets_the_queue_run_empty(make_ring, until):
    ring = make_ring()
    ring.put_many([1, 2])
    ring.shutdown()
    assert ring.is_shutdown
    with pytest.raises(ShutDown):
        ring.put(3)
    assert ring.get_many(5) == [1, 2]
    with pytest.raises(ShutDown):
        ring.get()
    with pytest.raises(ShutDown):
        ring.get_many(1, block=False)


def test_shutdown_at_once_drops_what_waits_and_wakes_everybody(make_ring, files, until):
    ring = make_ring(maxsize=3, max_bytes=4096)
    ring.put_many([1, b"z" * 5000])
    joined = in_thread(ring.join)
    ring.shutdown(immediate=True)
    assert joined() is True
    assert (ring.qsize(), ring.unfinished(), files.kept) == (0, 0, {})
    told = ring.statistics()
    assert (told["puts"], told["gets"], told["dropped"], told["lost"]) == (2, 0, 2, 0)


@pytest.mark.parametrize("immediate", [False, True])
def test_shutdown_ends_waits(make_ring, until, immediate):
    ring, full = make_ring(), make_ring(maxsize=1)
    full.put(1)
    gets = [in_thread(ring.get) for _ in range(3)]
    puts = [in_thread(full.put, 2) for _ in range(3)]
    until(lambda: ring.statistics()["waiting_get"] == full.statistics()["waiting_put"] == 3)
    ring.shutdown(immediate)
    full.shutdown(immediate)
    assert all(isinstance(end(), ShutDown) for end in gets + puts)


def test_wait_tells_and_takes_nothing(make_ring, until):
    ring = make_ring(maxsize=1)
    assert ring.wait("items", 0.001) is False
    assert ring.wait("space", 0) is True
    assert ring.wait("done") is True
    ready = in_thread(ring.wait, "items")
    until(lambda: ring.statistics()["waiting_get"] == 1)
    ring.put(1)
    assert ready() is True
    assert ring.qsize() == 1
    assert ring.wait("space", 0.001) is False
    with pytest.raises(ValueError, match="'items', 'space' or 'done'"):
        ring.wait("rain")


def test_interrupt_ends_waits_and_nothing_else(make_ring, until):
    ring = make_ring()
    ring.put(1)
    waits = [in_thread(ring.wait, "done"), in_thread(ring.wait, "done", 15)]
    ring.get()
    waits += [in_thread(ring.wait, "items"), in_thread(ring.wait, "items")]
    got = in_thread(ring.get)
    until(lambda: ring.statistics()["waiting_get"] == 3)
    ring.interrupt()
    assert [end() for end in waits[2:]] == [False, False]
    ring.put("still waited for")
    assert got() == "still waited for"
    ring.interrupt()
    assert {end() for end in waits[:2]} == {False}


def test_a_signal_ends_a_blocking_get(make_ring, until):
    ring = make_ring()

    def strike():
        until(lambda: ring.statistics()["waiting_get"] == 1)
        os.kill(os.getpid(), signal.SIGUSR1)

    def handle(number, frame):
        raise InterruptedError("struck")

    before = signal.signal(signal.SIGUSR1, handle)
    try:
        ended = in_thread(strike)
        with pytest.raises(InterruptedError, match="struck"):
            ring.get(timeout=20)
        assert ended() is None
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert ring.statistics()["waiting_get"] == 0


def test_closing_ends_this_objects_calls_only(make_ring, native, files, until):
    ring = make_ring()
    other = native.Ring(make_ring.fd(ring), maxsize=0, max_bytes=1 << 16, spill=files, create=False)
    got, kept = in_thread(ring.get), in_thread(other.get)
    until(lambda: other.statistics()["waiting_get"] == 2)
    ring.close()
    assert "closed" in str(got())
    other.put("for the other")
    assert kept() == "for the other"
    calls = [ring.get, ring.qsize, ring.unfinished, ring.statistics, ring.task_done, ring.join]
    calls += [lambda: ring.put(1), lambda: ring.put_many([]), lambda: ring.is_shutdown]
    calls += [ring.shutdown, ring.interrupt, ring.processes, lambda: ring.wait("items")]
    for call in calls:
        with pytest.raises(ValueError, match="closed"):
            call()
    ring.close()
    assert ring.closed
    other.close()
