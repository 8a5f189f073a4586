"""Commits: shared by those who ask together, each caller served alone."""

import asyncio
import os
import threading
from collections import Counter
from functools import partial

import pytest

from penstock.engines.sqlite import SqliteFile
from penstock.engines.sqlite_file import Location
from penstock.errors import Unavailable, Uncertain
from penstock.plan import Exchange

ADD = "INSERT INTO revoked (id, until_at) VALUES (?, 0)"


@pytest.fixture
def file(tmp_path):
    engine = SqliteFile(Location(str(tmp_path / "jobs.db")))
    yield engine
    engine.close()


def adding(name, **options):
    return Exchange("add", lambda c: c.execute(ADD, (name,)) and name, **options)


def names(file):
    look = Exchange("names", lambda c: list(c.execute("SELECT id FROM revoked")), writes=False)
    return {name for (name,) in file.execute(look)}


def commits(file):
    """Count the transactions of a file from now on."""
    counted = []
    file.execute(adding("first"))
    file._writer.set_commit_hook(lambda: bool(counted.append(1)))
    return counted


def gathered(file, count):
    """Wait until so many stand in line."""
    while len(file._line._pending) < count:
        pass


def at_once(file, exchanges):
    """Run exchanges from a thread each, all queued behind one transaction."""
    outcomes = [None] * len(exchanges)

    def run(place, exchange):
        try:
            outcomes[place] = file.execute(exchange)
        except Exception as error:  # noqa: BLE001 - what the caller gets
            outcomes[place] = error

    threads = [threading.Thread(target=run, args=pair) for pair in enumerate(exchanges)]
    with file._turn:
        for count, thread in enumerate(threads):
            thread.start()
            gathered(file, count)  # the first leads, and waits for the turn
    for thread in threads:
        thread.join()
    return outcomes


def test_callers_that_ask_together_share_a_commit(file):
    counted = commits(file)
    assert at_once(file, [adding(f"{n}") for n in range(9)]) == [f"{n}" for n in range(9)]
    assert len(counted) == 2, "one of the leader alone, one of all who waited"
    assert len(names(file)) == 10


def test_a_bad_one_hurts_only_itself(file):
    bad = Exchange("bad", lambda c: c.execute(ADD, ("half",)) and 1 / 0)
    outcomes = at_once(file, [adding("a"), adding("b"), bad, adding("c")])
    assert outcomes[:2] == ["a", "b"]
    assert isinstance(outcomes[2], ZeroDivisionError)
    assert outcomes[3] == "c"
    assert names(file) == {"a", "b", "c"}


def test_coroutines_share_a_commit(file):
    counted = commits(file)

    async def many():
        return await asyncio.gather(*(file.aexecute(adding(f"{n}")) for n in range(100)))

    assert asyncio.run(many()) == [f"{n}" for n in range(100)]
    assert len(counted) < 10


def test_a_cancelled_caller_leaves_the_line(file):
    async def cancelled():
        with file._turn:
            first = asyncio.create_task(file.aexecute(adding("first")))
            await asyncio.sleep(0)
            second = asyncio.create_task(file.aexecute(adding("second")))
            await asyncio.sleep(0)
            second.cancel()
            await asyncio.sleep(0)
        await first

    asyncio.run(cancelled())
    assert "first" in names(file)


def test_what_needs_no_fsync_gets_none(file):
    levels = []

    def look(connection):
        levels.append(connection.pragma("synchronous"))

    for durable in (True, False, False, True):
        file.execute(Exchange("look", look, durable=durable))
    assert levels == [2, 1, 1, 2]


def test_readers_do_not_wait_for_a_commit(file):
    file.execute(adding("a"))
    with file._turn:
        assert names(file) == {"a"}


def test_a_reader_sees_one_state(file):
    file.execute(adding("a"))

    def look(connection):
        before = connection.execute("SELECT count(*) FROM revoked").get
        file.execute(adding("b"))
        return before, connection.execute("SELECT count(*) FROM revoked").get

    assert file.execute(Exchange("look", look, writes=False)) == (1, 1)


def test_a_reader_cannot_write(file):
    file.execute(adding("a"))
    with pytest.raises(Exception, match=r"readonly|read-only"):
        file.execute(adding("b", writes=False))


def test_a_full_disk_stores_nothing_and_says_so(file):
    file.execute(adding("a"))
    pages = file._writer.pragma("page_count")
    file._writer.pragma("max_page_count", pages)
    with pytest.raises(Unavailable, match=r"jobs\.db: the disk is full.*free some space"):
        file.execute(Exchange("large", lambda c: c.execute(ADD, ("x" * 100_000,))))
    assert names(file) == {"a"}
    file._writer.pragma("max_page_count", pages + 1000)
    file.execute(adding("b"))
    assert names(file) == {"a", "b"}


def test_a_commit_that_the_disk_fails_is_uncertain(file, monkeypatch):
    import apsw

    from penstock.engines import sqlite_errors

    told = sqlite_errors.translated(apsw.IOError("fsync"), "/x/jobs.db", committing=True)
    assert isinstance(told, Uncertain)
    told = sqlite_errors.translated(apsw.IOError("read"), "/x/jobs.db")
    assert isinstance(told, Unavailable)


def test_a_lock_held_elsewhere_ends_in_unavailable(file, monkeypatch, tmp_path):
    from penstock.engines import sqlite_file

    monkeypatch.setattr(sqlite_file, "_PATIENCE", 0.01)
    file.execute(adding("a"))
    other = sqlite_file.connect(file.location, writes=True)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(Unavailable, match="locked"):
        file.execute(adding("b"))
    other.execute("ROLLBACK")
    other.close()
    file.execute(adding("b"))
    assert names(file) == {"a", "b"}


def followed(file, leading, followers):
    """Run one exchange, which is interrupted, and others that share its transaction.

    They gather behind another one; of those who gathered, the first leads: in thread "leader".
    """
    caught, outcomes = [], []

    def lead():
        try:
            file.execute(leading)
        except KeyboardInterrupt as error:
            caught.append(error)

    def follow(exchange):
        try:
            outcomes.append(file.execute(exchange))
        except Exception as error:  # noqa: BLE001 - what the caller gets
            outcomes.append(error)

    before = threading.Thread(target=file.execute, args=(adding("before"),))
    threads = [before, threading.Thread(target=lead, name="leader")]
    threads += [threading.Thread(target=follow, args=(exchange,)) for exchange in followers]
    with file._turn:
        for count, thread in enumerate(threads):
            thread.start()
            gathered(file, count)
    for thread in threads:
        thread.join()
    assert len(caught) == 1
    return sorted(outcomes)


def test_an_interrupted_leader_takes_nobody_along(file):
    """Ctrl-C in the transaction of many: it is rolled back, and the others are carried out."""
    interrupted = []

    def interrupt(connection):
        if not interrupted:
            interrupted.append(True)
            raise KeyboardInterrupt

    followers = [adding(f"{n}") for n in range(3)]
    assert followed(file, Exchange("interrupt", interrupt), followers) == ["0", "1", "2"]


class Interrupted:
    """A connection: Ctrl-C comes while the leader has it do that; Python sees it afterwards."""

    def __init__(self, connection, statement):
        self.connection = connection
        self.statement = statement

    def __getattr__(self, name):
        return getattr(self.connection, name)

    def execute(self, statement, *values):
        cursor = self.connection.execute(statement, *values)
        if statement == self.statement and threading.current_thread().name == "leader":
            raise KeyboardInterrupt
        return cursor


@pytest.mark.parametrize("statement", ["BEGIN IMMEDIATE", "COMMIT"])
@pytest.mark.parametrize("early", [False, True])
def test_nobody_is_carried_out_twice_where_the_leader_is_interrupted(file, statement, early):
    counts = Counter()

    def run(connection, name):
        counts[name] += 1
        return adding(name).run(connection)

    def counted(name):
        return Exchange("add", partial(run, name=name), seen_early=early, rings=("added",))

    file.execute(adding("first"))
    file._writer = Interrupted(file._writer, statement)
    listener = file.listen(("added",))
    assert followed(file, counted("mine"), [counted(f"{n}") for n in range(3)]) == ["0", "1", "2"]
    assert {counts[f"{n}"] for n in range(3)} == {1}
    assert ("mine" in names(file)) == (statement == "COMMIT")
    assert listener.wait(10.0)
    listener.close()


def interrupted(call):
    """Make a call that Ctrl-C ends."""
    leader = threading.Thread(target=pytest.raises, args=(KeyboardInterrupt, call), name="leader")
    leader.start()
    leader.join()


def test_a_reader_that_was_interrupted_sees_what_comes_after_it(file):
    file.execute(adding("first"))
    assert names(file) == {"first"}
    file._reader = Interrupted(file._reader, "BEGIN")
    interrupted(lambda: names(file))
    file.execute(adding("second"))
    assert names(file) == {"first", "second"}


def test_a_durable_commit_is_synced_whenever_the_one_before_was_interrupted(file):
    file.execute(adding("first"))
    file._writer = Interrupted(file._writer, "PRAGMA synchronous = NORMAL")
    interrupted(lambda: file.execute(adding("second")))
    assert file.execute(Exchange("ask", lambda c: c.pragma("synchronous"))) == 2  # FULL


def test_what_is_interrupted_before_its_sync_is_told_only_after_one(file, monkeypatch):
    syncs = []
    sync = os.fdatasync

    def interrupt(descriptor):
        sync(descriptor)
        syncs.append(threading.current_thread().name)
        if syncs[-1] == "leader":
            raise KeyboardInterrupt

    once = "INSERT OR IGNORE INTO revoked (id, until_at) VALUES (?, 0)"
    publishing = [
        Exchange("publish", lambda c, n=n: c.execute(once, (n,)) and n, seen_early=True)
        for n in ("mine", "0", "1")
    ]
    file.execute(adding("first"))
    monkeypatch.setattr(os, "fdatasync", interrupt)
    assert followed(file, publishing[0], publishing[1:]) == ["0", "1"]
    assert syncs[0] == "leader"
    assert len(syncs) == 2
    assert names(file) == {"first", "before", "mine", "0", "1"}


def test_two_users_of_one_file_share_an_engine(tmp_path):
    one = SqliteFile.at(f"sqlite:///{tmp_path}/jobs.db")
    two = SqliteFile.at(f"sqlite:///{tmp_path}/../{tmp_path.name}/jobs.db")
    assert one is two
    one.execute(adding("a"))
    one.close()
    assert two.is_open
    two.close()
    assert not two.is_open
    assert names(two) == {"a"}, "using it again opens it again"
    two.close()
