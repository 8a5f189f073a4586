"""Whether six methods that were drawn for servers we ask also fit a server that pushes.

`PushBroker` is publish, lease, extend, settle, tend and close on RabbitMQ, single-threaded on a
blocking connection. Five hard cases run against a real server behind a small proxy that can
swallow or cut; each prints a verdict. Needs rabbitmq-server and pika.
"""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path

import pika
from pika.exceptions import AMQPError

CONFIG = "consumer_timeout = 1000\n"  # ms, but the server only looks once a tick, by default 60 s
ADVANCED = "[{rabbit, [{channel_tick_interval, 1000}]}]."
QUORUM = {"x-queue-type": "quorum"}


class Uncertain(Exception):
    """The connection went before the answer came."""


@dataclass
class Lease:
    """A delivery, and what its settlement names."""

    queue: str
    id: str
    body: bytes
    attempt: int | None  # None: delivered before, and nobody counted
    epoch: int  # the connection it belongs to: tags of an earlier one mean nothing
    tag: int
    parked: str | None = None


@dataclass
class PushBroker:
    """The six methods; a lease lives as long as its channel."""

    port: int
    revoked: set = field(default_factory=set)

    def __post_init__(self):
        self.epoch, self.waiting, self.consumed = 0, deque(), set()
        self.connect()

    def connect(self):
        self.epoch += 1
        self.waiting.clear()
        self.consumed.clear()
        parameters = pika.ConnectionParameters("127.0.0.1", self.port, heartbeat=5)
        self.connection = pika.BlockingConnection(parameters)
        self.channel = self.connection.channel()
        self.channel.confirm_delivery()

    def publish(self, messages, properties=None):
        """Return when all are confirmed; nothing makes a repeat harmless."""
        try:
            for queue, task_id, body in messages:
                self.channel.basic_publish(
                    "", queue, body, mandatory=True,
                    properties=properties
                    or pika.BasicProperties(message_id=task_id, delivery_mode=2),
                )  # fmt: skip
        except AMQPError as error:
            raise Uncertain from error

    def lease(self, queues, limit, wait):
        """Consume on first use; afterwards deliveries lie here before they are asked for."""
        for queue in set(queues) - self.consumed:
            self.channel.basic_qos(prefetch_count=limit)
            self.channel.basic_consume(
                queue, lambda _, *delivery, queue=queue: self.waiting.append((queue, *delivery))
            )
            self.consumed.add(queue)
        end = time.monotonic() + wait
        while not self.waiting and (left := end - time.monotonic()) > 0:
            self.connection.process_data_events(left)
        leases = []
        while self.waiting and len(leases) < limit:
            queue, method, properties, body = self.waiting.popleft()
            headers = properties.headers or {}
            attempt = headers.get("x-delivery-count", None if method.redelivered else 0)
            tag, task_id = method.delivery_tag, properties.message_id
            if task_id in self.revoked:  # the server cannot drop it, so each claim looks
                self.channel.basic_ack(tag)
                continue
            leases.append(Lease(queue, task_id, body, attempt, self.epoch, tag))
        return leases

    def extend(self, leases, ttl, *, park=False):
        """Nothing to renew; before the server's time-out a message moves to a queue of ours."""
        held = [lease for lease in leases if lease.parked or lease.epoch == self.epoch]
        for lease in held if park else ():
            lease.parked = f"penstock.parked.{uuid.uuid4()}"
            self.channel.queue_declare(
                lease.parked, durable=True,
                arguments={
                    "x-message-ttl": int(ttl * 1000), "x-dead-letter-exchange": "",
                    "x-dead-letter-routing-key": lease.queue,
                },
            )  # fmt: skip
            self.publish([(lease.parked, lease.id, lease.body)])  # confirmed, and only then
            self.channel.basic_ack(lease.tag)
        return held

    def settle(self, leases, *, certain=True):
        """Acknowledge; a call that answers, on the same channel, proves that it was read."""
        lost = []
        for lease in leases:
            if lease.parked:  # the queue's last count says whether the lease was still ours
                gone = self.channel.queue_delete(lease.parked).method.message_count == 0
                lost += [lease] if gone else []
            elif lease.epoch != self.epoch:
                lost.append(lease)
            else:
                self.channel.basic_ack(lease.tag)
        if certain:
            try:
                self.channel.basic_qos(prefetch_count=100)
            except AMQPError as error:
                raise Uncertain from error
        return lost

    def tend(self, now):
        """Heartbeats only; delays and leases are the server's. Real code sweeps empty parked."""
        self.connection.process_data_events(0)
        return now + 2

    def close(self):
        with contextlib.suppress(AMQPError):
            self.connection.close()


class Proxy:
    """Forwards to the server; may swallow what the client sends, and cut."""

    def __init__(self, target):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port, self.target = self.listener.getsockname()[1], target
        self.swallow, self.pairs = False, []
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            client, _ = self.listener.accept()
            server = socket.create_connection(("127.0.0.1", self.target))
            self.pairs.append((client, server))
            for ends in ((client, server, True), (server, client, False)):
                threading.Thread(target=self.pump, args=ends, daemon=True).start()

    def pump(self, source, sink, upward):
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                if not (upward and self.swallow):
                    sink.sendall(data)

    def cut(self):
        for pair in self.pairs:
            for end in pair:
                with contextlib.suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)
        self.pairs.clear()
        self.swallow = False


def queue(port, name, **arguments):
    broker = PushBroker(port)
    broker.channel.queue_declare(name, durable=True, arguments=arguments)
    broker.close()
    return name


def connection_killed(port):
    for kind in ("classic", "quorum"):
        name = queue(port, f"killed-{kind}", **(QUORUM if kind == "quorum" else {}))
        proxy, other = Proxy(port), PushBroker(port)
        victim = PushBroker(proxy.port)
        other.publish((name, f"task-{n}", b"") for n in range(10))
        first = victim.lease([name], 10, 5)  # one of them begins, all were pushed
        while len(victim.waiting) + len(first) < 10:
            victim.connection.process_data_events(1)
        proxy.cut()
        started, again = time.perf_counter(), []
        while len(again) < 10:
            again += other.lease([name], 10, 5)
        took = (time.perf_counter() - started) * 1e3
        counts = sorted({str(lease.attempt) for lease in again})
        print(f"  {kind}: 10 of 10 back after {took:.0f} ms; attempts known as {counts}")
        if kind == "quorum":
            other.channel.basic_nack(again[0].tag, requeue=True)
            (back,) = other.lease([name], 1, 5)
            print(f"  quorum: handed back unharmed, now counted as {back.attempt}")
        other.close()
    print("  FITS: redelivery is at once. The count is the server's on quorum queues only, and it")
    print("  counts deliveries: what was pushed and never begun, or handed back, counts as well.")


def ack_lost(port):
    for arrives in (True, False):
        name = queue(port, f"acked-{arrives}")
        proxy, other = Proxy(port), PushBroker(port)
        worker = PushBroker(proxy.port)
        other.publish([(name, "task", b"")])
        leases = worker.lease([name], 1, 5)
        proxy.swallow = not arrives
        worker.settle(leases, certain=False)
        worker.connection.process_data_events(0)
        if arrives:  # the server has read it when the queue has none unacknowledged
            worker.settle([], certain=True)
        proxy.cut()
        try:
            worker.settle([], certain=True)
            seen = "nothing"
        except Uncertain:
            seen = "Uncertain"
        back = other.lease([name], 1, 1)
        print(f"  ack arrives={arrives}: the client sees {seen}; delivered again: {bool(back)}")
        other.close()
    broker, times = PushBroker(port), []
    for _ in range(200):
        started = time.perf_counter()
        broker.settle([])
        times.append(time.perf_counter() - started)
    broker.close()
    print(f"  an answered call after a batch of acks costs {sorted(times)[100] * 1e6:.0f} us")
    print("  FITS with Uncertain: an ack has no answer. settle() ends with a call that has one; if")
    print("  the connection goes before it, only the result store can stop the second run.")


def delayed(port):
    name = queue(port, "delayed")
    arguments = {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": name}
    bucket = queue(port, "penstock.delay.300", **arguments, **{"x-message-ttl": 300})
    mixed = queue(port, "penstock.delay.mixed", **arguments)
    broker = PushBroker(port)
    for hold, ttls in ((bucket, (None, None)), (mixed, ("2000", "300"))):
        started = time.perf_counter()
        for n, ttl in enumerate(ttls):
            properties = pika.BasicProperties(message_id=f"t{n}", delivery_mode=2, expiration=ttl)
            broker.publish([(hold, f"t{n}", b"")], properties)
        came = []
        while len(came) < 2:
            came += broker.lease([name], 2, 5)
        took = (time.perf_counter() - started) * 1e3
        print(f"  {hold}: both (the last sent wants 300 ms) are there after {took:.0f} ms")
        broker.settle(came)
    broker.close()
    print(
        "  FITS: one queue for each length of delay, dead-lettered back to its origin. A time-out"
    )
    print("  of the message's own waits for those before it: the lengths have to be rounded.")


def longer_than_the_timeout(port):
    name = queue(port, "long")
    broker, other = PushBroker(port), PushBroker(port)
    broker.publish([(name, "task", b"")])
    started = time.perf_counter()
    broker.lease([name], 1, 5)
    while broker.channel.is_open and time.perf_counter() - started < 10:
        broker.connection.process_data_events(1)
    took, reason = time.perf_counter() - started, broker.channel._closing_reason  # noqa: SLF001
    print(f"  channel closed with {reason.reply_code} after {took:.1f} s, heartbeats or not;")
    print("  every other lease of that channel goes with it")
    broker.close()
    for survives in (True, False):
        broker = PushBroker(port)
        (lease,) = broker.lease([name], 1, 5)
        broker.extend([lease], 4, park=True)
        started = time.perf_counter()
        if survives:
            while time.perf_counter() - started < 3:  # far past the time-out
                broker.connection.process_data_events(1)
            lost = broker.settle([lease])
            empty = not other.lease([name], 1, 2)
            print(f"  parked for 3 s, settled: lost {bool(lost)}, comes again: {not empty}")
            other.publish([(name, "task", b"")])
            other.close()
            other = PushBroker(port)
        else:
            broker.close()
            (back,) = other.lease([name], 1, 8)
            took = time.perf_counter() - started
            print(f"  parked for 4 s, worker gone: back after {took:.1f} s")
            late = PushBroker(port)
            print(f"  its late settlement is refused: {late.settle([lease]) == [lease]}")
            late.close()
            other.settle([back])
    other.close()
    print("  FITS by parking: publish to a queue of ours with TTL and the origin as dead letter,")
    print("  confirm, ack. Deleting that queue answers with its count: a real fence, at last.")


def revoked(port):
    name = queue(port, "revoked")
    early, publisher = PushBroker(port), PushBroker(port)
    channel = early.connection.channel()
    channel.exchange_declare("penstock.revoked", "fanout", durable=True)
    inbox = channel.queue_declare("", exclusive=True).method.queue
    channel.queue_bind(inbox, "penstock.revoked")
    told = []
    channel.basic_consume(inbox, lambda *got: told.append(got[3].decode()), auto_ack=True)
    publisher.publish((name, task_id, b"") for task_id in ("a", "b", "c", "d"))
    for task_id in ("b", "c"):
        publisher.channel.basic_publish("penstock.revoked", "", task_id)
    while len(told) < 2:
        early.connection.process_data_events(5)
    early.revoked.update(told)
    got = []
    while len(got) < 1:
        got += early.lease([name], 1, 5)
    print(f"  b and c revoked while queued; the worker that was there begins {got[0].id}", end="")
    early.settle(got)
    while not (rest := early.lease([name], 1, 5)):
        pass
    print(f", then {rest[0].id}")
    early.close()
    publisher.publish([(name, "b", b"")])
    late = PushBroker(port)
    ids = [lease.id for _ in range(2) for lease in late.lease([name], 2, 1)]
    print(f"  a worker that came later begins {sorted(ids)}")
    late.close()
    publisher.close()
    print("  FITS in part: claims look into a set. A broadcast fills it only for those present, so")
    print("  the set (or REVOKED) has to lie in a store; without one, late workers do run it.")


def serve(folder):
    (folder / "rabbitmq.conf").write_text(CONFIG)
    (folder / "advanced.config").write_text(ADVANCED)
    (folder / "plugins").write_text("[].")
    ports = []
    for _ in range(3):
        with socket.create_server(("127.0.0.1", 0)) as probe:
            ports.append(str(probe.getsockname()[1]))
    environment = os.environ | {
        "HOME": str(folder), "RABBITMQ_MNESIA_BASE": str(folder / "data"), "RABBITMQ_LOGS": "-",
        "RABBITMQ_CONFIG_FILE": str(folder / "rabbitmq.conf"), "RABBITMQ_NODE_PORT": ports[0],
        "RABBITMQ_DIST_PORT": ports[1], "ERL_EPMD_PORT": ports[2],
        "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "plugins"),
        "RABBITMQ_ADVANCED_CONFIG_FILE": str(folder / "advanced.config"),
        "RABBITMQ_NODENAME": f"push{os.getpid()}@localhost",
    }  # fmt: skip
    names = subprocess.Popen(["epmd", "-port", ports[2]])
    program = next(Path("/usr/lib/rabbitmq/bin").glob("rabbitmq-server"), "rabbitmq-server")
    server = subprocess.Popen(
        [program], env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        start_new_session=True, cwd=folder,
    )  # fmt: skip
    seen = deque(maxlen=20)
    for line in server.stdout:
        seen.append(line)
        if "startup complete" in line:
            threading.Thread(target=deque, args=(server.stdout, 0), daemon=True).start()
            return server, names, int(ports[0])
    sys.exit("".join(seen))


def main():
    with tempfile.TemporaryDirectory() as name:
        server, names, port = serve(Path(name))
        try:
            cases = connection_killed, ack_lost, delayed, longer_than_the_timeout, revoked
            for number, case in enumerate(cases, 1):
                print(f"{number}. {case.__name__.replace('_', ' ')}")
                case(port)
        finally:
            os.killpg(server.pid, signal.SIGKILL)
            server.wait()
            names.kill()
            names.wait()


if __name__ == "__main__":
    main()
