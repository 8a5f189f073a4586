"""Clocks: what the machine's gives, and a manual one that moves only when told."""

import time

from penstock.clock import SYSTEM_CLOCK, Clock, ManualClock, SystemClock


def test_the_machines_clock_tells_unix_time_and_never_goes_back():
    clock: Clock = SystemClock()
    before = time.time()
    assert before <= clock.wall() <= time.time()
    assert clock.monotonic() <= clock.monotonic()
    assert clock.boot() <= clock.boot()


def test_all_clocks_of_one_boot_agree_on_its_id():
    assert SystemClock().boot_id() == SYSTEM_CLOCK.boot_id() != ""


def test_a_manual_clock_stands_still():
    clock = ManualClock(wall=5.0, boot=7.0)
    assert (clock.wall(), clock.boot(), clock.monotonic()) == (5.0, 7.0, 7.0)
    assert (clock.wall(), clock.boot(), clock.monotonic()) == (5.0, 7.0, 7.0)


def test_advancing_moves_every_clock():
    clock = ManualClock(wall=5.0, boot=7.0)
    clock.advance(2.5)
    assert (clock.wall(), clock.boot(), clock.monotonic()) == (7.5, 9.5, 9.5)


def test_a_jump_moves_the_wall_clock_alone():
    clock = ManualClock(wall=5.0, boot=7.0)
    clock.jump(-3.0)
    assert (clock.wall(), clock.boot(), clock.monotonic()) == (2.0, 7.0, 7.0)


def test_a_reboot_starts_the_boot_clock_again_under_another_id():
    clock = ManualClock()
    first, wall = clock.boot_id(), clock.wall()
    clock.advance(60.0)
    clock.reboot()
    second = clock.boot_id()
    clock.reboot()
    assert len({first, second, clock.boot_id()}) == 3
    assert clock.boot() == ManualClock().boot()
    assert clock.wall() == wall + 60.0
