"""What bodies may be: JSON, and by name MessagePack and pickle. Nothing else, and no result."""

import binascii
import pickle
import sys

import msgspec
import pytest

from penstock.errors import ConfigError, DecodeError
from penstock.message import Message
from penstock.tasks.settings import Settings
from penstock.wire.codec import LIMITS
from penstock.wire.control import read_request
from penstock.wire.envelope import unpack
from penstock.wire.note import Note, unpack_note
from penstock.wire.result import decode_result
from penstock.wire.task import decode_call, read_header, readable_id
from wire_samples import raw

PICKLE, MSGPACK = "application/x-python-serialize", "application/x-msgpack"
EVERYTHING = Settings(accept_content=("json", "pickle", "msgpack")).message_limits


class Bomb:
    """Unpickling one notes that it happened; it cannot fail to."""

    went_off = 0

    def __reduce__(self):
        return (_go_off, ())


def _go_off():
    Bomb.went_off += 1


def message(body, content_type, **headers):
    return Message(
        id="1",
        queue="q",
        headers={"task": "t", "id": "1"} | headers,
        body=body,
        properties={"content_type": content_type},
    )


def test_the_default_is_json_alone():
    assert Settings().message_limits.accept == {"application/json"} == LIMITS.accept


def test_a_pickle_is_refused_unread_and_the_reason_names_both_remedies():
    bomb = pickle.dumps(Bomb())
    for read in (read_header, decode_call):
        with pytest.raises(DecodeError) as caught:
            read(message(bomb, PICKLE))
        assert "only application/json is read" in str(caught.value)
        assert "use the json serializer" in str(caught.value)
        assert 'accept_content=["json", "pickle"]' in str(caught.value)
    assert not Bomb.went_off


def test_celerys_own_pickled_message_runs_once_it_is_accepted():
    found = unpack(raw("msg-pickle"), queue="celery")
    with pytest.raises(DecodeError, match="only application/json is read"):
        decode_call(found)
    accepting = Settings(accept_content=("pickle",)).message_limits
    assert read_header(found, limits=accepting).task == "tasks.add"
    call = decode_call(found, limits=accepting)
    assert (call.task, call.args, call.kwargs) == ("tasks.add", [1, 2], {})
    assert call.embed == type(call.embed)()


def test_a_broker_knows_the_moments_of_a_message_that_it_does_not_read():
    sent = msgspec.json.decode(raw("msg-pickle"))
    sent["headers"] |= {"eta": "2030-01-01T00:00:00+00:00", "expires": "2031-01-01T00:00:00+00:00"}
    found = unpack(msgspec.json.encode(sent), queue="celery")
    assert (found.ready_at, found.expires_at) == (1893456000.0, 1924992000.0)
    assert found.id == sent["headers"]["id"]


def test_celerys_own_names_and_content_types_mean_the_same():
    for name in ("pickle", PICKLE):
        assert Settings(accept_content=(name,)).message_limits.accept == {
            PICKLE,
            "application/json",
        }


@pytest.mark.parametrize("name", ["yaml", "application/x-yaml", "application/text", "raw", ""])
def test_other_formats_are_not_to_be_accepted(name):
    with pytest.raises(ConfigError, match="accept_content"):
        Settings.of({"accept_content": [name]})


def test_yaml_is_refused_without_a_way_to_accept_it():
    with pytest.raises(DecodeError) as caught:
        decode_call(message(b"[]", "application/x-yaml"), limits=EVERYTHING)
    assert "accept_content" not in str(caught.value)


def test_msgpack_is_read_where_it_is_accepted():
    body = msgspec.msgpack.encode([[1, b"raw"], {"k": "v"}, {}])
    with pytest.raises(DecodeError, match="msgpack"):
        decode_call(message(body, MSGPACK))
    call = decode_call(message(body, MSGPACK), limits=EVERYTHING)
    assert (call.args, call.kwargs) == ([1, b"raw"], {"k": "v"})


@pytest.mark.parametrize(
    "body",
    [
        b"\xdd\xff\xff\xff\xff",  # a list of four thousand million, and nothing in it
        b"\xdf\xff\xff\xff\xff",
        b"\xc6\xff\xff\xff\xff",
        b"\x91" * 100_000,
        b"\x91" * 70 + b"\xc0",
        b"\x81\x90\x01",  # a map with a list as a key
        b"\xc1",
        b"",
    ],
)  # fmt: skip
def test_bad_msgpack_is_a_decode_error(body):
    with pytest.raises(DecodeError):
        decode_call(message(body, MSGPACK), limits=EVERYTHING)


class Rude(Exception):
    def __str__(self):
        raise RuntimeError("no text")


def _raise_rudely():
    raise Rude


class Raising:
    def __reduce__(self):
        return (_raise_rudely, ())


@pytest.mark.parametrize(
    "body",
    [
        b"", b"\x80", b"no pickle", pickle.dumps(1), pickle.dumps((1, 2, 3)),
        pickle.dumps(Raising()),
        b"cnowhere.at.all\nThing\n.", b"cos\nnothing_like_it\n.", pickle.dumps(((1,), [], {})),
    ],
)  # fmt: skip
def test_a_bad_pickle_is_a_decode_error_whatever_it_raises(body):
    with pytest.raises(DecodeError):
        decode_call(message(body, PICKLE), limits=EVERYTHING)


def test_who_reads_headers_alone_never_unpickles_protocol_1_neither():
    """A supervisor reads headers; what runs code belongs into an executor."""
    body = pickle.dumps({"task": "t", "id": "1", "args": [Bomb()]})
    old = Message(id="1", queue="q", headers={}, body=body, properties={"content_type": PICKLE})
    for read in (read_header, decode_call):
        with pytest.raises(DecodeError, match="protocol 2"):
            read(old, limits=EVERYTHING)
    assert readable_id(old) is None
    assert not Bomb.went_off


def test_results_requests_and_notes_are_never_unpickled():
    bomb = pickle.dumps(Bomb())
    with pytest.raises(DecodeError, match=r"pickle.*result_serializer"):
        decode_result(bomb)
    with pytest.raises(DecodeError):
        read_request(Note(exchange="e", body=bomb))
    body = binascii.b2a_base64(bomb).decode()
    envelope = {"body": body, "content-type": PICKLE, "properties": {"body_encoding": "base64"}}
    with pytest.raises(DecodeError, match="type 'application/x-python-serialize'"):
        unpack_note(msgspec.json.encode(envelope))
    assert not Bomb.went_off


def test_without_the_opt_in_pickle_is_not_even_imported():
    import subprocess

    program = """
import sys
from penstock.message import Message
from penstock.errors import DecodeError
from penstock.wire.task import decode_call
assert "pickle" not in sys.modules
headers = {"task": "t", "id": "1"}
for content_type in ("application/x-python-serialize", "application/json"):
    properties = {"content_type": content_type}
    message = Message(id="1", queue="q", headers=headers, body=b"N.", properties=properties)
    try:
        decode_call(message)
    except DecodeError:
        continue
    raise SystemExit("read")
assert "pickle" not in sys.modules
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert not done.returncode, done.stderr
