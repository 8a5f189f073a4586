"""Whatever bytes arrive: a value or DecodeError, never another error, and nothing is imported."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.errors import DecodeError
from penstock.message import Message
from penstock.wire.codec import loads
from penstock.wire.envelope import read_envelope, unpack
from penstock.wire.result import decode_result, read_exception
from penstock.wire.task import decode_call, read_header, readable_id

TARGET = Path(__file__).parents[1] / "fuzz" / "fuzz_decoder.py"
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)
# Maps whose members have the right names and anything for values.
HEADERS = st.dictionaries(
    st.sampled_from([
        "task", "id", "eta", "expires", "retries", "timelimit", "group", "stamps",
        "stamped_headers", "compression", "ignore_result", "root_id", "x",
    ]),
    JSON | st.text(min_size=1),
)  # fmt: skip
PROPERTIES = st.dictionaries(
    st.sampled_from([
        "content_type", "correlation_id", "reply_to", "delivery_info", "delivery_tag", "priority",
        "body_encoding",
    ]),
    JSON,
)  # fmt: skip


def only_decode_errors(read, data):
    try:
        read(data)
    except DecodeError as error:
        reason = str(error)
    else:
        return
    assert reason


@given(st.binary())
def test_any_bytes(data):
    for read in (loads, decode_result, lambda one: unpack(one, queue="q")):
        only_decode_errors(read, data)
    for headers in (
        {},
        {"task": "t", "id": "1"},
        {"task": "t", "compression": "application/x-gzip"},
    ):
        message = Message(id="1", queue="q", headers=headers, body=data)
        only_decode_errors(read_header, message)
        only_decode_errors(decode_call, message)
        readable_id(message)


@given(HEADERS, PROPERTIES, JSON)
def test_any_values_under_the_right_names(headers, properties, body):
    envelope = {"headers": headers, "properties": properties, "body": body}
    only_decode_errors(lambda one: read_envelope(one, queue="q"), envelope)
    message = Message(id="1", queue="q", headers=headers, body=b"[]", properties=properties)
    only_decode_errors(read_header, message)
    only_decode_errors(decode_call, message)
    readable_id(message)


@given(st.dictionaries(st.sampled_from(["exc_type", "exc_message", "exc_module"]), JSON) | JSON)
def test_any_failure(document):
    assert isinstance(read_exception(document), Exception)


@pytest.mark.parametrize("seed", [1, 20_000])
def test_mutated_samples(seed):
    spec = importlib.util.spec_from_file_location("fuzz_decoder", TARGET)
    target = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(target)
    assert target.run(inputs=1500, seconds=60, seed=seed) == 1500


def test_reading_imports_nothing_and_unpickles_nothing():
    """In a process of its own: an audit hook stays until the end."""
    program = f"""
import random, runpy, sys
target = runpy.run_path({str(TARGET)!r})
corpus = target["seeds"]()
chance = random.Random(7)
inputs = [*corpus, *(target["mutated"](chance, corpus) for _ in range(1000))]
before = set(sys.modules)
watched = {{"import", "pickle.find_class", "marshal.loads", "os.system", "open"}}
seen = []
sys.addaudithook(lambda event, args: seen.append((event, args)) if event in watched else None)
for data in corpus:
    target["read_all"](data, chance)
watched |= {{"exec", "compile"}}  # later: annotations of structs are read at first use
for data in inputs:
    target["read_all"](data, chance)
assert not seen, seen[:3]
assert before == set(sys.modules), set(sys.modules) - before
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert not done.returncode, done.stderr
