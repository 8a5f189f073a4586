"""Publishing: what was acknowledged is kept, as it was, once per key."""

from __future__ import annotations

import threading

from penstock.errors import PenstockError
from penstock.message import Done, Message
from penstock.testing.conformance.stage import BrokerStage, ids, needs

__all__ = ["PublishingCases"]


def _same(leased: Message, published: Message) -> bool:
    """True when everything that a caller gave came back."""
    fields = ("id", "queue", "body", "priority", "expires_at")
    return all(getattr(leased, name) == getattr(published, name) for name in fields) and (
        dict(published.headers).items() <= dict(leased.headers).items()
    )


class PublishingCases(BrokerStage):
    """What a broker does with what it is given."""

    def test_what_is_leased_is_what_was_published(self) -> None:
        message = self.message("it", body=b"\x00\xff[bytes]", headers={"task": "t", "nested": [1]})
        self.one.publish(message)
        assert _same(self.lease_one().message, message)

    def test_another_client_sees_it_at_once(self) -> None:
        self.one.publish(self.message("it"))
        assert self.lease_one(self.two).message.id == "it"

    def test_it_outlives_its_client(self) -> None:
        self.one.publish(self.message("it"))
        self.one.broker.close()
        self.two.broker.close()
        assert self.lease_one(self.client()).message.id == "it"

    def test_a_batch_is_kept_whole_and_in_order(self) -> None:
        batch = self.messages(250)
        self.one.publish(*batch)
        assert self.two.finish(self.queue) == [message.id for message in batch]

    def test_one_batch_may_go_to_several_queues(self) -> None:
        other = f"{self.queue}-other"
        self.one.publish(self.message("a"), self.message("b", queue=other))
        assert ids(self.one.lease(other, limit=5)) == ["b"]
        assert ids(self.one.lease(self.queue, limit=5)) == ["a"]

    def test_nothing_to_publish_lease_extend_or_settle_is_no_error(self) -> None:
        self.one.publish()
        assert self.one.lease(self.queue) == []
        assert self.one.lease() == []
        assert self.one.extend() == []
        assert self.one.settle() == []

    def test_a_limit_of_zero_leases_nothing(self) -> None:
        self.one.publish(self.message())
        assert self.one.lease(self.queue, limit=0) == []
        assert self.lease_one().attempt == 1

    @needs("repeatable")
    def test_publishing_a_key_again_stores_nothing_new(self) -> None:
        message = self.message("it")
        self.one.publish(message, message)
        self.two.publish(message)
        assert self.one.finish(self.queue) == ["it"]

    @needs("repeatable")
    def test_publishing_the_key_of_a_leased_message_stores_nothing_new(self) -> None:
        message = self.message("it")
        self.one.publish(message)
        lease = self.lease_one()
        self.two.publish(message)
        assert self.two.lease(self.queue) == []
        assert self.one.settle(Done(lease)) == []

    @needs("repeatable")
    def test_publishing_a_settled_key_again_does_not_bring_it_back(self) -> None:
        message = self.message("it")
        self.one.publish(message)
        self.one.settle(Done(self.lease_one()))
        self.two.publish(message)
        assert self.one.lease(self.queue) == []

    def test_one_task_id_may_be_sent_twice(self) -> None:
        self.one.publish(self.message("twice"), self.message("twice"))
        first, second = self.one.lease(self.queue, limit=5)
        assert first.message.key != second.message.key
        assert self.one.settle(Done(first)) == []
        assert self.heir.extend(second), "settling one publication ended the other"

    def test_a_body_of_a_megabyte(self) -> None:
        body = bytes(range(256)) * 4096
        self.one.publish(self.message("big", body=body))
        assert self.lease_one(self.two).message.body == body

    def test_queue_names_of_any_letters(self) -> None:
        names = [f"{self.queue} {name}" for name in ("größe", "очередь", "队列", "a:b/c%d'e\"f")]
        self.one.publish(*(self.message(name, queue=name) for name in names))
        for name in names:
            assert ids(self.two.lease(name, limit=5)) == [name]

    def test_sixteen_threads_publish_at_once(self) -> None:
        failures: list[PenstockError] = []
        batches = [self.messages(5) for _ in range(16)]

        def publish(batch: list[Message]) -> None:
            try:
                for message in batch:
                    self.one.publish(message)
            except PenstockError as error:
                failures.append(error)

        threads = [threading.Thread(target=publish, args=(batch,)) for batch in batches]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not failures
        done = self.two.finish(self.queue)
        assert sorted(done) == sorted(message.id for batch in batches for message in batch)
        for batch in batches:
            sent = [message.id for message in batch]
            assert [name for name in done if name in sent] == sent
