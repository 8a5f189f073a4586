"""One seed: a storm, then calm weather in which everything must come to its end."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from random import Random

from penstock.clock import ManualClock
from penstock.plan import drive
from penstock.testing.simulation import operations as ops
from penstock.testing.simulation.actors import QUEUES, Scene, Script, client, sexton, tender, worker
from penstock.testing.simulation.call import Actor
from penstock.testing.simulation.history import History
from penstock.testing.simulation.ledger import Ledger
from penstock.testing.simulation.report import Report
from penstock.testing.simulation.site import Site
from penstock.testing.simulation.storm import Storm
from penstock.testing.simulation.violation import Violation
from penstock.testing.simulation.weather import Weather

__all__ = ["simulate"]

_STEPS = 20_000  # of a whole run: far more than any sound one takes
_CALM = 1_500.0  # virtual seconds in which everything must have ended
_QUIET = 90.0  # virtual seconds without a lease: longer than any delay or lease
_JUMPS = (-86_400.0, -7_200.0, -30.0, 5.0, 600.0, 7_200.0, 86_400.0)

_SCRIPTS: dict[str, Callable[[Scene], Script]] = {
    "client": client,
    "worker": worker,
    "tender": tender,
    "sexton": sexton,
}


def simulate(make_site: Callable[[ManualClock], Site], seed: int) -> Report:
    """Run one seed against a fresh site. The same seed gives the same history, everywhere."""
    clock = ManualClock()
    site = make_site(clock)
    try:
        run = _Run(site, clock, seed)
        failure = run.outcome()
    finally:
        site.close()
    return Report(
        seed=seed,
        history=run.history,
        failure=failure,
        published=len(run.ledger.pubs),
        leased=run.ledger.leases,
        faults=run.storm.faults,
    )


class _Run:
    """The parts of one run, put together."""

    def __init__(self, site: Site, clock: ManualClock, seed: int) -> None:
        self._site = site
        self._clock = clock
        self._rng = Random(seed)
        self._observer = self._desk()
        self._records = self._observer.store is not None
        self._ended = False
        self._leases_seen = -1
        self._quiet_since = 0.0
        can = self._observer.broker.capabilities
        self.history = History()
        self.ledger = Ledger(can)
        self._scene = Scene(
            rng=self._rng,
            clock=clock,
            ledger=self.ledger,
            records=self._records,
            revokes=can.revokes,
        )
        weather = Weather.draw(
            self._rng, reboots=site.survives_reboot, jumps=site.survives_clock_jumps
        )
        self.storm = Storm(
            rng=self._rng, clock=clock, weather=weather, ledger=self.ledger, history=self.history
        )
        self._numbers: Counter[str] = Counter()
        self._true_wall = clock.wall()

    def outcome(self) -> Exception | None:
        """Run it; gives what failed."""
        try:
            self._storm()
            self._calm()
            self._reckon()
        except Exception as failure:  # noqa: BLE001 - whatever it is, it has a seed to replay it
            return failure
        return None

    # --- the parts of a run ----------------------------------------------------------------

    def _storm(self) -> None:
        rng, weather = self._rng, self.storm.weather
        length = rng.uniform(30, 90)
        roles = ["client"] * rng.randint(1, 3) + ["worker"] * rng.randint(1, 4) + ["tender"]
        self._crew = roles + (["sexton"] if self.ledger.can.inspects else [])
        self.storm.on_crash = self._replace
        self._enter(self._crew)
        for _ in range(weather.jumps):
            self.storm.later(rng.uniform(0, length), self.storm.jump, rng.choice(_JUMPS))
        for _ in range(weather.reboots):
            self.storm.later(rng.uniform(0, length), self._reboot)
        for _ in range(3):
            self.storm.later(rng.uniform(0, length), self._count)
        self.storm.run(length, steps=_STEPS, enough=lambda: False)

    def _calm(self) -> None:
        """The clock is set right, everybody is new, nothing goes wrong: all must end."""
        self.storm.heal()
        self._scene.steady = True
        # Whatever was published while the clock was ahead is due within a minute all the same.
        right = max(self._true_wall + self.storm.now, self.ledger.latest_due() - 60.0)
        self.storm.jump(right - self._clock.wall())
        self._enter(["worker", "worker", "tender"])
        self._look_for_the_end()
        until = self.storm.now + _CALM
        if not self.storm.run(until, steps=_STEPS, enough=lambda: self._ended):
            left = ", ".join(f"{pub.name} ({pub.story()})" for pub in self.ledger.open())
            raise Violation("never ended", left or "the broker holds what nobody can lease")

    def _reckon(self) -> None:
        """The last look: what the broker still holds, and what the store shows."""
        self.storm.crash_all("at the end")
        self._observe(ops.Letters(), if_can=self.ledger.can.inspects)
        self._observe(ops.Look(self.ledger.shelf.ids(), 0.0), if_can=self._records)

    # --- actors ----------------------------------------------------------------------------

    def _enter(self, roles: list[str]) -> None:
        for role in roles:
            self._numbers[role] += 1
            script = _SCRIPTS[role](self._scene)
            self.storm.enter(Actor(role, self._numbers[role], script, self._desk()))

    def _replace(self, dead: Actor) -> None:
        self.storm.later(self._rng.uniform(0.1, 5), self._enter, [dead.role])

    def _desk(self) -> ops.Desk:
        broker, store = self._site.broker(), self._site.store()
        return ops.Desk(broker, store if broker.keeps_records_of(store) else None)

    def _reboot(self) -> None:
        self.storm.on_crash = None
        self.storm.crash_all("with the machine")
        self._site.reboot()
        self.storm.reboot()
        self._observer = self._desk()
        self.storm.on_crash = self._replace
        self._enter(self._crew)

    # --- looking on ------------------------------------------------------------------------

    def _observe(self, op: ops.Operation, *, if_can: bool) -> object:
        if not if_can:
            return None
        now = self.storm.instant()
        answer = drive(op.plan(self._observer), self._observer.broker.engine)
        self.ledger.saw(op, answer, now, now)
        return answer

    def _count(self) -> None:
        """Compare depths, where nothing is in doubt."""
        expected = self.ledger.depths(QUEUES, self.storm.instant())
        counts = self.ledger.can.inspects and self.ledger.can.exact_depth
        if expected is None or not counts or self.storm.is_halfway:
            return
        for queue, (least, most) in expected.items():
            depth = self._observer.broker.depth(queue)
            if not least <= depth <= most:
                text = f"{queue} is said to hold {depth}; it holds {least} to {most}"
                raise Violation("depth", text)

    def _look_for_the_end(self) -> None:
        """Once a virtual second, see whether everything has ended."""
        if self._is_empty():
            self._resolve()
            if lost := self.ledger.open():
                text = ", ".join(f"{pub.name} ({pub.story()})" for pub in lost)
                raise Violation("lost", f"the broker is empty, but no end was recorded for {text}")
            self._ended = True
        self.storm.later(1.0, self._look_for_the_end)

    def _is_empty(self) -> bool:
        broker = self._observer.broker
        if self.ledger.can.inspects:
            if self.ledger.can.exact_depth and any(map(broker.depth, QUEUES)):
                return False  # to see that costs a server less than all there is to see
            states = broker.queues()
            return not any(state.ready or state.delayed or state.leased for state in states)
        if self._leases_seen != self.ledger.leases:
            self._leases_seen, self._quiet_since = self.ledger.leases, self.storm.now
        return self.storm.now > self._quiet_since + _QUIET

    def _resolve(self) -> None:
        """Where a caller died before it heard, find out by looking."""
        self._observe(ops.Letters(), if_can=self.ledger.can.inspects)
        ids = [pub.message.id for pub in self.ledger.open()]
        found = self._observe(ops.Look(ids, 0.0), if_can=self._records)
        if isinstance(found, list):
            self.ledger.resolve(dict(zip(ids, found, strict=True)))
        else:
            self.ledger.resolve({})

    def __repr__(self) -> str:
        return f"_Run({self._site!r})"
