"""The worker's voice: that it is there, every two seconds, and, if asked to, what its tasks do."""

from __future__ import annotations

import os
import platform
import time
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from penstock.clock import Clock
from penstock.worker.control.shown import received

if TYPE_CHECKING:
    from penstock.message import Record
    from penstock.wire.task import Header
    from penstock.worker.control.clock import LogicalClock
    from penstock.worker.control.outbox import Outbox

__all__ = ["HEARTBEAT", "Herald"]

HEARTBEAT = 2.0  # seconds; Celery's tools take a worker for dead after two without one

_ENDS = {
    "SUCCESS": "task-succeeded",
    "FAILURE": "task-failed",
    "RETRY": "task-retried",
    "REVOKED": "task-revoked",
}


class Herald:
    """Touched by the worker's loop only. ``on``: events of tasks are told."""

    def __init__(
        self, outbox: Outbox | None, *, name: str, logical: LogicalClock, clock: Clock, on: bool
    ) -> None:
        """``outbox``: None where nobody could hear events."""
        self._outbox = outbox
        self._name = name
        self._logical = logical
        self._clock = clock
        self._pid = os.getpid()
        self._software = {
            "sw_ident": "penstock",
            "sw_ver": version("penstock"),
            "sw_sys": platform.system(),
        }
        self.on = on and outbox is not None

    @property
    def heard(self) -> bool:
        """Whether anybody could hear events at all."""
        return self._outbox is not None

    def tell(self, kind: str, document: bytes | None = None, /, **fields: Any) -> None:
        """Send an event; with a document it says how the task ended by that."""
        if self._outbox is None:
            return
        event = {
            "hostname": self._name,
            "utcoffset": _hours_west(),
            "pid": self._pid,
            "clock": self._logical.forward(),
            **fields,
            "timestamp": self._clock.wall(),
            "type": kind,
        }
        self._outbox.tell(event, document)

    # --- the worker --------------------------------------------------------------------------

    def worker(self, kind: str, *, active: int, processed: int) -> None:
        """worker-online, worker-heartbeat or worker-offline."""
        self.tell(
            kind,
            freq=HEARTBEAT,
            active=active,
            processed=processed,
            loadavg=[round(load, 2) for load in os.getloadavg()],
            **self._software,
        )

    def answer_heartbeat(self) -> None:
        """The heartbeat that somebody asked for, as Celery's workers give it."""
        self.tell("worker-heartbeat", freq=5, **self._software)

    # --- its tasks; callers look at ``on`` first -----------------------------------------------

    def received(self, header: Header) -> None:
        """A task came."""
        self.tell("task-received", **received(header))

    def started(self, task_id: str) -> None:
        """A task began to run."""
        self.tell("task-started", uuid=task_id)

    def rejected(self, task_id: str, *, requeue: bool) -> None:
        """A task refused its message."""
        self.tell("task-rejected", uuid=task_id, requeue=requeue)

    def ended(
        self,
        task_id: str,
        state: str,
        record: Record | None,
        *,
        runtime: float | None = None,
        signum: int | None = None,
    ) -> None:
        """A task ended, or will run again: SUCCESS, FAILURE, RETRY or REVOKED."""
        kind = _ENDS.get(state)
        if kind is None:
            return
        fields: dict[str, Any] = {"uuid": task_id}
        if state == "SUCCESS":
            fields |= {"result": None, "runtime": runtime}
        elif state == "REVOKED":
            fields |= {"terminated": False, "signum": signum, "expired": False}
        else:
            fields |= {"exception": None, "traceback": None}
        self.tell(kind, None if record is None else record.document, **fields)


def _hours_west() -> int:
    """As Celery writes it: how far local time is behind UTC, in whole hours."""
    return (time.altzone if time.localtime().tm_isdst > 0 else time.timezone) // 3600
