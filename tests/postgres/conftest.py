"""A folder, its tasks and its workers, for every test here."""

import pytest

from workers import Bench


@pytest.fixture
def bench(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    bench = Bench(tmp_path)
    yield bench
    for worker in bench.workers:
        worker.kill()
    if bench.app is not None:
        bench.app.close()
