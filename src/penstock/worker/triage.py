"""What becomes of a message that was just claimed: a run, or an end that is recorded at once."""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping
from dataclasses import dataclass
from typing import Any

from penstock.clock import Clock
from penstock.errors import (
    DecodeError,
    NotRegistered,
    PenstockError,
    TaskRevokedError,
    WorkerLostError,
)
from penstock.message import Dead, Done, Lease, Message, Record, Settlement
from penstock.wire.codec import LIMITS, Limits
from penstock.wire.result import ResultDocument, encode_result, exception_document
from penstock.wire.task import Header, read_header, readable_id, reply_address
from penstock.worker.past import Past
from penstock.worker.protocol import TaskPolicy

__all__ = ["MAX_DEATHS", "Triage"]

MAX_DEATHS = 10  # of whole workers


@dataclass(frozen=True, slots=True)
class Triage:
    """Sorts leases by the app's tasks."""

    tasks: Mapping[str, TaskPolicy]
    clock: Clock
    result_ttl: float | None
    limits: Limits = LIMITS
    revoked_here: Container[str] = frozenset()  # ids that this worker was told not to begin
    stamped: Callable[[Mapping[str, Any]], bool] | None = None  # the same by a task's headers

    def sort(self, lease: Lease) -> tuple[Header, TaskPolicy] | Settlement:
        """The header and policy to run it by, or how it ends without a run."""
        message = lease.message
        try:
            header = read_header(message, limits=self.limits)
        except DecodeError as error:
            return self.unreadable(lease, error)
        if lease.revoked or header.id in self.revoked_here or self._is_stamped(message):
            return Done(lease, self.revoked(message, lease.attempt, "revoked"))
        if message.expires_at is not None and message.expires_at <= self.clock.wall():
            return Done(lease, self.revoked(message, lease.attempt, "expired"))
        deaths = lease.deaths + Past.of_lease(lease).deaths
        if deaths >= MAX_DEATHS:
            reason = f"its worker died {deaths} times while holding it"
            return Dead(lease, reason, self.failure(lease, WorkerLostError(reason)))
        policy = self.tasks.get(header.task)
        if policy is None:
            known = "this worker knows " + (", ".join(sorted(self.tasks)) or "no task")
            reason = f"no task is registered as {header.task!r}; {known}"
            return Dead(lease, reason, self.failure(lease, NotRegistered(header.task)))
        return header, policy

    def _is_stamped(self, message: Message) -> bool:
        return self.stamped is not None and self.stamped(message.headers)

    def unreadable(self, lease: Lease, error: PenstockError) -> Dead:
        """The end of a message that cannot be read; its waiting client learns of it."""
        task_id = readable_id(lease.message)
        record = self.failure(lease, error, task_id=task_id) if task_id else None
        return Dead(lease, f"unreadable: {error}", record)

    def failure(self, lease: Lease, error: BaseException, *, task_id: str | None = None) -> Record:
        """A FAILURE that the supervisor itself records."""
        return self._record(lease.message, lease.attempt, "FAILURE", error, task_id)

    def revoked(self, message: Message, attempt: int, why: str) -> Record:
        """A REVOKED record: ``why`` is revoked, expired or terminated."""
        return self._record(message, attempt, "REVOKED", TaskRevokedError(why), None)

    def _record(
        self,
        message: Message,
        attempt: int,
        state: str,
        error: BaseException,
        task_id: str | None,
    ) -> Record:
        name = task_id or message.id
        document = ResultDocument(
            task_id=name,
            status=state,
            result=exception_document(error),
            children=[],
            date_done=self.clock.wall(),
        )
        return Record(
            id=name,
            state=state,
            document=encode_result(document),
            key=message.key,
            attempt=attempt,
            final=True,
            ttl=self.result_ttl,
            reply_to=reply_address(message),
        )
