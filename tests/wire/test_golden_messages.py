"""Every message recorded from Celery: read, written again, and the same as before."""

import json

import pytest

from penstock.errors import DecodeError
from penstock.message import Message
from penstock.wire.codec import dumps
from penstock.wire.envelope import pack, read_envelope, unpack
from penstock.wire.task import Call, decode_call, encode_call, read_header
from wire_samples import envelopes, names, plain_body, raw

REFUSED = {"msg-pickle"}
PROTOCOL_1 = {"msg-proto1"}
MESSAGES = [*names("msg-", "key-unacked"), "key-after-shutdown"]
DELIVERIES = [
    pytest.param(name, envelope, id=f"{name}-{n}")
    for name in MESSAGES
    for n, envelope in enumerate(envelopes(name))
]
TASKS = [case for case in DELIVERIES if case.values[0] not in REFUSED]
MODERN = [case for case in TASKS if case.values[0] not in PROTOCOL_1]
OF_DELIVERY = {"redelivered", "compression"}


def test_there_are_as_many_messages_as_were_recorded():
    assert len(MESSAGES) == 39
    assert len(DELIVERIES) == 69


@pytest.mark.parametrize(("name", "envelope"), DELIVERIES)
def test_an_envelope_comes_back_member_for_member(name, envelope):
    message = unpack(json.dumps(envelope), queue="celery")
    where = envelope["properties"]["delivery_info"]
    again = json.loads(pack(message, exchange=where["exchange"], routing_key=where["routing_key"]))
    assert _sorted_body(again) == _sorted_body(envelope)


@pytest.mark.parametrize(("name", "envelope"), DELIVERIES)
def test_what_an_envelope_says_stands_in_the_message(name, envelope):
    message = unpack(json.dumps(envelope).encode(), queue="here")
    properties = envelope["properties"]
    assert message.queue == "here"
    assert message.key == properties["delivery_tag"]
    assert message.priority == properties["priority"]
    assert message.id == properties["correlation_id"]  # Celery's senders give it twice


@pytest.mark.parametrize(("name", "envelope"), TASKS)
def test_a_task_message_is_read(name, envelope):
    message = read_envelope(envelope, queue="celery")
    call, header = decode_call(message), read_header(message)
    body = plain_body(envelope)
    args, kwargs = (body[0], body[1]) if isinstance(body, list) else (body["args"], body["kwargs"])
    assert _plain(call.args) == args
    assert _plain(call.kwargs) == kwargs
    assert call.reply_to == envelope["properties"]["reply_to"]
    for name_ in header.__struct_fields__:
        assert getattr(call, name_) == getattr(header, name_)


@pytest.mark.parametrize(("name", "envelope"), MODERN)
def test_a_task_message_is_written_as_celery_wrote_it(name, envelope):
    call = decode_call(read_envelope(envelope, queue="celery"))
    message = encode_call(call, queue="celery")
    told = {k: v for k, v in envelope["headers"].items() if k not in OF_DELIVERY}
    assert _plain(dict(message.headers)) == _same_moments(told)
    assert json.loads(message.body) == plain_body(envelope)
    assert message.properties == {"reply_to": envelope["properties"]["reply_to"]}
    assert decode_call(message) == call


@pytest.mark.parametrize(("name", "envelope"), MODERN)
def test_members_come_in_celerys_order_and_in_its_spelling(name, envelope):
    message = encode_call(decode_call(read_envelope(envelope, queue="celery")), queue="celery")
    assert list(message.headers) == [k for k in envelope["headers"] if k not in OF_DELIVERY]
    assert message.body == json.dumps(plain_body(envelope)).encode()


def test_a_simple_message_is_the_same_bytes_as_celerys():
    envelope = json.loads(raw("msg-simple"))
    theirs = envelope["headers"]
    ours = encode_call(
        Call(
            task="tasks.add",
            id=theirs["id"],
            args=(2, 3),
            origin="gen1@host",
            ignore_result=False,
        ),
        queue="celery",
    )
    assert dumps(ours.headers).decode() == json.dumps(theirs)
    assert ours.body == json.dumps(plain_body(envelope)).encode()


@pytest.mark.parametrize("name", sorted(REFUSED))
def test_pickle_is_refused_and_the_reason_names_the_remedy(name):
    message = unpack(raw(name), queue="celery")
    assert message.id == message.headers["id"]
    for read in (read_header, decode_call):
        with pytest.raises(DecodeError, match=r"x-python-serialize.*use the json serializer"):
            read(message)


def test_protocol_1_is_read_whole():
    message = unpack(raw("msg-proto1"), queue="celery")
    call, header = decode_call(message), read_header(message)
    assert header.protocol == 1
    assert (call.task, call.args, call.kwargs) == ("tasks.echo", [1, 2], {"k": 1})
    assert message.id == call.id == "f4ea19d5-aabc-4063-86c3-df7bf98d42b6"
    assert message.ready_at == call.eta == 1795412968.799118
    assert message.expires_at == call.expires == 1795413028.799118


def test_typed_arguments_become_their_types():
    import datetime as dt
    from decimal import Decimal
    from uuid import UUID

    args = decode_call(unpack(raw("msg-types"), queue="celery")).args
    assert args == [
        dt.datetime(2024, 1, 2, 3, 4, 5, 678901, tzinfo=dt.UTC),
        dt.datetime(2024, 1, 2, 3, 4, 5),  # noqa: DTZ001 - sent without a zone
        dt.date(2024, 1, 2),
        dt.time(3, 4, 5, 6),
        Decimal("1.50"),
        UUID("12345678123456781234567812345678"),
        b"abc",
        b"\xff\x00",
        [1, [2, 3]],
        dt.datetime(2024, 1, 2, 3, 4, 5, tzinfo=dt.timezone(dt.timedelta(hours=-5))),
    ]
    assert [type(arg) for arg in args[1:3]] == [dt.datetime, dt.date]


def test_moments_are_seconds_in_the_message_and_text_in_its_headers():
    message = unpack(raw("msg-eta-naive"), queue="celery")
    assert "+" not in message.headers["eta"]
    assert message.ready_at == read_header(message).eta
    again = encode_call(decode_call(message), queue="celery")
    assert again.headers["eta"] == message.headers["eta"] + "+00:00"
    assert again.ready_at == message.ready_at
    expiring = unpack(raw("msg-expires"), queue="celery")
    assert expiring.expires_at == read_header(expiring).expires > 1_795_000_000


@pytest.mark.parametrize("name", ["amqp-message", "amqp-queue", "amqp-retry"])
def test_messages_of_rabbitmq_carry_the_same_headers_and_body(name):
    found = json.loads(raw(name))
    for delivery in found if isinstance(found, list) else [found["kwargs"]]:
        properties = dict(delivery["properties"])
        headers = properties.pop("application_headers")
        message = Message(
            id="", queue="celery", headers=headers, body=delivery["body"].encode(),
            properties=properties,
        )  # fmt: skip
        call = decode_call(message)
        again = encode_call(call, queue="celery")
        assert again.headers == headers
        assert json.loads(again.body) == json.loads(message.body)
        assert (again.ready_at, again.expires_at) == (call.eta or 0.0, call.expires)


def _plain(value):
    """What the plain parser makes of a value that was sent."""
    return json.loads(dumps(value))


def _same_moments(headers):
    """Celery writes a naive moment without offset; read as UTC and written with it, it is one."""
    eta = headers["eta"]
    return {**headers, "eta": eta and (eta if "+" in eta else eta + "+00:00")}


def _sorted_body(envelope):
    """The envelope with its body parsed where it is JSON."""
    try:
        return {**envelope, "body": plain_body(envelope)}
    except ValueError:
        return envelope
