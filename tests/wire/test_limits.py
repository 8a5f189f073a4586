"""Limits of size, depth and number: refused on both sides, and before much work is done."""

import json
import sys
import time
import zlib

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.errors import DecodeError, EncodeError
from penstock.message import Message
from penstock.wire.codec import LIMITS, Limits, dumps, loads
from penstock.wire.envelope import unpack
from penstock.wire.result import decode_result
from penstock.wire.task import Call, decode_call, encode_call, read_header

DEPTH = LIMITS.max_depth


def nested(depth, inner=0):
    for level in range(depth):
        inner = [inner] if level % 2 else {"a": inner}
    return inner


def test_the_deepest_value_allowed_passes_both_ways():
    assert loads(dumps(nested(DEPTH))) == nested(DEPTH)


def test_one_level_more_is_refused_both_ways():
    with pytest.raises(EncodeError, match="nested more than 64 levels"):
        dumps(nested(DEPTH + 1))
    with pytest.raises(DecodeError, match="nested more than 64 levels"):
        loads(json.dumps(nested(DEPTH + 1)))


@pytest.mark.parametrize(
    "data",
    [
        b"[" * 10**5,
        b"[" * 10**5 + b"]" * 10**5,
        b'{"a":' * 10**5 + b"1" + b"}" * 10**5,
        b'[{"\\"a":' * 10**6,
        b'["",' * 10**6,
    ],
)
def test_a_hundred_thousand_levels_are_refused_quickly_whatever_the_recursion_limit(data):
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(10**7)  # a parser that recursed now would kill the process
    try:
        start = time.process_time()
        for read in (loads, decode_result, lambda text: unpack(text, queue="q")):
            with pytest.raises(DecodeError, match="nested more than 64 levels"):
                read(data)
        assert time.process_time() - start < 1.0
    finally:
        sys.setrecursionlimit(before)


def test_an_endless_value_is_an_encode_error():
    endless = nested(100_000)
    with pytest.raises(EncodeError, match="nested more than 64 levels"):
        dumps(endless)
    while endless:  # taken apart level by level: freeing it at once would recurse too
        endless = endless["a"] if isinstance(endless, dict) else endless[0]


BRACKETS = st.text('[]{}"\\,a')


@given(st.recursive(BRACKETS, lambda v: st.lists(v) | st.dictionaries(BRACKETS, v), max_leaves=30))
def test_brackets_inside_text_do_not_count(value):
    limits = Limits(max_depth=_depth(value))
    assert loads(dumps(value, limits=limits), limits=limits) == value
    if _depth(value):
        less = Limits(max_depth=_depth(value) - 1)
        with pytest.raises(DecodeError):
            loads(dumps(value), limits=less)
        with pytest.raises(EncodeError):
            dumps(value, limits=less)


def test_many_shallow_values_are_not_deep():
    flat = [{"name": 'a "[" b', "of": []} for _ in range(1000)]
    assert loads(dumps(flat)) == flat


def test_a_value_that_is_too_long_is_refused_both_ways():
    limits = Limits(max_bytes=100)
    assert loads(dumps("x" * 98, limits=limits), limits=limits) == "x" * 98
    with pytest.raises(EncodeError, match=r"takes 101 bytes.*limit of 100.*a reference"):
        dumps("x" * 99, limits=limits)
    with pytest.raises(DecodeError, match="101 bytes, more than the limit of 100"):
        loads(b'"' + b"x" * 99 + b'"', limits=limits)


@pytest.mark.parametrize("as_text", [True, False])
def test_what_exceeds_the_default_size_is_refused(as_text):
    data = "9" * (LIMITS.max_bytes + 1)
    with pytest.raises(DecodeError, match="more than the limit"):
        loads(data if as_text else data.encode())


def compressed(body):
    return Message(
        id="1",
        queue="q",
        headers={"task": "t", "id": "1", "compression": "application/x-gzip"},
        body=body,
    )


def test_a_compressed_body_is_read():
    body = zlib.compress(b"[[1], {}, null]")
    assert decode_call(compressed(body)).args == [1]
    in_gzip = zlib.compressobj(wbits=31)
    body = in_gzip.compress(b"[[1], {}, null]") + in_gzip.flush()
    assert decode_call(compressed(body)).args == [1]


def test_a_small_body_that_expands_beyond_the_limit_is_refused():
    bomb = zlib.compress(b" " * (64 * 1024 * 1024))
    assert len(bomb) < 300_000
    start = time.process_time()
    with pytest.raises(DecodeError, match=r"more than 16777216 bytes when decompressed"):
        decode_call(compressed(bomb))
    assert time.process_time() - start < 1.0


@pytest.mark.parametrize(
    "body",
    [
        b"", b"[[], {}, null]", zlib.compress(b"[[], {}, null]")[:-3],
        zlib.compress(b"[[], {}, null]") + b"more", zlib.compress(b"1")[:1],
    ],
)  # fmt: skip
def test_a_compressed_body_that_is_damaged_is_refused(body):
    with pytest.raises(DecodeError, match=r"compressed"):
        decode_call(compressed(body))


def test_other_compressions_are_refused_from_the_headers_alone():
    message = compressed(b"")
    for name in ("application/x-bz2", "gzip", 5, ""):
        other = msgspec.structs.replace(message, headers={**message.headers, "compression": name})
        with pytest.raises(DecodeError, match=r"compression is .* compress with zlib, or not"):
            read_header(other)


def test_the_number_of_headers_is_limited_both_ways():
    own = {f"x{n}": n for n in range(46)}
    with pytest.raises(EncodeError, match="t has 65 headers, more than the limit of 64"):
        encode_call(Call(task="t", id="1", headers=own), queue="q")
    own.popitem()
    message = encode_call(Call(task="t", id="1", headers=own), queue="q")
    assert decode_call(message).headers == own
    more = msgspec.structs.replace(message, headers={**message.headers, "one more": 1})
    for read in (read_header, decode_call):
        with pytest.raises(DecodeError, match="65 headers, more than the limit of 64"):
            read(more)


def test_arguments_that_are_too_long_name_the_task():
    with pytest.raises(EncodeError, match=r"arguments of tasks\.big: takes 16777\d+ bytes"):
        encode_call(Call(task="tasks.big", id="1", args=["x" * LIMITS.max_bytes]), queue="q")


def _depth(value):
    if isinstance(value, list | dict):
        inner = value.values() if isinstance(value, dict) else value
        return 1 + max(map(_depth, inner), default=0)
    return 0
