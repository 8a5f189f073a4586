"""Two colours, one logic: a *plan* is a generator that yields one atomic exchange at a time.

Brokers and result stores write each operation once, as a plan. A blocking driver
(:func:`drive`) and an awaiting one (:func:`adrive`) run it against an engine; the simulation runs
it with a third, which may crash the caller at any yield, drop the reply or repeat the exchange.
So whatever stands between two yields must be safe to lose, and every exchange safe to repeat.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any, Protocol, TypeVar, runtime_checkable

import msgspec

from penstock.crashpoints import ARMED, reached

__all__ = [
    "Attentive",
    "Command",
    "Engine",
    "Exchange",
    "Listen",
    "Listener",
    "Plan",
    "Wait",
    "adrive",
    "as_plan",
    "drive",
    "together",
]

R = TypeVar("R")


class Exchange(msgspec.Struct, frozen=True):
    """One atomic step against an engine: all of it happens or none.

    ``run`` gets the engine's own target (an open transaction, a state, a pipeline) and gives the
    reply. ``durable`` asks for the engine's full durability before the reply: not needed for what
    a crash of the machine voids anyway, such as leases. With ``seen_early`` others may see it, and
    hear its bells, before it is durable: right where nothing that they do with it can be durable
    unless it is, too. ``lone`` says of one that does not write that it is a single command, which
    sees one state without a transaction around it. ``rings`` names the bells to ring once it has
    happened and something came of it.
    """

    name: str
    run: Callable[[Any], Any]
    writes: bool = True
    durable: bool = True
    seen_early: bool = False
    lone: bool = False
    rings: tuple[str, ...] = ()


class Listener(Protocol):
    """Hears the bells it was made for, from the moment it was made: no ring is missed.

    A ring says "look again", not what is there; rings that nobody heard yet are one ring.
    """

    def fileno(self) -> int:
        """A descriptor that is readable while a ring is unheard, for ``select`` and loops."""
        ...

    def wait(self, timeout: float | None) -> bool:
        """Block up to ``timeout`` seconds (None: for ever) for a ring and clear it."""
        ...

    def clear(self) -> None:
        """Forget the rings so far. Clear first, look afterwards: then none is missed."""
        ...

    def close(self) -> None:
        """Stop listening."""
        ...


@runtime_checkable
class Attentive(Listener, Protocol):
    """A listener that hears sooner when the loop that owns it reads for it while it sleeps.

    Between the two calls the owner waits for :meth:`fileno` and nothing else keeps it.
    """

    def attend(self) -> None:
        """The owner goes to sleep now."""
        ...

    def attended(self, *, ready: bool) -> bool:
        """It woke up, that descriptor being ready or not; gives whether a ring is unheard."""
        ...


class Listen(msgspec.Struct, frozen=True):
    """Open a listener for some bells; the reply is the :class:`Listener`, the plan closes it."""

    bells: tuple[str, ...]


class Wait(msgspec.Struct, frozen=True):
    """Wait for a ring, at most ``timeout`` seconds (None: for ever); the reply says whether."""

    listener: Listener
    timeout: float | None


Command = Exchange | Listen | Wait
Plan = Generator[Command, Any, R]  # one of a single exchange may be written as that exchange


class Engine(Protocol):
    """Where exchanges happen: a SQLite file, the memory of this process, a server."""

    def execute(self, command: Command) -> Any:
        """Carry it out, blocking."""
        ...

    async def aexecute(self, command: Command) -> Any:
        """Carry it out without blocking the loop."""
        ...


def as_plan(plan: Plan[R] | Exchange) -> Plan[R]:
    """A plan, also where it was written as its only exchange."""
    return _only(plan) if isinstance(plan, Exchange) else plan


def _only(exchange: Exchange) -> Plan[Any]:
    return (yield exchange)


def drive(plan: Plan[R] | Exchange, engine: Engine) -> R:
    """Run a plan to its end, blocking."""
    if type(plan) is Exchange and not ARMED:
        return engine.execute(plan)  # type: ignore[no-any-return]
    plan = as_plan(plan)
    try:
        command = next(plan)
        while True:
            if ARMED:
                reached(command, "asked")
            try:
                reply = engine.execute(command)
            except Exception as error:  # noqa: BLE001 - handed to the plan, which may mend it
                command = plan.throw(error)
            else:
                if ARMED:
                    reached(command, "done")
                command = plan.send(reply)
    except StopIteration as stop:
        return stop.value  # type: ignore[no-any-return]
    finally:
        plan.close()


async def adrive(plan: Plan[R] | Exchange, engine: Engine) -> R:
    """Run a plan to its end, awaiting each exchange."""
    plan = as_plan(plan)
    try:
        command = next(plan)
        while True:
            if ARMED:
                reached(command, "asked")
            try:
                reply = await engine.aexecute(command)
            except Exception as error:  # noqa: BLE001 - handed to the plan, which may mend it
                command = plan.throw(error)
            else:
                if ARMED:
                    reached(command, "done")
                command = plan.send(reply)
    except StopIteration as stop:
        return stop.value  # type: ignore[no-any-return]
    finally:
        plan.close()


def _joined(exchanges: list[Exchange]) -> Exchange:
    return Exchange(
        name="+".join(x.name for x in exchanges),
        run=lambda target: [x.run(target) for x in exchanges],
        writes=any(x.writes for x in exchanges),
        durable=any(x.durable for x in exchanges),
        rings=tuple(dict.fromkeys(bell for x in exchanges for bell in x.rings)),
    )


def together(first: Plan[Any], second: Plan[Any]) -> Plan[tuple[Any, Any]]:
    """Run two plans whose first exchanges share one round trip; each then goes on alone.

    This is how a worker settles what is finished and claims what is next in one transaction.
    """
    try:
        one, two = next(first), next(second)
        if not (isinstance(one, Exchange) and isinstance(two, Exchange)):
            raise TypeError("only plans that begin with an exchange can share a round trip")
        replies = yield _joined([one, two])
        results = []
        for plan, reply in zip((first, second), replies, strict=True):
            results.append((yield from _resumed(plan, reply)))
        return results[0], results[1]
    finally:  # a failed round trip must not leave what a plan has opened to a traceback's life
        first.close()
        second.close()


def _resumed(plan: Plan[R], reply: Any) -> Plan[R]:
    try:
        command = plan.send(reply)
        while True:
            try:
                reply = yield command
            except Exception as error:  # noqa: BLE001 - handed to the plan, which may mend it
                command = plan.throw(error)
            else:
                command = plan.send(reply)
    except StopIteration as stop:
        return stop.value  # type: ignore[no-any-return]
