"""Whether a process is surely dead."""

import os
import subprocess
import sys

from msgspec.structs import replace

from penstock.clock import SYSTEM_CLOCK, ManualClock
from penstock.engines import processes
from penstock.engines.processes import Fate, Process, hold_as

HERE = Process.this(SYSTEM_CLOCK)


def test_this_one_lives():
    assert HERE.pid == os.getpid()
    assert HERE.fate(Process.this(SYSTEM_CLOCK)) is Fate.ALIVE


def test_a_child_lives_then_is_a_zombie_then_gone():
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    named = replace(HERE, pid=child.pid, started=processes._started(child.pid))
    assert HERE.fate(named) is Fate.ALIVE
    child.kill()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert HERE.fate(named) is Fate.DEAD, "a zombie works on nothing"
    child.communicate()
    assert HERE.fate(named) is Fate.DEAD


def test_a_pid_that_came_back_is_another_process():
    assert HERE.fate(replace(HERE, started=HERE.started - 1)) is Fate.DEAD
    assert HERE.fate(replace(HERE, pid=os.getppid(), started=1)) is Fate.DEAD


def test_after_a_restart_all_are_dead():
    clock = ManualClock()
    before = Process.this(clock)
    clock.reboot()
    assert Process.this(clock).fate(before) is Fate.DEAD


def test_in_another_pid_namespace_nothing_is_sure():
    assert HERE.fate(replace(HERE, space=HERE.space + 1, pid=1)) is Fate.UNKNOWN


def test_what_this_process_did_not_take_in_this_life_is_of_a_former_one():
    hold_as("mine")
    assert HERE.fate(HERE, "mine") is Fate.ALIVE
    assert HERE.fate(HERE, "of the program before execv") is Fate.DEAD
    parent = replace(HERE, pid=os.getppid(), started=processes._started(os.getppid()))
    assert HERE.fate(parent, "its own affair") is Fate.ALIVE
