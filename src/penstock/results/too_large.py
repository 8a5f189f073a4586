"""What is stored in place of a result that a store does not take: a failure that says so."""

from __future__ import annotations

import contextlib

from msgspec.structs import replace

from penstock.errors import DecodeError, EncodeError
from penstock.message import Record
from penstock.wire.result import ResultDocument, decode_result, encode_result, exception_document

__all__ = ["as_failure"]


def as_failure(record: Record, why: str) -> Record:
    """The record of the same run, as a FAILURE with an EncodeError: who waits for it is told."""
    done = None
    with contextlib.suppress(DecodeError):  # then nobody knows when
        done = decode_result(record.document).date_done
    document = ResultDocument(
        task_id=record.id,
        status="FAILURE",
        result=exception_document(EncodeError(why)),
        date_done=done,
    )
    return replace(record, state="FAILURE", document=encode_result(document))
