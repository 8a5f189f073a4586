"""For every test here: a folder with tasks and workers, and servers.

One server of each kind for the whole run, empty for each test.
"""

import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from mariadb_server import MariadbServer
from postgres_server import PostgresServer
from rabbit_server import RabbitServer
from servers import MemcachedServer, RedisServer
from workers import Bench
from zookeeper_server import ZooKeeperServer

# How long an example takes says how busy the machine is.
settings.register_profile("busy", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("busy")


@pytest.fixture
def bench(tmp_path, monkeypatch):
    """A folder, its tasks and its workers."""
    monkeypatch.chdir(tmp_path)
    bench = Bench(tmp_path)
    yield bench
    for worker in bench.workers:
        worker.kill()
    if bench.app is not None:
        bench.app.close()


@pytest.fixture(scope="session")
def redis_server():
    """A Redis server; a test that kills or pauses it need not bring it back."""
    with RedisServer() as server:
        yield server


@pytest.fixture
def redis_url(redis_server):
    """The URL of a Redis database in a server that is empty."""
    redis_server.ensure()
    redis_server.flush()
    return redis_server.url()


@pytest.fixture(scope="session")
def memcached_server():
    """A memcached server that takes large values."""
    with MemcachedServer("-I", "8m") as server:
        yield server


@pytest.fixture
def memcached_url(memcached_server):
    """The URL of a memcached server that is empty."""
    memcached_server.ensure()
    memcached_server.flush()
    return memcached_server.url()


@pytest.fixture(scope="session")
def postgres_server():
    """A PostgreSQL server; a test that kills or pauses it need not bring it back."""
    with PostgresServer() as server:
        yield server


@pytest.fixture
def postgres_url(postgres_server):
    """The URL of a schema that is new; penstock makes its tables on first use."""
    postgres_server.ensure()
    return postgres_server.url(schema=postgres_server.fresh())


@pytest.fixture(scope="session")
def mariadb_server():
    """A MariaDB server; a test that kills it need not bring it back."""
    with MariadbServer() as server:
        yield server


@pytest.fixture
def mariadb_url(mariadb_server):
    """The URL of a database of MariaDB without tables."""
    mariadb_server.ensure()
    mariadb_server.empty()
    return mariadb_server.url()


@pytest.fixture(scope="session")
def rabbit_server():
    """A RabbitMQ server; a test that kills or pauses it need not bring it back."""
    with RabbitServer() as server:
        yield server


@pytest.fixture
def rabbit_url(rabbit_server):
    """The URL of a RabbitMQ server; tests choose queues of their own."""
    rabbit_server.ensure()
    return rabbit_server.url()


@pytest.fixture(scope="session")
def zookeeper_server():
    """A ZooKeeper server; a test that kills it need not bring it back."""
    with ZooKeeperServer() as server:
        yield server


@pytest.fixture
def zookeeper_url(zookeeper_server):
    """The URL of a place in ZooKeeper where nothing is."""
    zookeeper_server.ensure()
    return zookeeper_server.fresh()


@pytest.fixture
def small_disk():
    """A disk of its own that PostgreSQL may write to, where the machine lets us."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)  # the server's user must get there
        command = ["mount", "-t", "tmpfs", "-o", "size=24m", "penstock-test", folder]
        done = subprocess.run(command, capture_output=True, check=False)
        if done.returncode:
            pytest.skip(f"this machine lets us mount nothing: {done.stderr.decode().strip()}")
        space = Path(folder) / "space"
        space.mkdir()
        shutil.chown(space, "postgres", "postgres")
        yield space
        subprocess.run(["umount", "--lazy", folder], check=True)
