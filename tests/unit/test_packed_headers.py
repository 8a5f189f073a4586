"""Headers that stay JSON text until somebody looks into them."""

import msgspec
import pytest

from penstock.errors import EncodeError
from penstock.message import Message, PackedHeaders


def test_they_are_a_map_like_any_other():
    packed = PackedHeaders(b'{"task":"t","retries":0}')
    assert packed == {"task": "t", "retries": 0} == packed
    assert {**packed} == dict(packed)
    assert (packed["task"], packed.get("no"), "retries" in packed, len(packed)) == (
        "t",
        None,
        True,
        2,
    )
    plain = Message("id", "q", dict(packed), b"", key="k")
    assert Message("id", "q", packed, b"", key="k") == plain


def test_packing_what_is_packed_changes_nothing():
    packed = PackedHeaders.of({"a": 1})
    assert packed.json == b'{"a":1}'
    assert PackedHeaders.of(packed) is packed


def test_what_json_has_no_form_for_is_refused():
    with pytest.raises(EncodeError, match="JSON's types"):
        PackedHeaders.of({"a": object()})


def test_no_encoder_takes_the_wrapping_for_the_headers():
    with pytest.raises(TypeError):
        msgspec.msgpack.encode(PackedHeaders(b"{}"))
