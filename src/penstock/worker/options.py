"""What a worker is asked to be: command line first, then the app's settings, then defaults."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from typing import Any

import msgspec

from penstock.errors import ConfigError
from penstock.worker.protocol import Manifest

__all__ = ["POOLS", "WorkerOptions", "WorkerPlan", "worker_name"]

POOLS = ("prefork", "threads", "asyncio", "solo")
_IN_ONE_PROCESS = ("threads", "asyncio")


class WorkerOptions(msgspec.Struct, frozen=True, kw_only=True):
    """As given on the command line; None: not given."""

    app: str
    broker: str | None = None
    backend: str | None = None
    queues: tuple[str, ...] = ()
    concurrency: int | None = None
    processes: int | None = None
    pool: str | None = None
    name: str | None = None
    loglevel: str = "WARNING"
    max_tasks_per_child: int | None = None
    max_memory_per_child: int | None = None  # KiB, as Celery counts
    shutdown_timeout: float | None = None
    watchdog_timeout: float | None = None
    reload: bool = False  # begin anew when a source file changes
    quiet: bool = False  # no start screen
    task_events: bool = False  # tell what tasks do


class WorkerPlan(msgspec.Struct, frozen=True, kw_only=True):
    """What the worker will be. Times are seconds."""

    app: str
    queues: tuple[str, ...]
    pool: str
    processes: int
    capacity: int  # tasks at once in one process
    name: str
    named: bool  # the user chose the name
    shutdown_timeout: float
    watchdog_timeout: float  # 0: none
    max_tasks_per_child: int | None = None
    max_memory_per_child: int | None = None
    lease_time: float
    crash_limit: int
    result_ttl: float | None
    task_events: bool

    @property
    def concurrency(self) -> int:
        """Tasks at once, altogether."""
        return self.processes * self.capacity

    def with_name(self, name: str) -> WorkerPlan:
        """The same under another name."""
        return msgspec.structs.replace(self, name=name)

    @classmethod
    def of(cls, options: WorkerOptions, manifest: Manifest) -> WorkerPlan:
        """Join what was asked with what the app says; raises ConfigError."""
        settings = manifest.settings
        pool = options.pool or settings["worker_pool"]
        if pool not in POOLS:
            raise ConfigError(f"there is no pool {pool!r}: choose one of {', '.join(POOLS)}")
        at_once = options.concurrency or settings["worker_concurrency"] or os.cpu_count() or 1
        processes = options.processes or (1 if pool in _IN_ONE_PROCESS else at_once)
        _check_positive(concurrency=at_once, processes=processes)
        return cls(
            app=manifest.app,
            queues=options.queues or manifest.queues,
            pool=pool,
            processes=processes,
            capacity=-(-at_once // processes) if pool in _IN_ONE_PROCESS else 1,
            name=worker_name(options.name),
            named=options.name is not None,
            shutdown_timeout=_given(options.shutdown_timeout, settings, "worker_shutdown_timeout"),
            watchdog_timeout=_given(options.watchdog_timeout, settings, "worker_watchdog_timeout"),
            max_tasks_per_child=options.max_tasks_per_child
            or settings["worker_max_tasks_per_child"],
            max_memory_per_child=options.max_memory_per_child
            or settings["worker_max_memory_per_child"],
            lease_time=settings["lease_time"],
            crash_limit=settings["crash_limit"],
            result_ttl=settings["result_expires"],
            task_events=options.task_events or settings["worker_send_task_events"],
        )


def _check_positive(**numbers: int) -> None:
    for name, number in numbers.items():
        if number < 1:
            raise ConfigError(f"--{name} must be at least 1, not {number}")


def _given(value: float | None, settings: Mapping[str, Any], name: str) -> float:
    return float(settings[name] if value is None else value)


def worker_name(text: str | None) -> str:
    """A worker's full name: ``%h`` is the host, ``%n`` its first part, ``%d`` its domain."""
    host = socket.gethostname()
    if text is None:
        return f"penstock@{host}"
    short, _, domain = host.partition(".")
    for sign, value in (("%h", host), ("%n", short), ("%d", domain), ("%%", "%")):
        text = text.replace(sign, value)
    return text if "@" in text else f"{text}@{host}"
