"""The checker is worth something only if it finds bugs: each planted one must be found.

They are bugs that queues have shipped, put into the memory broker one at a time: a mutant is a
function that patches its engine for the length of one test.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
from msgspec.structs import replace

from penstock.brokers.memory import MemoryBroker
from penstock.engines.memory import MemoryState
from penstock.engines.memory_bells import Bells
from penstock.engines.memory_holdings import Holdings, _Holding, _Line
from penstock.engines.memory_records import Records
from penstock.message import Again, Dead, Done
from penstock.testing.simulation import MemorySite, Violation, simulate

Patch = pytest.MonkeyPatch
Mutant = Callable[[Patch], None]

SEEDS = range(60)
MUTANTS: list[Mutant] = []


def mutant(plant: Mutant) -> Mutant:
    MUTANTS.append(plant)
    return plant


# --- publishing -----------------------------------------------------------------------------------


@mutant
def a_repeated_publication_is_stored_twice(patch: Patch) -> None:
    def publish(self, messages, wall, boot):
        for message in messages:
            holding = _Holding(message, next(self._numbers), wall)
            self._known[message.key] = holding
            self._place(holding, wall)

    patch.setattr(Holdings, "publish", publish)


@mutant
def a_settled_publication_is_stored_again_when_repeated(patch: Patch) -> None:
    original = Holdings.publish

    def publish(self, messages, wall, boot):
        for message in messages:
            self._settled.pop(message.key, boot)
        original(self, messages, wall, boot)

    patch.setattr(Holdings, "publish", publish)


@mutant
def the_last_of_a_large_batch_is_forgotten(patch: Patch) -> None:
    original = Holdings.publish

    def publish(self, messages, wall, boot):
        original(self, messages[:4], wall, boot)

    patch.setattr(Holdings, "publish", publish)


@mutant
def an_arrival_rings_no_bell(patch: Patch) -> None:
    patch.setattr(Bells, "ring", lambda self, names: None)


# --- leasing --------------------------------------------------------------------------------------


@mutant
def a_claim_does_not_raise_the_fence(patch: Patch) -> None:
    original = Holdings._take

    def take(self, line, until, boot):
        lease = original(self, line, until, boot)
        self._leased[lease.message.key].fence = 1
        return replace(lease, fence=1)

    patch.setattr(Holdings, "_take", take)


@mutant
def a_repeated_claim_takes_others(patch: Patch) -> None:
    patch.setattr(Holdings, "_claimed", lambda self, token, boot: [])


@mutant
def a_claim_leaves_the_message_in_line(patch: Patch) -> None:
    original = _Line.pop

    def pop(self):
        holding = original(self)
        self.push(holding)
        return holding

    patch.setattr(_Line, "pop", pop)


@mutant
def priority_is_ignored(patch: Patch) -> None:
    original = _Holding.__init__

    def init(self, message, number, since):
        original(self, message, number, since)
        self.rank = (0, number)

    patch.setattr(_Holding, "__init__", init)


@mutant
def the_newest_comes_first(patch: Patch) -> None:
    original = _Holding.__init__

    def init(self, message, number, since):
        original(self, message, number, since)
        self.rank = (-message.priority, -number)

    patch.setattr(_Holding, "__init__", init)


@mutant
def revoked_ids_are_not_consulted(patch: Patch) -> None:
    patch.setattr(Holdings, "_as_lease", lambda self, holding, boot: holding.lease(revoked=False))


# --- time -----------------------------------------------------------------------------------------


@mutant
def a_lease_that_ended_never_comes_back(patch: Patch) -> None:
    original = Holdings.refresh

    def refresh(self, wall, boot):
        original(self, wall, -math.inf)

    patch.setattr(Holdings, "refresh", refresh)


@mutant
def a_lease_ends_early(patch: Patch) -> None:
    original = Holdings.refresh

    def refresh(self, wall, boot):
        original(self, wall, boot + 4)

    patch.setattr(Holdings, "refresh", refresh)


@mutant
def renewing_does_not_move_the_end(patch: Patch) -> None:
    def extend(self, leases, ttl, boot):
        return [lease for lease in leases if self._held(lease) is not None]

    patch.setattr(Holdings, "extend", extend)


@mutant
def a_delay_ends_early(patch: Patch) -> None:
    original = Holdings.refresh

    def refresh(self, wall, boot):
        original(self, wall + 5, boot)

    patch.setattr(Holdings, "refresh", refresh)


@mutant
def a_jump_of_the_wall_clock_ends_leases(patch: Patch) -> None:
    original = MemoryBroker.__init__

    class WallOnly:
        def __init__(self, clock):
            self.wall = self.boot = clock.wall
            self.monotonic = clock.monotonic

    def init(self, *, engine, clock):
        original(self, engine=engine, clock=WallOnly(clock))

    patch.setattr(MemoryBroker, "__init__", init)


@mutant
def deaths_are_not_counted(patch: Patch) -> None:
    original = Holdings._give_back

    def give_back(self, holding, wall):
        holding.deaths = 0
        original(self, holding, wall)

    patch.setattr(Holdings, "_give_back", give_back)


@mutant
def upkeep_knows_of_no_leases(patch: Patch) -> None:
    patch.setattr(
        Holdings,
        "next_due",
        lambda self, wall, boot: self._delayed[0][0] - wall if self._delayed else None,
    )


# --- settling -------------------------------------------------------------------------------------


@mutant
def settling_does_not_look_at_the_fence(patch: Patch) -> None:
    patch.setattr(Holdings, "_held", lambda self, lease: self._leased.get(lease.message.key))


@mutant
def a_settled_message_comes_back_when_its_lease_would_end(patch: Patch) -> None:
    def end(self, holding, boot):
        self._settled.set(holding.message.key, holding.fence, boot + 600, boot)

    patch.setattr(Holdings, "_end", end)


@mutant
def a_retry_is_lost(patch: Patch) -> None:
    original = Holdings.settle

    def settle(self, settlement, wall, boot):
        if isinstance(settlement, Again) and settlement.message.key != settlement.lease.message.key:
            settlement = Done(settlement.lease)
        return original(self, settlement, wall, boot)

    patch.setattr(Holdings, "settle", settle)


@mutant
def what_is_handed_back_is_lost(patch: Patch) -> None:
    def hand_back(self, holding, settlement, wall):
        del self._leased[holding.message.key]

    patch.setattr(Holdings, "_hand_back", hand_back)


@mutant
def a_dead_letter_is_dropped(patch: Patch) -> None:
    original = Holdings.settle

    def settle(self, settlement, wall, boot):
        if isinstance(settlement, Dead):
            settlement = Done(settlement.lease)
        return original(self, settlement, wall, boot)

    patch.setattr(Holdings, "settle", settle)


@mutant
def a_repeated_settlement_is_refused(patch: Patch) -> None:
    patch.setattr(Holdings, "_was_settled_so", lambda self, settlement, boot: False)


@mutant
def every_settlement_is_accepted(patch: Patch) -> None:
    patch.setattr(Holdings, "_was_settled_so", lambda self, settlement, boot: True)


# --- records --------------------------------------------------------------------------------------


@mutant
def a_record_is_stored_though_the_lease_was_lost(patch: Patch) -> None:
    original = MemoryState.settle

    def settle(self, settlements, wall, boot):
        lost = original(self, settlements, wall, boot)
        self.records.put([settlements[n].record for n in lost if settlements[n].record], boot)
        return lost

    patch.setattr(MemoryState, "settle", settle)


@mutant
def a_record_is_not_stored_with_its_settlement(patch: Patch) -> None:
    original = MemoryState.settle

    def settle(self, settlements, wall, boot):
        return original(self, [replace(one, record=None) for one in settlements], wall, boot)

    patch.setattr(MemoryState, "settle", settle)


@mutant
def a_stale_record_replaces_a_final_one(patch: Patch) -> None:
    patch.setattr("penstock.engines.memory_records.is_stale", lambda record, current: False)


@mutant
def records_vanish_in_upkeep(patch: Patch) -> None:
    patch.setattr(Records, "sweep", lambda self, now: self._records._values.clear())


# --- the tests --------------------------------------------------------------------------------


@pytest.mark.parametrize("plant", MUTANTS, ids=lambda plant: plant.__name__)
def test_a_planted_bug_is_found(plant, monkeypatch):
    plant(monkeypatch)
    failures = (simulate(MemorySite, seed).failure for seed in SEEDS)
    found = next((failure for failure in failures if failure), None)
    assert isinstance(found, Violation), f"{len(SEEDS)} seeds: {found}"


def test_without_a_planted_bug_nothing_is_found():
    assert not [seed for seed in SEEDS if simulate(MemorySite, seed).failure]
