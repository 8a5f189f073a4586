"""Commands that change something: revoking, limits, processes, queues, events, the end."""

from __future__ import annotations

import signal as signals
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from penstock.errors import ConfigError
from penstock.tasks.rates import parse_rate
from penstock.tasks.revocation import record_revoked
from penstock.worker.control.facts import names_in
from penstock.worker.control.stamps import is_stamped, stamps_in

if TYPE_CHECKING:
    from penstock.wire.note import Note
    from penstock.worker.control.site import Site

__all__ = ["ORDERS"]

Answer = dict[str, Any] | None


# --- tasks -----------------------------------------------------------------------------------


def revoke(
    site: Site, task_id: Any, terminate: bool = False, signal: Any = None, **_: Any
) -> Answer:
    """Have these not begin; with ``terminate`` end them where they run."""
    ids = list(dict.fromkeys(names_in(task_id)))
    number = signal_number(signal)
    site.revoked.add(ids)
    ended = site.loop.revoke(ids, terminate=number if terminate else None)
    site.outbox.run(lambda: _record(site, ids, ended=frozenset(ended)))
    site.log.info("Revoked: %s", ", ".join(ids))
    if not terminate:
        return {"ok": f"tasks {set(ids)} flagged as revoked"}
    site.log.info("Terminated by %s: %s", number.name, ", ".join(ended) or "none is here")
    return {"ok": f"terminate: {', '.join(ended) or 'tasks unknown'}"}


def _record(site: Site, ids: Sequence[str], *, ended: frozenset[str]) -> Sequence[Note]:
    """Who revokes with penstock has done it already, Celery's clients leave it to workers.

    What was ended here has its own record, with the reason.
    """
    now, ttl = site.clock.wall(), site.setting("result_expires")
    others = [task_id for task_id in ids if task_id not in ended]
    if others:
        record_revoked(others, broker=site.broker, store=site.store, now=now, ttl=ttl)
    return ()


def terminate(site: Site, signal: Any, task_id: Any, **_: Any) -> Answer:
    """The same as revoke with ``terminate``."""
    return revoke(site, task_id, terminate=True, signal=signal)


def revoke_by_stamped_headers(
    site: Site, headers: Any, terminate: bool = False, signal: Any = None, **_: Any
) -> Answer:
    """The same for tasks that carry one of these stamps: ``{"header": [values]}``.

    Stamps are remembered by this worker alone, and as long as it lives, as by Celery's.
    """
    number = signal_number(signal)
    wanted = stamps_in(headers)
    site.revoked.add_stamps(wanted)
    works = list(site.loop.crew.works())
    ids = {w.header.id for w in works if is_stamped(w.lease.message.headers, wanted)}
    ended = site.loop.revoke(sorted(ids), terminate=number if terminate else None)
    site.log.info("Revoked by stamps: %s", ", ".join(ended) or "none is here")
    if not terminate:
        return {"ok": f"headers {wanted} flagged as revoked, but not terminated"}
    return {"ok": f"headers {wanted} revoked" if ended else f"headers {wanted} were not terminated"}


def signal_number(signal: Any) -> signals.Signals:
    """The signal of that name or number; raises ValueError."""
    if signal is None:
        return signals.SIGTERM
    if isinstance(signal, int):
        return signals.Signals(signal)
    name = str(signal).upper()
    try:
        return signals.Signals[name if name.startswith("SIG") else f"SIG{name}"]
    except KeyError:
        raise ValueError(f"there is no signal {signal!r}") from None


def rate_limit(site: Site, task_name: str, rate_limit: Any, **_: Any) -> Answer:
    """How often a task may begin here from now on."""
    try:
        rate = parse_rate(rate_limit)
    except ConfigError as error:
        return {"error": f"Invalid rate limit string: {ValueError(str(error))!r}"}
    policy = site.tasks.get(task_name)
    if policy is None:
        return {"error": "unknown task"}
    text = str(rate_limit) if rate else None
    site.tasks[task_name] = msgspec.structs.replace(policy, rate_limit=text)
    site.intake.limit(task_name, rate)
    site.log.info("New rate limit for %s: %s", task_name, text)
    done = "new rate limit set successfully" if rate else "rate limit disabled successfully"
    return {"ok": done}


def time_limit(
    site: Site,
    task_name: str | None = None,
    hard: float | None = None,
    soft: float | None = None,
    **_: Any,
) -> Answer:
    """How long a task may run here: those that are claimed from now on."""
    policy = site.tasks.get(task_name or "")
    if task_name is None or policy is None:
        return {"error": "unknown task"}
    limits = {"time_limit": _seconds(hard), "soft_time_limit": _seconds(soft)}
    site.tasks[task_name] = msgspec.structs.replace(policy, **limits)
    site.log.info("New time limits for %s: soft=%s hard=%s", task_name, soft, hard)
    return {"ok": "time limits set successfully"}


def _seconds(value: Any) -> float | None:
    seconds = None if value is None else float(value)
    if seconds is not None and not 0 < seconds < float("inf"):
        raise ValueError(f"a time limit is more than 0 seconds, not {value!r}")
    return seconds


# --- processes -------------------------------------------------------------------------------


def pool_grow(site: Site, n: Any = 1, **_: Any) -> Answer:
    """Have more processes."""
    site.loop.resize(int(n))
    return {"ok": "pool will grow"}


def pool_shrink(site: Site, n: Any = 1, **_: Any) -> Answer:
    """Have fewer processes: those that go finish what they run."""
    site.loop.resize(-int(n))
    return {"ok": "pool will shrink"}


def pool_restart(site: Site, **_: Any) -> Answer:
    """Not here: a worker is restarted by stopping it and starting another."""
    raise ValueError("Pool restarts not enabled")


def autoscale(site: Site, **_: Any) -> Answer:
    """Not here."""
    raise ValueError("Autoscale not enabled")


def shutdown(site: Site, msg: Any = "Got shutdown from remote", **_: Any) -> None:
    """Stop as TERM does. Nothing is answered."""
    site.log.warning("%s", str(msg)[:200])
    site.loop.drain()


# --- queues ----------------------------------------------------------------------------------


def add_consumer(site: Site, queue: str, **_: Any) -> Answer:
    """Serve a queue, too."""
    (name,) = names_in(queue)
    if name in site.loop.queues:
        return {"ok": f"already consuming from {name!r}"}
    site.loop.consume(name)
    site.log.info("Serving the queue %s, too", name)
    return {"ok": f"add consumer {name}"}


def cancel_consumer(site: Site, queue: str, **_: Any) -> Answer:
    """Claim nothing more from a queue."""
    (name,) = names_in(queue)
    site.loop.cancel(name)
    site.log.info("The queue %s is served no more", name)
    return {"ok": f"no longer consuming from {name}"}


# --- events ----------------------------------------------------------------------------------


def enable_events(site: Site, **_: Any) -> Answer:
    """Tell what tasks do."""
    if not site.herald.heard:
        return {"error": "event dispatcher unavailable"}
    already, site.herald.on = site.herald.on, True
    return {"ok": f"task events {'already ' if already else ''}enabled"}


def disable_events(site: Site, **_: Any) -> Answer:
    """Do not tell what tasks do."""
    if not site.herald.heard:
        return {"error": "event dispatcher unavailable"}
    was_on, site.herald.on = site.herald.on, False
    return {"ok": f"task events {'' if was_on else 'already '}disabled"}


def heartbeat(site: Site, **_: Any) -> None:
    """Tell at once that it is there; answered by that event alone."""
    site.herald.answer_heartbeat()


def election(site: Site, **_: Any) -> None:
    """Of Celery's workers among themselves: penstock's do not stand."""


ORDERS: dict[str, Callable[..., Answer]] = {
    command.__name__: command
    for command in (
        revoke, terminate, revoke_by_stamped_headers, rate_limit, time_limit, pool_grow,
        pool_shrink, pool_restart, autoscale, shutdown, add_consumer, cancel_consumer,
        enable_events, disable_events, heartbeat, election,
    )
}  # fmt: skip
