"""The planted bugs on Redis: in the scripts' text, or in what stands around them.

See test_mutants.py: these are the same bugs, as far as this broker can have them, and some of its
own.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import ModuleType

import pytest
from msgspec.structs import replace

from penstock.brokers.redis import RedisBroker
from penstock.engines.redis_batch import Script
from penstock.engines.redis_ears import Ears
from penstock.testing.simulation import Violation, simulate

Patch = pytest.MonkeyPatch
Mutant = Callable[[Patch], None]

SEEDS = (222, 236, 317, *range(60))  # the first show a bug that one in a hundred does
MUTANTS: list[Mutant] = []

# Every line of a script that is replaced, by the name of the bug that this makes.
LINES = {
    "a_fence_comes_again": (
        "local fence = string.format('%.0f', number + place)",
        "local fence = string.format('%.0f', place)",
    ),
    "a_repeated_claim_takes_others": ("if repeated then", "if false then"),
    "a_claim_leaves_the_message_in_line": (
        "redis.pcall('RPOP', list, wish) or {}",
        "redis.call('LRANGE', list, -wish, -1)",
    ),
    "priorities_are_upside_down": (
        r"local STEPS = { '', '\6\0223', '\6\0226', '\6\0229' }",
        r"local STEPS = { '\6\0229', '\6\0226', '\6\0223', '' }",
    ),
    "the_newest_comes_first": (
        "redis.pcall('RPOP', list, wish)",
        "redis.pcall('LPOP', list, wish)",
    ),
    "revoked_ids_are_not_consulted": ("redis.call('ZCARD', OWN .. 'revoked')", "0"),
    "a_lease_that_ended_never_comes_back": (
        "redis.call('ZRANGEBYSCORE', OWN .. 'leases', '-inf', now,",
        "redis.call('ZRANGEBYSCORE', OWN .. 'leases', '-inf', 0,",
    ),
    "a_lease_ends_early": (
        "redis.call('ZRANGEBYSCORE', OWN .. 'leases', '-inf', now,",
        "redis.call('ZRANGEBYSCORE', OWN .. 'leases', '-inf', now + 4,",
    ),
    "renewing_does_not_move_the_end": (
        "if there == 1 then redis.call('ZADD', OWN .. 'leases', ends, ARGV[place]) end",
        "",
    ),
    "a_delay_ends_early": (
        "redis.call('ZRANGEBYSCORE', OWN .. 'delayed', '-inf', now,",
        "redis.call('ZRANGEBYSCORE', OWN .. 'delayed', '-inf', now + 5,",
    ),
    "a_delayed_message_is_forgotten": (
        "park(queue, tonumber(step), moment, attempt, deaths, raw)",
        "",
    ),
    "deaths_are_not_counted": ("free(fence, 1)", "free(fence, 0)"),
    "upkeep_knows_of_no_leases": ("{ 'delayed', 'leases', 'soon' }", "{ 'delayed', 'soon' }"),
    "a_settled_message_comes_back_when_its_lease_would_end": (
        "in_chunks('HDEL', OWN .. 'leased', ended)\nin_chunks('ZREM', OWN .. 'leases', ended)",
        "",
    ),
    "a_retry_is_lost": ("        push_new(queue, tonumber(step), raw)\n", ""),
    "what_is_handed_back_is_lost": (
        "for _, back in ipairs(backs) do push_back(unpack(back, 2)) end",
        "",
    ),
    "a_dead_letter_is_dropped": (
        "redis.call('HSET', OWN .. 'dead', key, #head .. ':' .. head .. old_raw)",
        "",
    ),
    "a_repeated_settlement_is_refused": (
        "if redis.call('GETBIT', bits, bit) == 0 then",
        "if true then",
    ),
    "every_settlement_is_accepted": (
        "if redis.call('GETBIT', bits, bit) == 0 then",
        "if false then",
    ),
    "a_record_is_stored_though_the_lease_was_lost": (
        "== 0 then lost[#lost + 1] = place - 1 end",
        (
            "== 0 then lost[#lost + 1] = place - 1; "
            "if ARGV[start + 2] == '1' then records[#records + 1] = record end end"
        ),
    ),
    "a_record_is_not_stored_with_its_settlement": (
        "if ARGV[start + 2] == '1' then",
        "if false then",
    ),
    "a_stale_record_replaces_a_final_one": ("if before and is_stale(", "if false and is_stale("),
    "records_vanish_in_upkeep": (
        "redis.call('ZREMRANGEBYSCORE', OWN .. 'revoked', '-inf', now)",
        "for _, k in ipairs(redis.call('KEYS', P .. '*-meta-*')) do redis.call('DEL', k) end",
    ),
    "a_claim_that_is_given_up_keeps_what_it_gives_back": (
        (
            "    redis.call('HDEL', OWN .. 'leased', fence)\n"
            "    redis.call('ZREM', OWN .. 'leases', fence)\n"
        ),
        "",
    ),
}


def _modules() -> list[ModuleType]:
    return [module for name, module in sys.modules.items() if name.startswith("penstock.")]


def line(name: str) -> Mutant:
    """Plants a bug in every script that has the line."""

    def plant(patch: Patch) -> None:
        right, wrong = LINES[name]
        found = [
            (module, constant, value)
            for module in _modules()
            for constant, value in vars(module).items()
            if isinstance(value, Script) and right in value.source
        ]
        assert found, f"no script has the line {right!r} any more"
        for module, constant, value in found:
            patch.setattr(module, constant, Script(value.source.replace(right, wrong)))

    plant.__name__ = name
    return plant


def mutant(plant: Mutant) -> Mutant:
    MUTANTS.append(plant)
    return plant


MUTANTS += map(line, LINES)


@mutant
def the_last_of_a_large_batch_is_forgotten(patch: Patch) -> None:
    original = RedisBroker._publish
    patch.setattr(RedisBroker, "_publish", lambda self, messages: original(self, messages[:4]))


@mutant
def an_arrival_rings_no_bell(patch: Patch) -> None:
    patch.setattr(Ears, "_changed", lambda self, keys: [])


@mutant
def a_bell_that_rang_is_not_armed_again(patch: Patch) -> None:
    patch.setattr(Ears, "_changed", lambda self, keys: ["key:" + key.decode() for key in keys])


@mutant
def what_is_early_is_given_out(patch: Patch) -> None:
    def ready(self, leases, *, any_revoked):
        yield from ()
        return leases

    patch.setattr(RedisBroker, "_ready", ready)


@mutant
def what_ran_out_while_a_claim_went_on_is_given_out(patch: Patch) -> None:
    original = RedisBroker._claiming

    def claiming(self, *arguments, **options):
        exchange = original(self, *arguments, **options)
        run = exchange.run
        late = b"4000000000.000000"
        return replace(exchange, run=lambda batch: run(batch).then(lambda told: [late, *told[1:]]))

    patch.setattr(RedisBroker, "_claiming", claiming)


@pytest.mark.parametrize("plant", MUTANTS, ids=lambda plant: plant.__name__)
def test_a_planted_bug_is_found(plant, monkeypatch, redis_site):
    plant(monkeypatch)
    failures = (simulate(redis_site, seed).failure for seed in SEEDS)
    found = next((failure for failure in failures if failure), None)
    assert isinstance(found, Violation), f"{len(SEEDS)} seeds: {found}"
