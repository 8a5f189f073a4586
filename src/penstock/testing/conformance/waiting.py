"""Waiting: woken by what arrives, in time, for no processor time; and cancelled without loss."""

from __future__ import annotations

import asyncio
import contextlib
import select
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from typing import TypeVar

from penstock.brokers.base import Broker
from penstock.message import Again, Done, Lease, Message
from penstock.testing.conformance.stage import LONG, BrokerStage, Client, ids, needs

__all__ = ["CancellingCases", "ListeningCases", "WaitingCases"]

R = TypeVar("R")

_PATIENCE = 30.0  # seconds: reached only by a broker that misses its wake-up
_SOON = 10.0  # a wake-up takes milliseconds; a busy machine may take seconds


def _on_a_thread(call: Callable[[], R]) -> Future[R]:
    """The outcome of a call that has begun on a thread of its own."""
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


def _timed(call: Callable[[], R]) -> tuple[R, float, float]:
    """What a call gave, the seconds it took, and the seconds of processor time of its thread."""
    started, worked = time.monotonic(), time.thread_time()
    reply = call()
    return reply, time.monotonic() - started, time.thread_time() - worked


class WaitingCases(BrokerStage):
    """lease(wait=...) in real time."""

    def _waiting(self, client: Client) -> Future[tuple[list[Lease], float, float]]:
        return _on_a_thread(
            lambda: _timed(lambda: client.lease(self.queue, limit=5, wait=_PATIENCE))
        )

    def test_what_is_there_is_not_waited_for(self) -> None:
        client = self.client_in_real_time()
        client.publish(self.message())
        leases, took, _ = _timed(lambda: client.lease(self.queue, limit=5, wait=_PATIENCE))
        assert len(leases) == 1
        assert took < _SOON

    def test_it_waits_as_long_as_it_was_told(self) -> None:
        client = self.client_in_real_time()
        leases, took, _ = _timed(lambda: client.lease(self.queue, wait=0.05))
        assert leases == []
        assert 0.045 <= took < _SOON

    def test_waiting_is_not_busy(self) -> None:
        client = self.client_in_real_time()
        client.lease(self.queue)  # what is opened on first use is not waiting
        _, took, worked = _timed(lambda: client.lease(self.queue, wait=0.2))
        assert worked < took / 4

    def test_a_publication_from_another_thread_wakes_it(self) -> None:
        client = self.client_in_real_time()
        for name in ("a", "b", "c"):
            waiting = self._waiting(client)
            client.publish(self.message(name))
            leases, took, _ = waiting.result(_PATIENCE)
            assert ids(leases) == [name]
            assert took < _SOON

    def test_a_publication_by_another_client_wakes_it(self) -> None:
        waiter, publisher = self.client_in_real_time(), self.client_in_real_time()
        for name in ("a", "b", "c"):
            waiting = self._waiting(waiter)
            publisher.publish(self.message(name))
            leases, took, _ = waiting.result(_PATIENCE)
            assert ids(leases) == [name]
            assert took < _SOON

    def test_a_publication_in_the_other_colour_wakes_it(self) -> None:
        waiter = self.client_in_real_time()
        other = self.client_in_real_time("awaiting" if self.colour == "blocking" else "blocking")
        waiting = self._waiting(waiter)
        other.publish(self.message("it"))
        leases, took, _ = waiting.result(_PATIENCE)
        assert ids(leases) == ["it"]
        assert took < _SOON

    def test_what_is_handed_back_wakes_it(self) -> None:
        holder, waiter = self.client_in_real_time(), self.client_in_real_time()
        holder.publish(self.message("it"))
        lease = self.lease_one(holder)
        waiting = self._waiting(waiter)
        holder.settle(Again(lease, lease.message))
        leases, took, _ = waiting.result(_PATIENCE)
        assert ids(leases) == ["it"]
        assert took < _SOON

    def test_it_wakes_for_any_of_its_queues(self) -> None:
        waiter, publisher = self.client_in_real_time(), self.client_in_real_time()
        other = f"{self.queue}-other"
        waiting = _on_a_thread(lambda: waiter.lease(self.queue, other, wait=_PATIENCE))
        publisher.publish(self.message("it", queue=other))
        assert ids(waiting.result(_SOON)) == ["it"]

    @needs("delays")
    def test_a_delay_that_ends_wakes_it_and_not_before(self) -> None:
        client = self.client_in_real_time()
        due = time.time() + 0.15
        client.publish(self.message("it", ready_at=due))
        leases, took, _ = _timed(lambda: client.lease(self.queue, wait=_PATIENCE))
        assert time.time() >= due
        assert ids(leases) == ["it"]
        assert took < _SOON

    def test_a_lease_that_ends_wakes_it(self) -> None:
        client = self.client_in_real_time()
        client.publish(self.message("it"))
        self.lease_one(client, ttl=0.15)
        leases, took, _ = _timed(lambda: client.lease(self.queue, wait=_PATIENCE))
        assert [(lease.message.id, lease.deaths) for lease in leases] == [("it", 1)]
        assert took < _SOON

    def test_many_wait_and_each_message_goes_to_one(self) -> None:
        clients = [self.client_in_real_time() for _ in range(3)]
        waiting = [
            _on_a_thread(partial(client.lease, self.queue, wait=_PATIENCE))
            for client in (*clients, *clients)
        ]
        publisher = self.client_in_real_time()
        names = [f"{number}" for number in range(len(waiting))]
        for name in names:
            publisher.publish(self.message(name))
        assert sorted(name for one in waiting for name in ids(one.result(_PATIENCE))) == names


class CancellingCases(BrokerStage):
    """A cancelled await loses nothing: what it may have claimed can be had again at once."""

    def test_a_cancelled_wait_leaves_the_message_for_others(self) -> None:
        client = self.client_in_real_time()

        async def cancel_a_wait() -> None:
            waiting = asyncio.create_task(client.broker.alease([self.queue], 1, LONG, _PATIENCE))
            await asyncio.sleep(0)
            waiting.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await waiting

        asyncio.run(cancel_a_wait())
        client.publish(self.message("it"))
        assert self._had_by(self.client_in_real_time()) == ["it"]

    def test_a_cancel_that_meets_a_publication_loses_nothing(self) -> None:
        publisher = self.client_in_real_time("blocking")
        waiter = self.client_in_real_time("awaiting")
        for turns in range(12):
            message = self.message(f"{turns}")
            got = asyncio.run(self._cancelled_after(turns, waiter.broker, publisher, message))
            if got:  # it was leased before the cancel came: then its caller has it
                assert waiter.settle(*map(Done, got)) == []
            else:
                assert self._had_by(publisher) == [message.id]

    async def _cancelled_after(
        self, turns: int, broker: Broker, publisher: Client, message: Message
    ) -> list[Lease]:
        waiting = asyncio.create_task(broker.alease([self.queue], 1, LONG, _PATIENCE))
        await asyncio.sleep(0)
        publishing = asyncio.get_running_loop().run_in_executor(None, publisher.publish, message)
        for _ in range(turns):
            await asyncio.sleep(0)
        waiting.cancel()
        await publishing
        try:
            return await waiting
        except asyncio.CancelledError:
            return []

    def _had_by(self, client: Client) -> list[str]:
        """What can be had soon, and is settled: long before any lease of this case ends."""
        leases = client.lease(self.queue, wait=_SOON)
        assert client.settle(*map(Done, leases)) == []
        return ids(leases)


class ListeningCases(BrokerStage):
    """listen(): a descriptor for somebody else's loop."""

    def _readable(self, descriptor: int, timeout: float) -> bool:
        return bool(select.select([descriptor], [], [], timeout)[0])

    def test_readable_after_a_publication(self) -> None:
        listener = self.client_in_real_time().broker.listen([self.queue])
        try:
            self.client_in_real_time().publish(self.message())
            assert self._readable(listener.fileno(), _SOON)
            assert listener.wait(0)
        finally:
            listener.close()

    def test_silent_until_then(self) -> None:
        listener = self.client_in_real_time().broker.listen([self.queue])
        try:
            assert not self._readable(listener.fileno(), 0)
            assert not listener.wait(0.01)
        finally:
            listener.close()

    def test_what_rang_before_a_wait_is_heard_by_it(self) -> None:
        client = self.client_in_real_time()
        listener = client.broker.listen([self.queue])
        try:
            client.publish(self.message())
            assert listener.wait(_SOON)
        finally:
            listener.close()

    def test_cleared_it_hears_the_next_ring(self) -> None:
        client = self.client_in_real_time()
        listener = client.broker.listen([self.queue])
        try:
            for _ in range(3):
                client.publish(self.message())
                assert listener.wait(_SOON)
                listener.clear()
                if not client.broker.capabilities.rings_for_each:
                    client.finish(self.queue)  # as who hears a bell does
        finally:
            listener.close()

    def test_closing_one_leaves_the_others(self) -> None:
        client = self.client_in_real_time()
        first, second = (client.broker.listen([self.queue]) for _ in range(2))
        first.close()
        try:
            client.publish(self.message())
            assert second.wait(_SOON)
        finally:
            second.close()
