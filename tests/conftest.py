"""Servers for every test here: one of each kind for the whole run, empty for each test."""

import pytest

from servers import RedisServer


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
