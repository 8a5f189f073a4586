"""Claims on RabbitMQ: as many ``basic.get`` at once as there may be messages, queue by queue."""

from __future__ import annotations

import time
from collections.abc import Sequence
from itertools import chain, zip_longest
from typing import Any

from penstock.brokers.amqp_doorbell import Delivery
from penstock.brokers.amqp_holdings import Holdings
from penstock.brokers.amqp_queues import Queues, back_of
from penstock.engines.amqp_live import Live

__all__ = ["take", "take_what_rang"]

_AT_ONCE = 200  # gets that are under way


def take(live: Live, queues: Sequence[str], limit: int) -> list[Delivery]:
    """Up to ``limit`` deliveries, one of each queue in turn, what came back first."""
    return _Claim(live, queues, limit).made()


def take_what_rang(live: Live, queues: Sequence[str], limit: int) -> list[Delivery]:
    """What bells were rung by, without a word with the server; nothing where more may be there."""
    bells = live.kept(Holdings).bells
    if not all(bells.is_open(one) for queue in queues for one in (back_of(queue), queue)):
        return []
    return _Claim(live, queues, limit).rung()


class _Claim:
    """One claim in progress."""

    def __init__(self, live: Live, queues: Sequence[str], limit: int) -> None:
        self._live = live
        self._holdings = live.kept(Holdings)
        self._queues = queues
        self._left = limit
        self._found: dict[str, list[Delivery]] = {queue: [] for queue in queues}
        self._counts: dict[str, int] = {}  # source -> ready messages, as far as they are known
        known = live.kept(Queues)
        for queue in queues:
            known.ensure(queue)
            known.ensure(back_of(queue))

    def rung(self) -> list[Delivery]:
        self._take_what_rang()
        return self._in_turn()

    def made(self) -> list[Delivery]:
        self._take_what_rang()
        self._look_at_all()
        while self._left > 0 and (shares := self._shares()):
            if not self._get(shares):
                break
        for source, count in self._counts.items():
            self._holdings.hints[source] = count
        return self._in_turn()

    def _in_turn(self) -> list[Delivery]:
        for queue, found in self._found.items():
            back = back_of(queue)
            found.sort(key=lambda one: one.source != back)
        if len(self._queues) == 1:
            return self._found[self._queues[0]]
        parts = zip_longest(*self._found.values())
        return [one for one in chain.from_iterable(parts) if one is not None]

    def _take_what_rang(self) -> None:
        for queue in self._queues:
            for source in (back_of(queue), queue):
                while self._left > 0 and (one := self._holdings.bells.take(source)):
                    self._add(queue, one)

    def _add(self, queue: str, delivery: Delivery) -> None:
        self._found[queue].append(delivery)
        self._holdings.delivered(delivery.tag)
        self._left -= 1

    def _look_at_all(self) -> None:
        """One of each source; where there is room for it, what was there last time as well."""
        sources = [
            one for queue in self._queues for one in ((queue, back_of(queue)), (queue, queue))
        ]
        if self._left >= len(sources):
            hints = {source: self._holdings.hints.get(source, 0) for _, source in sources}
            room = self._left - len(sources)
            wishes = []
            for queue, source in sources:
                more = min(hints[source], room // len(self._queues))
                room -= more
                wishes.append((queue, source, 1 + more))
            self._get(wishes)
            return
        for queue, source in sources:  # one after the other, so as not to take too many
            if self._left > 0:
                self._get([(queue, source, 1)])

    def _shares(self) -> list[tuple[str, str, int]]:
        """How many to get from where: what is left to get, dealt out in turn."""
        waiting = {
            queue: [(s, self._counts.get(s, 0)) for s in (back_of(queue), queue)]
            for queue in self._queues
        }
        totals = {queue: sum(count for _, count in parts) for queue, parts in waiting.items()}
        dealt = dict.fromkeys(self._queues, 0)
        left = self._left
        while left > 0 and any(dealt[queue] < totals[queue] for queue in self._queues):
            # Who has got least so far is first; the order of the queues decides between equals.
            open_ = [queue for queue in self._queues if dealt[queue] < totals[queue]]
            least = min(len(self._found[queue]) + dealt[queue] for queue in open_)
            for queue in open_:
                if left > 0 and len(self._found[queue]) + dealt[queue] == least:
                    dealt[queue] += 1
                    left -= 1
        wishes = []
        for queue in self._queues:
            share = dealt[queue]
            for source, count in waiting[queue]:
                part = min(share, count)
                if part:
                    wishes.append((queue, source, part))
                share -= part
        return wishes

    def _get(self, wishes: Sequence[tuple[str, str, int]]) -> int:
        """Get so many of each source; gives how many came."""
        asked = [(queue, source) for queue, source, count in wishes for _ in range(count)]
        came = 0
        for start in range(0, len(asked), _AT_ONCE):
            came += self._get_some(asked[start : start + _AT_ONCE])
        return came

    def _get_some(self, asked: Sequence[tuple[str, str]]) -> int:
        from amqp import spec

        channel = self._holdings.bells.channel
        for _, source in asked:
            channel.send_method(spec.Basic.Get, "Bsb", (0, source, False))
        replies = [spec.Basic.GetOk, spec.Basic.GetEmpty]
        came = 0
        for queue, source in asked:
            reply: Any = self._live.wait(channel, replies)
            if len(reply) == 1:  # it is empty
                self._counts[source] = 0
                continue
            tag, redelivered, _, _, count, message = reply
            self._counts[source] = count
            self._add(queue, Delivery(source, tag, bool(redelivered), message, time.monotonic()))
            came += 1
        return came
