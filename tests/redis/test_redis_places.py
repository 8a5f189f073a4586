"""Where a server is, who may use it, and what it says when it may not be used."""

import subprocess
import sys

import pytest

from penstock.brokers.redis import RedisBroker
from penstock.brokers.registry import open_broker
from penstock.errors import BrokerError, ConfigError, Unavailable
from penstock.message import Done, Message, new_id
from servers import RedisServer


def message(queue="orders", **fields):
    task_id = new_id()
    return Message(
        id=task_id, queue=queue, headers={"task": "t", "id": task_id}, body=b"[]", **fields
    )


def once_around(url):
    broker = open_broker(url)
    try:
        broker.publish([message()])
        (lease,) = broker.lease(["orders"], 5, 10.0)
        assert broker.settle([Done(lease)]) == []
    finally:
        broker.close()


def refusal(url, kind):
    broker = open_broker(url)
    with pytest.raises(kind) as caught:
        broker.publish([message()])
    broker.close()
    assert RedisServer.PASSWORD not in str(caught.value)
    assert RedisServer.PASSWORD not in repr(broker)
    return str(caught.value)


def test_a_port(redis_url):
    once_around(redis_url)


def test_a_socket(redis_server, redis_url):
    once_around(redis_server.unix_url(3))
    assert "penstock.fence" in redis_server.cli("KEYS", "*", db=3)


def test_tls():
    with RedisServer(tls=True) as server:
        once_around(server.tls_url(2))


def test_a_prefix(redis_server, redis_url):
    once_around(redis_url + "?key_prefix=shop.")
    assert all(key.startswith("shop.") for key in redis_server.cli("KEYS", "*").split())


def test_no_server():
    text = refusal("redis://localhost:1/0", Unavailable)
    assert "redis://localhost:1/0" in text
    assert "is it running" in text


@pytest.mark.parametrize("password", ["", ":wrong@"])
def test_a_wrong_password(redis_server, password):
    redis_server.ensure()
    text = refusal(f"redis://{password}127.0.0.1:{redis_server.port}/0", ConfigError)
    assert "password" in text
    assert "wrong@" not in text


def test_a_database_that_is_not_there(redis_server, redis_url):
    assert "no such database" in refusal(redis_server.url(99), ConfigError)


def test_a_database_that_is_no_number():
    with pytest.raises(ConfigError, match="named by a number"):
        open_broker("redis://localhost/orders")


def test_a_key_that_is_no_list(redis_server, redis_url):
    redis_server.cli("SET", "orders", "a value")
    assert "rename" in refusal(redis_url, BrokerError)
    broker = open_broker(redis_url)
    with pytest.raises(BrokerError, match="'orders' holds no list"):
        broker.lease(["orders"], 1, 10.0)
    broker.publish([message("others")])
    assert len(broker.lease(["orders", "others"], 2, 10.0)) == 1
    broker.close()


def test_a_server_that_is_full(redis_url):
    with RedisServer(settings={"maxmemory": "3mb"}) as server:
        broker = open_broker(server.url())

        def fill():
            for _ in range(200):
                broker.publish([message(properties={"filling": "x" * 100_000})])

        with pytest.raises(Unavailable, match="maxmemory"):
            fill()
        broker.close()


@pytest.mark.parametrize(
    ("settings", "appendonly", "words"),
    [
        ({}, False, "with the server dies everything"),
        ({"save": "60 100"}, False, "since its last snapshot"),
        ({"appendfsync": "everysec"}, True, "its last second"),
        ({"appendfsync": "always"}, True, "and of the server"),
    ],
)
def test_what_the_server_promises(settings, appendonly, words):
    with RedisServer(appendonly=appendonly, settings=settings) as server:
        broker = open_broker(server.url())
        assert words in broker.durability()
        broker.close()


def test_a_server_that_throws_keys_away():
    with RedisServer(settings={"maxmemory-policy": "allkeys-lru"}) as server:
        broker = open_broker(server.url())
        with pytest.raises(ConfigError, match=r"allkeys-lru.*noeviction"):
            broker.enrol("one", {})
        broker.close()
        broker = open_broker(server.url() + "?allow_eviction=1")
        broker.enrol("one", {})
        broker.close()


WRONG = {  # what the server is like, how its URL is spoilt -> what the worker says
    "a wrong password": ({}, lambda url: url.replace("sesame", "wrong"), "password is wrong"),
    "no such database": ({}, lambda url: url.replace("/0", "/99"), "no such database"),
    "it throws keys away": ({"maxmemory-policy": "allkeys-lru"}, lambda url: url, "noeviction"),
}


@pytest.mark.parametrize("what", WRONG)
def test_a_worker_does_not_start_where_it_could_not_serve(tmp_path, what):
    settings, spoil, words = WRONG[what]
    (tmp_path / "tasks.py").write_text("from penstock import App\napp = App('tasks')\n")
    with RedisServer(settings=settings) as server:
        command = [sys.executable, "-m", "penstock", "-A", "tasks", "worker"]
        done = subprocess.run(
            [*command, "-b", spoil(server.url())],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    assert done.returncode == 2
    assert words in done.stderr
    assert "Traceback" not in done.stderr
    assert "sesame" not in done.stdout + done.stderr


def test_a_server_that_does_not_tell(redis_server, redis_url):
    redis_server.cli("ACL", "SETUSER", "guest", "on", ">pass", "~*", "&*", "+@all", "-config")
    broker = open_broker(f"redis://guest:pass@127.0.0.1:{redis_server.port}/0")
    assert "does not tell" in broker.durability()
    broker.enrol("one", {})
    broker.close()
    redis_server.cli("ACL", "DELUSER", "guest")


def test_passwords_are_not_shown(redis_url):
    broker = RedisBroker.from_url(open_broker(redis_url).engine.url)
    assert RedisServer.PASSWORD not in broker.describe() + repr(broker) + repr(broker.engine)
