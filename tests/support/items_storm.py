"""A storm over the queues between threads: everything at once, and every item is accounted for.

    python tests/support/items_storm.py [--seconds 10] [--module FILE] [--seed NUMBER]

Threads and cancelled tasks put and get in every way while maxsize changes; then the queue is shut
down, and what was got must be what was put. ``--module`` takes another build of the C core.
"""

import argparse
import asyncio
import importlib.machinery
import importlib.util
import random
import sys
import threading
import time
from contextlib import suppress

from penstock.errors import Empty, Full, ShutDown

CORE = "penstock.queues._core._items"


class Item:
    """Compares in Python, so that a heap runs code in the middle of things."""

    def __init__(self, number):
        self.number = number

    def __lt__(self, other):
        return self.number < other.number


class Storm:
    def __init__(self, queue, chance):
        self.queue, self.chance = queue, chance
        self.over = threading.Event()
        self.put, self.got = [], []

    def items(self, first):
        """Numbers of one producer, in no order of size."""
        number = 0
        while not self.over.is_set():
            number += 1
            yield Item((first + number * 4) * 7919 % 1_000_003)

    def produce(self, first):
        for item in self.items(first):
            with suppress(Full):
                if self.chance.random() < 0.1:
                    self.queue.put(item, timeout=self.chance.random() / 1000)
                elif self.chance.random() < 0.1:
                    self.queue.put_many([item], block=False)
                else:
                    self.queue.put(item)
                self.put.append(item.number)

    def consume(self):
        with suppress(ShutDown):
            while True:
                with suppress(Empty):
                    self.got += self.take()

    def take(self):
        way, soon = self.chance.randrange(5), self.chance.random() / 1000
        if way == 0:
            return self.queue.get_many(3, timeout=soon)
        if way == 1:
            with suppress(
                ShutDown
            ):  # when what is left does not match: the queue need not be empty
                return [self.queue.get(match=lambda item: item.number % 3 == 0, timeout=soon)]
            return []
        if way == 2:
            return [self.queue.get_nowait()]
        return [self.queue.get()]

    async def tasks(self):
        crew = []
        for item in self.items(3):
            crew.append(asyncio.create_task(self.aput(item)))
            crew.append(asyncio.create_task(self.aget()))
            await asyncio.sleep(0)
            self.chance.choice(crew[-8:]).cancel()
            crew = [task for task in crew if not task.done()][-100:]
        for task in crew:
            task.cancel()
        await asyncio.gather(*crew, return_exceptions=True)

    async def aput(self, item):
        await self.queue.aput(item)
        self.put.append(item.number)

    async def aget(self):
        match = self.chance.choice([None, lambda item: item.number % 2])
        with suppress(ShutDown):
            self.got.append((await self.queue.aget(match=match)).number)

    def change(self):
        while not self.over.wait(0.001):
            self.queue.maxsize = self.chance.randrange(1, 9)
            self.queue.statistics()

    def rage(self, seconds):
        consumers = [threading.Thread(target=self.consume) for _ in range(2)]
        others = [threading.Thread(target=self.produce, args=(n,)) for n in range(2)]
        others += [threading.Thread(target=asyncio.run, args=(self.tasks(),))]
        others += [threading.Thread(target=self.change)]
        for thread in (*consumers, *others):
            thread.start()
        time.sleep(seconds)
        self.over.set()
        for thread in others:
            thread.join()
        self.queue.shutdown()
        for thread in consumers:
            thread.join()
        got = [getattr(item, "number", item) for item in self.got]
        assert sorted(got) == sorted(self.put), "items were lost or doubled"
        return len(got)


def use(path):
    """Loads this build of the C core in the place of the installed one."""
    loader = importlib.machinery.ExtensionFileLoader(CORE, path)
    spec = importlib.util.spec_from_file_location(CORE, path, loader=loader)
    module = sys.modules[CORE] = importlib.util.module_from_spec(spec)
    loader.exec_module(module)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--module")
    parser.add_argument("--seed", type=int, default=random.randrange(2**32))
    options = parser.parse_args()
    if options.module:
        use(options.module)
    from penstock.queues import thread

    print(f"seed {options.seed}, core {thread.Queue().statistics()['core']}")
    for kind in (thread.Queue, thread.LifoQueue, thread.PriorityQueue):
        storm = Storm(kind(5), random.Random(options.seed))
        print(f"{kind.__name__}: {storm.rage(options.seconds / 3)} items, none lost or doubled")


if __name__ == "__main__":
    main()
