"""Mutates recorded messages and results and reads them: ``fuzz_decoder.py --seconds 60``.

Whatever the bytes, a reader gives a value or raises DecodeError, and does so in bounded time.
A finding is printed with the seed that makes it again: ``--seed N --inputs 1``.
"""

import argparse
import base64
import itertools
import random
import sys
import time
import traceback
import zlib
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "support"))

from penstock.errors import DecodeError, EncodeError
from penstock.message import Message
from penstock.wire.codec import dumps, loads
from penstock.wire.envelope import pack, unpack
from penstock.wire.result import decode_result, encode_result, read_exception
from penstock.wire.task import decode_call, encode_call, read_header, readable_id
from wire_samples import names, raw

LONG = 2000  # characters of a reason
SLOW = 2.0  # seconds for one input; the largest here take a hundredth
TOKENS = [
    b"[", b"]", b"{", b"}", b'"', b":", b",", b"\\", b"\\u", b"\\ud800", b"null", b"true", b"-",
    b"1e999", b"NaN", b"-Infinity", b"9" * 30, b"\x00", b"\xff", b"\xed\xa0\x80", b"[" * 200,
    b'{"a":' * 200, b'"__type__"', b'"__value__"',
    b'{"__type__": "uuid", "__value__": {"hex": ""}}',
    b'{"__type__": "datetime", "__value__": "0001-01-01T00:00:00+23:59"}',
    b'{"__type__": "decimal", "__value__": "1e999999999"}', b'"9999-12-31T23:59:59-23:59"',
    b'{"__type__": "base64", "__value__": "="}', b'"task"', b'"id"', b'"eta"', b'"stamps"',
    b'"stamped_headers"', b'"application/x-gzip"', b'"utf-8"', b'"base64"', b'"exc_type"',
    b'"exc_module"', b'"builtins"', b'"SystemExit"', b'"compression"', b'"body_encoding"',
]  # fmt: skip


def seeds():
    """Envelopes, bodies and results as recorded."""
    found = []
    for name in names("msg-", "bad-", "result-", "memcached"):
        for line in raw(name).encode("utf-8", "surrogateescape").split(b"\n"):
            start = line.find(b"{") if name == "memcached" else 0
            found.append(line[start:])
    return found


def mutated(chance, corpus):
    """One input: a recorded one with a few changes, some of them within its packed body."""
    data = bytearray(chance.choice(corpus))
    for _ in range(chance.choice((1, 1, 2, 4, 8))):
        _change(chance, data, corpus)
    return bytes(data)


def _change(chance, data, corpus):
    at = chance.randrange(len(data) + 1)
    to = min(len(data), at + chance.choice((0, 1, 4, 30)))
    kind = chance.randrange(6)
    if kind == 0:
        data[at:to] = b""
    elif kind == 1:
        data[at:to] = chance.choice(TOKENS)
    elif kind == 2:
        data[at:to] = chance.randbytes(chance.choice((1, 2, 8)))
    elif kind == 3:
        other = chance.choice(corpus)
        start = chance.randrange(len(other) + 1)
        data[at:to] = other[start : start + chance.choice((4, 40, 400))]
    elif kind == 4:
        _change_token(chance, data)
    else:
        data[at:at] = data[at:to] * chance.choice((2, 50))


def _change_token(chance, data):
    """Put another value in the place of one, so that what is around stays JSON."""
    marks = [n for n, byte in enumerate(data) if byte in b",:"]
    if len(marks) > 1:
        at = chance.randrange(len(marks) - 1)
        data[marks[at] + 1 : marks[at + 1]] = chance.choice(TOKENS)


def read_all(data, chance):
    """Give the bytes to every reader; anything but a value or DecodeError is a finding."""
    _attempt(loads, data)
    document = _attempt(decode_result, data)
    if document is not None:
        read_exception(document.result)
        _attempt(encode_result, document)
    message = _attempt(lambda one: unpack(one, queue="q"), data)
    _read_task(message or Message(id="1", queue="q", headers={}, body=data))
    headers = {"task": "t", "id": "1"}
    if chance.random() < 0.1:
        headers["compression"] = "application/x-gzip"
        packed = zlib.compress(data)
        cut = chance.randrange(len(packed) + 1)
        data = packed[:cut] + packed[cut + chance.randrange(2) :]
    _read_task(Message(id="1", queue="q", headers=headers, body=data))


def _read_task(message):
    _attempt(read_header, message)
    task_id = readable_id(message)
    assert task_id is None or (isinstance(task_id, str) and task_id)
    call = _attempt(decode_call, message)
    if call is not None:
        _attempt(lambda one: encode_call(one, queue="q"), call)
    _attempt(pack, message)


def _attempt(read, data):
    try:
        return read(data)
    except (DecodeError, EncodeError) as error:
        reason = str(error)
    assert 0 < len(reason) < LONG, reason[: 2 * LONG]  # it stands in logs
    return None


def wrapped(chance, corpus):
    """A sound envelope around a mutated body, so that mutations reach the body's readers."""
    body = base64.b64encode(mutated(chance, corpus)).decode()
    headers = chance.choice(
        ({}, {"task": "t", "id": "1"}, {"task": "t", "id": chance.choice("ab")})
    )
    properties = {"body_encoding": "base64", "delivery_tag": "k"}
    return dumps({"body": body, "headers": headers, "properties": properties})


def run(*, inputs, seconds, seed):
    """Read so many inputs, or for so long; gives how many were read. Raises AssertionError."""
    corpus = seeds()
    end = time.monotonic() + seconds
    for n in itertools.count():
        if n >= inputs or time.monotonic() > end:
            return n
        chance = random.Random(seed + n)
        data = (wrapped if chance.random() < 0.3 else mutated)(chance, corpus)
        start = time.process_time()
        try:
            read_all(data, chance)
        except Exception as error:
            raise AssertionError(f"--seed {seed + n} --inputs 1: {data[:300]!r}") from error
        took = time.process_time() - start
        assert took < SLOW, f"--seed {seed + n} --inputs 1 took {took} s"
    return None


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--inputs", type=float, default=float("inf"))
    parser.add_argument("--seed", type=int, default=random.randrange(2**32))
    options = parser.parse_args()
    try:
        count = run(inputs=options.inputs, seconds=options.seconds, seed=options.seed)
    except AssertionError:
        traceback.print_exc()
        sys.exit(1)
    print(f"{count} inputs read from seed {options.seed}, no finding")


if __name__ == "__main__":
    main()
