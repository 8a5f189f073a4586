"""Many calls of one task share what is the same, and are what single ones would be."""

from datetime import UTC, datetime
from decimal import Decimal

import pytest
from msgspec.structs import replace

from penstock._core import twin_calls
from penstock.errors import EncodeError
from penstock.wire.task import Call, decode_call, encode_call
from penstock.wire.template import CallTemplate

FIRST = Call(
    task="t", id="one", args=(1,), expires=99.0, timelimit=(3, 2), origin="o", headers={"own": 1}
)


@pytest.fixture(params=["chosen", "python"], autouse=True)
def core(request, monkeypatch):
    """As it is installed, and with the twin in Python."""
    if request.param == "python":
        monkeypatch.setattr("penstock.wire.template.pack", twin_calls.pack)


def single(task_id, args, kwargs, **facts):
    call = Call(
        task="t",
        id=task_id,
        args=args,
        kwargs=kwargs,
        expires=99.0,
        timelimit=(3, 2),
        origin="o",
        headers={"own": 1},
        **facts,
    )
    return encode_call(call, queue="q", priority=7, ready_at=5.0, key=task_id)


@pytest.mark.parametrize(("args", "kwargs"), [((2, "x"), {}), ([2], {"y": None}), ((), {"z": 1.5})])
def test_it_is_what_a_single_call_would_be(args, kwargs):
    first = encode_call(FIRST, queue="q", priority=7, ready_at=5.0)
    made, wanted = CallTemplate(first).message("two", args, kwargs), single("two", args, kwargs)
    assert decode_call(made) == decode_call(wanted)
    assert replace(made, body=b"") == replace(wanted, body=b"")


def test_a_child_keeps_its_root_and_parent():
    first = encode_call(Call(task="t", id="one", root_id="root", parent_id="up"), queue="q")
    again = decode_call(CallTemplate(first).message("two", (), {}))
    assert (again.id, again.root_id, again.parent_id) == ("two", "root", "up")


def test_what_has_no_form_is_refused_with_the_tasks_name():
    first = encode_call(FIRST, queue="q")
    with pytest.raises(EncodeError, match="arguments of t"):
        CallTemplate(first).message("two", (object(),), {})
    with pytest.raises(EncodeError, match="text"):
        CallTemplate(first).message("two", "spread", {})


@pytest.mark.parametrize(
    "args",
    [
        (True, None, "text", -1),
        ["a list"],
        (2**80,),
        ("\ud800",),
        ("häß",),
        (float("inf"),),
        (Decimal("1.5"), datetime(2026, 1, 2, tzinfo=UTC), b"\xff"),
        ((1, [2, {"k": "v"}]),),
    ],
    ids=repr,
)
def test_every_kind_of_argument_comes_back(args):
    first = encode_call(FIRST, queue="q")
    said = decode_call(CallTemplate(first).message("two", args, {}))
    assert said.args == decode_call(single("two", args, {})).args
    assert repr(said.args[0]) == repr(list(args[0]) if isinstance(args[0], tuple) else args[0])
