"""The demo, scene by scene."""

from __future__ import annotations

import time
from contextlib import chdir
from pathlib import Path
from typing import TYPE_CHECKING

from penstock.demo.account import STEPS, Account, account
from penstock.demo.attack import Attack
from penstock.demo.crew import DemoFailed
from penstock.demo.disk import commits_per_second
from penstock.demo.journal import JOURNAL
from penstock.demo.screen import Screen
from penstock.demo.watch import Watch
from penstock.errors import ResultTimeout

if TYPE_CHECKING:
    from penstock.brokers.base import Broker

__all__ = ["ALL_ORDERS", "affordable", "play"]

ALL_ORDERS = 2000
_FEWEST = 100
_FAST_DISK = 1000  # commits a second that all orders ask for
_LOOK_EVERY = 0.02  # seconds between two looks into the journal
_PATIENCE = 20.0  # seconds without a new line after which what is missing counts as lost
_START = 30.0  # seconds for the worker to be there, and for the first result


def play(folder: Path, *, orders: int | None, screen: Screen) -> Account:
    """Run it all in that folder; gives the account. Raises DemoFailed where it cannot go on."""
    began = time.monotonic()
    count = _opening(folder, orders, screen)
    watch = Watch(folder)
    with chdir(folder):  # the shop's file is the default one: penstock.db in the current folder
        attack = Attack(folder, watch, screen, count * len(STEPS))
        try:
            _tutorial(attack, screen)
            _shop(count, attack, watch, screen)
        finally:
            attack.worker.stop()
    watch.look()
    found = account(count, watch.entries, attack.kills)
    _closing(found, screen, time.monotonic() - began)
    return found


def _opening(folder: Path, orders: int | None, screen: Screen) -> int:
    rate = commits_per_second(folder)
    count = orders or affordable(rate)
    screen.heading("penstock demo")
    screen.facts(
        [
            ("queue and results", f"{folder / 'penstock.db'}"),
            ("the tasks' journal", f"{folder / JOURNAL}"),
            ("disk", f"{rate:,.0f} commits a second"),
        ]
    )
    if orders is None and count < ALL_ORDERS:
        screen.line(f"The disk is slow: {count} orders instead of {ALL_ORDERS}.")
    return count


def affordable(rate: float) -> int:
    """How many orders a disk with so many commits a second gets through in a minute."""
    return max(_FEWEST, min(ALL_ORDERS, int(ALL_ORDERS * rate / _FAST_DISK)))


def _tutorial(attack: Attack, screen: Screen) -> None:
    from penstock.demo.shop import add, app

    screen.heading("The tutorial")
    _await_worker(attack, app.broker)
    screen.line(f"worker {attack.worker.pid} started: penstock -A penstock.demo.shop worker -c 2")
    screen.line("result = add.delay(4, 4)")
    result = add.delay(4, 4)
    try:
        screen.result(f"task done: {result.get(timeout=_START)}")
    except ResultTimeout as error:
        attack.worker.check()
        raise DemoFailed(f"{error}; the worker says nothing about it") from error


def _await_worker(attack: Attack, broker: Broker) -> None:
    deadline = time.monotonic() + _START
    while not any(worker.alive for worker in broker.workers()):
        attack.worker.check()
        if time.monotonic() > deadline:
            raise DemoFailed(f"the worker was not there after {_START:.0f} s")
        time.sleep(_LOOK_EVERY)


def _shop(count: int, attack: Attack, watch: Watch, screen: Screen) -> None:
    from penstock.demo.shop import app, pay

    screen.heading(f"The shop: {count} orders, each is paid, picked and shipped")
    began = time.monotonic()
    pay.send_many([(number,) for number in range(1, count + 1)])
    took = time.monotonic() - began
    screen.line(f"{count} payments accepted in {took:.2f} s; from here on nothing may be lost")
    with screen.bars(count) as bars:
        heard = time.monotonic()
        while not _finished(count, watch.done(), app.broker):
            time.sleep(_LOOK_EVERY)
            now = time.monotonic()
            heard = now if watch.look() else heard
            if now - heard > _PATIENCE:
                return
            attack.proceed(sum(watch.done().values()))
            bars.show(watch.done())


def _finished(count: int, done: dict[str, int], broker: Broker) -> bool:
    """True when every order is shipped and no repeat is still on its way."""
    if done.get(STEPS[-1], 0) < count:
        return False
    return not any(state.ready or state.delayed or state.leased for state in broker.queues())


def _closing(found: Account, screen: Screen, seconds: float) -> None:
    screen.heading("The account, from the tasks' journal alone")
    runs = "  ".join(f"{step} {found.runs[step]}" for step in STEPS)
    killed = ", ".join(f"{count} {what}" for what, count in found.kills.items()) or "nothing"
    reruns = ", ".join(f"{what} {1000 * value:.0f} ms" for what, value in found.reruns)
    screen.facts(
        [
            ("orders", str(found.orders)),
            ("runs", runs),
            ("killed", killed),
            ("kill to rerun", reruns or "nothing was cut"),
            ("lost", str(found.lost)),
            ("run twice", str(len(found.repeats))),
            *(("", f"{number} because {why}") for why, number in found.causes.items()),
            *([("", f"{found.unexplained} WITHOUT A CAUSE")] if found.unexplained else []),
            ("took", f"{seconds:.1f} s"),
        ]
    )
    screen.verdict(str(found), good=found.good)
