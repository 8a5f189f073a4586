"""When to kill what: an executor after a fifth of the work, the whole worker after half of it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from penstock.demo.account import Kill, Run
from penstock.demo.crew import ShopWorker
from penstock.demo.screen import Screen
from penstock.demo.watch import Watch

__all__ = ["Attack"]

_EXECUTOR_AT, _WORKER_AT = 0.2, 0.5  # of all steps


class Attack:
    """Kills, and starts what a site's service manager would start again."""

    def __init__(self, folder: Path, watch: Watch, screen: Screen, total: int) -> None:
        self._folder = folder
        self._watch = watch
        self._screen = screen
        self._plan: list[tuple[float, Callable[[], bool]]] = [
            (_EXECUTOR_AT * total, self._kill_executor),
            (_WORKER_AT * total, self._kill_worker),
        ]
        self.worker = ShopWorker(folder)
        self.kills: list[Kill] = []

    def proceed(self, steps_done: int) -> None:
        """Do what is due after so many steps."""
        if self._plan and steps_done >= self._plan[0][0] and self._plan[0][1]():
            self._plan.pop(0)
        self.worker.check()

    def _kill_executor(self) -> bool:
        caught = self.worker.kill_executor(self._open_runs)
        if caught is None:
            return False  # between two runs: the next look will find one
        kill, run = caught
        self.kills.append(kill)
        where = f"in the middle of {run.step} of order {run.order}"
        self._screen.event(f"[bold]executor {run.pid} killed[/bold] {where}")
        return True

    def _open_runs(self) -> list[Run]:
        gone = self._gone()
        return [run for run in self._watch.open_runs() if run.pid not in gone]

    def _kill_worker(self) -> bool:
        running = len(self._open_runs())
        if not running:
            return False
        pid = self.worker.pid
        gone = self._gone()
        self.kills.append(self.worker.kill(lambda: self._watch.pids() - gone))
        tasks = "1 task" if running == 1 else f"{running} tasks"
        self._screen.event(f"[bold]worker {pid} killed[/bold], all of it, with {tasks} running")
        self.worker = ShopWorker(self._folder)
        self._screen.calm(f"worker {self.worker.pid} started in its place")
        return True

    def _gone(self) -> frozenset[int]:
        return frozenset(pid for kill in self.kills for pid in kill.pids)
