"""What clients announce to workers: one JSON object each, the same words on both ends."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from penstock.errors import DecodeError

__all__ = ["Revoke", "read_payload", "revoke_payload"]


class Revoke(msgspec.Struct, frozen=True, tag_field="method", tag="revoke"):
    """Do not run these; with ``terminate`` stop them by ``signal`` where they run already."""

    task_id: tuple[str, ...]
    terminate: bool = False
    signal: str = "SIGTERM"


def revoke_payload(
    ids: Sequence[str], *, terminate: bool = False, signal: str = "SIGTERM"
) -> bytes:
    """The announcement that revokes these ids."""
    return msgspec.json.encode(Revoke(tuple(ids), terminate=terminate, signal=signal))


def read_payload(payload: bytes) -> Revoke:
    """An announcement as a value; raises DecodeError for what is none, or of an unknown method."""
    try:
        return _decoder.decode(payload)
    except msgspec.MsgspecError as error:
        raise DecodeError(f"this announcement cannot be read: {error}") from error


_decoder = msgspec.json.Decoder(Revoke)
