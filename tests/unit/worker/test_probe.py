"""The health probe's socket: private, answering, and what a dead worker's leaves."""

import os
import socket

import pytest

from penstock.errors import ConfigError
from penstock.worker.probe import Health, Probe, ask_all, folder

HEALTH = Health(
    name="w@h",
    pid=1,
    app="tasks",
    pool="prefork",
    queues=("celery",),
    alive=True,
    broker=True,
    consuming=True,
    stopping=False,
    executors=2,
    running=1,
    waiting=0,
    claimed=7,
    silent=0.1,
    up=5.0,
)


@pytest.fixture
def place(tmp_path):
    return tmp_path / "run"


@pytest.fixture
def probe(place):
    probe = Probe(lambda: HEALTH, place=place)
    probe.open()
    yield probe
    probe.close()


def test_it_answers_whoever_asks_and_is_gone_when_closed(probe, place):
    assert ask_all(place) == [HEALTH]
    assert ask_all(place) == [HEALTH]
    probe.close()
    assert ask_all(place) == []
    assert list(place.iterdir()) == []


def test_nobody_else_may_ask(probe, place):
    (path,) = place.iterdir()
    assert place.stat().st_mode & 0o777 == 0o700
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_folder_that_is_open_to_others_is_refused_by_both_sides(place):
    place.mkdir()
    place.chmod(0o755)
    with pytest.raises(ConfigError, match="open to others"):
        Probe(lambda: HEALTH, place=place).open()
    with pytest.raises(ConfigError, match="open to others"):
        ask_all(place)


def test_a_link_in_its_place_is_refused(place, tmp_path):
    (tmp_path / "other").mkdir(mode=0o700)
    place.symlink_to(tmp_path / "other")
    with pytest.raises(ConfigError, match="must be a folder"):
        ask_all(place)


def test_what_a_killed_worker_left_is_swept(place):
    place.mkdir(mode=0o700)
    left = place / "123-abc.sock"
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(left))
        sock.listen()
    assert ask_all(place) == []
    assert not left.exists()


def test_a_worker_that_does_not_answer_is_not_alive(place, monkeypatch):
    monkeypatch.setattr("penstock.worker.probe._PATIENCE", 0.05)
    place.mkdir(mode=0o700)
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(place / "123-abc.sock"))
        sock.listen()
        (health,) = ask_all(place)
    assert health.pid == 123
    assert not health.alive
    assert not health.consuming


def test_a_path_that_is_too_long_for_an_address(tmp_path):
    place = tmp_path / ("d" * 120)
    probe = Probe(lambda: HEALTH, place=place)
    probe.open()
    assert ask_all(place) == [HEALTH]
    probe.close()


def test_where_it_is(monkeypatch, tmp_path):
    monkeypatch.setenv("PENSTOCK_RUNTIME_DIR", str(tmp_path / "mine"))
    assert folder() == tmp_path / "mine"
    monkeypatch.delenv("PENSTOCK_RUNTIME_DIR")
    monkeypatch.setenv("XDG_RUNTIME_DIR", "/run/user/1")
    assert str(folder()) == f"/run/user/1/penstock-workers-{os.geteuid()}"
