"""A kill storm over one queue between processes, and what their own records say about it.

Eight processes put and get. One after the other gets SIGKILL at a random moment; the storm waits
until every survivor has put or got something again, and starts another in its place. When one of
them does not for a second, the queue is dead: that is counted, and all begin anew with another one.

    python tests/support/queue_storm.py --kills 1000 [--queue penstock --queue multiprocessing]
        [--processes 8] [--seed 1] [--patience 1.0] [--json FILE]
"""

import argparse
import contextlib
import dataclasses
import json
import os
import random
import signal
import sys
import tempfile
import time
from pathlib import Path

from queue_storm_crew import DRAIN, LEAVE, Board, Member
from queue_storm_queues import FORK, QUEUES
from queue_storm_verdict import Verdict, judge

ROLES = ("p", "c", "p", "c", "pc", "p", "c", "pc")  # of the places, over and over
LAST_WORDS = 15.0  # seconds for what must happen at the end
SHARED_MEMORY = Path("/dev/shm")


class Storm:
    """One storm in one folder."""

    def __init__(self, folder, *, queue="penstock", kills, processes=8, seed=None, patience=1.0):
        self.folder, self.make = Path(folder), QUEUES[queue]
        self.kills, self.places, self.patience = kills, range(processes), patience
        self.random = random.Random(seed)
        self.verdict = Verdict(queue)
        self.numbers = 0  # of processes, counted through all rounds

    def run(self):
        before, descriptors, begin = leftovers(), open_here(), time.monotonic()
        while True:
            done = Round(self).run()
            if done:
                break
        self.verdict.seconds = time.monotonic() - begin
        self.verdict.files = sorted(leftovers() - before)
        self.verdict.descriptors += max(0, open_here() - descriptors)
        return self.verdict


class Round:
    """From the making of a queue to its end, or to its death."""

    def __init__(self, storm):
        self.storm, self.verdict, self.random = storm, storm.verdict, storm.random
        self.folder = storm.folder / str(storm.numbers)
        self.folder.mkdir()
        self.queue = storm.make()
        self.board = Board(len(storm.places))
        self.crew = {}  # place -> process
        self.begun = {}  # place -> its word when the process began, and its descriptors after that
        self.killed = set()  # numbers

    def run(self):
        """Whether the storm is over."""
        try:
            for place in self.storm.places:
                self.start(place)
            alive = self.all_go_on(time.monotonic()) is not None
            while alive and self.verdict.kills < self.storm.kills:
                alive = self.kill_one()
            if alive:
                self.drain()
            else:
                self.verdict.dead += 1
        finally:
            self.end_all()
        judge(self.verdict, self.folder, self.killed, alive=alive)
        self.board.close()
        return alive

    def start(self, place):
        self.storm.numbers += 1
        number, roles = self.storm.numbers, ROLES[place % len(ROLES)]
        member = Member(
            self.queue, self.board, self.folder, place=place, number=number, roles=roles
        )
        process = FORK.Process(target=member.run, name=str(number))
        process.start()
        self.crew[place] = process
        self.begun[place] = [self.board.words[2 + place], None]

    # --- killing ---------------------------------------------------------------------------

    def kill_one(self):
        """Whether the queue survived it."""
        self.board.pace = self.random.choice((0, 0, 0, 1, 2))
        time.sleep(self.random.expovariate(1 / 0.008))
        calm = self.all_go_on(time.monotonic())
        place = self.random.choice(self.storm.places)
        self.note_descriptors()
        victim = self.crew.pop(place)
        os.kill(victim.pid, signal.SIGKILL)
        at = time.monotonic()
        self.killed.add(victim.name)
        self.verdict.kills += 1
        times = self.all_go_on(at)
        if calm and times:
            self.verdict.calm.append(calm[1])
            self.verdict.first.append(times[0])
            self.verdict.every.append(times[1])
        victim.join()
        victim.close()
        self.start(place)
        return times is not None

    def all_go_on(self, since):
        """Seconds until the first, and until the last of all processes has put or got something.

        None when one of them does not in time.
        """
        before, waiting, first = self.board.progress(), set(self.crew), None
        while waiting:
            now = time.monotonic()
            if now - since > self.storm.patience:
                return None
            moved = {p for p in waiting if self.board.words[2 + p] != before[p]}
            if moved and first is None:
                first = now
            waiting -= moved
            time.sleep(0.0002)
        return first - since, time.monotonic() - since

    # --- the end ---------------------------------------------------------------------------

    def drain(self):
        """Nobody puts any more, the rest is got, join returns, all leave."""
        self.note_descriptors(last=True)
        self.board.order, self.board.pace = DRAIN, 0
        for place in [p for p in self.crew if ROLES[p % len(ROLES)] == "p"]:
            self.leave(place)
        if self.queue.join:
            self.verdict.joined = self.join()
        self.board.order = LEAVE
        self.queue.shut()
        for place in list(self.crew):
            self.leave(place)
        facts = self.queue.facts()
        self.verdict.said = facts.pop("lost", None)
        self.verdict.left = facts

    def join(self):
        """Whether the queue's join() returns."""
        joiner = FORK.Process(target=self.queue.join)
        joiner.start()
        joiner.join(LAST_WORDS)
        joined = joiner.exitcode == 0
        joiner.kill()
        joiner.join()
        joiner.close()
        return joined

    def leave(self, place):
        process = self.crew.pop(place)
        process.join(LAST_WORDS)
        if process.exitcode != 0:
            self.verdict.errors.append(f"process {process.name}: exit code {process.exitcode}")
            process.kill()
            process.join()
        process.close()

    def end_all(self):
        for process in self.crew.values():
            process.kill()
            process.join()
            self.killed.add(process.name)
            process.close()
        self.queue.close()

    def note_descriptors(self, *, last=False):
        """How many the survivors have open, against how many they had when they had begun."""
        for place, process in self.crew.items():
            word, begun = self.begun[place]
            if self.board.words[2 + place] == word:
                continue  # it has not begun
            with contextlib.suppress(FileNotFoundError):
                count = len(os.listdir(f"/proc/{process.pid}/fd"))  # noqa: PTH208
                if begun is None:
                    self.begun[place][1] = count
                elif last:
                    more = count - begun - 2  # two: a large item on its way
                    self.verdict.descriptors = max(self.verdict.descriptors, more)


def leftovers():
    """What this storm may leave: its queues' files have its process id in their names."""
    return {str(path) for path in SHARED_MEMORY.rglob(f"*storm-{os.getpid()}*")}


def open_here():
    return len(os.listdir("/proc/self/fd"))  # noqa: PTH208


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--queue", action="append", choices=sorted(QUEUES), dest="queues")
    parser.add_argument("--kills", type=int, default=1_000)
    parser.add_argument("--processes", type=int, default=8)
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--patience", type=float, default=1.0, help="seconds until it is dead")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    seed = random.randrange(1 << 32) if options.seed is None else options.seed
    print(f"seed {seed}", flush=True)
    verdicts = []
    for queue in options.queues or ["penstock"]:
        with tempfile.TemporaryDirectory(prefix="queue-storm-") as folder:
            storm = Storm(
                folder, queue=queue, kills=options.kills, processes=options.processes,
                seed=seed, patience=options.patience,
            )  # fmt: skip
            verdicts.append(storm.run())
    show(verdicts)
    if options.json:
        options.json.write_text(json.dumps([dataclasses.asdict(v) for v in verdicts], indent=1))
    return 0 if all(verdict.clean() for verdict in verdicts if verdict.queue == "penstock") else 1


def show(verdicts):
    rows = [verdict.row() for verdict in verdicts]
    print(f"{'':26}" + "".join(f"{verdict.queue:>18}" for verdict in verdicts))
    for name in rows[0]:
        print(f"{name:26}" + "".join(f"{row[name]:>18}" for row in rows))
    for verdict in verdicts:
        for error in verdict.errors[:3]:
            print(f"\n{verdict.queue}: {error}")


if __name__ == "__main__":
    sys.exit(main())
