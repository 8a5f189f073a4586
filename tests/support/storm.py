"""A kill storm over real workers, and what their tasks' own journal says about it.

Executors and whole workers get SIGKILL at random moments under load; new workers are started in
the place of dead ones; at the end everything is drained. The verdict comes from three sources
outside the system: the tasks' journal, the storm's own list of kills, and what clients were told.

    python tests/support/storm.py --executors 300 --workers 30 [--tasks 20000] [--seed 1] [--redis]
"""

import argparse
import contextlib
import dataclasses
import importlib.util
import itertools
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import defaultdict
from pathlib import Path

HERE = Path(__file__).parent
SLOTS = 2  # executors of each worker
CALM = 60.0  # seconds without progress that mean it hangs


@dataclasses.dataclass
class Verdict:
    """What the journal proves. Times are seconds."""

    tasks: int = 0
    runs: int = 0
    executors_killed: int = 0
    workers_killed: int = 0
    lost: list = dataclasses.field(default_factory=list)
    wrong: list = dataclasses.field(default_factory=list)
    after_settlement: list = dataclasses.field(default_factory=list)
    unexplained: list = dataclasses.field(default_factory=list)
    explained: int = 0
    executor_reruns: list = dataclasses.field(default_factory=list)
    worker_reruns: list = dataclasses.field(default_factory=list)

    def clean(self):
        return not (self.lost or self.wrong or self.after_settlement or self.unexplained)

    def lines(self):
        yield f"tasks {self.tasks}  runs {self.runs}"
        yield f"killed: executors {self.executors_killed}, workers {self.workers_killed}"
        yield (
            f"lost {len(self.lost)}  wrong results {len(self.wrong)}  "
            f"rerun after settlement {len(self.after_settlement)}  "
            f"run twice: explained {self.explained}, unexplained {len(self.unexplained)}"
        )
        for what, times in (("executor", self.executor_reruns), ("worker", self.worker_reruns)):
            if times:
                p50, p99 = percentile(times, 50), percentile(times, 99)
                yield (
                    f"{what} killed to its task running again ({len(times)} times): "
                    f"p50 {p50:.3f} s, p99 {p99:.3f} s, max {max(times):.3f} s"
                )


def percentile(values, percent):
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))]


class Storm:
    """One storm in one folder."""

    def __init__(self, folder, *, executors, workers, tasks, seed=None):
        self.folder = Path(folder)
        self.random = random.Random(seed)
        self.executor_kills, self.worker_kills, self.count = executors, workers, tasks
        self.fleet = []
        self.killed = {}  # pid -> monotonic ns
        self.settled = {}  # number -> monotonic ns when a client had its result
        self.verdict = Verdict(tasks=tasks)

    def run(self):
        shutil.copy(HERE / "storm_tasks.py", self.folder)
        os.chdir(self.folder)
        spec = importlib.util.spec_from_file_location("storm_tasks", "storm_tasks.py")
        self.module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(self.module)
        try:
            for _ in range(2):
                self.start_worker()
            self.load()
        finally:
            for worker in self.fleet:
                with contextlib.suppress(ProcessLookupError):
                    worker.kill()
                worker.wait()
        self.judge()
        self.module.app.close()
        return self.verdict

    def start_worker(self):
        number = len(self.fleet)
        command = [
            sys.executable, "-m", "penstock", "-A", "storm_tasks",
            "worker", "-q", "-c", str(SLOTS), "-n", f"w{number}",
        ]  # fmt: skip
        with (self.folder / f"worker-{number}.log").open("w") as log:
            self.fleet.append(
                subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
            )

    def load(self):
        sender = threading.Thread(target=self.send)
        watcher = threading.Thread(target=self.watch)
        sender.start()
        killer = threading.Thread(target=self.kill_all)
        killer.start()
        watcher.start()
        sender.join()
        killer.join()
        watcher.join()

    def send(self):
        """Keep a backlog: acknowledged means that it counts."""
        self.results = {}
        for number in range(self.count):
            seconds = self.random.choice((0.0, 0.001, 0.005, 0.02))
            self.results[number] = self.module.work.delay(number, seconds)

    def watch(self):
        """Be the client: note when each result came, and that it is the right one."""
        for number in range(self.count):
            while number not in self.results:
                time.sleep(0.001)  # the sender is a thread of this test, a little ahead
            value = self.results[number].get(timeout=CALM)
            self.settled[number] = time.monotonic_ns()
            if value != number:
                self.verdict.wrong.append((number, value))

    def kill_all(self):
        kinds = ["executor"] * self.executor_kills + ["worker"] * self.worker_kills
        self.random.shuffle(kinds)
        for kind in kinds:
            time.sleep(self.random.expovariate(1 / 0.06))
            self.kill_executor() if kind == "executor" else self.kill_worker()

    def kill_executor(self):
        while True:  # until one is there to be killed
            worker = self.random.choice(self.living())
            executors = [pid for zygote in children(worker.pid) for pid in children(zygote)]
            if executors and self.kill(self.random.choice(executors)):
                self.verdict.executors_killed += 1
                return
            time.sleep(0.005)

    def kill_worker(self):
        worker = self.random.choice(self.living())
        family = [pid for zygote in children(worker.pid) for pid in children(zygote)]
        self.kill(worker.pid)
        self.killed.update(dict.fromkeys(family, self.killed[worker.pid]))
        worker.wait()
        self.verdict.workers_killed += 1
        self.worker_deaths = [*getattr(self, "worker_deaths", []), set(family)]
        self.start_worker()

    def kill(self, pid):
        if pid in self.killed:
            return False
        now = time.monotonic_ns()
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            return False
        self.killed[pid] = now
        return True

    def living(self):
        return [worker for worker in self.fleet if worker.poll() is None]

    # --- the verdict ---------------------------------------------------------------------

    def judge(self):
        runs = defaultdict(list)
        for line in (self.folder / "journal").read_text().splitlines():
            at, what, number, pid, *_ = line.split()
            if what == "start":
                runs[int(number)].append([int(at), int(pid), None])
            else:
                for run in runs[int(number)]:
                    if run[1] == int(pid) and run[2] is None:
                        run[2] = int(at)
        self.verdict.runs = sum(map(len, runs.values()))
        families = set().union(*getattr(self, "worker_deaths", [])) if self.worker_kills else set()
        for number in range(self.count):
            self.judge_task(number, runs[number], families)

    def judge_task(self, number, runs, families):
        if not any(end for _, _, end in runs):
            self.verdict.lost.append(number)
        for (start, pid, end), (again, _, _) in itertools.pairwise(runs):
            killed = self.killed.get(pid)
            if killed is None or again < min(start, killed):
                self.verdict.unexplained.append((number, runs))
                continue
            self.verdict.explained += 1
            if end is None:
                times = (
                    self.verdict.worker_reruns if pid in families else self.verdict.executor_reruns
                )
                times.append((again - killed) / 1e9)
        settled = self.settled.get(number)
        if settled is None:
            self.verdict.lost.append(number)
        elif any(start > settled for start, _, _ in runs):
            self.verdict.after_settlement.append((number, runs))


def children(pid):
    try:
        return [int(p) for p in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except (FileNotFoundError, ProcessLookupError):
        return []


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--executors", type=int, default=300)
    parser.add_argument("--workers", type=int, default=30)
    parser.add_argument("--tasks", type=int, default=15_000)
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--disk", default=None)
    parser.add_argument("--redis", action="store_true", help="on a Redis of its own")
    options = parser.parse_args()
    if not options.redis:
        return storm(options)
    from servers import RedisServer

    with RedisServer() as server:
        os.environ["STORM_URL"] = server.url()
        return storm(options)


def storm(options):
    folder = tempfile.mkdtemp(prefix="storm-", dir=options.disk)
    verdict = Storm(
        folder,
        executors=options.executors,
        workers=options.workers,
        tasks=options.tasks,
        seed=options.seed,
    ).run()
    print("\n".join(verdict.lines()))
    if verdict.clean():
        shutil.rmtree(folder)
        return 0
    print(f"not clean: the journal is kept in {folder}")
    for name in ("lost", "wrong", "after_settlement", "unexplained"):
        print(f"{name}: {getattr(verdict, name)[:5]}")
    return 1


if __name__ == "__main__":
    sys.exit(main())
