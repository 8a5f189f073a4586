"""Items as messages: what every broker can keep, and what no envelope misunderstands."""

import time

import pytest

from penstock import ConfigError
from penstock.brokers.base import Capabilities
from penstock.durable.items import PLAIN, pack, queue_name, read, wishes
from penstock.durable.past import HEADER, Past
from penstock.wire.envelope import pack as envelope
from penstock.wire.envelope import unpack
from penstock.wire.task import read_header

# An item that looks like a task message of protocol 1, with moments of its own.
SLY = {"task": "shop.add", "id": "mine", "eta": "2030-01-01T00:00:00", "args": [], "kwargs": {}}


def through_an_envelope(message):
    return unpack(envelope(message), queue=message.queue)


@pytest.mark.parametrize("item", [SLY, [[], {}, {}], None, "text"])
def test_an_envelope_keeps_the_item_and_its_id(item):
    message = pack(item, "penstock.queue.orders")
    there = through_an_envelope(message)
    assert read(there) == item
    assert (there.id, there.key) == (message.id, message.key)
    assert (there.ready_at, there.expires_at) == (0.0, None)


def test_an_envelope_keeps_the_moments():
    now = time.time()
    given = {"countdown": 5, "expires": 50, "priority": 3}
    message = pack(1, "penstock.queue.orders", wishes(given, now=now, able=Capabilities()))
    there = through_an_envelope(message)
    assert there.ready_at == pytest.approx(now + 5, abs=1e-5)
    assert there.expires_at == pytest.approx(now + 50, abs=1e-5)
    assert there.priority == 3


def test_its_header_reads_as_that_of_a_task_that_nobody_has():
    assert read_header(pack(1, "penstock.queue.orders")).task == "penstock.item"


def test_the_past_travels_with_the_message():
    message = pack(1, "penstock.queue.orders")
    past = Past.of(message).with_one_more()
    assert Past.of(through_an_envelope(past.on(message))).failures == 1


@pytest.mark.parametrize("said", [{}, 7, {"key": "another's", "failures": 2}, {"failures": "x"}])
def test_a_past_that_is_not_this_publications_counts_for_nothing(said):
    message = pack(1, "penstock.queue.orders")
    message.headers._map()[HEADER] = said
    assert Past.of(message).failures == 0


@pytest.mark.parametrize("name", ["", "a" * 201, "ü" * 101, "a\nb", "\ud800", 7, None])
def test_what_is_no_name_of_a_queue(name):
    with pytest.raises(ConfigError, match="named by"):
        queue_name(name)


def test_a_name_may_be_nearly_anything():
    assert queue_name("eu/orders, new: größer") == "penstock.queue.eu/orders, new: größer"


@pytest.mark.parametrize(
    ("given", "able"),
    [
        ({"priority": "high"}, Capabilities(priorities=False)),
        ({"countdown": 1}, Capabilities(delays=False)),
        ({"eta": 1.0}, Capabilities(delays=False)),
    ],
)
def test_what_the_broker_cannot_do_is_refused(given, able):
    with pytest.raises(ConfigError, match="broker"):
        wishes(given, now=0.0, able=able)


def test_high_means_high_everywhere():
    redis = Capabilities(highest_first=False)
    assert wishes({"priority": "high"}, now=0.0, able=redis).priority == 0
    assert wishes({"priority": "high"}, now=0.0, able=Capabilities()).priority == 9


def test_none_is_the_same_as_not_given():
    given = dict.fromkeys(("countdown", "eta", "expires", "priority"))
    assert wishes(given, now=0.0, able=Capabilities(delays=False, priorities=False)) == PLAIN
