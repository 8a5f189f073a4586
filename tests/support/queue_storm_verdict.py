"""What the records of a queue storm prove."""

import dataclasses
from collections import Counter

from queue_storm_crew import CORRUPT, DONE, GOT, PUT, RECORD


@dataclasses.dataclass
class Verdict:
    """What the records prove. Times are seconds."""

    queue: str
    kills: int = 0
    dead: int = 0  # times when somebody did not go on, and the queue was replaced
    put: int = 0  # items that `put` returned for
    got: int = 0
    lost: int = 0  # put into a queue that lived to the end, and got by nobody
    said: int | None = None  # lost, by the queue's own count
    possible: int = 0  # the most that it can be, if the queue is right
    stranded: int = 0  # put, and still in a dead queue
    twice: int = 0
    corrupt: int = 0
    disorder: int = 0
    unknown: int = 0  # got, but never put by anybody
    errors: list = dataclasses.field(default_factory=list)
    joined: bool | None = None  # join() returned at the end
    left: dict = dataclasses.field(default_factory=dict)  # in the queue at the end
    files: list = dataclasses.field(default_factory=list)  # left in /dev/shm
    descriptors: int = 0  # more than before, in this process and in any survivor
    seconds: float = 0.0
    first: list = dataclasses.field(default_factory=list)  # kill to anybody's next step
    every: list = dataclasses.field(default_factory=list)  # kill to every survivor's next step
    calm: list = dataclasses.field(default_factory=list)  # the same from a moment without a kill

    def clean(self):
        """Whether all that is promised was kept."""
        wrong = self.dead, self.twice, self.corrupt, self.disorder, self.unknown, self.stranded
        told = self.said is None or self.lost <= self.said <= self.possible
        tidy = not (self.errors or self.files or self.descriptors or any(self.left.values()))
        return not any(wrong) and told and tidy and self.joined is not False

    def row(self):
        return {
            "kills": self.kills,
            "queue dead": self.dead,
            "put": self.put,
            "got": self.got,
            "lost": self.lost,
            "said lost": "-" if self.said is None else self.said,
            "stranded": self.stranded,
            "twice": self.twice,
            "corrupt": self.corrupt,
            "out of order": self.disorder,
            "unknown": self.unknown,
            "errors": len(self.errors),
            "join returned": {True: "yes", False: "NO", None: "-"}[self.joined],
            "files left": len(self.files),
            "descriptors left": self.descriptors,
            "first to go on, ms: p50": milliseconds(self.first, 50),
            "  p99": milliseconds(self.first, 99),
            "  max": milliseconds(self.first, 100),
            "all go on, ms: p50": milliseconds(self.every, 50),
            "  p99 ": milliseconds(self.every, 99),
            "  max ": milliseconds(self.every, 100),
            "without a kill, ms: p50": milliseconds(self.calm, 50),
            "  p99  ": milliseconds(self.calm, 99),
            "  max  ": milliseconds(self.calm, 100),
            "items a second": f"{self.got / self.seconds:,.0f}" if self.seconds else "-",
        }


def percentile(values, percent):
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))]


def milliseconds(values, percent):
    return f"{percentile(values, percent) * 1000:.1f}" if values else "-"


def judge(verdict, folder, killed, *, alive):
    """Add what the records of one round say. `killed`: names of processes; `alive`: the queue."""
    records = {path.name: read(path) for path in folder.iterdir() if not path.suffix}
    put = {key for found in records.values() for key in found[PUT]}
    got = Counter(key for found in records.values() for key in found[GOT])
    missing = put - got.keys()
    verdict.put += len(put)
    verdict.got += got.total()
    verdict.twice += sum(count - 1 for count in got.values())
    verdict.corrupt += sum(len(found[CORRUPT]) for found in records.values())
    verdict.disorder += sum(disorder(found[GOT]) for found in records.values())
    # Killed between put and its record: it is in the queue, and nobody wrote it down.
    verdict.unknown += sum(1 for who, _ in got.keys() - put if str(who) not in killed)
    if alive:
        dead = [records[name] for name in killed & records.keys()]
        undone = sum(len(found[GOT]) - len(found[DONE]) for found in dead)
        verdict.lost += len(missing)
        verdict.possible = len(missing) + undone + len(dead)
    else:
        verdict.stranded += len(missing)
    verdict.errors += [path.read_text() for path in sorted(folder.glob("*.error"))]


def read(path):
    found = {what: [] for what in (PUT, GOT, DONE, CORRUPT)}
    data = path.read_bytes()
    for what, who, number, _ in RECORD.iter_unpack(data[: len(data) // RECORD.size * RECORD.size]):
        found[what].append((who, number))
    return found


def disorder(got):
    """How often an item came before an earlier one of the same producer, to the same consumer."""
    last, wrong = {}, 0
    for who, number in got:
        wrong += number <= last.get(who, -1)
        last[who] = number
    return wrong
