"""The checker: what the broker answered, held against what it was asked.

It sits beside the broker and sees each operation at the step at which its last exchange was
carried out, whether or not the caller lived to hear of it. What was carried out with an answer
that nobody saw is *in doubt*: from then on both outcomes are allowed, until one shows.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from penstock.brokers.base import Capabilities
from penstock.message import Again, Dead, Done, Lease, Message, Record, Settlement
from penstock.testing.simulation import operations as ops
from penstock.testing.simulation.burials import Burials
from penstock.testing.simulation.lineup import Lineup
from penstock.testing.simulation.publication import SLACK, Instant, Publication
from penstock.testing.simulation.shelf import Shelf
from penstock.testing.simulation.violation import Violation

__all__ = ["Ledger"]

_Answer = Callable[[Any, Any, Instant, Instant], None]  # operation, answer, since when, now
_REPEAT_WITHIN = 45.0  # seconds in which a settlement that is asked again must be known


class Ledger:
    """All publications of one run, what became of them, and the records they left."""

    def __init__(self, capabilities: Capabilities) -> None:
        self.can = capabilities
        self.pubs: dict[str, Publication] = {}
        self.shelf = Shelf(lambda key: self.pubs[key].number)
        self.leases = 0
        self._lineup = Lineup(self._rank)
        self._burials = Burials(self.pubs)
        self._unseen = 0  # the last step at which a lease may have been taken unseen
        self._peaks: list[tuple[int, float]] = []  # (step, wall) just before the clock went back
        self._revoked: dict[str, int] = {}  # id -> step
        self.doubts = 0  # operations whose outcome nobody saw
        self._answers: dict[type, _Answer] = {
            ops.Publish: lambda op, _, first, now: self._stored(op.messages, first, now),
            ops.Claim: self._claimed,
            ops.Extend: self._extended,
            ops.Settle: self._settled,
            ops.Turn: self._turned,
            ops.Tend: self._tended,
            ops.Put: self._put,
            ops.Look: self._looked,
            ops.Revoke: self._told_to_revoke,
            ops.Letters: lambda _, letters, *__: self._burials.listed(letters),
            ops.Replay: self._replayed,
            ops.Drop: lambda op, count, *_: self._burials.dropped(op.keys, count),
        }

    def _rank(self, priority: int) -> int:
        if not self.can.priorities:
            return 0
        return priority if self.can.highest_first else -priority

    # --- what is asked ---------------------------------------------------------------------

    def made(self, message: Message) -> Message:
        """Somebody made a publication; nobody has sent it yet."""
        self.pubs[message.key] = Publication(message, len(self.pubs) + 1)
        return message

    def name(self, key: str) -> str:
        """The short name of a publication."""
        found = self.pubs.get(key)
        return found.name if found else f"unknown({key})"

    def jumped(self, step: int, wall: float) -> None:
        """The wall clock is set back, from this."""
        self._peaks.append((step, wall))

    # --- what is answered ------------------------------------------------------------------

    def saw(self, op: ops.Operation, answer: object, first: Instant, now: Instant) -> None:
        """An operation was answered; ``first``: when its last exchange was first carried out."""
        self.shelf.step = now.step
        self._answers[type(op)](op, answer, first, now)

    def may_have_done(self, op: ops.Operation, first: Instant) -> None:
        """It was carried out, and what came of it will never be known."""
        self.doubts += 1
        self.shelf.step = first.step
        match op:
            case ops.Publish():
                for message in op.messages:
                    self._may_be_stored(message, first)
            case ops.Claim():
                self._may_be_claimed(op.queues, first)
            case ops.Settle():
                self._may_be_all_settled(op, first)
            case ops.Turn():
                self.may_have_done(op.settle, first)
                self.may_have_done(op.claim, first)
            case ops.Put():
                for record in op.records:
                    self.shelf.may_put(record)
            case _:  # a renewal only adds to what is certain; looking changes nothing
                pass

    def goes_on(self, op: ops.Operation, now: Instant, *, first: bool) -> None:
        """After this exchange, its first or a later one, there is more to ask."""
        match op:
            case ops.Turn():
                if first:
                    self._may_be_all_settled(op.settle, now)
                self._may_be_claimed(op.claim.queues, now)
            case ops.Claim():  # it may have got something, and see whether there is more
                self._may_be_claimed(op.queues, now)
            case _:
                pass

    def hangs(self, op: ops.Operation, now: Instant, gap: float) -> None:
        """It was carried out, and will be again after ``gap`` seconds, before anybody is told."""
        match op:
            case ops.Turn():
                self.hangs(op.settle, now, gap)
                self.hangs(op.claim, now, gap)
            case ops.Claim() if gap < op.ttl - SLACK:  # the repeat gives the same leases
                self.doubts += 1
                self._lineup.scatter(op.queues, now.step)
            case _:
                self.may_have_done(op, now)

    # --- publishing ------------------------------------------------------------------------

    def _stored(self, messages: Sequence[Message], first: Instant, now: Instant) -> None:
        for place, message in enumerate(messages):
            pub = self.pubs[message.key]
            self._may_be_stored(message, first)
            if pub.stored_step is None:
                pub.stored_step, pub.place = now.step, place
                if pub.untouched and not pub.due:
                    self._lineup.join(pub)

    def sending(self, op: ops.Publish, now: Instant) -> None:
        """An exchange of it is carried out: some of them may be there before it is answered."""
        for message in op.messages:
            self._may_be_stored(message, now)

    def _may_be_stored(self, message: Message, first: Instant) -> None:
        pub = self.pubs[message.key]
        if pub.first_step is None:
            pub.first_step = pub.due_since = first.step

    # --- leasing ---------------------------------------------------------------------------

    def _claimed(
        self, op: ops.Claim, leases: Sequence[Lease], first: Instant, now: Instant
    ) -> None:
        if len(leases) > op.limit:
            raise Violation("limit", f"{len(leases)} leases where {op.limit} were asked for")
        for place, lease in enumerate(leases):
            if any(lease.message.key == other.message.key for other in leases[:place]):
                raise Violation(
                    "two holders", f"one claim gave {self.name(lease.message.key)} twice"
                )
            self._leased(op, lease, first, now)
        if len(leases) < op.limit:
            what = f"a claim of {op.limit} gave {len(leases)}"
            self._lineup.check_passed_over(op.queues, first.step, what)

    def _leased(self, op: ops.Claim, lease: Lease, first: Instant, now: Instant) -> None:
        self.leases += 1
        pub = self.pubs.get(lease.message.key)
        if pub is None:
            raise Violation("phantom", f"nobody published what was leased: {lease}")
        if lease.message.queue not in op.queues:
            raise Violation("queue", f"{pub.name} of {lease.message.queue} went to another queue")
        if now.boot - first.boot >= op.ttl and pub.overtakes(lease):
            return  # the claim was held up, and others had it since: its writes will be refused
        pub.leased(lease, op.ttl, first, now, complete=self._certain(pub))
        self._check_time(pub, now)
        self._check_revoked(pub, lease, first)
        self._lineup.leave(pub)
        self._lineup.check_turn(pub, first.step)

    def _check_time(self, pub: Publication, now: Instant) -> None:
        latest = self._latest_wall(pub, now)
        if latest < pub.due - SLACK:
            raise Violation("early", f"{pub.name} was leased {pub.due - latest:.3f} s too early")

    def _latest_wall(self, pub: Publication, now: Instant) -> float:
        """What the wall clock has reached since the delay was set: it may have been set back."""
        return max([now.wall, *(wall for step, wall in self._peaks if step >= pub.due_since)])

    def _check_revoked(self, pub: Publication, lease: Lease, first: Instant) -> None:
        if not self.can.revokes:
            return
        since = self._revoked.get(pub.message.id)
        if lease.revoked and since is None:
            raise Violation("revoked", f"{pub.name} is marked as revoked and nobody revoked it")
        if not lease.revoked and since is not None and since < first.step:
            raise Violation("revoked", f"{pub.name} was leased unmarked after it was revoked")

    def _may_be_claimed(self, queues: Sequence[str], now: Instant) -> None:
        self._unseen = max(self._unseen, now.step)
        self._lineup.scatter(queues, now.step)

    def slept(self, queues: Sequence[str], since: int) -> None:
        """Somebody waited for these queues from step ``since`` and was not woken."""
        self._lineup.check_not_slept_through(queues, since)

    def _turned(self, op: ops.Turn, answer: Any, first: Instant, now: Instant) -> None:
        lost, leases = answer
        self._settled(op.settle, lost, first, now)
        self._claimed(op.claim, leases, first, now)

    def _told_to_revoke(self, op: ops.Revoke, _: None, __: Instant, now: Instant) -> None:
        self._revoked.update(dict.fromkeys(op.ids, now.step))

    # --- renewing --------------------------------------------------------------------------

    def _extended(
        self, op: ops.Extend, held: Sequence[Lease], first: Instant, now: Instant
    ) -> None:
        kept = {(lease.message.key, lease.fence) for lease in held}
        for lease in op.leases:
            pub = self.pubs[lease.message.key]
            if (pub.key, lease.fence) not in kept:
                self._check_lost(pub, lease, now, "renewed")
            elif not pub.holds(lease):
                raise Violation(
                    "stale", f"{pub.name}: a lease was renewed by fence {lease.fence}, {_now(pub)}"
                )
            else:
                pub.until, pub.epoch = max(pub.until, first.boot + op.ttl), now.epoch

    def _check_lost(self, pub: Publication, lease: Lease, now: Instant, verb: str) -> None:
        if pub.holds(lease) and pub.valid(now):
            raise Violation(
                "refused",
                f"{pub.name}: fence {lease.fence} was not {verb}, though it holds for another "
                f"{pub.until - now.boot:.3f} s",
            )

    # --- settling --------------------------------------------------------------------------

    def _settled(
        self, op: ops.Settle, lost: Sequence[Settlement], first: Instant, now: Instant
    ) -> None:
        refused = {(one.lease.message.key, one.lease.fence) for one in lost}
        for settlement in op.settlements:
            pub = self.pubs[settlement.lease.message.key]
            if (pub.key, settlement.lease.fence) in refused:
                self._check_refusal(pub, settlement, now)
            else:
                self._accepted(pub, settlement, first, now)

    def _check_refusal(self, pub: Publication, settlement: Settlement, now: Instant) -> None:
        self._check_lost(pub, settlement.lease, now, "settled")
        repeated = pub.end and pub.end_fence == settlement.lease.fence
        if repeated and now.boot - pub.ended_at < _REPEAT_WITHIN:
            raise Violation("refused", f"{pub.name} was settled, and the repeat was refused")

    def _accepted(
        self, pub: Publication, settlement: Settlement, first: Instant, now: Instant
    ) -> None:
        fence = settlement.lease.fence
        if pub.holds(settlement.lease):
            self._apply(pub, settlement, first, now)
        elif not (
            (pub.end and pub.end_fence == fence)
            or (_hands_back(settlement) and fence in pub.handed_back)
            or pub.doubted(settlement)
        ):
            raise Violation("stale", f"{pub.name} was settled by fence {fence}, {_now(pub)}")

    def _apply(
        self, pub: Publication, settlement: Settlement, first: Instant, now: Instant
    ) -> None:
        if settlement.record is not None:
            if pub.doubted(settlement):  # it was stored then or now, and others wrote in between
                self.shelf.may_put(settlement.record)
            else:
                self.shelf.put(settlement.record)
        match settlement:
            case Again() if _hands_back(settlement):
                pub.hand_back(settlement, now)
                return
            case Again(message=message, at=at):
                pub.finish("retried", now)
                self.pubs[message.key].due = max(message.ready_at, at)
                self._stored([message], first, now)
            case Dead(reason=reason):
                pub.finish(f"dead: {reason}", now)
                self._burials.add(pub)
            case Done():
                pub.finish("done", now)
        self._lineup.leave(pub)

    def _may_be_all_settled(self, op: ops.Settle, first: Instant) -> None:
        for settlement in op.settlements:
            self._may_be_settled(settlement, first)

    def _may_be_settled(self, settlement: Settlement, first: Instant) -> None:
        pub = self.pubs[settlement.lease.message.key]
        pub.doubt(settlement)
        if settlement.record is not None and not pub.end and pub.fence == settlement.lease.fence:
            self.shelf.may_put(settlement.record)
        if isinstance(settlement, Again) and not _hands_back(settlement):
            self.pubs[settlement.message.key].due = max(settlement.message.ready_at, settlement.at)
            self._may_be_stored(settlement.message, first)

    # --- results ---------------------------------------------------------------------------

    def _put(self, op: ops.Put, refused: Sequence[Record], *_: Instant) -> None:
        documents = {record.document for record in refused}
        for record in op.records:
            if record.document in documents:
                self.shelf.refused(record)
            else:
                self.shelf.taken(record)

    def _looked(
        self, op: ops.Look, found: Sequence[Record | None], began: Instant, _: Instant
    ) -> None:
        for task_id, record in zip(op.ids, found, strict=True):
            if self.shelf.changed(task_id) < began.step:  # else it may have been read before
                self.shelf.read(task_id, record)

    # --- upkeep ----------------------------------------------------------------------------

    def _tended(self, _: ops.Tend, due: float | None, began: Instant, now: Instant) -> None:
        known = [pub for pub in self.pubs.values() if pub.changed_step < began.step]
        waiting = [pub for pub in known if self._waits_for_time(pub, now)]
        if waiting and due is None:
            raise Violation("upkeep", f"tend() said that nothing waits, but {waiting[0].name} does")

    def _waits_for_time(self, pub: Publication, now: Instant) -> bool:
        if pub.end:
            return False
        if pub.lease is not None:
            return pub.valid(now)
        delayed = pub.stored_step is not None and pub.due > self._latest_wall(pub, now) + SLACK
        return delayed and self._certain(pub)

    def _certain(self, pub: Publication) -> bool:
        """True when nobody can have leased it unseen since it was last seen."""
        return self._unseen < max(pub.seen_step, pub.first_step or 0)

    def _replayed(
        self, op: ops.Replay, messages: Sequence[Message], _: Instant, now: Instant
    ) -> None:
        self._burials.replayed(op.keys, messages)
        for message in messages:
            self._stored([self.made(message)], now, now)

    # --- counting --------------------------------------------------------------------------

    def depths(self, queues: Sequence[str], now: Instant) -> dict[str, tuple[int, int]] | None:
        """The least and the most that depth() may say, or None while anything is in doubt.

        A lease that has run out counts or not: it depends on who looked since.
        """
        if self.doubts:
            return None
        counts = {queue: [0, 0] for queue in queues}
        for pub in self.pubs.values():
            if pub.stored_step is not None and not pub.end:
                count = counts[pub.message.queue]
                count[0] += pub.lease is None
                count[1] += pub.lease is None or pub.lapsed(now)
        return {queue: (least, most) for queue, (least, most) in counts.items()}

    # --- the end ---------------------------------------------------------------------------

    def open(self) -> list[Publication]:
        """What was certainly stored and has no end yet."""
        return [pub for pub in self.pubs.values() if pub.stored_step is not None and not pub.end]

    def latest_due(self) -> float:
        """The latest wall time for which something that has not ended waits."""
        waiting = [pub for pub in self.pubs.values() if not pub.end]
        doubts = [one for pub in waiting for one in pub.in_doubt.get(pub.fence, ())]
        delays = [one.at for one in doubts if isinstance(one, Again)]
        return max([pub.due for pub in waiting] + delays, default=0.0)

    def resolve(self, shelf_shows: dict[str, Record | None]) -> None:
        """End what is in doubt and shows signs that the doubtful settlement was carried out."""
        for pub in self.open():
            for settlement in pub.in_doubt.get(pub.fence, ()):
                if self._shows(settlement, shelf_shows):
                    pub.end, pub.end_fence = "ended, as it turned out", pub.fence

    def _shows(self, settlement: Settlement, shows: dict[str, Record | None]) -> bool:
        match settlement:
            case Done(record=None):
                return True  # it leaves no trace
            case Done(record=Record() as record):
                shown = shows.get(record.id)
                return shown is not None and self._at_least(shown, record)
            case Again(message=message) if not _hands_back(settlement):
                retry = self.pubs[message.key]
                return bool(retry.attempt or retry.end)
            case _:
                return False  # dead letters are found in their list

    def _at_least(self, shown: Record, record: Record) -> bool:
        return self.pubs[shown.key].number > self.pubs[record.key].number or (
            shown.document == record.document
        )

    def __repr__(self) -> str:
        return f"Ledger({len(self.pubs)} publications, {len(self.open())} open)"


def _hands_back(settlement: Settlement) -> bool:
    return isinstance(settlement, Again) and settlement.message.key == settlement.lease.message.key


def _now(pub: Publication) -> str:
    return f"but the latest is fence {pub.fence} and it is {pub.end or 'leased or waiting'}"
