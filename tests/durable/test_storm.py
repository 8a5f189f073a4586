"""Consumers killed again and again: nothing is lost, nothing settled comes back."""

import os
import random
import signal
import subprocess
import sys
from collections import Counter

from penstock.durable.opening import open_queue

CONSUMER = """
import os, sys
from penstock.durable.opening import open_queue
queue = open_queue(sys.argv[1], "orders", max_deaths=100)
say = lambda word, item: os.write(1, f"{word} {item}\\n".encode())
while os.read(0, 1):
    for item in queue.get_many(int(sys.argv[2]), timeout=60):
        say("begun", item)
        queue.task_done(item)
        say("done", item)
"""

ITEMS, KILLS, CONSUMERS = 1_500, 8, 2
AT_ONCE = 3


def consumer(url):
    command = [sys.executable, "-c", CONSUMER, url, str(AT_ONCE)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0)


def let(process, turns):
    """Let it take so many times: the others shall not be left without items."""
    process.stdin.write(b"." * turns)


def killed(process, after):
    """Let it write so many lines, kill it, and give all whole lines that it managed to write."""
    let(process, after // 2 + 3)  # each time it writes two lines or more
    lines = [process.stdout.readline() for _ in range(after)]
    process.send_signal(signal.SIGKILL)
    rest, _ = process.communicate()
    lines += rest.splitlines(keepends=True)
    return [line.decode().split() for line in lines if line.endswith(b"\n")]


def test_a_storm(tmp_path):
    url = f"sqlite:///{tmp_path}/jobs.db"
    chance = random.Random(os.environ.get("PENSTOCK_SEED", "7"))
    journal = []
    with open_queue(url, "orders", max_deaths=100) as queue:
        queue.put_many(range(ITEMS))
        crowd = [consumer(url) for _ in range(CONSUMERS)]
        for _ in range(KILLS):
            let(crowd[1], 5)
            journal += killed(crowd.pop(0), after=chance.randrange(1, 60))
            crowd.append(consumer(url))
        for process in crowd:
            let(process, ITEMS)
        assert queue.join(timeout=60)
        for process in crowd:
            journal += killed(process, after=0)
        assert queue.dead() == []
    begun = Counter(int(item) for word, item in journal if word == "begun")
    done = Counter(int(item) for word, item in journal if word == "done")
    assert set(begun) == set(range(ITEMS))
    assert max(done.values()) == 1
    assert begun.total() - ITEMS <= AT_ONCE * KILLS  # who was killed held no more
