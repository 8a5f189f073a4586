"""The accounts on the page of engines, made by its own lines, are enough for a worker."""

import os
import re
import shlex
from pathlib import Path

import pytest

from penstock.brokers.registry import open_broker
from penstock.message import Message, new_id
from servers import RedisServer

PAGE = (Path(__file__).parents[2] / "docs" / "engines.md").read_text("utf-8")


def lines(engine):
    """The commands of that engine's part of the page."""
    part = PAGE.partition("## Running it in production")[2].partition(f"### {engine}\n")[2]
    return re.findall(r"^    (.+)$", part.partition("\n### ")[0], re.MULTILINE)


def works(bench, **settings):
    """A worker does all that it does with a broker, and so does its client."""
    tasks = bench.tasks(
        f"""
        app.conf.update({settings!r})

        @app.task(bind=True, max_retries=1)
        def again(self):
            if not self.request.retries:
                raise self.retry(countdown=0.05)
            return "done"

        @app.task
        def broken():
            raise LookupError("as asked")
        """
    )
    worker = bench.worker("-c", "2")
    assert ".> durability:" in worker.text
    assert tasks.add.delay(2, 3).get(timeout=20) == 5
    assert tasks.add.apply_async((2, 3), countdown=0.1).get(timeout=20) == 5
    assert tasks.again.delay().get(timeout=20) == "done"
    with pytest.raises(LookupError):
        tasks.broken.delay().get(timeout=20)
    assert [state for state in tasks.app.broker.queues() if state.ready] == []
    tasks.app.AsyncResult(new_id()).revoke()
    assert worker.stop() == 0
    assert "ERROR" not in re.sub(r".*as asked.*", "", worker.text)


def test_redis(bench, monkeypatch):
    with RedisServer() as server:
        (line,) = lines("Redis")
        server.cli(*shlex.split(line))
        monkeypatch.setenv(
            "PENSTOCK_BROKER_URL", f"redis://worker:password@127.0.0.1:{server.port}"
        )
        works(bench, result_backend=f"redis://worker:password@127.0.0.1:{server.port}/1")


def test_postgresql(bench, postgres_server, monkeypatch):
    postgres_server.ensure()
    owner = open_broker(postgres_server.url())
    owner.publish([Message(id=new_id(), queue="q", headers={}, body=b"[]")])  # makes the schema
    owner.purge("q")
    owner.close()
    postgres_server.sql("CREATE ROLE worker LOGIN PASSWORD 'password'")
    try:
        for line in lines("PostgreSQL"):
            postgres_server.sql(line)
        url = postgres_server.url(user="worker", password="password")
        monkeypatch.setenv("PENSTOCK_BROKER_URL", url)
        works(bench, result_backend=url)
    finally:
        postgres_server.sql("DROP OWNED BY worker; DROP ROLE worker")


@pytest.mark.skipif(
    os.environ.get("FAULTS") != "full", reason="takes long: FAULTS=full, as in make faults"
)
def test_rabbitmq(bench, rabbit_server, monkeypatch):
    rabbit_server.ensure()
    rabbit_server.ctl("add_user", "worker", "password")
    for line in lines("RabbitMQ"):
        program, *words = shlex.split(line)
        assert program == "rabbitmqctl"
        rabbit_server.ctl(*words)
    url = f"amqp://worker:password@127.0.0.1:{rabbit_server.port}/shop"
    monkeypatch.setenv("PENSTOCK_BROKER_URL", url)
    try:
        works(bench, result_backend="rpc://")
    finally:
        rabbit_server.ctl("delete_vhost", "shop")
        rabbit_server.ctl("delete_user", "worker")
