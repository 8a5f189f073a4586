"""Ids: valid UUIDs of version 7 that grow and are never given twice; keys that follow a key."""

import itertools
import os
import threading
import uuid

import msgspec
import pytest

from penstock.message import Message, is_after, key_after, new_id


def test_an_id_is_a_uuid_of_version_7():
    for text in (new_id() for _ in range(1000)):
        parsed = uuid.UUID(text)
        assert str(parsed) == text
        assert (parsed.version, parsed.variant) == (7, uuid.RFC_4122)


def test_ids_of_one_thread_grow():
    ids = [new_id() for _ in range(20_000)]
    assert ids == sorted(ids)
    assert len(set(ids)) == len(ids)


def test_ids_begin_with_the_time_in_milliseconds(monkeypatch):
    monkeypatch.setattr("penstock.message.time.time_ns", lambda: 1_800_000_000_123_456_789)
    assert uuid.UUID(new_id()).int >> 80 == 1_800_000_000_123


def test_threads_share_no_ids():
    made = [[] for _ in range(8)]
    start = threading.Barrier(len(made))

    def fill(ids):
        start.wait()
        ids.extend(new_id() for _ in range(2000))

    threads = [threading.Thread(target=fill, args=(ids,)) for ids in made]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    every = [text for ids in made for text in ids]
    assert len(set(every)) == len(every) == 16_000


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_forked_child_makes_other_ids(monkeypatch):
    # One millisecond for all, so that only the rest of the id can tell them apart.
    monkeypatch.setattr("penstock.message.time.time_ns", lambda: 1_800_000_000_000_000_000)
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
    assert len(set(ours + theirs)) == 200


def test_a_message_cannot_be_changed_and_each_has_its_own_key():
    one, two = (Message(id="1", queue="q", headers={}, body=b"") for _ in range(2))
    assert one.key != two.key
    with pytest.raises(AttributeError):
        one.queue = "other"
    assert msgspec.structs.replace(one, queue="other").key == one.key


def test_keys_that_follow_a_key_sort_behind_it_and_are_the_same_each_time():
    keys = [new_id()]
    for _ in range(120):
        keys.append(key_after(keys[-1]))
        assert key_after(keys[-2]) == keys[-1]
    assert keys == sorted(set(keys))
    assert all(is_after(later, earlier) for earlier, later in itertools.combinations(keys, 2))
    assert not any(is_after(earlier, later) for earlier, later in itertools.combinations(keys, 2))
    assert not is_after(key_after(keys[0]), new_id())


@pytest.mark.parametrize("key", ["", "+", "a+", "+11", "a+b", "a+1x", "id.0"])
def test_any_text_has_a_key_that_follows(key):
    assert is_after(key_after(key), key)
    assert is_after(key_after(key_after(key)), key_after(key))
