"""A worker that claims nothing although work waits connects anew, then ends: on each broker.

On SQLite `tests/worker/test_health.py` has it, in every case; here are servers, in `make faults`.
"""

import os
import textwrap

import pytest

from storm_sites import site

FULL = os.environ.get("FAULTS") == "full"
BROKERS = {
    "redis": "redis.RedisBroker",
    "postgres": "postgres.PostgresBroker",
    "rabbitmq": "amqp.AmqpBroker",
}
NOTHING_IS_CLAIMED = """
from pathlib import Path
from penstock.brokers.{module} import {name} as Broker

settle_and_lease, reconnect = Broker.settle_and_lease, Broker.reconnect

def both(self, settlements, queues, limit, ttl):
    mended = Path("mended").exists()
    return settle_and_lease(self, settlements, queues if mended else (), limit, ttl)

def again(self):
    Path("reconnected").touch()
    if Path("mendable").exists():
        Path("mended").touch()
    reconnect(self)

Broker.settle_and_lease, Broker.reconnect = both, again
"""


@pytest.fixture(params=BROKERS if FULL else [])
def place(request, bench, monkeypatch, tmp_path_factory):
    """A broker from which no worker gets anything, until it is mended."""
    with site(request.param, tmp_path_factory.mktemp(request.param)) as place:
        monkeypatch.setenv("PENSTOCK_BROKER_URL", place.url)
        monkeypatch.setenv("PENSTOCK_RESULT_BACKEND", place.backend or place.url)
        module, name = BROKERS[request.param].split(".")
        code = textwrap.dedent(NOTHING_IS_CLAIMED).format(module=module, name=name)
        (bench.folder / "sitecustomize.py").write_text(code)
        monkeypatch.setenv("PYTHONPATH", str(bench.folder))
        yield place


@pytest.mark.timeout(120)
def test_it_connects_anew(bench, place):
    (bench.folder / "mendable").touch()
    tasks = bench.tasks()
    worker = bench.worker("-c", "1", "--watchdog-timeout", "2")
    result = tasks.add.delay(1, 1)
    worker.line(r"nothing was claimed for 2 s: connecting to the broker anew")
    assert result.get(timeout=20) == 2
    assert worker.stop() == 0


@pytest.mark.timeout(120)
def test_it_ends_with_3_and_another_goes_on(bench, place):
    tasks = bench.tasks()
    worker = bench.worker("-c", "1", "--watchdog-timeout", "1")
    result = tasks.add.delay(1, 1)
    worker.line("connecting to the broker anew")
    worker.line("giving up with exit code 3")
    assert worker.end() == 3
    assert (bench.folder / "reconnected").exists()
    (bench.folder / "mended").touch()
    bench.worker("-c", "1")
    assert result.get(timeout=20) == 2
