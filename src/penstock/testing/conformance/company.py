"""Company: what is announced to all, and who is there."""

from __future__ import annotations

import time
from contextlib import closing
from functools import partial

import pytest

from penstock.brokers.talk import Ear
from penstock.errors import NameTaken
from penstock.message import new_id
from penstock.testing.conformance.stage import BrokerStage, Client, needs
from penstock.wire.control import (
    ANSWERS,
    Address,
    Request,
    answer_note,
    read_answer,
    read_request,
    request_note,
)
from penstock.wire.note import Note

__all__ = ["CompanyCases"]

_SOON = 10.0


class CompanyCases(BrokerStage):
    """announce and announced, enrol and workers."""

    @needs("broadcasts")
    def test_everybody_hears_an_announcement_once_and_in_order(self) -> None:
        texts = [f"{self.queue} {number}".encode() for number in range(3)]
        self._be_there(self.one, self.two)
        for text in texts:
            self.one.broker.announce(text)
        for client in (self.one, self.two):
            heard = [text for text in client.broker.announced() if text in texts]
            assert heard == texts
            assert not set(client.broker.announced()) & set(texts)

    @needs("broadcasts")
    def test_who_comes_later_does_not_hear_it(self) -> None:
        text = self.queue.encode()
        self.one.broker.announce(text)
        late = self.client()
        self._be_there(late)
        assert text not in late.broker.announced()
        self.one.broker.announce(text + b" again")
        assert text + b" again" in late.broker.announced()

    @needs("broadcasts")
    def test_an_announcement_wakes_who_listens(self) -> None:
        listener = self.client_in_real_time().broker.listen([self.queue])
        try:
            self.client_in_real_time().broker.announce(b"look")
            assert listener.wait(_SOON)
        finally:
            listener.close()

    def _be_there(self, *clients: Client) -> None:
        """Have clients hear what is announced from now on."""
        for client in clients:
            if not client.broker.capabilities.hears_before_listening:
                client.broker.announced()

    @needs("broadcasts")
    def test_a_request_is_heard_and_answered_to_who_asked(self) -> None:
        worker, client = self.client_in_real_time().broker, self.client_in_real_time().broker
        ours, theirs = new_id(), new_id()
        ask = partial(Request, method="ping", ticket="one")
        with (
            closing(worker.talk.requests("worker@conformance")) as asked,
            closing(client.talk.box(ours)) as box,
            closing(client.talk.box(theirs)) as other,
        ):
            client.talk.ask(request_note(ask(reply_to=Address(ANSWERS, ours))))
            (request,) = [read_request(note) for note in self._heard(asked)]
            assert (request.method, request.ticket) == ("ping", "one")
            note = answer_note(request, "worker@conformance", {"ok": "pong"}, clock=1)
            assert note is not None
            worker.talk.say([note])
            (answer,) = [read_answer(note, ticket="one") for note in self._heard(box)]
            assert answer == {"worker@conformance": {"ok": "pong"}}
            assert other.take() == []

    def _heard(self, ear: Ear) -> list[Note]:
        deadline = time.monotonic() + _SOON
        while time.monotonic() < deadline:
            assert ear.wait(_SOON)  # who hears is woken, not late
            ear.clear()
            notes = ear.take()
            if notes:
                return notes
        return []

    @needs("broadcasts")
    def test_what_was_asked_before_is_not_heard(self) -> None:
        worker, client = self.client_in_real_time().broker, self.client_in_real_time().broker
        client.talk.ask(request_note(Request(method="shutdown")))
        with closing(worker.talk.requests("worker@conformance")) as asked:
            client.talk.ask(request_note(Request(method="ping")))
            assert [read_request(note).method for note in self._heard(asked)] == ["ping"]

    def _name(self) -> str:
        return f"worker-{new_id()}@conformance"

    @needs("enrols", "lists_workers")
    def test_a_worker_is_known_by_its_name(self) -> None:
        name = self._name()
        self.one.broker.enrol(name, {"queues": ["a", "b"]})
        (entry,) = (entry for entry in self.two.broker.workers() if entry.name == name)
        assert entry.alive
        assert entry.info["queues"] == ["a", "b"]
        assert entry.pid > 0

    @needs("enrols")
    def test_a_living_workers_name_is_taken(self) -> None:
        name = self._name()
        self.one.broker.enrol(name, {})
        with pytest.raises(NameTaken, match=name):
            self.two.broker.enrol(name, {})

    @needs("enrols", "lists_workers")
    def test_a_worker_may_say_more_about_itself(self) -> None:
        name = self._name()
        self.one.broker.enrol(name, {"tasks": 1})
        self.one.broker.enrol(name, {"tasks": 2})
        found = [entry.info for entry in self.two.broker.workers() if entry.name == name]
        assert [info["tasks"] for info in found] == [2]

    @needs("enrols")
    def test_the_name_is_free_when_its_worker_has_gone(self) -> None:
        name = self._name()
        self.one.broker.enrol(name, {})
        self.one.broker.close()
        self.two.broker.enrol(name, {})
        if self.two.broker.capabilities.lists_workers:
            found = [e.alive for e in self.two.broker.workers() if e.name == name]
            assert found == [True]
