"""What the processes of a queue storm do, and the record that each of them leaves.

Every item says who put it, and carries its number and a check sum. A producer writes down what
`put` returned for; a consumer what it got, before `task_done`, and that it is done after it: into
a file of its own, which the queue knows nothing of. One record is one `write`, so that what a
killed process wrote is whole.
"""

import contextlib
import mmap
import os
import random
import signal
import struct
import time
import traceback
import zlib
from hashlib import blake2b

from queue_storm_queues import Empty, Full, Over

RECORD = struct.Struct("=IIII")  # what, who put it, its number, 0
PUT, GOT, DONE, CORRUPT = range(1, 5)
BATCH = 20
STEADY, HUNGRY, STUFFED = range(3)  # paces: all go on; producers dawdle; consumers dawdle
DAWDLE = 0.002  # seconds
PATIENCE = 0.05  # seconds of a put or get that is to time out
RUN, DRAIN, LEAVE = range(3)  # what is told to everybody


class Board:
    """Shared memory: what is told to all, and how often each place has put or got something.

    A place's word is written by the process that has the place; the rest by the storm."""

    def __init__(self, places):
        self.memory = mmap.mmap(-1, mmap.PAGESIZE)
        self.words = memoryview(self.memory).cast("Q")
        self.places = places

    @property
    def order(self):
        return self.words[0]

    @order.setter
    def order(self, value):
        self.words[0] = value

    @property
    def pace(self):
        return self.words[1]

    @pace.setter
    def pace(self, value):
        self.words[1] = value

    def count(self, place):
        self.words[2 + place] += 1

    def progress(self):
        return list(self.words[2 : 2 + self.places])

    def close(self):
        self.words.release()
        self.memory.close()


class Member:
    """One process: `roles` is "p" (puts), "c" (gets) or "pc" (both in turn)."""

    def __init__(self, queue, board, folder, *, place, number, roles):
        self.queue, self.board, self.folder = queue, board, folder
        self.place, self.number, self.roles = place, number, roles

    def run(self):
        """The life of the process."""
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        self.random = random.Random(self.number)
        self.sequence = 0
        try:
            path = f"{self.folder}/{self.number}"
            self.journal = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
            self.queue.enter(self.number)
            with contextlib.suppress(Over):
                while self.step():
                    pass
        except BaseException:
            with open(f"{self.folder}/{self.number}.error", "w") as file:  # noqa: PTH123
                traceback.print_exc(file=file)
            raise

    def step(self):
        order, found = self.board.order, True
        if "p" in self.roles and order == RUN:
            self.produce()
        if "c" in self.roles:
            found = self.consume()
        elif order != RUN:
            return False
        return found or order != LEAVE

    def write(self, what, keys):
        os.write(self.journal, b"".join(RECORD.pack(what, *key, 0) for key in keys))

    def dawdle(self, pace):
        if self.board.pace == pace:
            time.sleep(DAWDLE)

    def timeout(self):
        """Who does both must not wait for ever with what the others wait for."""
        return PATIENCE if len(self.roles) > 1 else self.random.choice((None, PATIENCE))

    # --- putting ---------------------------------------------------------------------------

    def produce(self):
        count = self.random.choice((1, 1, 1, 1, self.random.randint(2, BATCH)))
        numbers = range(self.sequence, self.sequence + count)
        items = [self.item(number) for number in numbers]
        try:
            put = self.queue.put_some(items, self.timeout())
        except Full:
            return
        self.write(PUT, [(self.number, number) for number in numbers[:put]])
        self.sequence += put
        self.board.count(self.place)
        self.dawdle(HUNGRY)

    def item(self, number):
        payload = stuff(self.number, number) * self.size(number)
        if number % 50 == 7:
            payload = bytearray(payload)  # goes out of band where it is large
        return self.number, number, payload, zlib.crc32(payload, self.number ^ number)

    def size(self, number):
        """In units of 64 bytes: mostly small, a few of kilobytes, and now and then a giant."""
        if number % 400 == 399 and self.board.pace != STUFFED:  # else it waits for all before it
            return self.queue.largest * 3 // 4 // 64
        if number % 40 == 39:
            return self.random.randint(0, 200)
        return self.random.randint(0, 8)

    # --- getting ---------------------------------------------------------------------------

    def consume(self):
        limit = self.random.choice((1, 1, 1, 1, self.random.randint(2, BATCH)))
        try:
            items = self.queue.get_some(limit, self.timeout())
        except Empty:
            return False
        right = [item[:2] for item in items if is_whole(item)]
        self.write(GOT, right)
        if len(right) < len(items):
            self.write(CORRUPT, [(0, 0)] * (len(items) - len(right)))
        self.queue.done(len(items))
        self.write(DONE, right)
        self.board.count(self.place)
        self.dawdle(STUFFED)
        return True


def stuff(who, number):
    return blake2b(RECORD.pack(who, number, 0, 0)).digest()


def is_whole(item):
    who, number, payload, check = item
    whole = zlib.crc32(payload, who ^ number) == check and len(payload) % 64 == 0
    return whole and payload[:64] == stuff(who, number)[: len(payload)]
