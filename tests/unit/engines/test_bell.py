"""Bells: a listener hears each ring since it was made, in this process and from others."""

import asyncio
import contextlib
import subprocess
import sys
import threading

import pytest

from penstock.engines.bell import Bells
from penstock.engines.sqlite import SqliteFile
from penstock.engines.sqlite_file import Location
from penstock.plan import Exchange, Listen, Wait


@pytest.fixture
def bells(tmp_path):
    made = Bells(tmp_path / "bell", version=lambda: 0)
    yield made
    made.close()


def test_a_ring_is_heard_once(bells):
    with contextlib.closing(bells.listen(("work",))) as listener:
        assert not listener.wait(0)
        bells.ring(["work"])
        bells.ring(["work"])
        assert listener.wait(5)
        assert not listener.wait(0)


def test_only_the_bells_asked_for(bells):
    with contextlib.closing(bells.listen(("work", "control"))) as listener:
        bells.ring(["done"])
        assert not listener.wait(0)
        bells.ring(["control"])
        assert listener.wait(5)


def test_every_listener_hears(bells):
    listeners = [bells.listen(("work",)) for _ in range(3)]
    bells.ring(["work"])
    assert [listener.wait(5) for listener in listeners] == [True] * 3
    for listener in listeners:
        listener.close()


def test_a_listener_used_again_has_forgotten_old_rings(bells):
    bells.listen(("work",)).close()
    bells.ring(["work"])
    with contextlib.closing(bells.listen(("work",))) as listener:
        assert not listener.wait(0)


def test_clear_forgets(bells):
    with contextlib.closing(bells.listen(("work",))) as listener:
        bells.ring(["work"])
        listener.clear()
        assert not listener.wait(0)


def test_another_process_rings(bells, tmp_path):
    program = (
        "import sys, pathlib; from penstock.engines.bell import Bells;"
        "Bells(pathlib.Path(sys.argv[1]), version=lambda: 0).ring(['work'])"
    )
    with contextlib.closing(bells.listen(("work",))) as listener:
        subprocess.run([sys.executable, "-c", program, str(tmp_path / "bell")], check=True)
        assert listener.wait(5)


def test_only_the_owner_may_look(bells, tmp_path):
    bells.ring(["work"])
    modes = [oct((tmp_path / name).stat().st_mode & 0o777) for name in ("bell", "bell/work")]
    assert modes == ["0o700", "0o600"]


@pytest.fixture(params=[True, False], ids=["inotify", "polled"])
def file(request, tmp_path):
    made = SqliteFile(Location(str(tmp_path / "jobs.db")), inotify=request.param)
    yield made
    made.close()


def write(name="x", **options):
    sql = "INSERT OR IGNORE INTO revoked (id, until_at) VALUES (?, 0)"
    return Exchange("write", lambda c: c.execute(sql, (name,)), **options)


def test_a_commit_rings(file):
    with contextlib.closing(file.execute(Listen(("work",)))) as listener:
        file.execute(write(rings=("work",)))
        assert file.execute(Wait(listener, 5))


def test_a_commit_from_another_thread_ends_a_wait(file):
    with contextlib.closing(file.execute(Listen(("work",)))) as listener:
        thread = threading.Thread(target=file.execute, args=(write(rings=("work",)),))
        thread.start()
        assert file.execute(Wait(listener, None))
        thread.join()


def test_a_coroutine_waits_on_its_loop(file):
    async def wait():
        listener = await file.aexecute(Listen(("work",)))
        waiting = asyncio.create_task(file.aexecute(Wait(listener, None)))
        await file.aexecute(write(rings=("work",)))
        rang = await waiting
        again = await file.aexecute(Wait(listener, 0.01))
        listener.close()
        return rang, again

    assert asyncio.run(wait()) == (True, False)


def test_what_changed_nothing_does_not_ring(tmp_path):
    file = SqliteFile(Location(str(tmp_path / "jobs.db")))
    file.execute(write())
    with contextlib.closing(file.execute(Listen(("work",)))) as listener:
        file.execute(write(rings=("work",)))
        assert not file.execute(Wait(listener, 0))
    file.close()
