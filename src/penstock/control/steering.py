"""``app.control``: looking at workers and steering them, in Celery's words.

Workers of penstock hear it on every broker that reaches other processes; on Redis workers of
Celery hear it as well, and answer.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from penstock.control.asking import ask, tell
from penstock.control.looking import Inspect
from penstock.errors import ConfigError
from penstock.wire.control import Request

if TYPE_CHECKING:
    from penstock.brokers.base import Broker

__all__ = ["Control"]

Reply = dict[str, Any]
Names = str | Sequence[str]


class Control:
    """Requests to workers. Thread-safe; each call that waits for answers has a box of its own.

    Every method takes ``destination`` (names of workers; else ``pattern`` with ``matcher``, glob or
    pcre; else all hear it), and with ``reply`` waits ``timeout`` seconds for answers and gives
    them, a map of one worker's name to what it said each. Without, it gives None at once.
    """

    def __init__(
        self,
        broker: Callable[[], Broker],
        *,
        record_revoked: Callable[[Sequence[str]], None] = lambda _: None,
    ) -> None:
        self._broker = broker
        self._record_revoked = record_revoked

    def broadcast(
        self,
        command: str,
        arguments: Mapping[str, Any] | None = None,
        destination: Names | None = None,
        *,
        reply: bool = False,
        timeout: float = 1.0,
        limit: int | None = None,
        callback: Callable[[Mapping[str, Any]], object] | None = None,
        pattern: str | None = None,
        matcher: str | None = None,
        **others: Any,
    ) -> list[Reply] | None:
        """Ask workers for any command; other keywords are arguments of it, too."""
        names = _names(destination)
        request = Request(
            method=command,
            arguments={**(arguments or {}), **others},
            destination=names,
            pattern=pattern,
            matcher=matcher or ("glob" if pattern else None),
        )
        talk = self._broker().talk
        if not reply:
            tell(talk, request)
            return None
        most = len(names) if limit is None and names is not None else limit
        answers = ask(talk, request, timeout=timeout, limit=most, each=callback)
        return [{worker: answer} for worker, answer in answers.items()]

    def inspect(
        self,
        destination: Names | None = None,
        timeout: float = 1.0,
        *,
        callback: Callable[[Mapping[str, Any]], object] | None = None,
        limit: int | None = None,
        pattern: str | None = None,
        matcher: str | None = None,
    ) -> Inspect:
        """Looking at workers: ``app.control.inspect().active()``."""
        return Inspect(
            self.broadcast,
            destination=destination,
            timeout=timeout,
            callback=callback,
            limit=limit,
            pattern=pattern,
            matcher=matcher,
        )

    def ping(
        self, destination: Names | None = None, timeout: float = 1.0, **options: Any
    ) -> list[Reply]:
        """Who is there: ``[{"penstock@host": {"ok": "pong"}}]``."""
        options |= {"reply": True, "timeout": timeout}
        return self.broadcast("ping", destination=destination, **options) or []

    # --- tasks -------------------------------------------------------------------------------

    def revoke(
        self,
        task_id: Any,
        destination: Names | None = None,
        terminate: bool = False,
        signal: str = "SIGTERM",
        **options: Any,
    ) -> list[Reply] | None:
        """Have tasks (one id or several) not run; with ``terminate`` end them where they run.

        REVOKED is stored for those that have neither started nor ended, and every claim sees to
        them: also where no worker runs now.
        """
        ids = [str(task_id)] if _is_one(task_id) else [str(each) for each in task_id]
        if destination is None:
            self._record_revoked(ids)
        arguments = {"task_id": ids, "terminate": terminate, "signal": signal}
        if not self._broker().capabilities.broadcasts:
            return None
        return self.broadcast("revoke", arguments, destination, **options)

    def terminate(
        self,
        task_id: Any,
        destination: Names | None = None,
        signal: str = "SIGTERM",
        **options: Any,
    ) -> list[Reply] | None:
        """End tasks where they run, and have them not run elsewhere."""
        return self.revoke(task_id, destination, terminate=True, signal=signal, **options)

    def rate_limit(
        self,
        task_name: str,
        rate_limit: str | float,
        destination: Names | None = None,
        **options: Any,
    ) -> list[Reply] | None:
        """How often a task may begin on each worker: ``"10/m"``; 0 for no limit."""
        arguments = {"task_name": task_name, "rate_limit": rate_limit}
        return self.broadcast("rate_limit", arguments, destination, **options)

    def time_limit(
        self,
        task_name: str,
        soft: float | None = None,
        hard: float | None = None,
        destination: Names | None = None,
        **options: Any,
    ) -> list[Reply] | None:
        """How many seconds a task may run."""
        arguments = {"task_name": task_name, "hard": hard, "soft": soft}
        return self.broadcast("time_limit", arguments, destination, **options)

    # --- workers -----------------------------------------------------------------------------

    def pool_grow(
        self, n: int = 1, destination: Names | None = None, **options: Any
    ) -> list[Reply] | None:
        """Have workers run ``n`` more processes."""
        return self.broadcast("pool_grow", {"n": n}, destination, **options)

    def pool_shrink(
        self, n: int = 1, destination: Names | None = None, **options: Any
    ) -> list[Reply] | None:
        """Have workers run ``n`` fewer processes; what runs is finished."""
        return self.broadcast("pool_shrink", {"n": n}, destination, **options)

    def add_consumer(
        self,
        queue: str,
        exchange: str | None = None,
        exchange_type: str = "direct",
        routing_key: str | None = None,
        destination: Names | None = None,
        **options: Any,
    ) -> list[Reply] | None:
        """Have workers serve a queue, too."""
        arguments = {
            "queue": queue,
            "exchange": exchange,
            "exchange_type": exchange_type,
            "routing_key": routing_key,
        }
        return self.broadcast("add_consumer", arguments, destination, **options)

    def cancel_consumer(
        self, queue: str, destination: Names | None = None, **options: Any
    ) -> list[Reply] | None:
        """Have workers claim nothing more from a queue."""
        return self.broadcast("cancel_consumer", {"queue": queue}, destination, **options)

    def enable_events(self, destination: Names | None = None, **options: Any) -> list[Reply] | None:
        """Have workers tell what their tasks do."""
        return self.broadcast("enable_events", {}, destination, **options)

    def disable_events(
        self, destination: Names | None = None, **options: Any
    ) -> list[Reply] | None:
        """Have workers be silent about their tasks."""
        return self.broadcast("disable_events", {}, destination, **options)

    def heartbeat(self, destination: Names | None = None, **options: Any) -> list[Reply] | None:
        """Have workers tell at once, by an event, that they are there."""
        return self.broadcast("heartbeat", {}, destination, **options)

    def shutdown(self, destination: Names | None = None, **options: Any) -> list[Reply] | None:
        """Stop workers: what runs is finished, the rest handed back. Nobody answers."""
        return self.broadcast("shutdown", {}, destination, **options)

    def __repr__(self) -> str:
        return "<Control>"


def _names(destination: Names | None) -> tuple[str, ...] | None:
    if destination is None or isinstance(destination, str):
        return None if destination is None else (destination,)
    names = tuple(destination)
    if not all(isinstance(name, str) for name in names):
        raise ConfigError(f"destination is a worker's name or a list of names, not {destination!r}")
    return names


def _is_one(task_id: Any) -> bool:
    return isinstance(task_id, str) or not isinstance(task_id, Sequence | set | frozenset)
