"""Gives mutated inputs to every parser: ``fuzz.py --inputs 1000``, ``fuzz.py task --seconds 60``.

Whatever the bytes, a parser gives a value or the error that its page names, in bounded time and
memory. Inputs are read in forked processes, so that a crash and a hang are findings as well. A
finding is printed with the command that makes it again.
"""

import argparse
import ctypes
import mmap
import os
import random
import resource
import signal
import struct
import sys
import time
import traceback
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "support"))

import history_target
import memory_targets
import store_targets
import wire_targets
import words_targets
import worker_targets
from mutation import random_of

MODULES = (
    wire_targets, worker_targets, store_targets, words_targets, history_target, memory_targets,
)  # fmt: skip
TARGETS = {target.name: target for module in MODULES for target in module.TARGETS}
SLOW = 2.0  # seconds of the processor for one input; the largest here take a hundredth
STUCK = 20.0  # seconds until one that does nothing is ended
MEMORY = 1 << 30  # bytes that a reader may take beside what it has
BATCH = 2000  # inputs of one process


class Finding(Exception):
    """What a parser must not do; the text says how to make it again."""


def fuzz(target, *, inputs, seconds, seed):
    """Read so many inputs, or for so long; gives how many were read. Raises Finding."""
    end = time.monotonic() + seconds
    done = 0
    while done < inputs and time.monotonic() < end:
        done += _batch(target, seed + done, min(BATCH, inputs - done), end)
    return done


def _batch(target, seed, count, end):
    """Read so many in a process of its own; gives how many it came to."""
    with mmap.mmap(-1, 8) as progress:
        pid = os.fork()
        if pid == 0:
            os._exit(_child(target, seed, count, end, progress))
        _, status = os.waitpid(pid, 0)
        (reached,) = struct.unpack("q", progress[:8])
    if status:
        code = os.waitstatus_to_exitcode(status)
        how = "" if code > 0 else f" ended by {signal.Signals(-code).name}:"
        raise Finding(f"{target.name}:{how} again by\n  {command(target, seed + reached)}")
    return reached + 1


def command(target, seed):
    return f"python tests/fuzz/fuzz.py {target.name!r} --inputs 1 --seed {seed}"


def _child(target, seed, count, end, progress):
    ctypes.CDLL(None).prctl(4, 0)  # no core file, where the system has such a call
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    _bound_memory()
    try:
        corpus = target.seeds()
        for n in range(count):
            progress[:8] = struct.pack("q", n)
            _read_one(target, corpus, seed + n)
            if time.monotonic() > end:
                break
    except BaseException:  # noqa: BLE001 - whatever it is, it is the finding
        traceback.print_exc()
        return 1
    return 0


def _bound_memory():
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * os.sysconf("SC_PAGE_SIZE") + MEMORY
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


def _read_one(target, corpus, seed):
    chance = random_of(seed)
    data = target.make(chance, corpus)
    signal.setitimer(signal.ITIMER_REAL, STUCK)
    began = time.process_time()
    try:
        target.read(data, chance)
    except Exception as error:
        raise AssertionError(f"input {data[:300]!r}") from error
    took = time.process_time() - began
    assert took < SLOW, f"took {took} s: {data[:300]!r}"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("target", nargs="*", help=f"one or more of: {', '.join(TARGETS)}")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="for all together")
    parser.add_argument("--inputs", type=int, default=sys.maxsize, help="of each")
    parser.add_argument("--seed", type=int, default=random.randrange(2**32))
    options = parser.parse_args()
    if unknown := set(options.target) - TARGETS.keys():
        parser.error(f"no target {', '.join(unknown)}; there are {', '.join(TARGETS)}")
    if options.inputs == sys.maxsize and options.seconds == float("inf"):
        options.seconds = 60.0
    chosen = [TARGETS[name] for name in options.target or TARGETS]
    found = 0
    for target in chosen:
        share = options.seconds / len(chosen)
        try:
            count = fuzz(target, inputs=options.inputs, seconds=share, seed=options.seed)
        except Finding as finding:
            print(f"FINDING {finding}", flush=True)
            found += 1
        else:
            print(f"{target.name}: {count} inputs from seed {options.seed}", flush=True)
    print(f"{len(chosen) - found} of {len(chosen)} targets without a finding")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
