"""Forks while queues of the Python twin are in use.

Before a fork every section is held, so that the child's copy of a queue is whole; afterwards the
child drops those who wait, since they are threads and tasks of the parent.
"""

from __future__ import annotations

import os
from typing import Protocol
from weakref import WeakValueDictionary

from penstock.queues._core.twin_lines import Lines
from penstock.queues._core.twin_section import Section

__all__ = ["watch"]


class Forkable(Protocol):
    """What a queue lends to a fork."""

    lines: Lines
    section: Section


_watched: WeakValueDictionary[int, Forkable] = WeakValueDictionary()
_held: list[Forkable] = []


def watch(queue: Forkable) -> None:
    """From now on it is good after a fork."""
    _watched[id(queue)] = queue


def _before() -> None:
    _held.extend(queue for ref in _watched.valuerefs() if (queue := ref()) is not None)
    for queue in _held:
        queue.section.hold()


def _after() -> None:
    while _held:
        _held.pop().section.let_go()


def _after_in_child() -> None:
    for queue in _held:
        queue.lines.forget_waiters()
    _after()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before, after_in_parent=_after, after_in_child=_after_in_child)
