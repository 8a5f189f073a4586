"""The line breaks in the middle of whatever is asked: it says so, and asked again it is done.

That of messages' own way (publish, claim, renew, settle) is shown byte by byte in
`test_redis_cuts.py`.
"""

import contextlib
import time

import pytest

from penstock.brokers.registry import open_broker
from penstock.errors import Unavailable, Uncertain
from penstock.message import Again, Dead, Message, Record, new_id
from penstock.results.registry import open_store
from penstock.wire.control import ANSWERS, Address, Request, answer_note, request_note
from penstock.wire.events import event_notes
from proxy import BOTH, Proxy

PLACES = (0.0, 0.4, 0.9)  # of what it says, or is told


def message(**fields):
    task_id = new_id()
    return Message(
        id=task_id, queue="orders", headers={"task": "t", "id": task_id}, body=b"[]", **fields
    )


class Desk:
    """A client behind a line that breaks, and one that sees what came of it."""

    def __init__(self, server, url):
        self.proxy = Proxy(server.port)
        through = url.replace(f":{server.port}/", f":{self.proxy.port}/")
        self.broker, self.store = open_broker(through), open_store(through)
        self.other, self.results = open_broker(url), open_store(url)
        self.ears = []

    def publish(self, **fields):
        one = message(**fields)
        self.other.publish([one])
        return one

    def dead(self):
        self.publish()
        (lease,) = self.other.lease(["orders"], 1, 30.0)
        self.other.settle([Dead(lease, "why")])
        return lease.message.key

    def heard_by(self, ear):
        """What shows that something was said: the ear hears it."""
        self.ears.append(ear)

        def heard(_):
            ear.wait(10)
            ear.clear()
            return len(ear.take()) > 0

        return heard

    def close(self):
        for ear in self.ears:
            ear.close()
        self.proxy.close()
        for each in (self.broker, self.store, self.other, self.results):
            each.close()


@contextlib.contextmanager
def scene(server, call):
    """A desk, the call, and what shows that it was done; on connections that are there."""
    server.flush()
    desk = Desk(server, server.url())
    try:
        act, is_done = call(desk)
        desk.broker.depth("none")
        desk.store.get(["none"])
        yield desk.proxy, act, is_done
    finally:
        desk.close()


def depth(desk):
    desk.publish()
    return lambda: desk.broker.depth("orders"), lambda said: said == 1


def queues(desk):
    desk.publish()
    return desk.broker.queues, lambda said: [(q.name, q.ready) for q in said] == [("orders", 1)]


def peek(desk):
    one = desk.publish()
    return lambda: desk.broker.peek("orders"), lambda said: [x.id for x in said] == [one.id]


def purge(desk):
    desk.publish()
    return lambda: desk.broker.purge("orders"), lambda _: desk.other.depth("orders") == 0


def remove(desk):
    one = desk.publish()
    return lambda: desk.broker.remove([one.id]), lambda _: desk.other.depth("orders") == 0


def dead(desk):
    key = desk.dead()
    return desk.broker.dead, lambda said: [letter.message.key for letter in said] == [key]


def replay(desk):
    key = desk.dead()
    return lambda: desk.broker.replay([key]), lambda _: desk.other.depth("orders") == 1


def drop(desk):
    key = desk.dead()
    return lambda: desk.broker.drop([key]), lambda _: desk.other.dead() == []


def revoke(desk):
    one = desk.publish()

    def is_revoked(_):
        (lease,) = desk.other.lease(["orders"], 1, 30.0)
        desk.other.settle([Again(lease, lease.message)])
        return lease.revoked

    return lambda: desk.broker.revoke([one.id], 60.0), is_revoked


def announce(desk):
    return lambda: desk.broker.announce(b"news"), lambda _: b"news" in desk.other.announced()


def announced(desk):
    desk.other.announce(b"news")
    return desk.broker.announced, lambda said: said == [b"news"]


def enrol(desk):
    return (
        lambda: desk.broker.enrol("me", {}),
        lambda _: [worker.name for worker in desk.other.workers()] == ["me"],
    )


def workers(desk):
    desk.other.enrol("other", {})
    return desk.broker.workers, lambda said: [worker.name for worker in said] == ["other"]


def neighbours(desk):
    return desk.broker.neighbours, lambda said: said == []


def durability(desk):
    return desk.broker.durability, lambda said: "with the server dies everything" in said


def tend(desk):
    """With something due, and something that a Celery worker left behind."""
    desk.broker.enrol("me", {})
    desk.publish(ready_at=time.time() + 60.0)
    desk.other.lease(["orders"], 1, 30.0)

    def again():
        desk.broker._unacked_at = 0.0
        return desk.broker.tend()

    return again, lambda due: 0 < due <= 60.0


def forget(desk):
    record = Record(new_id(), "SUCCESS", b"{}", final=True)
    desk.results.put([record])
    return lambda: desk.store.forget([record.id]), lambda _: desk.results.get([record.id]) == [None]


def arrive(desk):
    desk.results.arrive("group", "a", 2)
    return lambda: desk.store.arrive("group", "b", 2), lambda _: True


REQUEST = Request(method="ping", reply_to=Address(ANSWERS, "box"), ticket="t")


def ask(desk):
    heard = desk.heard_by(desk.other.talk.requests("w@h"))
    return lambda: desk.broker.talk.ask(request_note(REQUEST)), heard


def say(desk):
    heard = desk.heard_by(desk.other.talk.box("box"))
    notes = [answer_note(REQUEST, "w@h", {"ok": "pong"}, clock=1)]
    notes += event_notes([{"type": "worker-online"}], hostname="w@h")
    return lambda: desk.broker.talk.say(notes), heard


CALLS = [
    *(depth, queues, peek, purge, remove, dead, replay, drop, revoke, announce, announced),
    *(enrol, workers, neighbours, durability, tend, forget, arrive, ask, say),
]


@pytest.mark.parametrize("direction", BOTH)
@pytest.mark.parametrize("call", CALLS)
def test_a_call_whose_line_breaks_says_so_and_is_done_when_repeated(redis_server, call, direction):
    redis_server.ensure()
    with scene(redis_server, call) as (proxy, act, is_done):
        before = proxy.carried[direction]
        assert is_done(act())
        size = proxy.carried[direction] - before
    broken = 0
    for part in PLACES:
        with scene(redis_server, call) as (proxy, act, is_done):
            cut = proxy.cut_after(int(part * size), direction)
            try:
                act()
            except (Unavailable, Uncertain):
                broken += 1
                assert cut.is_set()
            proxy.heal()
            assert is_done(act())
    assert broken
