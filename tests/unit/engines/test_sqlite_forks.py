"""Forks: parent and child go on, each with connections, locks and listeners of its own."""

import contextlib
import itertools
import multiprocessing
import os
import threading
from pathlib import Path

import pytest

from penstock.engines.sqlite import SqliteFile
from penstock.engines.sqlite_file import Location
from penstock.plan import Exchange, Listen, Wait

pytestmark = [
    pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here"),
    # Python 3.12 warns of any fork beside threads: that is what is tried here.
    pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning"),
]


@pytest.fixture
def file(tmp_path):
    engine = SqliteFile(Location(str(tmp_path / "jobs.db")))
    yield engine
    engine.close()


def add(file, name, **options):
    sql = "INSERT INTO revoked (id, until_at) VALUES (?, 0)"
    file.execute(Exchange("add", lambda c: c.execute(sql, (name,)), **options))


def names(file):
    look = Exchange("names", lambda c: list(c.execute("SELECT id FROM revoked")), writes=False)
    return {name for (name,) in file.execute(look)}


def forked(work):
    """Run ``work`` in a forked child; gives its exit code."""
    pid = os.fork()
    if not pid:
        code = 1
        with contextlib.suppress(BaseException):
            work()
            code = 0
        os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def test_forks_while_threads_commit_and_read(file):
    stop = threading.Event()
    written = [[] for _ in range(4)]

    def load(place):
        while not stop.is_set():
            name = f"{place}-{len(written[place])}"
            add(file, name)
            written[place].append(name)
            names(file)

    threads = [threading.Thread(target=load, args=(place,)) for place in range(4)]
    for thread in threads:
        thread.start()
    codes = [forked(lambda n=n: add(file, f"child-{n}")) for n in range(20)]
    stop.set()
    for thread in threads:
        thread.join()
    assert codes == [0] * 20
    assert names(file) == {*itertools.chain(*written), *(f"child-{n}" for n in range(20))}
    assert file.execute(Exchange("check", lambda c: c.pragma("integrity_check"))) == "ok"


def ours():
    """The descriptors of this process that belong to an engine."""
    found = []
    for fd in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):  # the one that lists the folder is closed again
            found.append(str(fd.readlink()))
    return [target for target in found if "jobs.db" in target or "inotify" in target]


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="descriptors cannot be listed here")
def test_no_descriptor_of_the_file_crosses(file):
    others = len(ours())  # listeners that other tests of this process have left
    add(file, "a")
    file.execute(Listen(("work",))).close()

    def look():
        assert len(ours()) == others

    assert len(ours()) > others
    assert forked(look) == 0


def test_a_listener_of_the_parent_keeps_its_rings(file):
    with contextlib.closing(file.execute(Listen(("work",)))) as listener:
        assert forked(lambda: add(file, "a", rings=("work",))) == 0
        assert file.execute(Wait(listener, 5))


def test_a_process_of_multiprocessing(file):
    add(file, "a")
    child = multiprocessing.get_context("fork").Process(target=add, args=(file, "b"))
    child.start()
    child.join()
    assert child.exitcode == 0
    assert names(file) == {"a", "b"}


def test_a_child_of_a_child(file):
    add(file, "a")

    def again():
        add(file, "b")
        assert forked(lambda: add(file, "c")) == 0

    assert forked(again) == 0
    assert names(file) == {"a", "b", "c"}
