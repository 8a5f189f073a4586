"""Announcements read the same on both ends."""

import pytest

from penstock import DecodeError
from penstock.tasks.control import Revoke, read_payload, revoke_payload


def test_a_revocation_is_read_as_it_was_written():
    payload = revoke_payload(["a", "b"], terminate=True, signal="SIGKILL")
    assert read_payload(payload) == Revoke(("a", "b"), terminate=True, signal="SIGKILL")
    assert b'"method":"revoke"' in payload


@pytest.mark.parametrize("payload", [b"", b"{}", b"[1]", b'{"method":"dance"}', b"\xff"])
def test_what_is_none_is_refused(payload):
    with pytest.raises(DecodeError, match="cannot be read"):
        read_payload(payload)
