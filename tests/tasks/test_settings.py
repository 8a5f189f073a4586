"""Settings are typed and checked when they are set."""

from datetime import timedelta

import pytest

from penstock import App, ConfigError
from penstock.tasks.settings import Settings


def test_settings_come_from_the_constructor_from_attributes_and_from_update():
    app = App("tasks", task_default_queue="a", lease_time=3)
    app.conf.result_extended = True
    app.conf.update({"crash_limit": 5}, result_expires=timedelta(hours=1))
    assert app.conf.task_default_queue == "a"
    assert app.conf.lease_time == 3.0
    assert app.conf.result_extended is True
    assert app.conf.crash_limit == 5
    assert app.conf.result_expires == 3600.0


def test_defaults_are_celery_s_where_celery_has_them():
    conf = App("tasks").conf
    assert (conf.task_default_queue, conf.result_expires, conf.worker_pool) == (
        "celery",
        86400.0,
        "prefork",
    )
    assert conf.task_acks_late is True


@pytest.mark.parametrize(
    "set_it",
    [
        lambda: App("tasks", task_default_que="x"),
        lambda: App("tasks").conf.update(task_default_que="x"),
        lambda: setattr(App("tasks").conf, "task_default_que", "x"),
        lambda: App("tasks").conf.task_default_que,
    ],
)
def test_an_unknown_setting_names_the_nearest(set_it):
    with pytest.raises(ConfigError, match=r"'task_default_que'; did you mean task_default_queue\?"):
        set_it()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("lease_time", "15"),
        ("lease_time", 0),
        ("crash_limit", 1.5),
        ("worker_pool", "gevent"),
        ("task_serializer", "pickle"),
        ("task_routes", ["a"]),
        ("task_default_priority", 10),
    ],
)
def test_a_wrong_value_names_the_setting(name, value):
    with pytest.raises(ConfigError, match=f"setting {name}: "):
        App("tasks", **{name: value})


def test_an_update_with_one_wrong_value_changes_nothing():
    conf = App("tasks").conf
    with pytest.raises(ConfigError):
        conf.update(crash_limit=9, lease_time="x")
    assert conf.crash_limit == 3


def test_settings_of_two_apps_are_their_own():
    one, two = App("one"), App("two")
    one.conf.task_routes["a"] = "b"
    assert two.conf.task_routes == {}


def test_hasattr_works_on_settings():
    assert not hasattr(App("tasks").conf, "no_such_setting")


def test_the_revision_is_no_setting():
    conf = App("tasks").conf
    before = conf.revision
    conf.crash_limit = 4
    assert conf.revision > before
    assert "revision" not in conf.as_dict()


def test_their_text_shows_what_was_set_and_no_password():
    app = App("tasks", broker="redis://:secret@host/1", crash_limit=5)
    assert repr(app.conf) == "Settings(broker_url=redis://:**@host/1, crash_limit=5)"


class Queue:
    """As Celery's class has it."""

    def __init__(self, name, queue_arguments=None, max_priority=None):
        self.name = name
        self.queue_arguments = queue_arguments
        self.max_priority = max_priority


PRIORITIES = {"x-max-priority": 5}


@pytest.mark.parametrize(
    "queues",
    [
        {"a": {"queue_arguments": PRIORITIES}, "b": {}},
        {"a": {"max_priority": 5, "exchange": "a", "routing_key": "a"}, "b": {"durable": True}},
        [{"name": "a", "queue_arguments": PRIORITIES}, "b"],
        (Queue("a", dict(PRIORITIES)), Queue("b")),
        (Queue("a", max_priority=5), Queue("b")),
    ],
)
def test_queues_are_described_in_any_of_celerys_ways(queues):
    settings = Settings.of({"task_queues": queues})
    again = Settings.of(settings.as_dict())  # as a worker gets it
    for each in (settings, again):
        shapes = each.queue_shapes
        assert list(each.task_queues) == ["a", "b"]
        assert (shapes.of("a"), shapes.of("b"), shapes.of("c")) == (PRIORITIES, {}, {})


def test_a_quorum_queue_gets_no_priorities():
    quorum = {"x-queue-type": "quorum"}
    settings = Settings.of(
        {
            "task_queues": {"q": {"queue_arguments": quorum}, "p": {}},
            "task_queue_max_priority": 7,
        }
    )
    shapes = settings.queue_shapes
    assert (shapes.of("q"), shapes.of("p")) == (quorum, {"x-max-priority": 7})
    assert Settings.of({"task_default_queue_type": "quorum"}).queue_shapes.of("x") == quorum


@pytest.mark.parametrize(
    ("queues", "says"),
    [
        (5, "a map of queues by name"),
        ("celery", "a map of queues by name"),
        ([{}], "without a name"),
        ([object()], "without a name"),
        ({"a": {"queue_argumets": {}}}, "queue_argumets"),
        ({"a": {"queue_arguments": 5}}, "a has queue_arguments that are no map"),
    ],
)
def test_queues_that_make_no_sense_are_refused(queues, says):
    with pytest.raises(ConfigError, match=says):
        Settings.of({"task_queues": queues})
