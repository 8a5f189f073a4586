"""Assembling a worker: fork the zygote, learn what the app holds, open the broker, supervise."""

from __future__ import annotations

import os
import random
import select
import socket
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn, Self

import msgspec

from penstock.brokers.base import Broker
from penstock.brokers.registry import open_broker
from penstock.clock import SYSTEM_CLOCK
from penstock.crashpoints import play, reach
from penstock.errors import ConfigError, NameTaken, Unavailable, Uncertain
from penstock.plain_text import many_lines
from penstock.results.registry import open_store
from penstock.tasks.loader import load_app
from penstock.tasks.settings import Settings
from penstock.url import Url
from penstock.worker.banner import banner
from penstock.worker.channel import ExecutorChannel
from penstock.worker.checkup import Checkup
from penstock.worker.control.front import Front
from penstock.worker.crew import Crew
from penstock.worker.custody import Custody
from penstock.worker.endings import Endings
from penstock.worker.executor import Executor
from penstock.worker.intake import Intake
from penstock.worker.log import LOG, configure, name_process
from penstock.worker.manifest import manifest_of
from penstock.worker.options import WorkerOptions, WorkerPlan
from penstock.worker.pools import SERVE, Serving, Share
from penstock.worker.probe import Probe
from penstock.worker.protocol import Manifest
from penstock.worker.reload import reloading
from penstock.worker.solo import Solo
from penstock.worker.stopping import StopSignals
from penstock.worker.supervisor import Supervisor
from penstock.worker.triage import Triage
from penstock.worker.vitals import Vitals
from penstock.worker.watchdog import EXIT_CODE, Watchdog
from penstock.worker.zygote import Execute, run_zygote
from penstock.worker.zygote_link import ZygoteGone, ZygoteLink

if TYPE_CHECKING:
    from penstock.plan import Listener
    from penstock.tasks.app import App
    from penstock.worker.control.panel import Panel
    from penstock.worker.control.site import Steered

__all__ = ["run_worker"]

_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 1.0
_MOST_NAMES = 1000
_NO_TASK = "penstock-start"  # an id that nobody has
_WRONG_USE = 2  # exit code
_LAST_CHANCE = 5.0  # seconds for a loop that hangs to hand back what it can


def run_worker(options: WorkerOptions) -> int:
    """Run a worker until it is told to stop; gives its exit code. Raises ConfigError.

    To be called in the main thread of a process without threads, connections or database handles.
    """
    play("supervisor")
    configure(options.loglevel)
    stop = StopSignals()
    code = _run_reloading(options, stop) if options.reload else _run(options, stop)
    return _start_again() if stop.again else code


def _run_reloading(options: WorkerOptions, stop: StopSignals) -> int:
    """Run until a source changes. What is wrong with the app is shown, and may be mended."""

    def changed() -> None:
        LOG.warning("A source changed, starting again.")
        stop.begin_again()

    with reloading(changed, folder=Path.cwd()):
        try:
            return _run(options, stop)
        except ConfigError as error:
            for line in str(error).splitlines():
                LOG.error("%s", line)
            LOG.warning("Waiting for a change.")
            select.select([stop], [], [])
            return _WRONG_USE


def _run(options: WorkerOptions, stop: StopSignals) -> int:
    if options.pool == "solo":
        return _run_solo(options, stop)
    zygote = ZygoteLink.fork(_zygote_of(options))
    try:
        manifest = zygote.manifest(stop)
        if manifest is None:
            zygote.abandon()  # it may be in the middle of an endless import
            return 0
        plan = WorkerPlan.of(options, manifest)
        if plan.pool != "solo":
            return _run_crew(options, plan, manifest, zygote, stop)
    except ZygoteGone:
        return _start_again()
    finally:
        zygote.close()
    return _run_solo(options, stop)


def _zygote_of(options: WorkerOptions) -> Callable[[socket.socket, int], NoReturn]:
    def be_zygote(control: socket.socket, parent: int) -> NoReturn:
        run_zygote(
            control,
            parent,
            load=lambda: _load(options),
            manifest=manifest_of,
            execute=_execute_by(options),
        )

    return be_zygote


def _load(options: WorkerOptions) -> App:
    """The app, at the addresses it will keep whatever its tasks do to the current folder."""
    app = load_app(options.app)
    broker, backend = options.broker or app.broker_url, options.backend or app.backend_url
    app.conf.broker_url = Url.parse(broker).anchored()
    app.conf.result_backend = Url.parse(backend).anchored()
    return app


def _execute_by(options: WorkerOptions) -> Execute:
    def execute(app: App, tasks: int, replies: int, worker: str) -> None:
        name_process(f"Executor-{os.getpid()}")
        plan = WorkerPlan.of(options, manifest_of(app))
        channel = ExecutorChannel(tasks, replies)
        share = Share(tasks=plan.max_tasks_per_child, memory=plan.max_memory_per_child)
        make = partial(Executor, app, hostname=worker)
        SERVE[plan.pool](Serving(make, channel, at_once=plan.capacity, share=share))

    return execute


def _run_crew(
    options: WorkerOptions,
    plan: WorkerPlan,
    manifest: Manifest,
    zygote: ZygoteLink,
    stop: StopSignals,
) -> int:
    with _Desk(options, plan, manifest, stop) as desk:
        if not desk.opened:
            return 0
        supervisor = Supervisor(
            desk.plan,
            crew=desk.crew,
            custody=desk.custody,
            intake=desk.intake,
            endings=desk.endings,
            zygote=zygote,
            listener=desk.listener,
            stop=stop,
            neighbours=desk.broker.neighbours,
            listen=desk.listen,
            herald=desk.herald,
            panel=desk.panel,
            vitals=desk.vitals,
            clock=SYSTEM_CLOCK,
            log=LOG,
        )
        with desk.watched(lambda: supervisor.queues):
            code = supervisor.run()
        return code if stop.code is None else stop.code


def _run_solo(options: WorkerOptions, stop: StopSignals) -> int:
    app = _load(options)
    manifest = manifest_of(app)
    plan = WorkerPlan.of(msgspec.structs.replace(options, pool="solo"), manifest)
    stop.on_second = lambda: os._exit(1)  # what ran is free again: its holder is dead
    with _Desk(options, plan, manifest, stop) as desk:
        if not desk.opened:
            return 0
        solo = Solo(
            desk.plan,
            app=app,
            broker=desk.broker,
            custody=desk.custody,
            intake=desk.intake,
            endings=desk.endings,
            crew=desk.crew,
            listener=desk.listener,
            listen=desk.listen,
            stop=stop,
            herald=desk.herald,
            panel=desk.panel,
            vitals=desk.vitals,
        )
        return solo.run()


class _Desk:
    """What every pool's worker has on its desk once its broker is there: opened, and closed."""

    def __init__(
        self, options: WorkerOptions, plan: WorkerPlan, manifest: Manifest, stop: StopSignals
    ) -> None:
        self.plan = plan
        self.opened = False
        self._kept = ""  # what outlives what, as the broker says
        self.broker = open_broker(manifest.broker)
        self.broker.shape_queues(Settings.of(manifest.settings).queue_shapes)
        if not self.broker.capabilities.shared:
            raise ConfigError(
                f"{Url.parse(manifest.broker)} is seen by one process only, so a worker would find "
                "nothing there; use a file: sqlite:///penstock.db"
            )
        self._store = open_store(manifest.backend, broker=manifest.broker)
        self.vitals = Vitals()
        self._checkup = Checkup(plan, vitals=self.vitals, stop=stop)
        self._probe = Probe(self._checkup.health)
        self._options = options
        self._manifest = manifest
        self._stop = stop
        self._over = threading.Event()

    def __enter__(self) -> Self:
        try:
            self._probe.open()
        except (OSError, ConfigError) as error:  # a worker that cannot be asked still works
            LOG.warning("There is no health probe: %s", error)
        # The store, too: one that may not be used is better known of before a task has run.
        steps: tuple[tuple[str, Callable[[], object]], ...] = (
            ("broker", self.broker.tend),
            ("result store", lambda: self._store.get([_NO_TASK])),
            ("broker", self._enrol),
            ("broker", self._attend),
            ("broker", self._hear),
        )
        if all(_wait_for(what, step, self._stop) for what, step in steps):
            self._open()
        return self

    def _enrol(self) -> None:
        self.plan = _enrolled(self.broker, self.plan)
        reach("enrolled")

    def _attend(self) -> None:
        self._front = Front(self.broker, self.plan, clock=SYSTEM_CLOCK, log=LOG)
        self.herald = self._front.herald

    def _hear(self) -> None:
        if not self._options.quiet:
            self._kept = self.broker.durability()
        self.listener = self.broker.listen(self.plan.queues)

    def _open(self) -> None:
        clock, ttl = SYSTEM_CLOCK, self.plan.result_ttl
        self.crew = Crew()
        self.custody = Custody(
            broker=self.broker, store=self._store, ttl=self.plan.lease_time, clock=clock, log=LOG
        )
        self._tasks = dict(self._manifest.tasks)
        triage = Triage(
            tasks=self._tasks,
            clock=clock,
            result_ttl=ttl,
            limits=Settings.of(self._manifest.settings).message_limits,
            revoked_here=self._front.revoked,
            stamped=self._front.revoked.has_stamp_of,
        )
        self.intake = Intake(
            custody=self.custody,
            triage=triage,
            new_tag=self.crew.new_tag,
            clock=clock,
            log=LOG,
            herald=self.herald,
        )
        self.endings = Endings(
            custody=self.custody,
            triage=triage,
            crash_limit=self.plan.crash_limit,
            result_ttl=ttl,
            log=LOG,
            herald=self.herald,
        )
        self._checkup.plan = self.plan
        self._checkup.custody, self._checkup.crew = self.custody, self.crew
        self.opened = True
        if not self._options.quiet:
            _show(self.plan, self._manifest, self.broker, self._kept)
        LOG.info("%s ready.", self.plan.name)

    def listen(self, queues: Sequence[str]) -> Listener:
        """A listener for these queues in the place of the one before."""
        listener = self.broker.listen(queues)
        self.listener.close()
        self.listener = listener
        return listener

    def panel(self, loop: Steered) -> Panel:
        """What heeds requests that come from outside, for that loop."""
        return self._front.panel(
            loop,
            store=self._store,
            manifest=self._manifest,
            tasks=self._tasks,
            intake=self.intake,
        )

    @contextmanager
    def watched(self, queues: Callable[[], Sequence[str]]) -> Iterator[None]:
        """Have a watchdog within the ``with`` block, unless the plan wants none."""
        timeout = self.plan.watchdog_timeout
        if not timeout:
            yield
            return
        watchdog = Watchdog(
            vitals=self.vitals,
            broker=self.broker,
            queues=queues,
            away=lambda: bool(self.custody.resting),
            timeout=timeout,
            quit=self._quit,
            log=LOG,
        )
        watchdog.start()
        try:
            yield
        finally:
            watchdog.stop()

    def _quit(self) -> None:
        """End, by way of the loop if it comes round; called by the watchdog's thread."""
        self._stop.give_up(EXIT_CODE)
        if not self._over.wait(_LAST_CHANCE):
            os._exit(EXIT_CODE)  # its leases are free at once: their holder is dead

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._over.set()
        self._probe.close()
        if kind is ZygoteGone:  # the next life has this process's id: it must find no trace of us
            _wait_for("broker", self.broker.tend, self._stop)
        if self.opened:
            self.listener.close()
        self._store.close()
        self.broker.close()


def _wait_for(what: str, ask: Callable[[], object], stop: StopSignals) -> bool:
    """Wait until something can be asked, with jitter; False when told to stop meanwhile."""
    pause, told = _FIRST_PAUSE, ""
    while True:
        try:
            ask()
        except (Unavailable, Uncertain) as error:
            if str(error) != told:  # once each: it may be away for hours
                told = str(error)
                LOG.error("The %s is not there yet, waiting for it: %s", what, error)
        else:
            return True
        select.select([stop], [], [], random.uniform(pause / 2, pause))
        if stop.count():
            return False
        pause = min(_LONGEST_PAUSE, pause * 2)


def _enrolled(broker: Broker, plan: WorkerPlan) -> WorkerPlan:
    """Take the worker's name; a default one gets a number where it is taken."""
    info = {"pool": plan.pool, "concurrency": plan.concurrency, "queues": list(plan.queues)}
    first, _, host = plan.name.partition("@")
    for number in range(1, _MOST_NAMES):
        name = plan.name if number == 1 else f"{first}-{number}@{host}"
        try:
            broker.enrol(name, info)
        except NameTaken:
            if plan.named:
                raise
        else:
            return plan.with_name(name)
    raise ConfigError(f"{_MOST_NAMES} workers are named after {plan.name}: choose a name with -n")


def _show(plan: WorkerPlan, manifest: Manifest, broker: Broker, kept: str) -> None:
    text = banner(
        plan,
        version=version("penstock"),
        transport=broker.describe() or str(Url.parse(manifest.broker)),
        results=str(Url.parse(manifest.backend)),
        tasks=manifest.tasks,
        kept=kept,
    )
    print(many_lines(text), flush=True)  # noqa: T201 - the start screen goes to standard output


def _start_again() -> int:
    """Become a fresh worker in the same process id: the zygote died, or the app changed."""
    os.execv(sys.executable, sys.orig_argv)  # noqa: S606 - our own command line, no shell
