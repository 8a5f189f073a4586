"""What the channel between supervisor and executor costs a task: the most another could win.

The four steps of the channel alone, in one process, and how much of each is encoding, which any
channel needs. What a task costs a worker in all, `drain.py` says (CPU seconds per 10,000 tasks).

    python benchmarks/experiments/channel_share.py
"""

import os
import time
from statistics import median

from penstock.message import new_id
from penstock.wire.task import Call, encode_call
from penstock.worker.channel import ExecutorChannel, SupervisorChannel
from penstock.worker.protocol import Finished, Hand, frame, pack_hand, unpack_hand

BATCH = 50
ROUNDS = 400


def task(number):
    call = Call(task="shop.pay", id=new_id(), args=(number,), origin="gen1@host")
    return Hand(number, encode_call(call, queue="celery"), attempt=1, announce=False)


def per_task(work):
    spent = []
    for _ in range(ROUNDS):
        begin = time.perf_counter()
        work()
        spent.append((time.perf_counter() - begin) / BATCH)
    return median(spent) * 1e6


def main():
    tasks = [task(n) for n in range(BATCH)]
    packed = pack_hand(tasks[0])
    done = Finished(1, "SUCCESS", b"x" * 160, 0.001)
    supervisor = SupervisorChannel()
    executor = ExecutorChannel(*map(os.dup, supervisor.descriptors()))
    steps = {"hand": [], "receive": [], "answer": [], "replies": []}
    for _ in range(ROUNDS):
        for name, work in (
            ("hand", lambda: [supervisor.hand(each) for each in tasks]),
            ("receive", lambda: [executor.receive_now() for _ in tasks]),
            ("answer", lambda: [executor.send(done) for _ in tasks]),
            ("replies", supervisor.replies),
        ):
            begin = time.perf_counter()
            work()
            steps[name].append((time.perf_counter() - begin) / BATCH * 1e6)
    encoding = {
        "hand": per_task(lambda: [pack_hand(each) for each in tasks]),
        "receive": per_task(lambda: [unpack_hand(packed) for _ in tasks]),
        "answer": per_task(lambda: [frame(done) for _ in tasks]),
    }
    for name, values in steps.items():
        print(
            f"{name:8} {median(values):6.2f} us a task, {encoding.get(name, 0):5.2f} of it encoding"
        )


if __name__ == "__main__":
    main()
