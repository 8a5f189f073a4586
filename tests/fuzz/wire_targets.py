"""What arrives from brokers and result stores: a value or DecodeError, never another error."""

import zlib

from mutation import mutated, samples, wrapped
from target import Target, attempt

from penstock.durable.items import read as read_item
from penstock.durable.past import Past as ItemPast
from penstock.errors import DecodeError, EncodeError
from penstock.message import Message
from penstock.wire.codec import dumps, loads
from penstock.wire.control import read_answer, read_request
from penstock.wire.envelope import pack, unpack
from penstock.wire.events import read_events
from penstock.wire.note import unpack_note
from penstock.wire.result import decode_result, encode_result, read_exception
from penstock.wire.task import decode_call, encode_call, read_header, readable_id
from penstock.worker.past import Past


def _try(read, data):
    return attempt(read, data, DecodeError, EncodeError)


def read_json(data, chance):
    """What was read can be written, and read again as the same."""
    value = _try(loads, data)
    if value is None:
        return
    text = _try(dumps, value)
    if text is not None:
        again = loads(text)
        assert again == value or repr(again) == repr(value)  # NaN is not itself


def read_task(data, chance):
    """An envelope, or a body under sound headers, packed or not."""
    message = _try(lambda one: unpack(one, queue="q"), data)
    _read_message(message or Message(id="1", queue="q", headers={}, body=data))
    headers = {"task": "t", "id": "1"}
    if chance.random() < 0.1:
        headers["compression"] = "application/x-gzip"
        packed = zlib.compress(data)
        cut = chance.randrange(len(packed) + 1)
        data = packed[:cut] + packed[cut + chance.randrange(2) :]
    _read_message(Message(id="1", queue="q", headers=headers, body=data))


def _read_message(message):
    _try(read_header, message)
    task_id = readable_id(message)
    assert task_id is None or (isinstance(task_id, str) and task_id)
    call = _try(decode_call, message)
    if call is not None:
        _try(lambda one: encode_call(one, queue="q"), call)
    _try(pack, message)
    assert Past.of(message).key == message.key


def read_result(data, chance):
    document = _try(decode_result, data)
    if document is not None:
        assert isinstance(read_exception(document.result), BaseException)
        _try(encode_result, document)


def read_note(data, chance):
    """Remote control and events, by the envelope and each alone."""
    note = _try(unpack_note, data)
    if note is None:
        return
    request = _try(read_request, note)
    if request is not None:
        _try(lambda one: one.is_for("worker@host"), request)
        repr(request)
    answers = _try(lambda one: read_answer(one, ticket=one.headers.get("ticket", "t")), note)
    assert answers is None or isinstance(answers, dict)
    for event in _try(read_events, note) or ():
        assert "type" in event


def read_durable(data, chance):
    """An item of a durable queue, and what is kept of its failures."""
    message = _try(lambda one: unpack(one, queue="q"), data)
    for one in (message, Message(id="1", queue="q", headers={}, body=data)):
        if one is not None:
            _try(read_item, one)
            assert ItemPast.of(one).key == one.key


def _tasks():
    return [*samples("msg-", "bad-"), *_with_pasts()]


def _with_pasts():
    """Messages that something befell before."""
    past = {"penstock_past": {"key": "k", "crashes": 1, "deaths": 2, "alone": True}}
    failures = {"penstock_failures": {"key": "k", "failures": 3}}
    message = Message(
        id="1", key="k", queue="q", headers={"task": "t", "id": "1"} | past | failures,
        body=b"[[1], {}, null]",
    )  # fmt: skip
    return [pack(message)] * 5


def _notes():
    return samples("pidbox-", "event-")


def _results():
    return samples("result-", "memcached")


def _often_wrapped(chance, corpus):
    return (wrapped if chance.random() < 0.3 else mutated)(chance, corpus)


TARGETS = [
    Target("json", lambda: [*_tasks(), *_results()], read_json),
    Target("task", _tasks, read_task, _often_wrapped),
    Target("result", _results, read_result),
    Target("note", _notes, read_note, _often_wrapped),
    Target("item", _tasks, read_durable, _often_wrapped),
]
