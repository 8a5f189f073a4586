"""penstock's own log lines, and the task's name on everybody's. The root logger is not touched."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from typing import Any

from penstock.errors import ConfigError
from penstock.plain_text import many_lines, one_line
from penstock.tasks.traces import traceback_text

__all__ = ["LOG", "configure", "name_process", "name_tasks"]

LOG = logging.getLogger("penstock.worker")
_INDENT = "  "
_FORMAT = "[%(asctime)s: %(levelname)s/{process}] %(message)s"


def configure(level: str) -> None:
    """Send penstock's log lines from that level up to standard error; ConfigError if unknown."""
    number = logging.getLevelNamesMapping().get(level.upper())
    if number is None:
        raise ConfigError(
            f"there is no log level {level!r}: choose debug, info, warning, error or critical"
        )
    logger = logging.getLogger("penstock")
    handler = logging.StreamHandler(sys.stderr)
    logger.handlers = [handler]
    name_process("MainProcess")
    logger.setLevel(number)
    logger.propagate = False


def name_process(name: str) -> None:
    """Sign penstock's log lines of this process with that name."""
    for handler in logging.getLogger("penstock").handlers:
        handler.setFormatter(_PlainFormatter(_FORMAT.format(process=name)))


class _PlainFormatter(logging.Formatter):
    """One record, one line, whatever its words hold; a traceback follows on lines of its own.

    Those are indented, so that no text within one can pass for a line of the log.
    """

    def format(self, record: logging.LogRecord) -> str:
        record.message = record.getMessage()
        record.asctime = self.formatTime(record, self.datefmt)
        line = one_line(self.formatMessage(record))
        error = record.exc_info[1] if record.exc_info else None
        if error is None:
            return line
        return f"{line}\n{many_lines(traceback_text(error).rstrip(), _INDENT)}"


def name_tasks(current: Callable[[], tuple[str, str] | None]) -> None:
    """Put ``task_id`` and ``task_name`` on every log record of this process.

    ``current`` gives the id and the name of the running task; records made outside one have None.
    """
    make = logging.getLogRecordFactory()

    def named(*args: Any, **kwargs: Any) -> logging.LogRecord:
        record = make(*args, **kwargs)
        record.task_id, record.task_name = current() or (None, None)
        return record

    logging.setLogRecordFactory(named)
