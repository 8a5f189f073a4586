"""penstock's log lines: one record, one line, whatever it is made of."""

import io
import logging
import re

import pytest

from penstock.errors import ConfigError
from penstock.worker import log

FORGED = "\r\n[2026-01-01 00:00:00,000: INFO/MainProcess] Task paid[1] succeeded in 0.1s: None"


@pytest.fixture
def written():
    logger = logging.getLogger("penstock")
    before = logger.handlers, logger.level, logger.propagate
    stream = io.StringIO()
    log.configure("debug")
    for handler in logger.handlers:
        handler.setStream(stream)
    yield stream.getvalue
    logger.handlers, logger.propagate = before[0], before[2]
    logger.setLevel(before[1])


def raised(error):
    """The error with a traceback."""
    with pytest.raises(type(error)) as caught:
        _throw(error)
    return caught.value


def _throw(error):
    raise error


def test_no_field_begins_a_line_of_its_own(written):
    log.LOG.info("Received task: %s[%s]", f"tasks.add{FORGED}", "\x1b[2J\x1b[1;1Hid")
    (line,) = written().splitlines()
    assert r"tasks.add\r\n[2026-01-01" in line
    assert r"[\x1b[2J\x1b[1;1Hid]" in line


def test_a_traceback_follows_indented_and_cannot_pass_for_log_lines(written):
    error = raised(ValueError(f"bad{FORGED}\x1b]0;title\x07"))
    log.LOG.error("Task %s raised: %r", "t", error, exc_info=error)
    first, *rest = written().splitlines()
    assert re.match(r"\[.*ERROR/MainProcess\] Task t raised: ValueError\('bad", first)
    assert rest[0] == "  Traceback (most recent call last):"
    assert all(line.startswith("  ") for line in rest)
    assert "\x1b" not in written()
    assert r"\x1b]0;title\x07" in rest[-1]


def test_an_exception_that_has_no_text_is_logged_all_the_same(written):
    class Rude(Exception):
        def __str__(self):
            raise RuntimeError

    log.LOG.error("It ends", exc_info=raised(Rude()))
    assert len(written().splitlines()) > 1


def test_an_exception_of_several_and_its_notes_are_escaped(written):
    inner = raised(KeyError("\x1b[31m"))
    inner.add_note(f"a note{FORGED}")
    log.LOG.error("It ends", exc_info=raised(ExceptionGroup("two\x1b[0m", [inner])))
    assert "\x1b" not in written()
    assert [line[0] for line in written().splitlines()[1:] if line] == [" "] * (
        len(written().splitlines()) - 1
    )


def test_lines_are_signed_by_the_process(written):
    log.name_process("Executor-7")
    log.LOG.warning("hello")
    assert written().endswith(": WARNING/Executor-7] hello\n")


def test_an_unknown_level_is_refused():
    with pytest.raises(ConfigError, match="there is no log level 'loud'"):
        log.configure("loud")
