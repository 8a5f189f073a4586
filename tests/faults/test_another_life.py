"""A process that begins anew under its own id finds nothing of its former life in its way."""

import subprocess
import sys

import pytest

from penstock.brokers.registry import open_broker
from penstock.message import Message, new_id
from storm_sites import SITES, site

LIVES = """
import os, sys
from penstock.brokers.registry import open_broker
url, queue, life = sys.argv[1:]
broker, beside = open_broker(url), open_broker(url)
broker.tend()
broker.enrol("w1@here", {})
beside.enrol("w2@here", {})  # two of one life do not take each other for dead
beside.tend()
leases = broker.lease([queue], 1, 3600.0, wait=20.0)
print(os.getpid(), len(leases), *(lease.deaths for lease in leases), flush=True)
if life == "first":
    os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:-1], "second"])
beside.close()
broker.close()
"""


@pytest.mark.parametrize("kind", list(SITES))
def test_a_former_life_keeps_neither_name_nor_lease(kind, tmp_path):
    with site(kind, tmp_path) as place:
        live_twice(place.url)


def live_twice(url):
    queue = new_id()
    broker = open_broker(url)
    broker.publish([Message(id=new_id(), queue=queue, headers={}, body=b"x")])
    broker.close()
    done = subprocess.run(
        [sys.executable, "-c", LIVES, url, queue, "first"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    (pid, *first), (same, *second) = (line.split() for line in done.stdout.splitlines())
    assert pid == same
    assert (first, second) == (["1", "0"], ["1", "1"])
