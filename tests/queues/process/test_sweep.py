"""What killed processes left is removed by the next who makes or closes a queue."""

import os
import signal
import tempfile

import pytest

from penstock.queues import places
from penstock.queues.places import private_folder
from process_queues import program, started_program, until

LARGE = 5_000_000


@pytest.fixture(autouse=True)
def folder_of_its_own(monkeypatch):
    """Whoever makes a queue sweeps: also another test that runs at the same time."""
    with tempfile.TemporaryDirectory(dir=places._SHARED_MEMORY) as folder:
        monkeypatch.setattr(places, "_SHARED_MEMORY", folder)
        monkeypatch.setenv("TEST_SHARED_MEMORY", folder)  # for process_programs.py
        places._folder_of.cache_clear()
        yield
        places._folder_of.cache_clear()


def left(key):
    """Files that belong to a queue."""
    try:
        names = os.listdir(private_folder().path)
    except FileNotFoundError:
        return []
    return [name for name in names if name == key or name.endswith("." + key)]


def killed(core, name, size=LARGE):
    """The key of a queue whose process was killed."""
    with started_program(core, "killed_with", name, size) as process:
        key = process.stdout.readline().strip()
        process.kill()
    assert process.returncode == -signal.SIGKILL
    return key


def test_a_named_queue_whose_maker_was_killed(core, make, name):
    key = killed(core, name)
    assert len(left(key)) == 2  # the queue, and a large item
    make()  # any queue
    assert left(key) == []


def test_a_closing_process_sweeps_too(core, make, name):
    queue = make()
    key = killed(core, name)
    queue.close()
    assert left(key) == []


def test_a_queue_without_name_leaves_at_most_large_items(core, make):
    assert left(killed(core, "", 100)) == []
    key = killed(core, "")
    assert len(left(key)) == 1
    make()
    assert left(key) == []


def test_a_user_who_was_killed_takes_nothing_with_it(core, make, name):
    queue = make(name=name, max_bytes=4 << 20)
    key = killed(core, name)
    make()
    assert len(left(key)) == 2
    assert len(queue.get()) == LARGE
    queue.put("still there")
    assert queue.get() == "still there"
    assert queue.statistics()["processes"] == 1


def test_a_maker_who_was_killed_while_others_use_it(core, make, kind, name):
    with started_program(core, "killed_with", name, 10) as process:
        process.stdout.readline()
        queue = kind(name=name)
        process.kill()
    make()
    with kind(name=name) as other:
        assert other.get() == bytes(10)
    queue.close()
    assert left(f"queue.{name}") == []


def test_the_same_name_after_a_death_is_a_new_queue(core, make, name):
    killed(core, name)
    queue = make(3, name=name)
    assert queue.empty()
    assert queue.maxsize == 3


def test_foreign_files_are_left_alone(make, name):
    queue = make(name=name)
    path = f"{private_folder().path}/README-{name}"
    with open(path, "w") as file:
        file.write("not ours")
    try:
        make().close()
        assert os.path.exists(path)
    finally:
        os.unlink(path)
    queue.close()


@pytest.mark.parametrize("how", ["left_to_the_interpreter", "last_word", "in_main_only"])
def test_whoever_ends_by_itself_leaves_nothing(core, name, how):
    run = program(core, how, name)
    assert (run.returncode, run.stderr) == (0, "")
    assert left(f"queue.{name}") == []


def test_what_put_returned_for_outlives_its_process(core, make, name):
    queue = make(name=name, max_bytes=4 << 20)
    assert program(core, "last_word", name).returncode == 0
    assert queue.get_many(5000) == list(range(1000))


def test_a_child_of_multiprocessing_takes_the_name_with_it(core, name):
    assert program(core, "in_main_only", name).stdout == "False 0\n"


def test_at_exit_nothing_is_lost(core, make, name):
    """A process that ends by itself was done with what it had got."""
    queue = make(name=name, max_bytes=4 << 20)
    queue.put("question")
    program(core, "found", name)
    assert queue.get() == "answer"
    facts = until(queue.statistics)
    assert (facts["processes"], facts["lost"]) == (1, 0)
