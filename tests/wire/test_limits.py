"""Limits of size, depth and number: refused on both sides, and before much work is done."""

import bz2
import json
import lzma
import subprocess
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
from penstock.wire.envelope import pack, unpack
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


def compressed(body, name="application/x-gzip"):
    headers = {"task": "t", "id": "1", "compression": name}
    return Message(id="1", queue="q", headers=headers, body=body)


def test_a_compressed_body_is_read():
    body = zlib.compress(b"[[1], {}, null]")
    assert decode_call(compressed(body)).args == [1]
    in_gzip = zlib.compressobj(wbits=31)
    body = in_gzip.compress(b"[[1], {}, null]") + in_gzip.flush()
    assert decode_call(compressed(body)).args == [1]


PACKERS = {
    "application/x-gzip": zlib.compress,
    "application/x-bz2": bz2.compress,
    "application/x-lzma": lzma.compress,
}
SPARE = 48 * 1024 * 1024  # bytes beside the expanded body: lzma's own state, and Python's copies


@pytest.mark.parametrize("name", PACKERS)
def test_a_body_is_read_in_each_of_celerys_compressions(name):
    message = compressed(PACKERS[name](b"[[1], {}, null]"), name)
    assert decode_call(message).args == [1]
    assert read_header(message).id == "1"


@pytest.fixture(scope="module")
def bombs():
    """A gigabyte of spaces in each compression; made piece by piece, in 16 MiB."""
    piece = b" " * (1 << 24)
    made = {}
    for name, packer in (
        ("application/x-gzip", zlib.compressobj(9)),
        ("application/x-bz2", bz2.BZ2Compressor(9)),
        ("application/x-lzma", lzma.LZMACompressor(preset=0)),
    ):
        parts = [packer.compress(piece) for _ in range(4 if "lzma" in name else 64)]
        made[name] = b"".join(parts) + packer.flush()
    return made


@pytest.mark.parametrize("name", PACKERS)
def test_a_bomb_never_expands_beyond_the_limit(name, bombs, tmp_path):
    """In a process whose memory has a limit: what expanded further would end there."""
    (tmp_path / "bomb").write_bytes(bombs[name])
    assert len(bombs[name]) < 1_100_000
    program = f"""
import resource, sys
from penstock.errors import DecodeError
from penstock.message import Message
from penstock.wire.task import decode_call
import bz2, lzma, zlib
headers = {{"task": "t", "id": "1", "compression": {name!r}}}
message = Message(id="1", queue="q", headers=headers, body=open("bomb", "rb").read())
in_use = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
room = in_use + 2 * 16 * 1024 * 1024 + {SPARE}
resource.setrlimit(resource.RLIMIT_AS, (room, room))
try:
    decode_call(message)
except DecodeError as error:
    sys.exit(str(error))
"""
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.stderr.strip() == "its body is more than 16777216 bytes when decompressed"


def test_an_lzma_stream_that_asks_for_a_huge_dictionary_is_refused():
    filters = [{"id": lzma.FILTER_LZMA2, "dict_size": 1 << 30}]
    header = lzma.compress(b"[[], {}, null]", filters=[{"id": lzma.FILTER_LZMA2, "preset": 0}])
    try:
        huge = lzma.compress(b"[[], {}, null]", filters=filters)
    except MemoryError:
        pytest.skip("no memory to make one")
    assert decode_call(compressed(header, "application/x-lzma")).args == []
    with pytest.raises(DecodeError, match=r"cannot be decompressed.*[Mm]emory"):
        decode_call(compressed(huge, "application/x-lzma"))


@pytest.mark.parametrize("name", PACKERS)
def test_a_compressed_body_that_is_damaged_is_refused(name):
    body = PACKERS[name](b"[[], {}, null]")
    for damaged in (b"", b"[[], {}, null]", body[:-3], body + b"more", body[:5], body + body):
        with pytest.raises(DecodeError, match=r"compressed"):
            decode_call(compressed(damaged, name))


def test_other_compressions_are_refused_from_the_headers_alone():
    message = compressed(b"")
    for name in ("application/zstd", "gzip", 5, "", ["application/x-gzip"]):
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


def test_a_body_that_is_too_large_is_refused_from_its_size_alone():
    message = encode_call(Call(task="t", id="1", args=["x" * 1000]), queue="q")
    small = Limits(max_bytes=1000)
    for read in (read_header, decode_call):
        with pytest.raises(
            DecodeError, match=r"its body: 1\d\d\d bytes, more than the limit of 1000"
        ):
            read(message, limits=small)


def test_an_envelope_may_be_longer_than_the_longest_body_for_it_is_written_in_base64():
    call = Call(task="t", id="1", args=["x" * (LIMITS.max_bytes - 100)])
    envelope = pack(encode_call(call, queue="q"))
    assert len(envelope) > LIMITS.max_bytes
    assert decode_call(unpack(envelope, queue="q")).args == call.args
