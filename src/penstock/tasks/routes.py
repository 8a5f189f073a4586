"""Which queue and priority a task's calls take, from its options and the app's settings."""

from __future__ import annotations

from typing import Any

from penstock.errors import ConfigError
from penstock.tasks.calls import Route
from penstock.tasks.options import TaskOptions, wire_priority
from penstock.tasks.settings import Settings
from penstock.wire.codec import unsized

__all__ = ["route_of"]

_ROUTE_KEYS = frozenset({"queue", "priority"})


def route_of(
    name: str, options: TaskOptions | None, settings: Settings, *, highest_first: bool
) -> Route:
    """The route of a task: its own options, then ``task_routes``, then the defaults.

    ``options`` is None for a task that is not registered here: then its worker decides whether
    results are stored. Raises ConfigError for a route that cannot be.
    """
    routed = _routed(name, settings)
    own = options or TaskOptions()
    wish = own.priority if own.priority is not None else routed.get("priority")
    if wish is None:
        wish = settings.task_default_priority
    return Route(
        task=name,
        queue=own.queue or str(routed.get("queue") or settings.task_default_queue),
        priority=None if wish is None else wire_priority(wish, highest_first=highest_first),
        highest_first=highest_first,
        ignore_result=None if options is None else own.resolved(settings).ignore_result,
        expires=own.expires,
        max_bytes=settings.message_max_bytes,
        limits=unsized(settings.message_limits),
    )


def _routed(name: str, settings: Settings) -> dict[str, Any]:
    """What ``task_routes`` says of a name: the name itself before globs, those in order."""
    routes = settings.task_routes
    found = routes.get(name)
    if found is None and routes:
        from fnmatch import fnmatchcase

        found = next((route for glob, route in routes.items() if fnmatchcase(name, glob)), None)
    if found is None:
        return {}
    route = {"queue": found} if isinstance(found, str) else found
    if not route.keys() <= _ROUTE_KEYS:
        raise ConfigError(
            f"setting task_routes: a route has a queue and a priority, not {route!r:.100}"
        )
    return dict(route)
