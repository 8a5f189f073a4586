"""Native rings between processes: attaching, forking, dying, and being refused."""

import os
import resource
import signal
import sys

import pytest

from penstock.errors import QueueError


@pytest.fixture
def child():
    """`child(body)` runs it in a forked process, which then waits to be killed."""
    started = []

    def start(body):
        pid = os.fork()
        if not pid:
            try:
                body()
                signal.pause()
            except BaseException as error:  # noqa: BLE001 - nothing may come back to the tests
                print(repr(error), file=sys.stderr)
            finally:
                os._exit(1)
        started.append(pid)
        return pid

    yield start
    for pid in started:
        kill(pid)


def kill(pid):
    try:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    except (ProcessLookupError, ChildProcessError):
        pass  # it was before


def test_a_child_has_a_place_of_its_own_and_its_death_frees_it(make_ring, child, until):
    ring = make_ring()
    pid = child(lambda: ring.put(os.getpid()))
    assert ring.get() == pid
    until(lambda: {each for each, _ in ring.processes()} == {os.getpid(), pid})
    kill(pid)
    assert [each for each, _ in ring.processes()] == [os.getpid()]


def test_what_a_dead_consumer_held_is_done_and_lost(make_ring, child, until):
    ring = make_ring()
    ring.put_many(range(10))

    def take():
        ring.get_many(4)
        ring.task_done()

    pid = child(take)
    until(lambda: ring.statistics()["done"] == 1)
    assert ring.unfinished() == 9
    kill(pid)
    assert ring.unfinished() == 6
    assert ring.statistics()["lost"] == 3
    assert ring.get_many(10) == [4, 5, 6, 7, 8, 9]
    ring.task_done(6)
    assert ring.join(5)


def test_who_never_reports_is_done_with_an_item_when_it_asks_for_the_next(make_ring, child, until):
    ring = make_ring()
    ring.put_many(range(10))

    def take():
        while ring.qsize():
            ring.get()

    pid = child(take)
    until(lambda: ring.qsize() == 0)
    kill(pid)
    assert ring.unfinished() == 0
    assert ring.statistics()["lost"] == 1


def test_a_joiner_notices_the_death_by_itself(make_ring, child, until):
    ring = make_ring()
    ring.put(1)
    pid = child(ring.get)
    until(lambda: ring.qsize() == 0)
    waiting = child(lambda: (ring.join(), ring.put("joined")))
    until(lambda: len(ring.processes()) == 3)
    kill(pid)
    assert ring.get(timeout=10) == "joined"
    kill(waiting)


def test_a_child_that_closes_does_not_close_its_parents(make_ring, child, until):
    ring = make_ring()
    told = make_ring()

    def body():
        ring.close()
        told.put(ring.closed)

    child(body)
    assert told.get(timeout=10) is True
    ring.put(1)
    assert ring.get() == 1


def test_leftover_once_nobody_alive_has_it(make_ring, native, child, until):
    ring = make_ring()
    fd = make_ring.fd(ring)
    assert native.leftover(fd) is False
    pid = child(lambda: ring.put(1))
    ring.get()
    ring.close()
    assert native.leftover(fd) is False
    kill(pid)
    assert native.leftover(fd) is True


def test_attaching_again_in_one_process_is_one_attachment(make_ring, native, files):
    ring = make_ring(maxsize=3)
    fd = make_ring.fd(ring)
    again = native.Ring(fd, maxsize=3, max_bytes=1 << 16, spill=files, create=False)
    assert again.id == ring.id
    ring.put("one")
    assert again.get() == "one"
    assert len(ring.processes()) == 1
    ring.close()
    again.task_done()
    assert again.statistics()["lost"] == 0
    again.close()


@pytest.mark.parametrize("sizes", [{"maxsize": 4}, {"max_bytes": 1 << 17}])
def test_other_sizes_are_refused(make_ring, native, sizes):
    ring = make_ring(maxsize=3)
    wanted = {"maxsize": 3, "max_bytes": 1 << 16, **sizes}
    with pytest.raises(ValueError, match="maxsize=3 and max_bytes=65536, not"):
        native.Ring(make_ring.fd(ring), **wanted, spill=None, create=False)


FOREIGN = [
    (0, b"something", "does not begin as"),
    (8, (99).to_bytes(4, sys.byteorder), "it has version 99"),
    (12, b"\1\2\3\4" if sys.byteorder == "little" else b"\4\3\2\1", "another machine"),
    (16, (2).to_bytes(4, sys.byteorder), "another machine"),
    (32, b"\xff", "header is damaged"),
]


@pytest.mark.parametrize(("at", "wrong", "why"), FOREIGN)
def test_foreign_damaged_and_other_versions_are_refused(make_ring, native, at, wrong, why):
    fd = make_ring.fd(make_ring())
    os.pwrite(fd, wrong, at)
    with pytest.raises(ValueError, match=why):
        native.Ring(fd, maxsize=0, max_bytes=1 << 16, spill=None, create=False)
    with pytest.raises(ValueError, match=why):
        native.leftover(fd)


def test_cut_short_or_empty_files_are_refused(make_ring, native, tmp_path):
    fd = make_ring.fd(make_ring())
    with (tmp_path / "short").open("w+b") as copy:
        with pytest.raises(ValueError, match="too short"):
            native.leftover(copy.fileno())
        copy.write(os.pread(fd, 20_000, 0))
        copy.flush()
        with pytest.raises(ValueError, match="should have 81920 bytes and has 20000"):
            native.leftover(copy.fileno())


def test_a_file_that_holds_something_is_not_made_a_ring(make_ring, native):
    with pytest.raises(FileExistsError):
        native.Ring(make_ring.fd(make_ring()), maxsize=0, max_bytes=4096, spill=None, create=True)


def test_a_disk_without_room_is_an_error_of_the_system(native, child, make_ring, tmp_path):
    told = make_ring()

    def body():
        resource.setrlimit(resource.RLIMIT_FSIZE, (8192, 8192))
        with (tmp_path / "ring").open("w+b") as file:
            try:
                native.Ring(file.fileno(), maxsize=0, max_bytes=1 << 16, spill=None, create=True)
            except OSError as error:
                told.put(error.errno)

    child(body)
    assert told.get(timeout=10) > 0


def test_more_processes_than_slots_is_a_clear_error(make_ring, child, until):
    ring, told = make_ring(), make_ring()
    live = [child(ring.qsize) for _ in range(127)]
    until(lambda: len(ring.processes()) == 128)

    def late():
        try:
            ring.qsize()
        except QueueError as error:
            told.put(str(error))

    child(late)
    assert "128 processes" in told.get(timeout=10)
    kill(live[0])
    child(lambda: ring.put("a dead one's slot is free again"))
    assert ring.get(timeout=10).startswith("a dead one's")
