"""What the machine itself takes at the moment: a wake-up across cores, and a sync of its disk.

The time of a single call is made of these. On a machine that others use they double within minutes,
so they are measured in each round, beside what is compared.
"""

import os
import signal
import tempfile
import time

__all__ = ["pace"]

_TRIPS, _SYNCS = 2_000, 200


def pace(disk="."):
    """Medians in ms: a byte to another core and back, and a page written and synced."""
    return {"pipe there and back": _pipes(), "fdatasync": _sync(disk)}


def _pipes():
    cores = sorted(os.sched_getaffinity(0))
    here, there = os.pipe(), os.pipe()
    child = os.fork()
    if child == 0:
        os.sched_setaffinity(0, cores[-1:])
        while os.read(here[0], 1):
            os.write(there[1], b"x")
        os._exit(0)
    try:
        os.sched_setaffinity(0, cores[:1])

        def trip():
            os.write(here[1], b"x")
            os.read(there[0], 1)

        return _median(trip, _TRIPS)
    finally:
        os.sched_setaffinity(0, cores)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        for descriptor in (*here, *there):
            os.close(descriptor)


def _sync(disk):
    page = os.urandom(4096)
    with tempfile.TemporaryFile(dir=disk, buffering=0) as file:
        file.write(page * 256)  # in place from then on, as a log is written over and over
        os.fsync(file)

        def write_and_sync():
            os.pwrite(file.fileno(), page, 0)
            os.fdatasync(file)

        return _median(write_and_sync, _SYNCS)


def _median(what, times):
    taken = []
    for _ in range(times):
        began = time.perf_counter()
        what()
        taken.append(time.perf_counter() - began)
    return sorted(taken)[times // 2] * 1000
