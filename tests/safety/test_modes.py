"""What penstock makes on disk is this user's alone, whatever the umask, and no link is followed."""

import os
import stat
from pathlib import Path

import pytest

from penstock import ConfigError, PenstockError, ProcessQueue, open_queue
from penstock.demo.journal import JOURNAL, noted
from penstock.engines.bell import Bells
from penstock.queues.places import private_folder
from penstock.worker.probe import VARIABLE
from workers import wait_for

OTHERS = 0o077


@pytest.fixture(autouse=True)
def no_umask():
    """As careless as it can be; the children have it, too."""
    before = os.umask(0)
    yield
    os.umask(before)


def open_to_others(*places):
    """Files and folders below these, and they themselves, that others might open."""
    found = [one for place in places for one in (place, *place.rglob("*"))]
    modes = {one: one.stat(follow_symlinks=False).st_mode for one in found}
    return {str(one): oct(mode) for one, mode in modes.items() if stat.S_IMODE(mode) & OTHERS}


def test_all_that_a_worker_makes(bench, tmp_path, monkeypatch):
    runtime = tmp_path / "made" / "by" / "the worker"
    monkeypatch.setenv(VARIABLE, str(runtime))
    module = bench.tasks()
    worker = bench.worker("-c", "1")
    assert module.add.delay(1, 2).get(timeout=20) == 3
    made = [one for one in tmp_path.iterdir() if one.name.startswith("penstock.db")]
    names = {one.name for one in made}
    assert {"penstock.db", "penstock.db-wal", "penstock.db-shm"} < names
    assert len(names) > 3  # the bells
    sockets = wait_for(lambda: list(runtime.glob("*.sock")))
    assert stat.S_ISSOCK(sockets[0].stat().st_mode)
    assert not open_to_others(*made, tmp_path / "made")
    worker.stop()


def test_all_that_a_queue_in_shared_memory_makes():
    queue = ProcessQueue(name=f"modes-{os.getpid()}", max_bytes=8192)
    queue.put(bytes(100_000))  # a file of its own
    place = Path(private_folder().path)
    ours = [one for one in place.iterdir() if f"modes-{os.getpid()}" in one.name]
    assert {one.name.partition(".")[0] for one in ours} == {"queue", "spill"}
    assert not open_to_others(*ours)
    assert stat.S_IMODE(place.stat().st_mode) == 0o700
    assert len(queue.get()) == 100_000
    queue.close()


@pytest.fixture
def victim(tmp_path):
    """What an attacker would have us change; not there yet, so that making it shows too."""
    folder = tmp_path / "victim"
    folder.mkdir(mode=0o700)
    return folder / "precious"


@pytest.mark.parametrize("beside", ["jobs.db-wal", "jobs.db-journal", "jobs.db-shm"])
def test_a_link_beside_the_file_is_not_followed(tmp_path, victim, beside):
    (tmp_path / beside).symlink_to(victim)
    try:
        with open_queue(f"sqlite:///{tmp_path}/jobs.db", "q") as queue:
            queue.put(1)
    except PenstockError as error:
        assert "jobs.db" in str(error)  # noqa: PT017 - SQLite may do without that file
    assert not victim.exists()


def bells_of(tmp_path):
    return Bells(tmp_path / "bells", version=lambda: 0)


def test_a_link_in_the_place_of_the_bells_is_refused(tmp_path, victim):
    (tmp_path / "bells").symlink_to(victim.parent)
    with pytest.raises(ConfigError, match="bells must be a folder"):
        bells_of(tmp_path).ring(["precious"])
    assert not victim.exists()


def test_a_link_in_the_place_of_a_bell_is_refused(tmp_path, victim):
    victim.touch()
    (tmp_path / "bells").mkdir(mode=0o700)
    (tmp_path / "bells" / "work").symlink_to(victim)
    with pytest.raises(ConfigError, match="work is no bell"):
        bells_of(tmp_path).ring(["work"])
    assert victim.read_bytes() == b""


def test_a_pipe_in_the_place_of_a_bell_is_refused(tmp_path):
    (tmp_path / "bells").mkdir(mode=0o700)
    os.mkfifo(tmp_path / "bells" / "work")
    with pytest.raises(ConfigError, match="no ordinary file"):
        bells_of(tmp_path).ring(["work"])


@pytest.mark.skipif(not os.geteuid(), reason="root may ring anybody's bells")
def test_bells_that_others_may_change_are_refused(tmp_path):
    (tmp_path / "bells").mkdir(mode=0o777)
    with pytest.raises(ConfigError, match="open to others"):
        bells_of(tmp_path).ring(["work"])


def test_the_journal_of_the_demo(tmp_path, victim, monkeypatch):
    monkeypatch.chdir(tmp_path)
    journal = tmp_path / JOURNAL
    with noted("pay", 1, task="t", parent=None, attempt=1):
        assert not open_to_others(journal)
    journal.unlink()
    journal.symlink_to(victim)
    with (
        pytest.raises(OSError, match="symbolic links"),
        noted("pay", 1, task="t", parent=None, attempt=1),
    ):
        pass
    assert not victim.exists()
