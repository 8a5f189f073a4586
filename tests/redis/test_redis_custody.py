"""What is kept by the server while clients, messages or the server itself fail."""

import asyncio
import itertools
import json
import threading
import time

import pytest

from penstock.brokers.redis import RedisBroker
from penstock.brokers.registry import open_broker
from penstock.clock import ManualClock
from penstock.engines.redis import RedisServer as Engine
from penstock.engines.redis_batch import Script
from penstock.engines.redis_line import Line
from penstock.errors import BrokerError, Unavailable, Uncertain
from penstock.message import Again, Done, Message, Record, new_id
from penstock.plan import Exchange, drive
from penstock.results.registry import open_store
from penstock.wire.envelope import pack
from penstock.wire.times import write_moment
from workers import wait_for


@pytest.fixture
def broker(redis_url):
    broker = open_broker(redis_url)
    yield broker
    broker.close()


def message(**fields):
    task_id = new_id()
    return Message(
        id=task_id, queue="orders", headers={"task": "t", "id": task_id}, body=b"[]", **fields
    )


@pytest.mark.parametrize(
    "text", ["no json", "[]", '{"body": 1}', '{"body": "?", "properties": {}}']
)
def test_what_cannot_be_read_is_leased_all_the_same(broker, redis_server, text):
    redis_server.cli("LPUSH", "orders", text)
    (lease,) = broker.lease(["orders"], 5, 10.0)
    assert lease.message.queue == "orders"
    assert broker.settle([Done(lease)]) == []
    assert broker.depth("orders") == 0


def test_a_lost_reply_is_uncertain_and_names_what_is_stored(broker, redis_server):
    messages = [message(priority=0), message(priority=9)]
    run = Engine.execute

    def lost(engine, exchange):
        reply = run(engine, exchange)
        if getattr(exchange, "name", "") == "publish" and lost.calls:
            raise Uncertain("cut")
        lost.calls += 1
        return reply

    lost.calls = 0
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Engine, "execute", lost)
        with pytest.raises(Uncertain) as caught:
            broker.publish(messages)
    assert caught.value.stored == (messages[0].id,)


def test_a_server_that_stops_in_a_command_leaves_doubt(redis_server, redis_url, monkeypatch):
    monkeypatch.setattr("penstock.engines.redis._REPLY_TIMEOUT", 0.2)
    broker = open_broker(redis_url + "?key_prefix=stopped.")
    broker.publish([message()])
    redis_server.pause()
    with pytest.raises(Uncertain, match="lost before it replied"):
        broker.publish([message()])
    redis_server.resume()
    broker.close()


def test_after_a_restart_the_first_call_works(broker, redis_server):
    broker.publish([message()])
    redis_server.kill()
    with pytest.raises(Unavailable):
        broker.publish([message()])
    redis_server.start()
    broker.publish([message()])


def test_after_a_restart_scripts_run_at_their_places(redis_server, redis_url):
    """Not behind what was to follow them, as one would that the server does not know."""
    engine = Engine.at(redis_url + "?key_prefix=places.")
    writes = Script("return redis.call('RPUSH', 'order', ARGV[1])")

    def batch(batch):
        return [
            batch.script(writes, "1"),
            batch.call("RPUSH", "order", "2"),
            batch.script(writes, "3"),
            batch.script(Script("return redis.call('RPUSH', 'order', '4')")),
        ]

    assert engine.execute(Exchange("order", batch)) == [1, 2, 3, 4]
    redis_server.kill()
    redis_server.start()
    assert engine.execute(Exchange("order", batch)) == [1, 2, 3, 4]
    assert redis_server.cli("LRANGE", "order", "0", "-1").split() == ["1", "2", "3", "4"]
    redis_server.cli("SCRIPT", "FLUSH")
    assert sorted(engine.execute(Exchange("order", batch))) == [5, 6, 7, 8]
    engine.close()


@pytest.mark.parametrize("beside", ["_kombu.binding.orders", "penstock.queues", "penstock.soon"])
def test_what_is_stored_is_not_said_to_be_refused(broker, redis_server, beside):
    """Else who sent it would send it again; what could not be noted beside it is, with the next."""
    redis_server.cli("SET", beside, "a value")
    broker.publish([message(ready_at=time.time() + 60.0)])
    assert redis_server.cli("LLEN", "orders") == "1"
    redis_server.cli("DEL", beside)
    broker.publish([message(ready_at=time.time() + 60.0)])
    assert redis_server.cli("EXISTS", beside) == "1"


def test_a_server_that_lost_everything_is_told_of_its_queues_again(broker, redis_server):
    """Else nobody would find what is sent from then on: people, and Celery's clients."""
    broker.publish([message()])
    redis_server.kill()
    redis_server.start()
    for _ in range(2):  # the first finds that the connection is gone
        broker.publish([message()])
    assert redis_server.cli("EXISTS", "_kombu.binding.orders", "penstock.queues") == "2"
    assert [queue.ready for queue in broker.queues()] == [2]


def test_half_refused_names_what_is_stored(broker, redis_server):
    redis_server.cli("SET", "orders\x06\x169", "a value")
    stored, refused = message(priority=0), message(priority=9)
    with pytest.raises(Uncertain, match="rename") as caught:
        broker.publish([stored, refused])
    assert caught.value.stored == (stored.id,)
    with pytest.raises(BrokerError, match="rename"):
        broker.publish([refused])


def test_a_waiter_hears_of_a_result_after_a_restart(redis_server, redis_url):
    store, other = open_store(redis_url), open_store(redis_url + "?key_prefix=")
    task_id = new_id()

    async def main():
        waiting = asyncio.create_task(store.await_([task_id], 20.0))
        channel = f"celery-task-meta-{task_id}"
        await asyncio.to_thread(wait_for, lambda: redis_server.cli("PUBSUB", "CHANNELS", channel))
        redis_server.kill()
        redis_server.start()
        other.put([Record(task_id, "SUCCESS", b"{}", final=True)])
        return await waiting

    (record,) = asyncio.run(main())
    assert record.state == "SUCCESS"
    store.close()
    other.close()


@pytest.fixture
def beside_early(broker):
    """A message that is ready, behind one that is early; both are claimed in one exchange."""
    ready = message()
    broker.publish([message(ready_at=time.time() + 60.0), ready])
    return ready


def fails(monkeypatch, name, error, after=0):
    """The exchange of that name fails, once, after it succeeded so often."""
    run, calls = Engine.execute, itertools.count()

    def execute(engine, exchange):
        if getattr(exchange, "name", "") == name and next(calls) == after:
            raise error
        return run(engine, exchange)

    monkeypatch.setattr(Engine, "execute", execute)


@pytest.mark.parametrize("error", [Unavailable("gone"), Uncertain("cut")])
def test_what_a_claim_got_before_it_failed_to_put_off_the_next_one_gives(
    broker, redis_server, beside_early, monkeypatch, error
):
    redis_server.cli("SCRIPT", "FLUSH")  # none is known to it, as after a restart
    fails(monkeypatch, "settle", error)
    with pytest.raises(type(error)):
        broker.lease(["orders"], 2, 30.0)
    (lease,) = broker.lease(["orders"], 2, 30.0)
    assert (lease.message.id, lease.attempt, lease.deaths) == (beside_early.id, 1, 0)
    assert broker.depth("orders") == 1


@pytest.mark.parametrize("error", [Unavailable("gone"), Uncertain("cut")])
def test_a_claim_that_fails_as_it_goes_on_gives_what_it_has(
    broker, beside_early, monkeypatch, error
):
    fails(monkeypatch, "lease", error, after=1)
    (lease,) = broker.lease(["orders"], 2, 30.0)
    assert lease.message.id == beside_early.id


def test_what_ran_out_while_a_claim_went_on_is_not_given_out(redis_url):
    clock = ManualClock()
    broker = RedisBroker(engine=Engine.at(redis_url), clock=clock)
    broker.publish([message(ready_at=clock.wall() + 60.0), message()])
    run, settled = broker.engine.execute, []

    class Slow:
        """Stands still behind the first settlement, longer than a lease lasts."""

        def execute(self, command):
            if settled == ["settle"]:
                clock.advance(11.0)
            settled.extend({getattr(command, "name", "")} & {"settle"})
            return run(command)

    (lease,) = drive(broker._lease(["orders"], 2, 10.0, 0.0), Slow())
    assert settled == ["settle"]
    assert (lease.attempt, lease.deaths) == (2, 1)
    broker.close()


def test_an_early_message_is_parked_by_whoever_meets_it(broker, redis_server):
    soon = time.time() + 0.3
    early = message()
    early = Message(
        id=early.id,
        queue="orders",
        headers={**early.headers, "eta": write_moment(soon)},
        body=b"[]",
    )
    broker.publish([early])
    assert broker.lease(["orders"], 5, 10.0) == []
    assert redis_server.cli("LLEN", "orders") == "0"
    assert redis_server.cli("ZCARD", "penstock.delayed") == "1"
    (lease,) = broker.lease(["orders"], 5, 10.0, wait=5.0)
    assert time.time() >= soon
    assert lease.attempt == 1


def test_a_claim_goes_on_behind_early_messages(broker):
    """What it put off counts for nothing: it gets as many as it asked for."""
    later = time.time() + 60.0
    early = [message() for _ in range(3)]
    broker.publish(
        [
            Message(
                id=one.id,
                queue="orders",
                headers={**one.headers, "eta": write_moment(later)},
                body=b"[]",
            )
            for one in early
        ]
    )
    ready = [message() for _ in range(4)]
    broker.publish(ready)
    leases = broker.lease(["orders"], 4, 10.0)
    assert [lease.message.id for lease in leases] == [one.id for one in ready]
    assert broker.depth("orders") == 3


def test_the_last_worker_leaves_everything_where_celery_looks(redis_server, redis_url):
    broker = open_broker(redis_url)
    broker.enrol("last", {})
    broker.publish([message(), message(ready_at=4_000_000_000.0)])
    leases = broker.lease(["orders"], 5, 10.0)
    broker.settle([Again(lease, lease.message) for lease in leases])
    assert redis_server.cli("LLEN", "orders") == "0"
    broker.close()
    assert redis_server.cli("LLEN", "orders") == "2"


@pytest.mark.parametrize("prefix", ["", "shop."])
def test_what_a_dead_celery_worker_held_comes_back_after_its_time(redis_server, redis_url, prefix):
    one, two = message(), message()
    envelope = json.loads(pack(one))
    for tag, held, since in (("old", one, 0), ("young", two, time.time())):
        envelope = json.loads(pack(held))
        redis_server.cli("HSET", f"{prefix}unacked", tag, json.dumps([envelope, "", "orders"]))
        redis_server.cli("ZADD", f"{prefix}unacked_index", since, tag)
    broker = open_broker(f"{redis_url}?key_prefix={prefix}")
    broker.enrol("one", {})
    broker.tend()
    (lease,) = broker.lease(["orders"], 5, 10.0)
    assert lease.message.id == one.id
    assert redis_server.cli("HKEYS", f"{prefix}unacked") == "young"
    broker.close()


def test_what_a_dead_celery_worker_held_of_an_exchange_goes_where_it_is_bound(
    redis_server, redis_url
):
    one = message()
    held = json.dumps([json.loads(pack(one)), "media", "video"])
    redis_server.cli("HSET", "unacked", "tag", held)
    redis_server.cli("ZADD", "unacked_index", 0, "tag")
    redis_server.cli("SADD", "_kombu.binding.media", "video\x06\x16\x06\x16films")
    broker = open_broker(redis_url)
    broker.enrol("one", {})
    broker.tend()
    (lease,) = broker.lease(["films"], 5, 10.0)
    assert lease.message.id == one.id
    assert redis_server.cli("EXISTS", "unacked", "unacked_index", "video") == "0"
    broker.close()


def test_many_threads_share_one_line_and_each_gets_its_own_answer(broker, redis_server):
    """Callers that come together are carried out together: one connection, not one for each."""
    redis_server.cli("SET", "wrong", "a value")
    errors, at_once = [], threading.Barrier(16)

    def send(number):
        at_once.wait()
        queue = "wrong" if number == 7 else "orders"
        for _ in range(20):
            try:
                broker.publish([Message(id="1", queue=queue, headers={}, body=b"[]")])
            except BrokerError as error:
                errors.append((number, error))

    crowd = [threading.Thread(target=send, args=(number,)) for number in range(16)]
    for thread in crowd:
        thread.start()
    for thread in crowd:
        thread.join()
    assert [number for number, _ in errors] == [7] * 20
    assert len({id(error) for _, error in errors}) == 20
    assert broker.depth("orders") == 15 * 20
    assert len(broker.engine._free) == 1


class Hurrying(ManualClock):
    """Time passes whenever somebody asks for it."""

    def wall(self):
        self.advance(0.01)
        return super().wall()


@pytest.mark.parametrize("steps", range(1, 12))
def test_what_becomes_due_amid_a_claim_is_given_out_or_parked_never_both(redis_url, steps):
    clock = Hurrying(wall=time.time())
    broker = open_broker(redis_url, clock=clock)
    broker.lease(["orders"], 1, 10.0)
    broker.publish([message(ready_at=clock._wall + steps / 100)])
    leases = broker.lease(["orders"], 1, 10.0)
    (queue,) = (queue for queue in broker.queues() if queue.name == "orders")
    assert queue.ready + queue.delayed + queue.leased == 1
    assert queue.leased == len(leases)
    assert broker.settle([Done(lease) for lease in leases]) == []
    broker.close()


def test_who_hears_closes_its_connection_itself(broker, monkeypatch):
    """Else its number may be another's by the time that it waits for it: it hears nothing."""
    closers = []
    closing = Line.close

    def close(line):
        closers.append(threading.current_thread().name)
        closing(line)

    listener = broker.listen(["orders"])
    wait_for(lambda: broker.engine._ears._line is not None)
    monkeypatch.setattr(Line, "close", close)
    broker.engine._ears.connect_anew()
    wait_for(lambda: closers)
    assert closers == ["penstock-redis-ears"]
    assert listener.wait(10)  # it has connected anew, and everybody is to look
    listener.close()


def test_an_end_that_was_told_is_the_end_whatever_the_key_holds_later(redis_server, redis_url):
    """A Celery worker that retries stores RETRY after what it sent may have ended elsewhere."""
    store = open_store(redis_url)
    task_id = new_id()
    end = json.dumps({"status": "SUCCESS", "result": 7, "task_id": task_id})
    waiting = threading.Thread(target=lambda: found.extend(store.wait([task_id], 10.0)))
    found = []
    waiting.start()
    channel = f"celery-task-meta-{task_id}"
    wait_for(lambda: redis_server.cli("PUBSUB", "NUMSUB", channel).split()[-1] == "1")
    redis_server.cli("SET", channel, json.dumps({"status": "RETRY", "task_id": task_id}))
    redis_server.cli("PUBLISH", channel, end)
    waiting.join(10.0)
    assert [(record.state, record.final) for record in found] == [("SUCCESS", True)]
    store.close()


def test_a_state_that_only_looks_like_the_end_is_not_told(redis_server, redis_url):
    store = open_store(redis_url)
    task_id = new_id()
    waiting = threading.Thread(target=lambda: found.extend(store.wait([task_id], 10.0)))
    found = []
    waiting.start()
    channel = f"celery-task-meta-{task_id}"
    wait_for(lambda: redis_server.cli("PUBSUB", "NUMSUB", channel).split()[-1] == "1")
    given = b'{"status": "SUCCESS", "result": 1}'
    store.put([Record(task_id, "SUCCESS", given, final=False)])
    store.put([Record(task_id, "FAILURE", b'{"status": "FAILURE"}', final=True)])
    waiting.join(10.0)
    assert [record.state for record in found] == ["FAILURE"]
    store.close()


def test_bells_of_a_listener_that_went_away_keep_no_other_from_being_armed(broker):
    gone = broker.listen(["orders", "gone", "away"])
    broker.publish([message()])
    assert gone.wait(10.0)  # its bells are armed
    gone.close()
    assert broker.lease(["orders"], 5, 10.0)
    listener = broker.listen(["orders"])
    for _ in range(3):
        broker.publish([message()])
        assert listener.wait(10.0)
        while leases := broker.lease(["orders"], 5, 10.0):
            broker.settle(list(map(Done, leases)))
    listener.close()
