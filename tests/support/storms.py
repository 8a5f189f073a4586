"""One storm over each broker, or one after the other for hours; all told together at the end.

python tests/support/storms.py                 once over each
python tests/support/storms.py --hours 8       until then, each time with another seed
"""

import argparse
import contextlib
import itertools
import random
import sys
import time

from penstock.testing.history import Rules
from storm import Plan, run
from storm_sites import SITES
from storm_table import table

TASKS = 25_500  # of each broker but the slow ones: some are not acknowledged
KILLS = {"executor": 180, "worker": 25, "zygote": 12, "client": 6, "term": 8, "stop": 6}
LINES = {
    "sqlite": {},
    "redis": {"server": 15, "cut": 130},
    "postgres": {"server": 13, "cut": 115},
    "rabbitmq": {"server": 5, "cut": 60},  # it takes seconds to start
    "zookeeper": {"server": 2, "cut": 20},
}
SMALL = {"zookeeper": 0.1}  # of the tasks and of the faults: it is for low rates
# Bounds for a machine that has something else to do; the figures are printed.
RULES = Rules(executor_rerun_p99=0.5, worker_rerun_p99=2.0, server_back_p99=3.0, slot_p99=0.5)


def plan_of(broker, seed, tasks):
    share = SMALL.get(broker, 1)
    faults = {kind: round(count * share) for kind, count in KILLS.items()} | LINES[broker]
    return Plan(broker, round(tasks * share), faults, seed=seed, pause=0.1, rules=RULES)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--hours", type=float, default=0.0)
    parser.add_argument("--tasks", type=int, default=TASKS)
    parser.add_argument("--broker", nargs="*", choices=list(SITES), default=list(SITES))
    options = parser.parse_args()
    ends = time.monotonic() + options.hours * 3600
    named = []
    for number, broker in enumerate(itertools.cycle(options.broker)):
        if number >= len(options.broker) and time.monotonic() >= ends:
            break
        plan = plan_of(broker, random.randrange(1_000_000), options.tasks)
        print(f"--- {broker}, seed {plan.seed}", flush=True)
        began = time.monotonic()
        named.append((broker, run(plan)))
        print(f"took {time.monotonic() - began:.0f} s", flush=True)
    print("--- together", flush=True)
    print(table(named)[0])
    return 0 if all(report.clean for _, report in named) else 1


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        sys.exit(main())
