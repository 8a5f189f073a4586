"""From a call's wishes to its message."""

from datetime import UTC, datetime, timedelta, timezone

import pytest

from penstock import ConfigError, EncodeError
from penstock.clock import ManualClock
from penstock.tasks.calls import Route, compose, wall_time
from penstock.tasks.frame import Frame, entered
from penstock.wire.task import Call, decode_call

NOW = 1_800_000_000.0
ROUTE = Route(task="tasks.add", queue="celery", priority=None, highest_first=True, max_bytes=10_000)


def sent(route=ROUTE, args=(), kwargs=None, **options):
    message = compose(route, args, kwargs or {}, options, clock=ManualClock(NOW))
    return message, decode_call(message)


def test_a_plain_call():
    message, call = sent(args=(1, 2), kwargs={"z": 3})
    assert (call.task, list(call.args), call.kwargs) == ("tasks.add", [1, 2], {"z": 3})
    assert call.id == message.id == call.root_id
    assert call.parent_id is None
    assert (message.queue, message.priority, message.ready_at) == ("celery", 0, 0.0)


def test_every_call_is_a_publication_of_its_own():
    assert sent()[0].key != sent()[0].key
    assert sent()[0].id != sent()[0].id


def test_a_countdown_is_seconds_from_now():
    message, call = sent(countdown=10)
    assert call.eta == message.ready_at == NOW + 10


def test_no_countdown_means_at_once():
    assert sent(countdown=0)[0].ready_at == 0.0


@pytest.mark.parametrize(
    "eta",
    [
        NOW + 60,
        datetime.fromtimestamp(NOW + 60, UTC),
        datetime.fromtimestamp(NOW + 60, timezone(timedelta(hours=5))),
        datetime.fromtimestamp(NOW + 60, UTC).replace(tzinfo=None),
    ],
)
def test_an_eta_is_a_point_in_time(eta):
    assert sent(eta=eta)[0].ready_at == NOW + 60


@pytest.mark.parametrize(
    "expires", [30, 30.0, timedelta(seconds=30), datetime.fromtimestamp(NOW + 30, UTC)]
)
def test_expiry_is_seconds_from_now_or_a_point_in_time(expires):
    message, call = sent(expires=expires)
    assert call.expires == message.expires_at == NOW + 30


def test_what_is_no_time_is_refused():
    with pytest.raises(ConfigError, match="'soon' is no time"):
        wall_time("soon", NOW)


def test_a_task_s_own_expiry_holds_unless_the_call_has_one():
    route = Route(
        task="t", queue="q", priority=None, highest_first=True, expires=5.0, max_bytes=1000
    )
    assert sent(route)[1].expires == NOW + 5
    assert sent(route, expires=1)[1].expires == NOW + 1


def test_the_other_wishes():
    message, call = sent(
        queue="slow",
        priority="high",
        task_id="my-id",
        headers={"tenant": "acme"},
        time_limit=10,
        soft_time_limit=5,
        shadow="nice name",
        ignore_result=True,
    )
    assert (message.queue, message.priority, message.id) == ("slow", 9, "my-id")
    assert call.headers["tenant"] == "acme"
    assert tuple(call.timelimit) == (10, 5)
    assert (call.shadow, call.ignore_result) == ("nice name", True)


def test_high_is_the_wire_s_lowest_number_where_low_numbers_go_first():
    route = Route(task="t", queue="q", priority=None, highest_first=False, max_bytes=1000)
    assert sent(route, priority="high")[0].priority == 0


def test_an_unknown_wish_names_the_nearest():
    with pytest.raises(ConfigError, match=r"'count_down'; did you mean countdown\?"):
        sent(count_down=3)


@pytest.mark.parametrize("priority", [10, -1, "urgent", 1.5])
def test_what_is_no_priority_is_refused(priority):
    with pytest.raises(ConfigError, match="priority"):
        sent(priority=priority)


def test_children_know_their_parent_and_root():
    with entered(Frame(Call(task="t", id="parent", args=(), kwargs={}, root_id="root"))):
        _, child = sent()
        with entered(Frame()):  # a task called as a function inside the parent
            _, grandchild = sent()
    assert (child.parent_id, child.root_id) == ("parent", "root")
    assert grandchild.parent_id == "parent"


def test_arguments_that_have_no_form_are_refused():
    with pytest.raises(EncodeError):
        sent(args=({1, 2},))


def test_arguments_that_are_too_large_are_refused():
    with pytest.raises(EncodeError, match=r"tasks\.add take \d+ bytes.*message_max_bytes"):
        sent(args=("x" * 10_001,))
