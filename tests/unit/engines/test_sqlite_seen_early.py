"""What may be seen early: others hear of it before it is on disk, its caller only after."""

import os

import pytest

from penstock.engines import sqlite
from penstock.engines.sqlite import SqliteFile
from penstock.engines.sqlite_file import Location
from penstock.errors import Uncertain
from penstock.plan import Exchange, Wait

ADD = "INSERT OR IGNORE INTO revoked (id, until_at) VALUES (?, 0)"


def file(folder, synchronous="FULL"):
    return SqliteFile(Location(str(folder / "jobs.db"), synchronous))


def adding(name, **options):
    return Exchange("add", lambda c: c.execute(ADD, (name,)), rings=("work",), **options)


def seen(folder):
    """What another user of the file sees."""
    other = file(folder)
    look = Exchange("names", lambda c: list(c.execute("SELECT id FROM revoked")), writes=False)
    try:
        return {name for (name,) in other.execute(look)}
    finally:
        other.close()


@pytest.fixture
def syncs(monkeypatch):
    """What our own syncs came upon: fill in ``at_sync`` to look around at each."""
    found = {"count": 0, "at_sync": lambda: None}
    real = os.fdatasync

    def fdatasync(fd):
        found["count"] += 1
        found["at_sync"]()
        real(fd)

    monkeypatch.setattr(sqlite.os, "fdatasync", fdatasync)
    return found


def test_others_see_it_and_hear_its_bell_while_its_caller_waits_for_the_disk(tmp_path, syncs):
    engine = file(tmp_path)
    bell = engine.listen(("work",))
    around = []
    syncs["at_sync"] = lambda: around.append((bell.wait(0), seen(tmp_path)))
    engine.execute(adding("a", seen_early=True))
    assert around == [(True, {"a"})]
    bell.close()
    engine.close()


def test_a_disk_that_does_not_confirm_is_told(tmp_path, syncs):
    engine = file(tmp_path)

    def fail():
        raise OSError(5, "Input/output error")

    syncs["at_sync"] = fail
    with pytest.raises(Uncertain, match="disk did not confirm"):
        engine.execute(adding("a", seen_early=True))
    assert seen(tmp_path) == {"a"}, "it may have been done, and was"
    syncs["at_sync"] = lambda: None
    engine.execute(adding("b", seen_early=True))
    assert seen(tmp_path) == {"a", "b"}
    engine.close()


def test_what_is_there_already_is_synced_all_the_same(tmp_path, syncs):
    engine = file(tmp_path)
    engine.execute(adding("a", seen_early=True))
    engine.execute(adding("a", seen_early=True))
    assert syncs["count"] == 2, "whoever stored it first may not have synced it yet"
    engine.close()


def test_other_exchanges_are_synced_within_their_commit(tmp_path, syncs):
    engine = file(tmp_path)

    def how(*, durable):
        return engine.execute(Exchange("ask", lambda c: c.pragma("synchronous"), durable=durable))

    assert [how(durable=wish) for wish in (True, False, False, True, True)] == [2, 1, 1, 2, 2]
    assert syncs["count"] == 0
    engine.close()


def test_who_has_published_is_keen_on_the_answer(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1})
    engine = file(tmp_path)
    yields = []
    monkeypatch.setattr(os, "sched_yield", lambda: yields.append(True))
    bell = engine.listen(("done",))
    engine.execute(adding("a"))
    assert not engine.execute(Wait(bell, 0.01))
    assert not yields, "only what is published is answered"
    engine._keen._seconds = 1_000.0  # however slow this machine is
    engine.execute(adding("b", seen_early=True))
    assert not engine.execute(Wait(bell, 0.01))
    assert yields
    bell.close()
    engine.close()


def test_a_file_whose_commits_outlive_processes_only_is_not_synced(tmp_path, syncs):
    engine = file(tmp_path, "NORMAL")
    engine.execute(adding("a", seen_early=True))
    assert syncs["count"] == 0
    engine.close()


def test_the_log_is_opened_once_and_closed_with_the_file(tmp_path, syncs):
    engine = file(tmp_path)
    engine.execute(adding("a", seen_early=True))
    log = engine._log
    engine.execute(adding("b", seen_early=True))
    assert engine._log == log
    engine.close()
    assert engine._log is None
    with pytest.raises(OSError, match="Bad file"):
        os.fstat(log)
