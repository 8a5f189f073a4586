"""How much to claim and who gets it: functions without I/O that say what to do.

An idle executor never waits behind a busy one. Tasks that take long are handed over one at a
time; short ones some milliseconds of work ahead, so that no executor idles during a round trip
to the broker. What sits behind a task that turns out to be long is taken back.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from penstock.worker.crew import Crew, Phase, Slot, Work

__all__ = ["Pace", "assignments", "overdue", "room", "stuck"]

AHEAD = 0.008  # seconds of work that one executor may have ahead of it
MOST_AHEAD = 128  # tasks
PATIENCE = 0.010  # seconds without a reply before what is behind a task is taken back
KEEP_WAITING = 0.25  # seconds before what no executor here can take goes back to the broker


class Pace:
    """How long tasks take here: an exponentially weighted mean of run times, in seconds."""

    _WEIGHT = 0.2

    def __init__(self) -> None:
        self.mean: float | None = None

    def add(self, runtime: float) -> None:
        """Note one run."""
        mean = self.mean
        self.mean = runtime if mean is None else mean + self._WEIGHT * (runtime - mean)

    def ahead(self) -> int:
        """How many tasks an executor may hold besides those it runs."""
        if self.mean is None:
            return 0
        return min(MOST_AHEAD, int(AHEAD / max(self.mean, 1e-6)))


def room(crew: Crew, pace: Pace, now: float) -> int:
    """How many more messages this worker should hold now (monotonic)."""
    ahead = pace.ahead()
    free = at_once = 0
    for slot in crew.slots.values():
        held = len(slot.held)
        if slot.takes_tasks:
            wish = _wish(slot, ahead, now)
            free += slot.most(wish) - held
            at_once += wish - held
        elif slot.phase is Phase.LEAVING and slot.capacity > 1:
            # Where executors on their way out have successors already, all of them together still
            # run no more at once than the worker should.
            at_once -= held
    return max(0, min(free, at_once) - len(crew.waiting))


def _wish(slot: Slot, ahead: int, now: float) -> int:
    """How much an executor may hold: nothing behind a task that turned out to be long."""
    return slot.capacity + (0 if _silent(slot, now) else ahead)


def _silent(slot: Slot, now: float) -> bool:
    return bool(slot.held) and now - slot.progress_at > PATIENCE


def assignments(crew: Crew, pace: Pace, now: float) -> Iterator[tuple[Work, Slot]]:
    """Who gets what of the waiting, in order; idle executors first.

    Each pair is to be handed over (and noted) before the next is asked for.
    """
    while crew.waiting:
        slot = _least_loaded(crew.slots.values(), pace, now)
        work = crew.waiting[0]
        if slot is None or (work.alone and slot.held):
            return
        yield work, slot


def _least_loaded(slots: Iterable[Slot], pace: Pace, now: float) -> Slot | None:
    slots = [slot for slot in slots if slot.takes_tasks]
    for slot in slots:
        if not slot.held:
            return slot
    ahead = pace.ahead()
    free = [slot for slot in slots if len(slot.held) < slot.most(_wish(slot, ahead, now))]
    return min(free, key=lambda slot: len(slot.held) / slot.capacity) if free else None


def stuck(crew: Crew, now: float) -> list[Slot]:
    """Executors whose next tasks should be taken back: no reply for longer than is usual.

    Also those with tasks behind the running one while another executor has nothing at all.
    """
    full = [slot for slot in crew.slots.values() if len(slot.held) > slot.capacity]
    if not full:
        return []
    idle = not crew.waiting and any(s.takes_tasks and not s.held for s in crew.slots.values())
    return [
        slot for slot in full if _silent(slot, now) or (idle and len(slot.held) > slot.capacity + 1)
    ]


def overdue(crew: Crew, now: float) -> list[Work]:
    """Works that waited too long for a free executor here: others should have them."""
    return [work for work in crew.waiting if now - work.since > KEEP_WAITING and not work.settled]
