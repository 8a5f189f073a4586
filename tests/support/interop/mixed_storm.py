"""A mixed fleet under load, one side of which is killed at random; and what became of each task.

    python tests/support/interop/mixed_storm.py --victims penstock --kills 30 --tasks 10000

Lost is a task that was sent, has no result, and is nowhere in Redis any more.
"""

import argparse
import dataclasses
import itertools
import random
import signal
import sys
import tempfile
import threading
import time
from collections import defaultdict
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[1]))

from interop.fleet import Fleet
from servers import RedisServer
from workers import wait_for

__all__ = ["OWN_SETTINGS", "MixedStorm", "Verdict"]

KINDS = ("celery", "penstock")
BATCH = 20
AHEAD = 100  # messages that wait
HIDDEN = 2  # seconds after which Celery gives out again what a worker holds
CALM = 20.0  # seconds without progress that mean it hangs
OWN_SETTINGS = {
    "celery": {
        "task_acks_late": True,
        "task_reject_on_worker_lost": True,
        "broker_transport_options": {"visibility_timeout": HIDDEN},
    },
    "penstock": {"crash_limit": 1_000},  # the storm may well meet one task three times
}


@dataclasses.dataclass
class Verdict:
    """What Redis and the tasks' journal prove."""

    tasks: int = 0
    runs: dict = dataclasses.field(default_factory=dict)  # kind of worker -> runs
    kills: int = 0
    lost: list = dataclasses.field(default_factory=list)  # ids
    begun: list = dataclasses.field(default_factory=list)  # those of them that had begun to run
    wrong: list = dataclasses.field(default_factory=list)
    explained: int = 0  # second runs after a kill
    unexplained: list = dataclasses.field(default_factory=list)

    def lines(self, victims):
        yield f"tasks {self.tasks}  runs {self.runs}  {victims} workers killed {self.kills}"
        yield (
            f"lost {len(self.lost)} (begun {len(self.begun)})  wrong results {len(self.wrong)}  "
            f"run twice: explained {self.explained}, unexplained {len(self.unexplained)}"
        )
        if victims == "celery":
            yield f"lost between Celery's pop and its record: {self.lost or 'none'}"


class MixedStorm:
    """Two workers of the kind that is killed, one of the other, clients of both."""

    def __init__(self, fleet, *, victims, kills, tasks, pause=1.0, seed=None):
        self.fleet = fleet
        self.victims = victims
        self.random = random.Random(seed)
        self.kills, self.count, self.pause = kills, tasks, pause
        self.sent = {}  # id -> number
        self.dead = set()  # names of killed workers
        self.calm = threading.Event()  # the last kill is done
        self.verdict = Verdict()

    def run(self):
        (other,) = set(KINDS) - {self.victims}
        for kind in (self.victims, self.victims, other):
            self.fleet.worker(kind, ready=False)
        for worker in self.fleet.workers:
            worker.await_ready()
        senders = [threading.Thread(target=self.send, args=(kind,)) for kind in KINDS]
        for sender in senders:
            sender.start()
        try:
            self.kill_some()
        finally:
            self.calm.set()
        for sender in senders:
            sender.join()
        self.settle_down()
        self.judge()
        return self.verdict

    def send(self, kind):
        """Every other number, as long as there is killing; never far ahead of the workers."""
        client = self.fleet.client(kind)
        numbers = itertools.count(KINDS.index(kind), len(KINDS))
        while len(self.sent) < self.count or not self.calm.is_set():
            batch = list(itertools.islice(numbers, BATCH))
            calls = [(number, self.random.choice((0.0, 0.002, 0.01, 0.03))) for number in batch]
            self.sent.update(zip(client("many", "work", calls), batch, strict=True))
            wait_for(lambda: self.fleet.broker.llen("celery") < AHEAD, CALM, "room in the queue")

    def kill_some(self):
        for _ in range(self.kills):
            time.sleep(self.random.expovariate(1 / self.pause))
            living = [w for w in self.fleet.workers if w.kind == self.victims and w.running]
            victim = self.random.choice(living)
            self.dead.add(victim.name)
            victim.kill()
            self.verdict.kills += 1
            self.fleet.worker(self.victims)

    def settle_down(self):
        """Wait for all results; where Celery workers died, let new ones look for what they held."""
        last, since = None, time.monotonic()
        while missing := self.missing():
            if missing != last:
                last, since = missing, time.monotonic()
            if not self.anywhere(missing):
                return
            if time.monotonic() - since > CALM:
                raise AssertionError(f"it hangs: {len(missing)} tasks wait, such as {missing[0]}")
            if self.victims == "celery" and time.monotonic() - since > HIDDEN + 1:
                self.replace_one()
            time.sleep(0.1)

    def replace_one(self):
        """A Celery worker looks for the deliveries of dead ones when it starts."""
        worker = next(w for w in self.fleet.workers if w.kind == "celery" and w.running)
        worker.stop()
        self.fleet.worker("celery")

    def missing(self):
        """Ids without a final result."""
        ids = list(self.sent)
        texts = self.fleet.backend.mget([f"celery-task-meta-{each}" for each in ids]) if ids else []
        return [
            each for each, text in zip(ids, texts, strict=True) if '"SUCCESS"' not in (text or "")
        ]

    def anywhere(self, ids):
        """Those of the ids that some key of the broker's database still mentions."""
        stored = "\n".join(self.texts())
        return [each for each in ids if each in stored]

    def texts(self):
        broker = self.fleet.broker
        for key in broker.scan_iter():
            match broker.type(key):
                case "list":
                    yield from broker.lrange(key, 0, -1)
                case "hash":
                    yield from (text for pair in broker.hgetall(key).items() for text in pair)
                case "string":
                    yield broker.get(key) or ""
                case "zset":
                    yield from broker.zrange(key, 0, -1)
                case "set":
                    yield from broker.smembers(key)
                case "stream":
                    yield from (str(entry) for entry in broker.xrange(key))

    # --- the verdict ---------------------------------------------------------------------

    def judge(self):
        self.verdict.tasks = len(self.sent)
        self.verdict.lost = self.missing()
        for kind in KINDS:
            mine = [i for i, n in self.sent.items() if KINDS[n % 2] == kind]
            for task_id in set(mine) - set(self.verdict.lost):
                outcome = self.fleet.client(kind)("outcome", task_id)
                if outcome != ("SUCCESS", self.sent[task_id], None):
                    self.verdict.wrong.append((task_id, outcome))
        self.judge_runs()

    def judge_runs(self):
        runs, kinds = defaultdict(list), defaultdict(int)
        for who, what, number, *_ in self.fleet.journal():
            if what == "start":
                runs[number].append(who)
                kinds[who.rstrip("0123456789")] += 1
        self.verdict.runs = dict(kinds)
        self.verdict.begun = [each for each in self.verdict.lost if str(self.sent[each]) in runs]
        for number, workers in runs.items():
            for earlier in workers[:-1]:
                if earlier in self.dead:
                    self.verdict.explained += 1
                else:
                    self.verdict.unexplained.append((number, workers))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--victims", choices=KINDS, default="penstock")
    parser.add_argument("--kills", type=int, default=30)
    parser.add_argument("--tasks", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=None)
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with (
        RedisServer(appendonly=True) as server,
        tempfile.TemporaryDirectory(prefix="mixed-") as folder,
        Fleet(server, folder, own_settings=OWN_SETTINGS) as fleet,
    ):
        storm = MixedStorm(
            fleet,
            victims=options.victims,
            kills=options.kills,
            tasks=options.tasks,
            seed=options.seed,
        )
        verdict = storm.run()
        print("\n".join(verdict.lines(options.victims)))
        if options.victims == "celery":
            return len(verdict.lost) > verdict.kills or bool(verdict.wrong or verdict.begun)
        return bool(verdict.lost or verdict.wrong or verdict.unexplained)


if __name__ == "__main__":
    sys.exit(main())
