"""Calls to messages and back, and what a call may not say."""

import datetime as dt
import json

import msgspec
import pytest
from hypothesis import given

from penstock.errors import DecodeError, EncodeError
from penstock.message import Message
from penstock.wire.task import (
    Call,
    Embed,
    decode_call,
    encode_call,
    read_header,
    readable_id,
)
from wire_values import CALLS

CELERYS_MEMBERS = [
    "lang", "task", "id", "shadow", "eta", "expires", "group", "group_index", "retries",
    "timelimit", "root_id", "parent_id", "argsrepr", "kwargsrepr", "origin", "ignore_result",
    "replaced_task_nesting", "stamped_headers", "stamps",
]  # fmt: skip


def call(**facts):
    return Call(**{"task": "tasks.add", "id": "id-1", **facts})


def message(headers, body=b"[[], {}, null]", **facts):
    return Message(id="x", queue="q", headers=headers, body=body, **facts)


@given(CALLS)
def test_a_call_comes_back_as_it_was(made):
    sent = encode_call(made, queue="q")
    again = decode_call(sent)
    assert again == made
    assert (sent.id, sent.ready_at, sent.expires_at) == (made.id, made.eta or 0.0, made.expires)
    header = read_header(sent)
    assert all(getattr(header, name) == getattr(made, name) for name in header.__struct_fields__)


def test_a_plain_call_has_celerys_members_and_no_others():
    sent = encode_call(call(args=(2, 3)), queue="q", priority=4, key="k")
    assert list(sent.headers) == CELERYS_MEMBERS
    assert sent.headers["root_id"] == "id-1"
    assert sent.headers["timelimit"] == [None, None]
    assert json.loads(sent.body) == [
        [2, 3], {}, {"callbacks": None, "errbacks": None, "chain": None, "chord": None},
    ]  # fmt: skip
    assert (sent.id, sent.queue, sent.priority, sent.key) == ("id-1", "q", 4, "k")
    assert (sent.ready_at, sent.expires_at, sent.properties) == (0.0, None, {})


def test_each_message_has_a_key_of_its_own():
    assert encode_call(call(), queue="q").key != encode_call(call(), queue="q").key


def test_an_empty_chain_is_not_the_same_as_none():
    sent = encode_call(call(embed=Embed(chain=[])), queue="q")
    assert json.loads(sent.body)[2]["chain"] == []
    assert decode_call(sent).embed == Embed(chain=[])


def test_it_may_run_later_than_its_eta_says():
    sent = encode_call(call(eta=1_800_000_000.5), queue="q", ready_at=1_900_000_000.0)
    assert sent.ready_at == 1_900_000_000.0
    assert sent.headers["eta"] == "2027-01-15T08:00:00.500000+00:00"


def test_arguments_are_shown_as_python_writes_them():
    headers = encode_call(
        call(args=["a", dt.date(2024, 1, 2)], kwargs={"k": None}), queue="q"
    ).headers
    assert headers["argsrepr"] == "('a', datetime.date(2024, 1, 2))"
    assert headers["kwargsrepr"] == "{'k': None}"


@pytest.mark.parametrize(
    "argument", ["x" * 2000, "x" * 10**6, list(range(10**5)), [["y" * 900] * 50]]
)
def test_long_arguments_are_shown_in_part(argument):
    shown = encode_call(call(args=[argument]), queue="q").headers["argsrepr"]
    assert len(shown) <= 1024
    assert "..." in shown


def test_an_argument_that_cannot_be_shown_does_no_harm():
    class Shy:
        def __json__(self):
            return 1

        def __repr__(self):
            raise RuntimeError

    assert encode_call(call(args=[Shy()]), queue="q").headers["argsrepr"] == "<cannot be shown>"


def test_what_logs_show_may_be_given():
    headers = encode_call(call(args=["secret"], argsrepr="(***)"), queue="q").headers
    assert (headers["argsrepr"], headers["kwargsrepr"]) == ("(***)", "{}")


def test_other_sequences_and_maps_will_do():
    from types import MappingProxyType

    sent = encode_call(call(args=range(3), kwargs=MappingProxyType({"a": 1})), queue="q")
    again = decode_call(sent)
    assert (again.args, again.kwargs) == ([0, 1, 2], {"a": 1})


@pytest.mark.parametrize(
    ("facts", "named"),
    [
        ({"args": "ab"}, r"args of tasks\.add is text"),
        ({"args": b"ab"}, r"args of tasks\.add is text"),
        ({"args": [{1, 2}]}, r"arguments of tasks\.add: a value of type set"),
        ({"kwargs": {"x": object()}}, r"arguments of tasks\.add: a value of type object"),
        ({"embed": Embed(chord={"x": {1}})}, "type set"),
        ({"headers": {"id": "other"}}, r"headers of tasks\.add: id belong to the protocol"),
        ({"headers": {"x": object()}}, r"headers or stamps of tasks\.add: a value of type object"),
        ({"stamps": {"x": object()}}, r"headers or stamps of tasks\.add: a value of type object"),
        ({"eta": 1e20}, "no moment that can be written"),
        ({"expires": float("nan")}, "no moment that can be written"),
        ({"task": ""}, "needs the name of its task"),
        ({"id": None}, "needs an id: text of 1 to 1024 characters, not None"),
    ],
)
def test_what_must_not_be_sent_is_refused_by_its_name(facts, named):
    with pytest.raises(EncodeError, match=named):
        encode_call(call(**facts), queue="q")


@pytest.mark.parametrize(
    ("members", "named"),
    [
        ({"task": ""}, "task"),
        ({"task": 5}, "task"),
        ({"id": None}, "id"),
        ({"id": "x" * 1025}, "id"),
        ({"retries": -1}, "retries"),
        ({"retries": "1"}, "retries"),
        ({"retries": True}, "retries"),
        ({"timelimit": [1]}, "timelimit"),
        ({"timelimit": ["1", 2]}, "timelimit"),
        ({"timelimit": 5}, "timelimit"),
        ({"group_index": "0"}, "group_index"),
        ({"ignore_result": "yes"}, "ignore_result"),
        ({"stamps": ["x"]}, "stamps"),
        ({"eta": 1_800_000_000}, "eta: a moment is ISO 8601 text, not int"),
        ({"eta": ""}, "eta: '' is no ISO"),
        ({"expires": "soon"}, "expires: 'soon' is no ISO 8601 moment"),
        ({"expires": {}}, "expires"),
    ],
)
def test_members_of_a_wrong_kind_are_refused_by_their_name(members, named):
    with pytest.raises(DecodeError, match=named):
        read_header(message({"task": "t", "id": "1", **members}))


def test_members_that_are_null_are_as_good_as_absent():
    bare = {"task": "t", "id": "1"}
    nulls = dict.fromkeys(CELERYS_MEMBERS) | bare
    assert read_header(message(nulls)) == read_header(message(bare))


@pytest.mark.parametrize(
    ("body", "named"),
    [
        (b"[[], {}]", "no list of arguments"),
        (b"[[], {}, {}, {}]", "no list of arguments"),
        (b'{"args": []}', "no list of arguments"),
        (b"[null, {}, null]", "args are no list but NoneType"),
        (b"[[], null, null]", "kwargs are no map but NoneType"),
        (b'[[], {"__type__": "date", "__value__": "2024-01-02"}, {}]', "no map but date"),
        (b"[[], {}, [1]]", "what follows it"),
        (b'[[], {}, {"chain": 5}]', "what follows it.*chain"),
        (b'[[], {}, {"chord": []}]', "what follows it.*chord"),
        (b'[[{"__type__": "set", "__value__": []}], {}, {}]', "unknown __type__ 'set'"),
        (b"", "its body: not JSON"),
    ],
)
def test_bodies_of_a_wrong_shape_are_refused(body, named):
    with pytest.raises(DecodeError, match=named):
        decode_call(message({"task": "t", "id": "1"}, body))


@pytest.mark.parametrize("kind", ["application/x-yaml", "application/x-msgpack", "text/plain", 5])
def test_other_formats_are_refused_from_the_headers_alone(kind):
    odd = message({"task": "t", "id": "1"}, properties={"content_type": kind})
    for read in (read_header, decode_call):
        with pytest.raises(DecodeError, match=r"only application/json is read.*json serializer"):
            read(odd)


def test_what_brokers_and_workers_note_on_a_delivery_is_not_the_callers():
    sent = encode_call(call(headers={"traceparent": "00-1"}), queue="q")
    noted = {**sent.headers, "redelivered": True, "penstock_crashes": 2}
    again = decode_call(msgspec.structs.replace(sent, headers=noted))
    assert again.headers == {"traceparent": "00-1"}


@pytest.mark.parametrize(
    ("odd", "task_id"),
    [
        (message({"id": "1"}), "1"),
        (message({"task": "t"}, properties={"correlation_id": "2"}), "2"),
        (message({"task": "t", "id": 5}, properties={"correlation_id": "2"}), None),
        (message({"task": "t", "id": ""}), None),
        (message({"task": "t"}), None),
        (message({}, b'{"id": "3"}'), "3"),
        (message({}, b'{"id": 3}'), None),
        (message({}, b"[1]"), None),
        (message({}, b"\xff"), None),
        (message({}, b"[" * 10**5), None),
        (message({"compression": "application/x-gzip"}, b"x"), None),
    ],
)
def test_an_id_is_made_out_where_there_is_one(odd, task_id):
    assert readable_id(odd) == task_id


@pytest.mark.parametrize("member", ["retries", "group_index", "callbacks", "chord", "eta"])
def test_protocol_1_is_checked_like_protocol_2(member):
    odd = {"task": "t", "id": "1", member: "x"}
    with pytest.raises(DecodeError, match=member):
        decode_call(message({}, json.dumps(odd).encode()))


def test_protocol_1_needs_a_task_and_an_id_only():
    old = message({}, b'{"task": "t", "id": "1", "args": null, "chord": {"task": "c"}}')
    assert decode_call(old) == Call(
        task="t", id="1", args=[], kwargs={}, embed=Embed(chord={"task": "c"})
    )
    with pytest.raises(DecodeError, match="its body: Object missing required field `id`"):
        read_header(message({}, b'{"task": "t"}'))


@pytest.mark.parametrize("name", ["task", "id", "root_id", "parent_id", "group"])
def test_text_that_no_store_can_keep_is_refused_where_it_becomes_a_key(name):
    headers = {"task": "t", "id": "1", name: "a\ud800"}
    with pytest.raises(DecodeError, match=f"its {name} has lone surrogates"):
        read_header(message(headers))
    if name in ("task", "id"):
        with pytest.raises(EncodeError):
            encode_call(call(**{name: "a\ud800"}), queue="q")
    assert readable_id(message(headers)) == (None if name == "id" else "1")


def test_a_headers_name_may_be_any_text_or_the_message_is_refused():
    with pytest.raises(DecodeError, match="its headers"):
        read_header(message({"task": "t", "id": "1", "\ud800": 1}))
