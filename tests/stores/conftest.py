"""What several kinds of store are tried with here."""

import pytest

from penstock.message import Record, new_id
from penstock.wire.result import ResultDocument, encode_result


def ended(task_id=None, value=8, **fields):
    """The record of a task that gave ``value``."""
    task_id = task_id or new_id()
    document = ResultDocument(task_id=task_id, status="SUCCESS", result=value, date_done=1.8e9)
    given = {"key": new_id(), "attempt": 1, "final": True} | fields
    return Record(task_id, "SUCCESS", encode_result(document), **given)


@pytest.fixture
def record():
    """A maker of records: ``record(value=8)``."""
    return ended
