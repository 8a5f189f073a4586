"""How a process learns that another one has committed to a SQLite file.

One process commits rows, another waits, wakes and looks. Measured for each way of waking: from the
end of COMMIT until the waiter has seen the row; what the sender pays for each commit; how often the
waiter woke and saw nothing new, and how often only a second look after 50 ms found the row; the
waiter's share of a core while nothing happens. Needs apsw; Linux.
"""

import contextlib
import ctypes
import mmap
import os
import platform
import random
import select
import shutil
import socket
import statistics
import struct
import time
from pathlib import Path

import apsw

ROWS, RUNS, AGAIN = 300, 5, 0.05
FOLDER = Path(__file__).parents[2] / ".bench-tmp"  # on the disk; the system's may be in memory
SYS_FUTEX = {"x86_64": 202, "aarch64": 98}[platform.machine()]
FUTEX_WAIT, FUTEX_WAKE, IN_MODIFY = 0, 1, 2
libc = ctypes.CDLL(None, use_errno=True)
now = time.perf_counter


class Timespec(ctypes.Structure):
    """What futex takes as its time-out."""

    _fields_ = (("seconds", ctypes.c_long), ("nanoseconds", ctypes.c_long))


class Poll:
    """Ask for data_version each millisecond."""

    def __init__(self, folder, connection):
        self.connection = connection
        self.last = None

    def ring(self):
        pass

    def wait(self):
        while self.last == (version := self.connection.pragma("data_version")):
            time.sleep(0.001)  # what is measured
        self.last = version


class Bell:
    """Write one byte to a file beside, after the commit; the waiter watches that file."""

    watched = "bell"

    def __init__(self, folder, connection):
        path = folder / self.watched
        self.bell = os.open(path, os.O_RDWR | os.O_CREAT)
        self.events = libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        libc.inotify_add_watch(self.events, bytes(path), IN_MODIFY)
        self.poller = select.poll()
        self.poller.register(self.events, select.POLLIN)

    def ring(self):
        os.pwrite(self.bell, b"\0", 0)

    def wait(self):
        if not self.poller.poll(AGAIN * 1e3):
            return True
        with contextlib.suppress(BlockingIOError):
            os.read(self.events, 65536)
        return False


class Wal(Bell):
    """Watch the write-ahead log itself."""

    watched = "db-wal"

    def ring(self):
        pass


class Futex:
    """Count in a mapped file beside, and wake who waits for the count to change."""

    def __init__(self, folder, connection):
        fd = os.open(folder / "futex", os.O_RDWR | os.O_CREAT)
        os.ftruncate(fd, 4096)
        self.map = mmap.mmap(fd, 4096)
        self.word = ctypes.c_uint32.from_buffer(self.map)
        self.address, self.last = ctypes.addressof(self.word), 0

    def futex(self, operation, value, timeout=None):
        return libc.syscall(
            SYS_FUTEX, ctypes.c_void_p(self.address), operation, ctypes.c_uint32(value), timeout,
            None, 0,
        )  # fmt: skip

    def ring(self):
        self.word.value += (
            1  # the sender holds the write lock's order here; real code adds atomically
        )
        self.futex(FUTEX_WAKE, 0x7FFFFFFF)

    def wait(self):
        timeout = ctypes.byref(Timespec(0, int(AGAIN * 1e9)))
        late = self.word.value == self.last and self.futex(FUTEX_WAIT, self.last, timeout) != 0
        self.last = self.word.value
        return late


class Datagram:
    """Send an empty datagram to each waiter's socket; here there is one."""

    def __init__(self, folder, connection):
        self.path = str(folder / "socket")
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        with contextlib.suppress(OSError):  # the sender comes second and finds it taken
            self.socket.bind(self.path)
        self.socket.settimeout(AGAIN)
        self.out = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.out.setblocking(False)

    def ring(self):
        self.out.sendto(b"", self.path)

    def wait(self):
        try:
            self.socket.recv(16)
        except TimeoutError:
            return True
        return False


def open_file(folder):
    connection = apsw.Connection(str(folder / "db"))
    connection.set_busy_timeout(5000)
    connection.pragma("journal_mode", "wal")
    connection.pragma("synchronous", "full")
    connection.execute("CREATE TABLE IF NOT EXISTS jobs (id INTEGER PRIMARY KEY, body BLOB)")
    return connection


def waiter(kind, folder, seen_fd, report_fd):
    """Tell on one pipe when a row was seen; at the end, all figures on the other."""
    connection = open_file(folder)
    signal = kind(folder, connection)
    look = "SELECT max(id) FROM jobs"
    last, times, empty, rescued = 0, [], 0, 0
    os.write(seen_fd, b"r")
    cpu = time.process_time()
    while last < ROWS:
        late = signal.wait()
        newest = connection.execute(look).get or 0
        at = now()
        if newest == last:
            empty += not late
            continue
        rescued += bool(late)
        if not last:
            cpu = time.process_time() - cpu
        last = newest
        times.append(at)
        os.write(seen_fd, b"s")
    os.write(report_fd, struct.pack(f"{ROWS}dd2i", *times, cpu, empty, rescued))
    os._exit(0)


def run(kind):
    shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.mkdir()
    open_file(FOLDER).close()
    (seen, seen_fd), (report, report_fd) = os.pipe(), os.pipe()
    child = os.fork()
    if not child:
        waiter(kind, FOLDER, seen_fd, report_fd)
    os.read(seen, 1)
    connection = open_file(FOLDER)
    signal = kind(FOLDER, connection)
    committed, costs = [], []
    time.sleep(1)  # so long the waiter idles, and its processor time is taken
    for _ in range(ROWS):
        connection.execute(
            "BEGIN IMMEDIATE; INSERT INTO jobs (body) VALUES (zeroblob(300)); COMMIT"
        )
        committed.append(now())
        signal.ring()
        costs.append(now() - committed[-1])
        os.read(seen, 1)
        time.sleep(random.uniform(0, 0.002))  # the load's own pace: in step with nobody's polling
    *times, cpu, empty, rescued = struct.unpack(
        f"{ROWS}dd2i", os.read(report, struct.calcsize(f"{ROWS}dd2i"))
    )
    os.waitpid(child, 0)
    for fd in (seen, seen_fd, report, report_fd):
        os.close(fd)
    delays = sorted((t - c) * 1e6 for t, c in zip(times, committed, strict=True))
    return {
        "p50 us": delays[ROWS // 2], "p99 us": delays[ROWS * 99 // 100],
        "ring us": statistics.median(costs) * 1e6, "idle %": cpu * 100,
        "woke for nothing": empty, "found after 50 ms only": rescued,
    }  # fmt: skip


def main():
    kinds = (Poll, Bell, Wal, Futex, Datagram)
    rows = {kind: [] for kind in kinds}
    try:
        for _ in range(RUNS):
            for kind in kinds:
                rows[kind].append(run(kind))
    finally:
        shutil.rmtree(FOLDER, ignore_errors=True)
    print(f"{ROWS} commits a run, {RUNS} runs, medians")
    for kind, runs in rows.items():
        line = (f"{name} {statistics.median(r[name] for r in runs):.1f}" for name in runs[0])
        print(f"{kind.__name__:9}", "  ".join(line))


if __name__ == "__main__":
    main()
