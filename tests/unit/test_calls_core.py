"""What every call passes through, in C and in Python: ids, and the text of plain calls."""

import json
import os
import threading
import time
import uuid

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from penstock._core import twin_calls

SAME, FOLLOWS = b'"lang":"py"}', b",{}]"


def native():
    return pytest.importorskip("penstock._core._calls", reason="the C core was not compiled")


@pytest.fixture(params=["native", "python"])
def core(request):
    return native() if request.param == "native" else twin_calls


# --- ids --------------------------------------------------------------------------------------


def test_an_id_is_a_uuid_of_version_7(core):
    for text in (*(core.new_id() for _ in range(1000)), *core.new_ids(1000)):
        parsed = uuid.UUID(text)
        assert str(parsed) == text
        assert (parsed.version, parsed.variant) == (7, uuid.RFC_4122)


def test_ids_of_one_thread_grow(core):
    ids = [*(core.new_id() for _ in range(20_000)), *core.new_ids(20_000), core.new_id()]
    assert ids == sorted(ids)
    assert len(set(ids)) == len(ids)


def test_ids_begin_with_the_time_in_milliseconds(core):
    before = time.time_ns() // 1_000_000
    ids = [core.new_id(), *core.new_ids(2)]
    after = time.time_ns() // 1_000_000
    assert all(before <= uuid.UUID(text).int >> 80 <= after for text in ids)


@pytest.mark.parametrize("count", [0, 1, 3])
def test_so_many_ids_as_were_asked_for(core, count):
    assert len(core.new_ids(count)) == count


def test_what_is_no_number_of_ids(core):
    with pytest.raises((TypeError, ValueError)):
        core.new_ids("three")


def test_threads_share_no_ids(core):
    made = [[] for _ in range(8)]
    start = threading.Barrier(len(made))

    def fill(ids):
        start.wait()
        ids.extend(core.new_id() for _ in range(2000))

    threads = [threading.Thread(target=fill, args=(ids,)) for ids in made]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    every = [text for ids in made for text in ids]
    assert len(set(every)) == len(every) == 16_000


def timeless(text):
    """An id without its milliseconds, which alone must not tell two of them apart."""
    return text[14:]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_forked_child_makes_other_ids():
    from penstock.message import new_id  # the chosen core, which is told of forks

    new_id()
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        os.write(writing, " ".join(new_id() for _ in range(100)).encode())
        os._exit(0)
    os.waitpid(child, 0)
    theirs = os.read(reading, 65536).decode().split()
    os.close(reading)
    os.close(writing)
    ours = [new_id() for _ in range(100)]
    assert len({timeless(text) for text in ours + theirs}) == 200


def test_who_starts_anew_makes_other_ids(core):
    ours = [core.new_id() for _ in range(100)]
    core.reseed()
    assert len({timeless(text) for text in ours + core.new_ids(100)}) == 200


# --- plain calls ------------------------------------------------------------------------------

plain = st.one_of(
    st.integers(),
    st.integers(min_value=-(2**63) - 2, max_value=2**64 + 2),
    st.booleans(),
    st.none(),
    st.text(max_size=20),
    st.text(st.characters(max_codepoint=127), max_size=80),
)
other = st.one_of(st.floats(), st.binary(), st.lists(st.integers()), st.just({}))


@given(st.lists(plain | other, max_size=12).map(tuple) | st.lists(plain, max_size=30).map(tuple))
@example((-(2**63),))
@example((2**63 - 1,))
@example(("x" * 508,))
@example(("x" * 509,))
@example(("x" * 500, True, None))
@example(tuple(range(200)))
@example((True, False, None))
@example(("\x7f", "'", '"', "\\"))
def test_the_compiled_one_gives_the_same_bytes(args):
    given_ = ("id", "root", args, SAME, FOLLOWS)
    assert native().pack(*given_) == twin_calls.pack(*given_)


@pytest.mark.parametrize("args", [(), (4,), (4, -4), ("text", True, None), ("it's",)], ids=repr)
def test_headers_and_body_of_a_plain_call(core, args):
    headers, body = core.pack("the id", "the root", args, SAME, FOLLOWS)
    assert json.loads(headers) == {
        "id": "the id",
        "root_id": "the root",
        "argsrepr": repr(args),
        "kwargsrepr": "{}",
        "lang": "py",
    }
    assert json.loads(body) == [list(args), {}]


class Number(int):
    """Of another type, whose text may be anything."""


@pytest.mark.parametrize(
    "args", [[4, 4], (1.5,), ("ä",), ("x" * 512,), (Number(4),), ((4,),), (b"",)], ids=repr
)
def test_others_are_left_to_whoever_knows_them(core, args):
    assert core.pack("id", "root", args, SAME, FOLLOWS) is None


def test_a_wrong_use_is_an_error(core):
    with pytest.raises(TypeError):
        core.pack("id", "root", ())
