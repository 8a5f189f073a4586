"""SIGKILL at any moment loses no message whose publication was acknowledged."""

import contextlib
import random
import signal
import subprocess
import sys

from penstock.clock import SYSTEM_CLOCK
from penstock.message import Done
from penstock.plan import Exchange

PUBLISHER = """
import os, sys, threading
from penstock.brokers.registry import open_broker
from penstock.message import Message
broker = open_broker(sys.argv[1])

def publish():
    while True:
        messages = [Message("id", "q", {"task": "t"}, b"x" * 300) for _ in range(3)]
        broker.publish(messages)
        # One write, shorter than a pipe's atomic size: whole lines, also from a process killed.
        os.write(1, "".join(f"{m.key}\\n" for m in messages).encode())

for _ in range(2):
    threading.Thread(target=publish, daemon=True).start()
publish()
"""

WORKER = """
import os, sys
from penstock.brokers.registry import open_broker
from penstock.message import Done
broker = open_broker(sys.argv[1])
while True:
    leases = broker.lease(["q"], 7, 3600.0, 1.0)
    lost = broker.settle([Done(lease) for lease in leases])
    assert not lost
    os.write(1, "".join(f"{x.message.key}\\n" for x in leases).encode())
"""

KILLS = 30


def started(program, url):
    return subprocess.Popen([sys.executable, "-c", program, url], stdout=subprocess.PIPE)


def killed(process, after):
    """Let it report so many lines, kill it, and give all lines that it managed to write."""
    lines = [process.stdout.readline() for _ in range(after)]
    process.send_signal(signal.SIGKILL)
    rest, _ = process.communicate()
    lines += rest.splitlines(keepends=True)
    return {line.decode().strip() for line in lines if line.endswith(b"\n")}


def stored(broker, where="1"):
    sql = f"SELECT key FROM message WHERE {where}"
    look = Exchange("keys", lambda c: {key for (key,) in c.execute(sql)}, writes=False)
    return broker.engine.execute(look)


def test_what_was_acknowledged_is_there(make, url):
    broker = make(SYSTEM_CLOCK)
    random.seed(7)
    acknowledged = set()
    with contextlib.ExitStack() as crowd:
        # Two at a time: the one that lives must not be hurt by the death of the other.
        running = [crowd.enter_context(started(PUBLISHER, url)) for _ in range(2)]
        for _ in range(KILLS):
            victim = running.pop(0)
            running.append(crowd.enter_context(started(PUBLISHER, url)))
            acknowledged |= killed(victim, random.randrange(1, 60))
        for process in running:
            acknowledged |= killed(process, 1)
    assert len(acknowledged) > KILLS
    assert acknowledged <= stored(broker)
    assert broker.engine.execute(Exchange("check", lambda c: c.pragma("integrity_check"))) == "ok"


def test_what_was_settled_never_runs_again_and_the_rest_comes_back(make, url, message):
    broker = make(SYSTEM_CLOCK)
    random.seed(8)
    sent = [message() for _ in range(1_500)]
    broker.publish(sent)
    settled = set()
    for _ in range(8):
        settled |= killed(started(WORKER, url), random.randrange(1, 100))
    assert settled <= stored(broker, "state = 3")
    assert len(settled) > 8
    broker.tend()  # the workers are dead: what they held is free at once
    left = set()
    while leases := broker.lease(["q"], 1_000, 60.0):
        left |= {lease.message.key for lease in leases}
        assert broker.settle([Done(lease) for lease in leases]) == []
    assert not left & settled
    assert stored(broker, "state = 3") == {m.key for m in sent}
