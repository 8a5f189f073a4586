"""What lies in servers and in files: records of results, rows, messages that others hold."""

import json
from types import SimpleNamespace

from mutation import mutated_bytes, samples
from target import Target

from penstock.brokers import amqp_wire, redis_raw, redis_unacked, rows
from penstock.engines import memcached_records, redis_records
from penstock.errors import DecodeError
from penstock.message import Record
from penstock.results import rpc
from penstock.wire.codec import loads

RECORD = Record("id", "SUCCESS", b'{"status": "SUCCESS", "result": 1}', "k", 2, True, 60.0)


def _is_record(value):
    assert value is None or isinstance(value, Record)


def read_memcached(data, chance):
    _is_record(memcached_records.unpack("id", data, 0.0))


def read_redis(data, chance):
    cut = chance.randrange(len(data) + 1)
    _is_record(redis_records._record("id", data, None, 0.0))
    _is_record(redis_records._record("id", data[:cut], data[cut:], 0.0))


def read_rpc(data, chance):
    heard = SimpleNamespace(body=data, properties={})
    _is_record(rpc._read(heard))


def read_list(data, chance):
    """A message in one of Celery's lists: what cannot be read says so."""
    message = redis_raw.read(data, "q")
    assert message.queue == "q"


def read_unacked(data, chance):
    found = redis_unacked.restored(data)
    if found is not None:
        assert isinstance(found.envelope, bytes)
        assert found.lists([]) == found.lists([data]) or found.exchange
        found.lists([data, b"a.#\x06\x16x\x06\x16q"])


def read_row(data, chance):
    message = rows.message(("k", "1", "q", 0, 0.0, None, data, b"", b"[]"))
    dict(message.headers)
    isinstance(rows.message(("k", "1", "q", 0, 0.0, None, b"{}", data, b"[]")).properties, dict)


def read_delivered(data, chance):
    """A message of RabbitMQ whose headers say anything that JSON can."""
    try:
        headers = loads(data)
    except DecodeError:
        return
    if isinstance(headers, dict):
        properties = {"application_headers": headers, "message_id": headers.get("id")}
        delivered = SimpleNamespace(properties=properties, body=b"[[], {}, null]")
        message, counts = amqp_wire.read(delivered, "q")
        assert counts.key == message.key
        amqp_wire.burial_of(delivered)


def _headers():
    custody = {amqp_wire.CUSTODY: {"key": "k", "attempt": 1}, amqp_wire.DEAD: {"reason": "r"}}
    plain = [json.loads(one).get("headers", {}) for one in samples("msg-")]
    return [json.dumps(one | custody).encode() for one in plain]


def _held():
    return [b"[" + one + b',"exchange","queue"]' for one in samples("msg-")]


def _results():
    return [memcached_records.pack(RECORD, 0.0), *samples("result-", "memcached")]


def _besides():
    pairs = (redis_records.as_words(RECORD, 0.0),)
    return [b"".join(word for word in pair if isinstance(word, bytes)) for pair in pairs]


TARGETS = [
    Target("memcached", _results, read_memcached),
    Target("redis records", lambda: [*_besides(), *_results()], read_redis),
    Target("rpc", _results, read_rpc),
    Target("list", lambda: samples("msg-", "bad-"), read_list),
    Target("unacked", _held, read_unacked),
    Target("row", _headers, read_row, mutated_bytes),
    Target("delivered", _headers, read_delivered),
]
