"""A storm over real workers, clients and servers, and what their history proves.

Executors, whole workers, zygotes, clients and servers get SIGKILL at random moments under load,
lines are cut, workers are stopped for longer than their lease; new ones take the places of the
dead. At the end everything is healed and drained, a fresh client reads every result, and the
checker judges the history.

    python tests/support/storm.py --broker redis --tasks 20000 --kill executor=200 worker=20
"""

import argparse
import contextlib
import dataclasses
import json
import os
import random
import shlex
import shutil
import sys
import tempfile
import threading
import time
from pathlib import Path

from penstock.testing.history import Recorder, Rules, judge, read
from storm_fleet import Fleet
from storm_sites import SITES, site

HERE = Path(__file__).parent
FAULTS = ("executor", "worker", "zygote", "client", "term", "stop", "server", "cut")


@dataclasses.dataclass(frozen=True)
class Plan:
    """How strong a storm is, and how long."""

    broker: str = "sqlite"
    tasks: int = 2000
    faults: dict = dataclasses.field(default_factory=dict)  # kind -> how many
    workers: int = 2
    slots: int = 2  # executors of each
    clients: int = 2
    lease: float = 3.0
    pause: float = 0.06  # mean seconds between faults
    patience: float = 60.0  # seconds a client waits for one result
    seed: int = 1
    settings: dict = dataclasses.field(default_factory=dict)  # of the app
    environment: dict = dataclasses.field(default_factory=dict)
    rules: Rules = dataclasses.field(default_factory=Rules)

    def command(self):
        """The command line that repeats it."""
        kills = [f"{kind}={count}" for kind, count in self.faults.items()]
        words = [
            "python", "tests/support/storm.py", "--broker", self.broker, "--seed", self.seed,
            "--tasks", self.tasks, "--lease", self.lease, "--kill", *kills,
        ]  # fmt: skip
        return shlex.join(map(str, words))


class Storm:
    """One storm in one folder."""

    FLEET = Fleet
    TASKS = "storm_tasks.py"

    def __init__(self, folder, plan):
        self.folder = Path(folder)
        self.plan = plan
        self.dice = random.Random(plan.seed)
        self.history = Recorder(self.folder / "history")
        self.secret = f"canary-{self.dice.getrandbits(60):x}"
        self.over = threading.Event()
        self.pauses = []

    def run(self):
        """Rage, heal, drain, judge; gives the report."""
        shutil.copy(HERE / self.TASKS, self.folder / "storm_tasks.py")
        plan = self.plan
        with site(plan.broker, self.folder) as self.site:
            self.history.note("setup", lease=plan.lease, **self.setup())
            self.fleet = self.FLEET(
                self.folder, history=self.history, environment=self.environment(), slots=plan.slots
            )
            try:
                self.rage()
                self.fleet.finish(plan.patience)
                self.look()
            finally:
                self.over.set()
                self.fleet.destroy()
        return self.verdict()

    def setup(self):
        site = {"custody": self.site.custody, "atomic": self.site.atomic}
        return site | {"crash_limit": int(self.plan.environment.get("STORM_CRASH_LIMIT", "1000"))}

    def environment(self):
        return {
            "STORM_URL": self.site.url,
            "STORM_BACKEND": self.site.backend or self.site.url,
            "STORM_HISTORY": str(self.folder / "history"),
            "STORM_LEASE": str(self.plan.lease),
            "STORM_SECRET": self.secret,
            "STORM_CALM": str(self.folder / "calm"),
            "STORM_PATIENCE": str(self.plan.patience),
            "STORM_SETTINGS": json.dumps(self.plan.settings),
            **self.plan.environment,
        }

    def rage(self):
        plan = self.plan
        for _ in range(plan.workers):
            self.fleet.start_worker()
        share = plan.tasks // plan.clients
        for number in range(plan.clients):
            self.fleet.start_client(f"c{number}", share, plan.seed + number)
        sampler = threading.Thread(target=self.sample)
        sampler.start()
        self.await_start()
        self.strike_all()
        (self.folder / "calm").touch()  # clients go on for as long as there are faults
        for pause in self.pauses:
            pause.join()
        for client in self.fleet.clients:
            client.wait()
        self.over.set()
        sampler.join()

    def await_start(self):
        """Faults begin when work has begun: else a short storm strikes nobody."""
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            if any(event["op"] == "start" for event in read(self.folder / "history")):
                return True
            time.sleep(0.02)
        return False

    def sample(self):
        while not self.over.wait(0.5):
            self.fleet.watch()
            self.fleet.sample()

    # --- faults --------------------------------------------------------------------------------

    def strike_all(self):
        kinds = [kind for kind, count in self.plan.faults.items() for _ in range(count)]
        self.dice.shuffle(kinds)
        for place, kind in enumerate(kinds):
            calm = 20 if place % 25 == 24 else 1  # a storm has lulls: what recovers is struck, too
            if place and kinds[place - 1] == "worker":
                calm = 10  # how soon others go on shows where nothing else is struck meanwhile
            time.sleep(self.dice.expovariate(1 / self.plan.pause) * calm)
            self.strike(kind)

    def strike(self, kind):
        fleet, dice = self.fleet, self.dice
        match kind:
            case "executor":
                fleet.kill_executor(dice)
            case "worker":
                fleet.kill_worker(dice)
            case "zygote":
                fleet.kill_zygote(dice)
            case "term":
                fleet.end_worker(dice)
            case "stop":
                self.pause()
            case "client":
                self.kill_client()
            case "server":
                self.kill_server()
            case "cut":
                self.cut()

    def pause(self):
        """One at a time, so that there is always somebody to take over."""
        for pause in self.pauses:
            pause.join()
        seconds = self.plan.lease * self.dice.choice((0.4, 1.2, 1.4))
        self.pauses = [threading.Thread(target=self.fleet.pause, args=(self.dice, seconds))]
        self.pauses[0].start()

    def kill_client(self):
        """A client that dies; another goes on in its place."""
        living = [c for c in self.fleet.clients[-self.plan.clients :] if c.poll() is None]
        if living and self.fleet.kill("client", (client := self.dice.choice(living)).pid):
            client.wait()
            number = len(self.fleet.clients)
            share = self.plan.tasks // self.plan.clients
            self.fleet.start_client(f"c{number}", share, self.plan.seed + number)

    def kill_server(self):
        key = f"server-{time.monotonic_ns()}"
        self.history.note("fault", kind="server", key=key, phase="begin")
        self.site.server.kill()
        time.sleep(self.dice.uniform(0.0, 0.5))
        self.site.server.start()
        self.history.note("fault", kind="server", key=key, phase="end")

    def cut(self):
        key = f"cut-{time.monotonic_ns()}"
        self.history.note("fault", kind="cut", key=key, phase="begin")
        how = self.site.cut(self.dice)
        self.history.note("fault", kind="cut", key=key, phase="end", how=how)

    # --- the verdict ---------------------------------------------------------------------------

    def look(self):
        self.fleet.end(20.0)
        for check, ok, text in self.site.look():
            self.history.note("finding", check=check, ok=ok, text=text)
        for secret in (self.secret, *self.site.secrets):
            seen = [log.name for log in self.folder.glob("*.log") if secret in log.read_text()]
            self.history.note("finding", check="secrets", ok=not seen, text=f"seen in {seen}")

    def verdict(self):
        return judge(read(self.folder / "history"), self.plan.rules)


def run(plan, *, keep=None, make=Storm):
    """One storm in a folder of its own, told to whoever watches; gives the report.

    When something broke the folder stays, and how to rage again is printed.
    """
    folder = Path(tempfile.mkdtemp(prefix="storm-", dir=keep))
    report = make(folder, plan).run()
    print("\n".join(report.lines()), flush=True)
    if report.clean:
        shutil.rmtree(folder)
    else:
        print(f"the history and the logs are kept in {folder}; to rage again:\n  {plan.command()}")
    return report


def plan_of(words):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--broker", choices=list(SITES), default="sqlite")
    parser.add_argument("--tasks", type=int, default=20_000)
    parser.add_argument(
        "--kill", nargs="*", default=["executor=200", "worker=20"], metavar="KIND=N"
    )
    parser.add_argument("--lease", type=float, default=3.0)
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--folder", default=None, help="where it rages (default: as tempfile says)")
    options = parser.parse_args(words)
    faults = {kind: int(count) for kind, _, count in (word.partition("=") for word in options.kill)}
    if unknown := faults.keys() - set(FAULTS):
        parser.error(f"there is no fault {', '.join(unknown)}; there are {', '.join(FAULTS)}")
    seed = options.seed if options.seed is not None else random.randrange(1_000_000)
    plan = Plan(options.broker, options.tasks, faults, lease=options.lease, seed=seed)
    return plan, options.folder


def main(words=None):
    plan, folder = plan_of(words)
    print(plan.command(), flush=True)
    with contextlib.suppress(KeyboardInterrupt):
        return 0 if run(plan, keep=folder).clean else 1
    return 130


if __name__ == "__main__":
    os.environ.setdefault("PYTHONUNBUFFERED", "1")
    sys.exit(main())
