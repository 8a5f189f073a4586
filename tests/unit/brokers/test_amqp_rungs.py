"""How long a message waits in one queue: lengths of one digit, so that there are few queues."""

import pytest

from penstock.brokers.amqp_delays import rung


@pytest.mark.parametrize(
    ("seconds", "ms"),
    [
        (30.0, 30_000),
        (29.998, 30_000),  # what was computed a moment ago
        (29.99, 20_000),
        (0.055, 60),
        (0.054, 50),
        (0.001, 10),
        (86_400.0, 80_000_000),
        (1e12, 4_000_000_000),
    ],
)
def test_the_first_length_of_a_delay(seconds, ms):
    assert rung(seconds) == ms


def test_what_is_left_gets_shorter_until_it_is_due():
    left, hops = 98_765.432, 0
    while left > 0.005:
        left -= rung(left) / 1000
        hops += 1
    assert hops <= 7
    assert left >= -0.011
