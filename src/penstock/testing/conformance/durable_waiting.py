"""Waiting: for items, for the end of all work; woken in time, and stopped by closing."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar

import pytest

from penstock.errors import ConfigError, Empty, ShutDown
from penstock.testing.conformance.durable_stage import DurableStage, User
from penstock.testing.conformance.stage import needs

__all__ = ["GetWaitingCases", "JoinCases", "LoopCases"]

R = TypeVar("R")

_PATIENCE = 30.0  # seconds: reached only by what hangs
_SOON = 10.0


def _on_a_thread(call: Callable[[], R]) -> Future[R]:
    outcome: Future[R] = Future()
    begun = threading.Event()

    def run() -> None:
        begun.set()
        try:
            outcome.set_result(call())
        except BaseException as error:  # noqa: BLE001 - raised where the outcome is asked for
            outcome.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    begun.wait()
    return outcome


class GetWaitingCases(DurableStage):
    """get(timeout=...) in real time."""

    def test_empty_when_the_time_is_over(self) -> None:
        user = self.user_in_real_time()
        began = time.monotonic()
        with pytest.raises(Empty, match=self.name):
            user.get(timeout=0.05)
        assert 0.045 <= time.monotonic() - began < _SOON

    def test_a_timeout_is_a_length(self) -> None:
        for timeout in (-1, float("nan")):
            with pytest.raises(ConfigError, match="timeout"):
                self.one.get(timeout=timeout)

    def test_an_item_wakes_who_waits(self) -> None:
        waiter, other = self.user_in_real_time(), self.user_in_real_time()
        for user in (other, waiter):
            waiting = _on_a_thread(lambda: waiter.get(timeout=_PATIENCE))
            user.put("item")
            assert waiting.result(_SOON) == "item"

    @needs("delays")
    def test_an_item_that_becomes_due_wakes_who_waits(self) -> None:
        user = self.user_in_real_time()
        user.put("item", countdown=0.1)
        assert user.get(timeout=_PATIENCE) == "item"

    def test_a_lease_that_ends_wakes_who_waits(self) -> None:
        frozen = self.user_in_real_time(lease=0.2)
        frozen.queue._desk.keeper.stop()  # noqa: SLF001 - as if its process were stopped
        frozen.put("item")
        frozen.get()
        assert self.user_in_real_time().get(timeout=_PATIENCE) == "item"

    def test_closing_ends_the_waiting(self) -> None:
        user = self.user_in_real_time()
        waiting = _on_a_thread(lambda: user.get(timeout=_PATIENCE))
        user.queue.close()
        with pytest.raises(ShutDown):
            waiting.result(_SOON)

    def test_who_is_cancelled_has_taken_nothing(self) -> None:
        user = self.user_in_real_time()
        asyncio.run(_cancelled_gets(user))
        user.put("item")
        assert user.get(timeout=_PATIENCE) == "item"


async def _cancelled_gets(user: User) -> None:
    for pause in (0.0, 0.01, 0.05):
        waiting = asyncio.ensure_future(user.queue.aget())
        await asyncio.sleep(pause)
        waiting.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await waiting


class JoinCases(DurableStage):
    """join, in real time."""

    @needs("inspects", "exact_depth")
    def test_nothing_to_wait_for(self) -> None:
        assert self.user_in_real_time().join()

    @needs("inspects", "exact_depth")
    def test_it_waits_for_what_waits_and_for_what_is_held(self) -> None:
        user, other = self.user_in_real_time(), self.user_in_real_time()
        user.put_many([1, 2])
        held = other.get()
        assert not user.join(timeout=0.03)
        other.done(other.get())
        assert not user.join(timeout=0.03)
        joining = _on_a_thread(user.join)
        other.done(held)
        assert joining.result(_SOON)

    @needs("inspects", "exact_depth", "delays")
    def test_it_waits_for_what_is_delayed(self) -> None:
        user = self.user_in_real_time()
        user.put("later", countdown=600)
        assert not user.join(timeout=0.03)
        user.queue.purge()
        assert user.join(timeout=_PATIENCE)

    @needs("inspects", "exact_depth")
    def test_it_does_not_wait_for_the_dead(self) -> None:
        user = self.user_in_real_time()
        user.put(1)
        user.bury(user.get(), "of no use")
        assert user.join(timeout=_PATIENCE)


class LoopCases(DurableStage):
    """``for item in q`` and ``async for``, in real time."""

    @needs("inspects")
    def test_closing_lets_the_item_at_hand_be_settled(self) -> None:
        user, other = self.user_in_real_time(), self.user_in_real_time()
        user.put_many([1, 2])
        self._loop(user, lambda _: user.queue.close())
        assert other.get(timeout=_PATIENCE) == 2
        assert other.queue.qsize() == 0

    def _loop(self, user: User, seen: Callable[[Any], object]) -> None:
        if self.colour == "blocking":
            for item in user.queue:
                seen(item)
        else:
            asyncio.run(self._aloop(user, seen))

    async def _aloop(self, user: User, seen: Callable[[Any], object]) -> None:
        async for item in user.queue:
            seen(item)

    def test_each_is_settled_when_the_next_is_asked_for(self) -> None:
        user, other = self.user_in_real_time(), self.user_in_real_time()
        user.put_many([1, 2, 3])
        seen: list[Any] = []
        three = threading.Event()

        def look(item: Any) -> None:
            assert user.queue.held() == [item]
            seen.append(item)
            if item == 3:
                three.set()

        looping = _on_a_thread(lambda: self._loop(user, look))
        assert three.wait(_PATIENCE)
        other.put("stop")
        user_closes = _on_a_thread(lambda: _until(lambda: "stop" in seen, user.queue.close))
        looping.result(_PATIENCE)
        user_closes.result(_PATIENCE)
        assert seen == [1, 2, 3, "stop"]


def _until(true: Callable[[], bool], then: Callable[[], None]) -> None:
    deadline = time.monotonic() + _PATIENCE
    while not true() and time.monotonic() < deadline:
        time.sleep(0.001)
    then()
