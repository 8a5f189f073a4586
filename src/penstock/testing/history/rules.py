"""What a history is judged by: figures that differ between systems and machines."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Rules"]


@dataclass(frozen=True, slots=True)
class Rules:
    """Bounds in seconds; None: measured, not judged."""

    settled_within: float = 1.0  # after its end a run is settled, unless the server is away
    looked_within: float = 0.1  # a run begins so soon after it was looked whether it has ended
    orphan_lives: float = 1.0  # executors end so soon after their supervisor
    silence: float | None = 10.0  # longest time without a start or an end while work waits
    executor_rerun_p99: float | None = None
    worker_rerun_p99: float | None = None
    server_back_p99: float | None = None
    slot_p99: float | None = None
    more_rss: int = 64 * 1024  # kB that one process may grow by
    more_fds: int = 24
    more_threads: int = 8
