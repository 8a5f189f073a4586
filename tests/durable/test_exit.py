"""How a process ends, and what becomes of what it held."""

import multiprocessing
import subprocess
import sys

import pytest

from durable_programs import double
from penstock.durable.opening import open_queue


@pytest.fixture
def url(tmp_path):
    return f"sqlite:///{tmp_path}/jobs.db"


def run(code, url):
    done = subprocess.run(
        [sys.executable, "-c", code, url], capture_output=True, text=True, timeout=60, check=False
    )
    return done.returncode, done.stdout, done.stderr


HEAD = "import sys; from penstock.durable.opening import open_queue; "
OPEN = HEAD + "q = open_queue(sys.argv[1], 'orders', max_deaths=1); "


def test_a_process_that_ends_without_closing_returns_what_it_held(url):
    with open_queue(url, "orders", max_deaths=1) as queue:
        queue.put_many([1, 2])
        assert run(OPEN + "print(q.get())", url) == (0, "1\n", "")
        assert [queue.get(block=False), queue.get(block=False)] == [1, 2]


def test_one_that_ends_by_an_exception_does_too(url):
    with open_queue(url, "orders", max_deaths=1) as queue:
        queue.put_many([1, 2])
        code, _, said = run(OPEN + "\nfor item in q:\n    raise RuntimeError('no')\n", url)
        assert code == 1
        assert said.endswith("RuntimeError: no\n")
        assert queue.get(block=False) == 1


def test_threads_that_still_wait_do_not_hold_up_the_end(url):
    code = OPEN + "import threading; threading.Thread(target=q.get, daemon=True).start()"
    assert run(code, url) == (0, "", "")


def test_what_is_called_after_the_end_does_not_hang(url):
    """Hooks that were registered before ours run after it."""
    code = (
        "import atexit\n"
        "atexit.register(lambda: (q.put(1), late()))\n"
        "def late():\n"
        "    try: q.get()\n"
        "    except Exception as error: print(type(error).__name__)\n"
    )
    assert run(code + OPEN, url) == (0, "ShutDown\n", "")
    with open_queue(url, "orders") as queue:
        assert queue.get(timeout=30) == 1


def test_an_event_loop_that_still_waits_does_not_either(url):
    code = OPEN + (
        "import asyncio\n"
        "async def main():\n"
        "    waiting = asyncio.ensure_future(q.aget())\n"
        "    await asyncio.sleep(0.05)\n"
        "asyncio.run(main())\n"
    )
    assert run(code, url) == (0, "", "")


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_it_is_handed_to_processes_like_any_queue(url, method):
    context = multiprocessing.get_context(method)
    with open_queue(url, "orders") as queue, open_queue(url, "answers") as answers:
        process = context.Process(target=double, args=(queue, answers))
        process.start()
        queue.put_many([1, 2, 3])
        assert queue.join(timeout=60)
        process.join(30)
        assert process.exitcode == 0
        assert answers.get_many(5) == [2, 4, 6]
