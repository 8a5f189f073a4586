"""What a consumer may have: as much as there was room for, a few at most."""

from types import SimpleNamespace

import pytest

from penstock.brokers.amqp_doorbell import Doorbells


class Channel:
    """Notes what it is told, and gives what a consumer is to get."""

    def __init__(self):
        self.said = []
        self.tags = 0

    def basic_qos(self, _size, count, _everywhere):
        self.said.append(("qos", count))

    def basic_consume(self, queue, name, *, nowait, callback, on_cancel):
        self.said.append(("consume", queue))
        self.give, self.cancel = callback, on_cancel

    def basic_cancel(self, name, *, nowait):
        self.said.append(("cancel", name))

    def deliver(self):
        self.tags += 1
        info = {"delivery_tag": self.tags, "redelivered": False}
        self.give(SimpleNamespace(delivery_info=info))
        return self.tags


@pytest.fixture
def channel():
    return Channel()


@pytest.fixture
def bells(channel):
    bells = Doorbells(SimpleNamespace(channel=lambda _name: channel))
    bells.rung = []
    bells.ring = bells.rung.append
    return bells


def test_an_open_window_stays_as_it_is(bells, channel):
    bells.arm("q", 3)
    assert channel.said == [("qos", 3), ("consume", "q")]
    for _ in range(2):
        channel.deliver()
        assert bells.take("q") is not None
        bells.arm("q", 2)
    assert len(channel.said) == 2
    assert bells.rung == ["q", "q"]
    assert bells.is_open("q")


def test_a_full_one_is_made_anew_where_there_is_room(bells, channel):
    bells.arm("q", 2)
    channel.deliver(), channel.deliver()
    assert not bells.is_open("q")
    channel.said.clear()
    bells.arm("q", 5)
    assert channel.said == [], "what rang is to be taken first"
    bells.take("q"), bells.take("q")
    bells.arm("q", 5)
    assert channel.said == [("cancel", "bell-0"), ("qos", 5), ("consume", "q")]
    assert bells.is_open("q")


def test_what_is_done_opens_it_again(bells, channel):
    bells.arm("q", 1)
    tag = channel.deliver()
    bells.take("q")
    assert not bells.is_open("q")
    del bells.unacked[tag]
    assert bells.is_open("q")
    channel.said.clear()
    bells.arm("q", 1)
    assert channel.said == []


def test_without_room_only_full_windows_stay(bells, channel):
    bells.arm("full", 1)
    channel.deliver()
    bells.arm("open", 1)
    channel.said.clear()
    bells.disarm()
    assert channel.said == [("cancel", "bell-1")]
    bells.cancel_all()
    assert channel.said == [("cancel", "bell-1"), ("cancel", "bell-0")]


def test_no_window_is_wider_than_a_few(bells, channel):
    bells.arm("q", 1_000)
    ((_, size), _) = channel.said
    assert size < 10


def test_what_nobody_claims_rings_no_more(bells, channel):
    bells.arm("q", 4)
    channel.deliver()
    assert bells.overdue(60.0) == []
    assert bells.is_open("q")
    (one,) = bells.overdue(0.0)
    assert one.source == "q"
    assert channel.said[-1] == ("cancel", "bell-0")
    assert not bells.is_open("q")


def test_a_question_leaves_the_windows_as_wide_as_they_are(bells, channel):
    bells.arm("q", 3)
    bells.settle()
    assert channel.said[-1] == ("qos", 3)


def test_a_consumer_that_the_server_ends_is_made_anew(bells, channel):
    bells.arm("q", 2)
    channel.cancel("bell-0")
    assert not bells.is_open("q")
    bells.arm("q", 2)
    assert channel.said[-1] == ("consume", "q")
