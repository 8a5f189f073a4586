"""The storm's processes: workers and clients, started and found, struck and counted."""

import contextlib
import os
import random
import signal
import sys
import time
from pathlib import Path

from programs import start

HERE = Path(__file__).parent
IMPORT_FAILED = 2
FINE = {0, 1, -9, -15}  # killed later on, or told to end before it had begun
PAGE_KB = os.sysconf("SC_PAGE_SIZE") // 1024


class Fleet:
    """Everything that a storm starts, in one folder, under one mark in its environment."""

    python = sys.executable

    def __init__(self, folder, *, history, environment, slots, options=()):
        self.folder = folder
        self.history = history
        self.mark = f"{os.getpid()}-{random.getrandbits(40)}"
        self.environment = os.environ | environment | {"STORM_MARK": self.mark}
        self.slots = slots
        self.options = options
        self.workers = []
        self.struck = set()  # pids whose end is our doing
        self.bereaved = set()  # workers whose zygote was struck: in its import, they give up
        self.clients = []
        self.ended = []  # exit codes of workers that were asked to end
        self._count = 0

    # --- starting ------------------------------------------------------------------------------

    def start_worker(self, **environment):
        self._count += 1
        name = f"w{self._count}"
        command = self.worker_command(name)
        worker = self._start(command, f"worker-{name}.log", environment)
        self.workers.append(worker)
        return worker

    def worker_command(self, name):
        return [
            self.python, "-m", "penstock", "-A", "storm_tasks",
            "worker", "-q", "-c", str(self.slots), "-n", name, *self.options,
        ]  # fmt: skip

    def start_client(self, prefix, count, seed, **environment):
        command = [self.python, str(HERE / "storm_client.py"), "send", prefix, count, seed]
        client = self._start(command, f"client-{prefix}.log", environment)
        self.clients.append(client)
        return client

    def finish(self, patience):
        """Read everything with a fresh client; gives its exit code."""
        command = [self.python, str(HERE / "storm_client.py"), "finish", patience]
        return self._start(command, "client-last.log", {}).wait()

    def _start(self, command, log, environment):
        with (self.folder / log).open("a") as file:
            return start(
                list(map(str, command)), cwd=self.folder, env=self.environment | environment,
                stdout=file, stderr=file,
            )  # fmt: skip

    # --- finding -------------------------------------------------------------------------------

    def living(self):
        return [worker for worker in self.workers if worker.poll() is None]

    @staticmethod
    def executors(worker):
        return [pid for zygote in children(worker.pid) for pid in children(zygote)]

    def tree(self, worker):
        return [worker.pid, *children(worker.pid), *self.executors(worker)]

    # --- striking ------------------------------------------------------------------------------

    def kill_executor(self, dice, patience=10.0):
        deadline = time.monotonic() + patience
        while time.monotonic() < deadline:  # until one is there to be killed
            pids = [pid for worker in self.living() for pid in self.executors(worker)]
            if pids and self.kill("executor", dice.choice(pids)):
                return
            time.sleep(0.005)

    def kill_zygote(self, dice):
        found = [(pid, worker.pid) for worker in self.living() for pid in children(worker.pid)]
        if found:
            zygote, supervisor = dice.choice(found)
            self.bereaved.add(supervisor)
            self.kill("zygote", zygote)

    def kill_worker(self, dice):
        if not (living := self.living()):
            return
        worker = dice.choice(living)
        self.kill("worker", worker.pid)
        worker.wait()
        self.start_worker()

    def kill(self, kind, pid):
        at = time.monotonic_ns()
        self.struck.add(pid)
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            return False
        self.history.note("fault", at=at, kind=kind, pids=[pid])
        return True

    def end_worker(self, dice):
        """Ask one to end, once; another takes its place meanwhile."""
        if not (living := [one for one in self.living() if one not in self.ended]):
            return
        worker = dice.choice(living)
        self.struck.add(worker.pid)
        self.history.note("fault", kind="term", pids=[worker.pid])
        worker.terminate()
        self.start_worker()
        self.ended.append(worker)

    def pause(self, dice, seconds):
        """Stop a worker, or all that belongs to it, for so long."""
        if not (living := self.living()):
            return
        worker = dice.choice(living)
        pids = dice.choice(([worker.pid], self.tree(worker)))
        key = f"{worker.pid}-{time.monotonic_ns()}"
        self.history.note("fault", kind="stop", pids=pids, key=key, phase="begin")
        send_all(pids, signal.SIGSTOP)
        time.sleep(seconds)
        send_all(pids, signal.SIGCONT)
        self.history.note("fault", kind="stop", key=key, phase="end")

    # --- the end -------------------------------------------------------------------------------

    def watch(self):
        """A worker that ended of itself is a finding; another takes its place."""
        for worker in self.workers:
            if worker.poll() is not None and worker.pid not in self.struck:
                self.struck.add(worker.pid)
                ours = worker.pid in self.bereaved and worker.returncode == IMPORT_FAILED
                text = f"{worker.pid} with {worker.returncode}"
                self.history.note("finding", check="a worker gave up", ok=ours, text=text)
                self.start_worker()
                return

    def sample(self):
        """Write down how much each process of the workers uses."""
        for worker in self.living():
            zygotes = children(worker.pid)
            if not any(map(children, zygotes)):  # it is still coming up
                continue
            for role, pid in (("supervisor", worker.pid), *named("zygote", zygotes)):
                if usage := measure(pid):
                    self.history.note("sample", of=pid, role=role, **usage)

    def end(self, seconds):
        """Ask all workers to end; writes down who did not, or left somebody behind."""
        for worker in self.living():
            worker.terminate()
        deadline = time.monotonic() + seconds
        slow = [w.pid for w in self.workers if not ended(w, deadline)]
        self.history.note("finding", check="workers end when told", ok=not slow, text=str(slow))
        codes = {w.pid: w.returncode for w in self.ended if w.returncode not in FINE}
        self.history.note("finding", check="exit codes", ok=not codes, text=str(codes))
        left = wait_until_none(self.marked, 2.0)
        self.history.note("finding", check="no process is left", ok=not left, text=str(left))

    def marked(self):
        """Who has our mark in its environment, but for those whom we still wait for."""
        mark = f"STORM_MARK={self.mark}".encode()
        found = {}
        for folder in Path("/proc").iterdir():
            with contextlib.suppress(OSError, ValueError):
                if mark in (folder / "environ").read_bytes():
                    found[int(folder.name)] = (folder / "cmdline").read_bytes()[:80]
        return found

    def destroy(self):
        """Leave nobody behind, whatever happened."""
        for process in (*self.workers, *self.clients):
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            process.wait()
        for pid in self.marked():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def ended(process, deadline):
    try:
        process.wait(max(0.0, deadline - time.monotonic()))
    except Exception:  # noqa: BLE001 - it is still there
        return False
    return True


def wait_until_none(find, seconds):
    deadline = time.monotonic() + seconds
    while (found := find()) and time.monotonic() < deadline:
        time.sleep(0.02)
    return found


def named(role, pids):
    return [(role, pid) for pid in pids]


def send_all(pids, number):
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


def children(pid):
    try:
        return [int(p) for p in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except (FileNotFoundError, ProcessLookupError):
        return []


def measure(pid):
    """What a process uses: kilobytes, descriptors, threads; None when it is gone."""
    folder = Path(f"/proc/{pid}")
    try:
        rss = int((folder / "statm").read_text().split()[1]) * PAGE_KB
        return {
            "rss": rss,
            "fds": len(list((folder / "fd").iterdir())),
            "threads": len(list((folder / "task").iterdir())),
        }
    except OSError:
        return None
