"""The floor of one call at a time on RabbitMQ; see amqp_idle.py. Bare py-amqp, bare redis-py.

A persistent message and its confirm, one consumer in the process that runs the task, the result in
Redis, an acknowledgement: no retries, no recovery, no second process. `python -m _app_raw_amqp`.
"""

import os

import amqp
import redis
from _marks import mark

_server = redis.Redis.from_url(os.environ.get("REDIS_URL", "") + "/8", socket_timeout=None)


def _channel():
    host = os.environ["BROKER_URL"].removeprefix("amqp://").rstrip("/").rpartition("@")[2]
    connection = amqp.Connection(host, confirm_publish=True)
    connection.connect()
    channel = connection.channel()
    channel.queue_declare("raw", durable=True, auto_delete=False)
    return channel


_sending = None


def run(number, reply=""):
    global _sending  # noqa: PLW0603 - one channel of the client, opened at its first call
    _sending = _sending or _channel()
    message = amqp.Message(f"{number} {reply}", delivery_mode=2)
    _sending.basic_publish_confirm(message, routing_key="raw")


def trip(number):
    """One call, there and back."""
    reply = f"reply-{os.getpid()}-{number}"
    run(number, reply)
    return int(_server.blpop(reply, timeout=20)[1])


def serve():
    channel = _channel()

    def take(message):
        number, _, reply = message.body.partition(" ")
        mark(int(number))
        with _server.pipeline(transaction=False) as store:
            store.set(f"result-{number}", number, ex=3600)
            if reply:
                store.rpush(reply, number)
            store.execute()
        channel.basic_ack(message.delivery_tag)

    channel.basic_qos(0, 1, False)
    channel.basic_consume("raw", callback=take)
    while True:
        channel.connection.drain_events()


if __name__ == "__main__":
    serve()
