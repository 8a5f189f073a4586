"""One process dies at one named point while tasks are sent and run; then the checker judges.

python tests/support/crash_scene.py --broker redis supervisor.claimed
"""

import contextlib
import json
import shutil
import sys
import tempfile
import time
from pathlib import Path

from penstock.crashpoints import POINTS
from penstock.testing.history import read
from storm import Plan, Storm

__all__ = ["Scene", "points_of"]

TASKS = 50
UNDER_WAY = 12  # starts that mean so

# What it takes to get there, beside tasks that are sent and run.
NEEDS = {
    "supervisor.bereaved": "death",
    "zygote.reaping": "death",
    "zygote.reaped": "death",
    "supervisor.draining": "drain",
    "supervisor.recalled": "drain",
    "executor.leaving": "drain",
    "supervisor.extend.asked": "length",
    "supervisor.extend.done": "length",
}
# These two name their exchanges so; others trade in one of their own, between the points that
# all have: claimed, settling, settled.
NAMED_SO = ("sqlite", "redis")
TRADES = ("supervisor.lease", "supervisor.settle.", "supervisor.settle+lease")
ONLY_AT = {"batch": "sqlite", "pipeline": "redis"}  # what one engine alone goes through
WHEN = {
    "executor.reply.torn": 2,  # the first is that it is ready
    "executor.replied": 3,
    "supervisor.answered": 4,
    "supervisor.handed": 2,
    "supervisor.settled": 2,
    "supervisor.hiring": 2,
    "zygote.forking": 2,
    "supervisor.batch.open": 4,
    "supervisor.batch.written": 5,
    "supervisor.batch.committed": 6,
    "supervisor.pipeline.torn": 9,
}


def points_of(broker):
    """The points that are passed on that broker."""
    names = [p for p in POINTS if ONLY_AT.get(p.split(".")[1], broker) == broker]
    return [name for name in names if broker in NAMED_SO or not name.startswith(TRADES)]


class Scene(Storm):
    """A small storm with one fault, at a place and not at a time."""

    def __init__(self, folder, broker, point):
        super().__init__(folder, Plan(broker, tasks=TASKS, clients=1, workers=1))
        self.point = point
        self.note = self.folder / "crash"
        self.arms = {
            "PENSTOCK_CRASH_POINT": f"{point}:{WHEN.get(point, 1)}",
            "PENSTOCK_CRASH_NOTE": str(self.note),
        }
        self.need = NEEDS.get(point)

    def rage(self):
        (self.folder / "calm").touch()
        worker = self.fleet.start_worker(**self.arms)
        mine = self.arms if self.point.startswith("client.") else {}
        client = self.fleet.start_client("c0", TASKS, self.plan.seed, **mine, **self.kinds())
        if self.need in {"death", "drain"}:
            self.await_starts()
            getattr(self, self.need)(worker)
        others = 0
        while client.poll() is None or self.is_due(worker):
            if worker.poll() is not None:
                worker = self.fleet.start_worker()
            time.sleep(0.01)  # looks at two processes and a file: there is no event for all three
            if client.poll() not in {None, 0}:
                others += 1
                client = self.fleet.start_client(f"c{others}", TASKS, self.plan.seed)
        if self.note.exists():
            with (self.folder / "history").open("a") as history:
                history.write(self.note.read_text())
        reached = self.note.exists()
        self.history.note("finding", check="the point is reached", ok=reached, text=self.point)

    def is_due(self, worker):
        """A drain ends after its work: the point may come when the client has everything."""
        return self.need == "drain" and worker.poll() is None and not self.note.exists()

    def kinds(self):
        return {"STORM_KIND": "one long"} if self.need == "length" else {}

    def await_starts(self):
        deadline = time.monotonic() + self.plan.patience
        while time.monotonic() < deadline:
            events = read(self.folder / "history")
            if sum(event["op"] == "start" for event in events) >= UNDER_WAY:
                return
            time.sleep(0.01)

    def death(self, _worker):
        self.fleet.kill_executor(self.dice)

    def drain(self, worker):
        self.history.note("fault", kind="term", pids=[worker.pid])
        worker.terminate()


def main(words):
    broker = words[words.index("--broker") + 1] if "--broker" in words else "sqlite"
    names = [word for word in words if word in POINTS] or points_of(broker)
    failed = 0
    for name in names:
        folder = Path(tempfile.mkdtemp(prefix="scene-"))
        began = time.monotonic()
        report = Scene(folder, broker, name).run()
        said = "clean" if report.clean else json.dumps(report.as_dict()["broken"])
        print(f"{broker} {name} {time.monotonic() - began:.1f} s: {said}", flush=True)
        if not report.clean:
            failed += 1
            print("\n".join(report.lines()), f"\nkept in {folder}", flush=True)
        else:
            shutil.rmtree(folder)
    return 1 if failed else 0


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        sys.exit(main(sys.argv[1:]))
