"""The shared memory of queues and pipes, and frames on a socket: damage is told, never followed.

Other processes of the same user write there too. What is damaged is refused or told as an error;
no input may crash the reader, have it wait, or take more memory than there is.
"""

import contextlib
import mmap
import os
import socket

from mutation import mutated_bytes
from target import Target

from penstock.errors import Empty, QueueError, ShutDown
from penstock.queues._core import _pipe, _ring, twin_pipe_frames, twin_ring, twin_ring_items

ITEMS = [7, -1, 2.5, b"bytes" * 9, "text", "\u20ac" * 5, None, True, [1, {"a": "b"}], {"k": [0.5]}]
BYTES = 1 << 14
TOLD = (ValueError, OSError, QueueError, Empty, ShutDown)
PICKLES = (Exception,)  # nobody can say what one raises that was damaged
RING_PLAN, RING_DATA = (0, 104), (16_384, 16_384 + 700)  # see ring/layout.h
TWIN_PLAN, TWIN_STATE = (0, 88), (256, 2048 + 8 * 120)  # see twin_ring_memory.py
TWIN_DATA = (16_384, 16_384 + 701)
PIPE_HEADER, PIPE_DATA = (0, 40), (4096, 4096 + 700)  # see pipe/layout.h


def _damage(fd, chance, *places):
    """Change a few bytes of a file, in these parts of it."""
    with mmap.mmap(fd, 0) as memory:
        for _ in range(chance.choice((1, 1, 2, 5))):
            start, end = chance.choice(places)
            piece = memory[start:end]
            changed = mutated_bytes(chance, [piece])[: end - start]
            memory[start : start + len(changed)] = changed


def _used(ring):
    """Everything that a consumer may ask of it."""
    ring.qsize(), ring.unfinished(), ring.statistics(), ring.processes()
    for _ in range(len(ITEMS) + 1):
        ring.get(block=False)
    ring.get_many(100, block=False)


def _read_ring(make, plan, *places):
    def read(data, chance):
        fd = os.memfd_create("fuzzed")
        sizes = {"maxsize": 0, "max_bytes": BYTES, "spill": None}
        try:
            ring = make(fd, **sizes, create=True)
            for _ in range(chance.randrange(3)):
                ring.put(1)  # so that the positions are other ones
            for _ in range(ring.qsize()):
                ring.get(block=False)
            for item in chance.sample(ITEMS, 5):
                ring.put(item, block=False)
            place = chance.choice(places) if chance.random() < 0.8 else plan
            _damage(fd, chance, place)
            told = PICKLES if place == TWIN_DATA else TOLD
            with contextlib.suppress(*told):
                _used(ring)
            with contextlib.suppress(*told):
                other = make(fd, **sizes, create=False)
                _used(other)
                other.put(1, block=False)
                other.close()
            with contextlib.suppress(*told):
                ring.close()
        finally:
            os.close(fd)

    return read


def read_pipe(data, chance):
    one, other = _pipe.make(True, BYTES)
    left, right = _pipe.End(one), _pipe.End(other)
    memory = right._descriptors[0]
    try:
        for item in chance.sample(ITEMS, 5):
            left.send(item)
        if chance.random() < 0.3:
            left.send(bytes(9000))  # several frames
        place = PIPE_HEADER if chance.random() < 0.2 else PIPE_DATA
        _damage(memory, chance, place)
        with contextlib.suppress(*(PICKLES if place == PIPE_DATA else (*TOLD, EOFError))):
            for _ in range(8):
                if right._recv_now() is _pipe.NOT_YET:
                    break
        with contextlib.suppress(*TOLD, EOFError):
            right.statistics(), right.poll(0)
        with contextlib.suppress(*TOLD):
            parts = [os.dup(fd) if fd >= 0 else fd for fd in right._descriptors]
            _pipe.End((*parts, *right._shape)).close()
    finally:
        left.close()
        right.close()


def _frames():
    """Messages on a socket, as the Python twin of a pipe sends them."""
    ours, theirs = socket.socketpair()
    outbox = twin_pipe_frames.Outbox(ours)
    for message in (b"one", bytes(70_000), b"", b"last"):
        outbox.load(memoryview(message))
        assert outbox.push()
    with ours, theirs:
        ours.shutdown(socket.SHUT_WR)
        said = b""
        while more := theirs.recv(1 << 20):
            said += more
    return [said[-200:], said[:8] + said[-8:], said]


def read_frames(data, chance):
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.setblocking(False)
        theirs.setblocking(False)
        ours.send(data[:100_000])
        ours.shutdown(socket.SHUT_WR)
        inbox = twin_pipe_frames.Inbox(theirs)
        with contextlib.suppress(OSError, EOFError, QueueError):
            while inbox.pull() is not None:
                inbox.waiting()


def _packed():
    packed = [twin_ring_items.pack(item) for item in (*ITEMS, bytearray(5000))]
    return [bytes([one.kind]) + b"".join(one.parts) for one in packed]


def read_item(data, chance):
    with contextlib.suppress(*PICKLES):
        twin_ring_items.unpack(data[0] if data else 0, data[1:])


def _none():
    return [b""]


def _nothing(chance, corpus):
    return b""  # the target makes what it reads


TARGETS = [
    Target("ring", _none, _read_ring(_ring.Ring, RING_PLAN, RING_DATA), _nothing),
    Target(
        "ring twin", _none,
        _read_ring(twin_ring.Ring, TWIN_PLAN, TWIN_STATE, TWIN_DATA), _nothing,
    ),
    Target("pipe", _none, read_pipe, _nothing),
    Target("pipe frames", _frames, read_frames, mutated_bytes),
    Target("pickled items", _packed, read_item, mutated_bytes),
]  # fmt: skip
