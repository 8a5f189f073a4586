"""What a call costs on RabbitMQ, beside a bare client's confirmed publishes of the same bytes.

- ``add.delay(4, 4)``, against py-amqp's publish and wait for its confirm, and Celery's ``delay``
  with confirms on;
- ``add.send_many`` of a thousand calls, against py-amqp with all confirms awaited at the end.

Alternating, medians of as many turns as the time allows: one message alone waits for the server's
disk. Run: python benchmarks/amqp_enqueue.py [--seconds 40]
"""

import argparse
import logging
import time
from statistics import median
from urllib.parse import urlsplit

import amqp
from _rabbit import rabbit_server
from celery import Celery

from penstock import App
from penstock.brokers.amqp_wire import write
from penstock.wire.task import Call, encode_call

SINGLE = 100
BATCH = 1_000
MOST = 15  # turns


def add(x, y):
    return x + y


def rate(count, work):
    begin = time.perf_counter()
    work()
    return count / (time.perf_counter() - begin)


class Bare:
    """py-amqp alone, in confirm mode."""

    def __init__(self, url):
        at = urlsplit(url)
        self.connection = amqp.Connection(f"{at.hostname}:{at.port}")
        self.connection.connect()
        self.channel = self.connection.channel()
        self.channel.confirm_select()
        self.channel.queue_declare("bare", durable=True, auto_delete=False)

    def one(self, message):
        self.channel.basic_publish_confirm(message, routing_key="bare")

    def many(self, messages):
        """Publish all, then read until the last is confirmed; raises where nothing comes."""
        channel = self.connection.channel()  # tags begin anew
        channel.confirm_select()
        left = set(range(1, len(messages) + 1))

        def on_ack(tag, multiple):
            left.difference_update(range(1, tag + 1) if multiple else (tag,))

        channel.events["basic_ack"].add(on_ack)
        for message in messages:
            channel.basic_publish(message, routing_key="bare")
        while left:
            self.connection.drain_events(timeout=20)
        channel.close()


def measurements(url):
    ours = App("shop", broker=url).task(name="shop.add")(add)
    celery = Celery("shop", broker=url)
    celery.conf.broker_transport_options = {"confirm_publish": True}
    celery.conf.task_default_queue = "theirs"
    theirs = celery.task(name="shop.add")(add)
    bare = Bare(url)
    call = Call(task="shop.add", id=f"0191f6d4-7a3c-7d10-8a6e-{7:012x}", args=(4, 4), origin="a@h")
    data = encode_call(call, queue="bare")

    def singles(function):
        return lambda: [function() for _ in range(SINGLE)]

    return {
        "publish, confirm": (SINGLE, singles(lambda: bare.one(write(data)))),
        "delay": (SINGLE, singles(lambda: ours.delay(4, 4))),
        "Celery's delay": (SINGLE, singles(lambda: theirs.delay(4, 4))),
        "1,000, then confirms": (BATCH, lambda: bare.many([write(data) for _ in range(BATCH)])),
        "send_many of 1,000": (BATCH, lambda: ours.send_many([(4, 4)] * BATCH)),
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=40.0)
    options = parser.parse_args()
    logging.getLogger("penstock").setLevel(logging.ERROR)  # nobody is to run what is sent here
    with rabbit_server() as (url, _):
        works = measurements(url)
        seen = {name: [] for name in works}
        ends = time.monotonic() + options.seconds
        for turn in range(MOST + 1):  # the first is to warm
            for name, (count, work) in works.items():
                value = rate(count, work)
                if turn:
                    seen[name].append(value)
            if turn and time.monotonic() > ends:
                break
    middle = {name: median(values) for name, values in seen.items()}
    for name, value in middle.items():
        spread = f"{min(seen[name]):,.0f}-{max(seen[name]):,.0f}"
        print(f"  {name:26}{value:>10,.0f}/s  {spread:>18}  ({len(seen[name])} turns)")
    raw, delay, celery, pipe, many = middle.values()
    print(f"delay:     {delay / raw:5.0%} of a bare publish, {delay / celery:.1f} x Celery's")
    print(f"send_many: {many / pipe:5.0%} of bare publishes with confirms (aim: 70 %)")


if __name__ == "__main__":
    main()
