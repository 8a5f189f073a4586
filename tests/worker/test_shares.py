"""Executors that did their share, of tasks or of memory, are replaced; nothing is cut off."""

import pytest

POOLS = ["prefork", "threads", "asyncio"]
SHARED = ["threads", "asyncio"]
MEBIBYTE = 1024


@pytest.mark.parametrize("pool", SHARED)
def test_an_executor_of_several_is_replaced_after_its_share(bench, pool):
    tasks = bench.tasks("""
        @app.task
        def where():
            return os.getpid()
    """)
    worker = bench.worker("-P", pool, "-c", "3", "--max-tasks-per-child", "5")
    pids = [result.get(timeout=20) for result in tasks.where.send_many([()] * 40)]
    assert all(pids.count(pid) <= 5 for pid in pids)
    assert len(set(pids)) == 8  # each did its whole share
    assert worker.stop() == 0


@pytest.mark.parametrize("pool", SHARED)
def test_a_long_task_does_not_hold_up_its_executors_successor(bench, pool):
    tasks = bench.tasks("""
        @app.task
        def stay():
            note("stay")
            until("gate")
            return os.getpid()

        @app.task
        def where():
            return os.getpid()
    """)
    open_gate = bench.gate()
    worker = bench.worker("-P", pool, "-c", "2", "--max-tasks-per-child", "2")
    stay = tasks.stay.delay()
    bench.noted("stay")
    pids = [tasks.where.delay().get(timeout=20) for _ in range(5)]
    assert [pids.count(pid) for pid in dict.fromkeys(pids)] == [1, 2, 2]
    open_gate()
    assert stay.get(timeout=20) == pids[0]  # it is not cut off
    assert worker.stop() == 0


@pytest.mark.parametrize("pool", POOLS)
def test_a_process_that_grew_is_replaced_after_its_task(bench, pool):
    tasks = bench.tasks("""
        kept = []

        @app.task
        def grow(mebibytes):
            kept.append(bytearray(os.urandom(1024)) * 1024 * mebibytes)
            return os.getpid()

        @app.task
        def where():
            return os.getpid()
    """)
    limit = str(100 * MEBIBYTE)
    worker = bench.worker("-P", pool, "-c", "1", "--max-memory-per-child", limit)
    before = tasks.where.delay().get(timeout=20)
    assert tasks.grow.delay(10).get(timeout=20) == before
    assert tasks.where.delay().get(timeout=20) == before  # below its limit it stays
    assert tasks.grow.delay(120).get(timeout=20) == before  # what made it grow may finish
    assert tasks.where.delay().get(timeout=20) != before
    assert worker.stop() == 0


def test_an_app_that_is_larger_than_its_limit_still_runs(bench):
    tasks = bench.tasks("""
        @app.task
        def where():
            return os.getpid()
    """)
    app = bench.folder / "tasks.py"
    app.write_text(app.read_text() + "\napp.conf.worker_max_memory_per_child = 1\n")
    bench.worker("-c", "1")
    assert len({tasks.where.delay().get(timeout=20) for _ in range(3)}) == 3
