"""Queues that are found by name."""

import os

import pytest

from penstock.errors import ConfigError
from penstock.queues.file_locks import HELD, lock
from penstock.queues.places import private_folder
from process_queues import Child, children, program, until


def path_of(name):
    return f"{private_folder().path}/queue.{name}"


def test_the_first_makes_it_and_others_find_it(make, name):
    first, second = make(name=name), make(name=name)
    first.put(1)
    assert second.get() == 1
    second.task_done()
    assert first.join(0)
    assert first.name == second.name == name
    assert make().name is None


def test_from_an_unrelated_process(core, make, name):
    queue = make(7, name=name)
    queue.put("question")
    run = program(core, "found", name)
    assert run.stdout == "question 7 65536\n", run.stderr
    assert queue.get() == "answer"


def test_private(make, name):
    make(name=name)
    assert os.stat(path_of(name)).st_mode & 0o777 == 0o600
    assert os.stat(private_folder().path).st_mode & 0o777 == 0o700


def test_the_last_takes_the_name_with_it(make, name):
    first, second = make(name=name), make(name=name)
    first.put("old")
    first.close()
    assert os.path.exists(path_of(name))
    second.close()
    assert not os.path.exists(path_of(name))
    assert make(name=name).empty()


def test_a_forked_child_has_it_too(make, name):
    first, gate = make(name=name), make()
    with Child(lambda: (gate.get(), first.put("still there"), gate.get())) as child:
        first.close()
        assert os.path.exists(path_of(name))
        again = make(name=name)
        gate.put(1)
        assert again.get() == "still there"
        again.close()
        gate.put(1)
        child.code()
    gate.close()  # who closes any queue sweeps
    assert not os.path.exists(path_of(name))


def test_the_same_sizes_or_none(kind, name):
    with kind(5, name, max_bytes=10_000) as queue:
        for sizes in ({}, {"maxsize": 5}, {"max_bytes": 12_000}):
            with kind(name=name, **sizes) as other:
                assert (other.maxsize, other.max_bytes) == (5, 12_288)
        for sizes in ({"maxsize": 6}, {"max_bytes": 20_000}, {"maxsize": 5, "max_bytes": 4096}):
            with pytest.raises(ConfigError, match=f"{name}.*maxsize=5.*max_bytes=12288"):
                kind(name=name, **sizes)
        queue.put(1)
        assert queue.get() == 1


@pytest.mark.parametrize("bad", ["", "a/b", "..\0", "name with spaces", "n" * 101, "h\xe4", "~x"])
def test_names_that_cannot_be(kind, bad):
    with pytest.raises(ConfigError, match="name"):
        kind(name=bad)


@pytest.mark.parametrize("bad", [b"name", 5])
def test_a_name_is_text(kind, bad):
    with pytest.raises(TypeError, match="name"):
        kind(name=bad)


@pytest.mark.parametrize("good", ["..", "a", "A-b_c.d", "1" * 100])
def test_names_that_can_be(make, good):
    assert make(name=good).name == good


def test_many_at_once(make, kind, name):
    """All processes that name a queue at the same moment have the same one."""
    gate, results = make(), make()

    def come_and_go():
        gate.get()
        for _ in range(20):
            with kind(name=name, max_bytes=4096) as queue:
                queue.put(1)
                queue.get(timeout=10)
        results.put("fine")

    with children(4, come_and_go) as started:
        until(lambda: gate.statistics()["waiting_get"] == 4)
        gate.put_many(range(4))
        assert [child.code() for child in started] == [0] * 4
    assert results.qsize() == 4
    assert not os.path.exists(path_of(name))


def test_a_symbolic_link_is_refused(make, kind, name, tmp_path):
    make(name=name + "-folder")  # so that there is a folder
    os.symlink(tmp_path / "elsewhere", path_of(name))
    try:
        with pytest.raises(ConfigError, match="remove it"):
            kind(name=name)
        assert not (tmp_path / "elsewhere").exists()
    finally:
        os.unlink(path_of(name))


def test_a_folder_is_refused(make, kind, name):
    make(name=name + "-folder")
    os.mkdir(path_of(name))
    try:
        with pytest.raises(ConfigError, match=name):
            kind(name=name)
    finally:
        os.rmdir(path_of(name))


def test_a_file_that_others_may_read_is_refused(make, kind, name):
    queue = make(name=name)
    os.chmod(path_of(name), 0o644)
    with pytest.raises(ConfigError, match="mode 0644"):
        kind(name=name)
    os.chmod(path_of(name), 0o600)
    queue.put(1)
    with kind(name=name) as other:
        assert other.get() == 1


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_a_file_of_somebody_else_is_refused(make, kind, name):
    queue = make(name=name)
    os.chown(path_of(name), 12345, -1)
    try:
        with pytest.raises(ConfigError, match="12345"):
            kind(name=name)
    finally:
        os.chown(path_of(name), 0, -1)
    queue.put(1)


def test_damage_is_refused(make, kind, name):
    make(name=name)
    with open(path_of(name), "r+b") as file:
        file.seek(24)
        file.write(b"\xff" * 8)
    with pytest.raises(ConfigError, match=f"{name}.*damaged"):
        kind(name=name)


def test_another_version_is_refused(make, kind, name):
    make(name=name)
    with open(path_of(name), "r+b") as file:
        file.seek(8)
        file.write((99).to_bytes(4, "little"))
    with pytest.raises(ConfigError, match=f"{name}.*version 99 .*version 1 "):
        kind(name=name)


def test_what_is_no_queue_is_refused(make, kind, name):
    make(name=name)
    with open(path_of(name), "r+b") as file:
        file.write(b"something else")
    with pytest.raises(ConfigError, match=f"{name}.*does not begin"):
        kind(name=name)


def test_what_is_too_short_is_refused(make, kind, name):
    make(name=name + "-folder")
    with open(path_of(name), "xb") as file:
        os.chmod(file.fileno(), 0o600)
        lock(file.fileno(), HELD)  # somebody has it
        file.write(b"short")
        file.flush()
        with pytest.raises(ConfigError, match=f"{name}.*too short"):
            kind(name=name)
    os.unlink(path_of(name))
