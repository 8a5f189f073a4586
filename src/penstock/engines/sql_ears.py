"""Hearing from PostgreSQL that tasks ended: one connection and one thread for all who wait."""

from __future__ import annotations

import contextlib
import os
import random
import select
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from penstock.engines.memory_bells import Bells

__all__ = ["CHANNEL", "Ears", "bell_of", "payloads"]

CHANNEL = "penstock_results"
_LONGEST = 7_000  # bytes of one notice: the server takes 8,000
_PAUSE = 1.0  # seconds before another attempt to connect
_FIRST = 5.0  # seconds for which a waiter waits for the connection


def bell_of(task_id: str) -> str:
    """The bell of a task's end."""
    return f"done:{task_id}"


def payloads(ids: list[str]) -> list[str]:
    """The ids in as few notices as take them."""
    parts = [""]
    for task_id in ids:
        if len(parts[-1].encode()) + len(task_id.encode()) > _LONGEST:
            parts.append("")
        parts[-1] += f"{task_id}\n"
    return [part for part in parts if part]


class Ears:
    """Rings the bells of what the database tells. ``connect`` gives a connection of psycopg's."""

    def __init__(self, connect: Callable[[], Any], bells: Bells) -> None:
        self._connect = connect
        self._bells = bells
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._tried = threading.Event()
        self._wake = os.pipe()
        self._closed = False
        self.hears = False

    def begin(self) -> None:
        """Return when the database tells, or when it surely does not for now."""
        with self._lock:
            if self._thread is None and not self._closed:
                self._thread = threading.Thread(
                    target=self._run, name="penstock-sql-ears", daemon=True
                )
                self._thread.start()
        self._tried.wait(_FIRST)

    def close(self) -> None:
        """Hear nothing more."""
        with self._lock:
            self._closed = True
            thread = self._thread
            os.close(self._wake[1])
        if thread is None:
            os.close(self._wake[0])

    def _run(self) -> None:
        import psycopg

        while not self._closed:
            with contextlib.suppress(psycopg.Error, OSError), self._connect() as connection:
                connection.execute(f"LISTEN {CHANNEL}")
                self.hears = True
                self._tried.set()
                self._bells.ring_all()  # what was told meanwhile, nobody heard
                self._hear(connection)
            self.hears = False
            self._tried.set()
            self._bells.ring_all()  # from now on who waits must look
            select.select([self._wake[0]], [], [], random.uniform(_PAUSE / 2, _PAUSE))
        os.close(self._wake[0])

    def _hear(self, connection: Any) -> None:
        while not self._closed:
            select.select([connection.fileno(), self._wake[0]], [], [])
            for notice in connection.notifies(timeout=0):
                self._bells.ring(bell_of(task_id) for task_id in notice.payload.split("\n"))
