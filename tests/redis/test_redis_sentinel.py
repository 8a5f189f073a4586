"""A master that dies: its replica takes over, and clients and workers go on there."""

from contextlib import ExitStack
from urllib.parse import quote

import pytest

from penstock.brokers.registry import open_broker
from penstock.errors import ConfigError, Unavailable, Uncertain
from penstock.message import Done, Message, new_id
from servers import RedisSentinel, RedisServer
from workers import Bench, wait_for

NAME = "shop"


class Site:
    """A master, its replica, and three that watch."""

    def __init__(self, stack):
        self.master = stack.enter_context(RedisServer(appendonly=True))
        login = {"replicaof": f"127.0.0.1 {self.master.port}", "masterauth": self.master.password}
        self.replica = stack.enter_context(RedisServer(settings=login))
        wait_for(lambda: "state=online" in self.master.cli("INFO", "replication"))
        self.watchers = [stack.enter_context(RedisSentinel(self.master)) for _ in range(3)]
        for watcher in self.watchers:
            wait_for(lambda one=watcher: "num-other-sentinels\n2" in one.ask("MASTER", NAME))
            wait_for(lambda one=watcher: str(self.replica.port) in one.ask("REPLICAS", NAME))

    @property
    def url(self):
        places = ",".join(f"127.0.0.1:{watcher.port}" for watcher in self.watchers)
        secret = quote(RedisSentinel.PASSWORD, safe="")
        return f"redis+sentinel://{self.master._login}{places}/{NAME}/2?sentinel_password={secret}"

    @property
    def celery_url(self):
        first, *rest = self.watchers
        parts = [f"sentinel://{self.master._login}127.0.0.1:{first.port}"]
        parts += [f"sentinel://127.0.0.1:{watcher.port}" for watcher in rest]
        secret = quote(RedisSentinel.PASSWORD, safe="")
        return f"{';'.join(parts)}/2?master_name={NAME}&sentinel_password={secret}"


@pytest.fixture(scope="module")
def site():
    with ExitStack() as stack:
        yield Site(stack)


def message():
    task_id = new_id()
    return Message(id=task_id, queue="orders", headers={"task": "t", "id": task_id}, body=b"[]")


@pytest.mark.parametrize("form", ["url", "celery_url"])
def test_the_master_is_found(site, form):
    broker = open_broker(getattr(site, form))
    broker.publish([message()])
    assert site.master.cli("LLEN", "orders", db=2) == "1"
    (lease,) = broker.lease(["orders"], 1, 10.0)
    assert broker.settle([Done(lease)]) == []
    shown = broker.describe() + repr(broker)
    assert RedisServer.PASSWORD not in shown
    assert quote(RedisServer.PASSWORD, safe="") not in shown
    assert quote(RedisSentinel.PASSWORD, safe="") not in shown
    broker.close()


def test_a_master_that_nobody_knows(site):
    broker = open_broker(site.url.replace(f"/{NAME}/", "/nobody/"))
    with pytest.raises(Unavailable, match="nobody"):
        broker.publish([message()])
    broker.close()


def test_an_address_without_a_master():
    with pytest.raises(ConfigError, match="names no master"):
        open_broker("redis+sentinel://localhost:26379/0")


def test_after_the_masters_death_everybody_goes_on_at_the_replica(site, tmp_path, monkeypatch):
    """Kept beyond it is what had reached the replica; nothing settled is run again."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PENSTOCK_BROKER_URL", site.url)
    monkeypatch.setenv("PENSTOCK_RESULT_BACKEND", site.url)
    bench = Bench(tmp_path)
    tasks = bench.tasks()
    worker = bench.worker("-c", "1")
    try:
        assert tasks.add.delay(1, 1).get(timeout=20) == 2
        waiting = tasks.add.apply_async((2, 2), countdown=6)
        broker = open_broker(site.url)
        broker.publish([message()])
        (lease,) = broker.lease(["orders"], 1, 60.0)
        wait_for(lambda: site.replica.cli("HLEN", "penstock.leased", db=2) == "1")
        site.master.kill()

        def sent():
            try:
                return tasks.add.delay(3, 3)
            except (Unavailable, Uncertain):
                return None

        assert wait_for(sent, timeout=30).get(timeout=20) == 6
        assert waiting.get(timeout=20) == 4
        assert broker.settle([Done(lease)]) == []
        broker.publish([message()])
        (other,) = broker.lease(["orders"], 1, 10.0)
        assert other.fence > lease.fence
        assert worker.stop() == 0
        broker.close()
    finally:
        worker.kill()
        bench.app.close()
