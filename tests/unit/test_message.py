"""Messages, and keys that follow a key."""

import itertools

import msgspec
import pytest

from penstock.message import Message, is_after, key_after, new_id


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
