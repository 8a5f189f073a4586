"""How fast py-amqp and pika do what a broker on RabbitMQ needs of its client library.

What the broker needs, both ways with each: publishing with pipelined confirms, claiming by
pipelined ``basic.get``, consuming, acknowledging. Needs rabbitmq-server, amqp and pika.
"""

import sys
import time
from pathlib import Path

import amqp
import pika
from amqp import spec

sys.path.insert(0, str(Path(__file__).parents[2] / "tests" / "support"))
from rabbit_server import RabbitServer

COUNT, WINDOW, BODY = 20_000, 500, b"[[1, 2], {}, {}]" + b" " * 100


def rate(began, count=COUNT):
    return f"{count / (time.perf_counter() - began):10,.0f}/s"


def with_amqp(port):  # noqa: C901 - one step after the other
    connection = amqp.Connection(
        f"127.0.0.1:{port}", RabbitServer.USER, RabbitServer.PASSWORD, virtual_host="/"
    )
    connection.connect()
    channel = connection.channel()
    channel.queue_declare("one", durable=True, auto_delete=False)
    channel.confirm_select()
    confirmed = [0]

    def confirm(tag, multiple):
        confirmed[0] = tag if multiple or tag == confirmed[0] + 1 else confirmed[0]

    channel.events["basic_ack"].add(confirm)
    message = amqp.Message(BODY, delivery_mode=2, content_type="application/json")
    began = time.perf_counter()
    for number in range(1, COUNT + 1):
        channel.basic_publish(message, routing_key="one")
        if number % WINDOW == 0:
            while confirmed[0] < number - WINDOW:
                connection.drain_events()
    while confirmed[0] < COUNT:
        connection.drain_events()
    print("  publish, confirmed  ", rate(began))

    began = time.perf_counter()
    replies = [spec.Basic.GetOk, spec.Basic.GetEmpty]
    for _ in range(COUNT // 2 // 50):
        for _ in range(50):
            channel.send_method(spec.Basic.Get, "Bsb", (0, "one", False))
        for _ in range(50):
            tag = channel.wait(replies, returns_tuple=True)[0]
        channel.basic_ack(tag, multiple=True)
    print("  get 50, ack multiple", rate(began, COUNT // 2))

    began, seen = time.perf_counter(), [0]

    def consume(message):
        seen[0] += 1
        if seen[0] % 50 == 0:
            channel.basic_ack(message.delivery_tag, multiple=True)

    channel.basic_qos(0, 200, a_global=False)
    channel.basic_consume("one", callback=consume)
    while seen[0] < COUNT // 2:
        connection.drain_events()
    print("  consume, ack        ", rate(began, COUNT // 2))
    connection.close()


def with_pika(port):  # noqa: C901
    login = pika.PlainCredentials(RabbitServer.USER, RabbitServer.PASSWORD)
    connection = pika.BlockingConnection(pika.ConnectionParameters("127.0.0.1", port, "/", login))
    channel = connection.channel()
    channel.queue_declare("two", durable=True)
    inner = channel._impl  # noqa: SLF001 - the blocking one waits for each confirm
    confirmed = [0]

    def confirm(frame):
        tag, multiple = frame.method.delivery_tag, frame.method.multiple
        confirmed[0] = tag if multiple or tag == confirmed[0] + 1 else confirmed[0]

    ready = []
    inner.confirm_delivery(confirm, lambda _: ready.append(1))
    while not ready:
        connection.process_data_events(0.1)
    properties = pika.BasicProperties(delivery_mode=2, content_type="application/json")
    began = time.perf_counter()
    for number in range(1, COUNT + 1):
        inner.basic_publish("", "two", BODY, properties)
        if number % WINDOW == 0:
            connection.process_data_events(0)
            while confirmed[0] < number - WINDOW:
                connection.process_data_events(1)
    while confirmed[0] < COUNT:
        connection.process_data_events(1)
    print("  publish, confirmed  ", rate(began))

    began = time.perf_counter()
    for _ in range(COUNT // 2 // 50):  # it allows one get at a time
        for _ in range(50):
            tag = channel.basic_get("two")[0].delivery_tag
        channel.basic_ack(tag, multiple=True)
    print("  get 50, ack multiple", rate(began, COUNT // 2))

    channel.basic_qos(prefetch_count=200)
    began = time.perf_counter()
    for seen, (method, _, _) in enumerate(channel.consume("two"), 1):
        if seen % 50 == 0:
            channel.basic_ack(method.delivery_tag, multiple=True)
        if seen == COUNT // 2:
            break
    print("  consume, ack        ", rate(began, COUNT // 2))
    connection.close()


with RabbitServer() as server:
    for name, run in {"py-amqp": with_amqp, "pika": with_pika}.items():
        print(name)
        run(server.port)
