"""The floor of one call at a time on SQLite; see idle.py. Bare apsw, datagrams as bells.

A message that is seen before it is on disk, one claim, the result and the end of the message in
one synced commit: no retries, no recovery. `python -m _app_raw_sqlite` runs the task itself, with
the word `apart` in a process beside it, as penstock does.
"""

import os
import socket
import sys
from pathlib import Path

import apsw
from _marks import mark

PLACE = Path(os.environ["MARKS"])
_SCHEMA = """
CREATE TABLE IF NOT EXISTS job (id INTEGER PRIMARY KEY, body BLOB, taken INT NOT NULL DEFAULT 0);
CREATE TABLE IF NOT EXISTS result (id INTEGER PRIMARY KEY, value BLOB);
"""
_TAKE = """
UPDATE job SET taken = 1 WHERE id = (SELECT id FROM job WHERE NOT taken ORDER BY id LIMIT 1)
RETURNING id
"""
BODY = b"x" * 300


class Bell:
    """What another process rings by its name."""

    def __init__(self, name):
        self._line = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._line.bind(str(PLACE / name))

    def wait(self):
        self._line.recv(1)


def ring(name):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as line:
        line.sendto(b"!", str(PLACE / name))


def connect():
    connection = apsw.Connection(str(PLACE / "raw.db"))
    connection.set_busy_timeout(1000)
    connection.pragma("journal_mode", "wal")
    connection.pragma("wal_autocheckpoint", 2000)
    connection.execute(_SCHEMA)
    return connection


class Client:
    def __init__(self):
        self._connection = connect()
        self._connection.pragma("synchronous", "normal")
        self._log = os.open(PLACE / "raw.db-wal", os.O_RDONLY)
        self._bell = Bell(f"done-{os.getpid()}")
        self._number = os.getpid() << 32

    def call(self, number):
        """One call, there and back."""
        self._number += 1
        self._connection.execute("INSERT INTO job (id, body) VALUES (?, ?)", (self._number, BODY))
        ring("work")
        os.fdatasync(self._log)
        self._bell.wait()
        ask = "SELECT value FROM result WHERE id = ?"
        assert self._connection.execute(ask, (self._number,)).fetchone()[0] == BODY
        return number


def serve(run):
    bell, connection = Bell("work"), connect()
    while True:
        bell.wait()
        connection.pragma("synchronous", "normal")
        ((number,),) = list(connection.execute(_TAKE))
        run(number)
        connection.pragma("synchronous", "full")
        with connection:
            connection.execute("DELETE FROM job WHERE id = ?", (number,))
            connection.execute("INSERT INTO result VALUES (?, ?)", (number, BODY))
        ring(f"done-{number >> 32}")


def run_here(number):
    mark(number & 0xFFFFF)


def run_apart():
    """Gives what runs a task in a process of its own."""
    here, there = socket.socketpair()
    if os.fork() == 0:
        here.close()
        while order := there.recv(100):
            run_here(int(order))
            there.send(b"%-300d" % int(order))
        os._exit(0)
    there.close()

    def run(number):
        here.send(b"%d" % number)
        here.recv(1000)

    return run


if __name__ == "__main__":
    serve(run_apart() if "apart" in sys.argv[1:] else run_here)
