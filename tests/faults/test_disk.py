"""A disk that is full, read-only or slow: nothing is acknowledged that is not kept."""

import contextlib
import subprocess
import sys
import time

import pytest

from penstock import App, BrokerError, ConfigError, Unavailable
from servers import path_of

MOUNT = ["mount", "-t", "tmpfs", "-o"]


@pytest.fixture
def mounted(tmp_path):
    """Makes small disks of their own, where the machine lets us."""
    places = []

    def mount(options):
        place = tmp_path / f"disk{len(places)}"
        place.mkdir()
        command = [*MOUNT, options, "penstock-test", place]
        done = subprocess.run(command, capture_output=True, check=False)
        if done.returncode:
            pytest.skip(f"this machine lets us mount nothing: {done.stderr.decode().strip()}")
        places.append(place)
        return place

    yield mount
    for place in places:
        subprocess.run(["umount", "--lazy", place], check=True)


def fill(disk):
    """Write until nothing more goes."""
    with (disk / "filler").open("wb", buffering=0) as file:
        for size in (1 << 16, 1 << 12, 1):
            try:
                while True:
                    file.write(b"x" * size)
            except OSError:
                continue


def until_refused(task, number):
    """Send until it is refused; gives what was acknowledged."""
    kept = []
    with contextlib.suppress(BrokerError):
        while True:
            kept.append(task.delay(number + len(kept)))
    return kept


def test_a_full_disk_refuses_and_goes_on_once_there_is_room(bench, mounted, monkeypatch):
    disk = mounted("size=16m")
    monkeypatch.setenv("PENSTOCK_BROKER_URL", f"sqlite:///{disk / 'jobs.db'}")
    tasks = bench.tasks("""
        app.conf.publish_timeout = 0.2

        @app.task
        def slow(number):
            note(f"ran {number}")
            time.sleep(0.01)
            return number
    """)
    worker = bench.worker("-c", "2")
    kept = [tasks.slow.delay(number) for number in range(50)]
    fill(disk)
    kept += until_refused(tasks.slow, 50)
    with pytest.raises(Unavailable):
        tasks.slow.delay(10**6)
    worker.line("The broker is away", timeout=20)
    (disk / "filler").unlink()
    assert [result.get(timeout=30) for result in kept] == list(range(len(kept)))
    assert tasks.add.delay(1, 1).get(timeout=20) == 2
    ran = bench.journal()
    assert len(ran) == len(set(ran))
    assert "ran 1000000" not in ran


def test_a_read_only_disk_is_named(mounted):
    disk = mounted("size=1m,ro")
    task = App("ro", broker=f"sqlite:///{disk / 'jobs.db'}", publish_timeout=0.1).task(print)
    with pytest.raises((ConfigError, Unavailable), match=str(disk)):
        task.delay()


def test_a_slow_disk_is_waited_for(tmp_path):
    program = tmp_path / "send.py"
    program.write_text(
        "import sys, threading\n"
        "from penstock import App\n"
        "app = App('slow', broker=sys.argv[1])\n"
        "echo = app.task(print, name='echo')\n"
        "echo.delay(0)\n"
        "threads = [threading.Thread(target=echo.delay, args=(n,)) for n in range(20)]\n"
        "[thread.start() for thread in threads]\n"
        "[thread.join() for thread in threads]\n"
        "print(app.broker.depth('celery'))\n"
    )
    command = [
        path_of("strace"), "-f", "-qq", "-o", tmp_path / "calls", "-e", "trace=fdatasync",
        "-e", "inject=fdatasync:delay_exit=200ms",
        sys.executable, program, f"sqlite:///{tmp_path / 'jobs.db'}",
    ]  # fmt: skip
    began = time.monotonic()
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout == "21\n"
    assert time.monotonic() - began < 20 * 0.2  # they shared commits
    assert (tmp_path / "calls").read_text().count("fdatasync") >= 2
