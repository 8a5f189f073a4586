"""Queues on RabbitMQ are made as the settings say, and taken as they are where they exist."""

import amqp
import pytest

from penstock import App
from penstock.message import new_id


@pytest.fixture
def channel(rabbit_server, rabbit_url):
    connection = amqp.Connection(
        f"127.0.0.1:{rabbit_server.port}",
        userid=rabbit_server.USER,
        password=rabbit_server.PASSWORD,
    )
    connection.connect()
    yield connection.channel()
    connection.close()


@pytest.fixture
def names():
    """Queues of this test's own."""
    own = new_id()
    return {word: f"{word}-{own}" for word in ("listed", "quorum", "other")}


def sent(url, queues, **settings):
    app = App("tasks", broker=url, **settings)
    try:
        for queue in queues:
            app.send_task("t", queue=queue, priority=3)
        app.broker.lease(list(queues), 10, 5.0)  # what comes back has a queue of its own
    finally:
        app.close()


def is_like(channel, queue, arguments):
    """Whether a queue has exactly these arguments: the server refuses others."""
    probing = channel.connection.channel()
    try:
        probing.queue_declare(queue, durable=True, auto_delete=False, arguments=arguments)
    except amqp.PreconditionFailed:
        return False
    probing.close()
    return True


def test_without_settings_a_queue_has_no_arguments(rabbit_url, channel, names):
    sent(rabbit_url, [names["other"]])
    assert is_like(channel, names["other"], {})
    assert not is_like(channel, names["other"], {"x-max-priority": 9})


def test_priorities_are_for_queues_that_say_nothing_else(rabbit_url, channel, names):
    listed = {
        names["listed"]: {"queue_arguments": {"x-max-priority": 5}},
        names["quorum"]: {"queue_arguments": {"x-queue-type": "quorum"}},
    }
    sent(rabbit_url, names.values(), task_queues=listed, task_queue_max_priority=9)
    assert is_like(channel, names["listed"], {"x-max-priority": 5})
    assert is_like(channel, names["quorum"], {"x-queue-type": "quorum"})
    assert is_like(channel, names["other"], {"x-max-priority": 9})
    assert is_like(channel, f"penstock.back.{names['other']}", {})
    assert is_like(channel, f"penstock.back.{names['quorum']}", {"x-queue-type": "quorum"})


def test_quorum_queues_by_default(rabbit_url, channel, names):
    sent(rabbit_url, [names["other"]], task_default_queue_type="quorum")
    assert is_like(channel, names["other"], {"x-queue-type": "quorum"})


def test_what_exists_is_taken_as_it_is(rabbit_url, channel, names):
    mine = {"x-max-priority": 2, "x-max-length": 100}
    channel.queue_declare(names["other"], durable=True, auto_delete=False, arguments=mine)
    sent(rabbit_url, [names["other"]], task_default_queue_type="quorum")
    assert is_like(channel, names["other"], mine)


@pytest.mark.parametrize("highest", [9, 4])
def test_the_most_urgent_is_claimed_first(rabbit_url, names, highest):
    queue, sent_as = names["other"], [0, 9, 3, 6, 9, 1]
    app = App("tasks", broker=rabbit_url, task_queue_max_priority=highest)
    for priority in sent_as:
        app.send_task("t", queue=queue, priority=priority)
    leases = []
    while len(leases) < len(sent_as):  # one at a time, so that the server chooses each
        leases += app.broker.lease([queue], 1, 5.0, wait=5.0)
    got = [lease.message.priority for lease in leases]
    ranks = [min(priority, highest) for priority in got]
    assert ranks == sorted(ranks, reverse=True)
    assert sorted(got) == sorted(sent_as)
    app.close()
