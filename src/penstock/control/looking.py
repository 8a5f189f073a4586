"""``app.control.inspect()``: what workers have, run and are, in Celery's words."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

__all__ = ["Inspect"]

Found = dict[str, Any]


class Inspect:
    """Each method asks workers and gives what they answered by name, or None when nobody did."""

    def __init__(self, broadcast: Callable[..., Any], **options: Any) -> None:
        self._broadcast = broadcast
        self._options = options

    def _ask(self, command: str, **arguments: Any) -> Found | None:
        replies = self._broadcast(command, arguments, reply=True, **self._options)
        found = {worker: answer for reply in replies or () for worker, answer in reply.items()}
        return found or None

    def ping(self, destination: Any = None) -> Found | None:
        """Who is there."""
        if destination is not None:
            return Inspect(self._broadcast, **{**self._options, "destination": destination}).ping()
        return self._ask("ping")

    def active(self, safe: bool | None = None) -> Found | None:
        """The tasks that run."""
        return self._ask("active") if safe is None else self._ask("active", safe=safe)

    def reserved(self, safe: bool | None = None) -> Found | None:
        """The tasks that were claimed and have not begun."""
        return self._ask("reserved")

    def scheduled(self, safe: bool | None = None) -> Found | None:
        """The tasks that wait for their time."""
        return self._ask("scheduled")

    def revoked(self) -> Found | None:
        """The ids that workers were told not to begin."""
        return self._ask("revoked")

    def registered(self, *taskinfoitems: str) -> Found | None:
        """The tasks that workers can run, with those of their options that are named."""
        return self._ask("registered", taskinfoitems=list(taskinfoitems))

    def query_task(self, *ids: Any) -> Found | None:
        """Where these tasks are, as far as workers have them."""
        listed = ids[0] if len(ids) == 1 and isinstance(ids[0], list | tuple) else ids
        return self._ask("query_task", ids=list(listed))

    def stats(self) -> Found | None:
        """Counts, processes, broker, resources."""
        return self._ask("stats")

    def active_queues(self) -> Found | None:
        """The queues that workers serve."""
        return self._ask("active_queues")

    def conf(self, with_defaults: bool = False) -> Found | None:
        """Settings, secrets masked."""
        return self._ask("conf", with_defaults=with_defaults)

    def report(self) -> Found | None:
        """What a bug report should say."""
        return self._ask("report")

    def clock(self) -> Found | None:
        """Logical times."""
        return self._ask("clock")

    def hello(self, from_node: str, revoked: Any = None) -> Found | None:
        """What a worker that starts asks the others."""
        return self._ask("hello", from_node=from_node, revoked=revoked)

    def __repr__(self) -> str:
        return f"<Inspect destination={self._options.get('destination')}>"
