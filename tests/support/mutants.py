"""Penstock with a fault planted in it: would the storm notice?

Each mutant is a failure that some task queue really had, as a change of one place in our source.
A storm that passes says something only if it fails for every one of these.

    python tests/support/mutants.py [NAME …]       plant each, storm, tell what was found
    python tests/support/mutants.py --control      the same storms on the source as it is
"""

import dataclasses
import shutil
import sys
import tempfile
import time
from pathlib import Path

import penstock
from crash_scene import Scene
from penstock.testing.history import Rules
from storm import Plan, Storm

SOURCE = Path(penstock.__file__).parents[1]
RULES = Rules(silence=6.0, worker_rerun_p99=2.0)


@dataclasses.dataclass(frozen=True)
class Mutant:
    """One change, and the storm that must not survive it."""

    name: str
    like: str  # the failure, as users of some queue met it
    file: str
    old: str
    new: str
    broker: str = "sqlite"
    faults: dict = dataclasses.field(default_factory=lambda: {"executor": 15})
    kind: str = ""  # of tasks, if it takes special ones
    tasks: int = 400
    point: str = ""  # a crash point in the place of a storm
    workers: int = 2
    patience: float = 5.0  # seconds before a task counts as lost
    environment: dict = dataclasses.field(default_factory=dict)
    also: tuple = ()  # (file, old, new): what would make up for the fault

    def texts(self):
        """The files with the fault in them; raises ValueError where that place is gone."""
        found = {}
        for file, old, new in ((self.file, self.old, self.new), *self.also):
            text = found.get(file) or (SOURCE / "penstock" / file).read_text()
            if text.count(old) != 1:
                raise ValueError(
                    f"mutant {self.name!r} changes a place that is {text.count(old)} times in "
                    f"{file}: adapt it in tests/support/mutants.py to how the code reads now"
                )
            found[file] = text.replace(old, new)
        return found


MUTANTS = (
    Mutant(
        "acknowledged before the run",
        "a killed worker loses what it had: Celery's early acks, Sidekiq's BRPOP",
        "worker/intake.py",
        "if not work.policy.acks_late:",
        "if work is not None:",
    ),
    Mutant(
        "a dead child is acknowledged",
        "celery#1628: the parent acknowledges what its killed child ran",
        "worker/endings.py",
        "            self._again(work, past.on(work.lease.message))\n\n    def orphaned",
        "            self._settle(work, None)\n\n    def orphaned",
    ),
    Mutant(
        "the pool is wedged",
        "celery#2011: no new child after one was killed",
        "worker/staff.py",
        "        del self._crew.slots[slot.index]\n",
        "        slot.phase = Phase.LEAVING\n",
        faults={"executor": 6},
    ),
    Mutant(
        "silent after a reconnect",
        "celery#8030 and ten more: alive, connected, consuming nothing",
        "worker/custody.py",
        "self._pause * random.uniform(0.5, 1.0)",
        "1e6",
        broker="redis",
        faults={"server": 2},
        tasks=1500,
        also=(
            (
                "worker/custody.py",
                "self._again_at = min(self._again_at, self._clock.monotonic() + _FIRST_PAUSE)",
                "self._again_at = self._again_at",  # or hearing from the broker would heal it
            ),
        ),
    ),
    Mutant(
        "what was settled in vain is forgotten",
        "kombu#1733: a connection that breaks at the wrong moment",
        "worker/custody.py",
        "        lost, leases = self._broker.settle_and_lease(self._settlements, queues, ",
        "        mine, self._settlements = self._settlements, []\n"
        "        lost, leases = self._broker.settle_and_lease(mine, queues, ",
        broker="redis",
        faults={"cut": 20, "server": 3},
    ),
    Mutant(
        "publishing says yes without the server",
        "NATS 2.12, RabbitMQ without confirms: acknowledged and not stored",
        "tasks/publish.py",
        "            patience = patience or _patience(broker, began, timeout, clock)\n"
        "            wait = patience.pause(error)\n        sleep(wait)",
        "            patience = patience or _patience(broker, began, timeout, clock)\n"
        "            wait = 0 if patience else patience.pause(error)\n            return None\n"
        "        sleep(wait)",
        broker="redis",
        faults={"server": 4},
        tasks=800,
    ),
    Mutant(
        "no fence",
        "bull#1416, River#1302: a stale holder's end overwrites the new holder's",
        "brokers/sql/sqlite/settle.sql",
        "WHERE key = ?2 AND attempt = ?3 AND state = 2;\n",
        "WHERE key = ?2 AND ?3 = ?3 AND state = 2;\n",
        faults={"stop": 6},
        kind="long",
        tasks=40,
        patience=20.0,
        environment={"STORM_LONG": "1.5"},
        also=(
            (
                "brokers/sql/sqlite/lease.sql",
                "WHERE key = ?2 AND attempt = ?3 AND state = 2;\n",
                "WHERE key = ?2 AND ?3 = ?3 AND state = 2;\n",  # or it learns as it renews
            ),
        ),
    ),
    Mutant(
        "no renewal",
        "Celery's visibility timeout: what runs longer than it runs twice",
        "worker/supervisor.py",
        "        held = self._custody.extend([work.lease for work in works]) if works else set()\n",
        "        held = {work.lease.message.key for work in works}\n",
        faults={},
        kind="long",
        tasks=4,
        patience=15.0,
        environment={"STORM_LONG": "4.0"},
    ),
    Mutant(
        "delays are not kept",
        "delayed work runs at once: Celery's eta with an eager consumer",
        "brokers/rows.py",
        "DELAYED if ready_at > now else READY",
        "READY",
        faults={},
        environment={"STORM_LATEST": "3.0"},  # a busy machine is late itself
    ),
    Mutant(
        "a crash uses up all attempts",
        "asynq#1015: a worker's crash sends the task straight to the archive",
        "worker/endings.py",
        "elif crashes >= self._crash_limit:",
        "elif crashes >= 1:",
    ),
    Mutant(
        "poison goes round for ever",
        "Celery: redelivered without end when reject_on_worker_lost is on",
        "worker/endings.py",
        "crashes = past.crashes + (1 if alone else 0)",
        "crashes = past.crashes",
        faults={},
        kind="poison",
        tasks=3,
        environment={"STORM_CRASH_LIMIT": "3"},
    ),
    Mutant(
        "a warm shutdown drops what waits",
        "celery#4354: buffered deliveries are lost when the worker is told to end",
        "worker/supervisor.py",
        "            self._retiring.leave(slot, now)\n"
        "        self._endings.hand_back(self.crew.take(list(self.crew.waiting)))\n"
        "        reach",
        "            self._retiring.leave(slot, now)\n"
        "        for work in self.crew.take(list(self.crew.waiting)):\n"
        "            self._endings._settle(work, None)\n"
        "        reach",
        faults={"term": 8},
        kind="quick",
        tasks=3000,
    ),
    Mutant(
        "restored twice",
        "asynq#1051, kombu's double restore: one message becomes two",
        "worker/endings.py",
        "            past = msgspec.structs.replace(past, crashes=crashes, "
        "alone=past.alone or not alone)\n",
        "            past = msgspec.structs.replace(past, crashes=crashes, alone=past.alone)\n"
        "            self._custody.publish(\n"
        "                msgspec.structs.replace(work.lease.message, key=new_id()), None\n"
        "            )\n",
    ),
    Mutant(
        "the result after the acknowledgement",
        "a task that is done and has no result: Celery's store beside its broker",
        "worker/custody.py",
        "        if settlement.record is not None and not self._atomic:\n"
        "            self._records.append(settlement.record)\n",
        "        if settlement.record is not None:\n"
        "            self._later = [*getattr(self, '_later', ()), settlement.record]\n",
        point="supervisor.settled",
    ),
    Mutant(
        "executors outlive their supervisor",
        "a killed worker's children go on, and another worker runs the same",
        "worker/zygote.py",
        "            for pid in self._children.values():\n                kill_group(pid)\n",
        "            import time\n\n            time.sleep(30)\n",
        faults={"worker": 2},
        kind="long",
        tasks=8,
        patience=15.0,
        environment={"STORM_LONG": "2.5"},
    ),
    Mutant(
        "nobody sees a worker die",
        "recovery by age alone: an hour in Oban and River, a visibility timeout in Celery",
        "brokers/sqlite.py",
        "gone = [holder.id for holder in holders if holder.fate(me) is Fate.DEAD]",
        "gone: list[int] = []",
        faults={"worker": 6},
        kind="long",
        tasks=40,
        patience=20.0,
        environment={"STORM_LONG": "0.5"},
    ),
    Mutant(
        "descriptors leak",
        "a worker that dies of EMFILE after a day of killed children",
        "worker/staff.py",
        "        slot.channel.close()\n",
        "        _kept.append(slot.channel)\n",
        faults={"executor": 120},
        tasks=4000,
        workers=1,
    ),
    Mutant(
        "arguments in the log",
        "celery#10484, flower#1512: what was secret stands in a log",
        "worker/endings.py",
        'its executor died {crashes} times while running it, last by {status_text(status)}"\n',
        '{work.lease.message.body!r} died by {status_text(status)}"\n'
        "        self._log.error(why)\n",
    ),
)


class MutantStorm(Storm):
    """A storm whose workers and clients import the mutant."""

    source = None

    def environment(self):
        return super().environment() | {"PYTHONPATH": str(self.source)}


class MutantScene(Scene):
    """A crash point in the mutant."""

    source = None

    def environment(self):
        return super().environment() | {"PYTHONPATH": str(self.source)}


def planted(mutant, folder):
    """A copy of the source with the fault in it."""
    source = folder / "src"
    shutil.copytree(SOURCE / "penstock", source / "penstock")
    for file, text in mutant.texts().items() if mutant is not None else ():
        kept = "\n_kept = []\n" if "_kept.append" in text else ""
        (source / "penstock" / file).write_text(text + kept)
    return source


def storm(mutant, *, plant=True):
    """Storm over one mutant; gives the report."""
    folder = Path(tempfile.mkdtemp(prefix="mutant-"))
    environment = dict(mutant.environment)
    if mutant.kind:
        environment["STORM_KIND"] = mutant.kind
    if mutant.kind == "long":
        environment.setdefault("STORM_AHEAD", "8")  # what is sent must all be run
    try:
        source = planted(mutant if plant else None, folder)
        place = folder / "storm"
        place.mkdir()
        if mutant.point:
            one = MutantScene(place, mutant.broker, mutant.point)
            one.plan = dataclasses.replace(one.plan, patience=mutant.patience, rules=RULES)
        else:
            plan = Plan(
                mutant.broker, mutant.tasks, mutant.faults, workers=mutant.workers, seed=11,
                patience=mutant.patience, environment=environment, rules=RULES,
            )  # fmt: skip
            one = MutantStorm(place, plan)
        one.source = source
        return one.run()
    finally:
        shutil.rmtree(folder)


def main(words):
    control = "--control" in words
    names = [word for word in words if not word.startswith("-")]
    chosen = [m for m in MUTANTS if not names or m.name in names]
    wrong = []
    for mutant in chosen:
        began = time.monotonic()
        report = storm(mutant, plant=not control)
        found = ", ".join(f"{check} {n}" for check, n in report.broken.most_common()) or "nothing"
        print(f"{mutant.name} ({time.monotonic() - began:.0f} s): {found}", flush=True)
        if control and not report.clean:
            print("\n".join(report.lines()), flush=True)
        if report.clean != control:
            wrong.append(mutant.name)
    if control:
        print(f"{len(chosen) - len(wrong)} of {len(chosen)} storms pass without a fault planted")
    else:
        print(f"{len(chosen) - len(wrong)} of {len(chosen)} mutants caught")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
