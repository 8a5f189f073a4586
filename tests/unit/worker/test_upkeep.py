"""When the broker is tended, and when the worker looks there for work."""

import pytest

from penstock.worker.upkeep import Upkeep

HEARTBEAT = 5.0


def looks(*tended):
    upkeep = Upkeep()
    return [upkeep.tended(now, due) for now, due in tended]


def test_what_is_due_is_looked_for_at_its_time():
    upkeep = Upkeep()
    assert upkeep.tended(0.0, 0.4)
    assert upkeep.at == 0.4
    assert upkeep.tended(0.4, None)
    assert upkeep.at == pytest.approx(1.4)


def test_a_heartbeat_ahead_puts_nothing_off():
    assert looks((0.0, 0.003), (0.002, HEARTBEAT), (0.003, HEARTBEAT)) == [True, False, True]


def test_without_anything_due_it_looks_now_and_then():
    every_second = [(float(second), HEARTBEAT) for second in range(12)]
    assert sum(looks(*every_second)) == 3
    assert all(looks(*((float(second), None) for second in range(5))))


def test_a_bell_hurries_it():
    upkeep = Upkeep()
    upkeep.tended(0.0, None)
    upkeep.hurry(0.02)
    upkeep.hurry(0.5)
    assert upkeep.at == 0.02


def test_what_is_overdue_does_not_make_it_spin():
    upkeep = Upkeep()
    upkeep.tended(1.0, 0.0)
    assert upkeep.at == pytest.approx(1.001)
