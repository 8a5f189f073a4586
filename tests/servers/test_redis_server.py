"""The Redis that tests start: where it is, what outlives its end, that it leaves nothing."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import redis

from servers import RedisServer, ServerFailed
from workers import alive, wait_for

SUPPORT = Path(__file__).parents[1] / "support"


@pytest.fixture(scope="module")
def server():
    with RedisServer(appendonly=True, tls=True) as server:
        yield server


@pytest.mark.parametrize("where", ["url", "tls_url", "unix_url"])
def test_it_answers_where_it_says(server, where):
    with redis.Redis.from_url(getattr(server, where)(3)) as client:
        assert client.client_info()["db"] == 3


def test_a_client_without_the_password_is_refused(server):
    with (
        redis.Redis(port=server.port) as client,
        pytest.raises(redis.AuthenticationError),
    ):
        client.ping()


def test_after_a_kill_it_is_back_at_its_place_with_what_it_had(server):
    server.cli("SET", "kept", "yes", db=2)
    before = server.url()
    server.kill()
    assert not server.running
    server.restart()
    assert (server.url(), server.cli("GET", "kept", db=2)) == (before, "yes")


def test_a_paused_server_answers_once_it_goes_on(server):
    server.pause()
    asked = subprocess.Popen(
        [sys.executable, "-c", f"import redis; redis.Redis.from_url({server.url()!r}).ping()"]
    )
    with pytest.raises(subprocess.TimeoutExpired):
        asked.wait(0.5)
    server.resume()
    assert asked.wait(10) == 0


def test_it_is_ensured_after_whatever_a_test_did(server):
    server.pause()
    server.ensure()
    assert server.cli("PING") == "PONG"
    server.kill()
    server.ensure()
    assert server.cli("PING") == "PONG"


def test_a_refused_command_is_an_error(server):
    with pytest.raises(ServerFailed, match="wrong number of arguments"):
        server.cli("GET")


def test_a_wrong_setting_shows_what_the_server_said():
    with pytest.raises(ServerFailed, match="Bad directive"):
        RedisServer(settings={"no-such-setting": "1"})


def test_it_dies_with_who_started_it(tmp_path):
    program = """if True:
        from servers import RedisServer
        server = RedisServer()
        print(server.pid, flush=True)
        input()
    """
    parent = subprocess.Popen(
        [sys.executable, "-c", program],
        env=os.environ | {"PYTHONPATH": str(SUPPORT), "TMPDIR": str(tmp_path)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with parent:
        pid = int(parent.stdout.readline())
        assert alive(pid)
        parent.send_signal(signal.SIGKILL)
    wait_for(lambda: not alive(pid), 5, "the end of the server")


def test_an_ended_server_leaves_nothing():
    with RedisServer() as server:
        pid, folder = server.pid, server.folder
        assert folder.exists()
    assert not alive(pid)
    assert not folder.exists()


def test_without_its_program_tests_skip_at_a_desk_and_fail_in_ci(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CI", raising=False)
    with pytest.raises(pytest.skip.Exception, match="redis-server is not installed"):
        RedisServer()
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match="redis-server is not installed"):
        RedisServer()


def test_each_test_gets_an_empty_redis(redis_url, redis_server):
    assert redis_server.cli("DBSIZE") == "0"
    redis_server.cli("SET", "left", "behind")
