"""Where the file is and whether it may be used: every refusal names the path and the remedy."""

import os
import stat
from pathlib import Path

import apsw
import pytest

from penstock.engines import sqlite_file
from penstock.engines.sqlite_file import Location, connect
from penstock.errors import ConfigError, PenstockError


def opened(path: Path) -> apsw.Connection:
    return connect(Location(str(path)), writes=True)


def refusal(path: Path) -> str:
    with pytest.raises(PenstockError) as caught:
        opened(path)
    assert str(path) in str(caught.value)
    return str(caught.value)


def test_three_slashes_are_relative_to_the_folder_of_now(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert Location.of("sqlite:///jobs.db").path == str(tmp_path.resolve() / "jobs.db")


def test_four_slashes_are_absolute():
    assert Location.of("sqlite:////srv/jobs.db").path == "/srv/jobs.db"


@pytest.mark.parametrize(("wish", "level"), [("full", "FULL"), ("process", "NORMAL")])
def test_durability_is_a_choice(wish, level):
    assert Location.of(f"sqlite:///x.db?durability={wish}").synchronous == level


@pytest.mark.parametrize(
    ("url", "named"),
    [
        ("sqlite:///x.db?durability=none", "durability=none"),
        ("sqlite:///x.db?timeout=3", "timeout"),
        ("sqlite://", "names no file"),
        ("sqlite://jobs.db", "names no file"),
    ],
)
def test_a_wrong_url_is_named(url, named):
    with pytest.raises(ConfigError, match=named):
        Location.of(url)


def test_only_its_owner_may_read_it_or_its_log(tmp_path):
    path = tmp_path / "jobs.db"
    old = os.umask(0)
    try:
        connection = opened(path)
    finally:
        os.umask(old)
    files = [path, Path(f"{path}-wal"), Path(f"{path}-shm")]
    assert [stat.S_IMODE(file.stat().st_mode) for file in files] == [0o600] * 3
    connection.close()


def test_a_folder_in_its_place(tmp_path):
    path = tmp_path / "jobs.db"
    path.mkdir()
    assert "folder" in refusal(path)


def test_no_folder_for_it(tmp_path):
    with pytest.raises(ConfigError, match="make it first"):
        opened(tmp_path / "none" / "jobs.db")


def test_a_file_that_is_no_database(tmp_path):
    path = tmp_path / "jobs.db"
    path.write_bytes(b"a text about something else\n" * 100)
    assert "not a SQLite database" in refusal(path)
    assert path.read_bytes().startswith(b"a text")


def test_the_database_of_another_program(tmp_path):
    path = tmp_path / "jobs.db"
    connection = apsw.Connection(str(path))
    connection.execute("CREATE TABLE customers (name TEXT)")
    connection.close()
    assert "another program" in refusal(path)


def test_a_newer_schema(tmp_path):
    path = tmp_path / "jobs.db"
    connection = opened(path)
    connection.pragma("user_version", 1000)
    connection.close()
    assert "newer penstock" in refusal(path)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everything")
def test_a_file_that_may_not_be_written(tmp_path):
    path = tmp_path / "jobs.db"
    opened(path).close()
    path.chmod(0o400)
    assert "owner and mode" in refusal(path)


def test_access_that_the_system_refuses(tmp_path, monkeypatch):
    path = tmp_path / "jobs.db"
    opened(path).close()
    monkeypatch.setattr(sqlite_file.os, "access", lambda *_: False)
    assert "owner and mode" in refusal(path)


def test_a_network_file_system(tmp_path, monkeypatch):
    monkeypatch.setattr(sqlite_file, "_file_system", lambda _: "nfs4")
    assert "network file system (nfs4)" in refusal(tmp_path / "jobs.db")


def test_the_file_system_of_a_folder_is_known():
    assert sqlite_file._file_system(Path("/proc/self")) == "proc"


def test_an_old_library(tmp_path, monkeypatch):
    monkeypatch.setattr(apsw, "sqlite_lib_version", lambda: "3.51.2")
    with pytest.raises(ConfigError, match="pip install --upgrade apsw"):
        opened(tmp_path / "jobs.db")


def test_two_who_open_a_new_file_at_once(tmp_path):
    """While one looks whose it is, the other makes it ours: it saw either nothing or all of it."""
    location = Location(str(tmp_path / "new.db"))
    first = apsw.Connection(location.path)
    first.pragma("journal_mode", "wal")
    others = []

    def meanwhile(_cursor, sql, _bindings):
        if "sqlite_schema" in sql and not others:
            others.append(connect(location, writes=True))
        return True

    first.exec_trace = meanwhile
    assert sqlite_file._version(first) == 0
    assert others
    assert sqlite_file._version(first) == sqlite_file._SCHEMA
    for connection in (first, *others):
        connection.close()
