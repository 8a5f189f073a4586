"""How fast messages flow from some processes to others.

The clock runs from the first producer's start to the last consumer's end marker. Each consumer
counts what it got and keeps the last message, which is compared with what was sent; the counts
must add up.
"""

import multiprocessing
import time

from _channels import ALL
from _messages import ALL as MESSAGES
from _messages import LARGE

BATCH = 100
FORK = multiprocessing.get_context("fork")


def measure(contender, count, *, kind, producers=1, consumers=1, batch=False):
    """Messages a second (of large ones: bytes as well) for `count` messages in all, about."""
    flow = Flow(contender, kind, producers, consumers, batch)
    share = max(BATCH, count // producers // BATCH * BATCH)
    seconds = flow.run(share)
    rate = producers * share / seconds
    found = {"msgs/s": rate, "seconds": seconds}
    return found | {"GB/s": rate * len(MESSAGES[kind]) / 1e9} if kind in LARGE else found


class Flow:
    """One contender between some processes."""

    def __init__(self, contender, kind, producers, consumers, batch):
        self.message, self.batch = MESSAGES[kind], batch
        self.producers, self.consumers = producers, consumers
        self.channel = ALL[contender](producers=producers, consumers=consumers, large=kind in LARGE)
        self.gate = FORK.Barrier(producers + consumers)
        self.over = FORK.RawValue("b", 0)
        self.reports = FORK.SimpleQueue()
        self.farewell = FORK.Event()

    def run(self, share):
        """Seconds until all that the producers sent, `share` messages each, had been got."""
        crew = [self.start(self.produce, n, share) for n in range(self.producers)]
        crew += [self.start(self.consume, n) for n in range(self.consumers)]
        sent = [self.reports.get() for _ in range(self.producers)]
        self.over.value = 1
        self.channel.finish()
        got = [self.reports.get() for _ in range(self.consumers)]
        self.farewell.set()
        for process in crew:
            process.join()
        self.channel.close()
        received = sum(count for _, count in got)
        assert received == share * self.producers, f"{received} of {share * self.producers}"
        return max(got)[0] - min(sent)[0]

    def start(self, work, *arguments):
        process = FORK.Process(target=self.report, args=(work, *arguments), daemon=True)
        process.start()
        return process

    # --- in the processes ------------------------------------------------------------------

    def report(self, work, *arguments):
        try:
            report = work(*arguments)
            self.channel.flush()
        except BaseException:
            self.reports.put(None)  # the parent fails on it
            raise
        self.reports.put(report)
        self.farewell.wait()
        self.channel.leave()

    def produce(self, index, share):
        end = self.channel.producer(index)
        batches = self.batch and self.channel.batches(end, BATCH)
        self.gate.wait()
        begin = time.monotonic()
        if batches:
            put_all(batches[0], [self.message] * BATCH, share // BATCH)
        else:
            put_all(end.put, self.message, share)
        if self.channel.by_producers:
            put_all(end.put, self.channel.last_word, self.consumers)
        return begin, share

    def consume(self, index):
        end = self.channel.consumer(index)
        batches = self.batch and self.channel.batches(end, BATCH)
        self.gate.wait()
        if batches:
            at, count, last = self.get_batches(end, batches[1])
        else:
            at, count, last = self.get_all(end.get)
        assert last is None or last == self.message, "another message than was sent"
        return at, count

    def get_all(self, get):
        count, last, at = 0, None, 0.0
        while True:
            try:
                while item := get():
                    count += 1
                    last = item
            except self.channel.idle:
                if self.over.value:
                    return at, count, last
                continue
            at = time.monotonic()
            if not self.channel.by_producers:
                return at, count, last

    def get_batches(self, end, get_many):
        count, last = 0, None
        while True:
            try:
                while items := get_many():
                    if not items[-1]:
                        break
                    count += len(items)
                    last = items[-1]
            except self.channel.idle:
                continue
            at = time.monotonic()
            messages = [item for item in items if item]
            for _ in items[len(messages) + 1 :]:
                end.put(self.channel.last_word)  # another one's
            return at, count + len(messages), messages[-1] if messages else last


def put_all(put, what, times):
    for _ in range(times):
        put(what)
