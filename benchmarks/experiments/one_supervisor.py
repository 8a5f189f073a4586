"""Whether one Python supervisor process carries the tasks of all executors.

A supervisor claims up to 100 envelopes from a Redis list by script, hands each to one of two forked
no-op executors, collects what they return, and settles it in the same round trip that claims the
next. Two channels: `stream` (length-prefixed msgpack batches) and `packet` (one SOCK_SEQPACKET
packet a task; the supervisor holds the executor's receiving end too, and so can take back what is
not begun). Two ways to settle: three `commands` a task, or one fenced `script` call a batch.

Needs redis-server, redis, hiredis, msgspec.
"""

import base64
import contextlib
import os
import resource
import selectors
import socket
import statistics
import struct
import subprocess
import sys
import tempfile
import time
import uuid
from collections import Counter, deque

import msgspec
import redis

TASKS, RUNS, EXECUTORS = 20_000, 7, 2
CLAIM_LIMIT, AHEAD = 100, 64  # envelopes a claim; tasks handed over to one executor at most
QUEUE, LEASED, FENCE, LEASES = "celery", "penstock:leased", "penstock:fence", "penstock:leases"
LENGTH = struct.Struct("!I")
pack, unpack = msgspec.msgpack.encode, msgspec.msgpack.decode

CLAIM = """
local got = redis.call('RPOP', KEYS[1], ARGV[1])
if not got then return {0, {}} end
local before = redis.call('INCRBY', KEYS[3], #got) - #got
local fields = {}
for i, envelope in ipairs(got) do
  fields[2 * i - 1] = before + i
  fields[2 * i] = envelope
end
redis.call('HSET', KEYS[2], unpack(fields))
redis.call('ZADD', KEYS[4], redis.call('TIME')[1] + 15, before + 1)
return {before, got}
"""
SETTLE = """
local lost = {}
for i = 1, #ARGV, 3 do
  if redis.call('HDEL', KEYS[1], ARGV[i]) == 1 then
    local key = 'celery-task-meta-' .. ARGV[i + 1]
    redis.call('SET', key, ARGV[i + 2], 'EX', 86400)
    redis.call('PUBLISH', key, ARGV[i + 2])
  else
    lost[#lost + 1] = ARGV[i]
  end
end
return lost
"""


class Headers(msgspec.Struct):
    """What the supervisor needs to know of a task."""

    id: str
    task: str


class Envelope(msgspec.Struct):
    """A message as it lies in the list."""

    body: str
    headers: Headers


def envelope(name, args):
    task_id = str(uuid.uuid4())
    none = dict.fromkeys(
        ("shadow", "eta", "expires", "group", "group_index", "parent_id", "stamps", "ignore_result")
    )
    body = msgspec.json.encode([args, {}, dict.fromkeys(("callbacks", "errbacks", "chain"))])
    headers = {
        "lang": "py", "task": name, "id": task_id, **none, "retries": 0, "root_id": task_id,
        "timelimit": [None, None], "argsrepr": repr(args), "kwargsrepr": "{}",
        "origin": "gen4711@producer", "replaced_task_nesting": 0, "stamped_headers": None,
    }  # fmt: skip
    properties = {
        "correlation_id": task_id, "reply_to": str(uuid.uuid4()), "delivery_mode": 2,
        "delivery_info": {"exchange": "", "routing_key": QUEUE}, "priority": 0,
        "body_encoding": "base64", "delivery_tag": str(uuid.uuid4()),
    }  # fmt: skip
    return msgspec.json.encode({
        "body": base64.b64encode(body).decode(), "content-encoding": "utf-8",
        "content-type": "application/json", "headers": headers, "properties": properties,
    })  # fmt: skip


def nothing(seconds):
    if seconds:
        time.sleep(seconds)  # the slow task itself
    return seconds


def execute(task):
    """Decode, run, encode, and keep the time at which the task began."""
    fence, task_id, _name, body = task
    began = time.perf_counter()
    args, kwargs, _ = msgspec.json.decode(body)
    document = msgspec.json.encode({
        "status": "SUCCESS", "result": nothing(*args, **kwargs), "traceback": None,
        "children": [], "date_done": "2026-11-23T10:00:00+00:00", "task_id": task_id,
    })  # fmt: skip
    return fence, task_id, document, began, os.getpid()


def frame(items):
    data = pack(items)
    return LENGTH.pack(len(data)) + data


def frames(buffer):
    """Take the whole frames off the front of the buffer."""
    at, end = 0, len(buffer)
    while at + 4 <= end:
        (size,) = LENGTH.unpack_from(buffer, at)
        if at + 4 + size > end:
            break
        yield unpack(memoryview(buffer)[at + 4 : at + 4 + size])
        at += 4 + size
    del buffer[:at]


def executor(channel, tasks, results):
    if channel == "packet":
        while packet := tasks.recv(65536):
            results.sendall(frame([execute(unpack(packet))]))
    else:
        buffer = bytearray()
        while data := tasks.recv(1 << 20):
            buffer += data
            for batch in list(frames(buffer)):
                results.sendall(frame([execute(task) for task in batch]))


class Slot:
    """One forked executor, as the supervisor sees it."""

    def __init__(self, channel):
        kind = socket.SOCK_SEQPACKET if channel == "packet" else socket.SOCK_STREAM
        self.send, self.theirs = socket.socketpair(socket.AF_UNIX, kind)
        self.results, results = socket.socketpair()
        self.begun_or_waiting, self.buffer = 0, bytearray()
        self.pid = os.fork()
        if not self.pid:
            self.send.close()
            self.results.close()
            executor(channel, self.theirs, results)
            os._exit(0)
        results.close()
        self.send.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
        self.results.setblocking(False)

    def collect(self):
        self.buffer += self.results.recv(1 << 20)
        got = [result for batch in frames(self.buffer) for result in batch]
        self.begun_or_waiting -= len(got)
        return got

    def recall(self, limit):
        """Take back what is not begun; the kernel gives each packet to one reader only."""
        got = []
        while len(got) < limit:
            try:
                got.append(self.theirs.recv(65536, socket.MSG_DONTWAIT))
            except BlockingIOError:
                break
        self.begun_or_waiting -= len(got)
        return got

    def close(self):
        self.send.shutdown(socket.SHUT_RDWR)
        os.waitpid(self.pid, 0)
        for end in (self.send, self.theirs, self.results):
            end.close()


class Supervisor:
    """Claims, dispatches, collects, settles; adds up the time that each stage takes."""

    def __init__(self, channel, settling, port):
        self.channel, self.settling = channel, settling
        self.slots = [Slot(channel) for _ in range(EXECUTORS)]
        self.redis = redis.Redis(port=port)
        self.claim_sha, self.settle_sha = map(self.redis.script_load, (CLAIM, SETTLE))
        self.selector = selectors.DefaultSelector()
        for slot in self.slots:
            self.selector.register(slot.results, selectors.EVENT_READ, slot)
        self.spent, self.trips = Counter(), 0

    def exchange(self, finished, limit):
        """Settle and claim in one round trip."""
        pipe = self.redis.pipeline(transaction=False)
        if finished and self.settling == "script":
            arguments = [part for result in finished for part in result[:3]]
            pipe.evalsha(self.settle_sha, 1, LEASED, *arguments)
        elif finished:
            for fence, task_id, document, *_ in finished:
                key = "celery-task-meta-" + task_id
                pipe.hdel(LEASED, fence)
                pipe.set(key, document, ex=86400)
                pipe.publish(key, document)
        if limit:
            pipe.evalsha(self.claim_sha, 4, QUEUE, LEASED, FENCE, LEASES, limit)
        replies = pipe.execute()
        self.trips += 1
        return replies[-1] if limit else (0, [])

    @staticmethod
    def decode(before, envelopes, decoder=msgspec.json.Decoder(Envelope)):  # noqa: B008
        tasks = []
        for fence, data in enumerate(envelopes, before + 1):
            got = decoder.decode(data)
            headers = got.headers
            tasks.append((fence, headers.id, headers.task, base64.b64decode(got.body)))
        return tasks

    def dispatch(self, tasks):
        """Fill the emptiest slot first, up to the other's level."""
        tasks = deque(tasks)
        level = -(-(sum(s.begun_or_waiting for s in self.slots) + len(tasks)) // len(self.slots))
        for slot in self.slots:
            room = max(0, level - slot.begun_or_waiting)
            batch = [tasks.popleft() for _ in range(min(room, len(tasks)))]
            slot.begun_or_waiting += len(batch)
            if batch and self.channel == "stream":
                slot.send.sendall(frame(batch))
            else:
                for task in batch:
                    slot.send.send(pack(task))

    def level(self):
        """Give an idle executor half of what another has not begun."""
        idle = [slot for slot in self.slots if not slot.begun_or_waiting]
        busy = max(self.slots, key=lambda slot: slot.begun_or_waiting)
        for slot in idle:
            for packet in busy.recall(-(-busy.begun_or_waiting // 2)):
                slot.send.send(packet)
                slot.begun_or_waiting += 1

    def run(self, total):
        clock, spent = time.perf_counter, self.spent
        finished, results, empty, t0 = [], [], False, clock()
        while len(results) < total:
            room = AHEAD * len(self.slots) - sum(slot.begun_or_waiting for slot in self.slots)
            limit = 0 if empty else min(CLAIM_LIMIT, room)
            if finished or limit:
                before, envelopes = self.exchange(finished, limit)
                empty = empty or len(envelopes) < limit
                t1 = clock()
                tasks = self.decode(before, envelopes)
                t2 = clock()
                self.dispatch(tasks)
                t3 = clock()
                spent["exchange"] += t1 - t0
                spent["decode"] += t2 - t1
                spent["dispatch"] += t3 - t2
            if self.channel == "packet" and empty:
                self.level()
            t3 = clock()
            ready = self.selector.select()
            t4 = clock()
            finished = [result for key, _ in ready for result in key.data.collect()]
            results += finished
            t0 = clock()
            spent["waiting"] += t4 - t3
            spent["collect"] += t0 - t4
        self.exchange(finished, 0)
        spent["exchange"] += clock() - t0
        return results

    def close(self):
        self.selector.close()
        for slot in self.slots:
            slot.close()
        self.redis.close()


def fill(port, tasks):
    client = redis.Redis(port=port)
    client.flushall()
    for start in range(0, len(tasks), 1000):
        client.lpush(QUEUE, *tasks[start : start + 1000])
    client.close()


def throughput(port, channel, settling, tasks):
    fill(port, tasks)
    supervisor = Supervisor(channel, settling, port)
    cpu0, started = time.process_time(), time.perf_counter()
    results = supervisor.run(len(tasks))
    took, cpu = time.perf_counter() - started, time.process_time() - cpu0
    left = supervisor.redis.hlen(LEASED)
    stored = sum(1 for _ in supervisor.redis.scan_iter("celery-task-meta-*", 5000))
    children0 = resource.getrusage(resource.RUSAGE_CHILDREN)
    supervisor.close()
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    if left or stored != len(tasks) or len({r[0] for r in results}) != len(tasks):
        sys.exit(f"{channel}: {left} still leased, {stored} stored, {len(results)} collected")
    row = {stage: seconds / len(tasks) * 1e6 for stage, seconds in supervisor.spent.items()}
    row["cpu supervisor"] = cpu / len(tasks) * 1e6
    user, system = (getattr(children, f) - getattr(children0, f) for f in ("ru_utime", "ru_stime"))
    row["cpu executors"] = (user + system) / len(tasks) * 1e6
    row["tasks a trip"] = len(tasks) / supervisor.trips
    row["tasks/s"] = len(tasks) / took
    return row


def alone(port, settling, tasks):
    """Claim and settle, each by itself, 100 at a time, with nothing else running."""
    fill(port, tasks)
    supervisor = Supervisor("packet", settling, port)
    claim = settle = 0.0
    document = execute((1, str(uuid.uuid4()), "", b"[[0],{},{}]"))[2]
    for _ in range(len(tasks) // 100):
        t0 = time.perf_counter()
        before, envelopes = supervisor.exchange([], 100)
        t1 = time.perf_counter()
        done = [(before + n, str(n), document) for n in range(1, len(envelopes) + 1)]
        t2 = time.perf_counter()
        supervisor.exchange(done, 0)
        claim, settle = claim + t1 - t0, settle + time.perf_counter() - t2
    supervisor.close()
    return claim / len(tasks) * 1e6, settle / len(tasks) * 1e6


def behind_a_slow_task(port, channel, slow=2.0, fast=99):
    """Milliseconds that fast tasks wait which were handed over together with a slow one."""
    fill(port, [envelope("tasks.nothing", [slow])] + [envelope("tasks.nothing", [0])] * fast)
    supervisor = Supervisor(channel, "script", port)
    results = supervisor.run(fast + 1)
    supervisor.close()
    began = sorted(result[3] for result in results)
    return (began[-1] - began[0]) * 1e3


def taken_once(packets=50_000):
    """Recall as fast as can be while the executor reads; true if each packet was taken once."""
    slot, seen, back, sent = Slot("packet"), Counter(), 0, 0
    while sent < packets or slot.begun_or_waiting:
        while sent < packets and slot.begun_or_waiting < AHEAD:
            slot.send.send(pack((sent, "id", "tasks.nothing", b"[[0],{},{}]")))
            slot.begun_or_waiting += 1
            sent += 1
        for packet in slot.recall(AHEAD // 2):
            seen[unpack(packet)[0]] += 1
            back += 1
        with contextlib.suppress(BlockingIOError):
            seen.update(result[0] for result in slot.collect())
    slot.close()
    return len(seen) == packets and set(seen.values()) == {1}, back


def serve(folder):
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    server = subprocess.Popen(
        ["redis-server", "--port", str(port), "--dir", folder, "--save", "", "--appendonly", "no"],
        stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    for line in server.stdout:
        if "eady to accept" in line:
            return server, port
    sys.exit("redis-server did not start")


def medians(rows):
    return {name: statistics.median(row[name] for row in rows) for name in rows[0]}


def main():
    tasks = [envelope("tasks.nothing", [0]) for _ in range(TASKS)]
    print(f"{TASKS} tasks of {len(tasks[0])} bytes, {RUNS} runs, medians; us per task")
    with tempfile.TemporaryDirectory() as folder:
        server, port = serve(folder)
        try:
            forms = [(c, s) for c in ("stream", "packet") for s in ("commands", "script")]
            rows = {form: [] for form in forms}
            for _ in range(RUNS):
                for form in forms:
                    rows[form].append(throughput(port, *form, tasks))
            for form in forms:
                figures = medians(rows[form])
                best = max(row["tasks/s"] for row in rows[form])
                print(f"{' '.join(form):16}", end="")
                print("  ".join(f"{k} {v:.1f}" for k, v in figures.items()), f" best {best:.0f}")
            for settling in ("commands", "script"):
                pairs = [alone(port, settling, tasks) for _ in range(RUNS)]
                claim, settle = map(statistics.median, zip(*pairs, strict=True))
                print(f"alone, {settling}: claim {claim:.1f}  settle {settle:.1f}")
            for channel in ("stream", "packet"):
                waits = [behind_a_slow_task(port, channel) for _ in range(5)]
                text = " ".join(f"{wait:.1f}" for wait in waits)
                print(f"{channel}: last of 99 fast tasks began {text} ms after the 2 s task")
            once, back = taken_once()
            print(f"recall under load: each of 50000 taken once: {once}; {back} were recalled")
        finally:
            server.kill()
            server.wait()


if __name__ == "__main__":
    main()
