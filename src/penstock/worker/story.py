"""The line that tells how a task ended, in the words that Celery's users know."""

from __future__ import annotations

import logging

from penstock.tasks.outcome import Failed, Ignored, Outcome, Rejected, Retrying, Succeeded
from penstock.wire.task import Call
from penstock.worker.log import LOG

__all__ = ["tell_end"]

_LONGEST_REPR = 200


def tell_end(call: Call, outcome: Outcome) -> None:
    """Log one end; nothing is formatted when nobody would see it."""
    match outcome:
        case Succeeded():
            if LOG.isEnabledFor(logging.INFO):
                runtime, shown = outcome.runtime, _shown(outcome.value)
                LOG.info("Task %s[%s] succeeded in %.4fs: %s", call.task, call.id, runtime, shown)
        case Failed():
            error = outcome.error
            trace = error if outcome.traceback else None
            LOG.error("Task %s[%s] raised: %s", call.task, call.id, _shown(error), exc_info=trace)
        case Retrying():
            LOG.info("Task %s[%s] retry: %s", call.task, call.id, _shown(outcome.error))
        case Ignored():
            LOG.info("Task %s[%s] ignored", call.task, call.id)
        case Rejected():
            LOG.warning("Task %s[%s] rejected: %s", call.task, call.id, outcome.reason)


def _shown(value: object) -> str:
    try:
        text = repr(value)
    except Exception as error:  # noqa: BLE001 - a task's own __repr__ may raise anything
        text = f"<{type(value).__qualname__}, whose repr raised {type(error).__qualname__}>"
    return text if len(text) <= _LONGEST_REPR else text[:_LONGEST_REPR] + "…"
