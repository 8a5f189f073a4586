"""Who holds leases: the dead are found at once, the living keep their names."""

import os
import signal
import subprocess
import sys

import pytest
from msgspec.structs import replace

from penstock.brokers.sqlite_holders import Holder
from penstock.clock import SYSTEM_CLOCK
from penstock.errors import NameTaken
from penstock.plan import Exchange

WORKER = """
import sys
from penstock.brokers.registry import open_broker
broker = open_broker(sys.argv[1])
broker.enrol(sys.argv[2], {"pool": "solo"})
print(len(broker.lease(["q"], 1, 3600.0)), flush=True)
sys.stdin.read()
"""


@pytest.fixture
def worker(url):
    """Start a process that enrols, leases one message for an hour, and waits."""
    started = []

    def start(name="w1"):
        process = subprocess.Popen(
            [sys.executable, "-c", WORKER, url, name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        assert process.stdout.readline() in {"1\n", "0\n"}
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


@pytest.fixture
def broker(make):
    return make(SYSTEM_CLOCK)


def kill(process):
    process.send_signal(signal.SIGKILL)
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)  # dead, and not yet reaped


def holders(broker):
    return broker.engine.execute(Exchange("holders", Holder.all, writes=False))


def test_tending_frees_what_the_dead_held(broker, message, worker):
    broker.publish([message()])
    process = worker()
    assert broker.lease(["q"], 1, 10.0) == []
    kill(process)
    broker.tend()
    (lease,) = broker.lease(["q"], 1, 10.0)
    assert (lease.attempt, lease.deaths) == (2, 1)
    assert process.pid not in {holder.process.pid for holder in holders(broker)}


def test_a_new_broker_frees_them_with_its_first_lease(broker, make, message, worker):
    broker.publish([message()])
    kill(worker())
    assert len(make(SYSTEM_CLOCK).lease(["q"], 1, 10.0)) == 1


def test_tending_spares_the_living(broker, message, worker):
    broker.publish([message()])
    worker()
    broker.tend()
    assert broker.lease(["q"], 1, 10.0) == []


def test_neighbours_are_the_living_others(broker, worker):
    one, two = worker("w1"), worker("w2")
    broker.lease(["q"], 1, 10.0)
    assert broker.neighbours() == sorted([one.pid, two.pid])
    kill(two)
    assert broker.neighbours() == [one.pid]


def test_the_name_of_a_living_worker_is_taken(broker, worker):
    process = worker("w1")
    with pytest.raises(NameTaken, match=f"w1.*process {process.pid}"):
        broker.enrol("w1", {})
    broker.enrol("w2", {})
    assert sorted(entry.name for entry in broker.workers()) == ["w1", "w2"]


def test_the_name_of_a_dead_one_is_free_at_once(broker, message, worker):
    broker.publish([message()])
    kill(worker("w1"))
    broker.enrol("w1", {"pool": "prefork"})
    (entry,) = broker.workers()
    assert (entry.pid, entry.alive, entry.info) == (os.getpid(), True, {"pool": "prefork"})
    assert broker.lease(["q"], 1, 10.0)[0].deaths == 1


def test_enrolling_again_changes_the_info(broker):
    broker.enrol("w1", {"step": 1})
    broker.enrol("w1", {"step": 2})
    assert [entry.info for entry in broker.workers()] == [{"step": 2}]


def test_closing_frees_leases_and_name_without_a_death(make, message):
    one, two = make(), make()
    one.publish([message()])
    one.enrol("w1", {})
    one.lease(["q"], 1, 3600.0)
    one.close()
    assert two.workers() == []
    (lease,) = two.lease(["q"], 1, 10.0)
    assert (lease.attempt, lease.deaths) == (2, 0)


def test_a_restart_of_the_machine_voids_all_leases(make, message, clock):
    one = make()
    one.publish([message()])
    one.lease(["q"], 1, 3600.0)
    clock.reboot()
    (lease,) = make().lease(["q"], 1, 10.0)
    assert lease.deaths == 1


def test_a_jump_of_the_wall_clock_ends_no_lease(make, message, clock):
    one, two = make(), make()
    one.publish([message()])
    one.lease(["q"], 1, 60.0)
    clock.jump(86_400.0)
    two.tend()
    assert two.lease(["q"], 1, 10.0) == []


def test_one_out_of_sight_counts_as_alive_for_a_lease(make, clock):
    one, two = make(), make()
    one._me.process = replace(one._me.process, space=one._me.process.space + 1)
    one.enrol("w1", {})
    clock.advance(14.0)
    with pytest.raises(NameTaken):
        two.enrol("w1", {})
    one.tend()
    clock.advance(14.0)
    with pytest.raises(NameTaken):
        two.enrol("w1", {})
    clock.advance(2.0)
    two.enrol("w1", {})


def test_a_forked_child_is_another_holder(broker, message):
    broker.publish([message("a"), message("b")])
    (mine,) = broker.lease(["q"], 1, 3600.0)
    pid = os.fork()
    if not pid:
        leases = broker.lease(["q"], 1, 3600.0)
        os._exit(0 if [lease.message.id for lease in leases] == ["b"] else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    broker.tend()
    (lease,) = broker.lease(["q"], 5, 10.0)
    assert (lease.message.id, lease.deaths) == ("b", 1), "the child's, not ours"
    assert broker.extend([mine], 10.0)
