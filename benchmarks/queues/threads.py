"""What queues cost between threads, and between threads and tasks of an event loop.

python benchmarks/queues/threads.py [--quick] [--only 1P1C] [--against janus] [--json FILE]
"""

import asyncio
import queue
import threading
import time
from importlib import import_module

from _rounds import Goal, Question, main

END = -1
ITEM = 7


def make(contender, maxsize):
    """A queue for threads; only the contender's module is imported."""
    module, kind = contender.split(".")
    kind = getattr(import_module(module), kind)
    if kind is queue.SimpleQueue:
        return kind()
    return kind(maxsize).sync_q if module == "culsans" else kind(maxsize)


def measure(contender, count, *, how, **facts):
    seconds, times = HOW[how](contender, count, **facts)
    return {"msgs/s": times / seconds, "ns": seconds / times * 1e9, "seconds": seconds}


# --- one thread ----------------------------------------------------------------------------------


def pairs(contender, count, *, depth):
    """Put and get in turn, in a queue that holds `depth` items all the time."""
    q = make(contender, 0)
    for _ in range(depth):
        q.put(ITEM)
    put, get = q.put, q.get
    begin = time.perf_counter()
    for _ in range(count):
        put(ITEM)
        get()
    seconds = time.perf_counter() - begin
    assert q.qsize() == depth
    return seconds, count


# --- threads -------------------------------------------------------------------------------------


def flow(contender, count, *, threads, maxsize):
    """So many producers and as many consumers; until all end markers are got."""
    q = make(contender, maxsize)
    share = count // threads
    gate = threading.Barrier(2 * threads + 1)
    left = iter(range(threads - 1))  # who finds none is the last producer
    got = []
    crew = [threading.Thread(target=put_all, args=(q, share, gate, left)) for _ in range(threads)]
    crew += [threading.Thread(target=get_all, args=(q.get, gate, got)) for _ in range(threads)]
    for thread in crew:
        thread.start()
    gate.wait()
    begin = time.perf_counter()
    for thread in crew:
        thread.join()
    assert sum(n for n, _ in got) == share * threads
    return max(at for _, at in got) - begin, share * threads


def put_all(q, share, gate, left):
    put = q.put
    gate.wait()
    for _ in range(share):
        put(ITEM)
    if next(left, None) is None:
        for _ in range(gate.parties // 2):
            put(END)


def get_all(get, gate, got):
    count, last = 0, ITEM
    gate.wait()
    while (item := get()) != END:
        count += 1
        last = item
    assert last == ITEM
    got.append((count, time.perf_counter()))


# --- threads and tasks ---------------------------------------------------------------------------


class Both:
    """A queue with two faces: `put`, `get` for threads and `aput`, `aget` for tasks."""

    def __init__(self, contender, maxsize):
        q = import_module(contender.split(".")[0]).Queue(maxsize)
        if contender == "penstock.Queue":
            self.put, self.get, self.aput, self.aget = q.put, q.get, q.aput, q.aget
        else:
            self.put, self.get = q.sync_q.put, q.sync_q.get
            self.aput, self.aget = q.async_q.put, q.async_q.get


class CallSoon:
    """The standard library's way to a task: `call_soon_threadsafe` and `asyncio.Queue`."""

    def __init__(self, maxsize):
        q, loop = asyncio.Queue(maxsize), asyncio.get_running_loop()
        self.put = lambda item: loop.call_soon_threadsafe(q.put_nowait, item)
        self.aget = q.get


def both(contender, maxsize):
    return CallSoon(maxsize) if contender == "asyncio.Queue" else Both(contender, maxsize)


def to_asyncio(contender, count, *, maxsize):
    """A thread puts, a task gets."""

    async def work():
        q = both(contender, maxsize)
        thread = threading.Thread(target=put_some, args=(q.put, count))
        begin = time.perf_counter()
        thread.start()
        received, aget = 0, q.aget
        while await aget() != END:
            received += 1
        seconds = time.perf_counter() - begin
        thread.join()
        assert received == count
        return seconds, count

    return asyncio.run(work())


def put_some(put, count):
    for _ in range(count):
        put(ITEM)
    put(END)


def from_asyncio(contender, count, *, maxsize):
    """A task puts, a thread gets."""

    async def work():
        q = both(contender, maxsize)
        got = []
        gate = threading.Barrier(1)
        thread = threading.Thread(target=get_all, args=(q.get, gate, got))
        begin = time.perf_counter()
        thread.start()
        aput = q.aput
        for _ in range(count):
            await aput(ITEM)
        await aput(END)
        await asyncio.to_thread(thread.join)
        assert got[0][0] == count
        return got[0][1] - begin, count

    return asyncio.run(work())


def there_and_back(contender, count, *, maxsize):
    """One at a time: a task asks, a thread answers."""

    async def work():
        out, home = both(contender, maxsize), both(contender, maxsize)
        thread = threading.Thread(target=echo, args=(out.get, home.put))
        thread.start()
        aput, aget = out.aput, home.aget
        begin = time.perf_counter()
        for _ in range(count):
            await aput(ITEM)
            assert await aget() == ITEM
        seconds = time.perf_counter() - begin
        await aput(END)
        await asyncio.to_thread(thread.join)
        return seconds, count

    return asyncio.run(work())


def echo(get, put):
    while (item := get()) != END:
        put(item)


HOW = {
    function.__name__: function
    for function in (pairs, flow, to_asyncio, from_asyncio, there_and_back)
}


# --- what is asked -------------------------------------------------------------------------------


def alone(kind, depth):
    mine, theirs = f"penstock.{kind}", f"queue.{kind}"
    return Question(
        name=f"{kind}, put+get in one thread" + (f", {depth:,} deep" if depth else ""),
        contenders=(mine, theirs, f"culsans.{kind}", "queue.SimpleQueue"),
        ours=mine,
        goals=(
            Goal(f"4 x {theirs}", 4.0, (theirs,)),
            Goal("at most 2 x SimpleQueue's cost", 0.5, ("queue.SimpleQueue",), stretch=True),
        )
        if not depth
        else (),
        facts={"how": "pairs", "depth": depth},
        unit="ns",
        less_is_better=True,
    )


def crowd(threads, maxsize):
    """`queue.SimpleQueue` has no bound: it stands beside the unbounded ones only."""
    peers = ("queue.Queue", "culsans.Queue") + (() if maxsize else ("queue.SimpleQueue",))
    goals = [Goal("5 x queue.Queue", 5.0, ("queue.Queue",))]
    if not maxsize:
        goals.append(Goal("half of SimpleQueue", 0.5, ("queue.SimpleQueue",), stretch=True))
    return Question(
        name=f"threads {threads}P{threads}C" + (f", maxsize {maxsize:,}" if maxsize else ""),
        contenders=("penstock.Queue", *peers),
        ours="penstock.Queue",
        goals=tuple(goals),
        facts={"how": "flow", "threads": threads, "maxsize": maxsize},
    )


def loops(how, name, maxsize):
    peers = ("janus.Queue", "culsans.Queue")
    if how == "to_asyncio" and not maxsize:
        peers = (*peers, "asyncio.Queue")
    return Question(
        name=name + (f", maxsize {maxsize:,}" if maxsize else ""),
        contenders=("penstock.Queue", *peers),
        ours="penstock.Queue",
        goals=(
            Goal("4 x janus", 4.0, ("janus.Queue",)),
            Goal("10 x janus", 10.0, ("janus.Queue",), stretch=True),
        )
        if how != "there_and_back"
        else (),
        facts={"how": how, "maxsize": maxsize},
    )


QUESTIONS = [
    *(alone(kind, 0) for kind in ("Queue", "LifoQueue", "PriorityQueue")),
    *(alone(kind, 1_000) for kind in ("Queue", "PriorityQueue")),
    *(crowd(threads, maxsize) for maxsize in (0, 1_000) for threads in (1, 2)),
    *(loops("to_asyncio", "thread to asyncio", maxsize) for maxsize in (0, 1_000)),
    *(loops("from_asyncio", "asyncio to thread", maxsize) for maxsize in (0, 1_000)),
    loops("there_and_back", "asyncio to thread and back, one by one", 0),
]

if __name__ == "__main__":
    main(__doc__, QUESTIONS, measure)
