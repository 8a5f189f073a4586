"""The command: a line per hundred seeds, and for a failure all that is needed to look into it."""

from __future__ import annotations

from urllib.parse import quote

from click.testing import CliRunner

from penstock.brokers.redis import RedisBroker
from penstock.engines.memory_holdings import Holdings
from penstock.testing.simulation.__main__ import main
from servers import RedisServer


def run(*arguments):
    return CliRunner().invoke(main, arguments)


def test_seeds_that_hold_end_with_a_summary():
    done = run("--seeds", "3", "--start", "5")
    assert done.exit_code == 0
    assert done.stdout.startswith("memory: 3 seeds in ")
    assert " 0 failed; " in done.stdout


def test_one_seed_shows_its_history():
    done = run("--seed", "7")
    assert done.exit_code == 0
    assert "publish m1" in done.stdout
    assert "seed 7: every promise held" in done.stdout


def test_a_failing_seed_says_how_to_replay_it(monkeypatch):
    monkeypatch.setattr(Holdings, "_hand_back", lambda self, holding, *_: None)
    done = run("--seeds", "2")
    assert done.exit_code == 1
    assert "seed 0 fails after" in done.stderr
    assert "the last steps:" in done.stderr
    assert "-m penstock.testing.simulation --broker memory --seed 0" in done.stderr
    assert run("--seed", "0").exit_code == 1


def test_a_server_must_be_named(redis_site):
    assert "needs --url" in run("--broker", "redis").stderr
    done = run("--broker", "redis", "--url", redis_site.url, "--seeds", "1")
    assert done.exit_code == 0, done.stderr
    assert done.stdout.startswith("redis: 1 seeds in ")


def test_the_way_to_a_replay_tells_no_password(redis_site, monkeypatch):
    monkeypatch.setattr(RedisBroker, "_bells", lambda self, queues: ())
    done = run("--broker", "redis", "--url", redis_site.url, "--seeds", "20")
    assert done.exit_code == 1
    assert "--broker redis --url 'unix://:" in done.stderr
    assert RedisServer.PASSWORD not in done.output
    assert quote(RedisServer.PASSWORD, safe="") not in done.output


def test_an_unknown_broker_is_refused():
    assert run("--broker", "nowhere").exit_code == 2
