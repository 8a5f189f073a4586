"""Brokers on a new file, with a clock that the test moves."""

import pytest

from penstock.brokers.sqlite import SqliteBroker
from penstock.clock import ManualClock
from penstock.engines.sqlite import SqliteFile
from penstock.message import Message


@pytest.fixture
def clock():
    return ManualClock()


@pytest.fixture
def url(tmp_path):
    return f"sqlite:///{tmp_path}/jobs.db"


@pytest.fixture
def make(url, clock):
    made = []

    def make(clock=clock):
        made.append(SqliteBroker(engine=SqliteFile.at(url), clock=clock))
        return made[-1]

    yield make
    for broker in made:
        broker.close()


@pytest.fixture
def broker(make):
    return make()


@pytest.fixture
def message():
    def message(id="task", queue="q", **more):
        return Message(id, queue, {"task": "t"}, b"body", **more)

    return message
