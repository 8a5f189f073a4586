"""The same storm over other task queues, judged by the same checker, on a Redis that keeps all.

    python tests/support/peer_storm.py --peer celery --tasks 3000 --kill executor=60 worker=10

They run in the environment of the benchmarks (`make bench` makes it), tuned for safety as their
own documentation says. What ends by itself is started again, as a service manager would.
"""

import argparse
import contextlib
import shlex
import sys
from pathlib import Path

from penstock.testing.history import Rules
from storm import FAULTS, Plan, Storm, run
from storm_fleet import Fleet, children

HERE = Path(__file__).parent
PYTHON = HERE.parents[1] / ".venv-bench" / "bin" / "python"


class PeerFleet(Fleet):
    """Workers whose executors are the children of the process that was started."""

    python = str(PYTHON)
    wanted = 2

    @staticmethod
    def executors(worker):
        return children(worker.pid)

    def tree(self, worker):
        return [worker.pid, *children(worker.pid)]

    def watch(self):
        while len(self.living()) < self.wanted:
            self.start_worker()


class CeleryFleet(PeerFleet):
    def worker_command(self, name):
        return [
            self.python, "-m", "celery", "-A", "storm_tasks", "worker", "-l", "warning",
            "-c", self.slots, "-n", f"{name}@%h",
        ]  # fmt: skip


class DramatiqFleet(PeerFleet):
    def worker_command(self, name):
        return [self.python, "-m", "dramatiq", "storm_tasks", "-p", self.slots, "-t", 1]


class HueyFleet(PeerFleet):
    def worker_command(self, name):
        program = [self.python, "-m", "huey.bin.huey_consumer", "storm_tasks.huey"]
        return [*program, "-k", "process", "-w", self.slots]


class PenstockFleet(Fleet):
    """Penstock itself, under the very same plan."""

    python = sys.executable


FLEETS = {
    "penstock": PenstockFleet,
    "celery": CeleryFleet,
    "dramatiq": DramatiqFleet,
    "huey": HueyFleet,
}


class PeerPlan(Plan):
    """A plan that is repeated by this program."""

    def command(self):
        return shlex.join(["python", "tests/support/peer_storm.py", *sys.argv[1:]])


def storm_of(peer):
    """The kind of storm that rages over that library."""

    class PeerStorm(Storm):
        FLEET = FLEETS[peer]
        TASKS = "storm_tasks.py" if peer == "penstock" else f"storm_peers/{peer}_tasks.py"

        def await_start(self):
            if not super().await_start():
                raise RuntimeError(f"no task starts: see the workers' logs in {self.folder}")

    return PeerStorm


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--peer", choices=FLEETS, required=True)
    parser.add_argument("--tasks", type=int, default=3000)
    parser.add_argument("--kill", nargs="*", default=["executor=60", "worker=10"], metavar="KIND=N")
    parser.add_argument("--lease", type=float, default=10.0)
    parser.add_argument("--patience", type=float, default=200.0)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    faults = {kind: int(count) for kind, _, count in (word.partition("=") for word in options.kill)}
    if unknown := faults.keys() - set(FAULTS):
        parser.error(f"there is no fault {', '.join(unknown)}; there are {', '.join(FAULTS)}")
    plan = PeerPlan(
        "redis", options.tasks, faults, lease=options.lease, pause=0.1, seed=options.seed,
        patience=options.patience, environment={"STORM_KIND": "plain"}, rules=Rules(silence=None),
    )  # fmt: skip
    print(f"peer_storm.py {' '.join(sys.argv[1:])}", flush=True)
    run(plan, make=storm_of(options.peer))


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        main()
