"""What a durable commit to a SQLite file costs, and what callers gain who share one.

Commits of one row each with synchronous=FULL: one thread; sixteen, each for itself or as a group;
FULL and NORMAL in turn on one connection or on two; two and four processes that write at once and
wait for the write lock in SQLite's own two ways or for a file lock of ours. Needs apsw.
"""

import fcntl
import os
import shutil
import statistics
import struct
import threading
import time
from collections import deque
from pathlib import Path

import apsw

RUNS, SECONDS, THREADS = 5, 1.0, 16
FOLDER = Path(__file__).parents[2] / ".bench-tmp"  # on the disk; the system's may be in memory
INSERT = "INSERT INTO jobs (body) VALUES (zeroblob(300))"
now = time.perf_counter


def open_file(synchronous="full"):
    connection = apsw.Connection(str(FOLDER / "db"))
    connection.set_busy_timeout(10_000)
    connection.pragma("journal_mode", "wal")
    connection.pragma("synchronous", synchronous)
    connection.execute("CREATE TABLE IF NOT EXISTS jobs (id INTEGER PRIMARY KEY, body BLOB)")
    return connection


def transaction(connection, count=1, slower=0.0):
    connection.execute("BEGIN IMMEDIATE")
    for _ in range(count):
        connection.execute(INSERT)
    if slower:
        time.sleep(slower)  # as if the disk took longer
    connection.execute("COMMIT")


class Group:
    """Whoever gets the lock commits for all who wait; the others find theirs done."""

    def __init__(self, slower):
        self.connection, self.lock, self.pending = open_file(), threading.Lock(), deque()
        self.commits, self.slower = 0, slower

    def put(self):
        mine = [False]
        self.pending.append(mine)
        with self.lock:
            if mine[0]:
                return
            batch = []
            while self.pending:
                batch.append(self.pending.popleft())
            transaction(self.connection, len(batch), self.slower)
            self.commits += 1
            for each in batch:
                each[0] = True


class Relay(Group):
    """Each caller waits on a lock of its own; who has committed names the next to do it."""

    leading = False

    def put(self):
        mine = [threading.Lock(), False]  # its own lock, done
        mine[0].acquire()
        with self.lock:
            self.pending.append(mine)
            lead, self.leading = not self.leading, True
        if not lead:
            mine[0].acquire()
            if mine[1]:
                return
        with self.lock:
            batch, self.pending = self.pending, deque()
        transaction(self.connection, len(batch), self.slower)
        self.commits += 1
        with self.lock:
            self.leading = bool(self.pending)
            if self.pending:
                self.pending[0][0].release()
        for each in batch:
            each[1] = True
            each[0].release()


def until_time_is_up(step):
    """Repeat for a second; return how long each step took."""
    times, end = [], now() + SECONDS
    while (started := now()) < end:
        step()
        times.append(now() - started)
    return times


def figures(times):
    times = sorted(times)
    return {
        "per s": len(times) / SECONDS,
        "p50 ms": times[len(times) // 2] * 1e3,
        "p99 ms": times[len(times) * 99 // 100] * 1e3,
        "max ms": times[-1] * 1e3,
    }


def one(synchronous):
    connection = open_file(synchronous)
    return figures(until_time_is_up(lambda: transaction(connection)))


def threads(make_step):
    ready, times = threading.Barrier(THREADS), []

    def work(step):
        ready.wait()
        times.extend(until_time_is_up(step))

    workers = [threading.Thread(target=work, args=(make_step(),)) for _ in range(THREADS)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    return figures(times)


def each_its_own():
    def make():
        connection = open_file()
        return lambda: transaction(connection)

    return threads(make)


def one_at_a_time(slower=0.0):
    connection, lock = open_file(), threading.Lock()

    def step():
        with lock:
            transaction(connection, 1, slower)

    return threads(lambda: step)


def grouped(form, slower=0.0):
    group = form(slower)
    row = threads(lambda: group.put)
    return row | {"rows a commit": row["per s"] * SECONDS / group.commits}


def in_turn(kind):
    """Only the NORMAL transactions are timed; every second one is FULL, except in `apart`."""
    full, normal = open_file(), open_file("normal")
    times, end = [], now() + SECONDS
    while now() < end:
        if kind == "two connections":
            transaction(full)
            started = now()
            transaction(normal)
        elif kind == "one, switched":
            full.pragma("synchronous", "full")
            transaction(full)
            started = now()
            full.pragma("synchronous", "normal")
            transaction(full)
        else:
            started = now()
            transaction(normal)
        times.append(now() - started)
    return {"NORMAL p50 us": statistics.median(times) * 1e6}


def switch_alone():
    connection, names = open_file(), ("normal", "full")
    started = now()
    for n in range(10_000):
        connection.pragma("synchronous", names[n % 2])
    return {"PRAGMA us": (now() - started) / 10_000 * 1e6}


def writer(waits, gate, report):
    connection = open_file()
    turn = os.open(FOLDER / "turn", os.O_RDWR | os.O_CREAT)
    ours = waits.startswith("flock")
    if waits == "setlk":
        connection.setlk_timeout(10_000, 0)

    def step():
        if ours:
            fcntl.flock(turn, fcntl.LOCK_EX)
        transaction(connection)
        if ours:
            fcntl.flock(turn, fcntl.LOCK_UN)
        if waits == "flock, yield":
            os.sched_yield()  # let one who waits have it

    os.read(gate, 1)
    times = until_time_is_up(step)
    with os.fdopen(report, "wb") as out:
        out.write(struct.pack(f"{len(times)}d", *times))
    os._exit(0)


def processes(count, waits):
    open_file().close()
    gate, opener = os.pipe()
    reports = []
    for _ in range(count):
        report, out = os.pipe()
        if not os.fork():
            writer(waits, gate, out)
        os.close(out)
        reports.append(report)
    os.write(opener, b"g" * count)
    times, shares = [], []
    for report in reports:
        with os.fdopen(report, "rb") as file:
            data = file.read()
        times += [value for (value,) in struct.iter_unpack("d", data)]
        shares.append(len(data) // 8)
    for _ in reports:
        os.wait()
    os.close(gate)
    os.close(opener)
    return figures(times) | {"least share %": min(shares) / sum(shares) * 100}


def main():
    cases = {
        "1 thread, FULL": lambda: one("full"),
        "1 thread, NORMAL": lambda: one("normal"),
        "16 threads, own connections": each_its_own,
        "16 threads, one connection, a commit each": one_at_a_time,
        "16 threads, group commit": lambda: grouped(Group),
        "16 threads, group commit by relay": lambda: grouped(Relay),
        "disk + 2 ms: 16 threads, a commit each": lambda: one_at_a_time(0.002),
        "disk + 2 ms: group commit": lambda: grouped(Group, 0.002),
        "disk + 2 ms: group commit by relay": lambda: grouped(Relay, 0.002),
        "FULL and NORMAL: apart": lambda: in_turn("apart"),
        "FULL and NORMAL: one, switched": lambda: in_turn("one, switched"),
        "FULL and NORMAL: two connections": lambda: in_turn("two connections"),
        "switching by itself": switch_alone,
        "2 processes, busy handler": lambda: processes(2, "busy"),
        "2 processes, setlk_timeout": lambda: processes(2, "setlk"),
        "2 processes, flock": lambda: processes(2, "flock"),
        "2 processes, flock, then yield": lambda: processes(2, "flock, yield"),
        "4 processes, busy handler": lambda: processes(4, "busy"),
        "4 processes, setlk_timeout": lambda: processes(4, "setlk"),
        "4 processes, flock": lambda: processes(4, "flock"),
        "4 processes, flock, then yield": lambda: processes(4, "flock, yield"),
    }
    rows = {name: [] for name in cases}
    try:
        for _ in range(RUNS):
            for name, case in cases.items():
                shutil.rmtree(FOLDER, ignore_errors=True)
                FOLDER.mkdir()
                rows[name].append(case())
    finally:
        shutil.rmtree(FOLDER, ignore_errors=True)
    print(f"{SECONDS:.0f} s a run, {RUNS} runs, medians")
    for name, runs in rows.items():
        line = (f"{key} {statistics.median(run[key] for run in runs):.2f}" for key in runs[0])
        print(f"{name:42}", "  ".join(line))


if __name__ == "__main__":
    main()
