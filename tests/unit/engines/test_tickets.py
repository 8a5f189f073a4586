"""The line before a writer: whoever goes away, the others are carried out."""

import asyncio
import threading

import pytest

from penstock.engines.tickets import Line, Ticket
from penstock.plan import Exchange


class Writer:
    """Finishes tickets when it may; keeps the batches it was given."""

    def __init__(self):
        self.may = threading.Event()
        self.batches = []

    def __call__(self, batch):
        self.may.wait()
        self.batches.append([ticket.exchange.name for ticket in batch])
        for ticket in batch:
            ticket.reply = ticket.exchange.name
            ticket.finished = True


@pytest.fixture
def writer():
    return Writer()


@pytest.fixture
def line(writer):
    made = Line(writer)
    yield made
    made.close()


def asked(line, *names):
    """One thread for each name, standing in line in this order; gives threads and replies."""
    replies, threads = [], []
    for count, name in enumerate(names):
        exchange = Exchange(name, lambda _: None)
        threads.append(threading.Thread(target=lambda x=exchange: replies.append(line.run(x))))
        threads[-1].start()
        while len(line._pending) < count or not line._led:
            pass
    return threads, replies


def test_one_alone_leads_itself(line, writer):
    writer.may.set()
    assert line.run(Exchange("a", lambda _: None)) == "a"
    assert line.run(Exchange("b", lambda _: None)) == "b"
    assert writer.batches == [["a"], ["b"]]


def test_what_gathers_meanwhile_is_one_batch(line, writer):
    threads, replies = asked(line, "a", "b", "c", "d")
    writer.may.set()
    for thread in threads:
        thread.join()
    assert sorted(replies) == ["a", "b", "c", "d"]
    assert writer.batches == [["a"], ["b", "c", "d"]]


def test_a_batch_has_a_largest_size(line, writer, monkeypatch):
    monkeypatch.setattr("penstock.engines.tickets._LARGEST", 2)
    threads, _ = asked(line, "a", "b", "c", "d")
    writer.may.set()
    for thread in threads:
        thread.join()
    assert writer.batches == [["a"], ["b", "c"], ["d"]]


def test_one_who_goes_away_while_it_waits_is_not_carried_out(line, writer, monkeypatch):
    threads, replies = asked(line, "a", "b")

    def interrupted(ticket, timeout):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("penstock.engines.tickets.Ticket.wait", interrupted)
        with pytest.raises(KeyboardInterrupt):
            line.run(Exchange("gone", lambda _: None))
    writer.may.set()
    for thread in threads:
        thread.join()
    assert writer.batches == [["a"], ["b"]]
    assert sorted(replies) == ["a", "b"]


def test_one_who_goes_away_when_it_should_lead_passes_the_lead_on(line, writer, monkeypatch):
    """The next in line is chosen, and at that moment interrupted."""
    wait, gone = Ticket.wait, []

    def interrupted(ticket, timeout):
        wait(ticket, timeout)
        if ticket.exchange.name == "b":
            gone.append(ticket)
            raise KeyboardInterrupt

    monkeypatch.setattr(Ticket, "wait", interrupted)
    monkeypatch.setattr(threading, "excepthook", lambda args: None)
    threads, replies = asked(line, "a", "b", "c")
    writer.may.set()
    for thread in threads:
        thread.join()
    assert gone[0].chosen
    assert sorted(replies) == ["a", "c"]
    assert writer.batches == [["a"], ["c"]]
    assert not line._led


def test_one_who_is_interrupted_before_it_has_taken_a_batch_passes_the_lead_on(line, writer):
    """A Ctrl-C while it waits for those who shared the last commit."""
    threads, replies = asked(line, "a", "b", "c")
    writer.may.set()
    for thread in threads:
        thread.join()

    def interrupted():
        raise KeyboardInterrupt

    line._gather = interrupted
    assert line._crowd > 1
    with pytest.raises(KeyboardInterrupt):
        line.run(Exchange("gone", lambda _: None))
    del line._gather
    assert line.run(Exchange("d", lambda _: None)) == "d"
    assert sorted(replies) == ["a", "b", "c"]


def test_one_who_is_interrupted_when_it_has_just_taken_the_lead_is_replaced(line, writer):
    """What can be said of that moment is what it leaves: nobody leads, and it looks as if."""
    line._led = True
    writer.may.set()
    assert line.run(Exchange("a", lambda _: None)) == "a"
    assert not line._led
    assert line.run(Exchange("b", lambda _: None)) == "b"
    assert writer.batches == [["a"], ["b"]]


async def carried_out(line, *names):
    return await asyncio.gather(*(line.arun(Exchange(name, lambda _: None)) for name in names))


def test_one_who_awaits_is_served_too_where_nobody_leads(line, writer):
    line._led = True
    writer.may.set()
    assert asyncio.run(carried_out(line, "a", "b")) == ["a", "b"]
    assert not line._led
    assert writer.batches == [["a", "b"]]


def test_each_loop_is_watched_once_and_forgotten_when_it_is_closed(line):
    loops = [asyncio.new_event_loop() for _ in range(3)]
    line._led = True
    for loop in loops[:2] * 5:
        line._post(Ticket(Exchange("a", lambda _: None), loop.create_future()))
    assert [len(loop._scheduled) for loop in loops] == [1, 1, 0]
    loops[0].close()
    line._post(Ticket(Exchange("a", lambda _: None), loops[2].create_future()))
    assert line._watched == set(loops[1:])
    for loop in loops:
        loop.close()


def crowd(line, names):
    """Threads that stand in line in this order, and what each was told in the end."""
    told = {}

    def ask(name):
        try:
            told[name] = line.run(Exchange(name, lambda _: None))
        except KeyboardInterrupt:
            told[name] = "interrupted"

    threads = [threading.Thread(target=ask, args=(name,)) for name in names]
    for count, thread in enumerate(threads):
        thread.start()
        while len(line._pending) < count or not line._led:
            pass
    return threads, told


def interrupt_once(line, step):
    def interrupted(*_):
        delattr(line, step)
        raise KeyboardInterrupt

    setattr(line, step, interrupted)


@pytest.mark.parametrize("step", ["_release", "_hand_over"])
def test_one_who_is_interrupted_while_it_tells_the_others_strands_nobody(line, writer, step):
    interrupt_once(line, step)
    threads, told = crowd(line, "abcd")
    writer.may.set()
    for thread in threads:
        thread.join(10.0)
    assert sorted(name for batch in writer.batches for name in batch) == ["a", "b", "c", "d"]
    assert sorted(told) == ["a", "b", "c", "d"]
    assert sum(reply == "interrupted" for reply in told.values()) == 1
    assert sum(reply == name for name, reply in told.items()) == 3


def test_what_one_left_who_was_interrupted_twice_is_carried_out_next(line, writer):
    """In its work, and again while it puts back what it had taken."""

    def carry_out(batch):
        if len(batch) > 1:
            line._carry_out = writer
            raise KeyboardInterrupt
        writer(batch)

    line._carry_out = carry_out
    interrupt_once(line, "_release")
    threads, told = crowd(line, "abcd")
    writer.may.set()
    for thread in threads:
        thread.join(10.0)
    assert told == {"a": "a", "b": "interrupted", "c": "c", "d": "d"}
    carried_out = [name for batch in writer.batches for name in batch]
    assert sorted(set(carried_out) - {"b"}) == ["a", "c", "d"]
    assert len(carried_out) == len(set(carried_out))
    assert not line._led
    assert not line._pending
