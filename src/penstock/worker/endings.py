"""How runs end, and what is written then: every way in one place.

Each method takes a work that left its executor and leaves a settlement with the custody. A work
that lost its lease writes nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import msgspec

from penstock.errors import DecodeError, TimeLimitExceeded, WorkerLostError
from penstock.message import Again, Dead, Done, Message, Record, key_after
from penstock.wire.task import reply_address
from penstock.worker.crew import Verdict, Work
from penstock.worker.past import Past
from penstock.worker.processes import status_text
from penstock.worker.triage import Triage

if TYPE_CHECKING:
    from logging import Logger

    from penstock.worker.control.herald import Herald
    from penstock.worker.custody import Custody
    from penstock.worker.protocol import Finished, Progress, Rejected, Retried

__all__ = ["Endings"]


class Endings:
    """Stateless but for its collaborators."""

    def __init__(
        self,
        *,
        custody: Custody,
        triage: Triage,
        crash_limit: int,
        result_ttl: float | None,
        log: Logger,
        herald: Herald | None = None,
    ) -> None:
        self._custody = custody
        self._triage = triage
        self._crash_limit = crash_limit
        self._result_ttl = result_ttl
        self._log = log
        self._herald = herald

    # --- told by the executor ------------------------------------------------------------

    def finished(self, work: Work, reply: Finished) -> None:
        """It returned or raised: settled for good."""
        record = self._record(work, reply.state, reply.document, final=True)
        self._settle(work, record)
        self._tell(work, reply.state, record, runtime=reply.runtime)

    def retried(self, work: Work, reply: Retried) -> None:
        """It asked to run again: the old publication ends and the new one begins, in one step."""
        record = self._record(work, "RETRY", reply.document, final=False)
        self._again(work, reply.message, reply.message.ready_at, record)
        self._tell(work, "RETRY", record)

    def rejected(self, work: Work, reply: Rejected) -> None:
        """It refused its message: to the tail of the queue, or aside."""
        record = self._record(work, "FAILURE", reply.document, final=True)
        if reply.requeue:  # as a new publication at the tail: at the head it would spin
            message = work.lease.message
            self._again(work, msgspec.structs.replace(message, key=key_after(message.key)))
        elif work.settled or work.lost:
            self._settle(work, record)
        else:
            self._custody.settle(Dead(work.lease, reply.reason, record))
        if self._herald is not None and self._herald.on:
            self._herald.rejected(work.header.id, requeue=reply.requeue)

    def unreadable(self, work: Work, reason: str) -> None:
        """Its body cannot be read: kept aside, and whoever waits for it is told."""
        self._log.error("Task %s is a dead letter: %s", work.header.id, reason)
        letter = self._triage.unreadable(work.lease, DecodeError(reason))
        self._custody.settle(letter)
        self._tell(work, "FAILURE", letter.record)

    def progress(self, work: Work, reply: Progress) -> None:
        """It told a state on its way."""
        record = self._record(work, reply.state, reply.document, final=False)
        if record is not None and not work.lost:
            self._custody.store(record)

    # --- cut short -----------------------------------------------------------------------

    def interrupted(self, work: Work, status: int, *, alone: bool) -> None:
        """Its executor is gone: by our own verdict, or it crashed."""
        if work.verdict is None:
            self._crashed(work, status, alone=alone)
        else:
            self.cut_short(work, work.verdict)

    def cut_short(self, work: Work, verdict: Verdict) -> None:
        """The worker itself ended the run, or gave it up."""
        match verdict:
            case Verdict.TIME_LIMIT:
                error = TimeLimitExceeded(work.hard_limit)
                self._failed(work, self._triage.failure(work.lease, error))
            case Verdict.TERMINATED:
                self.revoked(work, "terminated", signum=work.signal)
            case Verdict.CUT_OFF:
                self.hand_back([work])

    def _crashed(self, work: Work, status: int, *, alone: bool) -> None:
        past = Past.of(work.lease.message)
        crashes = past.crashes + (1 if alone else 0)
        why = f"its executor died {crashes} times while running it, last by {status_text(status)}"
        if work.settled or not work.policy.reject_on_worker_lost:  # there is no second run
            self._failed(work, self._triage.failure(work.lease, WorkerLostError(why)))
        elif crashes >= self._crash_limit:
            self._log.error("Task %s is a dead letter: %s", work.header.id, why)
            record = self._triage.failure(work.lease, WorkerLostError(why))
            self._custody.settle(Dead(work.lease, why, record))
            self._tell(work, "FAILURE", record)
        else:
            past = msgspec.structs.replace(past, crashes=crashes, alone=past.alone or not alone)
            self._again(work, past.on(work.lease.message))

    def orphaned(self, works: Iterable[Work]) -> None:
        """The zygote died, and every executor with it: counted as a worker's death."""
        for work in works:
            past = Past.of(work.lease.message)
            past = msgspec.structs.replace(past, deaths=past.deaths + 1)
            self._again(work, past.on(work.lease.message))

    def revoked(self, work: Work, why: str = "revoked", *, signum: int | None = None) -> None:
        """It was revoked before its run, or terminated in it."""
        record = self._triage.revoked(work.lease.message, work.lease.attempt, why)
        self._settle(work, record)
        self._tell(work, "REVOKED", record, signum=signum)

    def hand_back(self, works: Iterable[Work]) -> None:
        """Not run, or cut off by a stop: back to the head of its queue, nothing counted."""
        for work in works:
            self._again(work, work.lease.message)

    # --- what is told, where events are on -----------------------------------------------

    def _tell(self, work: Work, state: str, record: Record | None, **more: Any) -> None:
        if self._herald is not None and self._herald.on:
            self._herald.ended(work.header.id, state, record, **more)

    # --- what is written -----------------------------------------------------------------

    def _failed(self, work: Work, record: Record) -> None:
        self._settle(work, record)
        self._tell(work, "FAILURE", record)

    def _settle(self, work: Work, record: Record | None) -> None:
        if work.lost:
            self._log.warning("Task %s lost its lease; its result is dropped", work.header.id)
        elif not work.settled:
            self._custody.settle(Done(work.lease, record))
        elif record is not None:
            self._custody.store(record)

    def _again(
        self, work: Work, message: Message, at: float = 0.0, record: Record | None = None
    ) -> None:
        if work.settled:  # acknowledged before the run: only a retry sends it once more
            if message.key != work.lease.message.key:
                self._custody.publish(message, record)
        elif not work.lost:
            self._custody.settle(Again(work.lease, message, at, record))

    def _record(
        self, work: Work, state: str, document: bytes | None, *, final: bool
    ) -> Record | None:
        if document is None:
            return None
        return Record(
            id=work.header.id,
            state=state,
            document=document,
            key=work.lease.message.key,
            attempt=work.lease.attempt,
            final=final,
            ttl=self._result_ttl,
            reply_to=reply_address(work.lease.message),
        )
