import pytest

from penstock.engines.memory_records import Records, is_stale
from penstock.message import Record


def record(state="SUCCESS", key="k1", attempt=1, *, final=True):
    return Record("id", state, b"", key=key, attempt=attempt, final=final)


STARTED = record("STARTED", final=False)


@pytest.mark.parametrize(
    ("new", "current", "stale"),
    [
        (record(), None, False),
        (record(), record(), False),
        (record(), STARTED, False),
        (STARTED, record(), True),
        (record("FAILURE"), record(), True),
        (record(attempt=1), record("STARTED", attempt=2, final=False), True),
        (record(attempt=2), STARTED, False),
        (record(attempt=2), record(), True),
        (record(key="k0"), record(key="k1"), True),
        (record(key="k0"), record("STARTED", key="k1", final=False), False),
        (record(key="k2"), record(key="k1"), False),
        (record("REVOKED", key=""), STARTED, False),
        (record("REVOKED", key=""), record(), True),
        (STARTED, record("REVOKED", key=""), False),
    ],
)
def test_what_is_stale(new, current, stale):
    assert is_stale(new, current) is stale


def test_only_what_was_stored_rings():
    rung = []
    records = Records(rung.append)
    records.put([record()], 0.0)
    records.put([STARTED], 0.0)
    assert rung == ["done"]


def test_the_last_of_a_group_may_ask_again():
    records = Records(lambda bell: None)
    told = [records.arrive("g", member, 2, claim, 0.0) for member, claim in ("aA", "bB", "bB")]
    assert told == [False, True, True]
    assert not records.arrive("g", "b", 2, "C", 0.0)
