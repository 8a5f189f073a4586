"""Items as bytes and back: pickles, protocol 5, with large buffers behind them."""

from __future__ import annotations

import io
import pickle
import struct
from typing import Any, NamedTuple

__all__ = ["Packed", "pack", "unpack"]

_OUT_OF_BAND = 4096  # smaller buffers stay inside the pickle
_COUNT = struct.Struct("<Q")
_PLAIN = 1
_BUFFERS = 2


class Packed(NamedTuple):
    """An item on its way in. After a plain pickle nothing, else a table of sizes comes first."""

    kind: int
    parts: list[memoryview]

    @property
    def size(self) -> int:
        """In bytes."""
        return sum(part.nbytes for part in self.parts)


def pack(item: Any) -> Packed:
    """The item's bytes. Raises what pickling it raises."""
    from multiprocessing.reduction import ForkingPickler  # knows connections, sockets, locks

    buffers: list[memoryview] = []

    def keep(buffer: pickle.PickleBuffer) -> bool:
        view = buffer.raw()
        if view.nbytes < _OUT_OF_BAND:
            return True
        buffers.append(view)
        return False

    sink = io.BytesIO()
    ForkingPickler(sink, 5, True, keep).dump(item)  # it takes no names
    pickled = sink.getbuffer()
    if not buffers:
        return Packed(_PLAIN, [pickled])
    sizes = [len(buffers), pickled.nbytes, *(view.nbytes for view in buffers)]
    table = memoryview(struct.pack(f"<{len(sizes)}Q", *sizes))
    return Packed(_BUFFERS, [table, pickled, *buffers])


def unpack(kind: int, data: bytes | bytearray) -> Any:
    """The item. Raises ValueError where that is impossible, or what unpickling it raises."""
    view = memoryview(data)
    if kind == _PLAIN:
        return pickle.loads(view)  # noqa: S301  # only processes of this user can write it
    if kind != _BUFFERS or view.nbytes < _COUNT.size:
        raise ValueError("the queue's memory is damaged: make a new queue")
    [count] = _COUNT.unpack_from(view)
    return _unpack_buffers(view, count)


def _unpack_buffers(view: memoryview, count: int) -> Any:
    end = _COUNT.size * (count + 2)
    if end > view.nbytes:
        raise ValueError("the queue's memory is damaged: make a new queue")
    parts = []
    for size in struct.unpack_from(f"<{count + 1}Q", view, _COUNT.size):
        parts.append(view[end : end + size])
        end += size
    pickled, *buffers = parts
    return pickle.loads(pickled, buffers=map(bytearray, buffers))  # noqa: S301  # as above
