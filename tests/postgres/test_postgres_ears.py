"""Who hears from PostgreSQL: a thread, or for a while whoever waits for a bell."""

import os
import select
import threading

import pytest

from penstock.engines.floor import Attention
from penstock.engines.postgres import PostgresServer
from penstock.engines.postgres_floor import Floor
from penstock.errors import Unavailable
from penstock.plan import Attentive, Exchange
from penstock.url import Url
from workers import wait_for


@pytest.fixture
def engine(postgres_url):
    engine = PostgresServer(Url.parse(postgres_url))
    yield engine
    engine.close()


def ring(engine, *bells):
    engine.execute(Exchange("ring", lambda batch: batch.value("SELECT 1"), rings=bells))


def is_readable(listener, seconds=0.0):
    return bool(select.select([listener], [], [], seconds)[0])


def test_who_waits_reads_for_all_and_the_thread_goes_on_afterwards(engine):
    first, second = engine.listen(("done:a",)), engine.listen(("done:b",))
    floor = engine._ears.borrow_floor()
    assert engine._ears.borrow_floor() is None
    ring(engine, "done:a", "done:b")
    assert select.select([floor], [], [], 10)[0]
    assert not is_readable(first)  # the thread leaves it to us
    floor.read()
    assert is_readable(first)
    assert is_readable(second)
    floor.give_back()
    first.clear()
    ring(engine, "done:a")
    assert is_readable(first, 10)


def test_a_waiter_hears_what_it_waits_for_whoever_reads(engine):
    first, second = engine.listen(("done:a",)), engine.listen(("done:b",))
    heard = []
    threads = [
        threading.Thread(target=lambda one=one: heard.append(one.wait(20)))
        for one in (first, second)
    ]
    for thread in threads:
        thread.start()
    ring(engine, "done:b")
    threads[1].join(20)
    ring(engine, "done:a")
    threads[0].join(20)
    assert heard == [True, True]
    assert first.wait(0.01) is False


def test_a_loop_reads_for_itself_while_it_sleeps(engine):
    listener = engine.listen(("work:orders",))
    assert isinstance(listener, Attentive)
    other = engine.listen(("done:a",))
    listener.attend()
    ring(engine, "done:a")
    assert is_readable(listener, 10)
    assert listener.attended(ready=True) is False  # it was for somebody else
    assert is_readable(other)
    listener.attend()
    ring(engine, "work:orders")
    assert is_readable(listener, 10)
    assert listener.attended(ready=True) is True
    listener.clear()
    assert not is_readable(listener)
    ring(engine, "work:orders")
    assert is_readable(listener, 10)  # by the thread
    listener.close()


def test_a_new_kind_of_bell_is_listened_to_while_somebody_else_reads(engine):
    listener = engine.listen(("work:orders",))
    listener.attend()
    other = engine.listen(("done:a",))  # the thread says LISTEN on the same connection
    listener.attended(ready=is_readable(listener))
    ring(engine, "done:a")
    assert other.wait(10)


def test_a_connection_that_ends_under_a_reader_is_made_anew_and_rings(engine, postgres_server):
    listener = engine.listen(("work:orders",))
    listener.attend()
    postgres_server.sql(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'LISTEN%'"
    )
    assert is_readable(listener, 10)
    listener.attended(ready=True)
    assert listener.wait(10)  # what happened meanwhile, nobody was told
    wait_for(lambda: engine.hears("work"), what="the connection")
    ring(engine, "work:orders")
    assert is_readable(listener, 10)


def test_a_connection_that_ends_between_borrowing_and_sleeping(engine):
    """Its thread closes it in that moment; a worker ended of it in a storm."""
    wake, connection = os.eventfd(0), engine.connect()
    floor = Floor(connection, wake=wake, hear=lambda _: None)
    assert floor.borrow()
    floor.close()
    bell = os.eventfd(0)
    attention = Attention(bell, lambda: floor)
    attention.begin()
    assert not is_readable(attention)
    attention.end(ready=False)
    attention.begin()
    attention.end(ready=True)
    os.eventfd_write(bell, 1)
    assert is_readable(attention)
    attention.close()
    connection.close()
    os.close(wake)
    os.close(bell)


def test_a_forked_child_borrows_nothing_of_its_parents(engine):
    listener = engine.listen(("done:a",))
    reader, writer = os.pipe()
    pid = os.fork()
    if not pid:
        os.write(writer, b"none" if engine._ears.borrow_floor() is None else b"some")
        os._exit(0)
    os.waitpid(pid, 0)
    assert os.read(reader, 10) == b"none"
    os.close(reader)
    os.close(writer)
    ring(engine, "done:a")
    assert listener.wait(10)


def test_listening_is_refused_without_a_server():
    engine = PostgresServer(Url.parse("postgresql://joe@127.0.0.1:1/x"))
    with pytest.raises(Unavailable):
        engine.listen(("work:orders",))
