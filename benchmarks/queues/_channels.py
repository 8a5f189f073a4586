"""The contenders between processes, with one face.

A channel is made before the processes are; `producer()` and `consumer()` are called in them and
give an object with `put` and `get`, the contender's own methods wherever it has such. Where it has
batches, `batches` gives its `put_many` and `get_many`.
"""

import multiprocessing
import os
import pickle
import shutil
import socket
import struct
import tempfile
import time
from functools import partial
from pathlib import Path
from pickle import PickleBuffer, dumps, loads

PROTOCOL = pickle.HIGHEST_PROTOCOL


class Channel:
    """What most contenders do: one object, which all processes inherit."""

    idle = ()  # what `get` raises when there is nothing for the moment
    by_producers = False  # who puts the last words: each producer, or the parent after them all
    last_word = None  # tells a consumer that it is over; false, as nothing else that is sent is

    def __init__(self, *, producers, consumers, large):
        self.producers, self.consumers, self.large = producers, consumers, large
        self.queue = self.make()

    def make(self):
        raise NotImplementedError

    def producer(self, index):
        return self.queue

    def consumer(self, index):
        return self.queue

    def batches(self, end, size):
        """Functions that put a list of messages, and that get up to `size` of them, or None."""

    def finish(self):
        """Called in the parent when all producers have left."""
        if not self.by_producers:
            for _ in range(self.consumers):
                self.producer(0).put(self.last_word)

    def flush(self):
        """Called in each process when it is done: nothing that it put may need it any longer."""

    def leave(self):
        """Called in each process when all has been got."""

    def close(self):
        """Called in the parent at the end."""


class Penstock(Channel):
    def make(self):
        from penstock import ProcessQueue

        return ProcessQueue()

    def batches(self, end, size):
        return end.put_many, partial(end.get_many, size)

    def close(self):
        self.queue.close()


class Multiprocessing(Channel):
    maxsize = 0

    def make(self):
        return multiprocessing.get_context("fork").Queue(self.maxsize)

    def flush(self):
        self.queue.close()
        self.queue.join_thread()


class MultiprocessingBounded(Multiprocessing):
    maxsize = 1000


class MultiprocessingSimple(Channel):
    def make(self):
        return multiprocessing.get_context("fork").SimpleQueue()


class FasterFifo(Channel):
    """Its `get` now and then says Empty at once, when its buffer must grow: it is asked again."""

    def __init__(self, **facts):
        from queue import Empty

        self.idle = Empty
        super().__init__(**facts)

    def make(self):
        from faster_fifo import Queue

        return Queue(max_size_bytes=16 << 20) if self.large else Queue()

    def batches(self, end, size):
        return end.put_many, partial(end.get_many, max_messages_to_get=size)


class Pairs(Channel):
    """Two connected ends, the reader's first."""

    def producer(self, index):
        return self.queue[1]

    def consumer(self, index):
        return self.queue[0]


class SeqPacket(Pairs):
    """Ten lines: a pair of packet sockets, and pickle."""

    def make(self):
        pair = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        return [PickledPackets(end) for end in pair]


class PickledPackets:
    def __init__(self, end):
        self.end = end

    def put(self, item):
        self.end.send(dumps(item, PROTOCOL))

    def get(self):
        return loads(self.end.recv(1 << 16))


class Connection:
    """`put` and `get` for a Connection, ours or multiprocessing's."""

    def __init__(self, end):
        self.put, self.get = end.send, end.recv
        self.end = end


class RawConnection:
    """The same for bytes."""

    def __init__(self, end):
        self.end = end
        self.put, self.get = end.send_bytes, end.recv_bytes


class MultiprocessingPipe(Pairs):
    duplex, face = False, Connection

    def make(self):
        ends = multiprocessing.Pipe(duplex=self.duplex)
        return [self.face(end) for end in ends]


class MultiprocessingPipeDuplex(MultiprocessingPipe):
    duplex = True


class MultiprocessingPipeBytes(MultiprocessingPipe):
    last_word, face = b"", RawConnection


class PenstockPipe(Pairs):
    duplex, face = False, Connection

    def make(self):
        from penstock import Pipe

        return [self.face(end) for end in Pipe(duplex=self.duplex)]

    def batches(self, end, size):
        return end.end.send_many, partial(end.end.recv_many, size)


class PenstockPipeDuplex(PenstockPipe):
    duplex = True


class PenstockPipeBytes(PenstockPipe):
    last_word, face = b"", RawConnection


class OsPipe(Pairs):
    """Frames with a length before them; pickled. The reader takes what is there in one read."""

    def make(self):
        self.fds = os.pipe()
        return [PickledFrames(*self.fds), PickledFrames(*self.fds)]


class Frames:
    def __init__(self, reader, writer):
        self.reader, self.writer = reader, writer
        self.get = self.split().__next__

    def put(self, data):
        frame = struct.pack("<I", len(data)) + data
        sent = os.write(self.writer, frame)
        while sent < len(frame):
            sent += os.write(self.writer, memoryview(frame)[sent:])

    def split(self):
        """The frames one after the other, as they come."""
        buffer, at = b"", 0
        while True:
            while len(buffer) - at < 4:
                buffer, at = buffer[at:] + os.read(self.reader, 1 << 16), 0
            begin = at + 4
            end = begin + int.from_bytes(buffer[at:begin], "little")
            if end > len(buffer):
                buffer, at = self.more(buffer[at:], end - at), 0
                begin, end = 4, end - begin + 4
            yield buffer[begin:end]
            at = end

    def more(self, beginning, size):
        parts, have = [beginning], len(beginning)
        while have < size:
            parts.append(os.read(self.reader, max(1 << 16, size - have)))
            have += len(parts[-1])
        return b"".join(parts)


class PickledFrames:
    def __init__(self, reader, writer):
        self.frames = Frames(reader, writer)

    def put(self, item):
        self.frames.put(dumps(item, PROTOCOL))

    def get(self):
        return loads(self.frames.get())


class OsPipeBytes(OsPipe):
    last_word = b""

    def make(self):
        self.fds = os.pipe()
        return [Frames(*self.fds), Frames(*self.fds)]


class Zmq(Channel):
    """PUSH and PULL over a Unix socket. Several consumers are found by all producers."""

    by_producers = True

    def __init__(self, **facts):
        import zmq

        self.idle = zmq.Again
        super().__init__(**facts)

    def make(self):
        self.folder = tempfile.mkdtemp(prefix="penstock-bench-")

    def address(self, index):
        return f"ipc://{self.folder}/{index}"

    def producer(self, index):
        return self.meet("PUSH", binds=self.consumers > self.producers, index=index)

    def consumer(self, index):
        return self.meet("PULL", binds=self.consumers <= self.producers, index=index)

    def meet(self, kind, *, binds, index):
        import zmq

        self.context = zmq.Context()
        self.socket = self.context.socket(getattr(zmq, kind))
        self.socket.setsockopt(zmq.RCVTIMEO, 200)
        if binds:
            self.socket.bind(self.address(index))
        else:
            for other in range(self.producers if kind == "PULL" else self.consumers):
                while not Path(self.address(other).removeprefix("ipc://")).exists():
                    time.sleep(0.001)
                self.socket.connect(self.address(other))
        time.sleep(0.1)  # until all have found each other: not measured
        return (LargeZmq if self.large else SmallZmq)(self.socket)

    def leave(self):
        """Not before: what a reader has not yet taken in is gone when the sender closes."""
        self.socket.close()
        self.context.term()

    def close(self):
        shutil.rmtree(self.folder)


class SmallZmq:
    def __init__(self, end):
        self.end = end

    def put(self, item):
        self.end.send(dumps(item, PROTOCOL))

    def get(self):
        return loads(self.end.recv())


class LargeZmq:
    """At its best: the bytes go out of band, in a frame of their own, and come as a view of it."""

    def __init__(self, end):
        self.end = end

    def put(self, item):
        buffers = []
        data = item if item is None else PickleBuffer(item)
        head = dumps(data, PROTOCOL, buffer_callback=buffers.append)
        self.end.send_multipart([head, *map(PickleBuffer.raw, buffers)], copy=False)

    def get(self):
        head, *buffers = self.end.recv_multipart(copy=False)
        return loads(head.buffer, buffers=[frame.buffer for frame in buffers])


QUEUES = {
    "penstock.ProcessQueue": Penstock,
    "multiprocessing.Queue": Multiprocessing,
    "multiprocessing.Queue(1000)": MultiprocessingBounded,
    "multiprocessing.SimpleQueue": MultiprocessingSimple,
    "faster-fifo": FasterFifo,
    "pyzmq ipc + pickle": Zmq,
    "SEQPACKET + pickle": SeqPacket,
}
PIPES = {
    "penstock.Pipe(duplex=False)": PenstockPipe,
    "penstock.Pipe(duplex=True)": PenstockPipeDuplex,
    "multiprocessing.Pipe(duplex=False)": MultiprocessingPipe,
    "multiprocessing.Pipe(duplex=True)": MultiprocessingPipeDuplex,
    "os.pipe frames + pickle": OsPipe,
}
BYTES = {
    "penstock.Pipe send_bytes": PenstockPipeBytes,
    "multiprocessing.Pipe send_bytes": MultiprocessingPipeBytes,
    "os.pipe frames": OsPipeBytes,
}
ALL = QUEUES | PIPES | BYTES
