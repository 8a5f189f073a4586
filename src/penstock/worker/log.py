"""penstock's own log lines, and the task's name on everybody's. The root logger is not touched."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from typing import Any

from penstock.errors import ConfigError

__all__ = ["LOG", "configure", "name_process", "name_tasks"]

LOG = logging.getLogger("penstock.worker")
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
        handler.setFormatter(logging.Formatter(_FORMAT.format(process=name)))


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
