"""Processes that die, processes that fork: in real time, where other processes share the queue."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from penstock.errors import Empty
from penstock.testing.conformance.durable_stage import DurableStage, User
from penstock.testing.conformance.stage import needs

__all__ = ["CrashCases", "ForkCases"]

_PATIENCE = 30.0
_HEALED = 2.0  # seconds from a death on this host until another has the item

_HOLDER = """
import sys, time
from penstock.durable.opening import open_queue
queue = open_queue(sys.argv[1], sys.argv[2], lease=600)
print(queue.get(timeout=30), flush=True)
time.sleep(600)
"""


class CrashCases(DurableStage):
    """A process that is killed with items in hand."""

    @contextmanager
    def _holder(self) -> Iterator[subprocess.Popen[str]]:
        url = self.url()
        if url is None:
            pytest.skip("no other process can share this queue")
        command = [sys.executable, "-c", _HOLDER, url, self.name]
        with subprocess.Popen(  # noqa: S603 - the suite's own program
            command, stdout=subprocess.PIPE, text=True
        ) as process:
            try:
                yield process
            finally:
                process.kill()

    @needs("shared")
    def test_what_a_killed_process_held_is_had_again_at_once(self) -> None:
        user = self.user_in_real_time()
        user.put("item")
        with self._holder() as process:
            assert process.stdout is not None
            assert process.stdout.readline() == "item\n"
            assert self._is_empty(user)
            process.send_signal(signal.SIGKILL)
            process.wait(_PATIENCE)
            began = time.monotonic()
            item = user.get(timeout=_PATIENCE)
            took = time.monotonic() - began
        assert (item, user.queue.attempt(item)) == ("item", 2)
        assert took < _HEALED

    def _is_empty(self, user: User) -> bool:
        try:
            user.get()
        except Empty:
            return True
        return False


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
class ForkCases(DurableStage):
    """A child process made in the middle of everything."""

    @needs("shared")
    def test_a_child_holds_nothing_and_has_its_own_connection(self) -> None:
        user = self.user_in_real_time()
        user.put("parent's")
        item = user.get()
        child = os.fork()
        if not child:
            os._exit(_in_the_child(user, item))
        _, status = os.waitpid(child, 0)
        assert os.waitstatus_to_exitcode(status) == 0
        assert user.get(timeout=_PATIENCE) == "child's"
        user.done(item, "child's")


def _in_the_child(user: User, item: object) -> int:
    """0 when all is as it should be; else which of it is not."""
    queue = user.queue
    if queue.held():
        return 1
    try:
        queue.task_done(item)
    except ValueError:
        pass
    else:
        return 2
    queue.put("for the child")
    queue.put("child's")
    if queue.get(timeout=_PATIENCE) != "for the child":
        return 3
    queue.task_done("for the child")
    queue.close()
    return 0
