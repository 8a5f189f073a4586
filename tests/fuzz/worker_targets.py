"""What a worker's processes say to each other, and what its probe answers."""

import msgspec
from mutation import mutated_bytes
from target import Target, attempt

from penstock.message import Message
from penstock.worker import protocol as p
from penstock.worker.probe import Health, read_health

MESSAGE = Message(id="1", queue="q", headers={"task": "t"}, body=b"[[], {}, null]", key="k")
HAND = p.Hand(7, MESSAGE, 1, True, 2.5, 1e9)
REPLIES = [
    p.Ready(), p.Begun(7), p.Progress(7, "STARTED", b"{}"), p.Finished(7, "SUCCESS", b"{}", 0.1),
    p.Retried(7, MESSAGE, None, 0.2), p.Rejected(7, "why", True, b"{}", 0.1), p.Leaving(),
    p.Unreadable(7, "why"), p.Late(7),
]  # fmt: skip
MANIFEST = p.Manifest(
    "app", "sqlite:///a.db", "sqlite:///a.db", {"lease_time": 15.0}, {"t": p.TaskPolicy()}, ("q",)
)
NEWS = [MANIFEST, p.Failure("no"), p.Spawned(1, 99), p.Exited(1, 99, -9)]
ORDERS = [p.Spawn(1, "w1"), p.Kill(1, 9)]
HEALTH = Health(
    name="w", pid=1, app="a", pool="prefork", queues=("q",), alive=True, broker=True,
    consuming=True, stopping=False, executors=1, running=0, waiting=0, claimed=3, silent=0.1,
    up=2.0,
)  # fmt: skip


def _in_pieces(chance, data):
    while data:
        size = chance.choice((1, 3, 4, 50, len(data)))
        yield data[:size]
        data = data[size:]


def _read_stream(kind):
    def read(data, chance):
        reader = p.FrameReader(kind)
        for piece in _in_pieces(chance, data):
            found = attempt(reader.feed, piece, p.Nonsense)
            if found is None:
                return  # whoever hears nonsense hears nothing more
            for value in found:
                repr(value)

    return read


def read_hand(data, chance):
    hand = attempt(p.unpack_hand, data, p.Nonsense)
    if hand is not None:
        assert isinstance(hand.message, Message)


def read_probe(data, chance):
    health = read_health(data)
    assert health is None or health.pid is not None


def _frames(values):
    return lambda: [p.frame(value) for value in values] + [b"".join(map(p.frame, values))]


TARGETS = [
    Target("replies", _frames(REPLIES), _read_stream(p.FromExecutor), mutated_bytes),
    Target("news", _frames(NEWS), _read_stream(p.FromZygote), mutated_bytes),
    Target("orders", _frames(ORDERS), _read_stream(p.ToZygote), mutated_bytes),
    Target("hand", lambda: [p.pack_hand(HAND)], read_hand, mutated_bytes),
    Target("probe", lambda: [msgspec.json.encode(HEALTH)], read_probe),
]
