"""On SQLite, too, a task exists exactly if the transaction that it was sent in commits."""

import asyncio
import subprocess
import sys

import apsw
import pytest

from penstock import App
from penstock.errors import ConfigError

_SOON = 10.0


@pytest.fixture
def app(tmp_path):
    app = App("shop", broker=f"sqlite:///{tmp_path}/shop.db")
    yield app
    app.close()


@pytest.fixture
def add(app):
    @app.task(name="shop.add")
    def add(x: int, y: int) -> int:
        return x + y

    return add


@pytest.fixture
def connection(tmp_path):
    connection = apsw.Connection(f"{tmp_path}/shop.db")
    yield connection
    connection.close()


def sent(app):
    return [message.id for message in app.broker.peek("celery", 100)]


def test_committed_it_is_there_and_not_before(app, add, connection):
    with connection:
        kept = add.delay_in(connection, 4, 4)
        assert sent(app) == []
    assert sent(app) == [kept.id]


def test_rolled_back_it_never_was(app, add, connection):
    connection.execute("BEGIN")
    add.delay_in(connection, 4, 4)
    connection.execute("ROLLBACK")
    assert sent(app) == []


def test_without_a_transaction_it_is_sent_at_once(app, add, connection):
    kept = asyncio.run(add.adelay_in(connection, 4, 4))
    assert sent(app) == [kept.id]


def test_the_commit_wakes_who_waits(app, add, connection):
    listener = app.broker.listen(["celery"])
    try:
        with connection:
            add.delay_in(connection, 4, 4)
            assert not listener.wait(0)
        assert listener.wait(_SOON)
    finally:
        listener.close()


def test_a_rollback_wakes_nobody(app, add, connection):
    listener = app.broker.listen(["celery"])
    try:
        connection.execute("BEGIN")
        add.delay_in(connection, 4, 4)
        connection.execute("ROLLBACK")
        assert not listener.wait(0.01)
    finally:
        listener.close()


def test_another_file_is_refused(add, tmp_path):
    other = apsw.Connection(f"{tmp_path}/other.db")
    with pytest.raises(ConfigError, match="only a transaction of the same file"):
        add.delay_in(other, 4, 4)
    other.close()


def test_the_standard_librarys_connection_is_refused(tmp_path):
    # In a process of its own: here, its library would be the second one.
    program = """
import sqlite3
from penstock import App
app = App("shop", broker="sqlite:///shop.db")
add = app.task(name="add")(lambda x, y: x + y)
try:
    add.delay_in(sqlite3.connect(":memory:"), 4, 4)
except Exception as error:
    print(type(error).__name__, error)
"""
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith("ConfigError sqlite3.Connection cannot be used")
    assert "apsw.Connection" in done.stdout
    assert "corrupts" in done.stdout


def test_a_broker_without_transactions_says_so(connection):
    app = App("shop", broker="memory://")
    add = app.task(name="add")(lambda x, y: x + y)
    with pytest.raises(ConfigError, match="takes part in no transaction"):
        add.delay_in(connection, 4, 4)
