"""How many messages a second go between processes, one at a time and in batches of 100.

One or four producers, one or four consumers, four kinds of messages, all peers in the same run.

    python benchmarks/queues/processes.py [--quick] [--only 1P1C] [--against zmq] [--json FILE]
"""

from _channels import QUEUES
from _flow import measure
from _messages import SMALL
from _rounds import Goal, Question, main

OURS, QUEUE = "penstock.ProcessQueue", "multiprocessing.Queue"
ZMQ, FIFO = "pyzmq ipc + pickle", "faster-fifo"
SHAPES = ((1, 1), (4, 1), (1, 4), (4, 4))


def single(producers, consumers, kind):
    alone = producers == consumers == 1
    goals = [
        Goal("4 x multiprocessing.Queue", 4.0, (QUEUE,)),
        Goal("ahead of pyzmq", 1.0, (ZMQ,), stretch=not alone),
    ]
    if alone:
        goals.append(Goal("1.2 M/s", figure=1.2e6, stretch=True))
    return Question(
        name=f"{producers}P{consumers}C {kind}",
        contenders=tuple(QUEUES),
        ours=OURS,
        goals=tuple(goals),
        facts={"kind": kind, "producers": producers, "consumers": consumers},
    )


def batches(producers, consumers, kind):
    alone = producers == consumers == 1
    goals = [
        Goal(f"{5 if alone else 2} x faster-fifo's batches", 5.0 if alone else 2.0, (FIFO,)),
        Goal("15 x multiprocessing.Queue", 15.0, (QUEUE,)),
        Goal("5 M/s", figure=5e6, stretch=True),
    ]
    return Question(
        name=f"{producers}P{consumers}C {kind}, batches of 100",
        contenders=(OURS, FIFO, QUEUE),  # the last has no batches: one at a time
        ours=OURS,
        goals=tuple(goals if alone else goals[:1]),
        facts={"kind": kind, "producers": producers, "consumers": consumers, "batch": True},
    )


QUESTIONS = [
    make(producers, consumers, kind)
    for make in (single, batches)
    for producers, consumers in SHAPES
    for kind in SMALL
]

if __name__ == "__main__":
    main(__doc__, QUESTIONS, measure)
