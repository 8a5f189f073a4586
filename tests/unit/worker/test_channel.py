"""The channel: what is handed over is begun by the executor or recalled, never both, never lost."""

import os
import threading
from pathlib import Path

import pytest

from penstock.message import Message
from penstock.worker.channel import ExecutorChannel, SupervisorChannel
from penstock.worker.protocol import Finished, Hand, Ready


def hand(tag, body=b"[]"):
    message = Message(id=f"id-{tag}", queue="q", headers={"task": "t"}, body=body)
    return Hand(tag, message, 1, announce=False)


@pytest.fixture
def ends():
    supervisor = SupervisorChannel()
    tasks, replies = supervisor.descriptors()
    executor = ExecutorChannel(os.dup(tasks), os.dup(replies))
    supervisor.given()
    yield supervisor, executor
    supervisor.close()
    executor.close()


def test_tasks_arrive_in_order_and_whole(ends):
    supervisor, executor = ends
    sent = [hand(tag, b"x" * tag) for tag in range(3)]
    assert all(supervisor.hand(task) for task in sent)
    assert [executor.receive() for _ in sent] == sent


@pytest.mark.parametrize("size", [64 * 1024 - 200, 64 * 1024, 1024 * 1024])
def test_bodies_larger_than_a_packet_travel_too(ends, size):
    supervisor, executor = ends
    task = hand(1, os.urandom(size))
    assert supervisor.hand(task)
    assert executor.receive() == task


def test_what_was_not_begun_is_recalled_and_nothing_else(ends):
    supervisor, executor = ends
    for tag in range(5):
        supervisor.hand(hand(tag))
    assert executor.receive().tag == 0
    assert supervisor.recall() == [1, 2, 3, 4]
    assert supervisor.recall() == []


def test_large_tasks_are_recalled_and_leave_no_descriptor(ends):
    supervisor, _ = ends
    before = sum(1 for _ in Path("/proc/self/fd").iterdir())
    supervisor.hand(hand(1, bytes(200_000)))
    assert supervisor.recall() == [1]
    assert sum(1 for _ in Path("/proc/self/fd").iterdir()) == before


def test_each_task_goes_to_exactly_one_side_under_a_race(ends):
    supervisor, executor = ends
    begun = []

    def run():
        while (task := executor.receive()) is not None:
            begun.append(task.tag)

    thread = threading.Thread(target=run)
    thread.start()
    recalled, handed, tag = [], 0, 0
    while handed < 3_000:
        if supervisor.hand(hand(tag)):
            handed, tag = handed + 1, tag + 1
        if tag % 7 == 0:
            recalled += supervisor.recall()
    recalled += supervisor.recall()
    supervisor.finish()
    thread.join()
    assert sorted(begun + recalled) == list(range(tag))


def test_a_full_channel_says_so_and_keeps_nothing(ends):
    supervisor, _ = ends
    handed = 0
    while supervisor.hand(hand(handed, bytes(10_000))):
        handed += 1
    assert handed > 0
    assert len(supervisor.recall()) == handed


def test_replies_come_back_and_the_end_shows(ends):
    supervisor, executor = ends
    answers = [Ready(), *(Finished(tag, "SUCCESS", b"{}", 0.5) for tag in range(2_000))]

    def answer():
        for value in answers:
            executor.send(value)
        executor.close()

    thread = threading.Thread(target=answer)
    thread.start()
    received, is_open = [], True
    while is_open:
        values, is_open = supervisor.replies()
        received += values
    thread.join()
    assert received == answers


def test_no_more_tasks_ends_the_executor(ends):
    supervisor, executor = ends
    supervisor.hand(hand(1))
    supervisor.finish()
    assert executor.receive().tag == 1
    assert executor.receive() is None
    assert supervisor.recall() == []  # and asking later is harmless
