"""What a statement reads does not depend on how much lay there when its plan was made.

The server plans a statement once for each connection. A worker that came while the queue was empty
has plans of that hour, until an analysis of the table voids them; some of those read everything.
"""

import psycopg
import pytest
from msgspec.structs import replace

from penstock.brokers.registry import open_broker
from penstock.message import Again, Dead, Done, Message, Record, key_after, new_id
from workers import wait_for

READY, LEASED, OLD = 5_000, 2_000, 3_000
ROUNDS, BATCH = 10, 10

# Those that others hold, those in line, and tombstones to throw away.
FILL = f"""
INSERT INTO {{schema}}.message (key, id, queue, state, priority, since, ready_at,
    headers, properties, body, due, holder, claim, attempt)
SELECT 'k' || n, 'i' || n, 'others', CASE WHEN held THEN 2 ELSE 0 END, 0, 0, 0,
    '{{{{}}}}', '', '', CASE WHEN held THEN 1e12 END, 1, n, 1
FROM (SELECT n, n <= {LEASED} AS held FROM generate_series(1, {LEASED + READY}) AS n) AS new;
INSERT INTO {{schema}}.done (key, fence, ended_at)
SELECT 'd' || n, 1, 0 FROM generate_series(1, {OLD}) AS n;
"""


@pytest.fixture
def schema(postgres_url):
    """A connection of somebody else, and the name of a schema that nobody analyses."""
    name = postgres_url.rpartition("schema=")[2]
    with psycopg.connect(postgres_url.partition("?")[0], autocommit=True) as connection:
        yield Schema(connection, name)


class Schema:
    def __init__(self, connection, name):
        self.name = name
        self._connection = connection

    def run(self, sql):
        return self._connection.execute(sql.format(schema=self.name))

    def leave_unanalysed(self):
        for table in ("message", "done", "result", "dead"):
            self.run(f"ALTER TABLE {{schema}}.{table} SET (autovacuum_enabled = off)")

    def count(self, what):
        found = self.run(
            f"SELECT sum({what}) FROM pg_stat_user_tables WHERE schemaname = '{{schema}}'"
        )
        return int(found.fetchone()[0] or 0)

    def rows_read(self, gone):
        """By everybody; told of by a session when it ends, which `gone` rows show."""
        wait_for(lambda: self.count("n_tup_del") >= gone, timeout=20)
        return self.count("coalesce(seq_tup_read, 0) + coalesce(idx_tup_fetch, 0)")


def messages(count):
    ids = [new_id() for _ in range(count)]
    return [Message(id=i, queue="orders", headers={"task": "t"}, body=b"[]") for i in ids]


def after(message):
    return replace(message, key=key_after(message.key))


def record(lease):
    message = lease.message
    return Record(
        id=message.id, state="SUCCESS", document=b"1", key=message.key, attempt=lease.attempt,
        final=True, ttl=60.0,
    )  # fmt: skip


def around(broker, count):
    """Each way that a lease can end, each way to ask once more, and what time does."""
    broker.publish(messages(3 * count))
    leases = broker.lease(["orders"], 3 * count, 30.0)
    assert len(broker.extend(leases, 30.0)) == len(leases) == 3 * count
    done, back, retried = leases[:count], leases[count : 2 * count], leases[2 * count :]
    settlements = [Done(lease, record=record(lease)) for lease in done]
    settlements += [Again(lease, lease.message) for lease in back]
    settlements += [Again(lease, after(lease.message)) for lease in retried]
    assert broker.settle(settlements) == []
    assert broker.settle(settlements) == []  # asked once more: each was ended by that fence
    leases = broker.lease(["orders"], 2 * count, 30.0)
    assert broker.settle([Dead(lease, reason="unfit") for lease in leases]) == []
    assert len(broker.replay([letter.message.key for letter in broker.dead("orders")])) == 2 * count
    assert broker.purge("orders") == 2 * count
    broker.tend()


def test_a_worker_that_came_while_the_queue_was_empty(postgres_url, schema):
    broker = open_broker(postgres_url + "&pool_size=1")  # one connection, and so one set of plans
    broker.depth("orders")
    schema.leave_unanalysed()
    schema.run("INSERT INTO {schema}.done (key, fence, ended_at) VALUES ('a', 1, 0)")
    around(broker, 1)
    schema.run(FILL)
    for _ in range(ROUNDS):
        around(broker, BATCH)
    while broker.tend() == 0:  # there is more to throw away
        pass
    broker.close()
    # The old ones are dropped, and what is leased is looked through once, when the worker leaves.
    once = OLD + LEASED
    each = 60  # rows for a message that is leased, extended, ended, looked for, moved and purged
    assert schema.rows_read(gone=OLD) < once + ROUNDS * BATCH * each


def test_two_leases_of_one_message_are_told_apart(postgres_url):
    broker = open_broker(postgres_url)
    broker.publish(messages(2))
    first, other = broker.lease(["orders"], 2, 30.0)
    assert broker.settle([Again(first, first.message)]) == []
    (second,) = broker.lease(["orders"], 1, 30.0)
    held = broker.extend([first, second, other], 60.0)
    assert [(lease.message.key, lease.fence) for lease in held] == [
        (lease.message.key, lease.fence) for lease in (second, other)
    ]
    assert broker.settle([Done(first), Done(second), Done(other)]) == [Done(first)]
    broker.close()
