"""What a Celery worker held goes back to the queues that its address means."""

import json

import pytest

from penstock.brokers.redis_unacked import restored


def held(exchange, routing_key, priority=0):
    envelope = {"headers": {}, "properties": {"delivery_info": {}, "priority": priority}}
    return restored(json.dumps([envelope, exchange, routing_key]).encode())


def binding(key, queue, pattern=""):
    return f"{key}\x06\x16{pattern}\x06\x16{queue}".encode()


def test_without_an_exchange_the_key_is_the_queue():
    assert held("", "orders").lists([binding("orders", "elsewhere")]) == ["orders"]


def test_its_priority_names_the_list():
    assert held("", "orders", priority=7).lists([]) == ["orders\x06\x166"]


def test_a_queue_with_another_key_than_its_name():
    bound = [binding("video", "films"), binding("image", "pictures")]
    assert held("media", "video").lists(bound) == ["films"]


def test_what_is_bound_nowhere_stays_where_it_is():
    assert held("media", "sound").lists([binding("video", "films")]) == []


def test_a_server_that_lost_its_bindings():
    assert held("celery", "celery").lists([]) == ["celery"]


@pytest.mark.parametrize(
    ("pattern", "fits"),
    [
        ("media.video", True),
        ("media.*", True),
        ("#", True),
        ("media.#", True),
        ("media.video.#", True),
        ("#.video", True),
        ("#.#.*.#", True),
        ("*", False),
        ("media", False),
        ("media.*.*", False),
        ("#.sound", False),
    ],
)
def test_the_words_of_a_topic(pattern, fits):
    bound = [binding(pattern, "films", pattern="^a regular expression of kombu's$")]
    assert held("topics", "media.video").lists(bound) == ["films"] * fits


def test_every_queue_of_a_topic_has_it():
    bound = [binding("a.#", "one", "x"), binding("a.*", "two", "x"), binding("b", "three", "x")]
    assert held("topics", "a.b").lists(bound) == ["one", "two"]


DEEP = b'[{"headers": ' + b"[" * 5_000 + b"]" * 5_000 + b', "properties": {}}, "", ""]'


@pytest.mark.parametrize("said", [b"no json", b"[]", b"[1, 2, 3]", b'[{}, "", ""]', b"null", DEEP])
def test_what_cannot_be_read_stays(said):
    assert restored(said) is None
