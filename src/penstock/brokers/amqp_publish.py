"""Publishing on RabbitMQ: all at once, then wait until the server has confirmed each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from penstock.brokers.amqp_boot import Boot
from penstock.brokers.amqp_delays import Delays
from penstock.brokers.amqp_queues import Queues
from penstock.brokers.amqp_wire import BOOT
from penstock.engines.amqp_errors import Unsent, is_foreign, said
from penstock.engines.amqp_limit import Limit
from penstock.engines.amqp_live import Live, Silent
from penstock.errors import BrokerError, EncodeError, PenstockError, Unavailable, Uncertain

__all__ = ["Outbox", "Parcel"]

_WINDOW = 1_000  # unconfirmed messages
_TRIES = 10  # by other ways, where queues are gone
_SMALL = 16_384  # bytes of messages that a socket takes which takes anything
_BEAT = 1.0  # seconds: so often it is looked after the connection's heart while nothing comes


class Parcel(msgspec.Struct, frozen=True):
    """A message on its way: the library's form of it, and where it goes."""

    id: str  # of the task
    queue: str  # where it ends
    message: Any
    exchange: str = ""
    delay: int | None = None  # ms that it waits before, by an exchange that is chosen at the end


class Outbox:
    """A channel in confirm mode and what is not confirmed on it; kept by its :class:`Live`."""

    def __init__(self, live: Live) -> None:
        self._live = live
        self._queues = live.kept(Queues)
        self._delays = live.kept(Delays)
        self._boot = ""
        self._channel: Any = None
        self._number = 0  # of the last message sent on the channel
        self._waiting: dict[int, int] = {}  # number -> place in the batch, in order
        self._refused: set[int] = set()  # places
        self._returned: set[str] = set()  # keys

    def send(self, parcels: Sequence[Parcel], limit: Limit) -> None:
        """Return when all are stored; raises Unavailable, Uncertain, EncodeError, ConfigError.

        ``limit`` is for a server that takes no messages at present, or does not say so.
        """
        parcels = self._prepared(parcels, limit)
        homeless = self._send(parcels, limit)
        for _ in range(_TRIES):
            if not homeless:
                return
            for parcel in homeless:  # their queues were deleted since we looked
                self._queues.forget(parcel.queue)
                self._delays.gone(parcel.exchange)
            homeless = self._send([self._ensured(x, limit) for x in homeless], limit)
        if homeless:
            stored = _others(parcels, {parcel.id for parcel in homeless})
            text = (
                f"RabbitMQ at {self._live.where} has no queue {homeless[0].queue!r} any more: "
                "somebody deletes it, or forbids to declare it"
            )
            raise Uncertain(text, stored=stored) if stored else Unavailable(text)

    def is_ready_for(self, parcels: Sequence[Parcel]) -> bool:
        """True when they are few and all that is waited for is their confirms."""
        live = self._live
        return (
            bool(self._boot)
            and self._channel.is_open
            and not live.blocked
            and all(x.delay is None and self._queues.is_there(x.queue) for x in parcels)
            and sum(len(x.message.body) for x in parcels) <= _SMALL
            and live.is_writable()
        )

    def _prepared(self, parcels: Sequence[Parcel], limit: Limit) -> list[Parcel]:
        """Have all that they need; raises Unsent."""
        try:
            self._live.await_unblocked(limit)
            prepared = [self._ensured(parcel, limit) for parcel in parcels]
            self._boot = self._live.kept(Boot).name()
            self._queues.register()
        except Exception as error:
            if is_foreign(error):
                raise Unsent(said(error)) from error
            raise
        return prepared

    def _ensured(self, parcel: Parcel, limit: Limit) -> Parcel:
        """The parcel, by a way that is there."""
        self._queues.ensure(parcel.queue)
        if parcel.delay is None:
            return parcel
        return msgspec.structs.replace(parcel, exchange=self._delays.way(parcel.delay, limit))

    def _send(self, parcels: Sequence[Parcel], limit: Limit) -> list[Parcel]:
        """Those that no queue took."""
        self._waiting.clear()
        self._refused.clear()
        self._returned.clear()
        sent = 0
        try:
            channel = self._opened()
            for place, parcel in enumerate(parcels):
                self._publish(channel, place, parcel)
                sent = place + 1
                if len(self._waiting) >= _WINDOW:
                    self._await_fewer(_WINDOW // 2, limit)
            self._await_fewer(1, limit)
        except PenstockError:
            raise
        except Exception as error:
            if not is_foreign(error):
                raise
            raise self._failed(error, parcels, sent) from error
        if self._refused:
            stored = _others(parcels, {parcels[place].id for place in self._refused})
            text = f"RabbitMQ at {self._live.where} refused {len(self._refused)} messages: a queue "
            text += "is full (x-max-length), or it cannot write"
            raise Uncertain(text, stored=stored) if stored else Unavailable(text)
        return [x for x in parcels if x.message.properties["message_id"] in self._returned]

    def _await_fewer(self, count: int, limit: Limit) -> None:
        """Read until fewer are unconfirmed; raises Silent.

        That it takes nothing at present a server says only to who publishes meanwhile. What was
        sent then is not read yet, and nobody can take it back: it may be confirmed later.
        """
        live, waiting = self._live, len(self._waiting)
        while len(self._waiting) >= count:
            left = limit.left_before if live.blocked else limit.left
            if left <= 0:
                raise Silent(self._why_silent(limit))
            live.read_for(min(left, _BEAT))
            if len(self._waiting) < waiting:
                limit.moved()
                waiting = len(self._waiting)

    def _why_silent(self, limit: Limit) -> str:
        if self._live.blocked:
            return f"{self._live.takes_nothing}; what was sent is stored once it does"
        return (
            f"RabbitMQ at {self._live.where} has not confirmed within {limit.seconds:g} s. A "
            "quorum queue that has lost its leader does not (rabbitmqctl list_queues name leader)"
        )

    def _publish(self, channel: Any, place: int, parcel: Parcel) -> None:
        from amqp import spec

        parcel.message.properties["application_headers"][BOOT] = self._boot
        try:
            # Not basic_publish(): that looks for news from the server before each message.
            channel.send_method(
                spec.Basic.Publish, "Bssbb", (0, parcel.exchange, parcel.queue, True, False),
                parcel.message,
            )  # fmt: skip
        except (ValueError, TypeError, UnicodeError) as error:
            raise self._unwritable(parcel, error) from error
        except Exception as error:
            # The library's packers raise these for numbers and names that AMQP cannot carry.
            if type(error).__name__ not in {"error", "FrameSyntaxError", "OverflowError"}:
                raise
            raise self._unwritable(parcel, error) from error
        self._number += 1
        self._waiting[self._number] = place

    def _unwritable(self, parcel: Parcel, error: Exception) -> EncodeError:
        return EncodeError(f"AMQP has no form for the headers of {parcel.id}: {error}")

    def _failed(
        self, error: Exception, parcels: Sequence[Parcel], sent: int
    ) -> PenstockError | Exception:
        """What a broken connection or a closed channel means for each message."""
        refusal = self._live.refused(error)
        doubtful = set(self._waiting.values()) | set(range(sent, len(parcels)))
        stored = tuple(x.id for place, x in enumerate(parcels) if place not in doubtful)
        if not isinstance(refusal, Unavailable) and len(parcels) == 1:
            return refusal
        if not isinstance(refusal, Unavailable) and isinstance(refusal, BrokerError | EncodeError):
            return Uncertain(f"{refusal}; the rest of the batch went with it", stored=stored)
        if isinstance(error, Silent):
            return Uncertain(str(error), stored=stored)
        text = f"the connection to RabbitMQ at {self._live.where} was lost before it confirmed"
        return Uncertain(f"{text}: {said(error)}", stored=stored)

    # --- the channel -------------------------------------------------------------------------

    def _opened(self) -> Any:
        if self._channel is None or not self._channel.is_open:
            channel = self._live.channel("confirm")
            channel.confirm_select()
            channel.events["basic_ack"].add(self._on_ack)
            channel.events["basic_nack"].add(self._on_nack)
            channel.events["basic_return"].add(self._on_return)
            self._channel, self._number = channel, 0
        return self._channel

    def _taken(self, tag: int, multiple: bool) -> list[int]:
        if not multiple:
            place = self._waiting.pop(tag, None)
            return [] if place is None else [place]
        tags = []
        for number in self._waiting:
            if number > tag:
                break
            tags.append(number)
        return [self._waiting.pop(number) for number in tags]

    def _on_ack(self, tag: int, multiple: bool) -> None:
        self._taken(tag, multiple)

    def _on_nack(self, tag: int, multiple: bool) -> None:
        self._refused.update(self._taken(tag, multiple))

    def _on_return(self, _error: Any, _exchange: str, _key: str, message: Any) -> None:
        self._returned.add(message.properties.get("message_id"))


def _others(parcels: Sequence[Parcel], ids: set[str]) -> tuple[str, ...]:
    return tuple(parcel.id for parcel in parcels if parcel.id not in ids)
