"""How many gigabytes a second go from one process to another in messages of 1 MiB.

python benchmarks/queues/large.py [--quick] [--only bytearray] [--json FILE]
"""

from _channels import QUEUES
from _flow import measure
from _messages import LARGE
from _rounds import Goal, Question, main

ZMQ, PACKETS = "pyzmq ipc + pickle", "SEQPACKET + pickle"  # a packet is never that large
PIPES = ("multiprocessing.Pipe(duplex=False)", "os.pipe frames + pickle")
PEERS = tuple(name for name in QUEUES if "penstock" not in name and name != PACKETS) + PIPES


def question(ours, kind):
    return Question(
        name=f"{ours.removeprefix('penstock.')}, {kind}",
        contenders=(ours, *PEERS),
        ours=ours,
        goals=(
            Goal("4 GB/s", figure=4.0),
            Goal("ahead of pyzmq", 1.0, (ZMQ,)),
            Goal("8 GB/s", figure=8.0, stretch=True),
        ),
        facts={"kind": kind},
        unit="GB/s",
        first=200,
    )


QUESTIONS = [
    question(ours, kind)
    for kind in LARGE
    for ours in ("penstock.ProcessQueue", "penstock.Pipe(duplex=False)")
]

if __name__ == "__main__":
    main(__doc__, QUESTIONS, measure)
