"""Where a fleet meets: the server that carries its messages, as anybody can look at it."""

import amqp
import redis

__all__ = ["OnRabbit", "OnRedis"]

QUEUES = ("celery", "second")
STEPS = ("", "\x06\x163", "\x06\x166", "\x06\x169")  # of priority, in the names of Celery's lists
DATABASE = 5
BACK = "penstock.back."


class OnRedis:
    """One database of a Redis server, which was flushed."""

    TRANSPORT, VHOST = "redis", str(DATABASE)
    FIRST = min  # of priorities, which is served first
    SHOWS_DELAYED = True  # what waits for its time in the broker

    def __init__(self, server):
        self.url = server.url(DATABASE)
        self.password = server.PASSWORD
        self.client = redis.Redis.from_url(
            self.url, decode_responses=True, encoding_errors="replace"
        )

    def waiting(self):
        """Messages in Celery's lists, and deliveries that Celery workers hold."""
        lists = [queue + step for queue in QUEUES for step in STEPS]
        with self.client.pipeline(transaction=False) as pipeline:
            for name in lists:
                pipeline.llen(name)
            pipeline.hlen("unacked")
            pipeline.zcard("unacked_index")
            return sum(pipeline.execute())

    def drop(self, queue):
        """Forget what is in a queue."""
        self.client.delete(queue)

    def close(self):
        self.client.close()


class OnRabbit:
    """A RabbitMQ server, whose queues and exchanges of former fleets are deleted."""

    TRANSPORT, VHOST = "amqp", "/"
    FIRST = max
    SHOWS_DELAYED = False

    def __init__(self, server):
        server.ensure()
        self.server = server
        self.url = server.url()
        self.password = server.PASSWORD
        self._connection = amqp.Connection(
            f"127.0.0.1:{server.port}", userid=server.USER, password=server.PASSWORD
        )
        self._connection.connect()
        self._channel = self._connection.channel()
        for queue in (*self._depths(), "penstock.dead"):
            self._channel.queue_delete(queue)
        for (
            exchange
        ) in QUEUES:  # Celery has one of each name, of a kind that depends on the queue's
            self._channel.exchange_delete(exchange)

    def _depths(self):
        """Messages that wait and that are delivered, by queue, as the server itself tells."""
        told = self.server.ctl("list_queues", "name", "messages", "--no-table-headers")
        depths = dict(line.split("\t") for line in told.splitlines())
        return {
            name: int(count)
            for name, count in depths.items()
            if not name.startswith("penstock.") or name.startswith((BACK, "penstock.held."))
        }

    def waiting(self):
        """Messages in the queues, and deliveries that workers hold."""
        for queue in (*QUEUES, *(BACK + queue for queue in QUEUES)):
            if count := self._ready(queue):
                return count
        return sum(self._depths().values())

    def _ready(self, queue):
        try:
            return self._channel.queue_declare(queue, passive=True).message_count
        except amqp.NotFound:
            self._channel = self._connection.channel()
            return 0

    def drop(self, queue):
        self._channel.queue_purge(queue)

    def close(self):
        self._connection.collect()
