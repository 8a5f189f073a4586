"""Who takes part: clients, workers, upkeep, and whoever looks after dead letters.

Each is a generator that yields an operation (or a sleep) and is sent its answer, or thrown what
a real caller would have to catch. They do what the penstock worker and clients do: repeat what is
in doubt with the same keys and fences, renew leases while a task runs, drop what was lost.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Generator, Sequence
from random import Random
from typing import Any

from msgspec.structs import replace

from penstock.clock import Clock
from penstock.errors import BrokerError, Uncertain
from penstock.message import Again, Dead, Done, Lease, Message, Record, Settlement, new_id
from penstock.testing.simulation import operations as ops
from penstock.testing.simulation.ledger import Ledger

__all__ = ["LEASE", "QUEUES", "Scene", "Script", "client", "sexton", "tender", "worker"]

Script = Generator[ops.Operation | ops.Sleep, Any, None]

QUEUES = ("orders", "mail")
LEASE = 10.0  # seconds
_TRIES = 5  # of what is in doubt, before a caller gives up
_PATIENCE = 20.0  # seconds after which it gives up in any case: brokers forget what was settled
_REVOKED_FOR = 30 * 86_400.0


class Scene:
    """What actors share: the dice, the clock, the list of what was made, and how wild it is."""

    def __init__(
        self, *, rng: Random, clock: Clock, ledger: Ledger, records: bool, revokes: bool
    ) -> None:
        self.rng = rng
        self.clock = clock
        self.ledger = ledger
        self.records = records
        self.revokes = revokes
        self.steady = False  # the storm is over: work goes on, nobody does odd things
        self._serial = itertools.count(1)
        self._ids: list[str] = []

    def message(self) -> Message:
        """A new publication: often plain, sometimes delayed, expiring, urgent, or a known id."""
        rng, wall = self.rng, self.clock.wall()
        task_id = self._task_id()
        return self.ledger.made(
            Message(
                id=task_id,
                queue=rng.choice(QUEUES),
                headers={"task": "simulated", "id": task_id, "retries": 0},
                body=b"%d" % rng.randrange(1_000),
                priority=rng.choice((0, 0, 0, 0, 5, 9)),
                ready_at=wall + rng.uniform(1, 60) if rng.random() < 0.2 else 0.0,
                expires_at=round(wall + rng.uniform(5, 60), 3) if rng.random() < 0.1 else None,
            )
        )

    def _task_id(self) -> str:
        if self._ids and self.rng.random() < 0.08:
            return self.rng.choice(self._ids)
        self._ids.append(f"task-{len(self._ids) + 1}")
        return self._ids[-1]

    def retry(self, message: Message) -> Message:
        """The publication that takes the place of this one."""
        headers = dict(message.headers) | {"retries": message.headers["retries"] + 1}
        return self.ledger.made(replace(message, key=new_id(), headers=headers, ready_at=0.0))

    def record(self, lease: Lease, state: str, *, final: bool) -> Record | None:
        """What this run says of its task; no two records are the same."""
        if not self.records:
            return None
        name = self.ledger.name(lease.message.key)
        document = f"{state}/{name}/{lease.attempt}/{next(self._serial)}"
        return Record(
            id=lease.message.id,
            state=state,
            document=document.encode(),
            key=lease.message.key,
            attempt=lease.attempt,
            final=final,
        )

    def later(self) -> float:
        """At once, or a wall time within a minute."""
        return self.clock.wall() + self.rng.uniform(1, 60) if self.rng.random() < 0.5 else 0.0


# --- clients ------------------------------------------------------------------------------------


def client(scene: Scene) -> Script:
    """Publishes, waits for some results, revokes now and then."""
    rng = scene.rng
    for _ in range(rng.randint(3, 7)):
        batch = [scene.message() for _ in range(rng.choice((1, 1, 2, 5)))]
        yield from _insist(scene, ops.Publish(batch))
        ids = [message.id for message in batch]
        if scene.revokes and rng.random() < 0.15:
            yield ops.Revoke(ids[:1], _REVOKED_FOR)
        if scene.records and rng.random() < 0.3:
            yield from _insist(scene, ops.Look(ids, rng.uniform(0.5, 20)))
        yield ops.Sleep(rng.expovariate(1 / 8))


def _insist(scene: Scene, operation: ops.Operation) -> Generator[Any, Any, bool]:
    """Ask until it is answered, some times at most; gives whether it was."""
    deadline = scene.clock.monotonic() + _PATIENCE
    for _ in range(_TRIES):
        try:
            yield operation
        except BrokerError as error:  # refused or in doubt: most operations can be repeated
            doubt = isinstance(error, Uncertain) and isinstance(operation, ops.Publish)
            if doubt and not scene.ledger.can.repeatable:
                return False
            yield ops.Sleep(scene.rng.uniform(0.1, 2))
        else:
            return True
        if scene.clock.monotonic() > deadline:
            break
    return False


# --- workers ------------------------------------------------------------------------------------


def worker(scene: Scene) -> Script:
    """Leases, runs, settles, for ever."""
    finished: list[Settlement] = []
    while True:
        leases = yield from _next_batch(scene, finished)
        finished = yield from _Batch(scene, leases).run()


def _next_batch(
    scene: Scene, finished: Sequence[Settlement]
) -> Generator[Any, Any, Sequence[Lease]]:
    """Settle what is finished and claim what is next, in one round trip or in two."""
    rng = scene.rng
    queues = QUEUES if scene.steady or rng.random() < 0.7 else rng.sample(QUEUES, 1)
    limit = rng.randint(1, 4)
    wait = rng.choice((0.0, 5.0, 30.0))
    try:
        if finished and rng.random() < 0.5:
            turn = ops.Turn(ops.Settle(finished), ops.Claim(queues, limit, LEASE))
            _, leases = yield turn
        else:
            yield from _settle(scene, finished)
            leases = yield ops.Claim(queues, limit, LEASE, wait)
    except BrokerError:  # leases that a lost reply named run out; settling is repeated
        yield from _settle(scene, finished)
        leases = []
    if not leases:
        yield ops.Sleep(rng.uniform(0.1, 2))
    return leases  # type: ignore[no-any-return]


def _settle(scene: Scene, finished: Sequence[Settlement]) -> Generator[Any, Any, None]:
    if finished:
        yield from _insist(scene, ops.Settle(finished))


class _Batch:
    """The leases that one claim gave, worked off one after the other."""

    def __init__(self, scene: Scene, leases: Sequence[Lease]) -> None:
        self._scene = scene
        self._order = leases
        self._held = {lease.fence: lease for lease in leases}
        self._renewed = scene.clock.monotonic()

    def run(self) -> Generator[Any, Any, list[Settlement]]:
        """Run them all; gives the settlements that were not sent on the way."""
        finished: list[Settlement] = []
        for lease in self._order:
            if lease.fence in self._held:
                yield from self._run_one(lease)
            # One in four does not look whether its lease was lost meanwhile, and settles.
            if lease.fence in self._held or self._scene.rng.random() < 0.25:
                finished.append(_outcome(self._scene, lease))
            if finished and self._scene.rng.random() < 0.3:
                yield from _settle(self._scene, finished)
                for settlement in finished:
                    self._held.pop(settlement.lease.fence, None)
                finished = []
        return finished

    def _run_one(self, lease: Lease) -> Generator[Any, Any, None]:
        rng = self._scene.rng
        started = self._scene.record(lease, "STARTED", final=False)
        if started is not None and rng.random() < 0.25:
            yield from _insist(self._scene, ops.Put((started,)))
        remaining = rng.uniform(12, 40) if rng.random() < 0.1 else rng.uniform(0.01, 1.5)
        while remaining > 0 and lease.fence in self._held:
            nap = min(remaining, LEASE / 4)
            yield ops.Sleep(nap)
            remaining -= nap
            yield from self._renew()

    def _renew(self) -> Generator[Any, Any, None]:
        if self._scene.clock.monotonic() - self._renewed < LEASE / 3:
            return
        try:
            held = yield ops.Extend(list(self._held.values()), LEASE)
        except BrokerError:  # the next one is due before the lease is over
            return
        self._renewed = self._scene.clock.monotonic()
        self._held = {lease.fence: lease for lease in held}


def _outcome(scene: Scene, lease: Lease) -> Settlement:
    """How this run ends."""
    rng, message = scene.rng, lease.message
    expired = message.expires_at is not None and message.expires_at <= scene.clock.wall()
    if lease.revoked or expired:
        return Done(lease, scene.record(lease, "REVOKED", final=True))
    chance = rng.random()
    if chance < 0.12 and message.headers["retries"] < 2:
        record = scene.record(lease, "RETRY", final=False)
        return Again(lease, scene.retry(message), scene.later(), record)
    if chance < 0.22 and lease.attempt < 6:
        return Again(lease, message, scene.later())
    if chance < 0.3:
        return Dead(lease, "does not work", scene.record(lease, "FAILURE", final=True))
    return Done(lease, scene.record(lease, "SUCCESS", final=True))


# --- upkeep -------------------------------------------------------------------------------------


def tender(scene: Scene) -> Script:
    """Does the broker's upkeep when it is due."""
    while True:
        due = None
        try:
            due = yield ops.Tend()
        except BrokerError:
            due = 1.0  # what failed is tried again soon
        longest = 10.0 if due is None else min(due, 10.0)
        yield ops.Sleep(longest + scene.rng.uniform(0.001, 0.1))


def sexton(scene: Scene) -> Script:
    """Replays some dead letters and drops others."""
    rng = scene.rng
    while True:
        yield ops.Sleep(rng.uniform(5, 25))
        letters = yield ops.Letters()
        keys = [letter.message.key for letter in letters if rng.random() < 0.5]
        act: Callable[[Sequence[str]], ops.Operation] = rng.choice((ops.Replay, ops.Drop))
        if keys:
            yield act(keys)
