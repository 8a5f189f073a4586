"""The methods of remote control as people type them: what they mean, and their arguments."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from penstock.errors import ConfigError

__all__ = ["CONTROL", "INSPECT", "Method"]

_YES = frozenset({"1", "true", "yes", "on"})


def _flag(text: str) -> bool:
    return text.lower() in _YES


class Argument(msgspec.Struct, frozen=True):
    """One argument: its name on the wire, what makes its value from text."""

    name: str
    read: Callable[[str], Any] = str
    needed: bool = True
    several: bool = False  # takes all that follow

    def __str__(self) -> str:
        text = self.name.upper() + ("..." if self.several else "")
        return text if self.needed else f"[{text}]"


class Method(msgspec.Struct, frozen=True):
    """What workers can be asked."""

    name: str
    means: str
    arguments: tuple[Argument, ...] = ()

    @property
    def usage(self) -> str:
        """As it is typed."""
        return " ".join([self.name, *map(str, self.arguments)])

    def read(self, words: Sequence[str]) -> dict[str, Any]:
        """The arguments for the wire; raises ConfigError, which says how it is typed."""
        left = list(words)
        values: dict[str, Any] = {}
        for argument in self.arguments:
            mine = left[:] if argument.several else left[:1]
            del left[: len(mine)]
            if mine:
                read = [self._value(argument, word) for word in mine]
                values[argument.name] = read if argument.several else read[0]
            elif argument.needed:
                raise ConfigError(f"{self.name} needs {argument}: {self.usage}")
        if left:
            raise ConfigError(f"{self.name} takes no {' '.join(left)!r}: {self.usage}")
        return values

    def _value(self, argument: Argument, word: str) -> Any:
        try:
            return argument.read(word)
        except ValueError as error:
            raise ConfigError(
                f"{argument.name.upper()} of {self.name} is a number, not {word!r}: {self.usage}"
            ) from error


def _table(*methods: Method) -> dict[str, Method]:
    return {method.name: method for method in methods}


_ID = Argument("task_id", several=True)
_COUNT = Argument("n", int, needed=False)

INSPECT = _table(
    Method("ping", "who is there"),
    Method("active", "the tasks that run"),
    Method("reserved", "the tasks that are claimed and have not begun"),
    Method("scheduled", "the tasks that wait for their time"),
    Method("query_task", "where these tasks are", (Argument("ids", several=True),)),
    Method("revoked", "the ids that workers were told not to begin"),
    Method(
        "registered",
        "the tasks that workers can run, with those of their options that are named",
        (Argument("taskinfoitems", needed=False, several=True),),
    ),
    Method("active_queues", "the queues that are served"),
    Method("stats", "counts, processes, broker, resources"),
    Method(
        "conf",
        "settings that are not the defaults; all with 1",
        (Argument("with_defaults", _flag, needed=False),),
    ),
    Method("report", "what a bug report should say"),
    Method("clock", "logical times"),
)

CONTROL = _table(
    Method("revoke", "have tasks not begin", (_ID,)),
    Method("terminate", "end tasks where they run", (Argument("signal"), _ID)),
    Method(
        "rate_limit",
        "how often a task may begin: 10/m, 5/s; 0 for no limit",
        (Argument("task_name"), Argument("rate_limit")),
    ),
    Method(
        "time_limit",
        "how many seconds a task may run",
        (
            Argument("task_name"),
            Argument("soft", float),
            Argument("hard", float, needed=False),
        ),
    ),
    Method("pool_grow", "run more processes", (_COUNT,)),
    Method("pool_shrink", "run fewer processes", (_COUNT,)),
    Method("add_consumer", "serve a queue, too", (Argument("queue"),)),
    Method("cancel_consumer", "claim nothing more from a queue", (Argument("queue"),)),
    Method("enable_events", "tell what tasks do"),
    Method("disable_events", "be silent about tasks"),
    Method("heartbeat", "tell at once, by an event, that it is there"),
    Method("shutdown", "finish what runs and stop"),
)
