"""From lines to a story: tasks with their runs, faults with their victims, all in order of time."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from penstock.testing.history.record import Event

__all__ = ["Fault", "Run", "Story", "Task"]

SECOND = 1_000_000_000
_CUTS = frozenset({"server", "cut", "freeze"})  # the broker is out of reach for everybody
_FIELDS = frozenset({"at", "pid", "op", "kind", "key", "phase", "pids"})


@dataclass(slots=True)
class Run:
    """One start of a task, and its end if it had one. Times are monotonic nanoseconds."""

    name: str
    pid: int
    start: int
    retry: int = 0
    attempt: int = 1
    wall: float = 0.0
    end: int | None = None


@dataclass(slots=True)
class Task:
    """All that is told of one task."""

    id: str
    invoked: int | None = None
    wishes: Event = field(default_factory=dict)
    acked: int | None = None
    refused: int | None = None  # surely not stored, the client was told
    runs: list[Run] = field(default_factory=list)
    results: list[Event] = field(default_factory=list)
    states: list[Event] = field(default_factory=list)
    dead: list[Event] = field(default_factory=list)

    @property
    def poison(self) -> bool:
        """It kills whoever runs it."""
        return bool(self.wishes.get("poison"))

    @property
    def known(self) -> int | None:
        """When a client first had its result."""
        return min((event["at"] for event in self.results), default=None)

    @property
    def ended(self) -> bool:
        """It reached a recorded end: a result that a client read, or a dead letter."""
        return bool(self.results or self.dead)


@dataclass(slots=True)
class Fault:
    """What was done: a moment, or a time that had an end."""

    kind: str
    pids: frozenset[int]
    begin: int
    end: int
    more: Event = field(default_factory=dict)

    @property
    def seconds(self) -> float:
        """How long it lasted."""
        return (self.end - self.begin) / SECOND

    @property
    def is_cut(self) -> bool:
        """The broker was out of reach, for everybody."""
        return self.kind in _CUTS


class Story:
    """The whole history, read once."""

    def __init__(self, events: Iterable[Event]) -> None:
        self.setup: Event = {}
        self.tasks: dict[str, Task] = {}
        self.faults: list[Fault] = []
        self.ups: list[Event] = []
        self.samples: dict[int, list[Event]] = defaultdict(list)
        self.findings: list[Event] = []
        self.first = self.last = 0
        self._bosses: dict[int, tuple[int, ...]] = {}  # executor -> its zygote and supervisor
        self._open: dict[Any, Fault] = {}
        self._runs: dict[str, Run] = {}
        for event in sorted(events, key=lambda event: event["at"]):
            self._take(event)
        for fault in self._open.values():  # nobody took it back
            fault.end = self.last

    def _take(self, event: Event) -> None:
        self.first = self.first or event["at"]
        self.last = event["at"]
        getattr(self, f"_on_{event['op']}")(event)

    def task(self, name: Any) -> Task:
        """The task of that id, made when it is first heard of."""
        found = self.tasks.get(str(name))
        if found is None:
            found = self.tasks[str(name)] = Task(str(name))
        return found

    def _on_setup(self, event: Event) -> None:
        self.setup |= event

    def _on_send(self, event: Event) -> None:
        task = self.task(event["id"])
        match event["phase"]:
            case "invoke":
                task.invoked, task.wishes = event["at"], event
            case "ok":
                task.acked = event["at"]
            case "fail":
                task.refused = event["at"]

    def _on_up(self, event: Event) -> None:
        self.ups.append(event)
        self._bosses[event["pid"]] = (event["zygote"], event["supervisor"])

    def _on_start(self, event: Event) -> None:
        run = Run(
            event["run"], event["pid"], event["at"],
            event.get("retry", 0), event.get("attempt", 1), event.get("wall", 0.0),
        )  # fmt: skip
        self._runs[run.name] = run
        self.task(event["id"]).runs.append(run)

    def _on_end(self, event: Event) -> None:
        run = self._runs.get(event["run"])
        if run is None:
            self._lacks(event, "a run ended that never began")
        else:
            run.end = event["at"]

    def _on_result(self, event: Event) -> None:
        self.task(event["id"]).results.append(event)

    def _on_state(self, event: Event) -> None:
        self.task(event["id"]).states.append(event)

    def _on_dead(self, event: Event) -> None:
        self.task(event["id"]).dead.append(event)

    def _on_fault(self, event: Event) -> None:
        phase = event.get("phase", "at")
        if phase == "end":
            fault = self._open.pop(event["key"], None)
            if fault is None:
                self._lacks(event, "a fault ended that never began")
            else:
                fault.end = event["at"]
            return
        more = {name: value for name, value in event.items() if name not in _FIELDS}
        fault = Fault(
            event["kind"], frozenset(event.get("pids", ())), event["at"], event["at"], more
        )
        self.faults.append(fault)
        if phase == "begin":
            self._open[event["key"]] = fault

    def _lacks(self, event: Event, text: str) -> None:
        """A history with holes proves nothing."""
        told = f"{text}: {event.get('run') or event.get('key')}"
        self.findings.append({"check": "history", "ok": False, "text": told})

    def _on_sample(self, event: Event) -> None:
        self.samples[event["of"]].append(event)

    def _on_finding(self, event: Event) -> None:
        self.findings.append(event)

    @property
    def atomic(self) -> bool:
        """Results and acknowledgements are one step."""
        return bool(self.setup.get("atomic", True))

    # --- questions ---------------------------------------------------------------------------

    def supervisor(self, pid: int) -> int | None:
        """The supervisor of an executor."""
        bosses = self._bosses.get(pid)
        return bosses[-1] if bosses else None

    def strikes(self, run: Run) -> Iterator[Fault]:
        """The faults that hit a run's executor, its zygote or its supervisor."""
        struck = {run.pid, *self._bosses.get(run.pid, ())}
        return (fault for fault in self.faults if struck & fault.pids)

    def disturbed(self, pid: int, begin: int, end: int, *, but: Fault) -> bool:
        """Something else hit an executor, its zygote, its supervisor or the broker meanwhile.

        So does whoever was stopped: it may hold a lock of the broker's that all need.
        """
        family = {pid, *self._bosses.get(pid, ())}
        others = (f for f in self.faults if f is not but and f.begin < end and f.end >= begin)
        return any(f.is_cut or f.kind == "stop" or family & f.pids for f in others)

    def served(self, begin: int, end: int) -> bool:
        """A worker was up all the time: not killed, not told to end, and not stopped meanwhile."""
        struck = {
            pid
            for fault in self.faults
            if fault.begin <= end and (fault.kind != "stop" or fault.end >= begin)
            for pid in fault.pids
        }
        up = ((one["zygote"], one["supervisor"]) for one in self.ups if one["at"] <= begin)
        return any(struck.isdisjoint(bosses) for bosses in up)

    def cuts(self) -> Iterator[Fault]:
        """The times when the broker was out of reach."""
        return (fault for fault in self.faults if fault.is_cut)

    def starts(self) -> list[int]:
        """When tasks started, in order."""
        return sorted(run.start for task in self.tasks.values() for run in task.runs)
