"""The worker's start screen, in the manner that Celery's users know."""

from __future__ import annotations

import platform
from collections.abc import Iterable

from penstock.worker.options import WorkerPlan

__all__ = ["banner"]


def banner(
    plan: WorkerPlan, *, version: str, transport: str, results: str, tasks: Iterable[str], kept: str
) -> str:
    """The text; ``transport`` and ``results`` are shown as given, so they must be masked."""
    queues = [f"{name:<16} exchange={name}(direct) key={name}" for name in plan.queues]
    names = sorted(tasks)
    lines = [
        "",
        f" {plan.name} v{version} (Python {platform.python_version()}, {platform.system()})",
        "",
        "[config]",
        f".> app:         {plan.app}",
        f".> transport:   {transport}",
        f".> results:     {results}",
        f".> concurrency: {plan.concurrency} ({plan.pool})",
        f".> durability:  {kept}",
        "",
        "[queues]",
        *(f".> {queue}" for queue in queues),
        "",
        "[tasks]",
        *(f"  . {name}" for name in names),
        "",
    ]
    return "\n".join(lines)
