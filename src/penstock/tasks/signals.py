"""What a task raises to say how its run shall end: signals, not errors."""

from __future__ import annotations

from penstock.wire.task import Call

__all__ = ["Ignore", "Reject", "Retry", "Signal"]


class Signal(Exception):
    """Base of what a task raises to steer its own end."""


class Retry(Signal):
    """Run the task again. :meth:`Task.retry` makes it; a bare ``raise Retry()`` does as well.

    ``when`` is the wall time of the next run, ``exc`` why, ``call`` the next call. Where ``queue``
    and ``priority`` are None, those of the run that retries are kept.
    """

    def __init__(
        self,
        text: str = "",
        *,
        exc: BaseException | None = None,
        when: float | None = None,
        call: Call | None = None,
        queue: str | None = None,
        priority: int | None = None,
    ) -> None:
        super().__init__(text)
        self.exc = exc
        self.when = when
        self.call = call
        self.queue = queue
        self.priority = priority

    def __str__(self) -> str:
        return str(self.args[0]) or (f"Retry: {self.exc!r}" if self.exc else "Retry")


class Ignore(Signal):
    """End the run and store nothing: no state, no result."""


class Reject(Signal):
    """Refuse the message: it becomes a dead letter, or with ``requeue`` goes back to its queue."""

    def __init__(self, reason: object = "", requeue: bool = False) -> None:
        super().__init__(reason, requeue)
        self.reason = reason
        self.requeue = requeue
