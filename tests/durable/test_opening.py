"""From a URL to a queue: what is refused, what is shown, what travels to another process."""

import os
import pickle
import subprocess
import sys
import threading

import pytest

from penstock import ConfigError
from penstock.brokers.base import Capabilities
from penstock.brokers.memory import MemoryBroker
from penstock.durable.opening import open_queue
from penstock.durable.queue import DurableQueue


@pytest.mark.parametrize("url", ["jobs.db", "sqlite://", "nosuch://host/1", ""])
def test_what_is_no_url_of_a_broker(url):
    with pytest.raises(ConfigError):
        open_queue(url, "orders")


@pytest.mark.parametrize(
    "options",
    [
        {"lease": 0},
        {"lease": float("nan")},
        {"lease": float("inf")},
        {"max_attempts": 0},
        {"max_deaths": 0},
        {"retry_delay": -1},
        {"patience": "long"},
        {"lease": True},
    ],
)
def test_an_option_that_makes_no_sense_is_named(options):
    with pytest.raises(ConfigError, match=next(iter(options))):
        open_queue("memory://", "orders", **options)


def test_nothing_is_opened_before_it_is_used(tmp_path):
    path = tmp_path / "jobs.db"
    with open_queue(f"sqlite:///{path}", "orders") as queue:
        assert not path.exists()
        queue.put(1)
        assert path.exists()
    with open_queue(f"sqlite:///{path}", "orders") as queue:
        assert queue.get() == 1


def test_all_queues_of_one_name_in_memory_are_one():
    with open_queue("memory://here", "q") as one, open_queue("memory://here", "q") as two:
        one.put(1)
        assert two.get(timeout=5) == 1
    with open_queue("memory://there", "q") as elsewhere:
        assert elsewhere.empty()


def test_it_shows_where_it_is(tmp_path):
    with open_queue(f"sqlite:///{tmp_path}/jobs.db", "orders") as queue:
        queue.put(1)
        queue.get()
        assert repr(queue) == f"<DurableQueue orders in sqlite:///{tmp_path}/jobs.db: 1 held>"
    assert repr(queue).endswith("0 held, closed>")


def test_a_password_is_not_shown():
    class Server(MemoryBroker):
        def __repr__(self):
            return "password"

    assert "password" not in repr(DurableQueue(broker=Server(), name="orders"))


def test_it_travels_by_pickle_and_keeps_its_rules(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with open_queue("sqlite:///jobs.db", "orders", max_attempts=1) as queue:
        data = pickle.dumps(queue)
        (tmp_path / "elsewhere").mkdir()
        os.chdir("elsewhere")  # a relative path means the same file there
        with pickle.loads(data) as there:
            queue.put(1)
            with pytest.raises(RuntimeError), there.take(timeout=5):
                raise RuntimeError("no")
            assert [dead.item for dead in queue.dead()] == [1]


@pytest.mark.parametrize(
    "queue",
    [open_queue("memory://", "q"), DurableQueue(broker=MemoryBroker(), name="q")],
)
def test_what_another_process_could_not_share_does_not_travel(queue):
    with pytest.raises(TypeError, match="cannot be sent"):
        pickle.dumps(queue)


def test_what_a_broker_cannot_count_is_not_waited_for():
    class Vague(MemoryBroker):
        capabilities = Capabilities(exact_depth=False, inspects=False)

    with DurableQueue(broker=Vague(), name="q") as queue:
        for look in (queue.join, queue.unfinished, queue.qsize, queue.dead):
            with pytest.raises(ConfigError, match="Vague"):
                look()


def test_the_import_loads_nothing_heavy():
    code = (
        "import sys; from penstock.durable.opening import open_queue; "
        "open_queue('sqlite:///jobs.db', 'orders'); "
        "print([m for m in ('asyncio', 'logging', 'rich', 'click', 'subprocess', 'socket', 'apsw')"
        " if m in sys.modules])"
    )
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout
    assert loaded.strip() == "[]"


def test_putting_alone_starts_no_thread():
    with open_queue("memory://alone", "q") as queue:
        queue.put(1)
        assert "penstock-keeper" not in {thread.name for thread in threading.enumerate()}
