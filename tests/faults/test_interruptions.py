"""Ctrl-C at any moment of any call, and the process goes on: nobody hangs, nothing is lost."""

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from penstock.brokers.registry import open_broker
from penstock.message import Done, Message, new_id
from penstock.plan import Exchange

PROGRAM = Path(__file__).parents[1] / "support" / "interrupted_client.py"
TIMES = 10_000 if os.environ.get("FAULTS") == "full" else 300
SECONDS = 300
# Whose exchange shares a pipeline with one that is interrupted cannot be told what came of it.
DOUBTS = {"redis": "Uncertain"}


@pytest.fixture(params=["sqlite", "redis", "postgres", "rabbit"])
def place(request, tmp_path):
    """Name and URLs of a broker and of its result store."""
    file = f"sqlite:///{tmp_path / 'jobs.db'}"
    if request.param == "sqlite":
        return request.param, file, file
    url = request.getfixturevalue(f"{request.param}_url")
    return request.param, url, file if request.param == "rabbit" else url


def test_what_an_interrupted_claim_took_is_there_at_once(place, monkeypatch):
    """Not at the end of its lease: the process lives on, and nobody in it has the message."""
    _, url, _ = place
    broker, queue = open_broker(url), f"orders-{new_id()}"
    execute = broker.engine.execute
    broker.publish([Message(id=new_id(), queue=queue, headers={"task": "t"}, body=b"[]")])

    def interrupted(command):
        reply = execute(command)
        if isinstance(command, Exchange) and command.name.startswith("lease"):
            monkeypatch.undo()
            raise KeyboardInterrupt
        return reply

    monkeypatch.setattr(broker.engine, "execute", interrupted)
    with pytest.raises(KeyboardInterrupt):
        broker.lease([queue], 1, 600.0, wait=10.0)
    leases = broker.lease([queue], 1, 600.0, wait=30.0)
    assert len(leases) == 1
    assert broker.settle([Done(lease) for lease in leases]) == []
    broker.close()


def all_of(broker):
    """The ids of all that waits; it is taken."""
    ids = []
    while leases := broker.lease(["celery"], 500, 60.0, wait=0.5):
        ids += [lease.message.id for lease in leases]
        assert broker.settle([Done(lease) for lease in leases]) == []
    return ids


@pytest.mark.timeout(2 * SECONDS)
def test_whoever_is_interrupted_loses_nothing_and_hurts_nobody(place):
    name, url, backend = place
    command = [sys.executable, PROGRAM, url, backend, str(TIMES), "7"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    broker = open_broker(url)
    stored = Counter(all_of(broker))
    broker.close()
    assert set(told["acknowledged"]) <= set(stored)
    assert set(stored.values()) == {1}
    assert told["errors"]["main"] == []
    doubts = [text for text in told["errors"]["others"] if text.startswith(DOUBTS.get(name, "!"))]
    assert told["errors"]["others"] == doubts
    assert told["interrupted"] >= TIMES
