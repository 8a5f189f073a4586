"""Dead letters on RabbitMQ: who looks takes them, and whoever looks next finds them."""

import threading

from penstock.brokers.amqp_queues import DEAD_QUEUE
from penstock.brokers.registry import open_broker
from penstock.message import Dead, Message, new_id

# Lets the queue do nothing until it was sent three things, which then compete for its attention.
_STALL = """
{ok, Queue} = rabbit_amqqueue:lookup(rabbit_misc:r(<<"/">>, queue, <<"%s">>)),
Process = amqqueue:get_pid(Queue),
Watch = fun Watch() ->
    case process_info(Process, message_queue_len) of
        {_, Count} when Count >= 3 -> sys:resume(Process);
        _ -> timer:sleep(2), Watch()
    end
end,
sys:suspend(Process),
spawn(Watch).
"""


def test_who_looks_next_finds_what_the_first_one_leaves_just_now(rabbit_server, rabbit_url):
    """The queue tells how many there are before it takes back what it was given back."""
    queue = f"orders-{new_id()}"
    first, second = open_broker(rabbit_url), open_broker(rabbit_url)
    first.publish([Message(id=new_id(), queue=queue, headers={"task": "t"}, body=b"[]")])
    (lease,) = first.lease([queue], 1, 10.0, wait=10.0)
    first.settle([Dead(lease, "not today")])
    (letter,) = first.dead(queue)
    second.depth(queue)  # it has its connection
    found = []
    looker = threading.Thread(target=lambda: found.extend(second.dead(queue)))

    def look(burial, _message):
        if burial.key == letter.message.key:
            rabbit_server.ctl("eval", _STALL % DEAD_QUEUE)
            looker.start()
        return False

    first._through(look)
    looker.join(30.0)
    assert found == [letter]
    assert second.drop([letter.message.key]) == 1
    first.close()
    second.close()
