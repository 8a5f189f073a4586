"""Tasks that do harm: each ends as it should, and no neighbour notices."""

import signal

import pytest

from workers import alive, wait_for

TASKS = """
    import ctypes, re, resource, socket

    journal = str(Path("journal").absolute())

    def note(text):
        with open(journal, "a") as file:
            file.write(text + "\\n")

    class Unwritable(Exception):
        def __init__(self, lock):
            super().__init__(lock)

    class Silent(Exception):
        def __str__(self):
            raise RuntimeError("no words")
        __repr__ = __str__

    def segfault():
        ctypes.string_at(0)

    def quits():
        os._exit(0)

    def leaves():
        sys.exit(3)

    def interrupts():
        raise KeyboardInterrupt

    def endless_c():
        re.match(r"(a+)+$", "a" * 60 + "b")  # holds the GIL for years

    def recursion():
        return recursion()

    def deep_recursion():
        sys.setrecursionlimit(2**30)
        nest = []
        for _ in range(200_000):
            nest = [nest]
        return repr(nest)

    def unpicklable():
        raise Unwritable(threading.Lock())

    def wordless():
        raise Silent

    def unwritable_result():
        return threading.Lock()

    def huge_result():
        return "x" * (64 << 20)

    def memory_error():
        used = int(Path("/proc/self/statm").read_text().split()[0]) * 4096
        resource.setrlimit(resource.RLIMIT_AS, (used + (64 << 20), -1))
        try:
            return len(bytearray(1 << 30))
        finally:
            resource.setrlimit(resource.RLIMIT_AS, (-1, -1))

    def closes_all():
        os.closerange(0, 4096)

    def shouts():
        for fd in range(3, 64):
            try:
                os.write(fd, b"\\xff" * 40)
            except OSError:
                pass

    def answers_twice():
        if os.fork() == 0:
            return "child"  # runs on as a second executor
        time.sleep(0.05)
        return "parent"

    def stops_itself():
        os.kill(os.getpid(), signal.SIGSTOP)

    def ignores_signals():
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGCHLD):
            signal.signal(number, signal.SIG_IGN)

    def moves():
        os.chdir("/")
        os.umask(0o777)
        os.environ.clear()
        sys.path.clear()
        socket.setdefaulttimeout(0.001)

    def starts_threads():
        for _ in range(50):
            threading.Thread(target=time.sleep, args=(1000,), daemon=True).start()

    def starts_a_program():
        subprocess.Popen(["sleep", "1000"])

    HARM = {name: value for name, value in list(globals().items()) if callable(value)}

    @app.task(time_limit=8.0)
    def harm(name):
        note(f"{name} {os.getpid()}")
        return HARM[name]()
"""

CRASHES = ("segfault", "quits", "deep_recursion", "closes_all")
FAILS = {
    "leaves": "SystemExit",
    "interrupts": "KeyboardInterrupt",
    "recursion": "RecursionError",
    "unpicklable": "Unwritable",
    "wordless": "Silent",
    "unwritable_result": "EncodeError",
    "huge_result": "EncodeError",
    "memory_error": "MemoryError",
    "endless_c": "TimeLimitExceeded",
    "stops_itself": "TimeLimitExceeded",
}
PASSES = ("ignores_signals", "moves", "starts_threads", "starts_a_program")


@pytest.mark.parametrize("pool", ["prefork"])
def test_every_kind_of_harm_ends_as_it_should(bench, pool):
    tasks = bench.tasks(TASKS)
    worker = bench.worker("-c", "2", "-P", pool)
    harm = {name: tasks.harm.delay(name) for name in (*CRASHES, *FAILS, *PASSES)}
    neighbours = [tasks.add.delay(number, 1) for number in range(100)]
    assert [result.get(timeout=60) for result in neighbours] == list(range(1, 101))
    for name, result in harm.items():
        found = result.get(timeout=60, propagate=False)
        if name in CRASHES:
            assert "WorkerLostError" in repr(found), name
        elif name in FAILS:
            assert FAILS[name] in f"{type(found)} {found!r} {result.traceback}", name
        else:
            assert found is None, name
    ran = [line.split()[0] for line in bench.journal()]
    assert {name: ran.count(name) for name in harm} == {
        name: 3 if name in CRASHES else 1 for name in harm
    }
    assert {letter.message.id for letter in bench.app.broker.dead()} == {
        harm[name].id for name in CRASHES
    }
    assert worker.process.poll() is None
    assert tasks.add.delay(1, 1).get(timeout=20) == 2


@pytest.mark.parametrize("name", ["shouts", "answers_twice"])
def test_an_executor_that_talks_nonsense_is_the_only_one_to_suffer(bench, name):
    tasks = bench.tasks(TASKS)
    worker = bench.worker("-c", "2")
    result = tasks.harm.delay(name)
    neighbours = [tasks.add.delay(number, 1) for number in range(100)]
    assert [neighbour.get(timeout=60) for neighbour in neighbours] == list(range(1, 101))
    wait_for(result.ready, what="an end")
    assert tasks.add.delay(1, 1).get(timeout=20) == 2
    assert worker.process.poll() is None
    assert worker.stop() == 0


def test_what_ignores_being_told_to_end_is_cut_off(bench):
    tasks = bench.tasks("""
        @app.task
        def stubborn():
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            note(str(os.getpid()))
            until("gate")
    """)
    bench.gate()
    worker = bench.worker("-c", "1", "--shutdown-timeout", "0.3")
    result = tasks.stubborn.delay()
    pid = int(bench.noted(r"\d+").group())
    assert worker.stop(signal.SIGTERM, timeout=5) == 1
    assert not alive(pid)
    assert result.state == "PENDING"
    (queue,) = bench.app.broker.queues()
    assert (queue.ready, queue.leased) == (1, 0)


def test_secrets_of_a_task_stay_out_of_what_the_worker_says(bench):
    tasks = bench.tasks("""
        @app.task
        def fails(secret):
            note("ran")
            os.kill(os.getpid(), signal.SIGKILL)
    """)
    worker = bench.worker("-c", "1", "-l", "debug")
    result = tasks.fails.delay("canary-4711")
    assert "WorkerLostError" in repr(result.get(timeout=20, propagate=False))
    assert worker.stop() == 0
    assert "canary" not in worker.text
    assert "canary" not in bench.app.broker.dead()[0].reason
