"""Remote control and events as Celery said them: read, and written again the same."""

import base64
import json

import pytest

from penstock.wire.control import answer_note, read_answer, read_request, request_note
from penstock.wire.events import TYPES, event_notes, read_events
from penstock.wire.note import pack_note, unpack_note
from wire_samples import names, raw

CONTROL = names("pidbox-")
EVENTS = names("event-")


def said(name):
    """What was published or pushed in a sample: (channel or list, envelope)."""
    lines = [line.split(" ", 2) for line in raw(name).split("\n")]
    commands = {"PUBLISH", "LPUSH"}
    return [(where, text) for verb, where, text in (x for x in lines if x[0] in commands)] or [
        ("", line) for line in raw(name).split("\n") if line.startswith("{")
    ]


def plain(text):
    """An envelope with its body, by the plain parser; tags differ with each that is written."""
    envelope = json.loads(text)
    envelope["body"] = json.loads(base64.b64decode(envelope["body"]))
    del envelope["properties"]["delivery_tag"]
    return envelope


def test_the_samples_are_there():
    assert (len(CONTROL), len(EVENTS)) == (34, 13)


@pytest.mark.parametrize("name", CONTROL + EVENTS)
def test_every_envelope_is_read_and_written_as_celery_has_it(name):
    found = said(name)
    assert found
    for _, text in found:
        note = unpack_note(text.encode())
        assert plain(pack_note(note)) == plain(text)


@pytest.mark.parametrize("name", CONTROL)
def test_a_request_is_read_and_written_the_same(name):
    (_, text), *_ = said(name)
    note = unpack_note(text.encode())
    request = read_request(note)
    body = plain(text)["body"]
    assert (request.method, request.arguments) == (body["method"], body["arguments"])
    assert request.clock == note.headers["clock"]
    again = request_note(request, expires=note.headers["expires"])
    assert plain(pack_note(again)) == plain(text)


@pytest.mark.parametrize("name", CONTROL)
def test_an_answer_is_read_and_written_the_same(name):
    (_, asked), *answers = said(name)
    request = read_request(unpack_note(asked.encode()))
    for _, text in answers:
        note = unpack_note(text.encode())
        ((worker, value),) = read_answer(note, ticket=request.ticket).items()
        assert worker == "w1@host"
        assert value == plain(text)["body"]["w1@host"]
        assert read_answer(note, ticket="another") == {}
        again = answer_note(request, worker, value, clock=note.headers["clock"])
        assert plain(pack_note(again)) == plain(text)


def test_who_wants_no_answer_gets_none():
    for name in ("pidbox-shutdown", "pidbox-heartbeat-cast"):
        (_, text), *_ = said(name)
        request = read_request(unpack_note(text.encode()))
        assert request.reply_to is None
        assert answer_note(request, "w1@host", {"ok": 1}, clock=1) is None


@pytest.mark.parametrize("name", EVENTS)
def test_events_are_read_and_written_the_same(name):
    for channel, text in said(name):
        note = unpack_note(text.encode())
        events = read_events(note)
        body = plain(text)["body"]
        assert events == (body if isinstance(body, list) else [body])
        assert {event["type"] for event in events} <= TYPES | {"task-custom"}
        if isinstance(body, list) or body["type"].startswith("worker-"):
            (again,) = event_notes(events, hostname="w1@host")
            assert plain(pack_note(again)) == plain(text)
            assert not channel or channel == f"/5.celeryev/{again.routing_key}"
