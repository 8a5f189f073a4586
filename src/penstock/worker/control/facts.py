"""Commands that look: what the worker has, runs and is. The names and answers are Celery's.

A command gives its answer, or a function that makes it: what may take a while is made by the
outbox's thread. Arguments that a command does not know are let pass, as Celery's workers do.
"""

from __future__ import annotations

import os
import platform
import resource
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import msgspec

from penstock.errors import DecodeError
from penstock.tasks.settings import Settings
from penstock.url import Url
from penstock.wire.task import outer_header
from penstock.wire.times import write_moment
from penstock.worker.control.shown import Shown, request_info

if TYPE_CHECKING:
    from penstock.worker.control.site import Site

__all__ = ["FACTS"]

Answer = Any | Callable[[], Any]
_MOST_LOOKED_AT = 1_000  # messages of a queue
_SECRET = ("api", "token", "key", "secret", "pass", "signature", "credential")
_URLS = ("broker_url", "result_backend")
_MASK = "********"
_BY_DEFAULT = ("exchange", "routing_key", "rate_limit")  # of tasks


def ping(site: Site, **_: Any) -> Answer:
    """Whether it hears."""
    return {"ok": "pong"}


def clock(site: Site, **_: Any) -> Answer:
    """Its logical time."""
    return {"clock": site.logical.value}


def hello(site: Site, from_node: str, revoked: Any = None, **_: Any) -> Answer:
    """What a worker that starts wants to know of the others."""
    if from_node == site.name:
        return None
    if revoked:
        site.revoked.add(map(str, revoked))
    return {"revoked": list(site.revoked), "clock": site.logical.forward()}


# --- tasks -----------------------------------------------------------------------------------


def active(site: Site, **_: Any) -> Answer:
    """What runs."""
    running = list(_running(site))
    return lambda: list(map(request_info, running))


def reserved(site: Site, **_: Any) -> Answer:
    """What was claimed and has not begun."""
    waiting = list(_waiting(site))
    return lambda: list(map(request_info, waiting))


def scheduled(site: Site, **_: Any) -> Answer:
    """What the broker keeps for its queues until its time: workers hold none of it.

    Nothing from a broker that cannot show what it keeps.
    """
    queues = list(site.loop.queues) if site.broker.capabilities.peeks else []
    return lambda: [found for queue in queues for found in _scheduled_in(queue, site)]


def query_task(site: Site, ids: Any, **_: Any) -> Answer:
    """What it has of these tasks."""
    wanted = set(names_in(ids))
    found = [("active", x) for x in _running(site) if x.header.id in wanted]
    found += [("reserved", x) for x in _waiting(site) if x.header.id in wanted]
    return lambda: {shown.header.id: [state, request_info(shown)] for state, shown in found}


def _running(site: Site) -> Iterator[Shown]:
    for slot in site.loop.crew.slots.values():
        for work in list(slot.held.values())[: slot.capacity]:
            started = site.wall_of(work.begun_at or work.since)
            yield Shown.of(work, site.name, started_at=started, pid=slot.pid)


def _waiting(site: Site) -> Iterator[Shown]:
    for slot in site.loop.crew.slots.values():
        for work in list(slot.held.values())[slot.capacity :]:
            yield Shown.of(work, site.name)
    for work in site.loop.crew.waiting:
        yield Shown.of(work, site.name)


def _scheduled_in(queue: str, site: Site) -> Iterator[dict[str, Any]]:
    now = site.clock.wall()
    for message in site.broker.peek(queue, _MOST_LOOKED_AT):
        if message.ready_at > now:
            try:
                header = outer_header(message)
            except DecodeError:  # whoever claims it says what is wrong with it
                continue
            shown = Shown(message=message, header=header, worker=site.name)
            yield {
                "eta": write_moment(message.ready_at),
                "priority": 6,
                "request": request_info(shown),
            }


def revoked(site: Site, **_: Any) -> Answer:
    """The ids it was told not to begin."""
    return list(site.revoked)


def registered(site: Site, taskinfoitems: Any = None, **_: Any) -> Answer:
    """The tasks it can run, with those of their options that are asked for."""
    wanted = names_in(taskinfoitems) or _BY_DEFAULT
    return [_described(name, site, wanted) for name in sorted(site.tasks)]


def _described(name: str, site: Site, wanted: Iterable[str]) -> str:
    policy = site.tasks[name]
    known = ((item, getattr(policy, item, None)) for item in wanted if not item.startswith("_"))
    told = " ".join(f"{item}={value}" for item, value in known if value is not None)
    return f"{name} [{told}]" if told else name


# --- the worker ------------------------------------------------------------------------------


def active_queues(site: Site, **_: Any) -> Answer:
    """The queues it serves, as Celery declares them."""
    return [_queue(name) for name in site.loop.queues]


def _queue(name: str) -> dict[str, Any]:
    return {
        "name": name,
        "exchange": {
            "name": name,
            "type": "direct",
            "arguments": None,
            "durable": True,
            "passive": False,
            "auto_delete": False,
            "delivery_mode": None,
            "no_declare": False,
        },
        "routing_key": name,
        "queue_arguments": None,
        "binding_arguments": None,
        "consumer_arguments": None,
        "durable": True,
        "exclusive": False,
        "auto_delete": False,
        "no_ack": False,
        "alias": None,
        "bindings": [],
        "no_declare": None,
        "expires": None,
        "message_ttl": None,
        "max_length": None,
        "max_length_bytes": None,
        "max_priority": None,
    }


def stats(site: Site, **_: Any) -> Answer:
    """Counts, processes, where its broker is, what it used."""
    loop = site.loop
    return {
        "total": dict(loop.totals),
        "pid": os.getpid(),
        "clock": str(site.logical.value),
        "uptime": int(site.clock.monotonic() - site.since),
        "pool": {
            "implementation": f"penstock.worker:{loop.plan.pool}",
            "max-concurrency": loop.size * loop.plan.capacity,
            "processes": [slot.pid for slot in loop.crew.slots.values()] or [os.getpid()],
            "max-tasks-per-child": site.setting("worker_max_tasks_per_child") or "N/A",
            "put-guarded-by-semaphore": False,
            "timeouts": [
                site.setting("task_soft_time_limit") or 0,
                site.setting("task_time_limit") or 0,
            ],
            "writes": {"total": sum(loop.totals.values()), "strategy": "fair"},
        },
        "broker": _broker(Url.parse(site.manifest.broker)),
        "prefetch_count": loop.crew.count(),
        "rusage": _used(),
    }


def _broker(url: Url) -> dict[str, Any]:
    return {
        "hostname": url.host,
        "userid": url.user,
        "virtual_host": url.path.strip("/") or "/",
        "port": url.port,
        "transport": url.scheme,
    }


_USED = (
    "utime", "stime", "maxrss", "ixrss", "idrss", "isrss", "minflt", "majflt", "nswap", "inblock",
    "oublock", "msgsnd", "msgrcv", "nsignals", "nvcsw", "nivcsw",
)  # fmt: skip


def _used() -> dict[str, float]:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return {name: getattr(used, f"ru_{name}") for name in _USED}


def conf(site: Site, with_defaults: Any = False, **_: Any) -> Answer:
    """The app's settings; without ``with_defaults`` those that differ. Secrets are masked."""
    settings = site.manifest.settings
    shown = settings if with_defaults else _changed(settings)
    return {name: masked(name, value) for name, value in shown.items()}


def _changed(settings: Mapping[str, Any]) -> dict[str, Any]:
    defaults = msgspec.to_builtins(Settings().as_dict())  # as settings come from the zygote
    return {k: v for k, v in settings.items() if k not in defaults or v != defaults[k]}


def masked(name: str, value: Any) -> Any:
    """A setting's value as it may be shown."""
    if name in _URLS and isinstance(value, str):
        return str(Url.parse(value))
    secret = any(word in name.lower() for word in _SECRET)
    return _MASK if secret and isinstance(value, str) else value


def report(site: Site, **_: Any) -> Answer:
    """What a bug report should say."""
    manifest = site.manifest
    lines = [
        f"software -> penstock:{version('penstock')} py:{platform.python_version()}",
        f"platform -> system:{platform.system()} arch:{platform.machine()}",
        f"loader   -> app:{manifest.app} tasks:{len(manifest.tasks)} pool:{site.loop.plan.pool}",
        f"settings -> transport:{Url.parse(manifest.broker)} results:{Url.parse(manifest.backend)}",
    ]
    return {"ok": "\n".join(lines)}


def names_in(value: Any) -> Sequence[str]:
    """The names in an argument that is one, a list of some, or nothing; raises TypeError."""
    names = [value] if isinstance(value, str) else value or []
    if not isinstance(names, list | tuple) or not all(isinstance(name, str) for name in names):
        raise TypeError(f"a name or a list of names is needed, not {value!r}"[:200])
    return names


FACTS: dict[str, Callable[..., Answer]] = {
    command.__name__: command
    for command in (
        ping, clock, hello, active, reserved, scheduled, query_task, revoked, registered,
        active_queues, stats, conf, report,
    )
}  # fmt: skip
FACTS |= {  # what Celery's older tools say
    "dump_active": active,
    "dump_reserved": reserved,
    "dump_schedule": scheduled,
    "dump_revoked": revoked,
    "dump_tasks": registered,
    "dump_conf": conf,
}
