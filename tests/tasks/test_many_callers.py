"""One app used from everywhere at once: threads, event loops, forked children."""

import asyncio
import os
import threading

import pytest

from penstock import App


@pytest.fixture
def app(tmp_path):
    app = App("tasks", broker=f"sqlite:///{tmp_path}/q.db?durability=process")

    @app.task(name="add")
    def add(x, y):
        return x + y

    yield app
    app.close()


def in_child(work):
    """Run ``work`` in a forked child; True when it returned."""
    pid = os.fork()
    if pid == 0:
        try:
            work()
            os._exit(0)
        except BaseException:  # noqa: BLE001 - a forked child must not go on as a test
            os._exit(1)
    return os.waitpid(pid, 0)[1] == 0


def test_a_preloaded_client_sends_from_every_child(app):
    add = app.tasks["add"]
    add.delay(0, 0)  # connected before the forks, as a server that loads its app first is
    assert all(in_child(lambda n=n: add.delay(n, n)) for n in range(5))
    add.delay(9, 9)
    assert app.broker.depth("celery") == 7


def test_forks_in_the_middle_of_other_threads_sends(app):
    add = app.tasks["add"]
    stop = threading.Event()
    sent = [0] * 4

    def send(index):
        while not stop.is_set():
            add.delay(index, index)
            sent[index] += 1

    threads = [threading.Thread(target=send, args=(index,)) for index in range(4)]
    for thread in threads:
        thread.start()
    try:
        assert all(in_child(lambda: add.delay(1, 1)) for _ in range(20))
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert app.broker.depth("celery") == sum(sent) + 20


def test_several_loops_and_threads_at_once(app):
    add = app.tasks["add"]

    async def send():
        return await asyncio.gather(*(add.adelay(n, n) for n in range(25)))

    threads = [threading.Thread(target=asyncio.run, args=(send(),)) for _ in range(4)]
    threads += [
        threading.Thread(target=lambda: [add.delay(n, n) for n in range(25)]) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert app.broker.depth("celery") == 200


def test_a_relative_file_stays_where_it_was_when_the_folder_changes(tmp_path, monkeypatch):
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path)
    app = App("tasks", broker="sqlite:///q.db?durability=process")
    app.send_task("add", (1, 2))
    monkeypatch.chdir(tmp_path / "elsewhere")
    app.send_task("add", (1, 2))
    assert app.broker.depth("celery") == 2
    app.close()
    assert not list((tmp_path / "elsewhere").iterdir())
