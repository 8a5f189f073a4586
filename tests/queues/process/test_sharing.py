"""How a queue comes to another process."""

import copy
import multiprocessing
import os
import pickle

import pytest

from process_queues import program


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_as_an_argument_of_a_process(core, method):
    run = program(core, "start_method", method)
    assert run.stdout.split() == [str(sum(range(1, 101))), "[0,", "0]"], run.stderr
    assert run.stderr == ""


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_through_a_connection_and_a_queue(core, method):
    run = program(core, "sent", method)
    assert run.stdout == "through a connection through a queue\n", run.stderr
    assert run.stderr == ""


def test_as_an_argument_of_a_pool(core):
    run = program(core, "in_a_pool", "spawn")
    assert run.stdout == "from the pool\n", run.stderr


def test_not_just_anywhere(queue):
    with pytest.raises(RuntimeError, match="name"):
        pickle.dumps(queue)
    with pytest.raises(RuntimeError):
        copy.copy(queue)


def test_anywhere_with_a_name(make, name):
    queue = make(3, name=name)
    pickled = pickle.dumps(queue)
    with pickle.loads(pickled) as other:
        other.put(1)
        assert queue.get() == 1
        assert (other.name, other.maxsize) == (name, 3)
    queue.close()
    with pytest.raises(ValueError, match=name):
        pickle.loads(pickled)


def test_through_a_connection_to_ourselves(queue):
    one, other = multiprocessing.Pipe()
    one.send(queue)
    same = other.recv()
    with same:
        queue.put(1)
        assert same.get() == 1
        assert same.statistics()["processes"] == 1
        same.put(2)
    assert queue.get() == 2
    queue.task_done(2)
    one.close()
    other.close()


def test_from_the_other_core(core, make):
    other = {"native": "python", "python": "native"}[core]
    if other == "native":
        pytest.importorskip("penstock.queues._core._ring")
    queue = make(name=f"mixed-{os.getpid()}")
    run = program(other, "found", queue.name)
    assert run.returncode == 1
    assert "ConfigError" in run.stderr
    assert f"runs the {core} core" in run.stderr
    assert "PENSTOCK_CORE" in run.stderr


def test_ctrl_c_while_it_waits(core):
    assert program(core, "interrupted").stdout == "goes on\n"


def test_a_consumer_in_another_process_ends_with_the_queue(core):
    assert program(core, "ended_by_shutdown").stdout == "['a', 'b', 'c'] shut down\n"
