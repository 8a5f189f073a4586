"""Envelopes on Redis: what goes in comes out, and what an envelope may lack."""

import base64
import json

import pytest
from hypothesis import given

from penstock.errors import DecodeError, EncodeError
from penstock.message import Message
from penstock.wire.envelope import pack, read_envelope, unpack
from penstock.wire.task import decode_call, encode_call
from wire_values import ANY_MESSAGES, CALLS


@given(CALLS)
def test_a_call_comes_back_through_its_envelope(call):
    sent = encode_call(call, queue="q", priority=3)
    found = unpack(pack(sent), queue="q")
    assert decode_call(found) == call
    for name in ("id", "queue", "headers", "body", "priority", "ready_at", "expires_at", "key"):
        assert getattr(found, name) == getattr(sent, name)
    assert json.loads(pack(found)) == json.loads(pack(sent))


@given(ANY_MESSAGES)
def test_any_message_comes_back_whatever_it_says(message):
    found = unpack(pack(message), queue=message.queue)
    for name in ("queue", "headers", "body", "priority", "key"):
        assert getattr(found, name) == getattr(message, name)
    assert message.properties.items() <= found.properties.items()


def message(**facts):
    return Message(
        **{"id": "id-1", "queue": "q", "headers": {}, "body": b"\x00\xff", "key": "k", **facts}
    )


def test_an_envelope_has_celerys_members():
    envelope = json.loads(pack(message(priority=6, properties={"reply_to": "r"})))
    assert envelope == {
        "body": "AP8=",
        "content-encoding": "utf-8",
        "content-type": "application/json",
        "headers": {},
        "properties": {
            "correlation_id": "id-1",
            "reply_to": "r",
            "delivery_mode": 2,
            "delivery_info": {"exchange": "", "routing_key": "q"},
            "priority": 6,
            "body_encoding": "base64",
            "delivery_tag": "k",
        },
    }


def test_where_it_goes_and_its_tag_may_be_given():
    packed = pack(message(), exchange="celeryev", routing_key="a.b", delivery_tag="t")
    properties = json.loads(packed)["properties"]
    assert properties["delivery_info"] == {"exchange": "celeryev", "routing_key": "a.b"}
    assert properties["delivery_tag"] == "t"


def test_a_redelivery_stays_one():
    info = {"exchange": "x", "routing_key": "y", "redelivered": True}
    properties = json.loads(pack(message(properties={"delivery_info": info})))["properties"]
    assert properties["delivery_info"] == {"exchange": "", "routing_key": "q", "redelivered": True}


def test_headers_that_have_no_form_are_refused():
    with pytest.raises(EncodeError, match="type object"):
        pack(message(headers={"x": object()}))


def test_a_bare_envelope_is_enough():
    found = unpack(b"{}", queue="q")
    assert (found.headers, found.body, found.priority, found.properties) == ({}, b"", 0, {})
    assert found.id == found.key


def test_a_body_that_is_text_is_taken_as_it_is():
    for encoding in ("utf-8", None, "anything"):
        envelope = {"body": "[é]", "properties": {"body_encoding": encoding}}
        assert read_envelope(envelope, queue="q").body == "[é]".encode()


@pytest.mark.parametrize("tag", [None, "", 5, ["x"]])
def test_a_delivery_tag_that_is_none_is_replaced(tag):
    found = read_envelope({"properties": {"delivery_tag": tag}}, queue="q")
    assert isinstance(found.key, str)
    assert len(found.key) == 36


@pytest.mark.parametrize("priority", [None, "5", 2.5, True, [1]])
def test_a_priority_that_is_no_number_is_the_default(priority):
    assert read_envelope({"properties": {"priority": priority}}, queue="q").priority == 0


@pytest.mark.parametrize(
    ("envelope", "named"),
    [
        ([], "an envelope is a map, not list"),
        ("text", "an envelope is a map, not str"),
        (None, "an envelope is a map, not NoneType"),
        ({"headers": []}, "headers are no map but list"),
        ({"properties": 5}, "properties are no map but int"),
        ({"body": {}}, "body is no text but dict"),
        ({"body": "x", "properties": {"body_encoding": "base64"}}, "body is no base64"),
        ({"body": "é", "properties": {"body_encoding": "base64"}}, "body is no base64"),
    ],
)
def test_an_envelope_of_a_wrong_shape_is_refused(envelope, named):
    with pytest.raises(DecodeError, match=named):
        unpack(json.dumps(envelope), queue="q")


def test_typed_values_in_headers_are_read():
    envelope = {"headers": {"day": {"__type__": "date", "__value__": "2024-01-02"}}}
    assert unpack(json.dumps(envelope), queue="q").headers["day"].year == 2024


def test_protocol_1_lends_its_id_and_moments_to_the_message():
    body = {
        "task": "t",
        "id": "old",
        "eta": "2020-01-01T00:00:00",
        "expires": "2020-01-02T00:00:00Z",
    }
    envelope = {
        "body": base64.b64encode(json.dumps(body).encode()).decode(),
        "properties": {"body_encoding": "base64", "correlation_id": "other"},
    }
    found = unpack(json.dumps(envelope), queue="q")
    assert (found.id, found.ready_at, found.expires_at) == ("old", 1577836800.0, 1577923200.0)


@pytest.mark.parametrize("deep", [b"[" * 5000, b'{"a":' * 5000])
def test_nesting_beyond_what_a_parser_follows_is_refused(deep):
    """It stands in the first claim of whoever reads that queue: any other error holds all up."""
    for envelope in (deep, b'{"headers": %b' % deep, b'{"properties": %b' % deep):
        with pytest.raises(DecodeError):
            unpack(envelope, queue="q")
