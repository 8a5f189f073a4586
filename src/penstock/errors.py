"""Every error that penstock raises, as one tree.

::

    PenstockError
    ├── ConfigError (ValueError)            a setting, a URL or an option is wrong
    │   └── NameTaken                       a live worker has this name
    ├── CodecError (ValueError)
    │   ├── EncodeError                     a value has no form on the wire
    │   └── DecodeError                     bytes that cannot be read; they are kept aside
    ├── QueueError
    │   ├── Full (queue.Full)
    │   ├── Empty (queue.Empty)
    │   ├── ShutDown
    │   └── PeerDied (EOFError)
    ├── BrokerError
    │   ├── Unavailable (ConnectionError)   surely not done: trying again is safe
    │   ├── Uncertain (ConnectionError)     may have been done: look before trying again
    │   └── LeaseLost                       somebody else holds the message now
    ├── TaskError
    │   ├── NotRegistered (KeyError)
    │   ├── TaskFailed                      an exception whose class is not imported here
    │   ├── TimeLimitExceeded (TimeoutError)
    │   ├── SoftTimeLimitExceeded (TimeoutError)
    │   ├── MaxRetriesExceededError
    │   ├── TaskRevokedError
    │   └── WorkerLostError
    └── ResultTimeout (TimeoutError)
        └── ResultLost                      the store forgot what it was given

``Retry``, ``Ignore`` and ``Reject`` are signals that a task raises, not errors; they live in
:mod:`penstock.tasks.signals`.
"""

from __future__ import annotations

import queue

__all__ = [
    "BrokerError",
    "CodecError",
    "ConfigError",
    "DecodeError",
    "Empty",
    "EncodeError",
    "Full",
    "LeaseLost",
    "MaxRetriesExceededError",
    "NameTaken",
    "NotRegistered",
    "PeerDied",
    "PenstockError",
    "QueueError",
    "ResultLost",
    "ResultTimeout",
    "ShutDown",
    "SoftTimeLimitExceeded",
    "TaskError",
    "TaskFailed",
    "TaskRevokedError",
    "TimeLimitExceeded",
    "Unavailable",
    "Uncertain",
    "WorkerLostError",
]


class PenstockError(Exception):
    """Base of all errors of this package."""


class ConfigError(PenstockError, ValueError):
    """A setting, a URL, a file or an option is wrong; the text names it and the remedy."""


class NameTaken(ConfigError):
    """A live worker already has this name."""


class CodecError(PenstockError, ValueError):
    """A value and its bytes do not go together."""


class EncodeError(CodecError):
    """A value has no form on the wire; nothing was sent or stored."""


class DecodeError(CodecError):
    """Bytes that cannot be read; the message is kept aside with this reason."""


class QueueError(PenstockError):
    """Base of what queues raise."""


class Full(QueueError, queue.Full):
    """No room within the time given."""


class Empty(QueueError, queue.Empty):
    """Nothing to get within the time given."""


class ShutDown(QueueError):
    """The queue takes (or gives) nothing more."""


class PeerDied(QueueError, EOFError):
    """The process at the other end is gone."""


class BrokerError(PenstockError):
    """Base of what brokers and result stores raise."""


class Unavailable(BrokerError, ConnectionError):
    """The broker could not be asked: surely nothing was done, trying again is safe."""


class Uncertain(BrokerError, ConnectionError):
    """The reply was lost: it may have been done. ``stored`` names the ids surely stored."""

    def __init__(self, text: str, *, stored: tuple[str, ...] = ()) -> None:
        super().__init__(text)
        self.stored = stored


class LeaseLost(BrokerError):
    """Somebody else holds the message now; nothing was written."""


class TaskError(PenstockError):
    """Base of what happens to tasks."""


class NotRegistered(TaskError, KeyError):
    """No task of this name is registered here."""

    def __str__(self) -> str:
        return str(self.args[0]) if self.args else ""


class TaskFailed(TaskError):
    """The task raised an exception whose class is not imported in this process.

    ``exc_type`` and ``exc_module`` name the class, ``exc_args`` holds its arguments.
    """

    def __init__(self, *args: object, exc_type: str = "", exc_module: str = "") -> None:
        super().__init__(*args)
        self.exc_type = exc_type
        self.exc_module = exc_module

    @property
    def exc_args(self) -> tuple[object, ...]:
        """The arguments of the exception, as the worker stored them."""
        return self.args

    def __str__(self) -> str:
        name = f"{self.exc_module}.{self.exc_type}" if self.exc_module else self.exc_type
        return f"{name}({', '.join(map(repr, self.args))})" if name else super().__str__()


class TimeLimitExceeded(TaskError, TimeoutError):
    """The task ran longer than its ``time_limit`` (seconds) and was ended."""


class SoftTimeLimitExceeded(TaskError, TimeoutError):
    """Raised inside a task that runs longer than its ``soft_time_limit`` (seconds)."""


class MaxRetriesExceededError(TaskError):
    """The task asked for more retries than ``max_retries`` allows."""


class TaskRevokedError(TaskError):
    """The task was revoked or has expired; ``args[0]`` says which."""


class WorkerLostError(TaskError):
    """The process that ran the task died, as often as the crash limit allows."""


class ResultTimeout(PenstockError, TimeoutError):
    """The result was not there within the time given."""


class ResultLost(ResultTimeout):
    """The result store lost what it was given (it was restarted, say)."""
