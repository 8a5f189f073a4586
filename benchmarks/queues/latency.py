"""How long a message takes to another process and back.

A small int there and back, one at a time: both processes pinned to one core, each to its own, and
unpinned. The limit is a ring in C that waits by futex alone (`_futex_ring.c`, compiled here).

    python benchmarks/queues/latency.py [--quick] [--only 'two cores'] [--json FILE]
"""

import multiprocessing
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from _channels import ALL
from _rounds import Goal, Question, main

LIMIT, SPINNING = "C ring, futex", "C ring, spin 50 us"
SPIN = {LIMIT: 0, SPINNING: 50_000}
OURS = ("penstock.Pipe(duplex=True)", "penstock.ProcessQueue")
ONE_END = (  # both ends send and receive: one channel is enough
    "penstock.Pipe(duplex=True)",
    "multiprocessing.Pipe(duplex=True)",
    "SEQPACKET + pickle",
)
PEERS = (
    "multiprocessing.Queue",
    "multiprocessing.SimpleQueue",
    "multiprocessing.Pipe(duplex=True)",
    "multiprocessing.Pipe(duplex=False)",
    "faster-fifo",
    "pyzmq ipc + pickle",
    "SEQPACKET + pickle",
    "os.pipe frames + pickle",
)
PINNED = {"one core": (0, 0), "two cores": (0, -1), "unpinned": None}
TRIPS, WARM, SECONDS = 20_000, 200, 1.0
VALUE = 7
FORK = multiprocessing.get_context("fork")


def measure(contender, _, *, pinned, ring):
    cores = choose(pinned)
    if contender in SPIN:
        return in_c(ring, cores, SPIN[contender])
    there = ALL[contender](producers=1, consumers=1, large=False)
    back = there if contender in ONE_END else ALL[contender](producers=1, consumers=1, large=False)
    echo = FORK.Process(target=answer, args=(there, back, cores), daemon=True)
    echo.start()
    pin(cores, 0)
    times = ask(there.producer(0), back.producer(0) if back is there else back.consumer(0))
    os.kill(echo.pid, 9)
    echo.join()
    return percentiles(times)


def choose(pinned):
    """The cores of the two processes, of those that this one may use."""
    mine = sorted(os.sched_getaffinity(0))
    return pinned and [mine[place] for place in PINNED[pinned]] if PINNED[pinned] else None


def pin(cores, which):
    if cores:
        os.sched_setaffinity(0, {cores[which]})


def answer(there, back, cores):
    pin(cores, 1)
    get = there.consumer(0).get
    put = (back.consumer(0) if back is there else back.producer(0)).put
    while True:
        put(get())


def ask(there, back):
    put, get, clock = there.put, back.get, time.perf_counter
    times = []
    until = clock() + SECONDS
    while len(times) < TRIPS + WARM and (len(times) <= WARM or clock() < until):
        begin = clock()
        put(VALUE)
        item = get()
        times.append(clock() - begin)
        assert item == VALUE
    return sorted(times[WARM:])


def percentiles(times):
    p50, p99 = times[len(times) // 2], times[int(len(times) * 0.99)]
    return {"p50 us": p50 * 1e6, "p99 us": p99 * 1e6}


def in_c(ring, cores, spin):
    where = map(str, cores or (-1, -1))
    done = subprocess.run(
        [ring, str(TRIPS), *where, str(spin)], check=True, capture_output=True, text=True
    )
    p50, p99 = map(float, done.stdout.split())
    return {"p50 us": p50, "p99 us": p99}


def question(pinned, ours):
    goals = [
        Goal("ahead of every peer", 1.0, PEERS),
        Goal("at most 1.3 x a futex ring in C", 1 / 1.3, (LIMIT,)),
    ]
    if pinned == "two cores":
        goals.append(Goal("at most 10 us", figure=10.0, stretch=True))
    return Question(
        name=f"{ours.removeprefix('penstock.')}, {pinned}",
        contenders=(ours, *PEERS, LIMIT, SPINNING),
        ours=ours,
        goals=tuple(goals),
        facts={"pinned": pinned},
        unit="p50 us",
        less_is_better=True,
        counted=False,
    )


QUESTIONS = [question(pinned, ours) for pinned in PINNED for ours in OURS]


def compile_ring(folder):
    ring = Path(folder) / "ring"
    source = Path(__file__).with_name("_futex_ring.c")
    subprocess.run(["cc", "-O2", "-std=c11", source, "-o", ring], check=True)
    return str(ring)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(prefix="penstock-bench-") as folder:
        ring = "" if "--cell" in sys.argv else compile_ring(folder)
        main(__doc__, QUESTIONS, measure, ring=ring)
