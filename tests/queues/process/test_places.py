"""The private folder, its lock, and the files in it."""

import os
import threading

import pytest

from penstock.errors import ConfigError, QueueError
from penstock.queues import places
from penstock.queues.file_locks import HELD, SECTION, is_known_locked, lock, unlock
from penstock.queues.places import Folder, private_folder
from penstock.queues.segments import Segment, named, sweep, unnamed
from process_queues import Child, until
from thread_queues import Call


@pytest.fixture
def folder(tmp_path):
    return Folder(str(tmp_path / "place"))


def test_made_when_needed_and_gone_when_empty(folder):
    with folder.locked():
        assert os.stat(folder.path).st_mode & 0o777 == 0o700
    assert not os.path.exists(folder.path)
    with folder.locked_if_there() as place:
        assert place is None
    assert not os.path.exists(folder.path)


def test_kept_while_something_is_in_it(folder):
    with folder.locked() as place:
        os.close(os.open("file", os.O_CREAT, dir_fd=place))
    with folder.locked_if_there() as place:
        assert os.listdir(place) == ["file"]
        os.unlink("file", dir_fd=place)
    assert not os.path.exists(folder.path)


def test_one_at_a_time(folder):
    inside, most, gate = [], [], threading.Barrier(6)

    def enter():
        gate.wait()
        for _ in range(20):
            with folder.locked():
                inside.append(1)
                most.append(len(inside))
                inside.pop()

    for call in [Call(enter) for _ in range(6)]:
        call.result()
    assert max(most) == 1
    assert not os.path.exists(folder.path)


def test_a_holder_that_is_killed_holds_nobody_up(folder):
    ready, tell = os.pipe()

    def hold():
        with folder.locked():
            os.write(tell, b"x")
            threading.Event().wait()

    with Child(hold) as child:
        os.read(ready, 1)
        child.kill()
    with folder.locked():
        pass
    os.close(ready)
    os.close(tell)


def test_a_holder_that_was_stopped(folder, monkeypatch):
    monkeypatch.setattr(places, "_PATIENCE", 0.01)
    with folder.locked():
        with pytest.raises(QueueError, match="stopped"), Folder(folder.path).locked():
            pass
        with folder.locked_if_there() as place:  # the same thread, in a destructor perhaps
            assert place is None


def test_a_process_that_is_forked_meanwhile_does_not_keep_the_lock(folder):
    ready, tell = os.pipe()
    with folder.locked():
        child = Child(os.read, ready, 1)
    with folder.locked():
        pass
    os.write(tell, b"x")
    assert child.code() == 0
    os.close(ready)
    os.close(tell)


@pytest.mark.parametrize("mode", [0o755, 0o770, 0o701])
def test_open_to_others(folder, mode):
    os.mkdir(folder.path)
    os.chmod(folder.path, mode)
    with pytest.raises(ConfigError, match=f"place.*{mode:04o}"), folder.locked():
        pass


def test_a_link_or_a_file(folder, tmp_path):
    os.symlink(tmp_path, folder.path)
    with pytest.raises(ConfigError, match="remove"), folder.locked():
        pass
    os.unlink(folder.path)
    (tmp_path / "place").touch()
    with pytest.raises(ConfigError, match="remove"), folder.locked():
        pass


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_of_somebody_else(folder):
    os.mkdir(folder.path, 0o700)
    os.chown(folder.path, 12345, -1)
    with pytest.raises(ConfigError, match="belongs to user 12345, not to user 0"), folder.locked():
        pass


def test_a_place_where_nobody_can_make_one():
    with pytest.raises(QueueError, match="cannot be made"), Folder("/proc/nowhere").locked():
        pass


def test_it_is_the_users():
    assert private_folder().path == f"/dev/shm/penstock-{os.geteuid()}"


def test_a_folder_in_disorder_matters_only_to_those_who_need_it(kind, folder, monkeypatch):
    os.mkdir(folder.path)
    os.chmod(folder.path, 0o777)
    monkeypatch.setattr(places, "_folder_of", lambda uid: folder)
    with kind(max_bytes=4096) as queue:
        queue.put(1)
        assert queue.get() == 1
        with pytest.raises(ConfigError, match="0777"):
            kind(name="any")


# --- segments ------------------------------------------------------------------------------------


def test_making_and_finding_a_segment(folder):
    with named(folder, "n") as (segment, new):
        assert new
        os.write(segment.fd, b"content")
    with named(folder, "n") as (same, new):
        assert not new
        assert os.pread(same.fd, 7, 0) == b"content"
    assert segment.name == same.name == "n"
    os.close(segment.fd)
    sweep(folder)
    assert os.listdir(folder.path) == ["queue.n"]
    os.close(same.fd)
    sweep(folder)
    assert not os.path.exists(folder.path)


def test_finding_only(folder):
    with pytest.raises(ConfigError, match="'n'"), named(folder, "n", make=False):
        pass
    assert not os.path.exists(folder.path)


def test_one_that_cannot_be_filled_is_gone_again(folder):
    with pytest.raises(RuntimeError), named(folder, "n"):
        raise RuntimeError
    assert not os.path.exists(folder.path)


def test_a_forked_child_holds_it_too(folder):
    ready, tell = os.pipe()
    with named(folder, "n") as (segment, _):
        pass
    with Child(os.read, ready, 1) as child:
        os.close(segment.fd)
        sweep(folder)
        assert os.listdir(folder.path) == ["queue.n"]
        child.kill()
    sweep(folder)
    assert not os.path.exists(folder.path)
    os.close(ready)
    os.close(tell)


def test_memory_without_a_name(folder):
    with unnamed(folder) as segment:
        pass
    assert segment.name is None
    found = os.fstat(segment.fd)
    assert is_known_locked(found.st_dev, found.st_ino)
    assert Segment(os.dup(segment.fd)).key == segment.key
    os.close(segment.fd)
    assert not os.path.exists(folder.path)


def test_systems_without_memory_files(folder, monkeypatch):
    monkeypatch.setattr("sys.platform", "darwin-like")
    with unnamed(folder) as segment:
        [file] = os.listdir(folder.path)
    assert file.startswith("queue.~")
    assert segment.name is None
    os.close(segment.fd)
    sweep(folder)
    assert not os.path.exists(folder.path)


# --- locks ---------------------------------------------------------------------------------------


def test_locks_belong_to_the_open_file(tmp_path):
    path = tmp_path / "file"
    path.touch()
    first, second = (os.open(path, os.O_RDWR) for _ in range(2))
    assert lock(first, SECTION)
    assert lock(first, SECTION)
    assert not lock(second, SECTION)
    assert lock(second, HELD, shared=True)
    assert lock(first, HELD, shared=True)
    assert not lock(first, HELD)
    copy = os.dup(first)
    os.close(first)
    assert not lock(second, SECTION)
    unlock(copy, SECTION)
    assert lock(second, SECTION)
    os.close(copy)
    os.close(second)


def test_locks_of_the_dead(tmp_path):
    path = tmp_path / "file"
    path.touch()
    fd = os.open(path, os.O_RDWR)

    def take():
        own = os.open(path, os.O_RDWR)
        assert lock(own, SECTION)
        os.kill(os.getpid(), 9)

    assert Child(take).code() == -9
    until(lambda: lock(fd, SECTION))
    os.close(fd)
