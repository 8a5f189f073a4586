"""Whatever bytes arrive: a value or DecodeError, never another error, and nothing is imported."""

import subprocess
import sys
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from penstock.errors import DecodeError
from penstock.message import Message
from penstock.wire.codec import loads
from penstock.wire.envelope import read_envelope, unpack
from penstock.wire.result import decode_result, read_exception
from penstock.wire.task import decode_call, read_header, readable_id

FUZZ = Path(__file__).parents[1] / "fuzz"
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


def test_reading_imports_nothing_and_unpickles_nothing():
    """In a process of its own: an audit hook stays until the end."""
    program = f"""
import sys
sys.path.insert(0, {str(FUZZ)!r})
from mutation import random_of
from wire_targets import TARGETS

chance = random_of(7)
inputs = [(target, target.seeds()) for target in TARGETS]
many = [(one, one.make(chance, corpus)) for one, corpus in inputs for _ in range(300)]
first = [(one, data) for one, corpus in inputs for data in corpus]
before = set(sys.modules)
watched = {{"import", "pickle.find_class", "marshal.loads", "os.system", "open"}}
seen = []
sys.addaudithook(lambda event, args: seen.append((event, args)) if event in watched else None)
for target, data in first:
    target.read(data, chance)
watched |= {{"exec", "compile"}}  # later: annotations of structs are read at first use
for target, data in many:
    target.read(data, chance)
assert not seen, seen[:3]
assert before == set(sys.modules), set(sys.modules) - before
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert not done.returncode, done.stderr
