"""Where brokers on servers are simulated."""

import pytest

from penstock.testing.simulation import RedisSite


@pytest.fixture
def redis_site(redis_server):
    """A site on the Redis server, which knows no script: as after its restart."""
    redis_server.ensure()
    redis_server.cli("SCRIPT", "FLUSH")
    return RedisSite.on(redis_server.unix_url())
