"""How a queue gets into another process: its descriptor is passed on by multiprocessing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from penstock.queues.segments import Segment, Sizes

if TYPE_CHECKING:
    from penstock.queues.process import ProcessQueue

__all__ = ["make_sendable", "reduce", "reduce_sent"]


def make_sendable(kind: type[ProcessQueue[Any]]) -> None:
    """From now on its queues can be sent through connections, and put into queues."""
    from multiprocessing.reduction import ForkingPickler

    ForkingPickler.register(kind, reduce_sent)


def reduce_sent(queue: ProcessQueue[Any]) -> tuple[Any, ...]:
    """Its pickle for a child that is being started, or for the other end of a connection."""
    from multiprocessing.reduction import DupFd

    sizes = Sizes(queue.maxsize, queue.max_bytes, queue.core)
    segment = queue.segment
    return _rebuild, (type(queue), DupFd(segment.fd), segment.file, sizes)


def reduce(queue: ProcessQueue[Any]) -> tuple[Any, ...]:
    """Its pickle anywhere. Raises RuntimeError where the reader could do nothing with it."""
    from multiprocessing.context import get_spawning_popen

    if get_spawning_popen() is not None:
        return reduce_sent(queue)
    if queue.name is not None:
        return type(queue).find, (queue.name,)
    raise RuntimeError(
        "a ProcessQueue without a name can only be given to a process that is being started, or"
        " sent through a connection or a queue: give it a name to find it from elsewhere"
    )


def _rebuild(
    kind: type[ProcessQueue[Any]], passed: Any, file: str | None, sizes: Sizes
) -> ProcessQueue[Any]:
    return kind.receive(Segment(passed.detach(), file), sizes)
