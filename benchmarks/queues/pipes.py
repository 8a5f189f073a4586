"""How many messages a second go through a pipe, beside multiprocessing's and a bare os.pipe.

python benchmarks/queues/pipes.py [--quick] [--only int] [--json FILE]
"""

from _channels import BYTES, PIPES
from _flow import measure
from _messages import SMALL
from _rounds import Goal, Question, main

OURS, OTHER = "penstock.Pipe(duplex=False)", "multiprocessing.Pipe(duplex=False)"


def objects(kind):
    return Question(
        name=f"send {kind}",
        contenders=tuple(PIPES),
        ours=OURS,
        goals=(
            Goal("3 x multiprocessing.Pipe", 3.0, (OTHER,)),
            Goal("ahead of os.pipe frames", 1.0, ("os.pipe frames + pickle",)),
        ),
        facts={"kind": kind},
    )


def batches(kind):
    return Question(
        name=f"send_many {kind}, 100 at a time",
        contenders=(OURS, OTHER),  # the other has no batches: one at a time
        ours=OURS,
        facts={"kind": kind, "batch": True},
    )


def raw(kind):
    return Question(
        name=f"send_bytes {kind}",
        contenders=tuple(BYTES),
        ours="penstock.Pipe send_bytes",
        goals=(
            Goal("3 x multiprocessing.Pipe", 3.0, ("multiprocessing.Pipe send_bytes",)),
            Goal("ahead of os.pipe frames", 1.0, ("os.pipe frames",)),
        ),
        facts={"kind": kind},
    )


QUESTIONS = [
    *map(objects, SMALL),
    *map(raw, ("64 B", "1 KiB")),
    *map(batches, SMALL),
]

if __name__ == "__main__":
    main(__doc__, QUESTIONS, measure)
