"""penstock: message queues and background tasks, from two threads to a fleet."""

from __future__ import annotations

# Nothing is imported until a name is used, so that `import penstock` costs next to nothing and a
# program that uses only queues never loads the tasks.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from penstock.durable.opening import open_queue
    from penstock.errors import (
        BrokerError,
        CodecError,
        ConfigError,
        DecodeError,
        Empty,
        EncodeError,
        Full,
        LeaseLost,
        MaxRetriesExceededError,
        NameTaken,
        NotRegistered,
        PeerDied,
        PenstockError,
        QueueError,
        ResultLost,
        ResultTimeout,
        ShutDown,
        SoftTimeLimitExceeded,
        TaskError,
        TaskFailed,
        TaskRevokedError,
        TimeLimitExceeded,
        Unavailable,
        Uncertain,
        WorkerLostError,
    )
    from penstock.queues.pipe import Pipe
    from penstock.queues.process import ProcessQueue
    from penstock.queues.thread import LifoQueue, PriorityQueue, Queue
    from penstock.tasks.app import App
    from penstock.tasks.result import AsyncResult
    from penstock.tasks.signals import Ignore, Reject, Retry
    from penstock.tasks.task import Task

__all__ = [
    "App",
    "AsyncResult",
    "BrokerError",
    "CodecError",
    "ConfigError",
    "DecodeError",
    "Empty",
    "EncodeError",
    "Full",
    "Ignore",
    "LeaseLost",
    "LifoQueue",
    "MaxRetriesExceededError",
    "NameTaken",
    "NotRegistered",
    "PeerDied",
    "PenstockError",
    "Pipe",
    "PriorityQueue",
    "ProcessQueue",
    "Queue",
    "QueueError",
    "Reject",
    "ResultLost",
    "ResultTimeout",
    "Retry",
    "ShutDown",
    "SoftTimeLimitExceeded",
    "Task",
    "TaskError",
    "TaskFailed",
    "TaskRevokedError",
    "TimeLimitExceeded",
    "Unavailable",
    "Uncertain",
    "WorkerLostError",
    "open_queue",
]

_ELSEWHERE = {  # every other name is an error's
    "App": "penstock.tasks.app",
    "AsyncResult": "penstock.tasks.result",
    "Ignore": "penstock.tasks.signals",
    "LifoQueue": "penstock.queues.thread",
    "Pipe": "penstock.queues.pipe",
    "PriorityQueue": "penstock.queues.thread",
    "ProcessQueue": "penstock.queues.process",
    "Queue": "penstock.queues.thread",
    "Reject": "penstock.tasks.signals",
    "Retry": "penstock.tasks.signals",
    "Task": "penstock.tasks.task",
    "open_queue": "penstock.durable.opening",
}


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module 'penstock' has no attribute {name!r}")
    from importlib import import_module

    value: object = getattr(import_module(_ELSEWHERE.get(name, "penstock.errors")), name)
    globals()[name] = value  # found directly from now on
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
