"""Replies of a Redis server as our errors: which may pass by themselves, and which never."""

import pytest

from penstock.engines.redis_errors import is_elsewhere, refused
from penstock.errors import BrokerError, ConfigError, Unavailable

PASSES = {
    "LOADING Redis is loading the dataset in memory": "wait",
    "READONLY You can't write against a read only replica.": "name the master",
    "MASTERDOWN Link with MASTER is down": "failover",
    "MISCONF Redis is configured to save RDB snapshots": "disk",
    "OOM command not allowed when used memory > 'maxmemory'.": "maxmemory",
    "NOREPLICAS Not enough good replicas to write.": "min-replicas-to-write",
    "BUSY Redis is busy running a script.": "script",
    "CLUSTERDOWN Hash slot not served": "cluster",
    "ERR Error running script: @user_script:27: OOM command not allowed": "maxmemory",
}
NEVER = {
    "NOAUTH Authentication required.": "password",
    "WRONGPASS invalid username-password pair": "wrong",
    "NOPERM this user has no permissions": "give it",
    "MOVED 866 10.0.0.2:6379": "Cluster",
    "ERR DB index is out of range": "no such database",
}


def error(text, kind):
    said = refused(RuntimeError(text), "redis://:**@host/0")
    assert type(said) is kind
    assert text in str(said)
    return str(said)


@pytest.mark.parametrize("text", PASSES)
def test_what_may_pass(text):
    assert PASSES[text] in error(text, Unavailable)


@pytest.mark.parametrize("text", NEVER)
def test_what_somebody_must_mend(text):
    assert NEVER[text] in error(text, ConfigError)


@pytest.mark.parametrize(
    "text", ["WRONGTYPE Operation against a key", "ERR unknown command 'ZMSCORE'"]
)
def test_what_is_wrong_with_this_one_request(text):
    error(text, BrokerError)


def test_another_server_may_do_what_a_replica_refuses():
    moved = [text for text in (*PASSES, *NEVER) if is_elsewhere(RuntimeError(text))]
    assert [text.split()[0] for text in moved] == ["LOADING", "READONLY", "MASTERDOWN"]
