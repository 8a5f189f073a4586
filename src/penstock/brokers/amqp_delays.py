"""Delays on RabbitMQ: a queue with a time to live for each of a few lengths.

One queue for each length, for a time-to-live of a message's own waits for those before it. Their
messages move by themselves to where they are bound for, so they are quorum queues: only these let
go of a message when its next queue has confirmed it. Two habits of that kind of queue (seen with
3.10.8) shape what is here:

- For seconds after one was made, the server has its name in memory only. A server that is killed
  then makes it anew, empty, and without a leader: it never takes a message again. So a queue is
  *ripe* some seconds after it was made, and nothing is put into it before.
- One that has a time after which it is deleted unused (``x-expires``) is deleted in use: neither
  messages nor declaring it again count. So they stay, and there are few of them: one for each
  length of one digit.

That a queue is ripe is told by an exchange, ``penstock.wait.30000``, that leads to it. Who makes a
queue holds a lock meanwhile, which ends with its connection, and gives it a name that nobody had:
what was begun and not finished is never touched, for the server may not survive that. So that
little of it is left, workers make what is missing, others only what they cannot do without. What
cannot take the way of its own length takes that of the longest one below.
"""

from __future__ import annotations

import secrets
import time
from typing import Any

from penstock.brokers.amqp_queues import RIPE, Queues
from penstock.engines.amqp_limit import Limit
from penstock.engines.amqp_live import Live
from penstock.errors import Unavailable

__all__ = ["Delays", "rung"]

_SHORTEST, _LONGEST = 10, 4_000_000_000  # ms; what the server takes as a time to live
_LATE = 5  # ms: so much later than wished is soon enough
_STEPS = tuple(10**n for n in range(2, 9))  # ms: lengths that are there for all to lean on
_FRESH = 30.0  # seconds for which what is ripe is not asked for again
_AGAIN = 0.25  # the same of what is not
_NAP = 0.1


def rung(seconds: float) -> int:
    """The length (ms) that what has to wait so long takes first.

    What comes too early by what was cut off is delayed again by who gets it.
    """
    ms = max(_SHORTEST, min(int(seconds * 1000) + _LATE, _LONGEST))
    scale: int = 10 ** (len(str(ms)) - 1)
    return ms // scale * scale


class Delays:
    """What this connection knows of them; kept by its :class:`Live`."""

    def __init__(self, live: Live) -> None:
        self._live = live
        self._queues = live.kept(Queues)
        self._ripe: dict[int, float] = {}  # until when it is not asked again (monotonic)
        self._unripe: dict[int, float] = {}  # the same
        self._making: dict[int, tuple[str, float]] = {}  # by our lock: queue, and when it is ripe
        self._lasting = False

    def way(self, ms: int, limit: Limit) -> str:
        """The exchange by which what waits so long goes; none once it has waited here.

        Raises Unavailable.
        """
        due = time.monotonic() + ms / 1000
        while (found := self._longest(ms)) is None:
            left = due - time.monotonic()
            if left <= 0:
                return ""
            if limit.left_before <= 0:
                raise Unavailable(
                    f"RabbitMQ at {self._live.where} has no queues for delays yet: they are used "
                    f"{RIPE:g} s after they were made, and these are new; nothing was sent"
                )
            for missing in (ms, _step_below(ms)):
                self._make(missing)
            self._live.read_for(max(0.001, min(_NAP, left, limit.left_before)))
        return _name(found)

    def look_after(self) -> None:
        """Make what others lean on; for who is there for long."""
        if not self._lasting:
            self._lasting = True
            for ms in _STEPS:
                if not self._is_ripe(ms):
                    self._make(ms)

    def finish(self) -> None:
        """Finish what was begun, as far as it is ripe."""
        for ms in list(self._making):
            self._is_ripe(ms)

    def gone(self, exchange: str) -> None:
        """Somebody has deleted the queue of a length: nothing leads there, so it is made anew."""
        import amqp

        for ms in [ms for ms in self._ripe if _name(ms) == exchange]:
            del self._ripe[ms]
            try:
                self._channel.exchange_delete(exchange, if_unused=True)
            except amqp.ChannelError:
                continue  # it is back

    # --- what is there -----------------------------------------------------------------------

    def _longest(self, ms: int) -> int | None:
        if self._is_ripe(ms):
            return ms
        if self._lasting:
            self._make(ms)
        return next((step for step in reversed(_STEPS) if step < ms and self._is_ripe(step)), None)

    def _is_ripe(self, ms: int) -> bool:
        now = time.monotonic()
        if self._ripe.get(ms, 0.0) > now:
            return True
        if ms in self._making:
            return self._finished(ms, now)
        if self._unripe.get(ms, 0.0) > now:
            return False
        if self._leads(ms):
            self._ripe[ms] = now + _FRESH
            return True
        self._unripe[ms] = now + _AGAIN
        return False

    def _leads(self, ms: int) -> bool:
        import amqp

        try:
            self._channel.exchange_declare(_name(ms), "fanout", passive=True)
        except amqp.NotFound:
            return False
        except amqp.ChannelError as error:
            raise self._live.refused(error) from error
        return True

    # --- making ------------------------------------------------------------------------------

    def _make(self, ms: int) -> None:
        """Begin, unless somebody does already."""
        if ms in self._making or not self._locked(ms):
            return
        if self._leads(ms):  # since we looked
            self._channel.queue_delete(_lock(ms))
            return
        queue = f"{_name(ms)}.{secrets.token_hex(4)}"
        self._queues.declare_leading_on(queue, ms)
        self._making[ms] = queue, time.monotonic() + RIPE

    def _finished(self, ms: int, now: float) -> bool:
        import amqp

        queue, ripe_at = self._making[ms]
        if now < ripe_at:
            return False
        del self._making[ms]
        self._channel.exchange_declare(_name(ms), "fanout", durable=True, auto_delete=False)
        try:
            self._channel.queue_bind(queue, _name(ms))
        except amqp.NotFound:  # somebody has deleted it
            self._channel.exchange_delete(_name(ms), if_unused=True)
        else:
            self._ripe[ms] = now + _FRESH
        self._channel.queue_delete(_lock(ms))
        return ms in self._ripe

    def _locked(self, ms: int) -> bool:
        """True when making it is up to us."""
        import amqp

        try:
            self._live.on_a_channel_of_its_own(
                lambda channel: channel.queue_declare(_lock(ms), exclusive=True, auto_delete=True)
            )
        except amqp.ResourceLocked:
            return False
        except amqp.ChannelError as error:
            raise self._live.refused(error) from error
        return True

    @property
    def _channel(self) -> Any:
        return self._live.channel("declare")


def _step_below(ms: int) -> int:
    return max((step for step in _STEPS if step <= ms), default=ms)


def _name(ms: int) -> str:
    return f"penstock.wait.{ms}"


def _lock(ms: int) -> str:
    return f"penstock.making.{ms}"
