"""What the tests of pipes share: both cores, calls in threads, children, and who leaks."""

import importlib
import os
import sys
import threading
import time
from pathlib import Path

MODULE = "penstock.queues.pipe"
_loaded = {}


def load(core):
    """The module of the pipes on this core; made the one that this process imports."""
    sys.modules.pop(MODULE, None)
    if core in _loaded:
        sys.modules[MODULE] = _loaded[core]
    else:
        _loaded[core] = importlib.import_module(MODULE)
    return _loaded[core]


class Call(threading.Thread):
    """A call in a thread of its own; ``result()`` gives or raises what it did."""

    def __init__(self, function, *args, **kwargs):
        super().__init__(daemon=True)
        self._call = function, args, kwargs
        self._result = self._error = None
        self.start()

    def run(self):
        function, args, kwargs = self._call
        try:
            self._result = function(*args, **kwargs)
        except BaseException as error:  # noqa: BLE001  # the test's thread raises it again
            self._error = error

    def result(self):
        self.join(20)
        assert not self.is_alive(), "the call still waits"
        if self._error is not None:
            raise self._error
        return self._result


def until(condition):
    """Return when it is true; other threads run meanwhile."""
    end = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end, "it never became true"
        time.sleep(0.0005)


def asleep(thread_id, pid=None):
    """Whether that thread (of this process, or another's first) sleeps in the kernel."""
    stat = Path(f"/proc/{pid or os.getpid()}/task/{thread_id}/stat").read_text()
    return stat.rpartition(")")[2].split()[0] == "S"


def fork(function, *args):
    """The pid of a child that calls it and ends, with exit code 0 if it returned."""
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        function(*args)
        code = 0
    except BaseException:  # noqa: BLE001  # the child must end here, whatever happens
        sys.excepthook(*sys.exc_info())
    finally:
        os._exit(code)


def joined(pid):
    """The exit code of a child, negative for a signal."""
    _, status = os.waitpid(pid, 0)
    return os.waitstatus_to_exitcode(status)


def descriptors():
    return {link.name for link in Path("/proc/self/fd").iterdir()}


def held():
    """The descriptors and threads of this process."""
    # Without timers: they are the test runner's own.
    threads = {one for one in threading.enumerate() if not isinstance(one, threading.Timer)}
    return descriptors() | threads
