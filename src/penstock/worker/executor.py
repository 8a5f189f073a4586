"""The executor: takes tasks from its channel, runs them, answers each at once.

It holds no connection: states and retries go over the channel, and user code that calls ``delay``
opens a client of its own. A task is begun by whoever receives its packet; receiving the next one
only when free keeps all others recallable.
"""

from __future__ import annotations

import os
import random
from typing import TYPE_CHECKING, Protocol

from penstock.crashpoints import reach
from penstock.errors import DecodeError
from penstock.tasks.frame import Delivery, running
from penstock.tasks.outcome import (
    Outcome,
    Rejected,
    Report,
    followed,
    report,
    state_document,
)
from penstock.tasks.run import Guard, arun_call, run_call
from penstock.wire.task import Call, decode_call
from penstock.worker import log, protocol
from penstock.worker.protocol import (
    Begun,
    Finished,
    FromExecutor,
    Hand,
    Late,
    Progress,
    Ready,
    Retried,
)
from penstock.worker.story import tell_end

if TYPE_CHECKING:
    from concurrent.futures import Executor as ThreadPool

    from penstock.message import Message
    from penstock.tasks.app import App
    from penstock.tasks.run import Minder, Runner

__all__ = ["Executor", "Outlet"]


class Outlet(Protocol):
    """Where answers go."""

    def send(self, value: FromExecutor) -> None:
        """Pass on an answer at once, whole."""
        ...


class Executor:
    """What all pools share: one task from packet to reply. Usable from several threads."""

    def __init__(
        self,
        app: App,
        outlet: Outlet,
        *,
        hostname: str,
    ) -> None:
        self.app = app
        self._outlet = outlet
        self._hostname = hostname
        self._clock = app.clock
        self._pid = os.getpid()
        self._limits = app.conf.message_limits

    def start(self) -> None:
        """Get ready for tasks, and say so."""
        random.seed()  # forked from one state, executors would all draw the same numbers
        log.name_tasks(_task_name)
        self.app.start_executor()
        self._outlet.send(Ready())
        reach("ready")

    def stop(self) -> None:
        """There are no more tasks."""
        reach("leaving")
        self.app.stop_executor()
        self.app.close()

    def run(
        self,
        hand: Hand,
        *,
        runner: Runner | None = None,
        guard: Guard,
        minder: Minder | None = None,
    ) -> None:
        """Run one task, blocking, and send what became of it."""
        call = self._begin(hand)
        if call is not None:
            delivery = self._delivery(hand)
            reporter = _Reporter(self._outlet, hand.tag)
            outcome = run_call(
                self.app,
                call,
                delivery=delivery,
                reporter=reporter,
                runner=runner,
                guard=guard,
                minder=minder,
            )
            self._end(hand, call, delivery, outcome)

    async def arun(
        self, hand: Hand, *, threads: ThreadPool, guard: Guard, minder: Minder | None
    ) -> None:
        """Run one task on this loop (a plain function: on a thread) and send what became of it."""
        call = self._begin(hand)
        if call is not None:
            delivery = self._delivery(hand)
            reporter = _Reporter(self._outlet, hand.tag)
            outcome = await arun_call(
                self.app,
                call,
                delivery=delivery,
                reporter=reporter,
                guard=guard,
                minder=minder,
                executor=threads,
            )
            self._end(hand, call, delivery, outcome)

    def _begin(self, hand: Hand) -> Call | None:
        reach("received")
        if self._clock.boot() > hand.deadline:  # this process was stopped: others may have it now
            self._outlet.send(Late(hand.tag))
            return None
        try:
            call = decode_call(hand.message, limits=self._limits)
            _refuse_follow_ups(call)
        except DecodeError as error:
            self._outlet.send(protocol.Unreadable(hand.tag, str(error)))
            return None
        if hand.announce:
            self._outlet.send(Begun(hand.tag))
            if self.app.tasks[call.task].options.resolved(self.app.conf).track_started:
                self._send_started(hand, call)
        return call

    def _send_started(self, hand: Hand, call: Call) -> None:
        meta = {"pid": os.getpid(), "hostname": self._hostname}
        document = state_document(call.id, "STARTED", meta)
        self._outlet.send(Progress(hand.tag, "STARTED", document))

    def _delivery(self, hand: Hand) -> Delivery:
        message = hand.message
        return Delivery(message.queue, message.priority, hand.attempt, self._hostname)

    def _end(self, hand: Hand, call: Call, delivery: Delivery, outcome: Outcome) -> None:
        if os.getpid() != self._pid:
            os._exit(1)  # a fork that the task made and did not end: it answers for nobody
        reach("ran")
        task = self.app.tasks[call.task]
        outcome, following = followed(outcome, call, hand.message, settings=self.app.conf)
        written = report(
            outcome,
            call,
            settings=self.app.conf,
            delivery=delivery,
            now=self._clock.wall(),
            ignore_result=task.ignores_result(call),
        )
        reply = _reply(hand, written, following)
        self._outlet.send(reply)  # first the answer, then the story
        reach("replied")
        tell_end(call, written.outcome)


def _reply(hand: Hand, written: Report, following: Message | None) -> FromExecutor:
    outcome, document = written.outcome, written.document
    if following is not None:
        return Retried(hand.tag, following, document, outcome.runtime)
    if isinstance(outcome, Rejected):
        reason, requeue = outcome.reason, outcome.requeue
        return protocol.Rejected(hand.tag, reason, requeue, document, outcome.runtime)
    return Finished(hand.tag, written.state, document, outcome.runtime)


_NOTHING_FOLLOWS = Call(task="-", id="-").embed  # the default, one object for all


def _refuse_follow_ups(call: Call) -> None:
    """Raise DecodeError for a call with callbacks or a chain: half a run would lose them."""
    if call.embed is _NOTHING_FOLLOWS or call.embed == _NOTHING_FOLLOWS:
        return
    asked = [name for name in call.embed.__struct_fields__ if getattr(call.embed, name)]
    if asked:
        raise DecodeError(f"it asks for {', '.join(asked)}, which this version does not run")


class _Reporter:
    """Sends the states that a task reports over the channel."""

    def __init__(self, outlet: Outlet, tag: int) -> None:
        self._outlet = outlet
        self._tag = tag

    def update_state(self, task_id: str, state: str, document: bytes) -> None:
        self._outlet.send(Progress(self._tag, state, document))


def _task_name() -> tuple[str, str] | None:
    frame = running()
    return (frame.call.id, frame.call.task) if frame is not None and frame.call else None
