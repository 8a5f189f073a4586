"""The checks: each is a function from a story to what is wrong with it. None of them does I/O."""

from __future__ import annotations

import itertools
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from statistics import median

from penstock.testing.history.causes import DEADLY, Causes
from penstock.testing.history.rules import Rules
from penstock.testing.history.story import SECOND, Fault, Run, Story, Task

__all__ = ["CHECKS", "Pair", "Violation", "pairs"]

_FINAL = frozenset({"SUCCESS", "FAILURE", "REVOKED"})
_MANY_SAMPLES = 6


@dataclass(frozen=True, slots=True)
class Violation:
    """A promise that was broken: which, by which task, and how."""

    check: str
    id: str
    text: str


Check = Callable[[Story, Rules], Iterator[Violation]]
Pair = tuple[Task, Run, Run, Fault | None]  # a run, the next of the same call, and why


def pairs(story: Story, rules: Rules) -> Iterator[Pair]:
    """Each run with the one that repeated it. A retry that the task asked for repeats nothing."""
    causes = Causes(story, rules)
    for task in story.tasks.values():
        copies = _sent_again(story, task)
        for _, group in itertools.groupby(
            sorted(task.runs, key=lambda run: (run.retry, run.start)), key=lambda run: run.retry
        ):
            runs, found = list(group), []
            for run, again in itertools.pairwise(runs):
                cause = causes.of(run, again)
                if cause is None and not _settled(run, again, task, rules):
                    # Each of two workers may take one; what begins later finds its end.
                    cause = copies.pop() if copies else _moved_twice(story, task, run, again)
                found.append(cause)
                yield task, run, again, cause
            copies = _asked_again(story, runs, found, rules)


def _sent_again(story: Story, task: Task) -> list[Fault]:
    """Why a message may be there twice: its sender was cut off, and sent it again.

    So it is where the broker does not know what it has by its key.
    """
    if story.atomic or task.invoked is None or not task.runs:
        return []
    until = task.acked or task.runs[0].start
    return [cut for cut in story.cuts() if cut.begin <= until and cut.end >= task.invoked]


def _asked_again(
    story: Story, runs: list[Run], found: list[Fault | None], rules: Rules
) -> list[Fault]:
    """The same of a retry: two runs asked for it, or one whose asking was cut off.

    So it is where asking and ending are not one step.
    """
    if story.atomic:
        return []
    bound = int(rules.settled_within * SECOND)
    ends = [run.end for run in runs if run.end is not None]
    cuts = [
        cut
        for cut in story.cuts()
        if any(cut.begin <= end + bound and cut.end >= end for end in ends)
    ]
    return [cause for cause in found if cause is not None] + cuts


def _moved_twice(story: Story, task: Task, run: Run, again: Run) -> Fault | None:
    """Why a message is there twice that had been given out before: its mover was cut off.

    Whoever gets a message that somebody died with moves it, with the attempt counted. Between the
    new message and the end of the old one it may die as well, and the old one is moved again, as
    the same attempt. Where moving is one step, there is no such thing.
    """
    if story.atomic or task.invoked is None or run.attempt != again.attempt or run.attempt == 1:
        return None
    since, until = task.invoked, run.start
    movers = [f for f in story.faults if f.is_cut or f.kind in {"worker", "supervisor"}]
    return next((f for f in movers if f.begin <= until and f.end >= since), None)


def _settled(run: Run, again: Run, task: Task, rules: Rules) -> bool:
    """The other began when the end of the one had been stored, and could be found.

    It was read by a client, or is long ago.
    """
    if run.end is None or run.end > again.start:
        return False
    stored = run.end + int(rules.settled_within * SECOND)
    if task.known is not None:
        stored = min(stored, task.known)
    return again.start >= stored + int(rules.looked_within * SECOND)


def lost(story: Story, _rules: Rules) -> Iterator[Violation]:
    """C1: what was acknowledged reaches a recorded end."""
    acked = sorted((t for t in story.tasks.values() if t.acked), key=lambda t: t.acked or 0)
    for place, task in enumerate(acked):
        if not task.ended:
            third = ("prefix", "middle", "postfix")[3 * place // len(acked)]
            ran = "it ran to its end" if any(run.end for run in task.runs) else "it never ended"
            yield Violation("lost", task.id, f"{third} of {len(acked)} acknowledged; {ran}")


def phantom(story: Story, _rules: Rules) -> Iterator[Violation]:
    """C2, C12: nothing runs that nobody sent, or whose sender was told that it is not stored."""
    for task in story.tasks.values():
        if task.runs and task.invoked is None:
            yield Violation("phantom", task.id, "it ran, and nobody sent it")
        elif task.runs and task.refused is not None and task.acked is None:
            yield Violation("phantom", task.id, "it ran, and its sender was told it is not stored")


def rerun(story: Story, rules: Rules) -> Iterator[Violation]:
    """C3: once a client has seen the result, no run begins.

    Where the result is stored before the message is acknowledged, what hit the worker in between
    is an excuse.
    """
    excused = set() if story.atomic else _excused(story, rules)
    for task in story.tasks.values():
        known = task.known
        for run in task.runs:
            if known is not None and run.start > known and run.name not in excused:
                late = (run.start - known) / SECOND
                yield Violation("rerun after settlement", task.id, f"{late:.3f} s later")


def _excused(story: Story, rules: Rules) -> set[str]:
    return {again.name for _, _, again, cause in pairs(story, rules) if cause is not None}


def unexplained(story: Story, rules: Rules) -> Iterator[Violation]:
    """C4: a second start has a cause."""
    for task, run, again, cause in pairs(story, rules):
        if cause is None and not task.poison:
            pause = (again.start - run.start) / SECOND
            ended = "had ended" if run.end is not None and run.end <= again.start else "had not"
            text = f"{run.name} then {again.name}, {pause:.3f} s later; the first {ended}"
            yield Violation("unexplained duplicate", task.id, text)


def overlap(story: Story, rules: Rules) -> Iterator[Violation]:
    """C5: two run at once only where the first was cut off from its lease."""
    grace = int(rules.orphan_lives * SECOND)
    for task, run, again, cause in pairs(story, rules):
        if run.end is None or run.end <= again.start or cause is None:
            continue
        struck = cause.kind in DEADLY and any(fault is cause for fault in story.strikes(run))
        if struck and run.end > cause.begin + grace:
            text = f"{run.name} went on {(run.end - cause.begin) / SECOND:.3f} s after {cause.kind}"
            yield Violation("overlap", task.id, text)


def stale(story: Story, _rules: Rules) -> Iterator[Violation]:
    """C5: the result is of the run that began last; an earlier one had lost its lease by then."""
    for task in story.tasks.values() if story.atomic else ():  # else the first that ended counts
        last = max(task.runs, key=lambda run: run.start, default=None)
        for event in task.results:
            name = event.get("run")
            if name is not None and last is not None and name != last.name:
                yield Violation("stale write", task.id, f"result of {name}, last run {last.name}")
                break


def result(story: Story, _rules: Rules) -> Iterator[Violation]:
    """C6: every reader gets the right result, and the same one."""
    for task in story.tasks.values():
        if not all(event["good"] for event in task.results):
            yield Violation("wrong result", task.id, str(task.results[0].get("text", "")))
        if len({event.get("run") for event in task.results}) > 1:
            runs = [event.get("run") for event in task.results]
            yield Violation("changed result", task.id, f"readers got those of {runs}")


def states(story: Story, _rules: Rules) -> Iterator[Violation]:
    """C6: a final state stays."""
    for task in story.tasks.values():
        for before, after in itertools.pairwise(event["state"] for event in task.states):
            if before in _FINAL and after != before:
                yield Violation("state went back", task.id, f"{before} then {after}")


def order(story: Story, _rules: Rules) -> Iterator[Violation]:
    """C7: in a lane (one producer, one slot) first deliveries begin in the order of sending."""
    lanes: dict[object, list[tuple[int, int, str]]] = defaultdict(list)
    for task in story.tasks.values():
        if task.runs and "lane" in task.wishes:
            first = min(task.runs, key=lambda run: run.start)
            if first.attempt == 1:
                lanes[task.wishes["lane"]].append((first.start, task.wishes["seq"], task.id))
    for lane, starts in lanes.items():
        for before, after in itertools.pairwise(sorted(starts)):
            if after[1] < before[1]:
                yield Violation("order", after[2], f"lane {lane}: {after[1]} after {before[1]}")


def dead_letters(story: Story, _rules: Rules) -> Iterator[Violation]:
    """C8: only poison is set aside, after its limit, with a reason; and poison always is."""
    limit = story.setup.get("crash_limit", 3)
    for task in story.tasks.values():
        for letter in task.dead:
            if not letter.get("reason"):
                yield Violation("dead letter", task.id, "without a reason")
            if not task.poison and len(task.runs) < limit:
                text = f"after {len(task.runs)} runs: {letter.get('reason')}"
                yield Violation("dead letter", task.id, text)
        if task.poison and task.acked and (not task.dead or len(task.runs) > limit):
            dead = "set aside" if task.dead else "not set aside"
            yield Violation("poison", task.id, f"{dead} after {len(task.runs)} of {limit} runs")


def leaks(story: Story, rules: Rules) -> Iterator[Violation]:
    """C10: no process grows."""
    bounds = (("rss", rules.more_rss), ("fds", rules.more_fds), ("threads", rules.more_threads))
    for pid, samples in story.samples.items():
        if len(samples) < _MANY_SAMPLES:
            continue
        third = len(samples) // 3
        for what, bound in bounds:
            before = median(sample[what] for sample in samples[:third])
            after = median(sample[what] for sample in samples[-third:])
            if after - before > bound:
                role = samples[0].get("role", "process")
                text = f"{what} of {role} {pid}: {before:.0f} to {after:.0f}"
                yield Violation("leak", "", text)


def schedule(story: Story, _rules: Rules) -> Iterator[Violation]:
    """C11: nothing starts before its time."""
    for task in story.tasks.values():
        due: float = task.wishes.get("due", 0.0)
        early = [due - run.wall for run in task.runs if run.wall < due]
        if early:
            yield Violation("early", task.id, f"{max(early):.3f} s before its time")


def liveness(story: Story, rules: Rules) -> Iterator[Violation]:
    """C14: while work waits, something happens."""
    if rules.silence is None:
        return
    bound = int(rules.silence * SECOND)
    moments = sorted({*story.starts(), *_ends(story), *_cut_ends(story)})
    for before, after in itertools.pairwise([story.first, *moments, story.last]):
        if after - before > bound and (task := _waiting(story, before, after, bound)):
            text = f"nothing happened for {(after - before) / SECOND:.1f} s, and it waited"
            yield Violation("silence", task.id, text)


def _ends(story: Story) -> Iterable[int]:
    return (run.end for task in story.tasks.values() for run in task.runs if run.end is not None)


def _cut_ends(story: Story) -> Iterable[int]:
    return (cut.end for cut in story.cuts())


def _waiting(story: Story, before: int, after: int, bound: int) -> Task | None:
    """A task that could have run all that time, and did not."""
    if any(cut.begin < after and cut.end > before for cut in story.cuts()):
        return None
    for task in story.tasks.values():
        if task.acked is None or "due" in task.wishes:
            continue
        ended = _done(task, story)
        running = any(run.start <= before and (run.end or after) >= after for run in task.runs)
        if min(ended, after) - max(task.acked, before) > bound and not running:
            return task
    return None


def _done(task: Task, story: Story) -> int:
    """When nothing was left to do for it: the run whose result a client read had ended.

    Not when that was read: who reads thousands of results, one by one, comes late to the last.
    """
    runs = {run.name: run for run in task.runs}
    for result in task.results:
        run = runs.get(result.get("run") or "")
        if run is not None and run.end is not None:
            return run.end
    return task.known or max((run.end or run.start for run in task.runs), default=story.last)


def findings(story: Story, _rules: Rules) -> Iterator[Violation]:
    """C10, C13, C15: what other instruments found."""
    for event in story.findings:
        if not event["ok"]:
            yield Violation(event["check"], "", event.get("text", ""))


def slots(story: Story) -> Iterator[float]:
    """Seconds from the death of an executor to the readiness of the next in its worker."""
    ups: dict[int, list[int]] = defaultdict(list)
    for event in story.ups:
        ups[event["supervisor"]].append(event["at"])
    dead: set[int] = set()
    for fault in story.faults:
        if fault.kind != "executor":
            continue
        for pid in fault.pids - dead:  # a zombie can be killed again, and has no second heir
            dead.add(pid)
            boss = story.supervisor(pid)
            times = ups[boss] if boss is not None else []
            place = bisect_right(times, fault.begin)
            if place < len(times):
                up = times.pop(place)
                if not story.disturbed(pid, fault.begin, up, but=fault):
                    yield (up - fault.begin) / SECOND


CHECKS: tuple[Check, ...] = (
    lost, phantom, rerun, unexplained, overlap, stale, result, states, order, dead_letters, leaks,
    schedule, liveness, findings,
)  # fmt: skip
