"""The floor of one call at a time on PostgreSQL; see postgres_idle.py. Bare psycopg.

A durable INSERT and a NOTIFY, one claim by the process that runs the task, the result and the end
of the job in one durable transaction, a NOTIFY, a SELECT: no retries, no recovery, no second
process. `python -m _app_raw_postgres`.
"""

import os

import psycopg
from _marks import shout

_TAKE = """
UPDATE raw_job SET taken = true WHERE id = (SELECT id FROM raw_job WHERE NOT taken ORDER BY id
LIMIT 1 FOR UPDATE SKIP LOCKED) RETURNING id
"""
SCHEMA = """
CREATE TABLE raw_job (id bigint PRIMARY KEY, taken bool NOT NULL DEFAULT false);
CREATE TABLE raw_result (id bigint PRIMARY KEY, value bigint)
"""


def connect(listen):
    connection = psycopg.connect(os.environ["PG_URL"], autocommit=True, prepare_threshold=0)
    connection.execute(f"LISTEN {listen}")
    return connection


class Call:
    """One call: stored when it is made."""

    _connection = None

    def __init__(self, number):
        Call._connection = Call._connection or connect("raw_done")
        self._number = number
        with self._connection.pipeline():
            self._connection.execute("INSERT INTO raw_job VALUES (%s)", (number,))
            self._connection.execute("NOTIFY raw_work")

    def get(self, timeout):
        ask = "SELECT value FROM raw_result WHERE id = %s"
        while not (row := self._connection.execute(ask, (self._number,)).fetchone()):
            for _ in self._connection.notifies(timeout=timeout, stop_after=1):
                pass
        return row[0]


def serve():
    told, hands = connect("raw_work"), connect("raw_none")
    while True:
        hands.execute("SET synchronous_commit = off")  # a claim may be lost with the server
        row = hands.execute(_TAKE).fetchone()
        if row is None:
            for _ in told.notifies(stop_after=1):
                pass
            continue
        shout(row[0])
        with hands.pipeline():
            hands.execute("SET synchronous_commit = on")
            with hands.transaction():
                hands.execute("DELETE FROM raw_job WHERE id = %s", row)
                hands.execute("INSERT INTO raw_result VALUES (%s, %s)", (*row, *row))
            hands.execute("NOTIFY raw_done")


if __name__ == "__main__":
    serve()
