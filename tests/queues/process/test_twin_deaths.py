"""The Python twin: killed at any store into the shared memory, an operation was made or was not."""

import os
import signal
from contextlib import contextmanager

import pytest

from penstock.queues._core.twin_ring import Ring
from process_queues import Child


class Deadly:
    """A view of memory in which nobody survives a certain store."""

    def __init__(self, view, fuse):
        self.view, self.fuse = view, fuse

    def __len__(self):
        return len(self.view)

    def __getitem__(self, place):
        return self.view[place]

    def __setitem__(self, place, value):
        self.fuse.burn()
        self.view[place] = value


class Fuse:
    def __init__(self, stores):
        self.stores = stores

    def burn(self):
        self.stores -= 1
        if self.stores < 0:
            os.kill(os.getpid(), signal.SIGKILL)


@contextmanager
def ring():
    fd = os.memfd_create("ring")
    made = Ring(fd, maxsize=0, max_bytes=8192, spill=None, create=True)
    os.close(fd)
    with made:
        yield made


def die(made, stores, operation):
    """What the child does that dies at this store."""
    made.qsize()  # claims a slot
    memory, fuse = made._hold.memory, Fuse(stores)
    memory._journal = Deadly(memory._journal, fuse)
    memory._data = Deadly(memory._data, fuse)
    memory.words = made._hold.state._words = Deadly(memory.words, fuse)
    operation(made)
    os._exit(0)


def deaths(operation, prepare):
    """A ring after each possible death within the operation."""
    for stores in range(1000):
        with ring() as made:
            prepare(made)
            code = Child(die, made, stores, operation).code()
            yield made
            made.put("after")
            assert "after" in made.get_many(10)
            if code == 0:
                assert stores > 5
                return


def test_putting():
    outcomes = set()
    for made in deaths(lambda r: r.put_many(["a", "b"]), lambda r: r.put("before")):
        items = made.get_many(10)
        assert items in (["before"], ["before", "a", "b"])
        assert made.statistics()["puts"] == len(items)
        made.task_done(len(items))
        assert made.join(0)
        outcomes.add(len(items))
    assert outcomes == {1, 3}


def test_taking():
    outcomes = set()
    for made in deaths(lambda r: r.get(), lambda r: r.put_many(["a", "b"])):
        facts = made.statistics()  # buries the dead
        left = made.get_many(10)
        assert left in (["a", "b"], ["b"])
        assert (facts["gets"], facts["unfinished"]) == (2 - len(left), len(left))
        assert facts["lost"] == facts["gets"]
        outcomes.add(len(left))
    assert outcomes == {1, 2}


def take_and_report(made):
    made.get()
    made.task_done()


def test_reporting():
    outcomes = set()
    for made in deaths(take_and_report, lambda r: r.put("a")):
        facts = made.statistics()
        assert facts["done"] + facts["lost"] == facts["gets"] == 1 - facts["size"]
        assert facts["unfinished"] == facts["size"]
        outcomes.add((facts["done"], facts["lost"], facts["size"]))
    assert outcomes == {(0, 0, 1), (0, 1, 0), (1, 0, 0)}


@pytest.mark.parametrize("immediate", [False, True])
def test_shutting_down(immediate):
    outcomes = set()
    for stores in range(1000):
        with ring() as made:
            made.put("a")
            code = Child(die, made, stores, lambda r: r.shutdown(immediate)).code()
            outcomes.add((made.is_shutdown, made.qsize()))
            if code == 0:
                break
    expected = {(False, 1), (True, 1)} | ({(True, 0)} if immediate else set())
    assert outcomes == expected


def test_burying():
    """Who buries the dead may die of it."""
    for stores in range(1000):
        with ring() as made:
            made.put_many(["a", "b"])
            assert Child(lambda: (made.get(), os.kill(os.getpid(), signal.SIGKILL))).code() < 0
            code = Child(die, made, stores, lambda r: r.statistics()).code()
            facts = made.statistics()
            assert (facts["lost"], facts["unfinished"], facts["size"]) == (1, 1, 1)
            assert len(made.processes()) == 1
            if code == 0:
                break
