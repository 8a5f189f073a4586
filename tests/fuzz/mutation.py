"""Recorded samples, and what becomes of them: cut, repeated, mixed, with other values in them."""

import base64
import copy
import json
import random
import struct
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "support"))

from penstock.wire.codec import dumps
from wire_samples import names, raw

__all__ = ["mutated", "mutated_bytes", "random_of", "samples", "wrapped"]

TOKENS = [
    b"[", b"]", b"{", b"}", b'"', b":", b",", b"\\", b"\\u", b"\\ud800", b"null", b"true", b"-",
    b"1e999", b"NaN", b"-Infinity", b"9" * 30, b"\x00", b"\xff", b"\xed\xa0\x80", b"[" * 200,
    b'{"a":' * 200, b"[" * 3000, b'{"a":' * 3000,
    b'"__type__"', b'"__value__"', b'"\\ud800"', b'{"\\ud800":1}',
    b'{"__type__": "uuid", "__value__": {"hex": ""}}',
    b'{"__type__": "datetime", "__value__": "0001-01-01T00:00:00+23:59"}',
    b'{"__type__": "decimal", "__value__": "1e999999999"}', b'"9999-12-31T23:59:59-23:59"',
    b'{"__type__": "base64", "__value__": "="}', b'"task"', b'"id"', b'"eta"', b'"stamps"',
    b'"stamped_headers"', b'"application/x-gzip"', b'"utf-8"', b'"base64"', b'"exc_type"',
    b'"exc_module"', b'"builtins"', b'"SystemExit"', b'"compression"', b'"body_encoding"',
    b'"penstock_past"', b'"penstock_failures"', b'"key"', b'"pcre"', b'"glob"', b'"reply_to"',
    b'"penstock"', b'"final"', b'"end"',
]  # fmt: skip
VALUES = [
    None, True, False, 0, -1, 1, 1.5, 1e308, float("nan"), float("-inf"), 10**30, -(10**30),
    1 << 63,
    "", "x", "\ud800", "a\udfffb", "\x00", "9" * 400, "k", "\u202e",
    "0001-01-01T00:00:00+23:59",
    "2026-11-28T00:00:00", [], {}, [None], [[]], ["\ud800"], {"\ud800": 1}, {"": None},
    {"__type__": "datetime", "__value__": "x"}, {"__type__": "uuid", "__value__": {"hex": 1}},
    {"__type__": "decimal", "__value__": "1e999999"}, {"__type__": [], "__value__": {}},
    {"key": "k", "crashes": "\ud800"}, {"key": "k", "crashes": 10**30, "\ud800": 1},
]  # fmt: skip
EDGES = [0, 1, 7, 8, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF,
         1 << 33, (1 << 63) - 1, 1 << 63, (1 << 64) - 1]  # fmt: skip


def random_of(seed):
    """What makes one input; the same for the same seed."""
    return random.Random(seed)


def samples(*prefixes):
    """Envelopes, bodies and results as recorded, one for each JSON text in a sample."""
    found = []
    for name in names(*prefixes):
        for line in raw(name).encode("utf-8", "surrogateescape").split(b"\n"):
            start = line.find(b"{")
            if start >= 0:
                found.append(line[start:])
    return found


def mutated(chance, corpus):
    """One input: a recorded one with a few changes, of its text or of the values in it."""
    if chance.random() < 0.4:
        return _other_values(chance, chance.choice(corpus))
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


def _other_values(chance, text):
    """Sound JSON with something else in a few places."""
    try:
        value = [json.loads(text)]
    except (ValueError, RecursionError):
        return text
    for _ in range(chance.choice((1, 1, 2, 4))):
        holder, place = chance.choice(list(_places(value)))
        other = chance.choice(VALUES)
        if isinstance(holder, dict) and chance.random() < 0.3:
            holder[other if isinstance(other, str) else "\ud800"] = holder.pop(place)
        else:
            holder[place] = copy.deepcopy(other)
    return json.dumps(value[0]).encode()


def _places(value):
    """Every place of a tree where something stands, as its holder and the name there."""
    inside = list(value.items() if isinstance(value, dict) else enumerate(value))
    for name, one in inside:
        yield value, name
        if isinstance(one, dict | list):
            yield from _places(one)


def wrapped(chance, corpus):
    """A sound envelope around a mutated body, so that mutations reach the body's readers."""
    body = base64.b64encode(mutated(chance, corpus)).decode()
    headers = chance.choice(
        ({}, {"task": "t", "id": "1"}, {"task": "t", "id": chance.choice("ab")})
    )
    properties = {"body_encoding": "base64", "delivery_tag": "k"}
    return dumps({"body": body, "headers": headers, "properties": properties})


def mutated_bytes(chance, corpus):
    """One input of a format that is no text: bits, edge values and pieces change places."""
    data = bytearray(chance.choice(corpus))
    for _ in range(chance.choice((1, 1, 2, 4, 8))):
        change = chance.choice((_flip, _edge, _cut, _repeat, _splice))
        change(chance, data, corpus)
    return bytes(data)


def _flip(chance, data, corpus):
    if data:
        data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)


def _edge(chance, data, corpus):
    size = chance.choice((1, 2, 4, 8))
    if len(data) >= size:
        at = chance.randrange(len(data) - size + 1)
        value = chance.choice(EDGES) & ((1 << 8 * size) - 1)
        data[at : at + size] = value.to_bytes(size, chance.choice(("little", "big")))


def _cut(chance, data, corpus):
    at = chance.randrange(len(data) + 1)
    del data[at : at + chance.choice((1, 4, 1000))]


def _repeat(chance, data, corpus):
    at = chance.randrange(len(data) + 1)
    data[at:at] = data[at : at + 8] * chance.choice((1, 20))


def _splice(chance, data, corpus):
    other = chance.choice(corpus)
    at, start = chance.randrange(len(data) + 1), chance.randrange(len(other) + 1)
    data[at:at] = other[start : start + chance.choice((4, 40))] or struct.pack("<d", 1e308)
