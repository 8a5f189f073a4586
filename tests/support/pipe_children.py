"""What child processes do with the ends of pipes that they were given."""

import os
import signal
import time


def echo(end):
    """Sends everything back, until None."""
    while (item := end.recv()) is not None:
        end.send(item)


def echo_one_way(reader, writer):
    while (item := reader.recv()) is not None:
        writer.send(item)


def pass_on(end):
    """Receives an end, and is an echo at it."""
    echo(end.recv())


def large_messages(end):
    while True:
        end.send_bytes(b"x" * 1_000_000)


def beginning_of_a_message(end):
    """Is killed when a part of it is sent."""
    end.send("whole")
    end._sending_bytes(b"x" * 3_000_000).step()
    os.kill(os.getpid(), signal.SIGKILL)


def wait_for_ever(end):
    end.send("ready")
    end.recv()


def sleep_with(end):
    end.send("ready")
    time.sleep(1000)


def close_and_sleep(*ends):
    for end in ends:
        end.close()
    time.sleep(1000)


def count_to(end, number):
    for i in range(number):
        end.send(i)
