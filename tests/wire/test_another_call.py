"""Many calls of one task share what is the same, and are what single ones would be."""

import pytest

from penstock.errors import EncodeError
from penstock.wire.task import Call, another_call, decode_call, encode_call

FIRST = Call(
    task="t", id="one", args=(1,), expires=99.0, timelimit=(3, 2), origin="o", headers={"own": 1}
)


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
    assert another_call(first, "two", args, kwargs) == single("two", args, kwargs)
    assert decode_call(another_call(first, "two", args, kwargs)).kwargs == kwargs


def test_a_child_keeps_its_root_and_parent():
    first = encode_call(Call(task="t", id="one", root_id="root", parent_id="up"), queue="q")
    again = decode_call(another_call(first, "two", (), {}))
    assert (again.id, again.root_id, again.parent_id) == ("two", "root", "up")


def test_what_has_no_form_is_refused_with_the_tasks_name():
    first = encode_call(FIRST, queue="q")
    with pytest.raises(EncodeError, match="arguments of t"):
        another_call(first, "two", (object(),), {})
    with pytest.raises(EncodeError, match="text"):
        another_call(first, "two", "spread", {})
