"""A line that is cut at each byte of a request and of its reply: what a sender is told is true."""

import itertools
import os

import pytest

from penstock import App, Unavailable, Uncertain
from proxy import BOTH, TO_SERVER, Proxy

STEP = 1 if os.environ.get("CRASH_POINTS") == "all" else 7


def told(task, name):
    """What the sender of a task is told."""
    try:
        task.apply_async(("x" * 20,), task_id=name)
    except Unavailable:
        return "fail"
    except Uncertain:
        return "info"
    return "ok"


@pytest.mark.timeout(600)
@pytest.mark.parametrize("direction", BOTH)
def test_who_sends_is_told_the_truth(direction, redis_server, redis_url):
    with Proxy(redis_server.port) as proxy:
        url = redis_url.replace(f":{redis_server.port}/", f":{proxy.port}/")
        app = App("cut", broker=url, publish_timeout=2.0)
        task = app.task(lambda text: text, name="echo")
        said = {}
        for place in itertools.count(0, STEP if direction == TO_SERVER else 1):
            sprung = proxy.cut_after(place, direction)
            name = f"{direction}-{place}"
            said[name] = told(task, name)
            if not sprung.is_set():
                break  # there are not so many bytes
            proxy.heal()
        app.close()
    there = App("look", broker=redis_url)
    stored = [message.id for message in there.broker.peek("celery", 100_000)]
    there.close()
    assert len(stored) == len(set(stored))
    assert {name for name, what in said.items() if what == "ok"} <= set(stored)
    assert not {name for name, what in said.items() if what == "fail"} & set(stored)
    assert "info" in said.values()  # the cut did come between the request and its reply
    assert len(said) > 3
